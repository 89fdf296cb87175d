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
_SIZE = 6.4, 3.6
_LINE = "numlstm.plotting: importance"  # by which those of calls before are known
_WIDE = 100  # ratio of the largest to the smallest from which a logarithmic axis says more


def lag_importance(values: Any, *, lags: Any = None, names: Any = None, ax: Any = None) -> Picture:
    """Draw how much the past counts: a line over lags for each feature.

    Parameters
    ----------
    values : array_like, shape (K,) or (K, I), or LagImportance
        The importance of each of I features by the lag, 0 first: the step that is explained. What
        `numlstm.inspection.lag_importance` gives has its lags and names in it, a frame its names.
    lags : array_like, shape (K,), optional
        The lags. Default: the numbers in the index of a frame, or 0, 1, ...
    names : str or sequence of str, optional
        Names of the features, in the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; several calls may draw in one, each in the next colours. Default: a new
        figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "lines", one for each feature.

    Raises
    ------
    ValueError, TypeError
        For other shapes, infinite values, names of another number of features, and attributions of
        which the importance was not taken.
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
    if hasattr(values, "like_inputs"):
        raise TypeError(
            "values must be importances by lag, received an Attribution: pass "
            "numlstm.inspection.lag_importance(attribution)"
        )
    label = "importance"
    if hasattr(values, "lags"):
        label = "mean |attribution| (units of the prediction)"
        lags = values.lags if lags is None else lags
        values, names = values.values, values.features if names is None else names
    given = read("values", values)
    titles = column_names(names, given.names, given.values.shape[1])
    numbered = given.places is not None and given.places.dtype.kind in "iuf"
    lags = given.where() if lags is None and numbered else lags
    places = np.arange(len(given.values)) if lags is None else checks.array("lags", lags, "float64")
    if places.shape != given.values.shape[:1]:
        raise ValueError(
            f"lags must be {len(given.values)}, as many as values, received {places.shape}"
        )
    ax = one(ax, _SIZE)
    before = sum(line.get_gid() == _LINE for line in ax.lines)
    looks = [style(before + i) | {"gid": _LINE} for i in range(len(titles))]
    lines = _over_lags(ax, places, given.values, titles, looks)
    if before or names is not None or len(lines) > 1:
        ax.legend()
    ax.set_ylabel(given.quantity if len(titles) > 1 and given.quantity else label)
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
        Which of several sequences. Default: the mean over all that reach so far back, as the legend
        says; so what differs in sign from one to the other cancels.
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
        For other shapes, several features where none is chosen, a list of several sequences without
        a row, infinite values, and parts of other lengths than the total.
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
    names, label = None, "sensitivity (output by input)"
    if hasattr(total, "hidden"):
        label = getattr(total, "quantity", label)
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
    ax, rows, whose = one(ax, _SIZE), _rows(total), ""
    if rows > 1:
        whose = f", mean of {rows} sequences" if row is None else f", sequence {row % rows}"
    titles = [words[name] + whose * (name == "total") for name in given]
    lines = _over_lags(ax, np.arange(len(values)), values, titles, kept)
    if len(lines) > 1 or whose:
        ax.legend()
    there = values[np.isfinite(values)]
    if there.size and there.min() > 0 and there.max() > _WIDE * there.min():
        log_scale(ax, there)
    ax.set_ylabel(label)
    return Picture(ax.figure, ax, dict(zip(given, lines, strict=True)))


def _rows(value: Any) -> int:
    """How many sequences an array has."""
    return len(value) if isinstance(value, np.ndarray) and value.ndim == 3 else 1


def _feature(name: str, value: Any, names: Any, feature: Any, row: int | None) -> Array:
    """The sensitivities by one feature of one sequence, or in the mean over them, (K, 1)."""
    if row is None and _rows(value) > 1:
        value = _mean(checks.array(name, value, "float64", finite=False))
    found = read(name, value, row)
    if names is not None and len(names) == found.values.shape[1]:
        found = found._replace(names=tuple(names))
    return chosen(found, feature, word="feature").values


def _mean(values: Array) -> Array:
    """Over the sequences that have a step so long ago; NaN where none has."""
    there = ~np.isnan(values)
    sums, counts = np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _over_lags(
    ax: Any, places: Array, values: Array, labels: list[str], looks: list[dict[str, Any]]
) -> list[Any]:
    """Lines over lags, one for each column."""
    mark = "." if len(values) <= _FEW_LAGS else None
    lines = []
    for column, label, look in zip(values.T, labels, looks, strict=True):
        lines += ax.plot(places, column, marker=mark, label=label, **look)
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_xlabel("lag (steps before)")
    ax.margins(x=0.02)
    whole_ticks(ax.xaxis)
    return lines
