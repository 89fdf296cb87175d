"""Small frozen classes that stand for several keywords, and hints for unknown names."""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, field, fields, replace
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from numlstm.utils import checks

T = TypeVar("T")
P = ParamSpec("P")


def required(check: Callable[[str, Any], T]) -> T:
    """A field of a noun without a default."""
    return field(metadata={"check": check})  # type: ignore[no-any-return]


def option(
    default: T,
    check: Callable[[str, Any], Any] | None = None,
    examples: tuple[Any, ...] = (),
    *,
    options: tuple[Any, ...] = (),
    draw: Callable[[Any], Any] | None = None,
    needs: Mapping[str, Any] | None = None,
    full_batch: bool | Callable[[Any], bool] = True,
    later: bool = False,
) -> T:
    """A field of a noun: its default, its check, and values that its tests try.

    `options` are all its values where they are few, from which check and examples follow; a check
    of its own has the say where the values are not all strings. `draw` makes a random value with a
    `numpy.random.Generator`, for tests that go beyond the examples; `needs` are other fields
    without which it has no effect, of the noun itself or of the one that it is part of.

    `full_batch` says whether methods use it that see all data in every iteration, or is a
    function of the noun that says so; `later` that a resumed run may have another value.
    """
    metadata = {
        "check": check or functools.partial(checks.choice, options=options),
        "examples": examples or tuple(value for value in options if value != default),
        "options": options,
        "draw": draw,
        "needs": needs or {},
        "full_batch": full_batch,
        "later": later,
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

    def require_effect(self, within: Any = None) -> None:
        """Refuse a field that is changed where the fields that it needs are off.

        They are its own, or those of the noun `within` which it stands.
        """
        changed = self.changed()
        for option in fields(self):  # type: ignore[arg-type]
            needs = option.metadata.get("needs", {})
            lacking = [n for n in needs if not getattr(self if hasattr(self, n) else within, n)]
            if option.name in changed and lacking:
                raise ValueError(f"{option.name} has no effect without {', '.join(lacking)}")

    def __getstate__(self) -> dict[str, Any]:
        """The fields: what was derived from them may not be something that can be pickled."""
        return {option.name: getattr(self, option.name) for option in fields(self)}  # type: ignore[arg-type]

    def changed(self) -> dict[str, Any]:
        """The fields that are not at their defaults."""
        pairs = ((f, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return {f.name: value for f, value in pairs if f.default is MISSING or value != f.default}

    def in_words(self, without: Collection[str] = ()) -> str:
        """The fields that are not at their defaults, for people: "flag, limit=3"."""
        changed = self.changed().items()
        return ", ".join(_word(name, value) for name, value in changed if name not in without)

    def unused_on_full_batches(self) -> list[str]:
        """The fields that are asked for and do nothing where every iteration sees all data."""
        asked = {name for name, value in self.changed().items() if value is not None}
        unused = []
        for option in fields(self):  # type: ignore[arg-type]
            used = option.metadata.get("full_batch", True)
            if option.name in asked and not (used(self) if callable(used) else used):
                unused.append(option.name)
        return unused


def _word(name: str, value: Any) -> str:
    if value is True:
        return name
    if isinstance(value, Noun):
        return f"{name}({value.in_words()})"
    if isinstance(value, tuple):
        return f"{name}=({', '.join(map(str, value))})"
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"


def read(kind: type[T], name: str, value: Any) -> T:
    """A noun from an argument: None is its defaults, a mapping has its fields by name."""
    if type(value) is kind:
        return value
    if value is None:
        return kind()
    if isinstance(value, kind):
        raise TypeError(
            f"{name} must be {kind.__name__}(...) itself, received a subclass of it, "
            f"{type(value).__name__}, whose additions neither kernels nor model files know: write "
            f"{name}={kind.__name__}(...), or a dict, with some of {names(kind)}"
        )
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a dict with some of {names(kind)}, or None, or {kind.__name__}(...); "
            f"received {checks.shown(value)}{_as_entry(kind, name, value)}"
        )
    require_known(name, value, names(kind))
    return kind(**value)


def require_known(name: str, given: Iterable[Any], known: list[str]) -> None:
    """Refuse entries of an argument that it does not have."""
    for key in given:
        if key not in known:
            raise ValueError(f"{name} has no {key!r}{suggestion(key, known)}; it has {known}")


def _as_entry(kind: Any, name: str, value: Any) -> str:
    """How to pass a value, or a name of a field, that was given for the noun itself."""
    for option in fields(kind):
        if isinstance(value, str) and value in option.metadata["options"]:
            return f": pass {name}={{{option.name!r}: {value!r}}}"
        if value == option.name:
            return f": pass {name}={{{value!r}: ...}}"
    return ""


def names(kind: Any) -> list[str]:
    """The names of a noun's fields."""
    return [option.name for option in fields(kind)]


def values(kind: type, value: Any) -> dict[str, Any]:
    """The fields of a noun given as an argument, by name; a dict's values stay as they are."""
    if isinstance(value, Mapping):
        return values(kind, None) | dict(value)
    given = value if isinstance(value, kind) else kind()
    return {name: getattr(given, name) for name in names(kind)}


def amended(kind: type[T], name: str, value: Any, changes: Mapping[str, Any]) -> Any:
    """A noun given as an argument, with other values for some fields; the argument stays."""
    if isinstance(value, Mapping) or value is None:
        return {**(value or {}), **changes}
    return replace(read(kind, name, value), **changes)  # type: ignore[type-var]


def suggestion(name: Any, known: Iterable[str]) -> str:
    """A guess at what an unknown name was meant to be, as the end of a sentence."""
    close = difflib.get_close_matches(str(name).lower(), list(known), n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def suggesting(
    nouns: Mapping[str, type],
    synonyms: Collection[Collection[str]] = (),
    instead: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function say of an unknown keyword what might have been meant.

    `nouns` are the classes of the keywords that stand for several names: such a name alone is
    answered with how to pass it. `synonyms` are groups of names that other packages use, and
    `instead` says what to do for names of what there is no keyword for.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        parameters = inspect.signature(function).parameters
        known, method = list(parameters), function.__name__ == "__init__"
        places = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            called = type(args[0]).__name__ if method else function.__name__
            for name, value in kwargs.items():
                if name not in known:
                    meant = hint(name, value, known, nouns, synonyms)
                    meant = f": {instead[name]}" if name in instead else meant
                    raise TypeError(f"{called}() has no keyword {name!r}{meant}")
                if name in places[: len(args)]:
                    raise TypeError(f"{called}() received {name} twice, by place and by name")
            if len(args) > len(places):
                taken, given = ", ".join(places[method:]), len(args) - method
                raise TypeError(
                    f"{called}() takes {taken} by place and all else by name, as in "
                    f"{known[len(places)]}=...; received {given} values without a name"
                )
            return function(*args, **kwargs)

        return checked

    return decorate


def with_hints(noun: type[T]) -> type[T]:
    """A noun that says of an unknown field what might have been meant."""
    setattr(noun, "__init__", suggesting({})(noun.__init__))  # noqa: B010  # for type checkers
    return noun


def hint(
    name: str,
    value: Any,
    known: Collection[str],
    nouns: Mapping[str, type],
    synonyms: Collection[Collection[str]],
) -> str:
    """The correct way to pass what an unknown keyword asked for, as the end of a sentence."""
    moved = {field: noun for noun, kind in nouns.items() for field in names(kind)}
    if name not in moved:
        groups = (group for group in synonyms if name in group)
        for other in (other for group in groups for other in group if other in known):
            return f": did you mean {other!r}?"
        close = difflib.get_close_matches(name.lower(), [*known, *moved], n=1)
        if not close and isinstance(value, Mapping):
            return f": pass its entries, {', '.join(map(str, value))}, as keywords of their own"
        if not close or close[0] in known:
            return suggestion(name, close)
        name = close[0]
    shown = repr(value) if isinstance(value, (bool, int, float, str)) else "..."
    return f": pass {moved[name]}={{{name!r}: {shown}}}"
