"""Heat maps over time: gates and states of units, attributions of features."""

from typing import Any

import numpy as np

from numlstm.plotting.columns import feature_names
from numlstm.plotting.picture import GREY, Picture, place_ticks, several, style, whole_ticks
from numlstm.plotting.series import Series, are_several, read
from numlstm.utils.types import Array

_DIVERGING = (
    "RdBu_r"  # blue below 0, red above, white at 0: safe for the colour-blind, as viridis is
)
_ROUNDED = 1e-6  # by how much a gate in float32 may be beyond 0 or 1


def gates(values: Any, inputs: Any = None, *, row: int | None = None, ax: Any = None) -> Picture:
    """Draw gates over time: a heat map with a row for each unit, from 0, closed, to 1, open.

    Parameters
    ----------
    values : array_like, shape (T, H) or (B, T, H)
        The gate of H units in every step, as ``model.trace(X).f[0]`` is that of the first layer.
        Steps with NaN stay blank.
    inputs : array_like, shape (T,), (T, I) or (B, T, I), optional
        What the network read, drawn above as lines over the same steps. Its times are those of the
        gates, unless these have their own.
    row : int, optional
        Which of several sequences.
    ax : matplotlib.axes.Axes, or array of two, optional
        Where to draw; with `inputs` two, theirs first. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "map", "colorbar" and of inputs "inputs", lines.
        ``axes`` is one Axes, with `inputs` an array of two.

    Raises
    ------
    ValueError, TypeError
        For other shapes, several sequences without a row, inputs of other steps, infinite values,
        and values below 0 or above 1, which are of no gate: see `states`.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import plotting
    >>> forget = np.random.default_rng(0).uniform(size=(50, 8))
    >>> figure, axes, artists = plotting.gates(forget, inputs=np.sin(np.arange(50)))
    >>> artists["map"].get_array().shape, artists["map"].get_clim()
    ((8, 50), (0.0, 1.0))
    """
    given = read("values", values, row)
    low, high = _range(given.values)
    if low < -_ROUNDED or high > 1 + _ROUNDED:
        raise ValueError(
            f"gates are between 0 and 1, received values from {low:.3g} to {high:.3g}: "
            "numlstm.plotting.states draws cells, hidden states and candidates"
        )
    label = "0 closed, 1 open"
    return _over_units(given, inputs, row, ax, {"cmap": "viridis", "vmin": 0, "vmax": 1}, label)


def states(values: Any, inputs: Any = None, *, row: int | None = None, ax: Any = None) -> Picture:
    """Draw cells, hidden states or candidates over time: a heat map with a row for each unit.

    White is 0; the colours reach as far below as above.

    Parameters
    ----------
    values : array_like, shape (T, H) or (B, T, H)
        The values of H units in every step, as ``model.trace(X).c[0]`` are those of the first
        layer. Steps with NaN stay blank.
    inputs, row, ax : optional
        As in `gates`.

    Returns
    -------
    picture : Picture
        As that of `gates`.

    Raises
    ------
    ValueError, TypeError
        As `gates`, but for the range of the values.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import plotting
    >>> cells = np.random.default_rng(0).normal(size=(2, 50, 8))
    >>> picture = plotting.states(cells, row=1)
    >>> low, high = picture.artists["map"].get_clim()
    >>> bool(high == -low == abs(cells[1]).max())
    True
    """
    given = read("values", values, row)
    return _over_units(given, inputs, row, ax, _symmetric(given.values), "value")


