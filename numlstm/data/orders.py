"""Random orders of many samples, of which no list is kept: parts are computed on demand."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from numlstm.utils.types import Array

_ROUNDS = 6
_IN_ORDER = 1024  # consecutive samples of a block, where the order is coarse
_BLOCKS = 8  # that are shuffled together


class Order(Protocol):
    """An order of samples."""

    def numbers(self, start: int, stop: int) -> Array:
        """The samples at places from `start` to before `stop`."""


@dataclass(frozen=True)
class Part:
    """Some consecutive places of an order, an array once it is made one."""

    order: Order
    start: int
    stop: int

    def __len__(self) -> int:
        """Number of places."""
        return self.stop - self.start

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The samples, by number."""
        return self.order.numbers(self.start, self.stop).astype(dtype or np.int64)


class _Sliced:
    """What is cut into parts as an array is."""

    count: int

    def __getitem__(self, places: slice) -> Part:
        start, stop, _ = places.indices(self.count)
        return Part(self, start, stop)  # type: ignore[arg-type]


class Shuffled(_Sliced):
    """Any order: a Feistel network, walked until it is back among the samples.

    Black & Rogaway (2002), "Ciphers with arbitrary finite domains", CT-RSA.
    """

    def __init__(self, count: int, rng: np.random.Generator):
        self.count = count
        self._half = np.uint64(max(1, -(-(count - 1).bit_length() // 2)))
        self._keys = rng.integers(2**64, size=(_ROUNDS, 2), dtype=np.uint64)

    def numbers(self, start: int, stop: int) -> Array:
        """The samples at places from `start` to before `stop`."""
        values = self._encrypted(np.arange(start, stop, dtype=np.uint64))
        while (outside := values >= self.count).any():
            values[outside] = self._encrypted(values[outside])
        return values.astype(np.int64)

    def _encrypted(self, values: Array) -> Array:
        half = self._half
        mask = (np.uint64(1) << half) - np.uint64(1)
        left, right = values >> half, values & mask
        for factor, offset in self._keys:
            mixed = (right + offset) * (factor | np.uint64(1))
            mixed ^= mixed >> np.uint64(32)
            mixed *= np.uint64(0x9E3779B97F4A7C15)
            left, right = right, left ^ ((mixed >> np.uint64(40)) & mask)
        joined: Array = (left << half) | right
        return joined


class InBlocks(_Sliced):
    """Blocks of consecutive samples in any order, and a few of them shuffled together."""

    def __init__(self, count: int, rng: np.random.Generator):
        self.count = count
        self._blocks = rng.permutation(-(-count // _IN_ORDER))
        self._seed = int(rng.integers(2**63))
        # the last block is a short one; groups of blocks behind it begin so much earlier
        self._short = int(np.argmax(self._blocks)) // _BLOCKS
        self._lacking = len(self._blocks) * _IN_ORDER - count
        # groups of the last batch, two where it has parts of both
        self._held: dict[int, Array] = {}

    def numbers(self, start: int, stop: int) -> Array:
        """The samples at places from `start` to before `stop`."""
        parts, size = [np.empty(0, np.int64)], _BLOCKS * _IN_ORDER
        for group in range(start // size, -(-(stop + self._lacking) // size)):
            first = group * size - self._lacking * (group > self._short)
            members = self._group(group)
            parts.append(members[max(0, start - first) : max(0, stop - first)])
        return np.concatenate(parts)

    def _group(self, group: int) -> Array:
        held = self._held  # replaced, not changed, as threads may read it
        if group not in held:
            latest = dict([*held.items()][-1:])
            self._held = held = {**latest, group: self._drawn(group)}
        return held[group]

    def _drawn(self, group: int) -> Array:
        begins = self._blocks[group * _BLOCKS : (group + 1) * _BLOCKS] * _IN_ORDER
        rows = (begins[:, None] + np.arange(_IN_ORDER)).ravel()
        shuffled: Array = np.random.default_rng([self._seed, group]).permutation(
            rows[rows < self.count]
        )
        return shuffled
