"""States in which a network stays, and whether it comes back to them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import root

from numlstm.architecture.spec import State
from numlstm.data import labels
from numlstm.data.labels import vectors
from numlstm.inspection.dynamics.readout import (
    Feedback,
    direct,
    feedback,
    head_bias,
    input_names,
    readout,
    require_dynamics,
    require_own_inputs,
)
from numlstm.inspection.sequences import Given, Inspected, read
from numlstm.model.continuation import Rows
from numlstm.model.lstm import LSTM
from numlstm.network.derivatives import (
    Run,
    as_state,
    as_vectors,
    linearised,
    state_size,
    states_before,
)
from numlstm.network.network import Network, network_on
from numlstm.utils import checks
from numlstm.utils.types import Array

_SAME = 1e-6  # distance of states that are one, by their size
_SLOW = 1e-3  # change in a step, by the size, of a state that is nearly at rest
_LATER = 1000  # steps after which a network is looked at again


class FixedPoints(NamedTuple):
    """The N fixed points that were found, those first to which most starts led.

    Attributes
    ----------
    state : State
        h (num_layers, N, P) and c (num_layers, N, H), as `LSTM.forward` takes them.
    output : ndarray, shape (N, O)
        The outputs there, in the units of the data.
    residual : ndarray, shape (N,)
        Norm of the change of the state in a step, in the network's own units.
    eigenvalues : ndarray of complex, shape (N, S)
        Those of the Jacobian there, by falling modulus.
    stable : ndarray of bool, shape (N,)
        Whether all of these are within the unit circle: small changes die out.
    starts : ndarray of int, shape (N,)
        How many starts led to each.
    failed : int
        How many starts led to none of them: the solver was caught where the change of the state
        is least but not zero, and from there the network does not come to rest by itself. That
        does not say that there is no fixed point; more starts may find one.
    """

    state: State
    output: Array
    residual: Array
    eigenvalues: Array
    stable: Array
    starts: Array
    failed: int


def fixed_points(
    model: Any,
    X: Any,
    *,
    x: Any = None,
    num_starts: int = 64,
    tol: float = 1e-10,
    lengths: Any = None,
    static: Any = None,
    future: Any = None,
    rng: Any = 0,
) -> FixedPoints:
    """Fixed points of a network with a constant input, or on its own forecasts.

    They are the skeleton of what a network does: memories that it holds are stable ones, decisions
    are taken at saddles. Solutions of F(s) = s for the map F from a state s = (h, c) to the next
    are sought from states along the trajectories of X, since those far from the data mean nothing.

    Parameters
    ----------
    model : LSTM or LSTMRegressor
        A trained network, or an estimator that has one.
    X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
        Sequences in the units of the data, among whose states the starts are drawn.
    x : array_like, shape (I,), or mapping or Series of the names, optional
        The constant input, in the units of the data, with what is known ahead as its last entries
        ("name+1", ...). Default: none, the network reads its own forecast, as in `LSTM.rollout`.
    num_starts : int, optional
        How many starts are drawn.
    tol : float, optional
        What the residual of a fixed point is at most, relative to 1 + the norm of its state.
    lengths, static, future : optional
        As in `LSTM.predict`; but `static` is one row, (S,) or (1, S), the attributes of the network
        whose fixed points are sought: it reads all sequences of X with these.
    rng : int or numpy.random.Generator, optional
        Where starts are drawn from.

    Returns
    -------
    found : FixedPoints
        Each once; N may be 0. There may be more than were found.

    Raises
    ------
    ValueError, TypeError
        As `LSTM.predict`; for a bidirectional network and for a model of windows, which carry no
        state from step to step; without `x` for a model that needs other inputs than its own
        forecasts.

    Notes
    -----
    Each start is taken to the nearest zero of F(s) - s by the method of Levenberg and Marquardt
    (`scipy.optimize.root`) with exact Jacobians, in float64 whatever the dtype of the model. Where
    it is caught, the network runs on from the start for 1000 steps and, if it then is nearly at
    rest, the method begins again there.

    References
    ----------
    Sussillo & Barak (2013), Neural Computation 25(3), 626-649.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> model = numlstm.LSTM(1, 4, 1, rng=0)
    >>> X = np.random.default_rng(0).standard_normal((5, 20, 1))
    >>> found = inspection.fixed_points(model, X, x=[0.5])
    >>> found.output.shape, found.stable, found.failed
    ((1, 1), array([ True]), 0)
    """
    count = checks.size("num_starts", num_starts)
    tol = checks.real("tol", tol, above=0.0)
    seen = read(model, X, Given(lengths, None, static, future), one_static=True)
    require_dynamics(seen.model)
    map_ = _map(seen, x)
    starts = _starts(map_, seen, count, rng)
    ends = [map_.solved(start) for start in starts]
    caught = np.array([not map_.rests(s, tol) for s in ends], bool)
    for row, later in zip(np.flatnonzero(caught), map_.later(starts[caught]), strict=True):
        if map_.rests(later, _SLOW):
            ends[row] = map_.solved(later)
    good = [s for s in ends if map_.rests(s, tol)]
    states, counts = _distinct(good)
    return _found(seen.model, map_, states, counts, len(ends) - len(good))


class _Map(NamedTuple):
    """A step of a network in float64 whose input is constant, or follows from the state."""

    network: Network
    theta: Array
    weights: Any
    feedback: Feedback
    static: Array | None  # (1, S)

    def __call__(self, s: Array) -> tuple[Array, Array]:
        """How the state changes in a step, (S,), and the Jacobian of that, (S, S)."""
        x = self.feedback.matrix @ s + self.feedback.offset
        X, state = x[None, None], as_state(self.network, s[None])
        _, after, _ = self.network.forward(self.weights, X, state, None, static=self.static)
        run = Run(self.theta, X, state, None, None, self.static)
        by_state, by_X = (part[0, 0] for part in linearised(self.network, run))
        J = by_state + by_X @ self.feedback.matrix
        return as_vectors(after)[0] - s, J - np.eye(len(s))

    def rests(self, s: Array, tol: float) -> bool:
        """Whether a step changes a state by no more than this part of it."""
        finite = bool(np.isfinite(s).all())
        return finite and bool(np.linalg.norm(self(s)[0]) <= tol * (1 + np.linalg.norm(s)))

    def later(self, states: Array) -> Array:
        """States (N, S) after many steps; not finite where these leave the numbers."""
        static = None if self.static is None else np.repeat(self.static, len(states), axis=0)
        with np.errstate(all="ignore"):
            for _ in range(_LATER if len(states) else 0):
                X = states @ self.feedback.matrix.T + self.feedback.offset
                given = self.weights, X[:, None], as_state(self.network, states)
                states = as_vectors(self.network.forward(*given, None, static=static)[1])
        return states

    def solved(self, start: Array) -> Array:
        """Where the change is least, near a state."""
        # a step that leaves the numbers is a residual that is not small
        ended: Array = root(self, start, jac=True, method="lm", options={"xtol": 1e-14}).x
        return ended


def _map(seen: Inspected, x: Any) -> _Map:
    """The step, with the input that is asked for."""
    model = seen.model
    spec = replace(model.spec, dtype="float64", precision=None)
    network, theta = network_on(spec, model.network.on_host.backend.name), model.theta
    theta = theta.astype(np.float64)
    static = seen.rows.static
    if static is not None:
        static = static[:1].astype(np.float64)
    if x is None:
        _require_free_run(model)
        given = feedback(model)
    else:
        given = Feedback(np.zeros((spec.input_size, state_size(network))), _constant(seen, x))
    return _Map(network, theta, network.pack(theta), given, static)


def _constant(seen: Inspected, x: Any) -> Array:
    """A constant input in the network's units, (I,)."""
    x = checks.array("x", _in_order(seen, x), "float64")
    checks.shape("x", x, seen.rows.X.shape[2:])
    static = None if seen.rows.static is None else seen.rows.static[:1]
    run = seen._replace(rows=Rows(x[None, None], None, None, static)).run()
    inputs: Array = run.X[0, 0].astype(np.float64)
    return inputs


