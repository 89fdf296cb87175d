"""Standardisation: the units of the data outside, zero mean and unit variance inside."""

from typing import NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.utils.types import Array


class Scaling(NamedTuple):
    """Mean and scale of every input feature and, for regression, of every target.

    Attributes
    ----------
    x_mean, x_scale : ndarray, shape (I,)
        Mean and standard deviation of the inputs, float64.
    y_mean, y_scale : ndarray, shape (O,), or None
        The same of the targets; None where targets have no unit (classes).
    """

    x_mean: Array
    x_scale: Array
    y_mean: Array | None = None
    y_scale: Array | None = None

    def inputs(self, X: Array) -> Array:
        """X (..., I) in the network's units, in the dtype of X."""
        labels.require_plain("X", X)
        return ((X - self.x_mean) / self.x_scale).astype(X.dtype)

    def targets(self, y: Array) -> Array:
        """Targets y (..., O) in the network's units, in the dtype of y."""
        if self.y_mean is None:
            return y
        return ((y - self.y_mean) / self.y_scale).astype(y.dtype)

    def outputs(self, Y: Array) -> Array:
        """Outputs of the network in the units of the targets, in the dtype of Y.

        Twice as many outputs as targets are the means, then the log-variances.
        """
        if self.y_mean is None:
            return Y
        factor, offset = self.of_outputs(Y.shape[-1])
        return (Y * factor + offset).astype(Y.dtype)

    def of_outputs(self, width: int) -> tuple[Array, Array]:
        """Factor and offset of each of `width` outputs, float64: the factor first.

        Log-variances, behind the means, are only moved.
        """
        factor, offset = np.ones(width), np.zeros(width)
        if self.y_mean is not None and self.y_scale is not None:
            targets = self.y_mean.size
            factor[:targets], offset[:targets] = self.y_scale, self.y_mean
            if width > targets:
                offset[targets:] = 2.0 * np.log(self.y_scale)
        return factor, offset


def moments(values: Array, valid: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over the valid entries of `values` (..., N), each (N,).

    A constant feature, or one without a valid entry, gets scale 1.
    """
    axes = tuple(range(values.ndim - 1))
    count = np.maximum(np.sum(valid, axis=axes), 1)
    mean = np.sum(values, axis=axes, where=valid, dtype=np.float64) / count
    square = np.square(values - mean)
    scale = np.sqrt(np.sum(square, axis=axes, where=valid, dtype=np.float64) / count)
    # rounding leaves a constant feature a spread of some ulps of its value
    constant = scale <= 4 * np.finfo(values.dtype).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, scale)
