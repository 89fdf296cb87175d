"""The data of a graph of ONNX, followed by the places of their numbers.

A stage is what an input, an LSTM, a head or a constant makes: numbers (T, B, W). Data is an array
of integers of a tensor's shape, which say the number of which stage stands where. So nodes that
move data about, such as Transpose or Slice, do to it what they do to constants, and what a tensor
is can be asked by comparing arrays.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.utils.types import Array

_STRIDE = 2**40  # between the places of one stage and of the next
_MOST = 2**23  # numbers of a stage


class NotRead(Exception):
    """The reason why a node cannot be read."""


@dataclass(frozen=True)
class Data:
    """A tensor that comes from the inputs: the number of which stage stands where."""

    places: Array


@dataclass(frozen=True)
class Level:
    """One LSTM node: a layer for each direction."""

    node: Any
    layers: list[dict[str, Array]]
    cell: Cell
    ragged: bool  # whether it has sequence_lens
    batch_first: bool  # its layout
    residual: bool = False


@dataclass(frozen=True)
class Head:
    """A dense layer."""

    weight: Array  # (O, W)


@dataclass(frozen=True)
class Step:
    """A node with a constant for each feature; before the first LSTM, for each number."""

    kind: str  # Add, Sub, Mul or Div
    array: Array


@dataclass(frozen=True, eq=False)
class Stage:
    """Numbers of the sizes (T, B, W), or of an input, of its own."""

    index: int
    root: str  # the graph's input
    shape: tuple[int, ...]
    made_by: Level | Head | Step | None = None  # None of an input
    below: "Stage | None" = None
    last: Any = None  # places (B, W): what each direction gives once it has read all steps
    reads: Any = None  # places (T, B, I) in the input, of the first LSTM and above

    def chain(self) -> list["Stage"]:
        """The stages from the input up to this one."""
        return [*(self.below.chain() if self.below else []), self]

    @property
    def levels(self) -> list[Level]:
        """The LSTMs up to here."""
        return [one.made_by for one in self.chain() if isinstance(one.made_by, Level)]

    @property
    def has_head(self) -> bool:
        """Whether there is a dense layer."""
        return any(isinstance(one.made_by, Head) for one in self.chain())

    @property
    def whole(self) -> Array:
        """The places of all numbers."""
        return np.arange(math.prod(self.shape)).reshape(self.shape)

    def rows(self, places: Array) -> Array:
        """Which of the T B rows places (..., W) are, or of the B last ones behind them."""
        T, B, W = self.shape
        if places.shape[-1:] == (W,):
            table = np.concatenate([self.whole.reshape(-1, W), self.last])
            first = places[..., 0] // W
            for rows in first, T * B + first % B:
                if np.array_equal(table[rows], places):
                    return rows
        raise NotRead("it is a dense layer of something else than what the LSTM gives")


class Stages:
    """All stages of a graph."""

    def __init__(self) -> None:
        self._all: list[Stage] = []
        self._sums: dict[int, Stage] = {}

    def _new(self, root: str, shape: tuple[int, ...], *made: Any) -> Stage:
        if math.prod(shape) > _MOST:
            raise NotRead(
                f"its sizes {shape} are more than {_MOST} numbers, and each of them is followed "
                "through the graph: export it with rows and steps left open, or fewer of them"
            )
        self._all.append(Stage(len(self._all), root, shape, *made))
        return self._all[-1]

    def _data(self, stage: Stage, places: Array) -> Data:
        return Data(places + stage.index * _STRIDE)

    def of(self, data: Data) -> tuple[Stage, Array]:
        """The stage of some data, and places in it."""
        found = self.all_of(data)
        if len(found) != 1:
            raise NotRead("it joins parts of the network that numlstm does not join")
        return found[0], data.places - found[0].index * _STRIDE

    def all_of(self, data: Data) -> list[Stage]:
        """All stages of which numbers stand there."""
        indices = data.places // _STRIDE
        if indices.size and indices.min() == indices.max():  # without sorting them
            return [self._all[indices.flat[0]]]
        return [self._all[index] for index in np.unique(indices)]

    # ---- what nodes make of them -------------------------------------------------------------

    def input(self, name: str, shape: tuple[int, ...]) -> Data:
        """An input of the graph."""
        stage = self._new(name, shape)
        return self._data(stage, stage.whole)

    def read_by_lstm(self, data: Data, batch_first: bool) -> tuple[Stage, Array]:
        """The stage that an LSTM reads, and the places (T, B, W) in it."""
        stage, places = self.of(data)
        plain = isinstance(stage.made_by, Level) or not stage.levels
        if places.ndim != 3 or not plain:
            raise NotRead("its X is not the data, or the outputs of all steps of a layer below")
        places = places.swapaxes(0, 1) if batch_first else places
        if stage.levels:
            if not np.array_equal(places, stage.whole):
                raise NotRead("its X is not all features of all steps of the layer below")
            return stage, places
        orders = itertools.permutations(range(len(stage.shape)))
        if not any(np.array_equal(places, stage.whole.transpose(order)) for order in orders):
            raise NotRead("its X is not an input of the graph: it has some of it, or other axes")
        for one in stage.chain():
            if isinstance(one.made_by, Step):
                constants = one.made_by.array[places]
                if (constants != constants[:1, :1]).any():
                    raise NotRead("the data before it are scaled along another axis than features")
        return stage, places

    def lstm(self, below: Stage, places: Array, level: Level) -> list[Data]:
        """Y, Y_h and Y_c of a level that reads these places."""
        (T, B), ways = places.shape[:2], len(level.layers)
        units = level.layers[0]["weight_hh"].shape[1]
        shape, reads = (T, B, ways * units), below.reads if below.levels else places
        stage = self._new(below.root, shape, level, below, None, reads)
        Y = stage.whole.reshape(T, B, ways, units)
        if level.ragged:
            last = Y.size + np.arange(B * ways * units).reshape(B, ways, units)
        else:
            last = np.stack([Y[-1, :, 0], Y[0, :, -1]][:ways], 1)
        self._all[-1] = stage = replace(stage, last=last.reshape(B, -1))
        given = [Y.swapaxes(1, 2), last.swapaxes(0, 1)]
        if level.batch_first:
            given = [Y.swapaxes(0, 1), last]
        cells = self.input("", given[1].shape)  # which nothing but an output may read
        return [*(self._data(stage, one) for one in given), cells]

    def headed(self, data: Data, weight: Array) -> Data:
        """Of a dense layer with a weight (W, O)."""
        below, places = self.of(data)
        if not below.levels:
            raise NotRead(
                "it is a dense layer before the LSTM, where numlstm has none: give its outputs as X"
            )
        if below.has_head:
            raise NotRead("it is a second dense layer behind the LSTM, and numlstm has one")
        if not isinstance(below.made_by, Level):
            raise NotRead("it is a dense layer of something else than what the LSTM gives")
        if weight.ndim != 2 or weight.shape[0] != below.shape[2] or weight.dtype.kind != "f":
            raise NotRead(f"it has a weight of shape {weight.shape} for {below.shape[2]} features")
        columns = np.arange(weight.shape[1])
        made, last = (
            below.rows(rows)[..., None] * columns.size + columns for rows in (places, below.last)
        )
        head, shape = Head(weight.T), (*below.shape[:2], columns.size)
        return self._data(self._new(below.root, shape, head, below, last, below.reads), made)

    def scaled(self, data: Data, kind: str, array: Array) -> Data:
        """Of Add, Sub, Mul or Div with a constant."""
        below, places = self.of(data)
        if array.dtype.kind != "f":
            raise NotRead("it has a constant of another type than the data")
        try:
            constants = np.broadcast_to(array, places.shape)
        except ValueError:
            raise NotRead(
                f"it has constants of shape {array.shape} for data of shape {places.shape}"
            ) from None
        size = below.shape[-1] if below.levels else math.prod(below.shape)
        each = np.zeros(size, array.dtype)
        each[places % size] = constants
        if not np.array_equal(each[places % size], constants):
            raise NotRead("it has constants along another axis than the features")
        made = Step(kind, each), below, below.last, below.reads
        return self._data(self._new(below.root, below.shape, *made), places)

    def added(self, one: Data, other: Data) -> Data:
        """Of an Add of what a level reads and gives: a residual connection."""
        pairs = self.of(one), self.of(other)
        for (below, read), (above, given) in (pairs, pairs[::-1]):
            level = above.made_by
            if not isinstance(level, Level) or level.residual or above.below is not below:
                continue
            same = below.shape == above.shape and np.array_equal(read, given)
            if same and isinstance(below.made_by, Level):
                made = replace(level, residual=True), below, above.last, above.reads
                if above.index not in self._sums:
                    self._sums[above.index] = self._new(above.root, above.shape, *made)
                return self._data(self._sums[above.index], given)
        raise NotRead("it adds parts of the network that numlstm does not add")

    # ---- what they are -----------------------------------------------------------------------

    def is_given(self, data: Data, other_than: str = "") -> bool:
        """Whether all of it comes from inputs as they are, but none from a certain one."""
        roots = [None if one.made_by else one.root for one in self.all_of(data)]
        return not {None, "", other_than}.intersection(roots)

    def are_aside(self, data: Data) -> bool:
        """Whether it has no output of an LSTM in it, or final states of several layers alone."""
        stages = [one for one in self.all_of(data) if one.levels]
        states = [one.last + one.index * _STRIDE for one in stages]
        return not stages or (
            len(stages) > 1 and bool(np.isin(data.places, np.concatenate(states)).all())
        )

    def output_of(self, data: Data) -> tuple[Stage, str, Array]:
        """The stage whose output it is, which one, and where its numbers (T, B, W) stand."""
        stage, places = self.of(data)
        if not stage.levels:
            raise NotRead("it is no output of an LSTM or of a head behind one")
        ways = 1 if stage.has_head else len(stage.levels[-1].layers)
        kinds = {"sequence": stage.whole, "last": stage.last}
        for kind in sorted(kinds, reverse=places.ndim > 2):  # which are the same of one step
            wanted = kinds[kind]
            apart = wanted.reshape(*wanted.shape[:-1], ways, -1)
            if any(np.array_equal(places.squeeze(), one) for one in _arranged(apart)):
                order = np.argsort(places, None)
                return stage, kind, order[np.searchsorted(places.ravel()[order], wanted)]
        raise NotRead(_why_not(stage, places))


def _arranged(array: Array) -> Iterator[Array]:
    """An array (..., D, H) with its axes in other orders, directions apart or side by side."""
    axes = array.ndim - 1
    for order in itertools.permutations(range(axes)):
        turned = array.transpose(*order, axes)
        yield turned.squeeze()
        if order[-1] == axes - 1:
            yield turned.reshape(*turned.shape[:-2], -1).squeeze()


def _why_not(stage: Stage, places: Array) -> str:
    """The reason why places are neither all steps nor the last."""
    T, B, W = stage.shape
    steps, rows, features = (
        np.unique(one) for one in (places // (B * W), places // W % B, places % W)
    )
    level = stage.levels[-1]
    ways = len(level.layers)
    if rows.size < B or features.size < W or 1 < steps.size < T:
        return (
            f"it has only some directions, rows or steps of an LSTM with {ways} directions, and "
            "numlstm returns all steps or the last"
        )
    if steps.size == T or T in steps:
        return "it joins parts of the network that numlstm does not join, or in another order"
    if steps[0] != T - 1:
        return f"it takes step {steps[0]}, and numlstm returns all steps or the last"
    if ways > 1:
        return (
            "it takes the last step, of which the reverse direction has read nothing else: "
            "numlstm's output='last' is what both directions give once they have read all"
        )
    return (
        "it takes the last step of the batch, which rows with a shorter sequence_lens do not "
        "have: numlstm's output='last' is Y_h, the last step of every row"
    )
