"""Through which memory an output knows of the past: the cells, or the hidden states."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.inspection.dynamics import jacobians
from numlstm.inspection.dynamics.readout import (
    direct,
    input_means,
    input_names,
    input_scales,
    num_values,
    readout,
    require_states,
)
from numlstm.inspection.sequences import Given, Inspected, network_of, read
from numlstm.inspection.target import explained
from numlstm.model.lstm import LSTM
from numlstm.network.derivatives import Run
from numlstm.utils import checks
from numlstm.utils.types import Array

_QUANTITIES = {"X": "sensitivity (output by input)", "state": "sensitivity (output by state)"}


class MemoryPaths(NamedTuple):
    """What an output owes to every step before it, by the way on which it came.

    Of one series (T, I) the first axis is left out. Lag 0 is the step of the output itself. Where
    a sequence has no step so long ago there is NaN.

    Attributes
    ----------
    total : ndarray, shape (B, L, I) or (B, L, S)
        Derivative of the output by the inputs, or by the state, of the step so many steps ago; or
        its product with the inputs.
    cell : ndarray, same shape
        The part that was kept in cells alone.
    hidden : ndarray, same shape
        The rest, which was in a hidden state at least once when a gate read it.
    names : tuple of str, or None
        Names of the inputs, where they have some.
    quantity : str
        What these are, in words: sensitivities or, times inputs, contributions.
    """

    total: Array
    cell: Array
    hidden: Array
    names: tuple[str, ...] | None = None
    quantity: str = "sensitivity (output by input)"


def memory_paths(
    model: Any,
    X: Any,
    *,
    output: Any = None,
    step: Any = None,
    wrt: str = "X",
    times_input: bool = False,
    lengths: Any = None,
    reset: Any = None,
    static: Any = None,
    future: Any = None,
) -> MemoryPaths:
    """How much of an output came through the cells, and how much through hidden states.

    What an input changes is remembered in two ways: in the cell, c_t = f_t c_(t-1) + i_t g_t, and
    in the hidden state, which the gates of the next step read. The exact derivative of an output by
    the inputs of every step before is the sum over all ways from there to it. `cell` is the sum
    over those on which nothing but cells carried it from each step to the next, `hidden` that over
    the others.

    Parameters
    ----------
    model : LSTM, LSTMRegressor or LSTMClassifier
        A trained network, or an estimator that has one.
    X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
        Sequences in the units of the data, in any of the forms that `LSTM.predict` takes.
    output : int, str or a label, optional
        Which output is explained, as in `gradient_x_input`. Default: the only one.
    step : int or date, or array_like of these, shape (B,), optional
        At which step, one for all or each sequence its own; a negative one counts from the end of
        each. Where X has dates one of them in any form, as "2014-06-21" or a Timestamp. Default:
        each row's last.
    wrt : {"X", "state"}, optional
        Derivatives by the inputs of each step, or by the state after it: the vector of S numbers
        of `LSTM.transitions`, in the network's own units.
    times_input : bool, optional
        Multiply the derivatives by how far the inputs were from their means (from zero in a model
        that has learnt none): what each contributed, to first order, in the units of the output.
    lengths, reset, static, future : optional
        As in `LSTM.predict`.

    Returns
    -------
    paths : MemoryPaths
        Arrays by lag. Derivatives are in the units of the data; of the losses "cross_entropy" and
        "binary_cross_entropy" they are those of logits.

    Raises
    ------
    ValueError, TypeError
        As `LSTM.predict`; for a bidirectional network, which has no state between two steps; for
        an output or a step that there is not.

    Notes
    -----
    With the Jacobians J of the states (h, c) step by step, the derivative v by the state goes back
    as v_(t-1) = J_t^T v_t. The part in cells alone goes back in the same way, but after each step
    what it says of h is set to zero. It is the gradient that Hochreiter & Schmidhuber (1997) used
    in training, where what flows back through the hidden state is cut off. In a stack a layer reads
    the hidden state of the layer below in the same step, which is no memory.

    A model of windows reads each output's own window alone. With ``missing="mask"`` the derivatives
    are those by the value that the network read at a step, also where that had been filled.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Neural Computation 9(8), 1735-1780, appendix A.1.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> model = numlstm.LSTM(2, 4, 1, dtype="float64", rng=0)
    >>> paths = inspection.memory_paths(model, np.ones((3, 10, 2)))
    >>> paths.total.shape, bool(np.allclose(paths.cell + paths.hidden, paths.total))
    ((3, 10, 2), True)
    """
    checks.choice("wrt", wrt, ("X", "state"))
    if checks.flag("times_input", times_input) and wrt == "state":
        raise ValueError("times_input=True multiplies derivatives by inputs: it needs wrt='X'")
    seen = read(model, X, Given(lengths, reset, static, future))
    own = seen.model
    require_states(own)
    what = explained(own, output, None, "output", getattr(model, "classes_", None))
    seen = seen.until(step)
    run = seen.run()
    found = _derivatives(own, run, what.place, wrt)
    own._derived().range.require_results("the derivative", found)
    whole, cell = np.moveaxis(_by_lag(seen, found), 2, 0)
    factor: Any = what.factor
    if times_input:
        away = run.X[..., : num_values(own)]
        if own.scaling is None:  # else the means are zeros of the network's units
            away = away - input_means(own, num_values(own)).astype(away.dtype)
        factor = factor * _by_lag(seen, away[..., None, :])[:, :, 0]
    elif wrt == "X":
        factor = factor / input_scales(own)
    total, through, rest = (
        (factor * part)[0] if seen.form.kind == "series" else factor * part
        for part in (whole, cell, whole - cell)
    )
    names = input_names(own) if wrt == "X" else None
    quantity = "contribution (units of the output)" if times_input else _QUANTITIES[wrt]
    return MemoryPaths(total, through, rest, names, quantity)


def memory_length(
    model: Any,
    X: Any,
    *,
    share: float = 0.9,
    output: Any = None,
    step: Any = None,
    lengths: Any = None,
    reset: Any = None,
    static: Any = None,
    future: Any = None,
) -> Array:
    """The number of last steps that hold most of an output's sensitivity to its inputs.

    Parameters
    ----------
    model : LSTM, LSTMRegressor or LSTMClassifier
        A trained network, or an estimator that has one.
    X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
        Sequences in the units of the data.
    share : float, optional
        Which part of the sensitivity, above 0 and below 1.
    output, step : optional
        Which output is explained, and at which step, as in `memory_paths`.
    lengths, reset, static, future : optional
        As in `LSTM.predict`.

    Returns
    -------
    steps : ndarray of int, shape (B,), or () for one series
        The least m such that the step of the output and the m - 1 before it hold this share of
        the sum over all steps. The sensitivity to a step is the norm of the derivatives by its
        inputs, each in units of its standard deviation in the training. As long as the sequence
        where there is not enough of it: pass longer ones if it comes near to that. 0 where the
        output does not depend on the inputs.

    Raises
    ------
    ValueError, TypeError
        As `memory_paths`; for a share outside of (0, 1).

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> model = numlstm.LSTM(2, 4, 1, dtype="float64", rng=0)
    >>> inspection.memory_length(model, np.ones((3, 50, 2)))
    array([12, 12, 12])
    """
    share = checks.real("share", share, above=0.0, below=1.0)
    asked = {"lengths": lengths, "reset": reset, "static": static, "future": future}
    paths = memory_paths(model, X, output=output, step=step, **asked)
    scales = input_scales(network_of(model, X, static)[0])
    strength = np.linalg.norm(np.nan_to_num(paths.total * scales), axis=-1)
    held = np.cumsum(strength, axis=-1)
    whole = held.max(axis=-1, initial=0.0)  # of no step there is nothing
    enough = held < share * whole[..., None]
    steps: Array = np.where(whole > 0, enough.sum(axis=-1) + 1, 0)
    return steps


def _derivatives(model: LSTM, run: Run, place: int, wrt: str) -> Array:
    """The derivatives of an output by every step, whole and through cells, (B, T, 2, I or S)."""
    network, spec = model.network.on_host, model.spec
    hidden = spec.num_layers * spec.layers[0].output_size
    v = np.tile(readout(model)[place], (len(run.X), 2, 1))
    width = num_values(model) if wrt == "X" else v.shape[-1]
    result = np.empty((*run.X.shape[:2], 2, width))
    for start, there, (by_state, by_X) in jacobians.backwards(network, run, need_X=wrt == "X"):
        for t in reversed(range(there.shape[1])):
            result[:, start + t] = v @ by_X[:, t, :, :width] if wrt == "X" else v
            v = v @ by_state[:, t]
            v[there[:, t], 1, :hidden] = 0
    if wrt == "X" and spec.direct_input and run.X.size:
        ends = run.X.shape[1] if run.lengths is None else run.lengths
        # of the output's own step, without any memory
        result[np.arange(len(result)), ends - 1] += direct(model)[place, :width]
    return result


def _by_lag(seen: Inspected, values: Array) -> Array:
    """Values of every step (B, T, ...) by how long before each row's last it was, NaN before."""
    step = seen.lengths[:, None] - 1 - np.arange(values.shape[1])
    step = step.reshape(*step.shape, *(1,) * (values.ndim - 2))
    lagged = np.take_along_axis(values, np.maximum(step, 0), axis=1)
    return np.where(step >= 0, lagged, np.nan)
