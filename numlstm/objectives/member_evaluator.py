"""Members of an ensemble: many networks of one kind, evaluated side by side on the same rows.

Their parameters are one vector, (M n,), so that an optimiser and a checkpoint see a vector like
any other; values are (M,). Letters in shapes: M members, n parameters of one, L layers, B rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import blocks
from numlstm.architecture.spec import NetworkSpec, State
from numlstm.data.sequences import Dataset, with_axes
from numlstm.network.network import Network
from numlstm.objectives.evaluator import Evaluator, Watch, pieces, run_here
from numlstm.utils import interruptible


class MemberWindow(NamedTuple):
    """A window of the data, and the members that learn from its rows."""

    data: Dataset  # its own weights are those of no member
    members: Any  # a slice, or indices, of those with a share in these rows
    weight: np.ndarray  # theirs, (members, ...) as the targets, float64


@dataclass(frozen=True, eq=False)
class MemberData:
    """Sequences of which every member has a resample of its own."""

    data: Dataset
    counts: np.ndarray  # (M, B) how often each sequence counts

    @property
    def X(self) -> np.ndarray:
        """Inputs, (B, T, I)."""
        return self.data.X

    @property
    def count(self) -> int:
        """Number of sequences."""
        return self.data.count

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Sequences in the order of an epoch."""
        return self.data.order(rng)

    def steps(self, rows: Any = slice(None)) -> int:
        """Length of the longest of the rows."""
        return self.data.steps(rows)

    def cut(self, start: int, stop: int, rows: Any = slice(None)) -> MemberWindow:
        """Some rows' steps from `start` to before `stop`; see `Dataset.cut`."""
        data, counts = self.data.cut(start, stop, rows), self.counts[:, rows]
        shares = self.shares(rows)
        # of members without a share in these rows nothing is asked, in no window of them
        members: Any = slice(None) if shares.all() else np.flatnonzero(shares)
        return MemberWindow(data, members, _weighted(data.weight, counts[members]))

    def shares(self, rows: Any) -> np.ndarray:
        """Whether a member has a share in some rows, (M,)."""
        found: np.ndarray = np.any(self.counts[:, rows], axis=1)
        return found

    def total_weight(
        self, start: int = 0, stop: int | None = None, rows: Any = slice(None)
    ) -> np.ndarray:
        """The sums of every member's weights, (M,), of all targets or of those of a `cut`."""
        stop = self.X.shape[1] if stop is None else stop
        weight = _weighted(self.data.weights(start, stop, rows), self.counts[:, rows])
        total: np.ndarray = weight.sum(axis=tuple(range(1, weight.ndim)))
        return total

    def of(self, member: int) -> Dataset:
        """The data as one member sees them."""
        weight = _weighted(self.data.weight, self.counts[member : member + 1])[0]
        return replace(self.data, weight=weight.astype(self.data.weight.dtype))

    def each(self, function: Callable[[Dataset], float]) -> np.ndarray:
        """A function of the data as every member sees them, (M,)."""
        return np.array([function(self.of(member)) for member in range(len(self.counts))])

    def without(self, members: np.ndarray) -> "MemberData":
        """The same, where some members, (M,) bool, have no share in anything."""
        return MemberData(self.data, np.where(members[:, None], 0, self.counts))


