"""Small frozen classes that stand for several keywords, and what is said of unknown names."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


def option(
    default: T,
    check: Callable[[str, Any], T],
    examples: tuple[Any, ...] = (),
    *,
    options: tuple[Any, ...] = (),
    draw: Callable[[Any], Any] | None = None,
    needs: Mapping[str, Any] | None = None,
) -> T:
    """A field of a noun: its default, its check, and values that its tests try.

    `options` are all its values where they are few. `draw` makes a random value with a
    `numpy.random.Generator`, for tests that go beyond the examples; `needs` are other fields
    without which it has no effect.
    """
    metadata = {
        "check": check,
        "examples": examples,
        "options": options,
        "draw": draw,
        "needs": needs or {},
    }
    return field(default=default, metadata=metadata)


class Noun:
    """A base for frozen dataclasses of `option` fields: every value goes through its check."""

    def __post_init__(self) -> None:
        """Check the values, and keep what the checks make of them."""
        for option in fields(self):  # type: ignore[arg-type]
            if "check" in option.metadata:
                value = option.metadata["check"](option.name, getattr(self, option.name))
                object.__setattr__(self, option.name, value)

    def changed(self) -> dict[str, Any]:
        """The fields that are not at their defaults."""
        pairs = ((f, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return {f.name: value for f, value in pairs if f.default is MISSING or value != f.default}


def read(kind: type[T], name: str, value: Any) -> T:
    """A noun from an argument: None is its defaults, a mapping has its fields by name."""
    if isinstance(value, kind):
        return value
    if value is None:
        return kind()
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a dict with some of {names(kind)}, or None; received {value!r}"
        )
    known = names(kind)
    for key in value:
        if key not in known:
            raise ValueError(f"{name} has no {key!r}{suggestion(key, known)}; it has {known}")
    return kind(**value)


def names(kind: Any) -> list[str]:
    """The names of a noun's fields."""
    return [option.name for option in fields(kind)]


def suggestion(name: Any, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """A guess at what an unknown name was meant to be, as the end of a sentence."""
    if others and name in others:
        return f": did you mean {others[name]}?"
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def suggesting(others: Mapping[str, str]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function say of an unknown keyword what might have been meant.

    `others` has what cannot be seen from the spelling, by the names that other packages use.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        known = inspect.signature(function).parameters

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name not in known:
                    raise TypeError(
                        f"{function.__qualname__.removesuffix('.__init__')}() has no keyword "
                        f"{name!r}{suggestion(name, known, others)}"
                    )
            return function(*args, **kwargs)

        return checked

    return decorate
