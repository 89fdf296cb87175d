"""Measures of predictions, from sums over targets that may come in pieces."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.utils.types import Array

_TRUE, _PRED = 0, 1
_PAIRS = (_TRUE, _TRUE), (_PRED, _PRED), (_TRUE, _PRED)  # whose deviations are multiplied


@dataclass
class Sums:
    """Sums over the targets of S series with O outputs, from which all measures follow.

    Means, and squares about them, are kept as such, and joined as Chan, Golub & LeVeque (1983) do:
    the difference of large sums would lose their digits.
    """

    weight: Array  # (S, O)
    right: Array  # (S, O) weight of the predictions that are the truth
    squared: Array  # (S, O) errors
    absolute: Array  # (S, O) errors
    means: Array  # (2, S, O) of truths and of predictions
    squares: Array  # (3, S, O) about them, and their products
    low: Array  # (2, S, O)
    high: Array  # (2, S, O)

    @classmethod
    def none(cls, series: int, outputs: int) -> "Sums":
        """Of no target."""
        weight, right, squared, absolute = np.zeros((4, series, outputs))
        means, squares = np.zeros((2, series, outputs)), np.zeros((3, series, outputs))
        low, high = (np.full_like(means, end) for end in (np.inf, -np.inf))
        return cls(weight, right, squared, absolute, means, squares, low, high)

    def add(
        self, true: Array, pred: Array, weight: Array, place: Array, right: Array | None = None
    ) -> None:
        """Add targets and predictions (N, O) with weights; `place` (N,) are their series.

        `right` says which predictions are, where that is not to be the same number.
        """
        right = true == pred if right is None else right
        for column in range(true.shape[1]):
            there = weight[:, column] > 0
            both = np.stack([true[there, column], pred[there, column]])
            given = both, weight[there, column], right[there, column], place[there]
            self._add_column(column, *given)

    def _add_column(
        self, column: int, both: Array, weight: Array, right: Array, place: Array
    ) -> None:
        series = len(self.weight)

        def total(values: Array) -> Array:
            return np.bincount(place, values, series)

        def mean(values: Array) -> Array:
            result: Array = total(weight * values) / np.where(own > 0, own, 1)
            return result

        own, error = total(weight), both[_PRED] - both[_TRUE]
        means = np.stack([mean(values) for values in both])
        apart = both - means[:, place]
        squares = [total(weight * apart[i] * apart[j]) for i, j in _PAIRS]
        self.right[:, column] += total(weight * right)
        self.squared[:, column] += total(weight * error * error)
        self.absolute[:, column] += total(weight * np.abs(error))
        self._join(column, own, means, squares)
        for which, values in enumerate(both):
            np.minimum.at(self.low[which, :, column], place, values)
            np.maximum.at(self.high[which, :, column], place, values)

    def _join(self, column: int, own: Array, means: Array, squares: list[Array]) -> None:
        before = self.weight[:, column].copy()
        self.weight[:, column] += own
        share = own / np.where(own > 0, self.weight[:, column], 1)
        moved = means - self.means[:, :, column]
        self.means[:, :, column] += moved * share
        for which, (i, j) in enumerate(_PAIRS):
            between = moved[i] * moved[j] * before * share
            self.squares[which, :, column] += squares[which] + between

    def pooled(self) -> "Sums":
        """Of all series together, S = 1."""
        kept = self.weight, self.right, self.squared, self.absolute
        weight, right, squared, absolute = (part.sum(axis=0, keepdims=True) for part in kept)
        share = self.weight / np.where(weight > 0, weight, 1)
        means = (share * self.means).sum(axis=1, keepdims=True)
        apart = self.means - means
        between = np.stack([self.weight * apart[i] * apart[j] for i, j in _PAIRS])
        squares = (self.squares + between).sum(axis=1, keepdims=True)
        low, high = self.low.min(axis=1, keepdims=True), self.high.max(axis=1, keepdims=True)
        return Sums(weight, right, squared, absolute, means, squares, low, high)


def _ratio(a: Array, b: Array) -> Array:
    result: Array = a / np.where(b == 0, np.nan, b)
    return result


def _rmse(sums: Sums, naive: Any) -> Array:
    root: Array = np.sqrt(_ratio(sums.squared, sums.weight))
    return root


def _mae(sums: Sums, naive: Any) -> Array:
    return _ratio(sums.absolute, sums.weight)


def _efficiency(sums: Sums, naive: Any) -> Array:
    return 1 - _ratio(sums.squared, _varying(sums, _TRUE))


def _kge(sums: Sums, naive: Any) -> Array:
    true, pred = (np.sqrt(_varying(sums, which)) for which in (_TRUE, _PRED))
    r, alpha = _ratio(_ratio(sums.squares[2], true), pred), _ratio(pred, true)
    beta = _ratio(sums.means[_PRED], sums.means[_TRUE])
    value: Array = 1 - np.sqrt((r - 1) ** 2 + (alpha - 1) ** 2 + (beta - 1) ** 2)
    return value


def _varying(sums: Sums, which: int) -> Array:
    """Squares about the mean; 0 where all are the same, whatever rounding left."""
    return np.where(sums.low[which] < sums.high[which], sums.squares[which], 0)


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


def of_outputs(name: str, sums: Sums, naive: Any = np.nan) -> Array:
    """A measure of every series and output, (S, O). `naive` is what "mase" divides by."""
    return _MEASURES[name](sums, naive)


def measured(name: str, sums: Sums, naive: Any = np.nan) -> Array:
    """A measure of every series, (S,): the mean over outputs."""
    value: Array = of_outputs(name, sums, naive).mean(axis=1)
    return value


def naive_error(changes: Array) -> Array:
    """The mean absolute change, (O,); NaN where there is none."""
    return _ratio(*changes)