def _in_order(seen: Inspected, x: Any) -> Any:
    """The numbers of an input, found by their names where they have some."""
    names = input_names(seen.model) or seen.given.features
    named = vectors.read("x", x, names)
    if named is not None:
        return named
    has_labels = labels.has_labels(x)
    if has_labels and np.ndim(x) == 2 and len(x) == 1:  # one row of a frame
        return labels.read("x", x, names).values[0]
    if has_labels or isinstance(x, Mapping):
        raise TypeError(
            f"x has labels, received {type(x).__name__}: pass numbers by the names of the features"
            f"{_listed(names)}, or an array in the order of the model"
        )
    return x


def _listed(names: tuple[str, ...] | None) -> str:
    """The names of the features in a message."""
    return f", {', '.join(names)}" if names else ", of which this model knows none"


def _require_free_run(model: LSTM) -> None:
    """Say how to do without one where a network does not run on its own forecasts."""
    try:
        require_own_inputs(model)
    except ValueError as error:
        raise ValueError(
            f"pass x=, a constant input such as X.mean(axis=0): without x the network reads its "
            f"own forecasts, and {error}"
        ) from None


def _starts(map_: _Map, seen: Inspected, count: int, rng: Any) -> Array:
    """States along the trajectories of sequences, (count, S)."""
    run = seen.run()
    static = None if run.static is None else run.static.astype(np.float64)
    exact = run._replace(theta=map_.theta, X=run.X.astype(np.float64), static=static)
    before = states_before(map_.network, exact)
    there = np.arange(before.shape[1]) < seen.lengths[:, None]
    states = before[there]
    if not len(states):
        raise ValueError("X has no step, and no state from which to start")
    picked: Array = states[np.random.default_rng(rng).integers(len(states), size=count)]
    return picked


def _distinct(ends: list[Array]) -> tuple[Array, Array]:
    """States that differ, and how many are at each."""
    states: list[Array] = []
    counts: list[int] = []
    for end in ends:
        near = [np.linalg.norm(end - s) <= _SAME * (1 + np.linalg.norm(s)) for s in states]
        if any(near):
            counts[near.index(True)] += 1
        else:
            states.append(end)
            counts.append(1)
    order = np.argsort([-count for count in counts], kind="stable")
    return np.array([states[k] for k in order]), np.array([counts[k] for k in order], np.int64)


def _found(model: LSTM, map_: _Map, states: Array, counts: Array, failed: int) -> FixedPoints:
    """What there is to say of fixed points."""
    size = state_size(map_.network)
    states = states.reshape(-1, size)
    values = np.empty((len(states), size), complex)
    residual = np.empty(len(states))
    for index, s in enumerate(states):
        change, J = map_(s)
        residual[index] = np.linalg.norm(change)
        own = np.linalg.eigvals(J + np.eye(size))
        values[index] = own[np.argsort(-np.abs(own), kind="stable")]
    output = states @ readout(model).T + head_bias(model) + map_.feedback.offset @ direct(model).T
    if model.scaling is not None:
        output = model.scaling.outputs(output)
    stable = np.abs(values).max(axis=1, initial=0) < 1
    state = as_state(map_.network, states)
    return FixedPoints(state, output, residual, values, stable, counts, failed)
