"""Weights by which series with little variation count as much as those with a lot."""

from dataclasses import replace
from typing import Any

import numpy as np

from numlstm.data.scaling import power_of_two
from numlstm.data.sequences import Dataset
from numlstm.utils import checks, notices
from numlstm.utils.types import Array

# of Kratzert et al. (2019), who measure in mm per day; it keeps weights of constant series finite
EPSILON = 0.1
_LARGEST = 1e150  # standard deviation of which there is a square, and one over it


def read_rule(name: str, value: Any) -> str | None:
    """The name of a rule, or None."""
    if value is None or isinstance(value, str):
        return checks.optional(checks.choice, name, value, options=("nse",))  # type: ignore[no-any-return]
    raise TypeError(
        f"{name} must be 'nse' or None, received {checks.shown(value)}: weights of sequences or "
        "steps are sample_weight="
    )


def series_weight(targets: Array, valid: Array) -> Array:
    """1 / (sigma + 0.1)^2 of every series, (B, ...), sigma the standard deviation of its targets.

    Kratzert, Klotz, Shalev, Klambauer, Hochreiter & Nearing (2019), "Towards learning universal,
    regional, and local hydrological behaviors via machine learning applied to large-sample
    datasets", Hydrology and Earth System Sciences 23, eq. 1: the squared errors of a catchment are
    divided by (s + eps)^2, eps = 0.1, s the standard deviation of its discharge over the training
    period. Their code takes s before the discharge is standardised, in mm per day, and the errors
    after. So here: targets (B, T, ...) are in the units of the data. `valid`, of the same shape,
    says which of them there are; of none sigma is 0.
    """
    return weight_of(_deviation(targets, valid))


def weight_of(deviation: Array) -> Array:
    """The weights of series whose targets have these standard deviations, (S, ...)."""
    largest = float(np.max(deviation))
    if largest > _LARGEST:
        raise ValueError(
            f"weight='nse' divides by the squares of the standard deviations of series, the "
            f"largest of which is {largest:.3g}, beyond the range of float64: give y in a larger "
            "unit"
        )
    result: Array = 1 / (deviation + EPSILON) ** 2
    return result


def _deviation(targets: Array, valid: Array) -> Array:
    """Standard deviation over the valid steps, in float64."""
    count = np.maximum(valid.sum(axis=1), 1)
    values = np.where(valid, targets, 0).astype(np.float64)
    unit = power_of_two(np.max(np.abs(values), axis=1, initial=0.0))  # no sum overflows in it
    values /= unit[:, None]
    apart = np.where(valid, values - (values.sum(axis=1) / count)[:, None], 0)
    result: Array = unit * np.sqrt(np.square(apart).sum(axis=1) / count)
    return result


def with_series_weight(data: Dataset) -> Dataset:
    """A dataset in the units of the data, its weights times those of its series.

    Of several targets each has its own, which are 1 in the mean over the series: none counts for
    more than another by its unit.
    """
    if data.last:
        raise ValueError(
            "weight='nse' needs the standard deviation of every series, and so a target for every "
            "step: there is one per sequence. Weights of sequences are sample_weight="
        )
    there: Array = np.greater(data.weight, 0)
    if data.ahead is None:
        seen: Array = np.any(there, axis=1)
        factor = even(series_weight(data.y, there), seen)
    else:
        factor = _of_a_horizon(data.y, there, data.ahead.targets)
    return replace(data, weight=data.weight * factor[:, None]).balanced()


def _of_a_horizon(y: Array, there: Array, targets: int) -> Array:
    """The weights of series (B, h O): of every target one, by its values, for any step ahead."""
    rows, count, columns = y.shape
    ahead = columns // targets
    values = np.zeros((rows, count + ahead - 1, targets))
    valid = np.zeros(values.shape, bool)
    for k in range(ahead):  # what is so far ahead of every step, put to its own time
        part, time = slice(k * targets, (k + 1) * targets), slice(k, k + count)
        own = there[..., part]
        values[:, time][own] = y[..., part][own]
        valid[:, time] |= own
    seen: Array = np.any(valid, axis=1)
    return np.tile(even(series_weight(values, valid), seen), ahead)


def even(factor: Array, there: Array) -> Array:
    """The weights of series (S, O), of several targets those by which none counts for more.

    A series that has no value of a target, which is not `there` (S, O), has no part in the mean.
    """
    _require_effect(factor)
    mean = _mean(factor, there)
    factor = np.where(there, factor, mean)
    return factor / mean if factor.shape[1] > 1 else factor


def _mean(factor: Array, there: Array) -> Array:
    """The mean of every column over the series that are there; 1 where none is."""
    if there.all():
        return np.asarray(factor.mean(axis=0))
    total: Array = factor.sum(axis=0, where=there)
    return np.where(total > 0, total / np.maximum(there.sum(axis=0), 1), 1.0)


def _require_effect(factor: Array) -> None:
    """Say where the constant of the formula hides the deviations of several series."""
    deviation = factor**-0.5 - EPSILON
    if len(factor) > 1 and 0 < deviation.max() < EPSILON:
        notices.warn(
            f"weight='nse': the standard deviations of all series are below {EPSILON}, the "
            f"constant in 1 / (sigma + {EPSILON})^2, the largest is {deviation.max():.2g}: they "
            "count nearly alike. The constant is meant for mm per day: give y in a smaller unit"
        )
