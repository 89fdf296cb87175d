"""Heat maps of units over time: gates, cells and hidden states, with the inputs above."""

from typing import Any

import numpy as np

from numlstm.plotting.columns import column_names
from numlstm.plotting.heat_maps import heat_map, largest, symmetric
from numlstm.plotting.picture import Picture, several, style, whole_ticks
from numlstm.plotting.series import Series, at_same_times, has_rows, read
from numlstm.utils import checks
from numlstm.utils.types import Array

_APART = 6  # inputs that have axes of their own
_ROWS = 24  # of which every one has its name
_ROUNDED = 1e-6  # by how much a gate in float32 may be beyond 0 or 1


def gates(
    values: Any,
    inputs: Any = None,
    *,
    names: Any = None,
    row: int | None = None,
    ax: Any = None,
) -> Picture:
    """Draw gates over time: a heat map with a row for each unit, from 0, closed, to 1, open.

    Parameters
    ----------
    values : array_like, shape (T, H) or (B, T, H)
        The gate of H units in every step, as ``model.trace(X).f[0]`` is that of the first layer.
        Steps with NaN stay blank.
    inputs : array_like, shape (T,), (T, I) or (B, T, I), optional
        What the network read, drawn above over the same steps, each of up to six in axes of its
        own, and more together. Its times are those of the gates, unless these have their own.
    names : sequence, optional
        Names of the units, or their numbers, as ``trace.axes.units`` of some that were chosen.
        Default: the columns of a frame, the coordinate of a DataArray, or 0, 1, ...
    row : int, optional
        Which of several sequences.
    ax : matplotlib.axes.Axes, or array of them, optional
        Where to draw; with `inputs` several, the map in the last one: two, where all inputs are
        drawn together, or one more than inputs. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "map", "colorbar" and of inputs "inputs", lines.
        ``axes`` is one Axes, with `inputs` an array, the map's last.

    Raises
    ------
    ValueError, TypeError
        For other shapes, several sequences without a row, inputs of other steps, names of another
        number of units, infinite values, and values below 0 or above 1, which are of no gate: see
        `states`.
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
    colours = {"cmap": "viridis", "vmin": 0, "vmax": 1, "label": "0 closed, 1 open"}
    return _over_units(*_beside(_named(given, names), inputs, row), ax, colours)


def states(
    values: Any,
    inputs: Any = None,
    *,
    scale: str = "all",
    names: Any = None,
    row: int | None = None,
    ax: Any = None,
) -> Picture:
    """Draw cells, hidden states or candidates over time: a heat map with a row for each unit.

    White is 0; the colours reach as far below as above.

    Parameters
    ----------
    values : array_like, shape (T, H) or (B, T, H)
        The values of H units in every step, as ``model.trace(X).c[0]`` are those of the first
        layer. Steps with NaN stay blank.
    inputs : array_like, shape (T,), (T, I) or (B, T, I), optional
        What the network read, drawn above, as in `gates`.
    scale : {"all", "unit"}, optional
        "unit": every unit is divided by its own largest absolute value, so that one with large
        values does not turn the others white. Default: all units have the colours of one scale.
    names, row, ax : optional
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
    checks.choice("scale", scale, ("all", "unit"))
    given, above = _beside(_named(read("values", values, row), names), inputs, row)
    label = "state (units of the network)"
    if scale == "unit":
        label = f"{given.quantity or 'state'} / largest of the unit"
        given = given._replace(values=given.values / largest(given.values, axis=0), quantity="")
    return _over_units(given, above, ax, symmetric(given.values) | {"label": label})


def _range(values: Array) -> tuple[float, float]:
    there = values[~np.isnan(values)]
    return (float(there.min()), float(there.max())) if there.size else (0.0, 0.0)


def _named(given: Series, names: Any) -> Series:
    """With the names of units that the caller gave."""
    if names is None:
        return given
    count = given.values.shape[1]
    return given._replace(names=tuple(column_names(names, None, count, "unit")))


