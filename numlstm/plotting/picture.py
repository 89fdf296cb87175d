"""What pictures have in common: axes, colours, ticks, and matplotlib on first use."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numlstm.utils import checks, optional
from numlstm.utils.types import Array

# Okabe & Ito (2008), "Color universal design": told apart with every kind of colour blindness
BLACK, BLUE, VERMILION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY, GREY = "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
STYLES = ("-", "--", ":", "-.")  # of the first lines of every colour, of the second, ...
_FEW_DECADES = 1.7  # up to so many, 2 and 5 have ticks as well
_PLAIN = (1e-3, 1e5)  # between these the ticks of a logarithmic axis are no powers
_DATES = 8  # at most, along an axis


class Picture(NamedTuple):
    """What was drawn; made by the functions of `numlstm.plotting`.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure that the axes are in.
    axes : matplotlib.axes.Axes, or ndarray of Axes
        One, or an array of several.
    artists : dict of str to matplotlib.artist.Artist
        What is drawn in them, by name; each function says which there are. Of several of a kind, a
        list.
    """

    figure: Any
    axes: Any
    artists: dict[str, Any]

    def __repr__(self) -> str:
        """What is drawn, on one line: a notebook shows it above the figure."""
        return f"<Picture: {', '.join(self.artists)}>"


def pyplot() -> Any:
    """matplotlib.pyplot; without it an error that says what to install."""
    return optional.require("matplotlib.pyplot", "numlstm[plot]", "numlstm.plotting")


def one(ax: Any, size: tuple[float, float]) -> Any:
    """The Axes given, or those of a new figure."""
    if ax is None:
        return pyplot().subplots(figsize=size, layout="constrained")[1]
    return several(ax, 1, lambda plt: None)[0]


def several(ax: Any, count: int, make: Callable[[Any], Any]) -> Array:
    """The Axes given, as many as are needed, in an array (count,), or those that are made."""
    given = np.asarray(make(pyplot()) if ax is None else ax, object).ravel()
    if not all(hasattr(axes, "set_xlabel") for axes in given):
        raise TypeError(
            f"ax must be {_axes(count)}, as of matplotlib.pyplot.subplots, received "
            f"{checks.shown(ax)}"
        )
    if given.size != count:
        raise ValueError(f"ax must be {_axes(count)}, received {given.size} of them")
    return given


def _axes(count: int) -> str:
    return "a matplotlib Axes" if count == 1 else f"an array of {count} matplotlib Axes"


def style(index: int) -> dict[str, Any]:
    """Colour and dashes of one of several lines."""
    dashes = STYLES[index // len(CYCLE) % len(STYLES)]
    return {"color": CYCLE[index % len(CYCLE)], "linestyle": dashes}


def look(usual: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """How a line looks: as usual, but for what the caller says, in long names or short."""
    from matplotlib import cbook, lines

    return usual | cbook.normalize_kwargs(own, lines.Line2D)


def whole_ticks(axis: Any) -> None:
    """Ticks at whole numbers only."""
    axis.get_major_locator().set_params(integer=True)


def place_ticks(ax: Any, places: Array) -> None:
    """Ticks of times that do not run into each other, or at whole steps."""
    if places.dtype.kind == "M":
        dates: Any = importlib.import_module("matplotlib.dates")  # which has no types
        locator = dates.AutoDateLocator(maxticks=_DATES)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    elif places.dtype.kind == "i":
        whole_ticks(ax.xaxis)


def log_scale(ax: Any, values: Array) -> None:
    """A logarithmic y axis, its ticks in plain numbers."""
    from matplotlib import ticker

    ax.set_yscale("log")
    decades = np.log10(values.max() / values.min())
    subs = (1.0, 2.0, 5.0) if decades < _FEW_DECADES else (1.0,)
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
    if _PLAIN[0] <= values.min() and values.max() < _PLAIN[1]:
        ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(ticker.NullFormatter())
