"""One update of a stochastic method: from a window of data to the next theta.

A backend with memory of its own may have an `Update` that keeps everything there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.spec import State
from numlstm.data.sequences import Dataset
from numlstm.objectives.evaluator import Evaluator
from numlstm.objectives.member_evaluator import MemberData, MemberEvaluator
from numlstm.optim import optimizers
from numlstm.optim.bounds import Limits
from numlstm.optim.optimizers import Optimizer
from numlstm.training.scheduled_sampling import Sampling, sampled_advance, sampled_step
from numlstm.utils.random_streams import RandomStreams

# of a window: (loss, gradient, state after it), and that state alone
Functions = tuple[Callable[..., Any], Callable[..., State]]
Numbers = float | np.ndarray  # one of a network, or (M,) of the members of an ensemble


class Window(NamedTuple):
    """A part of the training data."""

    start: int
    stop: int
    rows: Any  # of a batch: a slice, or indices
    weight: Numbers  # what the weights of its targets sum to


class UpdateContext(NamedTuple):
    """What an update learns from, and where in a run it stands."""

    window: Window
    mean_weight: Numbers  # of an update of this epoch: what the sum of its losses is divided by
    epoch: int
    number: int  # of the window in the run, with or without a target: random draws go by it
    rate: float  # learning rate
    sampling: Sampling | None = None  # that of the epoch

    @property
    def extent(self) -> int:
        """Number of steps; of batches that are all of the data, of a row."""
        start, stop, rows, _ = self.window
        return (stop - start) * (1 if isinstance(rows, slice) else len(rows))


class UpdateConfig(NamedTuple):
    """Constants of the updates of a run."""

    clip: float | None
    limits: Limits | None


@dataclass(kw_only=True)
class UpdateState:
    """The arrays that updates change."""

    theta: np.ndarray
    previous: np.ndarray  # theta before the last update, known to have a finite loss
    carried: State | None = None  # to the next window; None: the initial state


class Update:
    """Updates in NumPy's memory.

    `advance` and `evaluate` change nothing, so they may be abandoned in the middle; their results
    are for `carry` and `apply`.
    """

    evaluator: Any  # Evaluator, or MemberEvaluator
    train: Any  # Dataset, or MemberData

    def __init__(
        self,
        evaluator: Evaluator | MemberEvaluator,
        train: Dataset | MemberData,
        state: UpdateState,
        optimizer: Optimizer,
        config: UpdateConfig,
        draws: RandomStreams,
    ):
        self.evaluator, self.train, self.state = evaluator, train, state
        self.optimizer, self.config, self.draws = optimizer, config, draws

    def learn_from(self, train: Any) -> None:
        """Take other training data, where the backend reads them."""
        self.train = train

    def advance(self, context: UpdateContext) -> Any:
        """The state after a window in which there is nothing to learn."""
        window = self._cut(context.window)
        (_, advance), drawn = self._forward_of(window, context)
        return advance(self.state.theta, window, self.state.carried, drawn)

    def _cut(self, window: Window) -> Any:
        return self.train.cut(window.start, window.stop, window.rows)

    def carry(self, state: State | None) -> None:
        """Begin the next window with this state."""
        self.state.carried = state

    def evaluate(self, context: UpdateContext) -> Any:
        """(loss over `mean_weight`, its gradient, state after the window)."""
        window = self._cut(context.window)
        (step, _), drawn = self._forward_of(window, context)
        theta, carried = self.state.theta, self.state.carried
        return step(theta, window, carried, 1 / context.mean_weight, drawn)

    def _forward_of(self, window: Dataset, context: UpdateContext) -> tuple[Functions, Any]:
        """The functions that run a window, and the random numbers that they take.

        They and the numbers do not depend on whether the window has a target: the next one begins
        in the state that it leaves.
        """
        sampling, evaluator, number = context.sampling, self.evaluator, context.number
        fed = sampling and sampling.draw(self.draws, context.epoch, number, window)
        if fed is not None:
            return (partial(sampled_step, evaluator), partial(sampled_advance, evaluator)), fed
        noise = evaluator.network.draw_noise(self.draws, number, *window.X.shape[:2])
        return (evaluator.step, evaluator.advance), noise

    def apply(self, evaluated: Any, context: UpdateContext) -> tuple[Numbers, Numbers]:
        """Change theta and carry the state; (loss over `mean_weight`, norm of the gradient).

        One of both is not finite where it, or the new theta, is not.
        """
        value, gradient, carried = evaluated
        limits, state = self.config.limits, self.state
        if limits is not None:
            gradient = np.where(limits.free, gradient, gradient.dtype.type(0))
        norm = self._norm(gradient)
        if not np.all(np.isfinite(value + norm)):
            return value, norm
        state.previous[...] = state.theta
        with np.errstate(all="ignore"):
            gradient = self._clipped(gradient, norm)
            self._move(gradient, context)
            self._hold()
            finite = np.isfinite(np.sum(state.theta))
        self.carry(carried)
        return value, norm if finite else np.inf

    def _norm(self, gradient: np.ndarray) -> Any:
        return optimizers.norm(gradient)

    def _clipped(self, gradient: np.ndarray, norm: Any) -> np.ndarray:
        return optimizers.clip(gradient, norm, self.config.clip)

    def _move(self, gradient: np.ndarray, context: UpdateContext) -> None:
        self.optimizer.update(self.state.theta, gradient, context.rate)

    def _hold(self) -> None:
        """Bring theta back from a step to what is allowed."""
        if self.config.limits is not None:
            self.config.limits.hold(self.state.theta, self.state.previous)

    def fetch(self) -> None:
        """Bring the arrays of the state to NumPy's memory: they are there."""


