"""Losses and metrics by epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numlstm.plotting.picture import GREY, Picture, log_scale, one, style, whole_ticks
from numlstm.utils import checks
from numlstm.utils.types import Array

_LOSSES = {
    "loss": "training loss",
    "training_loss": "training loss after the epoch",
    "validation_loss": "validation loss",
}
_JUDGES = ("validation_loss", "training_loss")  # by which a fit chooses, the first that is there


def learning_curve(history: Mapping[str, Any], curves: Any = None, *, ax: Any = None) -> Picture:
    """Draw losses, or metrics, by epoch, with the best epoch marked.

    Parameters
    ----------
    history : mapping of str to array_like, shape (E,)
        One value per epoch, ``result.history`` of `numlstm.fit` or `numlstm.ensemble`.
    curves : str or sequence of str, optional
        Which entries to draw, such as "validation_rmse". Default: the losses that there are. Losses
        have a logarithmic axis if none is 0 or below.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: a line for each curve, by its name, and "best", a line
        at the epoch of the least "validation_loss", or else "training_loss": its parameters are
        those that a fit with a validation, `tol` or `patience` returns.

    Raises
    ------
    ValueError, TypeError
        For no history, and curves that it does not have.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> from numlstm import plotting
    >>> history = {"loss": [1.0, 0.5, 0.3], "validation_loss": [1.1, 0.6, 0.7]}
    >>> figure, axes, artists = plotting.learning_curve(history)
    >>> artists["best"].get_label()
    'best epoch: 2'
    """
    drawn = {name: _curve(history, name) for name in _chosen(history, curves)}
    ax = one(ax, (6.4, 3.6))
    artists = {}
    for index, (name, values) in enumerate(drawn.items()):
        epochs = np.arange(1, values.size + 1)
        label = _LOSSES.get(name, name.replace("_", " "))
        mark = "." if values.size < 2 else None
        (artists[name],) = ax.plot(epochs, values, marker=mark, label=label, **style(index))
    judge = next((name for name in _JUDGES if name in history), None)
    if judge is not None and np.isfinite(losses := _curve(history, judge)).any():
        best = int(np.nanargmin(losses)) + 1
        label = f"best epoch: {best}"
        artists["best"] = ax.axvline(best, color=GREY, linestyle="--", linewidth=1.2, label=label)
    every = np.concatenate(list(drawn.values()))
    every = every[np.isfinite(every)]
    if set(drawn) <= set(_LOSSES) and every.size and every.min() > 0:
        log_scale(ax, every)
    ylabel = "loss" if set(drawn) <= set(_LOSSES) else " and ".join(_words(name) for name in drawn)
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.margins(x=0)
    whole_ticks(ax.xaxis)
    ax.legend()
    return Picture(ax.figure, ax, artists)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _chosen(history: Any, curves: Any) -> list[str]:
    """The names of the curves to draw."""
    if not isinstance(history, Mapping) or isinstance(history.get("history"), Mapping):
        raise TypeError(
            "history must be a mapping of names to values by epoch, result.history of a fit, "
            f"received {type(history).__name__}"
        )
    if curves is None:
        chosen = [name for name in _LOSSES if name in history]
    else:
        chosen = [curves] if isinstance(curves, str) or not np.iterable(curves) else list(curves)
    unknown = [name for name in chosen if name not in history]
    if unknown or not chosen:
        what = f"no {unknown[0]!r}" if unknown else "none of the losses"
        raise ValueError(
            f"history has {what}: pass curves= one or several of {[*map(str, history)]}"
        )
    return chosen


def _curve(history: Mapping[str, Any], name: str) -> Array:
    values = checks.array(f"history[{name!r}]", history[name], "float64", finite=False)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"history[{name!r}] must have one value per epoch, (E,), received {values.shape}"
        )
    return values
