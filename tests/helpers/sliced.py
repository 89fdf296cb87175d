"""An array that has shape, dtype and slicing and nothing else, as those of files have."""

import numpy as np


class Sliced:
    """It counts what is read of it; what makes an array of all of it fails."""

    def __init__(self, values):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.read = []  # (row or None, start, stop)

    def __getitem__(self, key):
        if not isinstance(key, tuple):
            row, steps, axis = None, key, 0
        elif key[0] is Ellipsis:  # [..., start:stop, :]
            row, (_, steps, _), axis = None, key, -2
        else:
            (row, steps), axis = key, 1
        start, stop, step = steps.indices(self.shape[axis])
        assert step == 1
        self.read.append((row, start, stop))
        return self._values[key].copy()

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("all of it is made an array")

    @property
    def largest(self):
        """The most steps that were read at once."""
        return max(stop - start for _, start, stop in self.read)


def windows_by_hand(series, window, ends=None):
    """Windows (N, window, I) of series (T, I), those that end at `ends` or everywhere."""
    ends = range(window - 1, len(series)) if ends is None else ends
    return np.stack([series[end - window + 1 : end + 1] for end in ends])
