"""numlstm.backtest: how good forecasts would have been, at several times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.data import labels
from numlstm.data.labels import moments, parts
from numlstm.objectives.scores import Sums, of_outputs
from numlstm.training.fit import fit
from numlstm.training.result import FitResult
from numlstm.utils import checks
from numlstm.utils.tables import Table
from numlstm.utils.types import Array

# what goes with rows of X, or with one run
_REFUSED = ("sample_weight", "lengths", "reset", "checkpoint", "resume")


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts and what came; made by `numlstm.backtest`.

    Attributes
    ----------
    cuts : tuple of int
        Numbers of steps after which it was forecast, N.
    forecasts, truths : list
        Of every cut what was forecast and what came, each (h, O) or (B, h, O), or a list of (h, O);
        of frames and DataArrays with their labels, of a column a frame, as `forecast` gives it.
    results : list of FitResult
        Of every cut the fit.
    rmse, mae : ndarray, shape (O,)
        Root mean squared and mean absolute error of every target, over all cuts, series and steps
        ahead; what is NaN did not come, and does not count.
    rmse_by_step, mae_by_step : ndarray, shape (h, O)
        The same for each step ahead.
    recursive : bool
        Whether forecasts were fed back, step by step, or all steps forecast at once.
    """

    cuts: tuple[int, ...]
    forecasts: list[Any]
    truths: list[Any]
    results: list[FitResult]
    rmse: Array
    mae: Array
    rmse_by_step: Array
    mae_by_step: Array
    recursive: bool

    def __repr__(self) -> str:
        """The errors step by step, in a table."""
        horizon, targets = self.rmse_by_step.shape
        names = self.results[0].model.names.outputs(targets)
        titles = ["Step"] + [f"{kind} {name}" for name in names for kind in ("rmse", "mae")]
        lines = [*zip(self.rmse_by_step, self.mae_by_step, strict=True), (self.rmse, self.mae)]
        firsts = [*map(str, range(1, horizon + 1)), "all"]
        rows = [
            (first, *(f"{value:.4g}" for pair in zip(*line, strict=True) for value in pair))
            for first, line in zip(firsts, lines, strict=True)
        ]
        way = "fed back" if self.recursive else "at once"
        head = f"<Backtest of {len(self.cuts)} forecasts of {horizon} steps, {way}>"
        return f"{head}\n{Table(tuple(titles), rows, 'r' * len(titles))}"


def backtest(
    series: Any,
    horizon: int,
    cuts: Any,
    *,
    y: Any = None,
    future: Any = None,
    static: Any = None,
    recursive: bool | None = None,
    **fit_keywords: Any,
) -> Backtest:
    """Forecast as if it were then: fit to what came before, and compare with what came after.

    At every cut a network is fitted anew to all steps before it, an expanding window, and forecasts
    the next `horizon` ones: what ``fit(series, **fit_keywords)`` and ``forecast(series, horizon)``
    give.

    Parameters
    ----------
    series : array_like, shape (T,), (T, I) or (B, T, I), or list of series
        What was observed, in any of the forms that `fit` takes; several series are cut at the same
        number of steps each.
    horizon : int
        Number of steps that are forecast, h.
    cuts : int, sequence of int, or dates
        After how many steps to forecast, each at least h before the end of the shortest series, or
        dates of the series' index, in any form: the first time that is forecast. Or one integer,
        how many times: the last h steps are then forecast, the h before, and so on.
    y : array_like or list, optional
        What to forecast, one per step. Default: `series` itself.
    future : array_like or list, optional
        Features known ahead: as in `fit`, with a row for each step of the series.
    static : array_like, optional
        Attributes of the series: as in `fit`.
    recursive : bool, optional
        True: learn the next step and feed the forecasts back, as `fit` without a horizon and
        `LSTM.forecast` do. False: forecast all h steps at once, as ``fit(horizon=h)`` does.
        Default: True where such a network can, without `y`, with the losses "mse", "mae" and
        "huber" and no mask channels; else False. A model given forecasts as it was fitted to.
    **fit_keywords
        Further arguments of `fit`, the same at every cut; not those that say something of rows or
        of one run: "sample_weight", "lengths", "reset", "checkpoint", "resume".

    Returns
    -------
    result : Backtest
        With ``cuts``, ``forecasts``, ``truths``, ``results``, ``rmse``, ``mae`` (O,),
        ``rmse_by_step`` and ``mae_by_step`` (h, O), in the units of the data, and ``recursive``.

    Raises
    ------
    ValueError, TypeError
        For cuts that leave nothing to forecast, and as `fit` and `LSTM.forecast`.

    References
    ----------
    Tashman (2000), "Out-of-sample tests of forecasting accuracy", International Journal of
    Forecasting 16(4).

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> series = np.sin(np.arange(200) / 5)
    >>> tested = numlstm.backtest(series, 3, 2, hidden_size=4, epochs=5, rng=0)
    >>> tested.cuts, tested.rmse_by_step.shape
    ((194, 197), (3, 1))
    """
    horizon = checks.size("horizon", horizon)
    _require_known(fit_keywords)
    if recursive is None:
        recursive = _feeds_back(y, fit_keywords)
    recursive = checks.flag("recursive", recursive)
    given = labels.inputs("series", series)
    if recursive and y is not None:
        raise ValueError(
            "recursive=True feeds forecasts of the series back, and y is another thing: leave one "
            "of them out"
        )
    steps = min(parts.counts(given), default=0)
    places = _places(_counted(cuts, given), horizon, steps)
    batch = np.ndim(given.values) == 3 if not isinstance(given.values, list) else False
    of, target = _targets(given, y)
    direct = None if recursive else horizon
    forecasts, truths, results = [], [], []
    for cut in places:
        before = parts.steps(given, series, 0, cut, batch=batch)
        past = None if y is None else parts.steps(of, target, 0, cut, batch=batch)
        known = {"future": future, "static": static}
        result = fit(before, past, horizon=direct, **known, **fit_keywords)
        forecast = result.model.forecast(before, horizon, **known)
        after = parts.steps(given, series, cut, cut + horizon, batch=batch)
        came = None if y is None else parts.steps(of, target, cut, cut + horizon, batch=batch)
        forecast, truth = _alike(after, forecast, came, result.model.names, batch)
        forecasts.append(forecast)
        truths.append(truth)
        results.append(result)
    by_step = _sums(forecasts, truths)
    pooled = by_step.pooled()
    return Backtest(
        tuple(places),
        forecasts,
        truths,
        results,
        rmse=of_outputs("rmse", pooled)[0],
        mae=of_outputs("mae", pooled)[0],
        rmse_by_step=of_outputs("rmse", by_step),
        mae_by_step=of_outputs("mae", by_step),
        recursive=recursive,
    )


