"""What heat maps over time have in common: cells, colours, the colour bar."""

from typing import Any

import numpy as np

from numlstm.plotting.picture import GREY, place_ticks
from numlstm.plotting.series import Series
from numlstm.utils.types import Array

# blue below 0, red above, white at 0: safe for the colour-blind, as viridis is
_DIVERGING = "RdBu_r"


def heat_map(
    ax: Any, given: Series, colours: dict[str, Any], below: bool = False
) -> dict[str, Any]:
    """The heat map with its colour bar."""
    label = colours.pop("label")
    if given.quantity and given.values.shape[1] > 1:
        label = given.quantity
    rows = np.ma.masked_invalid(given.values.T)
    ends = _edges(given.where()), np.arange(len(rows) + 1) - 0.5
    ax.set_facecolor("0.85")  # of what is missing
    mesh = ax.pcolormesh(*ends, rows, shading="flat", rasterized=True, **colours)
    # beside a map that has inputs above it, it would make these the wider ones
    where = {"location": "bottom", "aspect": 50} if below else {"location": "right"}
    bar = ax.figure.colorbar(mesh, ax=ax, label=label, **where)
    bar.outline.set_edgecolor(GREY)
    ax.invert_yaxis()
    ax.set_xlabel(given.along)
    place_ticks(ax, given.where())
    return {"map": mesh, "colorbar": bar}


def _edges(places: Array) -> Array:
    """Where the cells of a map end: half way between their places."""
    if places.dtype.kind == "M":
        places = places.astype("datetime64[us]")  # halves of days are none
        half: Any = np.timedelta64(12, "h")
    else:
        places, half = places.astype(np.float64), 0.5
    if np.isnan(places).any() or (len(places) > 1 and (np.diff(places) <= 0 * half).any()):
        raise ValueError("the times of values must go forward: sort them, and keep each time once")
    if len(places) == 1:
        return np.array([places[0] - half, places[0] + half])
    steps = np.diff(places) / 2
    middle = places[:-1] + steps
    return np.concatenate([[places[0] - steps[0]], middle, [places[-1] + steps[-1]]])


def symmetric(values: Array) -> dict[str, Any]:
    """Colours around 0."""
    reach = float(largest(values))
    return {"cmap": _DIVERGING, "vmin": -reach, "vmax": reach}


def largest(values: Array, axis: int | None = None) -> Array:
    """The largest absolute value, 1 where all are 0 or missing."""
    reach: Array = np.abs(np.nan_to_num(values)).max(axis=axis)
    return np.where(reach > 0, reach, 1.0)
