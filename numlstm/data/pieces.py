"""Rows that are consecutive pieces of one series."""

from dataclasses import dataclass

import numpy as np

from numlstm.data.sequences import mask
from numlstm.utils.types import Array


@dataclass(frozen=True, eq=False)
class Following:
    """What comes one step later in the series: the end of a piece is followed by the next piece.

    Attributes
    ----------
    valid : ndarray of bool, shape (B, T)
        Where the rows have a step.
    """

    valid: Array

    @classmethod
    def of(cls, lengths: Array | None, rows: int, steps: int) -> "Following":
        """For rows of these lengths, or of all `steps`."""
        return cls(np.ones((rows, steps), bool) if lengths is None else mask(lengths, steps))

    def __call__(self, values: Array) -> Array:
        """`values` (B, T, ...), or (B,) of all steps of a row, one step later; at the end zero."""
        if values.ndim == 1:
            values = np.repeat(values[:, None], self.valid.shape[1], axis=1)
        later = np.zeros_like(values)
        series = values[self.valid]
        later[self.valid] = np.concatenate([series[1:], np.zeros_like(series[:1])])
        return later

    def lengths(self) -> Array:
        """Lengths of the rows without the last step of the series, which nothing follows."""
        counts: Array = self.valid.sum(axis=1, dtype=np.int64)
        counts[np.flatnonzero(counts)[-1:]] -= 1
        return counts
