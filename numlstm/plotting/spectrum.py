"""Eigenvalues in the complex plane, and time constants."""

from typing import Any

import numpy as np

from numlstm.plotting.picture import BLUE, GREY, Picture, log_scale, look, one, style, whole_ticks
from numlstm.utils import checks

_CIRCLE = "numlstm.plotting: unit circle"
_FEW = 40  # points that are drawn large


def eigenvalues(values: Any, *, ax: Any = None, **points: Any) -> Picture:
    """Draw eigenvalues beside the unit circle, inside of which a linear system forgets.

    Parameters
    ----------
    values : array_like, of any shape
        Real or complex eigenvalues, as `numpy.linalg.eigvals` gives them of one matrix or of many.
    ax : matplotlib.axes.Axes, optional
        Where to draw; several calls may draw in one. Default: a new figure.
    **points
        Of the points, for `matplotlib.axes.Axes.plot`, such as ``label="at rest", color="C1"``.
        Many are small and transparent, unless this says otherwise.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "points" and "circle".

    Raises
    ------
    ValueError, TypeError
        For what is no number, infinite or missing.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> from numlstm import plotting
    >>> picture = plotting.eigenvalues([0.9 + 0.2j, 0.9 - 0.2j, 0.5], label="at rest")
    >>> picture.artists["points"].get_ydata()
    array([ 0.2, -0.2,  0. ])
    """
    places = np.asarray(values).ravel()
    if places.dtype.kind not in "iufc" or places.size == 0:
        raise TypeError(f"values must be numbers, real or complex, received {checks.shown(values)}")
    if not np.isfinite(places).all():
        raise ValueError("values must be finite, received some that are infinite or NaN")
    ax = one(ax, (4.6, 4.6))
    usual = {"color": BLUE, "linestyle": "none"} | _dots(places.size)
    (drawn,) = ax.plot(places.real, places.imag, **look(usual, points))
    if "label" in points:
        ax.legend()
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)
    ax.set(xlabel="real part", ylabel="imaginary part")
    return Picture(ax.figure, ax, {"points": drawn, "circle": _circle(ax)})


def _dots(count: int) -> dict[str, Any]:
    """Where there are many, they are not one blob."""
    if count <= _FEW:
        return {"marker": "o", "markersize": 5}
    return {"marker": ".", "markersize": 5, "alpha": max(0.15, _FEW / count)}


def _circle(ax: Any) -> Any:
    """The unit circle of the axes, drawn once."""
    found = [line for line in ax.lines if line.get_gid() == _CIRCLE]
    if not found:
        around = np.exp(2j * np.pi * np.linspace(0, 1, 201))
        found = ax.plot(
            *(around.real, around.imag), color=GREY, linewidth=0.8, zorder=0, gid=_CIRCLE
        )
    return found[0]


def time_constants(values: Any, *, ax: Any = None) -> Picture:
    """Draw for how long units remember: their time constants, the longest first.

    Parameters
    ----------
    values : array_like, shape (H,) or (L, H), or TimeConstants
        Time constants of the units of a layer, or of each of several, in steps, as
        `numlstm.inspection.time_constants` gives them. Infinite ones are counted in the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "layers", the points of each layer. Those of one layer
        have the numbers of the units below them.

    Raises
    ------
    ValueError, TypeError
        For other shapes, what is missing or below 0, and where all are infinite.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> from numlstm import plotting
    >>> picture = plotting.time_constants([2.5, 180.0, 11.0])
    >>> [label.get_text() for label in picture.axes.get_xticklabels()]
    ['1', '2', '0']
    """
    layers = np.atleast_2d(
        checks.array("values", getattr(values, "steps", values), "float64", finite=False)
    )
    if layers.ndim != 2 or not (layers > 0).all() or not np.isfinite(layers).any():
        raise ValueError(
            "values must be time constants above 0, of shape (H,) or (L, H), some of them finite, "
            f"received {checks.shown(values)}"
        )
    ax, lines = one(ax, (6.4, 3.6)), []
    for index, layer in enumerate(layers):
        kept = np.sort(layer[np.isfinite(layer)])[::-1]
        ranks, endless = np.arange(layer.size - kept.size, layer.size), layer.size - kept.size
        label = f"layer {index}" + f", {endless} without an end" * (endless > 0)
        lines += ax.plot(
            ranks, kept, **style(index) | {"marker": "o", "linestyle": "none"}, label=label
        )
    log_scale(ax, layers[np.isfinite(layers)])
    if len(layers) == 1 and layers.size <= _FEW:
        ax.set_xticks(range(layers.size), np.argsort(-layers[0], kind="stable"))
    else:
        whole_ticks(ax.xaxis)
    if len(layers) > 1 or not np.isfinite(layers).all():
        ax.legend()
    title = "unit, the longest first" if len(layers) == 1 else "units of each layer, in order"
    ax.set(xlabel=title, ylabel="time constant (steps)")
    return Picture(ax.figure, ax, {"layers": lines})
