"""What inputs added to an answer, and when."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.plotting.columns import column_names
from numlstm.plotting.heat_maps import heat_map, symmetric
from numlstm.plotting.picture import BLUE, GREY, Picture, several
from numlstm.plotting.series import Series, places_after, read
from numlstm.utils.types import Array


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
        gives them: with those of features that are known ahead as further rows, and those of the
        attributes of the sequence as bars beside the map.
    lags : bool, optional
        True: over lags, of which 0 is the step that is explained, drawn from right to left, so that
        time goes on to the right. An Attribution says which step that is; the rows of arrays are
        lags, 0 first. Default: over steps, in the order of time.
    names : sequence of str, optional
        Names of the features. Default: those of a frame.
    row : int, optional
        Which of several sequences.
    ax : matplotlib.axes.Axes, or array of two, optional
        Where to draw; two, where there are attributes, whose bars are in the second one. Default: a
        new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "map", "colorbar" and of attributes "static", bars.
        ``axes`` is one Axes, with attributes an array of two.

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
    given, others = _read(values, row)
    titles = column_names(names, given.names, given.values.shape[1])
    count, label = len(titles) + others.ahead.shape[1], "attribution"
    if others.output:
        given, label = given._replace(quantity=""), f"attribution to\n{others.output}"
    given, bars = _with_ahead(given, others.ahead), others.static
    if lags:
        given = _by_lag(given, others)
    axes = several(ax, 1 + (bars.size > 0), lambda plt: _axes(plt, count, bars.size))
    colours = symmetric(np.append(given.values, bars)) | {"label": label}
    artists = heat_map(axes[0], given, colours)
    titles += column_names(None, others.known_ahead, count - len(titles), "known ahead")
    axes[0].set_yticks(range(count), titles)
    if lags:
        axes[0].invert_xaxis()
    if not bars.size:
        return Picture(axes[0].figure, axes[0], artists)
    artists["static"] = _bars(axes[1], bars, others.attributes)
    return Picture(axes[0].figure, axes, artists)


class _Others(NamedTuple):
    """What an Attribution has beside the inputs, of one sequence."""

    output: str = ""
    ahead: Array = np.zeros((0, 0))  # (N, F)
    static: Array = np.zeros(0)  # (S,)
    attributes: tuple[str, ...] | None = None
    known_ahead: tuple[str, ...] | None = None
    read: tuple[int, int] | None = None  # the step that is explained, and the first that is read


def _read(values: Any, row: int | None) -> tuple[Series, _Others]:
    """Attributions of the inputs, and of what else was read."""
    if not hasattr(values, "like_inputs"):
        return read("values", values, row), _Others()
    found, shape = values.like_inputs(), values.values.shape
    is_table = not isinstance(found, list) and len(shape) == 3 and found.shape == shape[:2]
    found = values.values if is_table and shape[2] == 1 else found  # whose rows are sequences
    given = read("values", found, row)
    names, one = given.names or values.features, 0 if row is None else row
    ahead, static = _Others().ahead, _Others().static
    if values.future is not None:  # what is known after the last step is read at it
        later = values.future.shape[1] - values.values.shape[1]
        ahead = values.future[one, : len(given.values) + later]
    if values.static is not None:
        static = values.static[one]
    names_of_others = values.attributes, values.known_ahead
    steps = int(values.steps[one]), int(values.start[one])
    others = _Others(values.output, ahead, static, *names_of_others, steps)
    return given._replace(names=names), others


def _with_ahead(given: Series, ahead: Array) -> Series:
    """With further columns, of which some steps are later than the last one of the others."""
    if not ahead.size:
        return given
    own, steps = given.values.shape[1], max(len(given.values), len(ahead))
    values = np.full((steps, own + ahead.shape[1]), np.nan)
    values[: len(given.values), :own] = given.values
    values[: len(ahead), own:] = ahead
    places = given.places
    if places is not None and steps > len(places):
        places = np.concatenate([places, places_after(given, steps - len(places))])
    return given._replace(values=values, places=places)


def _by_lag(given: Series, others: _Others) -> Series:
    """Over lags from the least one on: of an Attribution those that were read."""
    along = "lag (steps before)"
    if others.read is None:
        if given.places is not None and given.places.dtype.kind == "M":
            raise ValueError(
                "lags=True reads the rows of values as lags, 0 first, and these have dates: pass "
                "the Attribution itself, which knows the step that is explained, or leave it out"
            )
        return given._replace(along=along)
    (step, start), values = others.read, given.values[others.read[1] :]
    lags = step - np.arange(start, len(given.values))
    return given._replace(values=values[::-1], places=lags[::-1], along=along)


def _axes(plt: Any, rows: int, bars: int) -> Any:
    height = min(1.6 + 0.35 * max(rows, 0.7 * bars), 8.0)
    ratios = [4, 1] if bars else [1]
    return plt.subplots(
        *(1, len(ratios)),
        figsize=(9.0 if bars else 7.2, height),
        width_ratios=ratios,
        layout="constrained",
    )[1]


def _bars(ax: Any, values: Array, names: tuple[str, ...] | None) -> Any:
    """A bar for each attribute of the sequence."""
    titles = column_names(None, names, values.size, "attribute")
    bars = ax.barh(range(values.size), values, color=BLUE)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.set_yticks(range(values.size), titles)
    ax.invert_yaxis()
    ax.yaxis.tick_right()
    ax.locator_params(axis="x", nbins=3)
    ax.set_title("attributes", fontsize="medium")
    return bars
