"""How long the cells of a network keep what was written into them."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data.labels.axes import Axis
from numlstm.inspection.sequences import network_of
from numlstm.network.dropout import real_rate
from numlstm.utils.types import Array

_HELD = 2**20  # gates whose logarithms are held at once
_SHARES = (0.1, 0.5, 0.9)  # of the steps, that quantiles are above
_UNITS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


class TimeConstants(NamedTuple):
    """For how long units remember, by their forget gates.

    Attributes
    ----------
    steps : ndarray, shape (L, H)
        Time constants of the units of every layer, in steps; infinite where nothing is forgotten.
        Directions are layers of their own, forward before reverse.
    forget : ndarray, shape (L, H)
        Geometric means of what a step keeps of a cell: of the forget gates f or, with the zoneout
        z of cells, of z + (1 - z) f.
    durations : ndarray of timedelta64[ns], shape (L, H), or None
        The same where X has dates, of any kind: `steps` times the median distance of two dates. NaT
        where that is more than 292 years, or infinite.
    quantiles : ndarray, shape (3, L, H)
        Time constants of single steps, -1 / log f, which 10 %, 50 % and 90 % of the steps are
        below. Where they are far apart, the cell is a store that is held for some of the time and
        emptied in between, and `steps`, which is of both, says neither.
    """

    steps: Array
    forget: Array
    durations: Array | None
    quantiles: Array

    def __repr__(self) -> str:
        """The fields, durations in days, hours or whatever they have."""
        shown: dict[str, Any] = self._asdict()
        if self.durations is not None:
            words = [_in_words(duration) for duration in self.durations.ravel()]
            shown["durations"] = np.array(words).reshape(self.durations.shape)
        return f"TimeConstants({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def time_constants(
    model: Any,
    X: Any,
    *,
    lengths: Any = None,
    reset: Any = None,
    static: Any = None,
    future: Any = None,
) -> TimeConstants:
    """Time constants of the units, from what their forget gates did on data.

    After n steps a cell holds the product of n forget gates of what it held. With their geometric
    mean f over all steps of X that is f^n = exp(-n / tau), with tau = -1 / log f: after tau steps
    1/e of it is left. Where cells have a zoneout z, predictions keep z + (1 - z) f in the place of
    f. That is what cells alone keep; what comes back through hidden states is in `memory_paths`.

    Parameters
    ----------
    model : LSTM, LSTMRegressor or LSTMClassifier
        A trained network, or an estimator that has one.
    X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
        Sequences in the units of the data, in any of the forms that `LSTM.predict` takes.
    lengths, reset, static, future : optional
        As in `LSTM.predict`.

    Returns
    -------
    found : TimeConstants
        In steps, and in time where X has dates; means over all steps, and quantiles.

    Raises
    ------
    ValueError, TypeError
        As `LSTM.trace`; for an X without a step.

    References
    ----------
    Gers, Schmidhuber & Cummins (2000), Neural Computation 12(10), 2451-2471; Tallec & Ollivier
    (2018), ICLR.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from numlstm import inspection
    >>> model = numlstm.LSTM(1, 3, dtype="float64", rng=0)
    >>> model.params["weight_ih_l0"][3:6] = model.params["weight_hh_l0"][3:6] = 0
    >>> model.params["bias_l0"][3:6] = 0, 2, 4  # forget gates that are constant
    >>> found = inspection.time_constants(model, np.ones((2, 5, 1)))
    >>> found.steps.round(2)
    array([[ 1.44,  7.88, 55.1 ]])
    """
    own, X, static = network_of(model, X, static)
    if own.spec.bidirectional and own.window is not None:
        raise ValueError(
            "half of a bidirectional network reads a window from its end, so that no step of a "
            f"series has all of it: set model.window = None, and pass the windows of {own.window} "
            "steps themselves, as (B, T, I)"
        )
    given = {"lengths": lengths, "reset": reset, "static": static, "future": future}
    forgets = own.cell.forget_gate != "none"
    trace = own.trace(X, quantities="f" if forgets else "i", **given)
    sizes = len(own.spec.layers), own.spec.hidden_size
    zoneout = real_rate(own.spec.dropout.zoneout_c)
    forget, quantiles = np.ones(sizes), np.ones((len(_SHARES), *sizes))
    if forgets:
        forget = _geometric_means(trace.f, zoneout)
        quantiles = zoneout + (1 - zoneout) * _quantiles(trace.f)
    steps = _time_constants(forget)
    durations = _durations(steps, trace.axes.dates)
    return TimeConstants(steps, forget, durations, _time_constants(quantiles))


def _time_constants(kept: Array) -> Array:
    """Steps after which 1/e is left, where every step leaves so much."""
    with np.errstate(divide="ignore"):  # of gates that were always shut, or always open
        steps: Array = np.where(kept < 1, -1 / np.log(kept), np.inf)
    return steps


def _quantiles(f: Any) -> Array:
    """Those of the gates of all units over sequences and steps, (3, L, H)."""
    layers, rows, steps, units = f.shape
    each = max(1, _HELD // max(1, rows * steps))
    found = np.empty((len(_SHARES), layers, units))
    for layer in range(layers):
        there = ~np.isnan(f[layer, :, :, 0])
        for start in range(0, units, each):
            part = f[layer, :, :, start : start + each][there].astype(np.float64)
            found[:, layer, start : start + each] = np.quantile(part, _SHARES, axis=0)
    return found


def _geometric_means(f: Any, zoneout: float) -> Array:
    """Those of what is kept by all units over sequences and steps, (L, H)."""
    layers, rows, steps, units = f.shape
    each = max(1, _HELD // max(1, layers * rows * units))
    count, total = 0, np.zeros((layers, units))
    for start in range(0, steps, each):
        part = f[:, :, start : start + each].astype(np.float64)
        there = ~np.isnan(part[..., :1])
        with np.errstate(divide="ignore"):  # of gates that are shut
            logs = np.log(zoneout + (1 - zoneout) * part)
        count += int(there[0].sum())
        total += logs.sum(axis=(1, 2), where=there)
    if not count:
        raise ValueError("X has no step whose forget gates could be looked at")
    means: Array = np.exp(total / count)
    return means


def _durations(steps: Array, dates: tuple[Any, ...]) -> Array | None:
    """Steps in time, by the median distance of two dates."""
    found = [_distances(axis) for axis in dates if axis is not None]
    distances = [each for each in found if each is not None]
    if not sum(map(len, distances)):
        return None
    nanoseconds = np.median(np.concatenate(distances)) * steps
    held = nanoseconds < np.iinfo(np.int64).max
    whole = np.where(held, nanoseconds, 0).astype("timedelta64[ns]")
    return np.where(held, whole, np.timedelta64("NaT", "ns"))


def _distances(axis: Axis) -> Array | None:
    """Those of two dates that follow each other, in nanoseconds; None of what is no date."""
    labels, times = axis.labels, axis.ticks
    if labels.size and hasattr(labels[0], "to_timestamp"):  # periods
        times = np.array([label.to_timestamp().to_datetime64() for label in labels])
    if times is not None and times.dtype.kind == "M":
        return np.diff(times.astype("datetime64[ns]")).astype(np.int64)
    if times is not None and labels.size and hasattr(labels[0], "calendar"):  # seconds, of cftime
        return np.diff(np.round(1e9 * times).astype(np.int64))
    return None


def _in_words(duration: Any) -> str:
    """A duration in the largest unit of which it has one."""
    if np.isnat(duration):
        return "NaT"
    seconds = duration / np.timedelta64(1, "s")
    name = next((name for name, unit in _UNITS.items() if seconds >= unit), "seconds")
    return f"{seconds / _UNITS[name]:.3g} {name}"
