"""One update of a stochastic method: from a window of data to the next theta.

A backend with memory of its own may have a `Descent` that keeps everything there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.spec import State
from numlstm.data.sequences import Dataset
from numlstm.objectives.evaluator import Evaluator
from numlstm.optim import optimizers
from numlstm.optim.bounds import Limits
from numlstm.optim.optimizers import Optimizer
from numlstm.training.scheduled_sampling import Sampling, sampled_step
from numlstm.utils.random_streams import RandomStreams


class Place(NamedTuple):
    """The window that an update learns from, and where in a run the update stands."""

    start: int
    stop: int
    rows: Any  # a slice, or indices
    weight: float  # what the weights of its targets sum to
    epoch: int
    update: int
    rate: float  # learning rate


class Rules(NamedTuple):
    """What holds for every update of a run."""

    clip: float | None
    limits: Limits | None
    sampling: Sampling | None


@dataclass(kw_only=True)
class Position:
    """The arrays that updates change."""

    theta: np.ndarray
    previous: np.ndarray  # theta before the last update, known to have a finite loss
    state: State | None = None  # carried to the next window; None: the initial one


class Descent:
    """Updates in NumPy's memory.

    `advance` and `evaluate` change nothing, so they may be left in the middle; what they give is
    for `carry` and `update`.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        train: Dataset,
        position: Position,
        optimizer: Optimizer,
        rules: Rules,
        draws: RandomStreams,
    ):
        self.evaluator, self.train, self.position = evaluator, train, position
        self.optimizer, self.rules, self.draws = optimizer, rules, draws

    def advance(self, place: Place) -> State:
        """The state after a window in which there is nothing to learn."""
        window = self.train.cut(place.start, place.stop, place.rows)
        return self.evaluator.advance(self.position.theta, window, self.position.state)

    def carry(self, state: State | None) -> None:
        """Begin the next window with this state."""
        self.position.state = state

    def evaluate(self, place: Place) -> tuple[float, np.ndarray, State]:
        """(mean loss, gradient, state after the window)."""
        window = self.train.cut(place.start, place.stop, place.rows)
        step, drawn = self._step_on(window, place)
        theta, state = self.position.theta, self.position.state
        return step(theta, window, state, 1 / place.weight, drawn)

    def _step_on(self, window: Dataset, place: Place) -> tuple[Callable[..., Any], Any]:
        """What gives loss and gradient of a window, and what was drawn for it."""
        sampling, evaluator = self.rules.sampling, self.evaluator
        fed = sampling and sampling.draw(self.draws, place.epoch, place.update, window)
        if fed is not None:
            return partial(sampled_step, evaluator), fed
        sizes = window.X.shape[:2]
        return evaluator.step, evaluator.network.draw_noise(self.draws, place.update, *sizes)

    def update(self, evaluated, place: Place) -> tuple[float, float]:
        """Change theta and carry the state; (mean loss, norm of the gradient).

        One of both is not finite where it, or the new theta, is not.
        """
        value, gradient, state = evaluated
        limits, position = self.rules.limits, self.position
        if limits is not None:
            gradient = np.where(limits.free, gradient, gradient.dtype.type(0))
        norm = optimizers.norm(gradient)
        if not np.isfinite(value + norm):
            return value, norm
        position.previous[...] = position.theta
        with np.errstate(all="ignore"):
            gradient = optimizers.clip(gradient, norm, self.rules.clip)
            self.optimizer.update(position.theta, gradient, place.rate)
            if limits is not None:
                limits.hold(position.theta, position.previous)
            finite = np.isfinite(np.sum(position.theta))
        self.carry(state)
        return value, norm if finite else np.inf

    def fetch(self) -> None:
        """Bring what updates changed to NumPy's memory: it is there."""
