"""Missing inputs: filled by a rule, with a channel per feature that says what was observed."""

from typing import NamedTuple

import numpy as np

from numlstm.data.scaling import REMEDY, Scaling
from numlstm.utils import checks, schema


class Imputer(NamedTuple):
    """The rule: a NaN becomes the last observed value, before the first one the mean.

    Attributes
    ----------
    mean : ndarray, shape (I,)
        Mean of every feature's observed training values, float64.
    """

    mean: np.ndarray

    def require_fit(self, inputs: int) -> None:
        """Refuse invalid means, and those of other than half of a network's inputs."""
        if inputs % 2:
            raise ValueError(
                f"filling needs a channel for every feature, and the network has {inputs} input(s)"
            )
        schema.vector("filling.mean", self.mean, (inputs // 2,))

    def fill(self, X: np.ndarray, reset: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """X (B, T, I) without NaN, and whether a value was observed.

        A reset begins anew: what was observed before it is not carried over it.
        """
        observed = ~np.isnan(X)
        t = np.arange(X.shape[1])[:, None]
        last = np.maximum.accumulate(np.where(observed, t, -1), axis=1)
        if reset is not None:
            begin = np.maximum.accumulate(np.where(reset[..., None], t, 0), axis=1)
            last = np.where(last >= begin, last, -1)
        carried = np.take_along_axis(X, np.maximum(last, 0), axis=1)
        filled = np.where(last >= 0, carried, self.mean)
        return filled, observed


def network_inputs(
    X: np.ndarray,
    filling: Imputer | None,
    scaling: Scaling | None,
    dtype: str,
    reset: np.ndarray | None = None,
) -> np.ndarray:
    """X (B, T, I) as the network reads it: filled, standardised, with its mask channels."""
    observed = None
    if filling is not None:
        X, observed = filling.fill(X, reset)
    if scaling is None:
        X = checks.cast(X, "X", dtype, REMEDY)
    else:
        with checks.within_range("X", dtype, REMEDY):
            X = scaling.inputs(X, dtype)
    return X if observed is None else np.concatenate([X, observed.astype(dtype)], axis=-1)
