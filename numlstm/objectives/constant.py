"""Constant predictions: what a network must not be much worse than."""

from typing import Any

import numpy as np

from numlstm.data.scaling import Scaling
from numlstm.data.sequences import TrainingData
from numlstm.optim.losses import Loss

_ULPS = 4 * np.finfo(np.float64).eps  # by which targets differ that were meant to be equal


def worst_loss(loss: Loss, data: TrainingData, scaling: Scaling | None = None) -> float:
    """The mean loss above which a fit was no success.

    Twice that of the best constant prediction; of log-likelihoods that and 1. Where a constant is
    exact, but for rounding, the loss of predicting zero, or 1 where that is exact too; of a
    density, which has no bound there, that of a standard normal one.
    """
    y, weight = data.y, data.weight.astype(np.float64)
    there = np.nonzero(weight if loss.classes else weight.any(axis=-1))
    y, weight = (y if loss.classes else y.astype(np.float64))[there], weight[there]
    with np.errstate(all="ignore"):
        best = loss.constant(y, weight)
        least = _mean_loss(loss, best, y, weight)
        if loss.logarithmic:
            best = np.where(_are_exact(best, y, weight, scaling, loss.outputs), 0.0, best)
            return _mean_loss(loss, best, y, weight) + 1
        nearly = best + _ULPS * (np.abs(best) + _origin(scaling))
        rounding = _mean_loss(loss, nearly, np.broadcast_to(best, y.shape), weight)
        if least > rounding:
            return 2 * least
        zero = _mean_loss(loss, np.zeros_like(best), y, weight)
    return zero if zero > rounding else 1.0


def _are_exact(
    best: np.ndarray, y: np.ndarray, weight: np.ndarray, scaling: Scaling | None, outputs: int
) -> Any:
    """Which of the outputs (W,) of a density are of targets that are equal but for rounding."""
    if outputs == 1:
        return False
    means = best[: y.shape[-1]]
    near = np.abs(y - means) <= _ULPS * (np.abs(means) + _origin(scaling))
    return np.tile((near | (weight == 0)).all(axis=0), outputs)


def _origin(scaling: Scaling | None) -> np.ndarray:
    """How far the zero of the data is from that of targets in the network's units, (O,) or ()."""
    if scaling is None or scaling.y_mean is None or scaling.y_scale is None:
        return np.zeros(())
    return np.abs(scaling.y_mean / scaling.y_scale)


def _mean_loss(loss: Loss, outputs: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Of the same outputs (W,) everywhere."""
    prediction = np.broadcast_to(outputs, (len(y), outputs.size))
    return loss.function(prediction, y, weight)[0] / float(weight.sum())
