"""Those who follow a run from epoch to epoch: its file, a progress bar, the user's callback."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from numlstm.training.checkpoints import Record
from numlstm.training.progress import Progress, by_name, metrics_of
from numlstm.utils import bars


class Listeners:
    """A context in which the bar is shown; `record` is where the run is stored, if anywhere."""

    def __init__(
        self,
        progress: Progress,
        bar: "Bar",
        *,
        callback: Callable[..., Any] | None = None,
        record: Record | None = None,
    ):
        self.record = record
        self._call = None if callback is None else caller(callback, progress)
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
        """One more epoch; whatever the callback raises goes through."""
        self._bar.advance()
        if self._call is not None:
            self._call()


def caller(callback: Callable[..., Any], progress: Progress) -> Callable[[], None]:
    """A function that calls the user's callback, in the way SciPy does."""
    from scipy.optimize import OptimizeResult

    named = list(_parameters(callback)) == ["intermediate_result"]

    def call() -> None:
        latest = by_name({name: values[-1:] for name, values in progress.history.items()})
        values = {name: _value(array[-1]) for name, array in latest.items()}
        result = OptimizeResult(
            x=progress.x.copy(),
            fun=values["loss"],
            nit=progress.epoch,
            nfev=progress.updates,
            **values,
        )
        if named:
            callback(intermediate_result=result)
        else:
            callback(result)

    return call


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
