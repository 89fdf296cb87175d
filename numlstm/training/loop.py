"""The loop of the stochastic methods: epochs of batches of windows, one update per window."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.data.batches import FreshBatches
from numlstm.objectives.evaluator import Evaluator
from numlstm.objectives.member_evaluator import MemberEvaluator
from numlstm.optim import schedules
from numlstm.optim.bounds import Limits
from numlstm.optim.optimizers import Optimizer
from numlstm.training.batches import ArrayBatches, Batches, StreamBatches
from numlstm.training.interrupt import Interrupted, SigintGuard
from numlstm.training.judging import Judging
from numlstm.training.listeners import Listeners, Views
from numlstm.training.outcome import Outcome
from numlstm.training.progress import Progress
from numlstm.training.scheduled_sampling import Sampling
from numlstm.training.settings import TrainingConfig
from numlstm.training.update import Numbers, Update, UpdateConfig, UpdateContext, Window
from numlstm.utils import schema
from numlstm.utils.random_streams import RandomStreams

_BETWEEN_CHECKPOINTS = 5.0  # seconds, within an epoch


class NotFinite(Exception):
    """The loss or the parameters became NaN or infinite."""


class _Stopped(Exception):
    """The callback raised StopIteration; other functions of the user's may do so by mistake."""


@dataclass(frozen=True)
class LoopConfig:
    """What a run needs beside its choices: how its data are cut, and its network's limits."""

    training: TrainingConfig
    batch_size: int
    bptt_steps: int | None
    limits: Limits | None = None
    sampling: Sampling | None = None

    @property
    def update(self) -> UpdateConfig:
        """Those of an update."""
        return UpdateConfig(self.training.clip, self.limits)

    @property
    def has_goal(self) -> bool:
        """Whether something may end a run before its epochs."""
        return self.training.tol is not None or self.training.patience is not None

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch."""
        schedule = schedules.get(self.training.schedule)
        return self.training.rate * schedule(epoch, self.training.epochs)

    def finished(self, progress: Progress) -> Any:
        """Whether a goal is reached, () or (M,) bool; a function of `progress` alone."""
        return self._low(progress) | self._stalled(progress) | (progress.ended > 0)

    def ends(self, progress: Progress) -> np.ndarray:
        """The epochs after which each was trained no more, () or (M,)."""
        ends = np.full(progress.best.shape, progress.epoch)
        ends = np.where(progress.ended > 0, np.minimum(ends, progress.ended), ends)
        if self.training.patience is not None:
            ends = np.minimum(ends, progress.epoch - progress.waited + self.training.patience)
        if self.training.tol is not None and progress.epoch:
            low = np.array(progress.judged_history) <= self.training.tol
            ends = np.where(low.any(axis=0), np.minimum(ends, low.argmax(axis=0) + 1), ends)
        return ends

    def goal(self, progress: Progress) -> Outcome | None:
        """The goal that was reached, by every member of an ensemble; of several the first."""
        if not np.all(self.finished(progress)):
            return None
        if np.any(progress.ended):
            return Outcome.satisfied()
        if self.met(progress):
            return Outcome.reached(f"The loss reached tol = {self.training.tol:g}.")
        patience = self.training.patience
        return Outcome.reached(f"No better loss for patience = {patience} epochs.")

    def met(self, progress: Progress) -> bool:
        """Whether the loss reached `tol`, or what the callback asks for, of every member."""
        return bool(np.all(self._low(progress) | (progress.ended > 0)))

    def _low(self, progress: Progress) -> Any:
        tol = -np.inf if self.training.tol is None else self.training.tol
        return np.broadcast_to(np.less_equal(progress.judged, tol), progress.best.shape)

    def _stalled(self, progress: Progress) -> Any:
        if (patience := self.training.patience) is None:
            return np.zeros(progress.best.shape, bool)
        return progress.waited >= patience


@dataclass(frozen=True)
class Problem:
    """Evaluator and data of a run; data are where the backend reads them."""

    evaluator: Evaluator | MemberEvaluator
    train: Any
    validation: Any
    guard: SigintGuard
    update: Callable[..., Any] = Update  # the class of its updates
    words: str = ""  # what was read as its data
    judging: Judging | None = None  # the metrics that were asked for
    fresh: FreshBatches | None = None  # of which `train` is the first
    views: Views | None = None  # what a callback sees of the networks

    def run(self, function: Callable[..., Any], *args: Any, extent: float = 0) -> Any:
        """Call a function, or raise `Interrupted`."""
        return self.guard.run(function, *args, extent=extent)

    def judge(self, progress: Progress, *, by_training: bool = False, **values: Numbers) -> None:
        """Close an epoch, with the loss of the data that judge, if any, and the metrics of it.

        Those are the validation data, or the training data, by whose loss a run is judged or not.
        """
        known: dict[str, Numbers] = {}
        if self.validation is not None:
            known = self._known("validation", progress.theta, self.validation)
        elif by_training or self.judging is not None:
            known = self._known("training", progress.theta, self.train)
            if not by_training:
                del known["training_loss"]
        progress.close_epoch({**values, **known})

    def _known(self, part: str, theta: np.ndarray, data: Any) -> dict[str, Numbers]:
        """Loss and metrics of a part of the data, from one pass."""
        if self.judging is None:
            return {f"{part}_loss": self.value(theta, data)}
        watch = self.judging.watch()
        loss = self.evaluator.value(theta, data, self.run, watch)
        return {
            f"{part}_{name}": value for name, value in [("loss", loss), *watch.values().items()]
        }

    def per_series(self, theta: np.ndarray | None) -> dict[str, np.ndarray]:
        """The metrics of every series of the data that judge; NaN where no theta is given."""
        if self.judging is None:
            return {}
        watch, part = self.judging.watch(), self.judging.part
        if theta is not None:
            data = self.train if self.validation is None else self.validation
            self.evaluator.value(theta, data, self.run, watch)
        return {f"{part}_{name}": values for name, values in watch.per_series().items()}

    def value(self, theta: np.ndarray, data: Any) -> Any:
        """Mean loss of parameters, of members (M,)."""
        return self.evaluator.value(theta, data, self.run)


class Trainer:
    """Runs epochs on a problem from wherever `progress` stands."""

    def __init__(
        self,
        problem: Problem,
        config: LoopConfig,
        progress: Progress,
        optimizer: Optimizer,
        draws: RandomStreams,
        listeners: Listeners,
    ):
        self.problem, self.config, self.progress = problem, config, progress
        self.optimizer, self.draws, self.listeners = optimizer, draws, listeners
        self.update: Any = problem.update(
            *(problem.evaluator, problem.train, progress.arrays),
            *(optimizer, config.update, draws),
        )
        self.batches = self._batches()
        self._next_save = np.inf if listeners.record is None else 0.0
        self._unsaved = False
        record = listeners.record
        self._restored = record if record is not None and record.is_restored else None

    def _batches(self) -> Batches:
        problem, bptt_steps = self.problem, self.config.bptt_steps
        if problem.fresh is None:
            size = self.config.batch_size
            return ArrayBatches(self.update, problem.guard, self.draws, size, bptt_steps)
        lay = problem.evaluator.to_learn_from
        return StreamBatches(problem.fresh, lay, self.update, problem.guard, bptt_steps)

    def run(self) -> Outcome:
        """Train until something ends it."""
        try:
            self._begin()
            while (outcome := self._outcome()) is None:
                self._run_epoch()
                self._close_epoch()
            self._save_epoch()
        except Interrupted:
            outcome = Outcome.interrupted()
            self.update.fetch()
            if self.listeners.record is not None:  # it stands after a whole step
                self._save()
        except NotFinite:
            outcome = Outcome.not_finite()
            self.update.fetch()
            self.progress.step_back()
        except _Stopped:
            outcome = Outcome.stopped()
            self._save_epoch()
        return outcome

    @property
    def _by_training_loss(self) -> bool:
        """Whether a goal is one of the training loss, which the running mean of an epoch is not."""
        return self.config.has_goal and self.problem.validation is None

    def _begin(self) -> None:
        if self._restored is not None:
            with self._restored.refusing():
                self._require_history()
        if self._by_training_loss and self.progress.since is None:
            self.progress.judge_from_here(self._training_loss)

    def _require_history(self) -> None:
        """Refuse, as ValueError, a restored history without the losses that judge this run."""
        progress = self.progress
        there = {"validation_loss": self.problem.validation is not None}
        if progress.since is not None:
            there["training_loss"] = True
        for name, expected in there.items():
            if progress.epoch > 0 and (name in progress.history) != expected:
                raise ValueError(f"history.{name} {'is missing' if expected else 'is of no run'}")

    def _training_loss(self) -> Numbers:
        loss: Numbers = self.problem.value(self.progress.theta, self.problem.train)
        return loss

    def _outcome(self) -> Outcome | None:
        """Why to stop here, if so; asked again when a run is resumed."""
        progress, config = self.progress, self.config
        if (goal := config.goal(progress)) is not None:
            return goal
        if progress.epoch < config.training.epochs:
            return None
        if not (config.has_goal or progress.asked):
            return Outcome.reached("All epochs were run.")
        return Outcome(False, 1, "Maximum number of epochs reached.")

    def _run_epoch(self) -> None:
        progress = self.progress
        if np.any(finished := self.config.finished(progress)):  # members; a network ends the run
            self.update.leave_out(finished)
        self.batches.begin(progress.epoch)
        batch = self.batches.at(progress.batch)
        if self._restored is not None:
            with self._restored.refusing():
                self._require_place()
            self._restored = None
        while batch is not None:
            self._run_batch(*batch)
            self.update.carry(None)
            progress.next_batch()
            batch = self.batches.at(progress.batch)

    def _require_place(self) -> None:
        """Refuse, as ValueError, a restored place that a run on these data does not come to."""
        progress, spec = self.progress, self.problem.evaluator.network.spec
        place = self.batches.place(progress.batch)
        schema.whole("window", progress.window, most=len(place.windows))
        axes: tuple[int, ...] = len(spec.layers), place.size
        if progress.best.ndim:  # of members those that learn from the rows
            axes = (int(np.count_nonzero(self.update.train.shares(place.rows))), *axes)
        progress.require_state(axes, (spec.layers[0].output_size, spec.hidden_size))

    def _run_batch(self, batch: list[Window], mean_weight: Numbers) -> None:
        progress = self.progress
        while progress.window < len(batch):
            self._run_window(batch[progress.window], mean_weight)
            progress.next_window()
            if time.monotonic() > self._next_save:
                self._save()

    def _run_window(self, window: Window, mean_weight: Numbers) -> None:
        progress, update, run = self.progress, self.update, self.problem.run
        place = progress.epoch, progress.windows
        # what is the user's is asked here, in the thread that called
        rate, sampling = self.config.rate(progress.epoch), self.config.sampling
        sampling = sampling and sampling.at(progress.epoch)
        context = UpdateContext(window, mean_weight, *place, rate, sampling)
        if not np.any(window.weight):
            update.carry(run(update.advance, context, extent=context.extent))
            return
        evaluated = run(update.evaluate, context, extent=context.extent)
        value, norm = update.apply(evaluated, context)
        if not np.all(np.isfinite(value + norm)):
            raise NotFinite
        progress.count(value, norm, context)

    def _close_epoch(self) -> None:
        progress, problem = self.progress, self.problem
        self.update.fetch()
        values = {"loss": progress.loss, "gradient_norm": progress.gradient_norm}
        values["learning_rate"] = self.config.rate(progress.epoch)
        problem.judge(progress, by_training=self._by_training_loss, **values)
        if not progress.asked:  # then no epoch is told twice
            self._store_epoch()
        try:
            self.listeners.on_epoch()
        except StopIteration:
            raise _Stopped from None
        finally:
            if progress.asked:  # what the callback says of an epoch is in the file
                self._store_epoch()

    def _store_epoch(self) -> None:
        """Write the end of an epoch; of a stream of single updates when it is time."""
        fresh = self.problem.fresh
        self._unsaved = self.listeners.record is not None
        if fresh is None or fresh.stream.repeats:
            self._save_epoch()

    def _save_epoch(self) -> None:
        if self._unsaved:
            self._save()

    def _save(self) -> None:
        assert self.listeners.record is not None
        self.update.fetch()
        self.listeners.record.write()
        self._unsaved = False
        self._next_save = time.monotonic() + _BETWEEN_CHECKPOINTS
