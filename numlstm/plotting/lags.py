"""Lines over lags: how much the past counts, and by which way it arrives."""

from typing import Any

import numpy as np

from numlstm.plotting.columns import chosen, column_names
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

_FEW_LAGS = 40  # that are marked one by one
_WIDE = 100  # ratio of the largest to the smallest from which a logarithmic axis says more


def lag_importance(values: Any, *, lags: Any = None, names: Any = None, ax: Any = None) -> Picture:
    """Draw how much the past counts: a line over lags for each feature.

    Parameters
    ----------
    values : array_like, shape (K,) or (K, I), or LagImportance
        The importance of each of I features by the lag, 0 first: the step that is explained. What
        `numlstm.inspection.lag_importance` gives has its lags and names in it, a frame its names.
    lags : array_like, shape (K,), optional
        The lags. Default: 0, 1, ...
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
    if hasattr(values, "lags"):
        values, lags, names = values.values, values.lags, names or values.features
    given = read("values", values)
    titles = column_names(names, given.names, given.values.shape[1])
    places = np.arange(len(given.values)) if lags is None else checks.array("lags", lags, "float64")
    if places.shape != given.values.shape[:1]:
        raise ValueError(
            f"lags must be {len(given.values)}, as many as values, received {places.shape}"
        )
    looks = [style(i) for i in range(len(titles))]
    lines = _over_lags(ax, places, given.values, titles, looks)
    ax = lines[0].axes
    ax.set_ylabel(given.quantity if len(titles) > 1 and given.quantity else "importance")
    return Picture(ax.figure, ax, {"lines": lines})


def memory(
    total: Any,
    cell: Any = None,
    hidden: Any = None,
    *,
    feature: int | str | None = None,
    row: int | None = None,
    ax: Any = None,
) -> Picture:
    """Draw how much of the past arrives, and by which way: sensitivities over lags.

    Parameters
    ----------
    total : array_like, shape (K,), (K, I) or (B, K, I), or MemoryPaths
        How much an output moves with the inputs, or states, so many steps before, lag 0 first. What
        `numlstm.inspection.memory_paths` gives has all three in it.
    cell, hidden : array_like, of the same shape, optional
        The parts of it that came through cells alone, and through a hidden state.
    feature : int or str, optional
        Which of several features, by number or name.
    row : int, optional
        Which of several sequences.
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
        For other shapes, several features or sequences where none is chosen, infinite values, and
        parts of other lengths than the total.
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
    names = None
    if hasattr(total, "hidden"):
        total, cell, hidden, names = total.total, total.cell, total.hidden, total.names
    ways = {"total": total, "cell": cell, "hidden": hidden}
    given = {
        name: _feature(name, value, names, feature, row)
        for name, value in ways.items()
        if name == "total" or value is not None
    }
    for name, found in given.items():
        if len(found) != len(given["total"]):
            raise ValueError(
                f"total, cell and hidden must have the same lags, received {name} of "
                f"{len(found)} beside {len(given['total'])}"
            )
    looks = [{"color": BLACK}, {"color": BLUE}, {"color": VERMILION, "linestyle": "--"}]
    words = {"total": "total", "cell": "through cells alone", "hidden": "through hidden states"}
    kept = [look for look, name in zip(looks, ways, strict=True) if name in given]
    values = np.concatenate(list(given.values()), axis=1)
    places = np.arange(len(values))
    lines = _over_lags(ax, places, values, [words[name] for name in given], kept)
    ax, there = lines[0].axes, values[np.isfinite(values)]
    if there.size and there.min() > 0 and there.max() > _WIDE * there.min():
        log_scale(ax, there)
    ax.set_ylabel("sensitivity")
    return Picture(ax.figure, ax, dict(zip(given, lines, strict=True)))


def _feature(name: str, value: Any, names: Any, feature: Any, row: int | None) -> Array:
    """The sensitivities by one feature of one sequence, (K, 1)."""
    found = read(name, value, row)
    if names is not None and len(names) == found.values.shape[1]:
        found = found._replace(names=tuple(names))
    return chosen(found, feature, word="feature").values


def _over_lags(
    ax: Any, places: Array, values: Array, labels: list[str], looks: list[dict[str, Any]]
) -> list[Any]:
    """Lines over lags, one for each column."""
    ax, mark = one(ax, (6.4, 3.6)), "." if len(values) <= _FEW_LAGS else None
    lines = []
    for column, label, look in zip(values.T, labels, looks, strict=True):
        lines += ax.plot(places, column, marker=mark, label=label, **look)
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_xlabel("lag (steps before)")
    ax.margins(x=0.02)
    whole_ticks(ax.xaxis)
    if len(lines) > 1:
        ax.legend()
    return lines
