"""Lines: learning curves, and what is over lags."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numlstm.plotting.picture import (
    BLACK,
    BLUE,
    GREY,
    VERMILION,
    Picture,
    log_scale,
    one,
    style,
    whole_ticks,
)
from numlstm.plotting.series import read
from numlstm.utils import checks
from numlstm.utils.types import Array

_LOSSES = {
    "loss": "training loss",
    "training_loss": "training loss after the epoch",
    "validation_loss": "validation loss",
}
_JUDGES = ("validation_loss", "training_loss")  # by which a fit chooses, the first that is there
_FEW_LAGS = 40  # that are marked one by one
_WIDE = 100  # ratio of the largest to the smallest from which a logarithmic axis says more


def learning_curve(history: Mapping[str, Any], curves: Any = None, *, ax: Any = None) -> Picture:
    """Losses, or metrics, by epoch, with the best epoch marked.

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
        chosen = [curves] if isinstance(curves, str) else list(curves)
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


def lag_importance(values: Any, *, names: Any = None, ax: Any = None) -> Picture:
    """How much the past counts: a line over lags for each feature.

    Parameters
    ----------
    values : array_like, shape (K,) or (K, I)
        The importance of each of I features by the lag, 0 first: the step that is explained. The
        columns of a frame are named by it.
    names : sequence of str, optional
        Names of the features.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "lines", one for each feature.

    Raises
    ------
    ValueError, TypeError
        For other shapes, infinite values and names of another number of features.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import plotting
    >>> importance = 0.8 ** np.arange(20)[:, None] * [1.0, 0.3]
    >>> picture = plotting.lag_importance(importance, names=["rain", "temperature"])
    >>> [line.get_label() for line in picture.artists["lines"]]
    ['rain', 'temperature']
    """
    given = read("values", values)
    titles = feature_names(names, given.names, given.values.shape[1])
    lines = _over_lags(ax, given.values, titles, [style(i) for i in range(len(titles))])
    ax = lines[0].axes
    ax.set_ylabel(given.quantity if len(titles) > 1 and given.quantity else "importance")
    return Picture(ax.figure, ax, {"lines": lines})


def memory(total: Any, cell: Any = None, hidden: Any = None, *, ax: Any = None) -> Picture:
    """How much of the past arrives, and by which way: sensitivities over lags.

    Parameters
    ----------
    total : array_like, shape (K,)
        How much the output moves with the state so many steps before, lag 0 first.
    cell, hidden : array_like, shape (K,), optional
        The parts of it that came through the cell, and through the hidden state.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: the lines "total", "cell" and "hidden". The axis is
        logarithmic where all values are above 0 and spread over more than a factor of 100.

    Raises
    ------
    ValueError, TypeError
        For other shapes, infinite values, and parts of other lengths than the total.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import plotting
    >>> lags = np.arange(100)
    >>> picture = plotting.memory(0.9**lags, 0.8 * 0.9**lags, 0.2 * 0.9**lags)
    >>> list(picture.artists), picture.axes.get_yscale()
    (['total', 'cell', 'hidden'], 'log')
    """
    ways = {"total": total, "cell": cell, "hidden": hidden}
    given = {name: read(name, value).values for name, value in ways.items() if value is not None}
    for name, values in given.items():
        if values.shape != (len(given["total"]), 1):
            raise ValueError(
                f"total, cell and hidden must have one value for each lag, (K,), received {name} "
                f"of shape {values.shape} beside {len(given['total'])} lags"
            )
    looks = [{"color": BLACK}, {"color": BLUE}, {"color": VERMILION, "linestyle": "--"}]
    words = {"total": "total", "cell": "through the cell", "hidden": "through the hidden state"}
    kept = [look for look, name in zip(looks, ways, strict=True) if name in given]
    values = np.concatenate(list(given.values()), axis=1)
    lines = _over_lags(ax, values, [words[name] for name in given], kept)
    ax, there = lines[0].axes, values[np.isfinite(values)]
    if there.size and there.min() > 0 and there.max() > _WIDE * there.min():
        log_scale(ax, there)
    ax.set_ylabel("sensitivity")
    return Picture(ax.figure, ax, dict(zip(given, lines, strict=True)))


def _over_lags(ax: Any, values: Array, labels: list[str], looks: list[dict[str, Any]]) -> list[Any]:
    """Lines over lags, one for each column."""
    ax, mark = one(ax, (6.4, 3.6)), "." if len(values) <= _FEW_LAGS else None
    lines = []
    for column, label, look in zip(values.T, labels, looks, strict=True):
        lines += ax.plot(np.arange(len(values)), column, marker=mark, label=label, **look)
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_xlabel("lag (steps before)")
    ax.margins(x=0.02)
    whole_ticks(ax.xaxis)
    if len(lines) > 1:
        ax.legend()
    return lines


def feature_names(names: Any, known: tuple[str, ...] | None, count: int) -> list[str]:
    """A name for each feature: those given, those that are known, or its number."""
    if names is None:
        return (
            list(known) if known and len(known) == count else [f"feature {i}" for i in range(count)]
        )
    given = [names] if isinstance(names, str) else [str(name) for name in names]
    if len(given) != count:
        raise ValueError(f"names must be {count}, one for each feature, received {len(given)}")
    return given
