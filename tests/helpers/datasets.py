"""Datasets whose every number is different, for the tests of what cuts and reads them."""

import numpy as np

from numlstm.data.sequences import Dataset, mask


def dataset(lengths, last=False, steps=None, seed=0):
    """A dataset with a different number in every place, padding included."""
    rng = np.random.default_rng(seed)
    B, T = len(lengths), steps or max(lengths)
    valid = mask(np.array(lengths), T)
    shape = (B, 2) if last else (B, T, 2)
    weight = rng.random(shape) + 0.1
    if not last:
        weight *= valid[..., None]
    return Dataset(
        rng.standard_normal((B, T, 3)),
        rng.standard_normal(shape),
        weight,
        None if set(lengths) == {T} else np.array(lengths, dtype=np.int64),
        last,
    )
