"""Mean and standard deviation of data that are read once, block by block.

Blocks are merged in their order, so that the result depends on where they are cut alone: Chan,
Golub & LeVeque (1983), "Algorithms for computing the sample variance", The American Statistician
37(3), eq. 2.1. Spreads stand for sums of squares, which leave float64 sooner.
"""

import numpy as np

from numlstm.data.scaling import is_rounding, power_of_two
from numlstm.utils.types import Array

_BLOCK = 4096  # steps of which moments are taken at once: the bits depend on it


class Range:
    """The range of the columns of what is added, (n, N) after (n, N); what is NaN does not count.

    Attributes
    ----------
    least, most : ndarray, shape (N,)
        The smallest and the largest value; infinite where there is none.
    """

    def __init__(self, width: int):
        self.least, self.most = np.full(width, np.inf), np.full(width, -np.inf)

    def add(self, values: Array) -> None:
        """More values, (n, N)."""
        self.least = np.fmin(self.least, np.fmin.reduce(values, axis=0, initial=np.inf))
        self.most = np.fmax(self.most, np.fmax.reduce(values, axis=0, initial=-np.inf))

    @property
    def ends(self) -> Array:
        """Both, (2, N); 0 where there is none."""
        both: Array = np.nan_to_num(np.stack([self.least, self.most]), posinf=0.0, neginf=0.0)
        return both


class RunningMoments(Range):
    """The moments of the columns of what is added, and their range, of what counts."""

    def __init__(self, width: int):
        super().__init__(width)
        self._weight, self._mean, self._spread = np.zeros((3, width))
        self._whole = np.ones(width, bool)

    def count(self, values: Array, valid: Array, weight: Array | float = 1.0) -> None:
        """Values where they are `valid` (n, N), each as often as its weight says, (n,) or ()."""
        for start in range(0, len(values), _BLOCK):
            part = slice(start, start + _BLOCK)
            own = weight if np.ndim(weight) == 0 else np.asarray(weight)[part, None]
            own_order = np.array(values[part], np.float64, order="C")  # sums depend on it
            self._count(own_order, valid[part] & (own > 0), own)

    def _count(self, values: Array, valid: Array, weight: Array | float) -> None:
        self.add(np.where(valid, values, np.nan))
        values = np.where(valid, values, 0.0)
        self._whole &= np.all(np.rint(values) == values, axis=0)
        shares = np.where(valid, weight, 0.0)
        total = shares.sum(axis=0)
        count = np.where(total > 0, total, 1.0)
        size = _unit(values)
        scaled = values / size
        mean = (scaled * shares).sum(axis=0) / count
        mean += ((scaled - mean) * shares).sum(axis=0) / count  # what rounding left
        scaled = np.where(valid, scaled - mean, 0.0)
        unit = _unit(scaled)
        spread = unit * np.sqrt((np.square(scaled / unit) * shares).sum(axis=0) / count)
        self._merge(total, mean * size, spread * size)

    def _merge(self, weight: Array, mean: Array, spread: Array) -> None:
        total = self._weight + weight
        share = weight / np.where(total > 0, total, 1.0)
        apart = np.where((self._weight > 0) & (weight > 0), mean - self._mean, 0.0)
        unit = _unit(np.stack([self._spread, spread, apart]))
        parts = (self._spread / unit, 1 - share), (spread / unit, share)
        variance = sum(np.square(part) * own for part, own in parts)
        variance = variance + np.square(apart / unit) * share * (1 - share)
        moved = self._mean + apart * share
        self._mean = np.where(self._weight > 0, moved, np.where(weight > 0, mean, 0.0))
        self._spread, self._weight = unit * np.sqrt(variance), total

    @property
    def has_any(self) -> Array:
        """Whether anything of a column counted, (N,)."""
        found: Array = self._weight > 0
        return found

    @property
    def deviation(self) -> Array:
        """The standard deviation, (N,); of what does not vary it is 0, but for rounding."""
        return self._spread.copy()

    def result(self) -> tuple[Array, Array]:
        """Mean and standard deviation, each (N,); of what does not vary the latter is 1."""
        constant = is_rounding(self._spread, self._mean)
        constant &= ~(self._whole & (self.least < self.most))  # whole numbers are not rounded
        return self._mean.copy(), np.where(constant, 1.0, self._spread)


def _unit(values: Array) -> Array:
    """Of the size of the largest of each column: in it no square overflows."""
    return power_of_two(np.max(np.abs(values), axis=0, initial=0.0))
