"""Numbers that stand for missing values: found among the data, and said."""

from collections.abc import Iterator

import numpy as np

from numlstm.data.missing import Imputer
from numlstm.data.sequences import Dataset, mask, observed
from numlstm.utils import checks, notices
from numlstm.utils.types import Array

# Of netCDF (NC_FILL_FLOAT, NC_FILL_DOUBLE), of CMIP, of wgrib, of NASA's CDF, of Ferret, of Surfer,
# and of the grids of ESRI, each of either sign.
_KNOWN = (9.969209968386869e36, 1e20, 9.999e20, 1e31, 1e34, 1.70141e38, 3.4028234663852886e38)
_DIGITS = 1e-4  # to which they are written in texts
_LEAST = 1e19  # values below are not looked at
_FAR = 1e-4  # of a known fill value, which no measurement beside it comes near to
_GAP = 1e-10  # the same of one that is not known
OF_A_FIT = " and pass missing='mask'"  # the remedy where a model is to be fitted
OF_TARGETS = " and pass nan_policy='omit'"


def remedy_of(filling: Imputer | None) -> str:
    """What to do with missing inputs of a model that is there already."""
    return ", which this model fills" if filling else ", for a model fitted with missing='mask'"


def warn_of_fill_values(data: Dataset, where: str = "", remedy: str = OF_A_FIT) -> bool:
    """Whether a number that files write for a missing value is among the data; it is said."""
    names = data.names
    warn_of_filled_static(f"{where}static", data.static, names.static)
    if warn_of_values(f"{where}X", data.X, observed(data), names.features, remedy):
        return True
    if data.y.dtype.kind != "f":  # they are classes
        return False
    return warn_of_values(f"{where}y", data.y, data.weight > 0, names.targets, OF_TARGETS)


def warn_of_filled_inputs(
    name: str,
    X: Array,
    lengths: Array | None = None,
    features: tuple[str, ...] | None = None,
    filling: Imputer | None = None,
) -> None:
    """The same of inputs (B, T, I) that a model reads."""
    # a sum of squares is the cheapest look: it is not below the square of a huge value, and not NaN
    if np.vdot(X, X) < _LEAST**2 if X.size <= checks.FEW else _largest(X) < _LEAST:
        return
    valid = ~np.isnan(X)
    if lengths is not None:
        valid &= mask(lengths, X.shape[1])[..., None]
    warn_of_values(name, X, valid, features, remedy_of(filling))


def warn_of_filled_static(name: str, static: Array | None, titles: tuple[str, ...] | None) -> None:
    """The same of attributes (B, S), which cannot be missing."""
    if static is not None:
        advice = "fill it, as with the median of the attribute"
        _warn_of(name, static, np.ones(static.shape, bool), titles, advice)


def warn_of_values(
    name: str, values: Array, valid: Array, titles: tuple[str, ...] | None, remedy: str
) -> bool:
    """The same of values (..., N) where they are valid."""
    return _warn_of(name, values, valid, titles, f"replace it by NaN{remedy}")


def _warn_of(
    name: str, values: Array, valid: Array, titles: tuple[str, ...] | None, advice: str
) -> bool:
    found = [
        f"{value:.7g}, {count} time(s) in column {titles[column] if titles else column}"
        for column, value, count in _fill_values(values, valid)
    ]
    if found:
        notices.warn(
            f"{name} has {'; '.join(found)}, as files write it for what is missing: {advice}"
        )
    return bool(found)


def _fill_values(values: Array, valid: Array) -> Iterator[tuple[int, float, int]]:
    """(column, value, count) of what is no measurement: huge values, far from all others."""
    # all at once first: by column it takes fifty times as long
    if _largest(values) < _LEAST:
        return
    axes = tuple(range(values.ndim - 1))
    ends = (f(values, axis=axes, where=valid, initial=0.0) for f in (np.min, np.max))
    for column in np.flatnonzero(np.maximum(*map(np.abs, ends)) >= _LEAST):
        for value, count in _of_column(values[..., column][valid[..., column]].astype(np.float64)):
            yield int(column), value, count


def _of_column(every: Array) -> list[tuple[float, int]]:
    """Fill values among all values of a column, and how often each is there."""
    known = np.isclose(np.abs(every)[:, None], _KNOWN, rtol=_DIGITS, atol=0).any(axis=1)
    unknown = _one_huge(every[~known])
    measured, found = ~known & (every != unknown), every == unknown
    if known.any() and not _may_be_data(every[known], every[measured]):
        found |= known
    values, counts = np.unique(every[found], return_counts=True)
    return list(zip(values.tolist(), counts.tolist(), strict=True))


def _may_be_data(known: Array, measured: Array) -> bool:
    """Whether values like known fill values are near others, many, or a power of ten alone."""
    sizes = np.unique(np.abs(known))
    if len(measured):
        return bool(np.abs(measured).max() > _FAR * sizes[0])
    return len(sizes) > len(_KNOWN) or (len(sizes) == 1 and f"{sizes[0]:.6g}".startswith("1e"))


def _one_huge(values: Array) -> float:
    """One huge value that at most half of the values have, the others far below it; else NaN."""
    huge = np.abs(values) >= _LEAST
    value, others = values[huge][:1], np.abs(values[~huge])
    one = huge.any() and (values[huge] == value).all() and 2 * len(others) >= len(values)
    far = one and others.any() and others.max() < _GAP * abs(value[0])
    return float(value[0]) if far else np.nan


def _largest(values: Array) -> float:
    """The largest magnitude, whatever is NaN."""
    most, least = (f.reduce(values, axis=None, initial=0.0) for f in (np.fmax, np.fmin))
    return max(float(most), -float(least))
