"""Forecasts with their band, what was before and what came."""

from typing import Any

import numpy as np

from numlstm.plotting.columns import chosen
from numlstm.plotting.picture import BLACK, BLUE, Picture, look, one, place_ticks
from numlstm.plotting.series import Series, are_several, places_after, read
from numlstm.utils import checks
from numlstm.utils.types import Array

_OBSERVED = {"color": BLACK, "linewidth": 1.0, "label": "observed"}
_LATER = {
    "linestyle": ":",
    "marker": ".",
    "markersize": 4,
    "label": "came later",
}  # beside a history
_FORECAST = {"color": BLUE, "linewidth": 1.6, "label": "forecast"}
_BAND = {"alpha": 0.25, "linewidth": 0}


def forecast(
    prediction: Any,
    lower: Any = None,
    upper: Any = None,
    *,
    history: Any = None,
    truth: Any = None,
    start: Any = None,
    output: Any = None,
    ax: Any = None,
    **line: Any,
) -> Picture:
    """Draw forecasts with a band, what was observed before, and what came.

    Parameters
    ----------
    prediction : array_like, shape (h,) or (h, O), or list of these, or Band, or Backtest
        The forecast; a list has those of several times. A band of `FitResult.covariance` has its
        ends in it; what `numlstm.backtest` gives has all its forecasts, and their steps.
    lower, upper : array_like or list, as `prediction`, optional
        The ends of a band.
    history : array_like, shape (T,) or (T, K), optional
        What was observed. Without labels its steps are 0 to T - 1. It may go on beyond the
        forecasts, as that of a backtest does, where there is no `truth`.
    truth : array_like, shape (h,) or (h, O), or list, optional
        What came, after the history. Without labels it has the steps of the forecast.
    start : int, or sequence of int, optional
        The step of the first forecast of `prediction`, of a list one for each. Default: after
        `history`, or else 1. Labels say it themselves.
    output : int or str, optional
        Which of several targets, by number or name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; several calls may draw in one. Default: a new figure.
    **line
        Of the line of the forecast, for `matplotlib.axes.Axes.plot`, such as ``label="LSTM",
        color="C1"``. The band has its colour.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes`` and ``artists``: "forecast" and "band", lists with one for each
        forecast, "truth", a list, too, and the line "history", as far as they were given.

    Raises
    ------
    ValueError, TypeError
        For several sequences, shapes or labels that do not fit each other, one end of a band alone,
        infinite values, dates beside what has none, and a truth that begins before the history
        ends.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import plotting
    >>> past, ahead = np.sin(np.arange(50) / 5), np.sin(np.arange(50, 60) / 5)
    >>> picture = plotting.forecast(ahead, ahead - 0.2, ahead + 0.2, history=past)
    >>> picture.artists["forecast"][0].get_xdata()
    array([50, 51, 52, 53, 54, 55, 56, 57, 58, 59])
    """
    prediction, lower, upper, start = _parts(prediction, lower, upper, start)
    wholes = _each("prediction", prediction)
    past = None if history is None else chosen(read("history", history), output, wholes[0])
    parts = _placed([chosen(whole, output) for whole in wholes], past, start)
    bands = _bands(lower, upper, parts, wholes, output)
    came = _came(truth, parts, wholes, output)
    every = [*([] if past is None else [past]), *parts, *came]
    _require_one_kind(every)
    if past is not None:
        _require_later(past, came)
    ax = one(ax, (7.2, 3.6))
    artists: dict[str, Any] = {}
    if past is not None:
        (artists["history"],) = _lines(ax, [past], _OBSERVED)
    if came:
        artists["truth"] = _lines(ax, came, _OBSERVED | ({} if past is None else _LATER))
    artists["forecast"] = _lines(ax, parts, look(_FORECAST, line))
    if bands:
        shade = _BAND | {"color": artists["forecast"][0].get_color()}
        artists["band"] = [
            ax.fill_between(part.where(), low, high, **shade)
            for part, (low, high) in zip(parts, bands, strict=True)
        ]
    ax.set_xlabel(next((part.along for part in every if part.along), ""))
    if title := next((part.quantity for part in every if part.quantity), ""):
        ax.set_ylabel(title)
    place_ticks(ax, parts[0].where())
    ax.legend()
    return Picture(ax.figure, ax, artists)


def _parts(given: Any, lower: Any, upper: Any, start: Any) -> tuple[Any, Any, Any, Any]:
    """Forecasts with their ends and first steps, also of a Band or a Backtest."""
    if hasattr(given, "cuts"):
        labelled = read("prediction", given.forecasts[0]).places is not None
        known = None if labelled else given.cuts
        return given.forecasts, lower, upper, known if start is None else start
    if hasattr(given, "lower") and isinstance(given, tuple):
        if lower is not None or upper is not None:
            raise ValueError(
                "prediction is a Band, which has its ends in it: leave lower= and upper= out, or "
                "pass prediction[0]"
            )
        return given[0], given[1], given[2], start
    return given, lower, upper, start


