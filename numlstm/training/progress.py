"""How far a run has come: everything that changes during it, beside the optimiser's arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numlstm.architecture.spec import State
from numlstm.training.update import Numbers, UpdateContext, UpdateState
from numlstm.utils import checks, schema

_COUNTS = ("epoch", "batch", "window", "windows", "updates", "since")
# what a checkpoint holds of a run: plain values, arrays, and those that are not always there
PLAIN = (*_COUNTS, "best", "best_epoch", "sums", "history")
ARRAYS = ("theta", "previous", "best_theta")
STATE = ("state_h", "state_c")
ENDED = "ended"  # beside the plain values, where the callback says when it is done
# of every epoch; and those of runs that have a goal, or data to judge by
_HISTORY, _JUDGED = ("loss", "gradient_norm", "learning_rate"), ("training_loss", "validation_loss")


def _no_sums() -> dict[str, Numbers]:
    return dict.fromkeys(("loss", "weight", "norm", "updates"), 0.0)


@dataclass(kw_only=True)
class Progress:
    """The state of a run, as a checkpoint holds it; an `Update` writes to its `arrays`.

    `window`, `batch` and `epoch` are the place of the next update. In an ensemble theta is the
    vector (M n,) of all members; what is judged, and every value of the history, is (M,).
    """

    arrays: UpdateState
    best_theta: np.ndarray
    best: np.ndarray  # the least loss by which the run was judged, () or (M,)
    best_epoch: np.ndarray  # the same; 0 before the first
    epoch: int = 0
    batch: int = 0
    window: int = 0
    windows: int = 0  # so far; not all have a target, and so make an update
    updates: int = 0
    # every epoch after this one has its training loss; None: the last one has none
    since: int | None = None
    sums: dict[str, Numbers] = field(default_factory=_no_sums)  # over the epoch so far
    history: dict[str, list[Numbers]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep the parameters that the run begins with, or goes on with."""
        self.first = self.theta.copy()
        # whether the callback said at any epoch if it is done, and after which epochs it was,
        # () or (M,); 0: not yet
        self.asked, self.ended = False, np.zeros(self.best.shape, np.int64)

    @classmethod
    def start(cls, theta: np.ndarray, members: int | None = None) -> "Progress":
        """Nothing done yet, of one network or of the members of an ensemble."""
        shape = () if members is None else (members,)
        return cls(
            arrays=UpdateState(theta=theta.copy(), previous=theta.copy()),
            best_theta=theta.copy(),
            best=np.full(shape, np.inf),
            best_epoch=np.zeros(shape, np.int64),
        )

    @property
    def theta(self) -> np.ndarray:
        """The parameters."""
        return self.arrays.theta

    @property
    def x(self) -> np.ndarray:
        """The parameters, (n,), or of the members, (M, n)."""
        return self.theta.reshape(*self.best.shape, -1)

    @property
    def loss(self) -> Numbers:
        """Mean loss of the epoch so far, else of the last one."""
        weight = np.asarray(self.sums["weight"])
        last = self.history["loss"][-1] if self.history else np.nan
        mean = np.array(np.broadcast_to(last, self.best.shape), np.float64)
        np.divide(self.sums["loss"], weight, out=mean, where=weight > 0)
        return as_numbers(mean)

    @property
    def gradient_norm(self) -> Numbers:
        """Mean norm of the gradients of the epoch so far; 0 where there was no update."""
        mean = np.asarray(self.sums["norm"] / np.maximum(self.sums["updates"], 1.0), np.float64)
        return as_numbers(np.array(np.broadcast_to(mean, self.best.shape)))

    @property
    def judged(self) -> Numbers:
        """The loss of the last epoch by which the run is judged; NaN where that is not known."""
        return self.judged_history[-1] if self.history else np.nan

    @property
    def judged_history(self) -> list[Numbers]:
        """The losses of all epochs by which the run is judged."""
        for name in ("validation_loss", "training_loss", "loss"):
            if name in self.history:
                return self.history[name]
        return []

    def project(self, limits: Any) -> None:
        """Begin within the bounds."""
        limits.project(self.theta)

    def move_to(self, theta: np.ndarray) -> None:
        """Take parameters that something else has found."""
        self.theta[...] = theta

    def step_back(self) -> None:
        """Take the last parameters whose loss is known to be finite."""
        self.theta[...] = self.arrays.previous

    def count(self, value: Numbers, norm: Numbers, context: UpdateContext) -> None:
        """Add an update to the sums: its losses and their weights, and the gradient's norm."""
        self.updates += 1
        sums = self.sums
        with np.errstate(over="ignore"):  # arrays of members would warn where floats do not
            sums["loss"] = sums["loss"] + value * context.mean_weight
            sums["weight"] = sums["weight"] + context.window.weight
            sums["norm"] = sums["norm"] + norm
        sums["updates"] = sums["updates"] + np.greater(context.window.weight, 0)

    def count_gradient(self) -> None:
        """Count a gradient of a method that keeps its own sums."""
        self.updates += 1

    def next_window(self) -> None:
        """The next window of the batch."""
        self.window, self.windows = self.window + 1, self.windows + 1

    def next_batch(self) -> None:
        """The first window of the next batch."""
        self.batch, self.window = self.batch + 1, 0

    @property
    def waited(self) -> np.ndarray:
        """Epochs since the best one, or since they are judged, () or (M,)."""
        waited: np.ndarray = self.epoch - np.maximum(self.best_epoch, self.since or 0)
        return waited

    def judge_from_here(self, value: Callable[[], Numbers]) -> None:
        """Know the training loss from here on; `value()` is that of theta.

        A run may be resumed with a goal that it had not. The best of the running means of its
        epochs, which are losses of no parameters, is then none.
        """
        between = self.batch == self.window == 0  # epochs: theta is the one that the last one left
        if self.epoch > 0:
            latest = value() if between else self._unknown()
            if "training_loss" not in self.history:
                self._forget_best()
                self.history["training_loss"] = [self._unknown()] * self.epoch
            self.history["training_loss"][-1] = latest
            self._keep_best()
        self.since = self.epoch

    def end(self, done: np.ndarray) -> None:
        """End the run, or of members those of a mask (M,), after this epoch; False ends none."""
        self.asked = True
        self.ended[...] = np.where(done & (self.ended == 0), self.epoch, self.ended)

    def close_epoch(self, values: Mapping[str, Numbers]) -> None:
        """Append to the history; keep theta where the loss that judges is the best so far."""
        if "training_loss" not in values:
            self.since = None
        unknown = dict.fromkeys(self.history.keys() - values.keys(), self._unknown())
        for name, value in {**values, **unknown}.items():
            # a run may be resumed with a metric that it had not
            self.history.setdefault(name, [self._unknown()] * self.epoch).append(value)
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, _no_sums()
        self._keep_best()

    def _unknown(self) -> Numbers:
        return as_numbers(np.full(self.best.shape, np.nan))

    def _forget_best(self) -> None:
        self.best = np.full(self.best.shape, np.inf)
        self.best_epoch = np.zeros(self.best.shape, np.int64)
        self.best_theta[...] = self.theta

    def _keep_best(self) -> None:
        better = np.asarray(self.judged < self.best)
        self.best = np.where(better, self.judged, self.best)
        self.best_epoch = np.where(better, self.epoch, self.best_epoch)
        self._best_rows()[better] = self.x[better]

    def best_x(self) -> np.ndarray:
        """The parameters of the best epoch, where there is one, else the last; as `x`.

        Where the callback said that it is done, they are those that it saw.
        """
        result = self.x.copy()
        known = (self.best_epoch > 0) & (self.ended == 0)
        result[known] = self._best_rows()[known]
        return result

    def _best_rows(self) -> np.ndarray:
        return self.best_theta.reshape(self.x.shape)

    def stored(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays of a checkpoint, and its plain values."""
        arrays = self._thetas()
        if (carried := self.arrays.carried) is not None:
            arrays |= dict(zip(STATE, carried, strict=True))
        meta: dict[str, Any] = {name: getattr(self, name) for name in _COUNTS}
        meta |= {"best": self.best.tolist(), "best_epoch": self.best_epoch.tolist()}
        if self.asked:
            meta[ENDED] = self.ended.tolist()
        meta["sums"] = {name: for_json(value) for name, value in self.sums.items()}
        meta["history"] = {
            name: [for_json(value) for value in values] for name, values in self.history.items()
        }
        return arrays, meta

    def _thetas(self) -> dict[str, np.ndarray]:
        thetas = self.theta, self.arrays.previous, self.best_theta
        return dict(zip(ARRAYS, thetas, strict=True))

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Stand where the checkpoint stood; a ValueError, for what is no such place, leaves all."""
        members = self.best.size if self.best.ndim else None
        place = _place(meta)
        thetas = {name: self._vector(arrays, name) for name in self._thetas()}
        best, best_epoch = _best(meta, members)
        ended = schema.wholes(ENDED, meta.get(ENDED, self.ended.tolist()), members, meta["epoch"])
        sums, history = _sums(meta, members), _history(meta, members)
        for name, theta in self._thetas().items():
            theta[...] = thetas[name]
        if any(name in arrays for name in STATE):
            self.arrays.carried = State(*(schema.native(arrays, name) for name in STATE))
        for name, count in place.items():
            setattr(self, name, count)
        self.best, self.best_epoch, self.sums, self.history = best, best_epoch, sums, history
        self.ended[...], self.asked = ended, ENDED in meta

    def _vector(self, arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        """Parameters of a checkpoint; a run that met others has not written them."""
        found = schema.array(arrays, name, self.theta.shape, self.theta.dtype.name)
        checks.require_finite(f"the array {name!r}", found, nan="it is of no run")
        return found

    def require_state(self, axes: tuple[int, ...], sizes: tuple[int, int]) -> None:
        """Refuse, as ValueError, a restored state that is not that after a window of its batch."""
        carried = self.arrays.carried
        # within a batch there is one, unless no member learns from it
        if (carried is not None) != (self.window > 0 and 0 not in axes):
            raise ValueError("a state is carried within a batch to learn from, and only there")
        for name, part, size in zip(STATE, carried or (), sizes, strict=False):
            schema.array({name: part}, name, (*axes, size), self.theta.dtype.name)


def _place(meta: Mapping[str, Any]) -> dict[str, int | None]:
    """The counts of a checkpoint."""
    place: dict[str, int | None] = {name: schema.whole(name, meta[name]) for name in _COUNTS[:-1]}
    schema.whole("updates", place["updates"], most=place["windows"] or 0)
    since = meta["since"]
    place["since"] = since if since is None else schema.whole("since", since, most=meta["epoch"])
    return place


def _best(meta: Mapping[str, Any], members: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The least losses, and the epochs that had them."""
    best = np.asarray(schema.numbers("best", meta["best"], members))
    if np.isnan(best).any():
        raise ValueError("best must be a number, received NaN")
    return best, np.asarray(schema.wholes("best_epoch", meta["best_epoch"], members, meta["epoch"]))


def _sums(meta: Mapping[str, Any], members: int | None) -> dict[str, Numbers]:
    """The sums of an epoch; none of members is an array before its first update."""
    sums = schema.mapping("sums", meta["sums"], tuple(_no_sums()))
    return {
        name: schema.numbers(f"sums.{name}", value, members if isinstance(value, list) else None)
        for name, value in sums.items()
    }


def _history(meta: Mapping[str, Any], members: int | None) -> dict[str, list[Numbers]]:
    """The history, a value of every name for every epoch."""
    epochs = meta["epoch"]
    given = meta["history"]
    metrics = filter(_is_metric, given if isinstance(given, dict) else ())
    known, more = (_HISTORY, (*_JUDGED, *metrics)) if epochs else ((), ())
    history = schema.mapping("history", given, known, more)
    found: dict[str, list[Numbers]] = {}
    for name, values in history.items():
        count = None if name == "learning_rate" else members
        listed = schema.items(f"history.{name}", values, epochs)
        found[name] = [schema.numbers(f"history.{name}", value, count) for value in listed]
    return found


def _is_metric(name: Any) -> bool:
    """Whether a name of a history is that of a metric, which may be any."""
    parts = ("training_", "validation_")
    return isinstance(name, str) and name.isidentifier() and name.startswith(parts)


def as_numbers(values: np.ndarray) -> Numbers:
    """A float for an array of no dimension."""
    return values if values.ndim else float(values)


def for_json(value: Any) -> Any:
    """A number, or those of members as a list."""
    return value.tolist() if isinstance(value, np.ndarray) else value


# what every run records; one that ended in its first epoch has them with no values
_ALWAYS = ("loss", "gradient_norm")


def metrics_of(history: Mapping[str, Any]) -> dict[str, str]:
    """The names of a history that are metrics, and what these are called."""
    names = (name for name in history if name not in _JUDGED and _is_metric(name))
    return {name: name.partition("_")[2] for name in names if not name.endswith("_members")}


def by_name(history: Mapping[str, list[Numbers]]) -> dict[str, np.ndarray]:
    """The history as arrays: of values of members, "loss" is their mean, "loss_members" all."""
    result = {}
    for name, values in (history or {name: [] for name in _ALWAYS}).items():
        array = np.array(values)
        if array.ndim == 2:
            with np.errstate(all="ignore"):  # a validation loss may be infinite
                result[name] = array.mean(axis=1)
            name = f"{name}_members"
        result[name] = array
    return result
