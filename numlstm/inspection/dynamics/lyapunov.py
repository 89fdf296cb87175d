"""Lyapunov exponents of a network that is driven by data, or that runs on its own forecasts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from numlstm.inspection.dynamics import jacobians
from numlstm.inspection.dynamics.readout import feedback, require_dynamics, require_own_inputs
from numlstm.inspection.sequences import Given, Inspected, read
from numlstm.model.lstm import LSTM
from numlstm.network.derivatives import Run, state_size
from numlstm.network.network import Network
from numlstm.utils import checks
from numlstm.utils.types import Array

_PARTS = 10  # of a run, whose exponents are compared for the error


class LyapunovExponents(NamedTuple):
    """By how much small differences of the state grow, in K directions.

    Of one series the first axis is left out.

    Attributes
    ----------
    exponents : ndarray, shape (B, K)
        The largest exponents, in falling order: per step, or per unit of time.
    error : ndarray, shape (B, K)
        Their standard errors, from the scatter of ten parts of the run; NaN of runs of less than
        ten steps.
    """

    exponents: Array
    error: Array


def lyapunov_exponents(
    model: Any,
    X: Any,
    *,
    steps: int | None = None,
    num_exponents: int | None = None,
    discard: int | None = None,
    dt: float = 1.0,
    lengths: Any = None,
    static: Any = None,
    future: Any = None,
) -> LyapunovExponents:
    """Lyapunov exponents of the state (h, c) along a trajectory.

    Without `steps` the network is driven by X: negative exponents say that it forgets the state in
    which it began, and how fast. The largest one says how long that takes: after -1 / exponent
    steps 1/e of a difference is left. That may be longer than the `time_constants` of all cells,
    since hidden states remember too. With `steps` the network reads X and then runs on its own
    forecasts, as `LSTM.rollout` does: the exponents are those of the dynamics that it has learned,
    and a positive one is chaos.

    Parameters
    ----------
    model : LSTM or LSTMRegressor
        A trained network, or an estimator that has one.
    X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
        What drives the network or, with `steps`, what it reads first; in the units of the data.
    steps : int, optional
        How many steps it runs on its own forecasts.
    num_exponents : int, optional
        How many of the largest ones, K. Default: all S = num_layers * (P + H).
    discard : int, optional
        Number of first steps, of those that count, on which the directions only turn to those that
        grow most. Default: a tenth of those of each sequence.
    dt : float, optional
        Time of a step, by which the exponents are divided. Default: they are per step.
    lengths, static, future : optional
        As in `LSTM.predict`; a free run takes `static` alone.

    Returns
    -------
    found : LyapunovExponents
        Exponents and their errors for each sequence. An exponent is minus infinity where all is
        forgotten at once. Directions in which the network does not move have arbitrary very
        negative ones.

    Raises
    ------
    ValueError, TypeError
        As `LSTM.predict` and `LSTM.rollout`; for a bidirectional network and for a model of
        windows, which carry no state from step to step; for a free run of a model that needs
        other inputs than its own forecasts.

    Notes
    -----
    Tangent vectors are multiplied by the Jacobian of every step and made orthogonal again, by QR;
    the exponents are the means of the logarithms of the diagonals of R (Benettin et al. 1980;
    Eckmann & Ruelle 1985). A free run has the Jacobian of the closed loop, in which the input is
    the forecast of the state before. Jacobians are held for some steps at a time.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15, 9-30.

    Eckmann & Ruelle (1985), Reviews of Modern Physics 57(3), 617-656.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> model = numlstm.LSTM(1, 4, 1, dtype="float64", rng=0)
    >>> series = np.sin(np.arange(300))
    >>> driven = inspection.lyapunov_exponents(model, series, num_exponents=2)
    >>> driven.exponents.shape, bool((driven.exponents < 0).all())
    ((2,), True)
    >>> inspection.lyapunov_exponents(model, series, steps=500, num_exponents=2).exponents.shape
    (2,)
    """
    seen = read(model, X, Given(lengths, None, static, future))
    own = seen.model
    require_dynamics(own)
    network = own.network.on_host
    size = state_size(network)
    count = size if num_exponents is None else checks.size("num_exponents", num_exponents)
    if count > size:
        raise ValueError(
            f"num_exponents must be at most {size}, the numbers of a state, received {count}"
        )
    dt = checks.real("dt", dt, above=0.0)
    if steps is None:
        run, ends = seen.run(), seen.lengths
        jacobians = _driven(network, run)
    else:
        run, ends = _free_run(seen, checks.size("steps", steps))
        jacobians = _closed(own, network, run)
    first = _discarded(discard, ends)
    growth = _growth(jacobians, (len(ends), size, count))
    found = _means(growth, ends, first)
    order = np.argsort(-found.exponents, axis=1, kind="stable")
    parts = (np.take_along_axis(part, order, axis=1) / dt for part in found)
    return LyapunovExponents(*(part[0] if seen.form.kind == "series" else part for part in parts))


def _free_run(seen: Inspected, steps: int) -> tuple[Run, Array]:
    """The forecasts as inputs, from the state that has read X; and their number, row by row."""
    if seen.rows.lengths is not None:
        raise ValueError("a free run begins behind sequences of the same length: cut X to it")
    model = seen.model
    require_own_inputs(model)
    warm = seen.rows.X.astype(np.float64)
    static = None if seen.static is None else np.reshape(seen.static, (len(warm), -1))
    Y = model.rollout(warm, steps, static=static)
    _require_run(Y, model.spec.dtype)
    network, before = model.network.on_host, seen.run()
    given = network.pack(model.theta), before.X, None, None
    _, state, _ = network.forward(*given, static=before.static)
    free = seen._replace(rows=seen.rows._replace(X=Y)).run()
    return free._replace(state=state), np.full(len(Y), steps)


def _driven(network: Network, run: Run) -> Iterator[Array]:
    """Jacobians along given inputs, in slices."""
    for part in jacobians.forwards(network, run):
        yield part.linear.by_state


def _require_run(Y: Array, dtype: str) -> None:
    """Refuse forecasts (B, S, O) that grow beyond all numbers."""
    there = np.isfinite(Y).all(axis=2)
    if not there.all():
        raise ValueError(
            f"the free run leaves the range of {dtype} at step {there.all(axis=0).argmin()}: "
            "it diverges, and has no exponents"
        )


def _closed(model: LSTM, network: Network, run: Run) -> Iterator[Array]:
    """Jacobians of the closed loop, in slices: the input is the output of the state before."""
    by_state = feedback(model).matrix
    for part in jacobians.forwards(network, run, need_X=True):
        yield part.linear.by_state + part.linear.by_X @ by_state


def _discarded(discard: Any, ends: Array) -> Array:
    """How many steps of every row do not count, (B,)."""
    shortest = int(ends.min(initial=2**62))
    if shortest < 1:
        raise ValueError("X has a sequence without a step, which has no exponents")
    if discard is None:
        return ends // 10
    number = checks.size("discard", discard, minimum=0)
    if number >= shortest:
        raise ValueError(
            f"discard must leave a step of each sequence: the shortest has {shortest}, received "
            f"{number}"
        )
    return np.full(len(ends), number)


def _growth(jacobians: Iterator[Array], shape: tuple[int, int, int]) -> Array:
    """Logarithms of the growth of orthogonal directions in every step, (B, T, K)."""
    first = np.linalg.qr(np.random.default_rng(0).standard_normal(shape[1:]))[0]
    Q = np.broadcast_to(first, shape)  # the same whatever rows there are beside one
    growth = []
    for part in jacobians:
        for t in range(part.shape[1]):
            Q, R = np.linalg.qr(part[:, t] @ Q)
            growth.append(np.abs(np.diagonal(R, axis1=1, axis2=2)))
    with np.errstate(divide="ignore"):  # what is forgotten at once
        logarithms: Array = np.log(np.stack(growth, axis=1))
    if not (logarithms < np.inf).all():
        raise ValueError(
            "the Jacobians have values that are not finite: the states leave the range of the "
            "dtype, scale the inputs or the weights down"
        )
    return logarithms


def _means(growth: Array, ends: Array, first: Array) -> LyapunovExponents:
    """Means from the first step that counts to each row's end, and their standard errors."""
    shape = len(growth), growth.shape[2]
    means, errors = np.empty(shape), np.full(shape, np.nan)
    for row, end in enumerate(ends):
        kept = growth[row, first[row] : end]
        means[row] = kept.mean(axis=0)
        if len(kept) >= _PARTS and np.isfinite(kept).all():
            parts = np.array([part.mean(axis=0) for part in np.array_split(kept, _PARTS)])
            errors[row] = parts.std(axis=0, ddof=1) / np.sqrt(_PARTS)
    return LyapunovExponents(means, errors)