def _each(name: str, value: Any, likes: list[Series] | None = None) -> list[Series]:
    """The series of a list, or the only one."""
    values = list(value) if are_several(value) else [value]
    if likes is None:
        return [read(name, part) for part in values]
    if len(values) != len(likes):
        raise ValueError(
            f"{name} must have one for each forecast, {len(likes)}, received {len(values)}"
        )
    return [read(name, part, like=like) for part, like in zip(values, likes, strict=True)]


def _placed(parts: list[Series], past: Series | None, start: Any) -> list[Series]:
    """Forecasts with their places along the axis."""
    if start is not None and any(part.places is not None for part in parts):
        raise ValueError(
            f"start={checks.shown(start)} says where forecasts without labels begin, and "
            "prediction has labels: leave it out"
        )
    if start is None and len(parts) > 1 and any(part.places is None for part in parts):
        raise ValueError(
            f"prediction has {len(parts)} forecasts without labels: pass start=, the step of the "
            "first of each, as the cuts of a backtest"
        )
    firsts = [None] * len(parts) if start is None else np.atleast_1d(start).tolist()
    if len(firsts) != len(parts):
        raise ValueError(
            f"start must be one step for each forecast, {len(parts)}, received {len(firsts)}"
        )
    return [_at(part, past, first) for part, first in zip(parts, firsts, strict=True)]


def _at(part: Series, past: Series | None, first: Any) -> Series:
    if part.places is not None:
        return part
    if first is not None:
        return part._replace(places=part.where(checks.size("start", first, minimum=0)))
    if past is None:
        return part._replace(places=part.where(1), along="steps ahead")
    return part._replace(places=places_after(past, len(part.values)), along=past.along)


def _bands(
    lower: Any, upper: Any, parts: list[Series], wholes: list[Series], output: Any
) -> list[tuple[Array, Array]]:
    """The ends of the band of every forecast; none where there is no band."""
    if lower is None and upper is None:
        return []
    ends = []
    for name, value in (("lower", lower), ("upper", upper)):
        if value is None:
            raise ValueError(f"a band has two ends: pass {name}=, too")
        found = _each(name, value, wholes)
        pairs = zip(found, wholes, parts, strict=True)
        ends.append([_beside(end, whole, part, output)[:, 0] for end, whole, part in pairs])
    return list(zip(*ends, strict=True))


def _beside(given: Series, whole: Series, part: Series, output: Any) -> Array:
    """The values of the steps of a forecast."""
    values = chosen(given, output, whole).values
    if len(values) != len(part.values):
        raise ValueError(
            f"{given.name} must have the {len(part.values)} steps of the forecast, received "
            f"{len(values)}"
        )
    return values


def _came(truth: Any, parts: list[Series], wholes: list[Series], output: Any) -> list[Series]:
    """The truths, where their labels say, or else at the forecasts."""
    if truth is None:
        return []
    found = _each("truth", truth)
    if all(part.places is not None for part in found):
        return [chosen(part, output, wholes[0]) for part in found]
    if len(found) != len(parts):
        raise ValueError(
            f"truth must be a list with one for each forecast, {len(parts)}, or have labels"
        )
    return [
        given._replace(values=_beside(given, whole, part, output), places=part.places)
        for given, whole, part in zip(found, wholes, parts, strict=True)
    ]


def _require_one_kind(every: list[Series]) -> None:
    """Refuse dates beside numbers."""
    dated = {part.name: part.where().dtype.kind == "M" for part in every}
    if len(set(dated.values())) > 1:
        yes, no = (next(name for name in dated if dated[name] is kind) for kind in (True, False))
        raise ValueError(
            f"{yes} has dates, and {no} has none: pass both with dates, or both as arrays, "
            f"{yes}.to_numpy()"
        )


def _require_later(past: Series, came: list[Series]) -> None:
    """Refuse truths that would be drawn over the history."""
    last = past.where().max()
    for part in came:
        if (first := part.where().min()) <= last:
            raise ValueError(
                f"history goes on to {_place(last)}, and truth begins at {_place(first)}: end "
                "history before that, or leave truth out, as history shows it already"
            )


def _place(value: Any) -> str:
    """A step, or a time without the zeros at its end."""
    if value.dtype.kind != "M":
        return f"step {value:g}"
    return str(np.datetime_as_string(value, unit="s")).removesuffix("T00:00:00")


def _lines(ax: Any, parts: list[Series], shown: dict[str, Any]) -> list[Any]:
    """A line for each series, one of them in the legend; of one step a point."""
    lines: list[Any] = []
    for part in parts:
        alone = {"marker": "o", "markersize": 4} if len(part.values) == 1 else {}
        own = {"label": "_" + str(shown["label"])} if lines else {}
        lines += ax.plot(part.where(), part.values[:, 0], **(alone | shown | own))
    return lines