def _weighted(weight: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights (M, B, ...) of every member's targets, in float64."""
    result: np.ndarray = weight * with_axes(counts, weight.ndim + 1)
    return result


@dataclass(frozen=True)
class MemberEvaluator:
    """Members of one network and loss; an `Evaluator` of all of them.

    Where the backend has kernels for many such networks, they are taken together.
    """

    evaluator: Evaluator  # of one
    members: int

    @property
    def network(self) -> Network:
        """The network of a member."""
        return self.evaluator.network

    def resident(self, data: Dataset) -> Any:
        """Data that are the same for all, in the backend's memory."""
        return self.evaluator.resident(data)

    def to_learn_from(self, data: Dataset) -> MemberData:
        """A batch as an update reads it: every member has each of its sequences once."""
        return MemberData(data, np.ones((self.members, data.count), np.int64))

    def step(
        self, theta: np.ndarray, window: MemberWindow, state: State | None, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, State]:
        """(losses (M,), gradients (M n,), state after the window); `scale` (M,) as of a step.

        The state has what members with a share in the rows carry, (members, L, B, ...). The losses
        and gradients of others are zero.
        """
        thetas, members = self._rows(theta), window.members
        factor = with_axes(scale[members], window.weight.ndim)
        weight = (window.weight * factor).astype(window.data.weight.dtype)
        part, way = thetas[members], self._way(window.data)
        values, gradients, state = way.step(part, window.data, weight, state)
        if len(part) < len(thetas):
            every = np.zeros(len(thetas)), np.zeros_like(thetas)
            every[0][members], every[1][members] = values, gradients
            values, gradients = every
        return values, gradients.reshape(-1), state

    def advance(self, theta: np.ndarray, window: MemberWindow, state: State | None) -> State | None:
        """The state after a window in which there is nothing to learn; None of no member."""
        part = self._rows(theta)[window.members]
        return self._way(window.data).advance(part, window.data, state) if len(part) else None

    def value(
        self,
        theta: np.ndarray,
        data: Any,
        run: Callable[..., Any] = run_here,
        watch: Sequence[Watch] | None = None,
    ) -> np.ndarray:
        """Mean losses over a dataset that is the same for all members, or over their own: (M,).

        `watch` has one for every member.
        """
        if not isinstance(data, MemberData):
            return self._way(data).value(self._rows(theta), data, run, watch)
        own = (self.resident(data.of(member)) for member in range(self.members))
        watches = [None] * self.members if watch is None else watch
        each = zip(self._rows(theta), own, watches, strict=True)
        return np.array([self.evaluator.value(theta, data, run, one) for theta, data, one in each])

    def _rows(self, theta: np.ndarray) -> np.ndarray:
        return theta.reshape(self.members, -1)

    def _way(self, data: Any) -> "Batched | InTurn":
        batched = data.reset is None and can_batch(self.evaluator.network)
        return (Batched if batched else InTurn)(self.evaluator)


@dataclass(frozen=True)
class InTurn:
    """One member after the other, for networks that the kernels for members do not know."""

    evaluator: Evaluator

    def step(
        self, thetas: np.ndarray, window: Dataset, weight: np.ndarray, state: State | None
    ) -> tuple[np.ndarray, np.ndarray, State]:
        """(losses (M,), gradients (M, n), state after the window)."""
        values, gradients, states = np.empty(len(thetas)), np.empty_like(thetas), []
        evaluator, arrays = self.evaluator, self.evaluator.network.backend.arrays
        for member, theta in enumerate(thetas):
            interruptible.check()
            part = evaluator.resident(replace(window, weight=weight[member]))
            before = self._of_member(state, member)
            value, gradient, after = evaluator.step(theta, part, before, 1.0)
            values[member], gradients[member] = arrays.number(value), arrays.to_numpy(gradient)
            states.append(after)
        return values, gradients, self._joined(states)

    def advance(self, thetas: np.ndarray, window: Dataset, state: State | None) -> State:
        """The state after the window."""
        part = self.evaluator.resident(window)
        return self._joined([
            self.evaluator.advance(theta, part, self._of_member(state, member))
            for member, theta in enumerate(thetas)
        ])  # fmt: skip

    def value(
        self,
        thetas: np.ndarray,
        data: Any,
        run: Callable[..., Any],
        watch: Sequence[Watch] | None = None,
    ) -> np.ndarray:
        """Mean losses over a dataset, (M,)."""
        each = zip(thetas, [None] * len(thetas) if watch is None else watch, strict=True)
        return np.array([self.evaluator.value(theta, data, run, one) for theta, one in each])

    def _of_member(self, state: State | None, member: int) -> State | None:
        asarray = self.evaluator.network.backend.arrays.asarray
        return state and State(*(asarray(part[member]) for part in state))

    def _joined(self, states: list[State]) -> State:
        to_numpy = self.evaluator.network.backend.arrays.to_numpy
        every = zip(*states, strict=True)
        return State(*(np.stack([to_numpy(part) for part in parts]) for parts in every))


class Forward(NamedTuple):
    """A forward pass of some members as the backward pass needs it."""

    thetas: list[np.ndarray]  # of every layer, then of the head
    tapes: list[Any]
    shape: tuple[int, ...]  # of the last layer's output
    hidden: np.ndarray  # input of the head
    direct: np.ndarray | None  # (M, ...) that of direct connections
    Y: np.ndarray
    state: State


@dataclass(frozen=True)
class Batched:
    """All members, or as many as the caches hold, in one call per layer."""

    evaluator: Evaluator

    def step(
        self, thetas: np.ndarray, window: Dataset, weight: np.ndarray, state: State | None
    ) -> tuple[np.ndarray, np.ndarray, State]:
        """(losses (M,), gradients (M, n), state after the window)."""
        values, gradients, states = np.empty(len(thetas)), np.empty_like(thetas), []
        with np.errstate(all="ignore"):  # what is not finite is reported by the caller
            for part in self._parts(thetas, window):
                interruptible.check()
                of_part = thetas[part], window, weight[part], _of(state, part)
                values[part], after = self._step(*of_part, gradients[part])
                states.append(after)
        return values, gradients, _joined(states)

    def _step(
        self,
        thetas: np.ndarray,
        window: Dataset,
        weight: np.ndarray,
        state: State | None,
        out: np.ndarray,
    ) -> tuple[list[float], State]:
        """(losses, state after the window) of some members; fills their gradients, out.

        Its tapes end with it: the next members find their memory in the caches.
        """
        run = self._forward(thetas, window, state)
        pairs = zip(run.Y, weight, strict=True)
        losses = [self.evaluator.loss(Y, window.y, own) for Y, own in pairs]
        self._backward(run, window, np.stack([gradient for _, gradient in losses]), out)
        return [value for value, _ in losses], run.state

    def advance(self, thetas: np.ndarray, window: Dataset, state: State | None) -> State:
        """The state after the window."""
        with np.errstate(all="ignore"):
            return _joined([
                self._forward(thetas[part], window, _of(state, part)).state
                for part in self._parts(thetas, window)
            ])  # fmt: skip

    def value(
        self,
        thetas: np.ndarray,
        data: Dataset,
        run: Callable[..., Any],
        watch: Sequence[Watch] | None = None,
    ) -> np.ndarray:
        """Mean losses over a dataset, (M,)."""
        totals = np.zeros(len(thetas))
        for rows, cuts in pieces(self.evaluator.network.spec, data):
            state = None
            for start, stop in cuts:
                window = data.cut(start, stop, rows)
                given = thetas, window, state, watch is not None
                values, state, outputs = run(self._values, *given, extent=window.extent)
                totals += values
                for one, Y in zip(watch or (), outputs, strict=True):
                    one(rows, Y, window.y, window.weight)
        mean: np.ndarray = totals / data.total_weight()
        return mean

    def _values(
        self, thetas: np.ndarray, window: Dataset, state: State | None, keep: bool
    ) -> tuple[np.ndarray, State, list[np.ndarray]]:
        """(sums of the weighted losses (M,), state after the window, outputs if they are kept)."""
        values, states, outputs = np.empty(len(thetas)), [], []
        with np.errstate(all="ignore"):
            for part in self._parts(thetas, window):
                interruptible.check()
                Y, after = self._outputs(thetas[part], window, _of(state, part))
                values[part] = [self.evaluator.loss(each, window.y, window.weight)[0] for each in Y]
                states.append(after)
                outputs += list(Y) if keep else []
        return values, _joined(states), outputs

    def _outputs(
        self, thetas: np.ndarray, window: Dataset, state: State | None
    ) -> tuple[np.ndarray, State]:
        """(outputs, state after the window) of some members, without their tapes."""
        run = self._forward(thetas, window, state)
        return run.Y, run.state

    def _parts(self, thetas: np.ndarray, window: Dataset) -> Iterator[slice]:
        """Members whose tapes fit the caches together."""
        network, (rows, steps, _) = self.evaluator.network, window.X.shape
        size = network.backend.members().at_once(network.spec.layers, rows, steps)
        for first in range(0, len(thetas), size):
            yield slice(first, first + size)

    def _forward(self, thetas: np.ndarray, window: Dataset, state: State | None) -> Forward:
        spec, kernels = self.evaluator.network.spec, self.evaluator.network.backend.members()
        parts = member_blocks(spec, thetas)
        X, tapes, finals = window.X[None], [], []
        for index, (layer, theta) in enumerate(zip(spec.layers, parts, strict=False)):
            begin = state and (state.h[:, index], state.c[:, index])
            X, tape = kernels.forward(layer, theta, X, window.lengths, begin)
            finals.append(kernels.final_state(layer, tape))
            tapes.append(tape)
        hidden = finals[-1][0] if window.last else X
        direct = direct_inputs(self.evaluator.network, window, len(thetas))
        Y = kernels.head_forward(spec.head, parts[len(spec.layers)], hidden)
        if direct is not None:
            Y = Y + kernels.head_forward(spec.direct, unbiased(spec, parts[-1]), direct)
        after = State(*(np.stack(part, axis=1) for part in zip(*finals, strict=True)))
        return Forward(parts, tapes, X.shape, hidden, direct, Y, after)

    def _backward(self, run: Forward, window: Dataset, dY: np.ndarray, out: np.ndarray) -> None:
        """Fill the gradients, out (M, n)."""
        spec, kernels = self.evaluator.network.spec, self.evaluator.network.backend.members()
        theta = run.thetas[len(spec.layers)]
        gradient, dX = kernels.head_backward(spec.head, theta, run.hidden, dY)
        gradients = [gradient]
        if run.direct is not None:
            given = unbiased(spec, run.thetas[-1]), run.direct, dY
            of_inputs, _ = kernels.head_backward(spec.direct, *given)
            gradients.append(of_inputs[:, : -spec.width])
        if window.last:
            dX = from_ends(dX, run.shape, window)
        for index in reversed(range(len(spec.layers))):
            gradient, dX = kernels.backward(
                spec.layers[index], run.thetas[index], run.tapes[index], dX, index > 0
            )
            gradients.insert(0, gradient)
        np.concatenate(gradients, axis=1, out=out)


def can_batch(network: Network) -> bool:
    """Whether the backend has kernels for many such networks at once."""
    spec, kernels = network.spec, network.backend.members()
    plain = not (spec.bidirectional or spec.residual or spec.head is None)
    return kernels is not None and plain and all(kernels.able(layer) for layer in spec.layers)


def member_blocks(spec: NetworkSpec, thetas: np.ndarray) -> list[np.ndarray]:
    """The parameters of each layer, then of the head, of all members: (M, n of the layer)."""
    sizes = [part.size for part in blocks(spec, thetas[0])]
    parts = np.split(thetas, np.cumsum(sizes)[:-1], axis=1)
    return [np.ascontiguousarray(part) for part in parts]


def direct_inputs(network: Network, window: Dataset, members: int) -> np.ndarray | None:
    """What direct connections read, for every member: (M, B, T, I), or (M, B, I) of last steps."""
    X = network.direct_inputs(window.X, window.lengths, window.last)
    return None if X is None else np.repeat(X[None], members, axis=0)


def unbiased(spec: NetworkSpec, weights: np.ndarray) -> np.ndarray:
    """The weights of direct connections (M, O I), with biases of zero (M, O I + O)."""
    return np.pad(weights, ((0, 0), (0, spec.width)))


def last_steps(window: Dataset) -> np.ndarray:
    """The step at which every row ends, (B,)."""
    rows, steps = window.X.shape[:2]
    return np.full(rows, steps - 1) if window.lengths is None else np.maximum(window.lengths - 1, 0)


def from_ends(dH: np.ndarray, shape: tuple[int, ...], window: Dataset) -> np.ndarray:
    """The gradient of the hidden states that rows end with, (M, B, H), at their last steps."""
    result = np.zeros(shape, dH.dtype)
    result[:, np.arange(shape[1]), last_steps(window)] = dH
    return result


def _of(state: State | None, members: slice) -> State | None:
    return state and State(*(part[members] for part in state))


def _joined(states: list[State]) -> State:
    """The states of all parts, (M, L, B, ...)."""
    if len(states) == 1:
        return states[0]
    return State(*(np.concatenate(parts) for parts in zip(*states, strict=True)))
