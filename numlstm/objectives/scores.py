"""Measures of predictions, from sums over targets that may come in pieces."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from numlstm.utils.types import Array


@dataclass
class Sums:
    """Sums over the targets of S series with O outputs, from which all measures follow: (S, O) each.

    Means and squares about them are kept as such, and joined as Chan, Golub & LeVeque (1983) do: the
    difference of large sums would lose their digits.
    """

    weight: Array
    right: Array  # weight of the predictions that are the truth
    squared: Array  # errors
    absolute: Array  # errors
    mean_true: Array
    mean_pred: Array
    squares_true: Array  # about the means
    squares_pred: Array
    products: Array
    low_true: Array
    high_true: Array
    low_pred: Array
    high_pred: Array

    @classmethod
    def none(cls, series: int, outputs: int) -> "Sums":
        """Of no target."""
        start = {"low": np.inf, "high": -np.inf}
        parts = (start.get(field.name.partition("_")[0], 0.0) for field in fields(cls))
        return cls(*(np.full((series, outputs), part) for part in parts))

    def add(self, true: Array, pred: Array, weight: Array, place: Array) -> None:
        """Add targets and predictions (N, O) with weights; `place` (N,) are their series."""
        for column in range(true.shape[1]):
            there = weight[:, column] > 0
            parts = (array[there, column] for array in (true, pred, weight))
            self._add_column(column, *parts, place[there])

    def _add_column(
        self, column: int, true: Array, pred: Array, weight: Array, place: Array
    ) -> None:
        series = len(self.weight)

        def total(values: Array) -> Array:
            return np.bincount(place, values, series)

        def mean(values: Array) -> Array:
            return np.divide(total(weight * values), own, out=np.zeros(series), where=own > 0)

        own, error = total(weight), pred - true
        means = mean(true), mean(pred)
        apart = true - means[0][place], pred - means[1][place]
        pairs = (0, 0), (1, 1), (0, 1)
        squares = [total(weight * apart[i] * apart[j]) for i, j in pairs]
        self.right[:, column] += total(weight * (pred == true))
        self.squared[:, column] += total(weight * error * error)
        self.absolute[:, column] += total(weight * np.abs(error))
        self._join(column, own, means, squares)
        for ends, values in (("true", true), ("pred", pred)):
            np.minimum.at(getattr(self, f"low_{ends}")[:, column], place, values)
            np.maximum.at(getattr(self, f"high_{ends}")[:, column], place, values)

    def _join(
        self, column: int, own: Array, means: tuple[Array, Array], squares: list[Array]
    ) -> None:
        before = self.weight[:, column].copy()
        both = before + own
        share = np.divide(own, both, out=np.zeros_like(both), where=both > 0)
        kept = self.mean_true[:, column], self.mean_pred[:, column]
        moved = [mean - old for mean, old in zip(means, kept, strict=True)]
        names = "squares_true", "squares_pred", "products"
        for name, value, (i, j) in zip(names, squares, ((0, 0), (1, 1), (0, 1)), strict=True):
            getattr(self, name)[:, column] += value + moved[i] * moved[j] * before * share
        for old, step in zip(kept, moved, strict=True):
            old += step * share
        self.weight[:, column] = both

    def pooled(self) -> "Sums":
        """Of all series together, (1, O)."""
        result = Sums.none(1, self.weight.shape[1])
        for series in range(len(self.weight)):
            one = Sums(*(getattr(self, field.name)[series : series + 1] for field in fields(self)))
            result._take(one)
        return result

    def _take(self, other: "Sums") -> None:
        for column in range(self.weight.shape[1]):
            means = other.mean_true[:, column], other.mean_pred[:, column]
            squares = other.squares_true, other.squares_pred, other.products
            self._join(column, other.weight[:, column], means, [part[:, column] for part in squares])
        for name in ("right", "squared", "absolute"):
            getattr(self, name)[...] += getattr(other, name)
        for ends in ("true", "pred"):
            low, high = f"low_{ends}", f"high_{ends}"
            np.minimum(getattr(self, low), getattr(other, low), out=getattr(self, low))
            np.maximum(getattr(self, high), getattr(other, high), out=getattr(self, high))


def _ratio(a: Array, b: Array) -> Array:
    result: Array = a / np.where(b == 0, np.nan, b)
    return result


def _rmse(sums: Sums, naive: Any) -> Array:
    root: Array = np.sqrt(_ratio(sums.squared, sums.weight))
    return root


def _mae(sums: Sums, naive: Any) -> Array:
    return _ratio(sums.absolute, sums.weight)


def _efficiency(sums: Sums, naive: Any) -> Array:
    varies = sums.low_true < sums.high_true
    return 1 - _ratio(sums.squared, np.where(varies, sums.squares_true, 0))


def _kge(sums: Sums, naive: Any) -> Array:
    varies = (sums.low_true < sums.high_true) & (sums.low_pred < sums.high_pred)
    true, pred = (np.sqrt(np.where(varies, s, 0)) for s in (sums.squares_true, sums.squares_pred))
    r, alpha = _ratio(_ratio(sums.products, true), pred), _ratio(pred, true)
    beta = _ratio(sums.mean_pred, sums.mean_true)
    value: Array = 1 - np.sqrt((r - 1) ** 2 + (alpha - 1) ** 2 + (beta - 1) ** 2)
    return value


def _mase(sums: Sums, naive: Any) -> Array:
    return _ratio(_mae(sums, naive), np.asarray(naive, np.float64))


def _accuracy(sums: Sums, naive: Any) -> Array:
    return _ratio(sums.right, sums.weight)


_MEASURES: dict[str, Callable[[Sums, Any], Array]] = {
    "rmse": _rmse,
    "mae": _mae,
    "r2": _efficiency,
    "nse": _efficiency,
    "kge": _kge,
    "mase": _mase,
    "accuracy": _accuracy,
}
NAMES = tuple(_MEASURES)

_NO_TRUTH = "there is no truth"
UNDEFINED = dict.fromkeys(NAMES, _NO_TRUTH) | {
    "r2": f"{_NO_TRUTH}, or all are the same",
    "nse": f"{_NO_TRUTH}, or all are the same",
    "kge": f"{_NO_TRUTH}, or all are the same, or all predictions are, or the mean truth is 0",
    "mase": f"{_NO_TRUTH}, or no change in the training data",
}


def measured(name: str, sums: Sums, naive: Any = np.nan) -> Array:
    """A measure of every series, (S,): the mean over outputs. `naive` is what "mase" divides by."""
    value: Array = _MEASURES[name](sums, naive).mean(axis=1)
    return value


def naive_changes(y: Array, there: Array) -> Array:
    """Sum and number of the changes from step to step, (2, O), of series (B, T, O)."""
    pairs = there[:, 1:] & there[:, :-1]
    change = np.abs(np.diff(y.astype(np.float64), axis=1))
    axes = (0, 1)
    return np.stack([np.sum(change, axis=axes, where=pairs), pairs.sum(axis=axes)])


def naive_error(changes: Array) -> Array:
    """The mean absolute change, (O,); NaN where there is none."""
    return _ratio(*changes)
