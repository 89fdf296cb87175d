"""Losses: value and gradient with respect to the predictions, from one pass; and curvatures.

Each loss takes (prediction, target, weight) and returns the sum of the weighted losses as a float
and its gradient, shape and dtype of the prediction. The mean is the caller's: weights that sum to
one make the sum a mean. `weight` has the shape of `target`. Behind every loss stands its curvature:
the derivative of the gradient along a direction, which has the shape of the prediction.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from numlstm.utils.types import Array

Value: TypeAlias = tuple[float, Array]  # the sum, and its gradient

_VARIANCE_FLOOR = 1e-6  # as in torch.nn.GaussianNLLLoss


def _total(weight: Array, values: Array) -> float:
    return float(np.sum(weight * values, dtype=np.float64))


def mse(prediction: Array, target: Array, weight: Array) -> Value:
    """Squared error, (p - y)^2."""
    error = prediction - target
    scaled = weight * error
    return float(np.sum(scaled * error, dtype=np.float64)), 2 * scaled


def mse_curvature(prediction: Array, target: Array, weight: Array, along: Array) -> Array:
    """2 along."""
    return 2 * weight * along


def mae(prediction: Array, target: Array, weight: Array) -> Value:
    """Absolute error, abs(p - y)."""
    error = prediction - target
    return _total(weight, np.abs(error)), weight * np.sign(error)


def mae_curvature(prediction: Array, target: Array, weight: Array, along: Array) -> Array:
    """0: the gradient is constant but for its step at the target."""
    return np.zeros_like(prediction)


def huber(prediction: Array, target: Array, weight: Array) -> Value:
    """Half the squared error up to 1, the absolute error minus 1/2 beyond (Huber 1964)."""
    error = prediction - target
    slope = np.clip(error, -1, 1)
    return _total(weight, slope * (error - 0.5 * slope)), weight * slope


def huber_curvature(prediction: Array, target: Array, weight: Array, along: Array) -> Array:
    """along where the error is squared, 0 where it is absolute."""
    return weight * np.where(np.abs(prediction - target) < 1, along, 0)


def cross_entropy(prediction: Array, target: Array, weight: Array) -> Value:
    """-log softmax(p)[class]: p (..., K) logits, target (...) classes."""
    shifted, exp, norm = _softmax_parts(prediction)
    index = target[..., None]
    value = np.log(norm[..., 0]) - np.take_along_axis(shifted, index, axis=-1)[..., 0]
    gradient = exp / norm
    np.put_along_axis(gradient, index, np.take_along_axis(gradient, index, -1) - 1, axis=-1)
    return _total(weight, value), gradient * weight[..., None]


def cross_entropy_curvature(prediction: Array, target: Array, weight: Array, along: Array) -> Array:
    """p (along - sum of p along), p = softmax."""
    _, exp, norm = _softmax_parts(prediction)
    p = exp / norm
    curvature: Array = weight[..., None] * p * (along - (p * along).sum(axis=-1, keepdims=True))
    return curvature


def _softmax_parts(prediction: Array) -> tuple[Array, Array, Array]:
    """The logits less their largest, so that exp cannot overflow; their exp and its sum."""
    shifted = prediction - prediction.max(axis=-1, keepdims=True)
    exp = np.exp(shifted)
    return shifted, exp, exp.sum(axis=-1, keepdims=True)


def binary_cross_entropy(prediction: Array, target: Array, weight: Array) -> Value:
    """-y log s(p) - (1 - y) log(1 - s(p)): p logits, s the logistic function, y in [0, 1]."""
    exp = np.exp(-np.abs(prediction))  # at most 1, whatever the logit
    value = np.maximum(prediction, 0) - prediction * target + np.log1p(exp)
    sigmoid = np.where(prediction >= 0, 1, exp) / (1 + exp)
    return _total(weight, value), weight * (sigmoid - target)


def binary_cross_entropy_curvature(
    prediction: Array, target: Array, weight: Array, along: Array
) -> Array:
    """s (1 - s) along."""
    exp = np.exp(-np.abs(prediction))
    curvature: Array = weight * exp / (1 + exp) ** 2 * along
    return curvature


def gaussian_nll(prediction: Array, target: Array, weight: Array) -> Value:
    """(log v + (y - m)^2 / v) / 2: p (..., 2 O) the means m, then log(v - 1e-6).

    Nix & Weigend (1994), "Estimating the mean and variance of the target probability
    distribution". The constant log(2 pi) / 2 is left out; the floor of 1e-6 under the variance
    keeps a perfect fit from running away.
    """
    error, log_variance, exp, variance = _gaussian_parts(prediction, target)
    ratio = error / variance
    value = 0.5 * (np.log(variance) + error * ratio)
    d_variance = 0.5 * (1 / variance - ratio * ratio)
    d_log_variance = np.where(log_variance > 80, 0, d_variance * exp)
    huge = ~np.isfinite(d_log_variance)  # where the square of a ratio overflows, and exp may be 0
    if huge.any():
        share = exp / variance
        d_log_variance = np.where(huge, 0.5 * (share - share * ratio * error), d_log_variance)
    gradient = np.concatenate([weight * ratio, weight * d_log_variance], axis=-1)
    return _total(weight, value), gradient


def gaussian_nll_curvature(prediction: Array, target: Array, weight: Array, along: Array) -> Array:
    """The derivative of both halves of the gradient along those of the direction."""
    error, log_variance, exp, variance = _gaussian_parts(prediction, target)
    along_mean, along_log_variance = np.split(along, 2, axis=-1)
    ratio, inside = error / variance, log_variance <= 80
    along_variance = np.where(inside, exp * along_log_variance, 0)
    along_ratio = (along_mean - ratio * along_variance) / variance
    bend = 0.5 * (1 / variance - ratio * ratio) * along_variance
    bend -= exp * (0.5 * along_variance / variance / variance + ratio * along_ratio)
    halves = [weight * along_ratio, weight * np.where(inside, bend, 0)]
    return np.concatenate(halves, axis=-1)


def _gaussian_parts(prediction: Array, target: Array) -> tuple[Array, Array, Array, Array]:
    """The error of the mean, the log-variance, its exp, and the variance."""
    mean, log_variance = np.split(prediction, 2, axis=-1)
    exp = np.exp(np.minimum(log_variance, 80))  # finite in float32
    return mean - target, log_variance, exp, exp + prediction.dtype.type(_VARIANCE_FLOOR)


def mean(target: Array, weight: Array) -> Array:
    """Weighted mean of targets (N, O), each output's: the best constant under "mse"."""
    total: Array = np.sum(weight, axis=0)
    total = np.where(total > 0, total, 1)
    result: Array = np.sum(weight * target, axis=0) / total
    result += np.sum(weight * (target - result), axis=0) / total  # what rounding left in the sum
    return result


