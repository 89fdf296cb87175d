"""Targets that are kept of series that are read once: all of few steps, of many a random part."""

from typing import NamedTuple

import numpy as np

from numlstm.utils.types import Array

KEPT = 2**20  # steps whose targets are kept


class Grid(NamedTuple):
    """Which steps have targets in windows."""

    window: int
    stride: int
    last: int  # steps at the end of a window with targets
    horizon: int  # targets of a step, side by side
    steps: Array  # (S,) that windows can end at
    cut: Array  # (S,) where windows that judge begin to end, or the same

    def parts(self, number: int, steps: Array) -> tuple[Array, Array]:
        """Whether a window has some steps of a series as targets, and whether that one judges."""
        total, cut = int(self.steps[number]), int(self.cut[number])
        judged = (steps >= cut) & (cut < total)
        since, until = np.where(judged, cut, 0), np.where(judged, total, cut)
        first = self.window - 1
        latest = np.minimum(steps + self.last, until) - 1
        latest = first + (latest - first) // self.stride * self.stride
        earliest = np.maximum(steps - (self.horizon - 1), np.maximum(since, first))
        return latest >= earliest, judged


class KeptTargets:
    """The targets of steps, and what they count, of all, or of a random part of those that count.

    By a hash of their numbers, so that no period of the data agrees with it, and the part is the
    same however the data are read. Those that judge are a part of their own.
    """

    def __init__(self, total: int, grid: Grid):
        self._all = total <= KEPT
        self._grid = grid
        self._parts: list[_Part] = []
        self._level = np.full(2, 2**63, np.uint64)  # hashes below it are kept
        self._count = np.zeros(2, np.int64)

    def add(self, number: int, first: int, start: int, y: Array, weight: Array) -> None:
        """Steps from `start` on of a series, the `first` of which has that number among all."""
        steps = start + np.arange(len(y))
        if self._all:
            nothing = np.zeros(len(y), bool)
            self._parts.append(_Part(number, steps, y.copy(), weight, steps, nothing))
            return
        in_window, judged = self._grid.parts(number, steps)
        part = _Part(number, steps, y, weight, _hash(first + steps), judged)
        part = part.where(in_window & weight.any(axis=1) & (part.hashes < self._levels(judged)))
        self._parts.append(part)
        self._count += np.bincount(part.judged, minlength=2)
        while (self._count > KEPT).any():
            self._level[self._count > KEPT] //= 2
            self._parts = [
                part.where(part.hashes < self._levels(part.judged)) for part in self._parts
            ]
            self._count = np.sum(
                [np.bincount(part.judged, minlength=2) for part in self._parts], axis=0
            )

    def _levels(self, judged: Array) -> Array:
        levels: Array = self._level[judged.astype(np.int64)]
        return levels

    def of_series(self, count: int, like: Array) -> list[tuple[Array, Array, Array]]:
        """Steps (n,), targets (n, O) of the dtype of `like`, and what they count, of each."""
        width = like.shape[1]
        found: list[list[tuple[Array, Array, Array]]] = [
            [(np.empty(0, np.int64), like[:0], np.empty((0, width)))] for _ in range(count)
        ]
        for part in self._parts:
            found[part.number].append((part.steps, part.y, part.weight))
        return [tuple(map(np.concatenate, zip(*own, strict=True))) for own in found]  # type: ignore[misc]


class _Part(NamedTuple):
    number: int
    steps: Array
    y: Array
    weight: Array
    hashes: Array
    judged: Array

    def where(self, there: Array) -> "_Part":
        return _Part(self.number, *(part[there] for part in self[1:]))


def _hash(numbers: Array) -> Array:
    """Below 2^63, of whole numbers; Steele, Lea & Flood (2014), OOPSLA, splitmix64."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: Array = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)
    return hashed
