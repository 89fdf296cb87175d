"""Constant predictions: what a network must not be much worse than."""

import numpy as np

from numlstm.data.sequences import Dataset
from numlstm.optim.losses import Loss


def worst_loss(loss: Loss, data: Dataset) -> float:
    """The mean loss above which a fit was no success.

    Twice that of the best constant prediction; of log-likelihoods that and 1. Where a constant is
    exact, the loss of predicting zero, or 1 where that is exact too.
    """
    y, weight = data.y, data.weight.astype(np.float64)
    there = np.nonzero(weight if loss.classes else weight.any(axis=-1))
    y, weight = (y if loss.classes else y.astype(np.float64))[there], weight[there]
    with np.errstate(all="ignore"):
        best = loss.constant(y, weight)
        least, zero = (_mean_loss(loss, c, y, weight) for c in (best, np.zeros_like(best)))
    if loss.logarithmic:
        return least + 1
    return 2 * least if least > 1e-6 * zero else zero or 1.0


def _mean_loss(loss: Loss, outputs: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Of the same outputs (W,) everywhere."""
    prediction = np.broadcast_to(outputs, (len(y), outputs.size))
    return loss.function(prediction, y, weight)[0] / float(weight.sum())
