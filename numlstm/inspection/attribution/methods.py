"""Attributions by gradients: how much of a prediction every input brought."""

from typing import Any

import numpy as np

from numlstm.data import labels
from numlstm.inspection.attribution.point import Asked, Reading, read
from numlstm.inspection.attribution.quadrature import (
    END,
    Gradients,
    Quadrature,
    gauss_legendre,
    gradients,
    predictions,
)
from numlstm.inspection.attribution.result import Attribution
from numlstm.inspection.sequences import network_of
from numlstm.inspection.target import Explained, explained
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, notices
from numlstm.utils.types import Array

_INCOMPLETE = 0.01  # of the sum of the absolute attributions


def gradient_x_input(
    model: Any,
    X: Any,
    *,
    output: Any = None,
    step: Any = None,
    ahead: int | None = None,
    of: str = "output",
    baseline: Any = "mean",
    lengths: Any = None,
    reset: Any = None,
    static: Any = None,
    future: Any = None,
) -> Attribution:
    """Gradient times input: how much of a prediction every input brings, to first order.

    The gradient of one output at one step by every input before it, times the difference of the
    input to a baseline. One backward pass, exact where the network is linear. Where it saturates
    the gradient is small though the input matters: `integrated_gradients` then says more.

    Parameters
    ----------
    model : LSTM, LSTMRegressor or LSTMClassifier
        A trained network, or an estimator that has one.
    X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
        Inputs in the units of the data, in any of the forms that `numlstm.LSTM.predict` takes.
    output : int, str or a label, optional
        Which output is explained, by place or by name; of a classifier the label, of an `LSTM` that
        classifies the number, of the class. Default: the only one; where a log-variance stands
        beside it, the mean.
    step : int or date, or array_like of these, shape (B,), optional
        Which step is explained, one for all or each sequence its own; below 0 from the end of each.
        Where X has dates one of them in any form, as "2014-06-21" or a Timestamp. Of a model
        trained on windows it is the end of the window that is read. Default: the last one of every
        sequence.
    ahead : int, optional
        Of a model with a `horizon` how many steps ahead the forecast is that is explained, from 1
        on; `output` is then that of the targets of a step.
    of : {"output", "logit", "probability", "sigmoid"}, optional
        What of the output is explained: itself, as `predict` gives it, or of a classifier the
        probability of the class, by a softmax over all outputs, by the sigmoid of a single one. For
        several targets of the loss "binary_cross_entropy" pass "sigmoid". "logit" is "output" of a
        classifier, and refused for other models.
    baseline : {"mean", "zeros"}, array_like or mapping, optional
        What the inputs are compared with, in the units of the data: the mean of the training inputs
        (zero for a network that standardises nothing), zeros, an array that broadcasts to X, its
        features in the order of X, or what has labels of X, as ``X.assign(rain=0)`` of a frame, or
        one number for each feature by name, as ``X.mean()``. Where the model
        fills missing values, a baseline was observed, unless it is NaN. "mean" and "zeros" are for
        all inputs. What is given for X is for X alone: the baseline then has the `static` and
        `future` of each sequence itself, which so bring nothing. A mapping has entries for "X",
        "static" and "future", of which those left out are the mean.
    lengths, reset, static, future : optional
        As in `numlstm.LSTM.predict`.

    Returns
    -------
    attribution : Attribution
        `values` (B, T, I) in the units of the prediction, and what they should add up to. The
        completeness error is the one of a first-order expansion.

    Raises
    ------
    ValueError, TypeError
        As `numlstm.LSTM.predict`, and for an output, a step or a baseline that there is not.

    See Also
    --------
    integrated_gradients : The same along the way from the baseline, complete.

    References
    ----------
    Shrikumar, Greenside, Shcherbina & Kundaje (2016), "Not just a black box: learning important
    features through propagating activation differences", arXiv:1605.01713.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> model = numlstm.LSTM(2, 4, 1, rng=0)
    >>> X = np.random.default_rng(0).standard_normal((3, 10, 2))
    >>> found = inspection.gradient_x_input(model, X, step=6)
    >>> found.values.shape, bool((found.values[:, 7:] == 0).all())
    ((3, 10, 2), True)
    """
    own, what, X, static = _asked(model, X, static, output, ahead, of)
    asked = Asked(X, step, baseline, lengths, reset, static, future)
    return _attribution(own, what, asked, END)


