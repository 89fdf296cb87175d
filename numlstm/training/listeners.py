"""Those who follow a run from epoch to epoch: its file, a progress bar, the user's callback."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from numlstm.model.lstm import LSTM
from numlstm.training.checkpoints import Record
from numlstm.training.progress import Progress, by_name, metrics_of
from numlstm.utils import bars

Views: TypeAlias = Mapping[str, Any]  # see `views_of`


class Listeners:
    """A context in which the bar is shown; `record` is where the run is stored, if anywhere."""

    def __init__(
        self,
        progress: Progress,
        bar: "Bar",
        *,
        callback: Callable[..., Any] | None = None,
        record: Record | None = None,
        views: Views | None = None,
    ):
        self.record, self._progress = record, progress
        self._call = None if callback is None else caller(callback, progress, views)
        self._bar = bar

    def __enter__(self) -> "Listeners":
        """Show the bar."""
        return self

    def __exit__(self, *failure: object) -> None:
        """Leave the bar as it is; the record says what it lacks."""
        self._bar.close(failed=any(failure))
        if self.record is not None:
            self.record.close()

    def on_epoch(self) -> None:
        """One more epoch; whatever the callback raises goes through, what it ends is noted."""
        self._bar.advance()
        if self._call is not None and (done := self._call()) is not None:
            self._progress.end(done)


def views_of(models: Sequence[LSTM], progress: Progress) -> Views:
    """What a callback sees of the networks: their parameters as they are, which it cannot change.

    They are `model` of one network, `models` of the members of an ensemble.
    """
    theta = progress.x.view()
    theta.flags.writeable = False
    if theta.ndim == 1:
        return {"model": models[0]._viewing(theta)}
    return {"models": [model._viewing(row) for model, row in zip(models, theta, strict=True)]}


def caller(
    callback: Callable[..., Any], progress: Progress, views: Views | None = None
) -> Callable[[], np.ndarray | None]:
    """A function that calls the user's callback, in the way SciPy does, and says what is done."""
    from scipy.optimize import OptimizeResult

    named = list(_parameters(callback)) == ["intermediate_result"]

    def call() -> np.ndarray | None:
        latest = by_name({name: values[-1:] for name, values in progress.history.items()})
        values = {name: _value(array[-1]) for name, array in latest.items()}
        result = OptimizeResult(
            x=progress.x.copy(),
            fun=values["loss"],
            nit=progress.epoch,
            nfev=progress.updates,
            **values,
            **(views or {}),
        )
        answer = callback(intermediate_result=result) if named else callback(result)
        return _done(answer, progress)

    return call


def _done(answer: Any, progress: Progress) -> np.ndarray | None:
    """Whether the callback said that a network is done, or (M,) which members are.

    Only truth values say so: None for whatever else a callback returns.
    """
    if isinstance(answer, (list, tuple)) and answer:
        answer = np.array(answer) if all(map(_is_truth, answer)) else None
    if not _is_truth(answer) and getattr(answer, "dtype", None) != np.dtype(bool):
        return None
    done, members = np.asarray(answer), progress.best.shape
    if done.shape not in ((), members):
        there = f"there are {members[0]} members" if members else "a fit has one network"
        raise ValueError(
            f"callback returned truth values of shape {done.shape}, and {there}: return True "
            "where it is done" + ", or an array with one value for each member" * bool(members)
        )
    return done


def _is_truth(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


def _value(latest: Any) -> Any:
    return latest if np.ndim(latest) else float(latest)


def _parameters(callback: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(callback).parameters)
    except (TypeError, ValueError):  # some built-in functions tell nothing
        return ()


class Bar:
    """A tqdm bar over epochs with the latest losses, below a line that says what was read.

    `shown=None` shows it on a terminal and in notebooks.
    """

    def __init__(self, shown: bool | None, epochs: int, progress: Progress, words: str):
        self._progress = progress
        self._bar = bars.bar(
            shown, words, total=epochs, initial=progress.epoch, unit="epoch", leave=True
        )

    def close(self, *, failed: bool = False) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            bars.close(self._bar, failed=failed)

    def advance(self) -> None:
        """One more epoch."""
        if self._bar is None:
            return
        history = self._progress.history
        shown = {"loss": "loss", "validation_loss": "validation"} | metrics_of(history)
        latest = {
            shown[name]: f"{np.mean(history[name][-1]):.4g}" for name in shown if name in history
        }
        self._bar.set_postfix(latest, refresh=False)
        self._bar.update()