def attribution(
    values: Any,
    *,
    lags: bool = False,
    names: Any = None,
    row: int | None = None,
    ax: Any = None,
) -> Picture:
    """Draw what each feature added to an answer, and when: a heat map over steps or lags.

    White is 0; the colours reach as far below as above.

    Parameters
    ----------
    values : array_like, shape (T, I) or (B, T, I), or Attribution
        The attributions of I features, step by step, as `numlstm.inspection.integrated_gradients`
        gives them.
    lags : bool, optional
        True: the rows are lags, 0 first, the step that is explained. They are drawn from right to
        left, so that time goes on to the right. Default: they are steps, in the order of time.
    names : sequence of str, optional
        Names of the features. Default: those of a frame.
    row : int, optional
        Which of several sequences.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "map" and "colorbar".

    Raises
    ------
    ValueError, TypeError
        For other shapes, several sequences without a row, infinite values and names of another
        number of features.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import plotting
    >>> values = np.random.default_rng(0).normal(size=(30, 2))
    >>> picture = plotting.attribution(values, names=["rain", "temperature"])
    >>> [label.get_text() for label in picture.axes.get_yticklabels()]
    ['rain', 'temperature']
    """
    if hasattr(values, "like_inputs"):
        values, names = values.like_inputs(), names or values.features
    given = read("values", values, row)
    count = given.values.shape[1]
    titles = feature_names(names, given.names, count)
    height = min(1.6 + 0.35 * count, 8.0)
    (axes,) = several(
        ax, 1, lambda plt: plt.subplots(figsize=(7.2, height), layout="constrained")[1]
    )
    unit = given.quantity if count > 1 else ""
    artists = _map(axes, given, _symmetric(given.values), unit or "attribution")
    axes.set_yticks(range(count), titles)
    if lags:
        axes.invert_xaxis()
        axes.set_xlabel("lag (steps before)")
    return Picture(axes.figure, axes, artists)


def _over_units(
    given: Series, inputs: Any, row: int | None, ax: Any, colours: dict[str, Any], label: str
) -> Picture:
    """A heat map of units, with the inputs above."""
    above = None if inputs is None else _beside(given, inputs, row)
    axes = several(ax, 1 if above is None else 2, lambda plt: _axes(plt, above is not None))
    if above is not None and given.places is None:
        given = given._replace(places=above.places, along=above.along)
    title = given.quantity if given.values.shape[1] > 1 and given.quantity else label
    artists = _map(axes[-1], given, colours, title, below=above is not None)
    axes[-1].set_ylabel("unit")
    whole_ticks(axes[-1].yaxis)
    if above is None:
        return Picture(axes[0].figure, axes[0], artists)
    artists["inputs"] = _lines(axes[0], above._replace(places=given.where()))
    axes[0].set_xlim(axes[1].get_xlim())
    return Picture(axes[0].figure, axes, artists)


def _axes(plt: Any, two: bool) -> Any:
    if not two:
        return plt.subplots(figsize=(7.2, 3.6), layout="constrained")[1]
    return plt.subplots(
        *(2, 1), sharex=True, figsize=(7.2, 5), height_ratios=[1, 2.2], layout="constrained"
    )[1]


def _beside(given: Series, inputs: Any, row: int | None) -> Series:
    """The inputs of the same steps."""
    several_rows = are_several(inputs) or len(getattr(inputs, "shape", ())) == 3
    above = read("inputs", inputs, row if several_rows else False)
    if len(above.values) != len(given.values):
        raise ValueError(
            f"inputs must have the {len(given.values)} steps of values, received "
            f"{len(above.values)}"
        )
    if given.places is not None and above.places is not None:
        given.given.agreed(above.given)
    return above


def _lines(ax: Any, above: Series) -> list[Any]:
    """A line for each feature."""
    columns = above.values.T
    titles = feature_names(None, above.names, len(columns))
    lines = []
    for index, (column, title) in enumerate(zip(columns, titles, strict=True)):
        lines += ax.plot(above.where(), column, linewidth=1.2, label=title, **style(index))
    if len(lines) > 1:
        ax.legend(ncols=3, fontsize="small")
    ax.set_ylabel(above.quantity or ("input" if len(lines) == 1 else "inputs"))
    ax.tick_params(labelbottom=False)
    return lines


def _map(
    ax: Any, given: Series, colours: dict[str, Any], label: str, below: bool = False
) -> dict[str, Any]:
    """The heat map with its colour bar."""
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


def _range(values: Array) -> tuple[float, float]:
    there = values[~np.isnan(values)]
    return (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)


def _symmetric(values: Array) -> dict[str, Any]:
    """Colours around 0."""
    reach = max(map(abs, _range(values))) or 1.0
    return {"cmap": _DIVERGING, "vmin": -reach, "vmax": reach}
