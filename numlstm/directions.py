"""Sequences from their end to their beginning, each row within its own length."""

import numpy as np


def flip(array, lengths):
    """(B, T, ...) with every row's steps in reverse order; the padding stays where it is."""
    if lengths is None:
        return array[:, ::-1]
    t = np.arange(array.shape[1])
    ends = lengths[:, None]
    source = np.where(t < ends, ends - 1 - t, t)
    return array[np.arange(len(array))[:, None], source]


def flip_reset(reset, lengths):
    """Resets of the reversed rows: one before step t parts t - 1 and t, in either direction."""
    before_next = np.zeros_like(reset)
    before_next[:, :-1] = reset[:, 1:]
    if lengths is not None:
        before_next &= np.arange(1, reset.shape[1] + 1) < lengths[:, None]
    return flip(before_next, lengths)


def joined(arrays):
    """Both directions side by side."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1)


def parted(array, level):
    """What belongs to each direction of a level."""
    if array is None or len(level) == 1:
        return [array] * len(level)
    return np.split(array, len(level), axis=-1)