def _targets(given: labels.Labelled, y: Any) -> tuple[labels.Labelled, Any]:
    """What is to be forecast, with its labels and as it is; of rows of a panel by series."""
    of = labels.companion(given, "y", y)
    if type(of) is labels.Labelled:
        return of, of.values
    return labels.read("y", y, None, given), y


def _feeds_back(y: Any, keywords: Mapping[str, Any]) -> bool:
    """Whether what `fit` makes without a horizon forecasts by a rollout."""
    given = keywords.get("model")
    if getattr(getattr(given, "model", given), "horizon", None) is not None:
        return False
    losses = ("mse", "mae", "huber")  # whose outputs are values
    values = keywords.get("loss", "mse") in losses
    return y is None and values and keywords.get("missing", "raise") == "raise"


def _require_known(keywords: Mapping[str, Any]) -> None:
    for name in _REFUSED:
        if keywords.get(name) not in (None, False):
            raise ValueError(
                f"backtest fits again and again to parts of the series: {name}= does not go with "
                "it; write the loop by fit and forecast"
            )


def _counted(cuts: Any, given: labels.Labelled) -> Any:
    """The cuts, dates as the numbers of steps before them."""
    if moments.is_moment(cuts):
        cuts = [cuts]
    if np.ndim(cuts) == 0:
        return cuts
    return [
        moments.steps_before("cuts", given, cut) if moments.is_moment(cut) else cut for cut in cuts
    ]


def _places(cuts: Any, horizon: int, steps: int) -> list[int]:
    """The numbers of steps before every cut."""
    if np.ndim(cuts) == 0:
        count = checks.size("cuts", cuts)
        places = [steps - horizon * (count - index) for index in range(count)]
        if places[0] < 1:
            raise ValueError(
                f"{count} cuts of {horizon} steps each need more than {count * horizon} steps, and "
                f"the shortest series has {steps}"
            )
        return places
    places = [checks.size("cuts", cut) for cut in cuts]
    if not places:
        raise ValueError("cuts must have one number of steps at least")
    if max(places) + horizon > steps:
        raise ValueError(
            f"a cut after {max(places)} steps leaves no {horizon} steps to compare with: the "
            f"shortest series has {steps}"
        )
    return places


def _sums(forecasts: list[Any], truths: list[Any]) -> Sums:
    """Sums over all cuts, in which each step ahead is what a series is elsewhere."""
    true, pred = (np.concatenate(list(map(_by_step, part))) for part in (truths, forecasts))
    rows, horizon, targets = true.shape
    pred = pred[..., :targets]  # log-variances are no forecasts
    known = ~np.isnan(true) & ~np.isnan(pred)
    true, pred, known = (part.reshape(-1, targets) for part in (true, pred, known))
    sums = Sums.none(horizon, targets)
    with np.errstate(all="ignore"):  # of a network that diverged
        sums.add(true, pred, known, np.tile(np.arange(horizon), rows))
    return sums


def _by_step(values: Any) -> Array:
    """Forecasts, or what came, as (B, h, ...) without labels."""
    rows = _rows(labels.read("forecasts", values).stepwise)
    return np.stack([_with_features(row) for row in rows]).astype(np.float64)


def _alike(series: Any, forecast: Any, y: Any, names: labels.Names, batch: bool) -> tuple[Any, Any]:
    """A forecast and what came, with the same labels: of the series then, and of the targets."""
    given = labels.read("series", series, names.features)
    values = (given if y is None else labels.companion(given, "y", y)).stepwise
    if isinstance(values, (list, tuple)):
        values = [_with_features(np.asarray(part)) for part in values]
    else:
        values = np.asarray(values)
        values = values[..., None] if values.ndim == 1 + batch else values
    found = labels.read("forecasts", forecast).stepwise
    return given.restore(found, names), given.restore(values, names)


def _rows(values: Any) -> list[Array]:
    """The series of one, of a batch or of a list."""
    if isinstance(values, (list, tuple)):
        return [np.asarray(part) for part in values]
    return list(values) if np.ndim(values) == 3 else [np.asarray(values)]


def _with_features(series: Array) -> Array:
    return series[:, None] if series.ndim == 1 else series
