"""Residuals: over time, their autocorrelation, and whether they are normal."""

from typing import Any

import numpy as np

from numlstm.plotting.columns import chosen
from numlstm.plotting.picture import (
    BLUE,
    GREY,
    VERMILION,
    Picture,
    place_ticks,
    several,
    whole_ticks,
)
from numlstm.plotting.series import Series, read
from numlstm.utils import checks
from numlstm.utils.types import Array

_QUANTILE = 1.96  # of the normal distribution: 95 % lie within


def residuals(
    truth: Any,
    prediction: Any,
    *,
    output: Any = None,
    lags: int | None = None,
    ax: Any = None,
) -> Picture:
    """Draw residuals, truth minus prediction: over time, autocorrelation, histogram, quantiles.

    Those of a model that has taken all that there was are white noise: 95 % of the autocorrelations
    lie within +-1.96 / sqrt(n). A band around a forecast that was made for normal errors wants
    quantiles on the line.

    Parameters
    ----------
    truth : array_like, shape (T,) or (T, O)
        What came; NaN where nothing was observed.
    prediction : array_like, of the same shape
        What was predicted; a last axis of 1 may be more.
    output : int or str, optional
        Which of several targets, by number or name.
    lags : int, optional
        Autocorrelations up to this lag. Default: 10 log10(n).
    ax : array of four matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    picture : Picture
        ``figure``, ``axes``, an array (4,), and ``artists``: the line "time"; "autocorrelation", a
        stem container, and its "band"; "histogram", bars, and the line "density", of the normal
        distribution; the points "quantiles" and the "line" on which those of it lie.

    Raises
    ------
    ValueError, TypeError
        For shapes or labels that do not fit each other, several sequences, infinite values, and
        residuals of which less than three are known, or which are all the same.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm import plotting
    >>> truth = np.random.default_rng(0).normal(size=200)
    >>> picture = plotting.residuals(truth, np.zeros(200))
    >>> picture.axes.shape, len(picture.artists["autocorrelation"].markerline.get_xdata())
    ((4,), 23)
    """
    whole = read("truth", truth)
    observed = chosen(whole, output)
    fitted = chosen(read("prediction", prediction, like=whole), output, whole)
    if observed.values.shape != fitted.values.shape:
        raise ValueError(
            f"truth and prediction must have the same steps, received {len(observed.values)} and "
            f"{len(fitted.values)}"
        )
    error = (observed.values - fitted.values)[:, 0]
    there = error[~np.isnan(error)]
    if there.size < 3 or there.std() <= 1e-12 * np.abs(there).max():
        raise ValueError(
            "there must be three residuals or more that are not all the same, received "
            f"{there.size}{f', all {there[0]:.3g}' if there.size else ''}"
        )
    most = int(10 * np.log10(there.size)) if lags is None else checks.size("lags", lags)
    axes = several(ax, 4, lambda plt: _axes(plt))
    artists = (
        _over_time(axes[0], observed if observed.places is not None else fitted, error)
        | _autocorrelation(axes[1], error, min(most, error.size - 1))
        | _histogram(axes[2], there)
        | _quantiles(axes[3], there)
    )
    unit = observed.quantity or fitted.quantity
    name = f"residual of {unit}" if unit else "residual"
    axes[0].set_ylabel(name)
    axes[2].set_xlabel(name)
    axes[3].set_ylabel(name)
    return Picture(axes[0].figure, axes, artists)


def _axes(plt: Any) -> Any:
    return plt.subplots(2, 2, figsize=(8.4, 6), layout="constrained")[1]


def _over_time(ax: Any, given: Series, error: Array) -> dict[str, Any]:
    places = given.where()
    ax.axhline(0, color=GREY, linewidth=0.8)
    (line,) = ax.plot(places, error, color=BLUE, marker=".", markersize=3, linewidth=0.8)
    ax.set(xlabel=given.along, title="over time")
    place_ticks(ax, places)
    return {"time": line}


def _autocorrelation(ax: Any, error: Array, most: int) -> dict[str, Any]:
    """From lag 1 on, with the band of white noise."""
    apart = error - np.nanmean(error)
    known = np.where(np.isnan(apart), 0.0, apart)  # Parzen (1963): what is missing adds nothing
    lags = np.arange(1, most + 1)
    products = np.array([known[lag:] @ known[:-lag] for lag in lags])
    width = _QUANTILE / np.sqrt(np.count_nonzero(~np.isnan(error)))
    band = ax.axhspan(
        -width, width, color=BLUE, alpha=0.15, linewidth=0, label="95 % of white noise"
    )
    stems = ax.stem(lags, products / (known @ known), linefmt=BLUE, basefmt=" ")
    stems.markerline.set(markersize=3, color=BLUE)
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    ax.set(xlabel="lag (steps)", title="autocorrelation")
    whole_ticks(ax.xaxis)
    ax.legend(fontsize="small")
    return {"autocorrelation": stems, "band": band}


def _histogram(ax: Any, error: Array) -> dict[str, Any]:
    """Beside the normal density of the same mean and standard deviation."""
    from scipy.stats import norm

    *_, bars = ax.hist(error, bins="auto", density=True, color=BLUE, alpha=0.45)
    mean, std = error.mean(), error.std(ddof=1)
    reach = max(np.abs(error - mean).max(), 3 * std)
    places = np.linspace(mean - reach, mean + reach, 201)
    (line,) = ax.plot(places, norm.pdf(places, mean, std), color=VERMILION, label="normal")
    ax.set(ylabel="density", title="histogram")
    ax.legend(fontsize="small")
    return {"histogram": bars, "density": line}


def _quantiles(ax: Any, error: Array) -> dict[str, Any]:
    """Against those of the standard normal distribution."""
    from scipy.stats import probplot

    normal, sample = probplot(error, dist="norm", fit=False)
    ends = normal[[0, -1]]
    (line,) = ax.plot(ends, error.mean() + error.std(ddof=1) * ends, color=VERMILION)
    (points,) = ax.plot(normal, sample, color=BLUE, marker=".", markersize=4, linestyle="none")
    ax.set(xlabel="quantile of the normal distribution", title="quantiles")
    return {"quantiles": points, "line": line}
