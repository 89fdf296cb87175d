"""The loop of the stochastic methods: epochs of batches of windows, one update per window."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from numlstm import optimizers
from numlstm.bptt import Evaluator, total_weight, windows
from numlstm.draws import SHUFFLE, Draws
from numlstm.interrupt import Interrupted
from numlstm.limits import Limits
from numlstm.optimizers import Optimizer
from numlstm.result import Outcome
from numlstm.sampling import Sampling, sampled_step
from numlstm.sequences import Dataset
from numlstm.spec import State

_BETWEEN_CHECKPOINTS = 5.0  # seconds, within an epoch


class NotFinite(Exception):
    """The loss or the parameters became NaN or infinite."""


@dataclass(frozen=True)
class Plan:
    """What is asked for, as far as the loop needs to know."""

    epochs: int
    batch_size: int
    bptt_steps: int | None
    rate: float
    schedule: Callable[[int, int], float]
    clip: float | None
    weight_decay: float
    patience: int | None
    tol: float | None
    limits: Limits | None = None
    sampling: Sampling | None = None

    def goal(self, progress: "Progress") -> str | None:
        """The goal that was reached, in words; a function of `progress` alone."""
        watched = progress.history.get("validation_loss") or progress.history.get("loss")
        if self.tol is not None and watched and watched[-1] <= self.tol:
            return f"The loss reached tol = {self.tol:g}."
        if self.patience is not None and progress.epoch - progress.best_epoch >= self.patience:
            return f"No better loss for patience = {self.patience} epochs."
        return None


@dataclass(frozen=True)
class Problem:
    """What is to be minimised, and on what it is judged."""

    evaluator: Evaluator
    train: Dataset
    validation: Dataset | None
    run: Callable[..., Any]  # calls a function, and may raise `Interrupted` instead

    def judge(self, progress: "Progress", **values: float) -> None:
        """Close an epoch: its values into the history, theta kept where it is the best."""
        judged = values["loss"]
        if self.validation is not None:
            judged = self.evaluator.value(progress.theta, self.validation, self.run)
            values["validation_loss"] = judged
        for name, value in values.items():
            progress.history.setdefault(name, []).append(value)
        progress.epoch += 1
        if judged < progress.best:
            progress.best, progress.best_epoch = judged, progress.epoch
            progress.best_theta[...] = progress.theta


@dataclass
class Progress:
    """Everything that changes during a run, beside the optimiser: what a checkpoint must hold.

    `window`, `batch` and `epoch` are the place of the next update, `state` is carried to it.
    """

    theta: np.ndarray
    previous: np.ndarray  # theta before the last update, known to have a finite loss
    best_theta: np.ndarray
    best: float = np.inf
    best_epoch: int = 0
    epoch: int = 0
    batch: int = 0
    window: int = 0
    updates: int = 0
    state: State | None = None  # None: the initial one
    sums: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("loss", "weight", "norm", "updates"), 0.0)
    )  # over the epoch so far
    history: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def start(cls, theta: np.ndarray) -> "Progress":
        """Nothing done yet."""
        return cls(theta.copy(), theta.copy(), theta.copy())

    @property
    def loss(self) -> float:
        """Mean loss of the epoch so far, else of the last one."""
        if self.sums["weight"] > 0:
            return self.sums["loss"] / self.sums["weight"]
        return self.history["loss"][-1] if self.history else np.nan


class Trainer:
    """Runs a plan on a problem from wherever `progress` stands."""

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        progress: Progress,
        optimizer: Optimizer,
        draws: Draws,
    ):
        self.problem, self.plan, self.progress = problem, plan, progress
        self.optimizer, self.draws = optimizer, draws
        self.on_epoch: list[Callable[[], None]] = []  # called after each epoch, in order
        self.save: Callable[[], None] | None = None  # writes a checkpoint

    def run(self) -> Outcome:
        """Train until something ends it."""
        try:
            while (outcome := self._outcome()) is None:
                self._run_epoch()
                self._close_epoch()
        except Interrupted:
            return Outcome.interrupted()
        except NotFinite:
            self.progress.theta[...] = self.progress.previous
            return Outcome.not_finite()
        except StopIteration:
            return Outcome.stopped()
        return outcome

    def _outcome(self) -> Outcome | None:
        """Why to stop here, if so; asked again when a run is resumed."""
        progress, plan = self.progress, self.plan
        if (goal := plan.goal(progress)) is not None:
            return Outcome.reached(goal)
        if progress.epoch < plan.epochs:
            return None
        if plan.tol is None and plan.patience is None:
            return Outcome.reached("All epochs were run.")
        return Outcome(False, 1, "Maximum number of epochs reached.")

    def _run_epoch(self) -> None:
        progress = self.progress
        batches = self._batches()
        while progress.batch < len(batches):
            self._run_batch(batches[progress.batch])
            progress.batch, progress.window, progress.state = progress.batch + 1, 0, None

    def _batches(self) -> list[Any]:
        """Rows of every batch of this epoch, in an order that only the seed and epoch decide."""
        count, size = len(self.problem.train.X), self.plan.batch_size
        if count <= size:
            return [slice(None)]
        order = self.draws.stream(SHUFFLE, self.progress.epoch).permutation(count)
        return [order[start : start + size] for start in range(0, count, size)]

    def _run_batch(self, rows: Any) -> None:
        progress, train = self.progress, self.problem.train
        cuts = windows(train.steps(rows), self.plan.bptt_steps)
        while progress.window < len(cuts):
            window = train.cut(*cuts[progress.window], rows)
            self._run_window(window)
            progress.window += 1
            if self.save is not None and time.monotonic() > self._next_save:
                self._write()

    def _run_window(self, window: Dataset) -> None:
        progress, evaluator, sums = self.progress, self.problem.evaluator, self.progress.sums
        theta, state, weight = progress.theta, progress.state, total_weight(window)
        if weight == 0:
            progress.state = self.problem.run(evaluator.advance, theta, window, state)
            return
        step, drawn = self._step_on(window)
        value, gradient, state = self.problem.run(step, theta, window, state, 1 / weight, drawn)
        if self.plan.limits is not None:
            gradient = np.where(self.plan.limits.free, gradient, gradient.dtype.type(0))
        norm = optimizers.norm(gradient)
        if not np.isfinite(value + norm):
            raise NotFinite
        self._update(optimizers.clip(gradient, norm, self.plan.clip))
        progress.state = state
        sums["loss"] += value * weight
        sums["weight"] += weight
        sums["norm"] += norm
        sums["updates"] += 1

    def _step_on(self, window: Dataset) -> tuple[Callable[..., Any], Any]:
        """What gives loss and gradient of a window, and what was drawn for it."""
        evaluator, sampling = self.problem.evaluator, self.plan.sampling
        epoch, updates = self.progress.epoch, self.progress.updates
        fed = sampling and sampling.draw(self.draws, epoch, updates, window)
        if fed is not None:
            return partial(sampled_step, evaluator), fed
        noise = evaluator.network.draw_noise(self.draws, updates, *window.X.shape[:2])
        return evaluator.step, noise

    def _update(self, gradient: np.ndarray) -> None:
        progress = self.progress
        progress.previous[...] = progress.theta
        with np.errstate(all="ignore"):
            self.optimizer.update(progress.theta, gradient, self._rate())
            if self.plan.limits is not None:
                self.plan.limits.hold(progress.theta, progress.previous)
            if not np.isfinite(np.sum(progress.theta)):
                raise NotFinite
        progress.updates += 1

    def _rate(self) -> float:
        return self.plan.rate * self.plan.schedule(self.progress.epoch, self.plan.epochs)

    def _close_epoch(self) -> None:
        progress, sums = self.progress, self.progress.sums
        self.problem.judge(
            progress,
            loss=progress.loss,
            learning_rate=self._rate(),
            gradient_norm=sums["norm"] / sums["updates"],
        )
        progress.batch = 0
        sums.update(dict.fromkeys(sums, 0.0))
        if self.save is not None:
            self._write()
        for call in self.on_epoch:
            call()

    _next_save = 0.0

    def _write(self) -> None:
        assert self.save is not None
        self.save()
        self._next_save = time.monotonic() + _BETWEEN_CHECKPOINTS
