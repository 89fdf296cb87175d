"""The arrays of a call."""

from typing import Any, NamedTuple


class Arrays(NamedTuple):
    """The arrays of a fit, or of its validation, as the caller has them."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    lengths: Any = None
    reset: Any = None
    static: Any = None
    validation: Any = None  # a fraction, a tuple (X, y) or (X, y, sample_weight), or a mapping

    @property
    def rows(self) -> dict[str, Any]:
        """What says more of the rows of X, by name."""
        names = ("sample_weight", "lengths", "reset", "static")
        return {name: getattr(self, name) for name in names}