def integrated_gradients(
    model: Any,
    X: Any,
    *,
    output: Any = None,
    step: Any = None,
    ahead: int | None = None,
    of: str = "output",
    baseline: Any = "mean",
    num_steps: int = 64,
    lengths: Any = None,
    reset: Any = None,
    static: Any = None,
    future: Any = None,
) -> Attribution:
    """Integrated gradients: how much of a prediction every input brings, complete.

    The gradients of one output at one step, averaged along the straight way from a baseline to the
    inputs, times the difference of both. They add up to the difference of the two predictions, in
    the units of the data; what the quadrature leaves of that is returned, and said where it is
    much.

    Parameters
    ----------
    model : LSTM, LSTMRegressor or LSTMClassifier
        A trained network, or an estimator that has one.
    X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
        Inputs in the units of the data, in any of the forms that `numlstm.LSTM.predict` takes.
    output, step, ahead, of, baseline : optional
        What is explained, and what it is compared with, as in `gradient_x_input`.
    num_steps : int, optional
        Number of points on the way, those of Gauss and Legendre.
    lengths, reset, static, future : optional
        As in `numlstm.LSTM.predict`.

    Returns
    -------
    attribution : Attribution
        `values` (B, T, I) in the units of the prediction, with the completeness error. Attributes
        of the sequences and features known ahead have attributions of their own, `static` and
        `future`.

    Raises
    ------
    ValueError, TypeError
        As `numlstm.LSTM.predict`, and for an output, a step or a baseline that there is not.

    Warns
    -----
    UserWarning
        Where the completeness error is above 1 % of the sum of the absolute attributions: there
        are too few points, or the prediction jumps on the way, as between two states in which the
        network stays, and a baseline nearer to X is needed.

    See Also
    --------
    lag_importance : Attributions by how long ago an input was.

    Notes
    -----
    A network of which a prediction at a step is explained is read up to this step, all points of
    the way as rows of a batch, in chunks of some 64 MiB, but at least one sequence at one point: of
    a long one the whole pass is held, some 2 kB for a step of 64 units. Gradients of the parameters
    are not computed.

    References
    ----------
    Sundararajan, Taly & Yan (2017), "Axiomatic attribution for deep networks", Proceedings of the
    34th International Conference on Machine Learning, equations 1 to 3, with the rule of Gauss and
    Legendre in place of the Riemann sum.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> model = numlstm.LSTM(2, 4, 1, dtype="float64", rng=0)
    >>> X = np.random.default_rng(0).standard_normal((3, 10, 2))
    >>> found = inspection.integrated_gradients(model, X)
    >>> difference = found.prediction - found.baseline_prediction
    >>> bool(np.allclose(found.values.sum(axis=(1, 2)), difference, atol=1e-12))
    True
    """
    rule = gauss_legendre(checks.size("num_steps", num_steps))
    own, what, X, static = _asked(model, X, static, output, ahead, of)
    asked = Asked(X, step, baseline, lengths, reset, static, future)
    found = _attribution(own, what, asked, rule)
    _warn_if_incomplete(found, num_steps)
    return found


def _asked(
    model: Any, X: Any, static: Any, output: Any, ahead: int | None, of: str
) -> tuple[LSTM, Explained, Any, Any]:
    """The network, what of it is explained, and the inputs as it takes them."""
    classes = getattr(model, "classes_", None)
    own, X, static = network_of(model, X, static)
    return own, explained(own, output, ahead, of, classes), X, static


def _attribution(model: LSTM, what: Explained, asked: Asked, rule: Quadrature) -> Attribution:
    reading = read(model, asked)
    with labels.named(reading.given):
        values, baseline_values = predictions(model, what, reading.point)
    found = gradients(model, what, reading.point, rule)
    by_column, by_static = _products(what, reading, found)
    model._derived().range.require_results("the attribution", (by_column, by_static))
    by_feature, by_future = _by_feature(model, reading, by_column)
    sums = by_column.sum(axis=(1, 2))
    if by_static is not None:
        sums = sums + by_static.sum(axis=1)
    fields = (
        by_feature,
        values,
        baseline_values,
        sums - (values - baseline_values),
        reading.baseline[..., : model.num_features],
        *(reading.steps, reading.start, reading.stop),
        what.name,
        reading.given.features or model.names.features,
        by_static,
        by_future,
    )
    return Attribution.of(fields, reading.given, reading.form, model.names)


def _products(what: Explained, reading: Reading, found: Gradients) -> tuple[Array, Array | None]:
    """Differences to the baseline times gradients, in the units of the prediction."""
    point = reading.point
    moved = point.inputs.X.astype(np.float64) - point.baseline
    by_column, by_static = moved * found.X * what.factor, None
    if point.static_baseline is not None:
        assert point.inputs.static is not None
        assert found.static is not None
        moved = point.inputs.static.astype(np.float64) - point.static_baseline
        by_static = moved * found.static * what.factor
    return by_column, by_static


def _by_feature(model: LSTM, reading: Reading, by_input: Array) -> tuple[Array, Array | None]:
    """From what the network reads, (B, W, N), to the columns of X (B, T, I), and of `future`."""
    if model.filling is not None:  # values, then whether they were observed
        values, observed = np.split(by_input, 2, axis=2)
        by_input = values + observed
    rows, steps, columns = reading.rows.X.shape
    placed = np.zeros((rows, steps, columns))
    width = by_input.shape[1]
    t = reading.start[:, None] + np.arange(width)
    there = t < reading.stop[:, None]
    row = np.broadcast_to(np.arange(rows)[:, None], t.shape)
    placed[row[there], t[there]] = by_input[there]
    own = model.num_features
    if model.ahead is None or not model.num_future:
        return placed, None
    count, known = model.ahead.steps, model.num_future
    by_future = np.zeros((rows, steps + count, known))
    for k in range(count):  # beside a step stand those of the next ones
        read_there = placed[..., own + k * known : own + (k + 1) * known]
        by_future[:, k + 1 : k + 1 + steps] += read_there
    return np.ascontiguousarray(placed[..., :own]), by_future


def _warn_if_incomplete(found: Attribution, num_steps: int) -> None:
    """Say that the quadrature leaves much of the difference of the predictions."""
    total = np.abs(found.values).sum(axis=(1, 2))
    for part in (found.static, found.future):
        if part is not None:
            total = total + np.abs(part).sum(axis=tuple(range(1, part.ndim)))
    error = np.abs(found.completeness_error)
    share = error / np.where(total > 0, total, 1.0)
    many = int((share > _INCOMPLETE).sum())
    if many:
        worst = int(share.argmax())
        notices.warn(
            f"the attributions of {many} of {len(share)} sequence(s) do not add up to the "
            f"difference of the predictions: of sequence {worst} {error[worst]:.3g} is left, "
            f"{100 * share[worst]:.2g} % of all of them. Pass more num_steps than {num_steps}; if "
            "more steps do not help, the prediction jumps on the way from the baseline: choose a "
            "nearer baseline"
        )
