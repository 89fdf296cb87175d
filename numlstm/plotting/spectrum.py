"""Eigenvalues in the complex plane."""

from typing import Any

import numpy as np

from numlstm.plotting.picture import BLUE, GREY, Picture, look, one
from numlstm.utils import checks

_CIRCLE = "numlstm.plotting: unit circle"


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
    usual = {"color": BLUE, "marker": "o", "linestyle": "none"}
    (drawn,) = ax.plot(places.real, places.imag, **look(usual, points))
    if "label" in points:
        ax.legend()
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)
    ax.set(xlabel="real part", ylabel="imaginary part")
    return Picture(ax.figure, ax, {"points": drawn, "circle": _circle(ax)})


def _circle(ax: Any) -> Any:
    """The unit circle of the axes, drawn once."""
    found = [line for line in ax.lines if line.get_gid() == _CIRCLE]
    if not found:
        around = np.exp(2j * np.pi * np.linspace(0, 1, 201))
        found = ax.plot(
            *(around.real, around.imag), color=GREY, linewidth=0.8, zorder=0, gid=_CIRCLE
        )
    return found[0]