def median(target: Array, weight: Array) -> Array:
    """Weighted median of targets (N, O), each output's: the best constant under "mae"."""
    order = np.argsort(target, axis=0)
    sums = np.cumsum(np.take_along_axis(weight, order, axis=0), axis=0)
    middle = np.argmax(sums >= 0.5 * sums[-1], axis=0)[None]
    index = np.take_along_axis(order, middle, axis=0)
    result: Array = np.take_along_axis(target, index, axis=0)[0]
    return result


def log_shares(target: Array, weight: Array) -> Array:
    """Logarithm of every class' share, from classes (N,)."""
    shares = np.bincount(target, weight)
    logarithms: Array = np.log(np.maximum(shares / shares.sum(), 1e-30))
    return logarithms


def logit(target: Array, weight: Array) -> Array:
    """Logit of the mean of targets (N, O) in [0, 1]."""
    share = np.clip(mean(target, weight), 1e-15, 1 - 1e-15)
    result: Array = np.log(share / (1 - share))
    return result


def mean_and_log_variance(target: Array, weight: Array) -> Array:
    """Of targets (N, O): the means, then the logarithms of the variances."""
    center = mean(target, weight)
    variance = np.maximum(mean(np.square(target - center), weight), _VARIANCE_FLOOR)
    return np.concatenate([center, np.log(variance)])


class Loss(NamedTuple):
    """A loss and what it needs to know of the targets."""

    function: Callable[[Array, Array, Array], Value]
    constant: Callable[[Array, Array], Array]  # the best constant prediction, or one close to it
    classes: bool = False  # targets are class numbers
    outputs: int = 1  # outputs of the network per target
    regression: bool = True  # targets have a unit, and so can be standardised
    logarithmic: bool = False  # a log-likelihood: a difference says what a ratio does of others


LOSSES = {
    "mse": Loss(mse, mean),
    "mae": Loss(mae, median),
    "huber": Loss(huber, median),
    "cross_entropy": Loss(
        cross_entropy, log_shares, classes=True, regression=False, logarithmic=True
    ),
    "binary_cross_entropy": Loss(binary_cross_entropy, logit, regression=False, logarithmic=True),
    "gaussian_nll": Loss(gaussian_nll, mean_and_log_variance, outputs=2, logarithmic=True),
}

# by the loss: what `fit` hands on is the function
CURVATURES: dict[Callable[..., Value], Callable[..., Array]] = {
    mse: mse_curvature,
    mae: mae_curvature,
    huber: huber_curvature,
    cross_entropy: cross_entropy_curvature,
    binary_cross_entropy: binary_cross_entropy_curvature,
    gaussian_nll: gaussian_nll_curvature,
}
