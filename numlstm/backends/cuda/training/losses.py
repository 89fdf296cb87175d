"""Losses on the device: the sum of the weighted losses and its gradient, see `numlstm.optim`.

A function here has the equations of one target: its value and its slopes. The kernels put them,
times the weight of the target, into the terms of the sum and into the gradient.
"""

import math
from functools import cache

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.memory import empty, flat, over_elements
from numlstm.backends.cuda.device.sums import in_type, total
from numlstm.backends.cuda.device.target import cuda
from numlstm.cell.elementary import clip, compilable, like, where

VARIANCE_FLOOR = 1e-6
LARGEST_LOG = 80.0  # of a variance: its exp is finite in float32


def evaluate(name, prediction, target, weight, scale):
    """(total, gradient): the sum of weight * scale * loss, float64 (1,), and its gradient.

    prediction (..., W); target and weight (..., W), (..., W / 2) for "gaussian_nll", or (...) for
    "cross_entropy", whose targets are int64; scale (1,) in float64. All are C-contiguous.
    """
    *leading, width = prediction.shape
    rows, dtype = math.prod(leading), prediction.dtype
    terms, gradient = empty(target.size, dtype), empty(prediction.shape, dtype)
    over_elements(
        KERNELS[name],
        target.size,
        prediction.reshape(rows, width),
        flat(target),
        flat(weight),
        in_type(scale, dtype),
        terms,
        gradient.reshape(rows, width),
    )
    return total(terms), gradient


# --- the equations of a target --------------------------------------------------------------------


@compilable()
def mse(p, y):
    """(p - y)^2."""
    error = p - y
    return error * error, error + error


@compilable()
def mae(p, y):
    """abs(p - y)."""
    error, zero, one = p - y, like(p, 0.0), like(p, 1.0)
    return abs(error), where(error > zero, one, where(error < zero, -one, error))


@compilable()
def huber(p, y):
    """(p - y)^2 / 2 up to 1, abs(p - y) - 1/2 beyond."""
    error = p - y
    slope = clip(error, 1.0)
    return slope * (error - like(p, 0.5) * slope), slope


@compilable()
def binary_cross_entropy(p, y):
    """-y log s - (1 - y) log(1 - s), s = 1 / (1 + exp(-p))."""
    zero, one = like(p, 0.0), like(p, 1.0)
    exp = like(p, math.exp(-abs(p)))  # at most 1, whatever the logit
    value = where(p > zero, p, zero) - p * y + like(p, math.log1p(exp))
    return value, where(p >= zero, one, exp) / (one + exp) - y


@compilable()
def gaussian_nll(mean, log_variance, y):
    """(log v + (y - m)^2 / v) / 2, v = exp(log_variance) + floor; slopes of m and log_variance."""
    zero, half, one = like(mean, 0.0), like(mean, 0.5), like(mean, 1.0)
    top = like(mean, LARGEST_LOG)
    exp = like(mean, math.exp(where(log_variance > top, top, log_variance)))
    error, variance = mean - y, exp + like(mean, VARIANCE_FLOOR)
    ratio = error / variance
    value = half * (like(mean, math.log(variance)) + error * ratio)
    slope, share = half * (one / variance - ratio * ratio) * exp, exp / variance
    if slope - slope != zero:  # the square of a ratio overflows, and exp may be 0
        slope = half * (share - share * ratio * error)
    return value, ratio, where(log_variance > top, zero, slope)


# --- kernels --------------------------------------------------------------------------------------
# N rows of predictions, prediction and gradient (N, W), for n targets: N W, N W / 2 or N of them;
# target, weight and terms (n,), scale (1,)


@cache
def one_by_one(loss):
    """The kernel of a loss whose targets have an output each."""

    @kernel
    def terms_and_gradient(prediction, target, weight, scale, terms, gradient):
        """terms, gradient = w (value, slope)."""
        width = prediction.shape[1]
        for i in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
            row, column, w = i // width, i % width, weight[i] * scale[0]
            value, slope = loss(prediction[row, column], target[i])
            terms[i] = w * value
            gradient[row, column] = w * slope

    return terms_and_gradient


@kernel
def means_and_variances(prediction, target, weight, scale, terms, gradient):
    """terms, gradient = w (value, slopes), the means in the first half of a row."""
    outputs = prediction.shape[1] // 2
    for i in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        row, column, w = i // outputs, i % outputs, weight[i] * scale[0]
        mean, log_variance = prediction[row, column], prediction[row, outputs + column]
        value, d_mean, d_log_variance = gaussian_nll(mean, log_variance, target[i])
        terms[i] = w * value
        gradient[row, column] = w * d_mean
        gradient[row, outputs + column] = w * d_log_variance


@kernel
def classes(prediction, target, weight, scale, terms, gradient):
    """terms, gradient = w (-log s[class], s - 1 for the class, s for others), s = softmax(p)."""
    width = prediction.shape[1]
    for i in range(cuda.grid(1), target.shape[0], cuda.gridsize(1)):
        w, top = weight[i] * scale[0], prediction[i, 0]
        for k in range(1, width):
            top = where(prediction[i, k] > top, prediction[i, k], top)
        norm = like(top, 0.0)
        for k in range(width):
            exp = like(top, math.exp(prediction[i, k] - top))
            gradient[i, k] = exp
            norm += exp
        for k in range(width):
            here = like(top, 1.0 if k == target[i] else 0.0)
            gradient[i, k] = w * (gradient[i, k] / norm - here)
        terms[i] = w * (like(top, math.log(norm)) - (prediction[i, target[i]] - top))


KERNELS = {
    "mse": one_by_one(mse),
    "mae": one_by_one(mae),
    "huber": one_by_one(huber),
    "cross_entropy": classes,
    "binary_cross_entropy": one_by_one(binary_cross_entropy),
    "gaussian_nll": means_and_variances,
}
