"""The arrays of a call."""

from typing import Any, NamedTuple

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
    validation: Any = None  # a fraction, a tuple (X, y) or (X, y, sample_weight), or a mapping

    @property
    def forecasts(self) -> bool:
        """Whether what is to come is learned."""
        return self.y is None or self.future is not None

    @property
    def rows(self) -> dict[str, Any]:
        """What says more of the rows of X, by name."""
        return {name: getattr(self, name) for name in _OF_ROWS}
