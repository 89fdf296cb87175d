"""Numbers that stand for missing values: found among the data, and said."""

from collections.abc import Iterator

import numpy as np

from numlstm.data.sequences import Dataset, observed
from numlstm.utils import notices
from numlstm.utils.types import Array

# NC_FILL_FLOAT and NC_FILL_DOUBLE of netCDF; the missing_value of CMIP
_KNOWN = (9.969209968386869e36, 1e20)
_LEAST = 1e19  # values below are not looked at
_GAP = 1e-10  # of a fill value, which no other value of its column comes near to


def warn_of_fill_values(data: Dataset, where: str = "") -> bool:
    """Whether a number that files write for a missing value is among the data; it is said."""
    parts = [("X", data.X, observed(data), data.names.features, "missing='mask'")]
    if data.y.dtype.kind == "f":  # else they are classes
        parts.append(("y", data.y, data.weight > 0, data.names.targets, "nan_policy='omit'"))
    for name, values, valid, names, remedy in parts:
        found = [
            f"{value:.7g}, {count} time(s) in column {names[column] if names else column}"
            for column, value, count in _fill_values(values, valid)
        ]
        if found:
            notices.warn(
                f"{where}{name} has {'; '.join(found)}, as files write it for what is missing: "
                f"replace it by NaN and pass {remedy}"
            )
            return True
    return False


def _fill_values(values: Array, valid: Array) -> Iterator[tuple[int, float, int]]:
    """(column, value, count) of what is no measurement: one huge value, far from all others."""
    # all at once first: by column it takes fifty times as long
    if _largest(values) < _LEAST:
        return
    axes = tuple(range(values.ndim - 1))
    ends = (f(values, axis=axes, where=valid, initial=0.0) for f in (np.min, np.max))
    for column in np.flatnonzero(np.maximum(*map(np.abs, ends)) >= _LEAST):
        every = values[..., column][valid[..., column]].astype(np.float64)
        huge = np.abs(every) >= _LEAST
        value, others = every[huge][0], np.abs(every[~huge])
        if (every[huge] != value).any() or 2 * len(others) < len(every):
            continue
        known = np.isclose(abs(value), _KNOWN, rtol=1e-3, atol=0).any()
        if others.max() < _GAP * abs(value) and (known or others.any()):
            yield int(column), float(value), len(every) - len(others)


def _largest(values: Array) -> float:
    """The largest magnitude, whatever is NaN."""
    most, least = (f.reduce(values, axis=None, initial=0.0) for f in (np.fmax, np.fmin))
    return max(float(most), -float(least))
