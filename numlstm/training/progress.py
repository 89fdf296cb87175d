"""What a fit tells while it runs: the callback, and a progress bar."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

from numlstm.training.loop import Progress


def caller(callback: Any, progress: Progress) -> Callable[[], None]:
    """A function that calls the user's callback, in the way SciPy does."""
    from scipy.optimize import OptimizeResult

    named = list(_parameters(callback)) == ["intermediate_result"]

    def call() -> None:
        latest = {name: values[-1] for name, values in progress.history.items()}
        result = OptimizeResult(
            x=progress.theta.copy(),
            fun=latest["loss"],
            nit=progress.epoch,
            nfev=progress.updates,
            **latest,
        )
        if named:
            callback(intermediate_result=result)
        else:
            callback(result)

    return call


def _parameters(callback: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(callback).parameters)
    except (TypeError, ValueError):  # some built-in functions tell nothing
        return ()


class Bar:
    """A tqdm bar over epochs with the latest losses; `progress=None` asks whether to show it."""

    def __init__(self, shown: bool | None, epochs: int, progress: Progress):
        from tqdm import tqdm

        self._progress = progress
        if shown is None:
            shown = sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm(
            total=epochs, initial=progress.epoch, disable=not shown, unit="epoch", leave=True
        )

    def __enter__(self) -> "Bar":
        """Show the bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def advance(self) -> None:
        """One more epoch."""
        history = self._progress.history
        shown = {"loss": "loss", "validation_loss": "validation"}
        latest = {shown[name]: f"{history[name][-1]:.4g}" for name in shown if name in history}
        self._bar.set_postfix(latest, refresh=False)
        self._bar.update()
