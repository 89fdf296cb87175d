"""The arrays of a call."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from numlstm.utils.nouns import require_known

_OF_ROWS = ("sample_weight", "lengths", "reset", "future", "static")


class Arrays(NamedTuple):
    """The arrays of a fit, or of its validation, as the caller has them."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    lengths: Any = None
    reset: Any = None
    future: Any = None  # features that are known ahead, from the first step of X on
    static: Any = None  # attributes of whole sequences
    validation: Any = None  # a fraction, or what `read` takes

    @classmethod
    def read(cls, name: str, value: Any, fields: list[str]) -> "Arrays":
        """From a tuple (X, y) or (X, y, sample_weight), or a dict with some of these fields."""
        if isinstance(value, Mapping):
            require_known(name, value, fields)
            if value.get("X") is None:
                raise ValueError(f'{name} needs "X", its sequences')
            return cls(**value)
        if not is_pair(value):
            raise ValueError(f"{name} must be {forms(fields)}; received {len(value)} values")
        return cls(*value)

    @property
    def forecasts(self) -> bool:
        """Whether what is to come is learned."""
        return self.y is None or self.future is not None

    @property
    def rows(self) -> dict[str, Any]:
        """What says more of the rows of X, by name."""
        return {name: getattr(self, name) for name in _OF_ROWS}


def is_own_data(value: Any) -> bool:
    """Whether it holds arrays, as a validation or a batch does, and is no array itself."""
    return isinstance(value, (tuple, list, Mapping))


def is_pair(value: Any) -> bool:
    """Whether it is X and y, with a sample_weight or without."""
    return isinstance(value, (tuple, list)) and len(value) in (2, 3)


def forms(fields: list[str]) -> str:
    """In words what `Arrays.read` takes."""
    names = ", ".join(f'"{name}"' for name in fields)
    return f"a tuple (X, y) or (X, y, sample_weight), or a dict with some of {names}"
