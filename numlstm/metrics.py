"""Measures of predictions, in the units of the data: what `metrics=` of `numlstm.fit` names.

Truths and predictions are arrays (N,), or (N, O) or (B, T, O) of several outputs, of which the mean
is given, or lists of series; frames and DataArrays must have the same labels. Outputs of the same
names go by name, in any order, and those of other names by position. A NaN among the truths is left
out; where a measure is undefined, it is NaN.
"""

from typing import Any

import numpy as np

from numlstm.data import labels
from numlstm.data.changes import naive_changes
from numlstm.data.sequences import is_list, with_axes
from numlstm.objectives.scores import UNDEFINED, Sums, measured, naive_error
from numlstm.utils import checks, notices
from numlstm.utils.types import Array

__all__ = ["accuracy", "kge", "mae", "mase", "nse", "r2", "rmse"]


def rmse(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Root of the mean squared error, sqrt(mean((p - y)^2)).

    Parameters
    ----------
    y_true : array_like, shape (N,), (N, O) or (B, T, O), or list of series (T_i,) or (T_i, O)
        What was observed; NaN where nothing was.
    y_pred : array_like or list, of the same shape
        What was predicted; a last axis of 1 may be more, as `LSTM.predict` gives it.
    sample_weight : array_like or list, optional
        Weights that broadcast to `y_true`, or of its first axes.

    Returns
    -------
    value : float
        In the units of y; of several outputs the mean.

    Raises
    ------
    ValueError, TypeError
        For shapes or labels that do not fit each other, infinite truths, predictions that are not
        finite beside a truth, and weights below zero.

    Warns
    -----
    UserWarning
        Where the value is NaN, as without any truth.

    Examples
    --------
    >>> from numlstm import metrics
    >>> metrics.rmse([1.0, 2.0, float("nan")], [1.0, 4.0, 9.0]) == 2**0.5
    True
    """
    return _of_arrays("rmse", y_true, y_pred, sample_weight)


def mae(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Mean absolute error, mean(abs(p - y)).

    Parameters
    ----------
    y_true, y_pred, sample_weight : array_like
        As in `rmse`.

    Returns
    -------
    value : float
        In the units of y; of several outputs the mean.

    Raises
    ------
    ValueError, TypeError
        As `rmse`.

    Warns
    -----
    UserWarning
        As `rmse`.

    Examples
    --------
    >>> from numlstm import metrics
    >>> metrics.mae([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    return _of_arrays("mae", y_true, y_pred, sample_weight)


def r2(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Coefficient of determination, 1 - sum((p - y)^2) / sum((y - mean(y))^2).

    Parameters
    ----------
    y_true, y_pred, sample_weight : array_like
        As in `rmse`.

    Returns
    -------
    value : float
        1 for perfect predictions, 0 for those of the mean; of several outputs the mean. NaN where
        all truths are the same, of which scikit-learn says 0 or 1.

    Raises
    ------
    ValueError, TypeError
        As `rmse`.

    Warns
    -----
    UserWarning
        As `rmse`.

    Examples
    --------
    >>> from numlstm import metrics
    >>> metrics.r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    return _of_arrays("r2", y_true, y_pred, sample_weight)


def nse(y_true: Any, y_pred: Any) -> float:
    """Nash-Sutcliffe efficiency, 1 - sum((p - y)^2) / sum((y - mean(y))^2).

    For one series it is the number that `r2` is. Of several series all targets count together here;
    in a fit "nse" is the median of those of the series: ``y.groupby("station")`` of pandas has each
    by itself.

    Parameters
    ----------
    y_true, y_pred : array_like
        As in `rmse`.

    Returns
    -------
    value : float
        1 for perfect predictions, 0 for those of the mean; of several outputs the mean. NaN where
        all truths are the same.

    Raises
    ------
    ValueError, TypeError
        As `rmse`.

    Warns
    -----
    UserWarning
        As `rmse`.

    References
    ----------
    Nash & Sutcliffe (1970), "River flow forecasting through conceptual models part I", Journal of
    Hydrology 10(3), eq. 3.

    Examples
    --------
    >>> from numlstm import metrics
    >>> metrics.nse([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    return _of_arrays("nse", y_true, y_pred)


def kge(y_true: Any, y_pred: Any) -> float:
    """Kling-Gupta efficiency, 1 - sqrt((r - 1)^2 + (alpha - 1)^2 + (beta - 1)^2).

    r is the linear correlation of predictions and truths, alpha the ratio of their standard
    deviations and beta that of their means. Of several series all targets count together here; in a
    fit "kge" is the median of those of the series.

    Parameters
    ----------
    y_true, y_pred : array_like
        As in `rmse`.

    Returns
    -------
    value : float
        1 for perfect predictions, 1 - sqrt(2) for those of about the mean; of several outputs the
        mean. NaN where all truths are the same, or all predictions, or the mean truth is 0.

    Raises
    ------
    ValueError, TypeError
        As `rmse`.

    Warns
    -----
    UserWarning
        As `rmse`.

    References
    ----------
    Gupta, Kling, Yilmaz & Martinez (2009), "Decomposition of the mean squared error and NSE
    performance criteria", Journal of Hydrology 377(1-2), eqs. 9 and 10.

    Examples
    --------
    >>> from numlstm import metrics
    >>> round(metrics.kge([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), 12)
    1.0
    """
    return _of_arrays("kge", y_true, y_pred)


def mase(y_true: Any, y_pred: Any, y_train: Any, *, sample_weight: Any = None) -> float:
    """Mean absolute scaled error: `mae` over that of a naive forecast on the training data.

    The naive forecast is the last value: its error is the mean of abs(y[t] - y[t - 1]) over
    neighbours that were both observed.

    Parameters
    ----------
    y_true, y_pred : array_like
        As in `rmse`.
    y_train : array_like, shape (T,), (T, O) or (B, T, O), or list of arrays
        The series that were learned from, in the order of time.
    sample_weight : array_like, optional
        As in `rmse`.

    Returns
    -------
    value : float
        Below 1 where the predictions are better than the naive forecast was; of several outputs
        the mean. NaN where nothing changes in `y_train`.

    Raises
    ------
    ValueError, TypeError
        As `rmse`.

    Warns
    -----
    UserWarning
        As `rmse`.

    References
    ----------
    Hyndman & Koehler (2006), "Another look at measures of forecast accuracy", International Journal
    of Forecasting 22(4), section 3.

    Examples
    --------
    >>> from numlstm import metrics
    >>> metrics.mase([4.0, 5.0], [5.0, 6.0], y_train=[0.0, 2.0, 0.0])
    0.5
    """
    names = labels.same_names(labels.read("y_true", y_true), "y_train", y_train, None)
    given = labels.read("y_train", y_train, names).stepwise
    parts = given if is_list(given) else [given]
    series = [checks.array("y_train", part, "float64", finite=False) for part in parts]
    changes = sum(map(_changes, series), np.zeros((2, 1)))
    return _of_arrays("mase", y_true, y_pred, sample_weight, naive=naive_error(changes))


def accuracy(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """Share of right classes, mean(p == y).

    Parameters
    ----------
    y_true : array_like, shape (N,), (N, O) or (B, T, O)
        Classes as numbers; NaN where there is none.
    y_pred : array_like, of the same shape
        Predicted classes, not logits: ``logits.argmax(axis=-1)``.
    sample_weight : array_like, optional
        As in `rmse`.

    Returns
    -------
    value : float
        Between 0 and 1; of several outputs the mean.

    Raises
    ------
    ValueError, TypeError
        As `rmse`.

    Warns
    -----
    UserWarning
        As `rmse`.

    Examples
    --------
    >>> from numlstm import metrics
    >>> metrics.accuracy([0, 1, 2, 1], [0, 1, 1, 1])
    0.75
    """
    return _of_arrays("accuracy", y_true, y_pred, sample_weight)


def _changes(series: Array) -> Array:
    rows = series[None, :, None] if series.ndim == 1 else series.reshape(-1, *series.shape[-2:])
    return naive_changes(rows, ~np.isnan(rows))


def _of_arrays(
    name: str, y_true: Any, y_pred: Any, sample_weight: Any = None, naive: Any = np.nan
) -> float:
    """A measure of arrays as they were given."""
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    with np.errstate(all="ignore"):
        sums = Sums.none(1, true.shape[1])
        sums.add(true, pred, weight, np.zeros(len(true), np.int64))
        value = float(measured(name, sums, naive).mean())
    if np.isnan(value):
        notices.warn(f"{name} is NaN, for it is undefined here: {UNDEFINED[name]}")
    return value


def _columns(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Truths, predictions and weights (N, O), 0 where there is no truth; labels must agree."""
    given = labels.read("y_true", y_true)
    names = labels.same_names(given, "y_pred", y_pred, given)
    true, pred = given.stepwise, labels.companion(given, "y_pred", y_pred, names).stepwise
    names = labels.same_names(given, "sample_weight", sample_weight, given)
    weight = labels.beside(given, "sample_weight", sample_weight, names)
    if not is_list(true):
        return _flat(true, pred, weight)
    if len(pred) != len(true) or (weight is not None and len(weight) != len(true)):
        raise ValueError(
            f"y_true is a list of {len(true)} series, y_pred and sample_weight must be as many"
        )
    weights = [None] * len(true) if weight is None else weight
    parts = [_flat(*part) for part in zip(true, pred, weights, strict=True)]
    columns = zip(*parts, strict=True)
    truths, predictions, shares = (np.concatenate(column) for column in columns)
    return truths, predictions, shares


def _flat(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
    true = checks.array("y_true", y_true, "float64", finite=False)
    pred = checks.array("y_pred", y_pred, "float64", finite=False)
    if pred.shape == (*true.shape, 1):
        true = true[..., None]
    elif true.shape == (*pred.shape, 1):  # a column, as of a series with levels
        pred = pred[..., None]
    if true.shape != pred.shape or true.ndim not in (1, 2, 3):
        raise ValueError(
            "y_true and y_pred must have one shape, (N,), (N, O) or (B, T, O); received "
            f"{true.shape} and {pred.shape}"
        )
    there = ~np.isnan(true)
    checks.require_finite("y_true", np.where(there, true, 0.0))
    checks.require_finite("y_pred", np.where(there, pred, 0.0))  # where there is a truth
    weight = np.where(there, _weights(sample_weight, true.shape), 0.0)
    outputs = true.shape[-1] if true.ndim > 1 else 1
    true, pred, weight = (part.reshape(-1, outputs) for part in (true, pred, weight))
    return true, pred, weight


def _weights(sample_weight: Any, shape: tuple[int, ...]) -> Array:
    if sample_weight is None:
        return np.ones(shape)
    weight = checks.array("sample_weight", sample_weight, "float64")
    if (weight < 0).any():
        raise ValueError(f"sample_weight must not be negative, received {weight.min()}")
    try:
        return np.broadcast_to(with_axes(weight, len(shape)), shape)
    except ValueError:
        raise ValueError(
            f"sample_weight must broadcast to y_true of shape {shape}, or be of its first axes; "
            f"received {weight.shape}"
        ) from None
