"""What the data of a graph of ONNX become from node to node, as far as a network of numlstm is it.

A flow is a tensor that comes from the data by LSTMs, a linear head and the units of the data, with
what each of its axes is: a tuple of atoms, which Transpose, Squeeze and Reshape move about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.convert.onnx.files import Free, Size
from numlstm.convert.onnx.folding import FLOATS, axes_of, integers, slices_of
from numlstm.utils.types import Array


class Atom(NamedTuple):
    """A part of an axis: its role, T, B, D (direction), H, O, or its place in the input."""

    role: str
    size: Size


Axis = tuple[Atom, ...]  # of size 1 where there are none


@dataclass(frozen=True)
class Level:
    """One LSTM node: a layer for each direction."""

    index: int  # among the LSTM nodes
    ragged: bool  # whether it has sequence_lens
    node: Any = field(compare=False)
    layers: Sequence[Mapping[str, Array]] = field(compare=False)
    cell: Cell = field(compare=False)
    residual: bool = False


class Step(NamedTuple):
    """A node with a constant for each feature, or for all."""

    kind: str  # Add, Sub, Mul or Div
    array: Array
    role: str | None = None  # of the axis that it goes along


@dataclass(frozen=True)
class Flow:
    """A tensor made of the data."""

    root: str  # the graph's input
    axes: tuple[Axis, ...]
    places: tuple[Atom, ...] = ()  # steps, rows and features in that input
    before: tuple[Step, ...] = ()
    levels: tuple[Level, ...] = ()
    head: Mapping[str, Array] | None = None
    behind: tuple[Step, ...] = ()
    state: str = ""  # "h" or "c" of what is a final state
    last: bool = False
    way: int | None = None  # of one direction of a final state alone

    @property
    def width(self) -> Size:
        """The number of features, of the last axis."""
        return size_of(self.axes[-1]) if self.axes else 1


@dataclass(frozen=True)
class Stack:
    """Final states of several levels, one behind the other along the first axis."""

    parts: tuple[Flow, ...]


@dataclass(frozen=True)
class Opaque:
    """Something that is no constant and does not come from the data: a state, lengths."""

    sizes: tuple[Size, ...] | None = None
    given: bool = False  # an input of the graph, or parts of it, or zeros


@dataclass(frozen=True)
class Unread:
    """Something made of the data by nodes that no network of numlstm has."""

    reason: str


Value = Array | Flow | Stack | Opaque | Unread


class NotRead(Exception):
    """The reason why a node cannot be read."""


def size_of(axis: Axis) -> Size:
    """The size of an axis; open where a part of it is."""
    size = 1
    for atom in axis:
        if isinstance(atom.size, Free):
            return atom.size if len(axis) == 1 else Free("?")
        size *= atom.size
    return size


def sizes_of(value: Value) -> tuple[Size, ...] | None:
    """The sizes of a value, or None where nothing says them."""
    if isinstance(value, np.ndarray):
        return tuple(int(size) for size in value.shape)
    if isinstance(value, Flow):
        return tuple(map(size_of, value.axes))
    return value.sizes if isinstance(value, Opaque) else None


# ---- axes ------------------------------------------------------------------------------------


def transposed(flow: Flow, attributes: Mapping[str, Any]) -> Flow:
    """Of a Transpose."""
    order = attributes.get("perm", range(len(flow.axes))[::-1])
    if sorted(order) != list(range(len(flow.axes))):
        raise NotRead(f"perm {list(order)} of {len(flow.axes)} axes")
    return replace(flow, axes=tuple(flow.axes[k] for k in order))


def squeezed(flow: Flow, attributes: Mapping[str, Any], axes: Array | None = None) -> Flow:
    """Of a Squeeze, of axes that are no parts of the data."""
    ones = [k for k, axis in enumerate(flow.axes) if size_of(axis) == 1]
    found = axes_of(attributes, axes, len(flow.axes)) or ones
    if any(flow.axes[k] for k in found):
        raise NotRead("it takes out an axis of rows, steps or features")
    return replace(flow, axes=tuple(a for k, a in enumerate(flow.axes) if k not in found))


def unsqueezed(flow: Flow, attributes: Mapping[str, Any], axes: Array | None = None) -> Flow:
    """Of an Unsqueeze."""
    count = len(integers(axes)) if axes is not None else len(attributes.get("axes", ()))
    made = list(flow.axes)
    for axis in sorted(axes_of(attributes, axes, len(made) + count)):
        made.insert(axis, ())
    return replace(flow, axes=tuple(made))


def reshaped(flow: Flow, attributes: Mapping[str, Any], target: Array) -> Flow:
    """Of a Reshape that joins or parts axes."""
    sizes = integers(target)
    if not attributes.get("allowzero", 0):
        sizes = [size_of(flow.axes[k]) if size == 0 else size for k, size in enumerate(sizes)]
    atoms = [atom for axis in flow.axes for atom in axis]
    first = sizes.index(-1) if -1 in sizes else len(sizes)
    axes, rest = _taken(atoms, sizes[:first])
    if first < len(sizes):
        behind, rest = _taken(rest[::-1], sizes[:first:-1])
        axes = [*axes, tuple(rest[::-1]), *(axis[::-1] for axis in behind[::-1])]
        rest = []
    if any(atom.size != 1 for atom in rest):
        raise NotRead(f"its target {sizes} does not fit the axes")
    return replace(flow, axes=tuple(axes))


def _taken(atoms: Sequence[Atom], sizes: Sequence[Size]) -> tuple[list[Axis], list[Atom]]:
    """Axes of these sizes from the atoms at the beginning, and the other atoms."""
    rest, axes = list(atoms), []
    for size in sizes:
        axis: list[Atom] = []
        while rest and size_of(tuple(axis)) != size:
            axis.append(rest.pop(0))
        if size_of(tuple(axis)) != size:
            raise NotRead(f"its target size {size} does not fit the axes")
        axes.append(tuple(axis))
    return axes, rest


def gathered(flow: Flow, attributes: Mapping[str, Any], places: Array) -> Flow:
    """Of a Gather: the last step, or a direction of a state."""
    if not flow.axes or places.size != 1 or places.ndim > 1 or places.dtype == object:
        raise NotRead("it takes several places")
    axis = int(attributes.get("axis", 0)) % len(flow.axes)
    place, kept = int(places.ravel()[0]), ((),) * places.ndim
    others = (*flow.axes[:axis], *kept, *flow.axes[axis + 1 :])
    atoms = flow.axes[axis]
    if not atoms and place in (0, -1):
        return replace(flow, axes=others)
    if [atom.role for atom in atoms] == ["D"] and flow.state and not places.ndim:
        return replace(flow, axes=others, way=place % 2)
    return replace(_at_the_last_step(flow, atoms, place), axes=others)


def _at_the_last_step(flow: Flow, atoms: Axis, place: int) -> Flow:
    if [atom.role for atom in atoms] != ["T"] or not flow.levels:
        raise NotRead("it takes some rows, steps or features")
    size = atoms[0].size
    if place != -1 and not (isinstance(size, int) and place == size - 1):
        raise NotRead(f"it takes step {place}, and numlstm returns all steps or the last")
    if len(flow.levels[-1].layers) > 1:
        raise NotRead(
            "it takes the last step, of which the reverse direction has read nothing else: "
            "numlstm's output='last' is what both directions give once they have read all"
        )
    if flow.levels[-1].ragged:
        raise NotRead(
            "it takes the last step of the batch, which rows with a shorter sequence_lens do not "
            "have: numlstm's output='last' is Y_h, the last step of every row"
        )
    return replace(flow, last=True)


def sliced(flow: Flow, attributes: Mapping[str, Any], *places: Array | None) -> Flow:
    """Of a Slice: everything, or the last step."""
    for axis, cut in slices_of(attributes, len(flow.axes), *places).items():
        size = size_of(flow.axes[axis])
        end = size if isinstance(size, int) else 2**31 - 1
        if cut.start == 0 and cut.step == 1 and cut.stop >= end:
            continue
        if (cut.start, cut.stop) in ((0, 1), (1, 2)) and _is_direction(flow, axis):
            flow = one_way(flow, axis, cut.start)
            continue
        if cut.start == -1 and cut.step == 1 and cut.stop >= end:
            made = _at_the_last_step(flow, flow.axes[axis], -1)
            flow = replace(made, axes=(*flow.axes[:axis], (), *flow.axes[axis + 1 :]))
            continue
        raise NotRead("it cuts rows, steps or features out")
    return flow


def _is_direction(flow: Flow, axis: int) -> bool:
    return [atom.role for atom in flow.axes[axis]] == ["D"]


def one_way(flow: Flow, axis: int, way: int) -> Flow:
    """One direction, whose axis stays."""
    return replace(flow, axes=(*flow.axes[:axis], (), *flow.axes[axis + 1 :]), way=way)


def split(flow: Flow, attributes: Mapping[str, Any], count: int) -> list[Flow]:
    """Of a Split into both directions."""
    axis = int(attributes.get("axis", 0)) % max(len(flow.axes), 1)
    if count != 2 or not _is_direction(flow, axis):
        raise NotRead("it parts rows, steps or features")
    return [one_way(flow, axis, way) for way in (0, 1)]


def joined(values: Sequence[Value], attributes: Mapping[str, Any]) -> Value:
    """Of a Concat: final states of levels, or of both directions."""
    flows = [value for value in values if isinstance(value, Flow)]
    if len(flows) < len(values) or len({len(flow.axes) for flow in flows}) != 1:
        raise NotRead("it joins the data with something else")
    rank = len(flows[0].axes)
    axis = int(attributes.get("axis", 0)) % max(rank, 1)
    if len(flows) == 2 and axis == rank - 1 and [flow.way for flow in flows] == [0, 1]:
        one, other = flows
        if replace(other, way=0) == one:
            D = Atom("D", 2)
            return replace(one, way=None, axes=(*one.axes[:-1], (D, *one.axes[-1])))
    if axis == 0 and all(flow.state and flow.way is None for flow in flows) and rank == 3:
        return Stack(tuple(flows))
    raise NotRead("it joins parts of the network that numlstm does not join")


def part_of(stack: Stack, attributes: Mapping[str, Any], places: Array) -> Flow:
    """Of a Gather from the states of all levels."""
    if attributes.get("axis", 0) or places.size != 1 or places.ndim or places.dtype == object:
        raise NotRead("it takes several states")
    ways = [(flow, way) for flow in stack.parts for way in range(len(flow.levels[-1].layers))]
    place = int(places)
    if not -len(ways) <= place < len(ways):
        raise NotRead(f"there is no state {place}")
    flow, way = ways[place]
    one = len(flow.levels[-1].layers) == 1
    return replace(flow, axes=flow.axes[1:], way=None if one else way)


# ---- arithmetic ------------------------------------------------------------------------------


def cast(flow: Flow, attributes: Mapping[str, Any]) -> Flow:
    """Of a Cast between floats."""
    if attributes.get("to") not in FLOATS:
        raise NotRead("it makes the data no floats")
    return flow


def multiplied(flow: Flow, weight: Array, bias: Array | None = None) -> Flow:
    """Of a MatMul or Gemm with (W, O)."""
    if not flow.levels:
        raise NotRead(
            "it is a dense layer before the LSTM, where numlstm has none: give its outputs as X"
        )
    if flow.head is not None:
        raise NotRead("it is a second dense layer behind the LSTM, and numlstm has one")
    if flow.behind or flow.way is not None or not in_order(flow):
        raise NotRead("it is a dense layer of something else than what the LSTM gives")
    if weight.ndim != 2 or weight.shape[0] != flow.width or weight.dtype.kind != "f":
        raise NotRead(f"it has a weight of shape {weight.shape} for {flow.width} features")
    head = {"weight": np.ascontiguousarray(weight.T)}
    if bias is not None:
        head["bias"] = np.array(np.broadcast_to(bias.reshape(-1), weight.shape[1:]))
    O = Atom("O", weight.shape[1])  # noqa: E741
    return replace(flow, head=head, axes=(*flow.axes[:-1], (O,)))


def gemm(flow: Flow, attributes: Mapping[str, Any], weight: Array, bias: Any = None) -> Flow:
    """Of a Gemm; its rows may be all steps of all rows."""
    if attributes.get("transA", 0) or len(flow.axes) != 2:
        raise NotRead("it turns the data round")
    weight = weight.T if attributes.get("transB", 0) else weight
    for name, value in ("alpha", weight), ("beta", bias):
        factor = attributes.get(name, 1.0)
        if factor != 1.0 and value is not None:
            scaled = (value * value.dtype.type(factor)).astype(value.dtype)
            weight, bias = (scaled, bias) if name == "alpha" else (weight, scaled)
    return multiplied(flow, weight, bias)


def in_order(flow: Flow) -> bool:
    """Whether the last axis is the features, forward before reverse."""
    roles = [atom.role for atom in flow.axes[-1]] if flow.axes else []
    if not flow.levels:
        return len(roles) == 1
    if flow.head is not None:
        return roles == ["O"]
    both = len(flow.levels[-1].layers) == 2
    return roles == (["D", "H"] if both else ["H"])


def moved(flow: Flow, kind: str, array: Array) -> Flow:
    """Of Add, Sub, Mul or Div of the data and a constant."""
    if array.dtype.kind != "f" or array.ndim > len(flow.axes):
        raise NotRead("it has a constant of another form than the data")
    along = [array.ndim - k for k, size in enumerate(array.shape) if size != 1]
    if len(along) > 1:
        raise NotRead("it has a constant for more than the features")
    axis = flow.axes[len(flow.axes) - along[0]] if along else None
    if axis is not None and size_of(axis) != array.size:
        raise NotRead(f"it has {array.size} constants for an axis of size {size_of(axis)}")
    step = Step(kind, array.reshape(-1))
    if not flow.levels:
        role = None if axis is None else "".join(atom.role for atom in axis)
        return replace(flow, before=(*flow.before, step._replace(role=role)))
    if not in_order(flow) or (along and along != [1]) or flow.way is not None:
        raise NotRead("it has constants along another axis than the features")
    if kind == "Add" and flow.head is not None and "bias" not in flow.head and not flow.behind:
        size, dtype = flow.axes[-1][0].size, flow.head["weight"].dtype
        assert isinstance(size, int)
        bias = np.array(np.broadcast_to(step.array, size), np.result_type(array, dtype))
        return replace(flow, head={**flow.head, "bias": bias})
    return replace(flow, behind=(*flow.behind, step))


def added(one: Flow, other: Flow) -> Flow:
    """Of an Add of a level's inputs and outputs: a residual connection."""
    for below, above in (one, other), (other, one):
        if len(above.levels) != len(below.levels) + 1 or above.levels[:-1] != below.levels:
            continue
        plain = not (above.head or below.head or above.behind or below.behind)
        same = above.axes == below.axes and above.last == below.last and above.root == below.root
        if below.levels and plain and same and not above.levels[-1].residual:
            top = replace(above.levels[-1], residual=True)
            return replace(above, levels=(*below.levels, top), state="")
    raise NotRead("it adds parts of the network that numlstm does not add")
