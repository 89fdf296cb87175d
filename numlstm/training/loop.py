"""The loop of the stochastic methods: epochs of batches of windows, one update per window."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numlstm.objectives.evaluator import Evaluator, windows
from numlstm.optim.bounds import Limits
from numlstm.optim.optimizers import Optimizer
from numlstm.training.interrupt import Interrupted
from numlstm.training.outcome import Outcome
from numlstm.training.scheduled_sampling import Sampling
from numlstm.training.update import Descent, Place, Position, Rules
from numlstm.utils.random_streams import SHUFFLE, RandomStreams

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
    """What is to be minimised, and on what it is judged; data are where the backend reads them."""

    evaluator: Evaluator
    train: Any
    validation: Any
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


@dataclass(kw_only=True)
class Progress(Position):
    """Everything that changes during a run, beside the optimiser: what a checkpoint must hold.

    `window`, `batch` and `epoch` are the place of the next update, `state` is carried to it.
    """

    best_theta: np.ndarray
    best: float = np.inf
    best_epoch: int = 0
    epoch: int = 0
    batch: int = 0
    window: int = 0
    updates: int = 0
    sums: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("loss", "weight", "norm", "updates"), 0.0)
    )  # over the epoch so far
    history: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def start(cls, theta: np.ndarray) -> "Progress":
        """Nothing done yet."""
        return cls(theta=theta.copy(), previous=theta.copy(), best_theta=theta.copy())

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
        draws: RandomStreams,
    ):
        self.problem, self.plan, self.progress = problem, plan, progress
        self.optimizer, self.draws = optimizer, draws
        self.on_epoch: list[Callable[[], None]] = []  # called after each epoch, in order
        self.save: Callable[[], None] | None = None  # writes a checkpoint

    def run(self) -> Outcome:
        """Train until something ends it."""
        rules = Rules(self.plan.clip, self.plan.limits, self.plan.sampling)
        problem = self.problem
        kind = problem.evaluator.network.backend.descent() or Descent
        self.descent = kind(
            *(problem.evaluator, problem.train, self.progress, self.optimizer, rules, self.draws)
        )
        try:
            while (outcome := self._outcome()) is None:
                self._run_epoch()
                self._close_epoch()
        except Interrupted:
            outcome = Outcome.interrupted()
            self.descent.fetch()
        except NotFinite:
            outcome = Outcome.not_finite()
            self.descent.fetch()
            self.progress.theta[...] = self.progress.previous
        except StopIteration:
            outcome = Outcome.stopped()
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
            self.descent.carry(None)
            progress.batch, progress.window = progress.batch + 1, 0

    def _batches(self) -> list[Any]:
        """Rows of every batch of this epoch, in an order that only the seed and epoch decide."""
        count, size = self.problem.train.X.shape[0], self.plan.batch_size
        if count <= size:
            return [slice(None)]
        order = self.draws.stream(SHUFFLE, self.progress.epoch).permutation(count)
        return [order[start : start + size] for start in range(0, count, size)]

    def _run_batch(self, rows: Any) -> None:
        progress, train = self.progress, self.problem.train
        cuts = windows(train.steps(rows), self.plan.bptt_steps)
        while progress.window < len(cuts):
            self._run_window(*cuts[progress.window], rows)
            progress.window += 1
            if self.save is not None and time.monotonic() > self._next_save:
                self._write()

    def _run_window(self, start: int, stop: int, rows: Any) -> None:
        progress, descent, run = self.progress, self.descent, self.problem.run
        weight = self.problem.train.total_weight(start, stop, rows)
        place = Place(start, stop, rows, weight, progress.epoch, progress.updates, self._rate())
        if weight == 0:
            descent.carry(run(descent.advance, place))
            return
        value, norm = descent.update(run(descent.evaluate, place), place)
        if not np.isfinite(value + norm):
            raise NotFinite
        progress.updates += 1
        sums = progress.sums
        sums["loss"] += value * weight
        sums["weight"] += weight
        sums["norm"] += norm
        sums["updates"] += 1

    def _rate(self) -> float:
        return self.plan.rate * self.plan.schedule(self.progress.epoch, self.plan.epochs)

    def _close_epoch(self) -> None:
        progress, sums = self.progress, self.progress.sums
        self.descent.fetch()
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
        self.descent.fetch()
        self.save()
        self._next_save = time.monotonic() + _BETWEEN_CHECKPOINTS