def _over_units(given: Series, above: Series | None, ax: Any, colours: dict[str, Any]) -> Picture:
    """A heat map of units, with the inputs above."""
    many = 0 if above is None else above.values.shape[1]
    panels = _panels(ax, many)
    axes = several(ax, panels + 1, lambda plt: _axes(plt, panels))
    if above is not None and given.places is None:
        given = given._replace(places=above.places, along=above.along)
    artists = heat_map(axes[-1], given, colours, below=above is not None)
    axes[-1].set_ylabel("unit")
    _unit_ticks(axes[-1], given)
    if above is None:
        return Picture(axes[0].figure, axes[0], artists)
    artists["inputs"] = _lines(axes[:-1], above._replace(places=given.where()))
    for upper in axes[:-1]:
        upper.set_xlim(axes[-1].get_xlim())
    return Picture(axes[0].figure, axes, artists)


def _unit_ticks(ax: Any, given: Series) -> None:
    """Names of units, unless they are 0, 1, ...; not more of them than can be read."""
    count = given.values.shape[1]
    names = given.names or ()
    if not names or names == tuple(map(str, range(count))):
        whole_ticks(ax.yaxis)
        return
    shown = range(0, count, -(-count // _ROWS))
    ax.set_yticks(shown, [names[index] for index in shown])


def _panels(ax: Any, many: int) -> int:
    """How many axes the inputs have: each its own, unless they are many, or the caller's two."""
    apart = many <= _APART if ax is None else np.size(ax) == many + 1
    return many if apart else min(many, 1)


def _axes(plt: Any, panels: int) -> Any:
    if not panels:
        return plt.subplots(figsize=(7.2, 3.6), layout="constrained")[1]
    heights = [1.2 if panels == 1 else 0.8] * panels + [2.8]
    size = 7.2, sum(heights) + 1
    return plt.subplots(
        *(panels + 1, 1), sharex=True, figsize=size, height_ratios=heights, layout="constrained"
    )[1]


def _beside(given: Series, inputs: Any, row: int | None) -> tuple[Series, Series | None]:
    """Values, without what is behind their sequence, and the inputs of the same steps."""
    if inputs is None:
        return _without_end(given), None
    above = read("inputs", inputs, row if has_rows(inputs) else False)
    steps = len(above.values)
    if steps < len(given.values) and np.isnan(given.values[steps:]).all():  # of a shorter one
        given = given.until(steps)
    if steps != len(given.values):
        raise ValueError(
            f"inputs must have the {len(given.values)} steps of values, received {steps}"
        )
    if given.places is not None and above.places is not None:
        given = at_same_times(given, above)
    return given, above


def _without_end(given: Series) -> Series:
    """Without steps at the end that have neither values nor times."""
    if given.places is None or given.places.dtype.kind != "M":
        return given
    there = ~(np.isnat(given.places) & np.isnan(given.values).all(axis=1))
    return given.until(int(np.flatnonzero(there).max(initial=0)) + 1)


def _lines(axes: Array, above: Series) -> list[Any]:
    """A line for each feature, in axes of its own or all in one, with names above the curves."""
    columns = above.values.T
    titles = column_names(None, above.names, len(columns))
    alone = len(axes) == len(columns)
    lines = []
    for index, (column, title) in enumerate(zip(columns, titles, strict=True)):
        ax = axes[index if alone else 0]
        lines += ax.plot(above.where(), column, linewidth=1.2, label=title, **style(index))
    for ax, title in zip(axes, titles, strict=False):
        ax.tick_params(labelbottom=False)
        if alone and len(columns) > 1:
            ax.set_title(title, loc="left", fontsize="small", pad=3)
    if len(columns) == 1:
        axes[0].set_ylabel(above.quantity or "input")
    elif not alone:
        axes[0].set_ylabel(above.quantity or "inputs")
        where = {"loc": "lower left", "bbox_to_anchor": (0, 1)}  # above, not on the curves
        axes[0].legend(ncols=3, fontsize="small", frameon=False, **where)
    return lines
