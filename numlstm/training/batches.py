"""What the batches of an epoch are: of data that are there, or of fresh ones."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np

from numlstm.data.arrays import Arrays
from numlstm.data.batches import FreshBatches
from numlstm.data.sequences import Dataset
from numlstm.objectives.evaluator import windows
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.interrupt import SigintGuard
from numlstm.training.settings import Settings
from numlstm.training.update import Numbers, Window
from numlstm.utils import notices, schema
from numlstm.utils.random_streams import SHUFFLE, RandomStreams

_KEPT = 4096  # batches of an epoch whose windows are all in memory; of long series there are more


class Batch(NamedTuple):
    """The windows of a batch, and what the losses of each of its updates are divided by."""

    windows: list[Window]
    mean_weight: Numbers


class Place(NamedTuple):
    """A batch that a restored run stands in, or before."""

    windows: list[Window]  # none behind the last batch
    rows: Any  # its rows, or those of the last batch
    size: int  # how many these are


class Batches(Protocol):
    """The batches of a run, of one epoch after another."""

    def begin(self, epoch: int) -> None:
        """Stand at the beginning of an epoch."""

    def at(self, number: int) -> Batch | None:
        """A batch of the epoch by its number, from 0 on; None behind the last."""

    def place(self, number: int) -> Place:
        """Where a restored run stands, after `at`; a ValueError where no run comes to."""


def mean_weight(weights: list[Numbers]) -> Numbers:
    """The mean weight of an update, of those of all windows of an epoch.

    Losses are divided by it, not by the weight of their own window: then the mean of the gradients
    over an epoch is the gradient of the loss on all data, whatever a batch holds.
    """
    every = np.array(weights)
    updates = np.maximum(np.count_nonzero(every, axis=0), 1)  # none of a finished member
    mean: np.ndarray = every.sum(axis=0) / updates
    return mean if mean.ndim else float(mean)


def windows_of(train: Any, rows: Any, bptt_steps: int | None) -> list[Window]:
    """What the updates of a batch learn from."""
    cuts = windows(train.steps(rows), bptt_steps)
    return [Window(*cut, rows, train.total_weight(*cut, rows)) for cut in cuts]


class ArrayBatches:
    """Batches of data that are all there, in an order that only the seed and epoch decide."""

    def __init__(
        self,
        update: Any,
        guard: SigintGuard,
        draws: RandomStreams,
        size: int,
        bptt_steps: int | None,
    ):
        self._update, self._guard, self._draws = update, guard, draws
        self._size, self._bptt_steps = size, bptt_steps
        self._order: Any = None  # of rows; None: all of them are one batch
        self._mean_weight: Numbers = 0.0
        self._kept: list[list[Window]] = []  # by batch, where they are not too many
        self._latest: tuple[int, list[Window]] = -1, []

    def begin(self, epoch: int) -> None:
        """Put the data into the order of an epoch."""
        train, self._order = self._update.train, None
        if train.count > self._size:
            self._order = train.order(self._draws.stream(SHUFFLE, epoch))
        every = map(self._windows, range(self._count))
        self._kept, self._latest = list(every) if self._count <= _KEPT else [], (-1, [])
        weights = [window.weight for batch in self._kept or every for window in batch]
        self._mean_weight = mean_weight(weights)

    def at(self, number: int) -> Batch | None:
        """A batch of the epoch by its number."""
        if number >= self._count:
            return None
        if self._latest[0] != number:
            windows = self._kept[number] if self._kept else self._windows(number)
            self._latest = number, windows
        return Batch(self._latest[1], self._mean_weight)

    def place(self, number: int) -> Place:
        """Where a restored run stands."""
        count = self._count
        done = schema.whole("batch", number, most=count)
        windows = self._windows(min(done, count - 1))
        rows = windows[0].rows
        size = self._update.train.count if isinstance(rows, slice) else len(rows)
        # no window where Ctrl-C came while the epoch was judged
        return Place(windows if done < count else [], rows, size)

    @property
    def _count(self) -> int:
        """Number of batches of an epoch."""
        return 1 if self._order is None else -(-self._update.train.count // self._size)

    def _windows(self, number: int) -> list[Window]:
        """What the updates of a batch learn from."""
        rows: Any = slice(None)
        if self._order is not None:
            rows = self._order[number * self._size : (number + 1) * self._size]
        given = self._update.train, rows, self._bptt_steps
        windows: list[Window] = self._guard.run(windows_of, *given)
        return windows


def require_streamable(settings: Settings, arrays: Arrays) -> None:
    """Refuse what cannot be done with batches that are gone once they were learned from."""
    training, data = settings.training, settings.data
    if not training.stochastic:
        raise ValueError(
            f"method {training.method!r} sees all data in every iteration, and X yields batches: "
            f"use one of {', '.join(OPTIMIZERS)}, or pass arrays"
        )
    if data.stateful:
        raise ValueError(
            "stateful=True carries the state along one series, and each batch of X begins anew: "
            "leave it out, or pass the series"
        )
    if data.scheduled_sampling is not None:
        raise ValueError("scheduled_sampling needs data that are all there, and X yields batches")
    asked = {"patience": training.patience, "tol": training.tol, "metrics": settings.run.metrics}
    for name, value in asked.items():
        if value is not None and arrays.validation is None:
            raise ValueError(
                f"{name} of a fit on batches that X yields needs validation=, data that stay: the "
                "batches are gone once they were learned from"
            )
    if data.window is not None:
        raise ValueError(
            "window= cuts samples out of series that are all there, and X yields batches: let each "
            "batch be windows, or pass the series"
        )
    if data.horizon is not None:
        raise ValueError(
            "horizon= lays out series beside their own later steps, and X yields batches: let each "
            "be a pair (X, y) with what is to come as its y, or pass the series"
        )
    if data.weight is not None:
        raise ValueError(
            f"weight={data.weight!r} weighs series by all of their targets, and X yields batches: "
            "let each batch have its sample_weight"
        )
    if isinstance(arrays.X, Iterable) and "batch_size" in data.changed():
        notices.warn_optimize("batch_size is not used: an iterable yields its batches as they are.")


class StreamBatches:
    """Fresh batches, each read when it is its turn, and then in the memory of the backend.

    What is the user's is called here, in the thread that called.
    """

    def __init__(
        self,
        fresh: FreshBatches,
        lay: Callable[[Dataset], Any],
        update: Any,
        guard: SigintGuard,
        bptt_steps: int | None,
    ):
        self._fresh, self._lay_out, self._update = fresh, lay, update
        self._guard, self._bptt_steps = guard, bptt_steps
        self._at: tuple[int, int] | None = None  # epoch and number of the batch learned from
        self._batch = Batch([], 0.0)

    def begin(self, epoch: int) -> None:
        """Stand at the beginning of an epoch; a resumed run passes over what was done before."""
        self._guard.check()
        self._fresh.stream.begin(epoch, self._guard.check)

    def at(self, number: int) -> Batch | None:
        """A batch of the epoch by its number, not below that of the call before."""
        stream = self._fresh.stream
        while stream.count <= number:
            self._guard.check()
            if not stream.advance():
                return None
        if self._at != (stream.epoch, number):
            self._lay(self._fresh.read())
            self._at = stream.epoch, number
        return self._batch

    def place(self, number: int) -> Place:
        """Where a restored run stands."""
        count = self._fresh.stream.count
        done = schema.whole("batch", number, most=count)
        windows = self._batch.windows if done < count else []
        return Place(windows, slice(None), self._update.train.count)

    def _lay(self, batch: Any) -> None:
        self._guard.check()
        self._update.learn_from(self._lay_out(batch))
        laid = windows_of(self._update.train, slice(None), self._bptt_steps)
        self._batch = Batch(laid, mean_weight([window.weight for window in laid]))