class MemberUpdate(Update):
    """Updates of all members of an ensemble: theta, one vector, is their parameters (M, n)."""

    _finished: np.ndarray | None = None

    def leave_out(self, finished: np.ndarray) -> None:
        """Change the members that are finished, (M,) bool, no more."""
        self._finished, self.train = finished, self.train.without(finished)

    def learn_from(self, train: MemberData) -> None:
        """Take other training data, of which members that are finished have no share."""
        self.train = train if self._finished is None else train.without(self._finished)

    def advance(self, context: UpdateContext) -> Any:
        """The state after a window in which there is nothing to learn."""
        window = self._cut(context.window)
        return self.evaluator.advance(self.state.theta, window, self.state.carried)

    def evaluate(self, context: UpdateContext) -> Any:
        """(losses over `mean_weight` (M,), gradients (M n,), state after the window)."""
        window = self._cut(context.window)
        weight = np.asarray(context.mean_weight)  # 0 of a member that is finished
        with np.errstate(over="ignore"):  # of the least weights: reported as a loss
            scale = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0)
        return self.evaluator.step(self.state.theta, window, self.state.carried, scale)

    def apply(self, evaluated: Any, context: UpdateContext) -> tuple[Numbers, Numbers]:
        """As of one network, for every member: losses (M,), norms of the gradients (M,)."""
        value, norm = super().apply(evaluated, context)
        return value, np.asarray(norm, np.float64)

    def _norm(self, gradient: np.ndarray) -> Any:
        """Norms (M,), in float64 where their squares are beyond the gradient's dtype."""
        rows = self._rows(gradient)
        with np.errstate(all="ignore"):
            norms = np.linalg.norm(rows, axis=1).astype(np.float64)
        for member in np.flatnonzero(~np.isfinite(norms)):
            norms[member] = optimizers.norm(rows[member])
        return norms

    def _clipped(self, gradient: np.ndarray, norm: Any) -> np.ndarray:
        """Shorten every member's gradient to the limit, in place."""
        limit = self.config.clip
        norm = norm.astype(gradient.dtype)
        if limit is not None and np.any(norm > limit):
            factors = np.minimum(1, limit / np.maximum(norm, 1e-30)).astype(gradient.dtype)
            self._rows(gradient)[...] *= factors[:, None]
        return gradient

    def _move(self, gradient: np.ndarray, context: UpdateContext) -> None:
        """A member without a target in the window makes no update, as a single network would."""
        idle = np.asarray(context.window.weight) == 0
        if not idle.any():
            super()._move(gradient, context)
            return
        optimizer = self.optimizer
        parts = [self._rows(part) for part in (self.state.theta, *optimizer.state.values())]
        kept = [part[idle] for part in parts]
        optimizer.steps = np.broadcast_to(optimizer.steps, idle.shape).copy()
        super()._move(gradient, context)
        optimizer.steps -= idle
        for part, own in zip(parts, kept, strict=True):
            part[idle] = own

    def _rows(self, vector: np.ndarray) -> np.ndarray:
        """A vector as one row per member, a view."""
        return vector.reshape(self.evaluator.members, -1)
