"""Graphs of ONNX read node by node: which output is what network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.convert.onnx.files import Free, Graph, array_of
from numlstm.convert.onnx.folding import FLOATS, CannotFold, fold, slices_of
from numlstm.convert.onnx.networks import weights_of
from numlstm.convert.onnx.operator import KNOWN, cell_of, layers_of
from numlstm.convert.onnx.stages import Data, Level, NotRead, Stage, Stages, known_sizes
from numlstm.convert.weights import Weights
from numlstm.utils.types import Array

_QUANTISED = ("Quantize", "QLinear", "Integer")
_MOVES = {  # kinds of nodes that give what they get in another form, or parts of it
    *("Expand", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
}
_PASSED_ON = {"Cast", "Identity", *_MOVES}
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
LEARNED = "numlstm.learned_state"  # what `to_onnx` says of initial states, which may be 0
_OPEN = (7, 5, 11, 13, 17, 19), (13, 11, 7, 5, 19, 17)  # sizes in the place of open ones
_ENDLESS = 2**31 - 1


@dataclass(frozen=True)
class Opaque:
    """Something that is no constant and does not come from the data: a state, lengths."""

    sizes: tuple[int, ...] | None = None
    given: bool = False  # an input of the graph, or parts of it, or zeros


@dataclass(frozen=True)
class Unread:
    """Something made of the data by nodes that no network of numlstm has."""

    reason: str


Value = Array | Data | Opaque | Unread


@dataclass(frozen=True)
class Found:
    """An output of a graph that is a network."""

    name: str
    stage: Stage
    places: Array  # of the numbers (T, B, W), or (B, W) of the last step, in the flat output
    shape: tuple[int, ...]  # of the output
    weights: Weights


class _Another(Exception):
    """The size that an open axis must have, for a layer reads it as features."""


def read_network(onnx: Any, graph: Graph, value: str | None) -> Found:
    """The network that a graph is, whatever sizes are open: read with two of each."""
    sizes: dict[str, int] = {}
    while True:
        try:
            found, other = (Reader(onnx, graph, sizes, open_).found(value) for open_ in _OPEN)
            break
        except _Another as error:
            sizes = sizes | dict([error.args])
    if _bytes_of(found.weights) != _bytes_of(other.weights):
        raise ValueError("the graph is another network for each number of rows or steps")
    return found


def _bytes_of(weights: Weights) -> Any:
    parts = [*weights.layers, weights.head or {}]
    arrays = [{name: array.tobytes() for name, array in part.items()} for part in parts]
    return arrays, repr(weights.scaling and list(weights.scaling)), weights.output


class Reader:
    """The values of a graph by name, from its inputs onwards, where open axes have some sizes."""

    def __init__(self, onnx: Any, graph: Graph, sizes: Mapping[str, int], opened: Sequence[int]):
        self.onnx, self.graph, self.opened = onnx, graph, opened
        self.values: dict[str, Value] = dict(graph.arrays)
        self.stages = Stages()
        self.lstms: list[str] = []
        self.learned = graph.metadata.get(LEARNED) == "True"
        self.bound, self.sizes = sizes, dict(sizes)
        for name, info in graph.inputs.items():
            self.values[name] = self._input(name, info)
        for node in graph.nodes:
            self._read(node)

    def _input(self, name: str, info: Any) -> Value:
        floats = info.type in FLOATS
        sizes = info.sizes
        if sizes is None:
            if not floats:
                return Opaque(given=True)
            sizes = tuple(Free(f"{name}.{axis}") for axis in range(3))
        shape = tuple(self._size(size) for size in sizes)
        if not floats:
            return Opaque(shape, given=True)
        try:
            return self.stages.input(name, shape)
        except NotRead as error:
            return Unread(f"the input {name!r} cannot be read: {error}")

    def _size(self, size: int | Free) -> int:
        if isinstance(size, int):
            return size
        return self.sizes.setdefault(size.name, self.opened[len(self.sizes) % len(self.opened)])

    def _read(self, node: Any) -> None:
        values = [self.values.get(name) if name else None for name in node.input]
        for name, value in zip(node.input, values, strict=True):
            if name and value is None:
                raise ValueError(f"the graph lacks {name!r}, which {_called(node)} reads")
        try:
            made = self._made(node, values)
        except (NotRead, CannotFold) as error:
            made = [Unread(f"{_called(node)} cannot be read: {error}")] * len(node.output)
        for name, value in zip(node.output, made, strict=False):
            if name:
                self.values[name] = value

    def _made(self, node: Any, values: list[Value | None]) -> Sequence[Value]:
        """The values of a node's outputs."""
        kind, count = node.op_type, len(node.output)
        unread = [value for value in values if isinstance(value, Unread)]
        if node.domain not in ("", "ai.onnx") or any(part in kind for part in _QUANTISED):
            return [Unread(_foreign(node))] * count
        if kind == "LSTM":
            return self._lstm(node, values)
        if unread:
            return [unread[0]] * count
        attributes = self._attributes(node)
        if kind == "Constant":
            return [_constant(attributes)]
        if kind == "Shape" and values and values[0] is not None:
            return [_shape(values[0], attributes)]
        if any(isinstance(value, Data) for value in values):
            return self._of_data(kind, attributes, values, count)
        if any(isinstance(value, Opaque) for value in values):
            return [Opaque(given=_is_given(kind, attributes, values))] * count
        arrays = [value if isinstance(value, np.ndarray) else None for value in values]
        try:
            return fold(kind, attributes, arrays, count)
        except CannotFold:
            return [Opaque()] * count

    def _attributes(self, node: Any) -> dict[str, Any]:
        read = {}
        for one in node.attribute:
            value = self.onnx.helper.get_attribute_value(one)
            if isinstance(value, self.onnx.TensorProto):
                value = array_of(self.onnx, value, None)
            read[one.name] = value
        return read

    # ---- nodes that read the data ------------------------------------------------------------

    def _of_data(
        self, kind: str, attributes: Mapping[str, Any], values: list[Value | None], count: int
    ) -> Sequence[Value]:
        first, others = values[0], [value for value in values[1:] if value is not None]
        constant = all(isinstance(value, np.ndarray) for value in others)
        if kind in ("Identity", "Dropout", "Cast") and first is not None:
            if kind == "Dropout" and _trains(values):
                raise NotRead("it is a dropout of training")
            if kind == "Cast" and attributes.get("to") not in FLOATS:
                raise NotRead("it makes the data no floats")
            return [first] * count
        joined = kind == "Concat" and all(isinstance(value, Data) for value in values)
        if joined or (kind in _MOVES and isinstance(first, Data) and constant):
            return self._moved(kind, attributes, values, count)
        if kind in _MOVES and isinstance(first, Data) and self.stages.is_given(first, ""):
            return [Opaque(given=True)] * count
        if kind == "Concat":
            raise NotRead("it joins the data with something else")
        return [self._arithmetic(kind, attributes, values)]

    def _moved(
        self, kind: str, attributes: Mapping[str, Any], values: list[Value | None], count: int
    ) -> Sequence[Value]:
        arrays = [value.places if isinstance(value, Data) else value for value in values]
        plain = [value if isinstance(value, np.ndarray) else None for value in arrays]
        if kind == "Slice":
            self._require_all_ends(attributes, plain)
        try:
            return [Data(places) for places in fold(kind, attributes, plain, count)]
        except CannotFold:
            if kind == "Expand" and isinstance(values[0], Data):
                if self.stages.is_given(values[0], ""):  # a state of one row, for all rows
                    return [Opaque(given=True)] * count
            raise

    def _require_all_ends(self, attributes: Mapping[str, Any], arrays: Sequence[Any]) -> None:
        """Refuse a Slice of an open axis that reaches beyond the size put in its place."""
        data, *places = arrays
        for axis, cut in slices_of(attributes, data.ndim, *places).items():
            size = data.shape[axis]
            ends = [abs(end) for end in (cut.start, cut.stop) if abs(end) < _ENDLESS]
            if any(size % one == 0 for one in self.opened) and max(ends, default=0) > size:
                raise NotRead(f"it cuts at {max(ends)} of an axis whose size is open")

    def _arithmetic(
        self, kind: str, attributes: Mapping[str, Any], values: list[Value | None]
    ) -> Data:
        first, second, third = (*values, None, None, None)[:3]
        if kind in ("Add", "Mul") and isinstance(first, np.ndarray):
            first, second = second, first
        if isinstance(first, Data) and isinstance(second, Data) and kind == "Add":
            return self.stages.added(first, second)
        if isinstance(first, Data) and isinstance(second, np.ndarray):
            if kind in ("Add", "Sub", "Mul", "Div"):
                return self.stages.scaled(first, kind, second)
            if kind == "MatMul":
                return self.stages.headed(first, second)
            if kind == "Gemm" and (third is None or isinstance(third, np.ndarray)):
                return self._gemm(attributes, first, second, third)
        raise NotRead(
            "networks of numlstm are LSTMs with one linear head behind them and the units of the "
            "data around them, and have no such node"
        )

    def _gemm(
        self, attributes: Mapping[str, Any], data: Data, weight: Array, bias: Array | None
    ) -> Data:
        if attributes.get("transA", 0) or data.places.ndim != 2:
            raise NotRead("it turns the data round")
        weight = _times(weight.T if attributes.get("transB", 0) else weight, attributes, "alpha")
        if bias is not None:
            shape = len(data.places), weight.shape[-1]
            try:
                rows = np.broadcast_to(_times(bias, attributes, "beta"), shape)
            except ValueError:
                raise NotRead(f"it has constants of shape {bias.shape} for {shape}") from None
            if (rows != rows[:1]).any():
                raise NotRead("it has constants along another axis than the features")
            bias = rows[0]
        return self.stages.headed(data, weight, bias)

    # ---- LSTM nodes --------------------------------------------------------------------------

    def _lstm(self, node: Any, values: list[Value | None]) -> Sequence[Value]:
        named = {name: v for name, v in zip(_INPUTS, values, strict=False) if v is not None}
        self.lstms.append(_called(node))
        X = named.get("X")
        if isinstance(X, Unread):
            return [X] * len(node.output)
        if not isinstance(X, Data):
            raise NotRead("its X does not come from an input of the graph as it is")
        attributes, arrays = self._attributes_of_lstm(node), _weights_of_lstm(node, named)
        dtype = "float64" if arrays["W"].dtype == np.float64 else "float32"
        cell, directions = cell_of(attributes, "P" in arrays, dtype)
        batch_first = bool(attributes.get("layout", 0))
        below, places = self.stages.read_by_lstm(X, batch_first)
        ragged = _is_ragged(named.get("sequence_lens"), len(places))
        for name in ("initial_h", "initial_c"):
            state = self._initial(named.get(name), batch_first, below.root)
            if state is not None:
                arrays[name] = state.astype(arrays["W"].dtype)
        layers = layers_of(arrays, cell, directions, attributes.get("hidden_size"))
        self._require_width(node, below, places, layers[0]["weight_ih"].shape[1])
        level = Level(node, layers, cell, ragged, batch_first)
        Y, h = self.stages.lstm(below, places, level)
        if batch_first:
            Y, h = Data(Y.places.transpose(2, 0, 1, 3)), Data(h.places.swapaxes(0, 1))
        return [Y, h, Opaque(h.places.shape)]

    def _attributes_of_lstm(self, node: Any) -> dict[str, Any]:
        for one in node.attribute:
            kind = self.onnx.AttributeProto.AttributeType.Name(one.type)
            if kind != KNOWN.get(one.name, kind):
                raise ValueError(f"{one.name} of an LSTM is {KNOWN[one.name]}, received {kind}")
        return self._attributes(node)

    def _require_width(self, node: Any, below: Stage, places: Array, width: int) -> None:
        """Refuse data of another width than the weights read; an open one becomes theirs."""
        if places.shape[2] == width:
            return
        for name, size in self.sizes.items():
            if not below.levels and size == places.shape[2] and name not in self.bound:
                raise _Another(name, width)
        raise ValueError(f"W of {_called(node)} does not read the {places.shape[2]} features of X")

    def _initial(self, state: Value | None, batch_first: bool, root: str) -> Array | None:
        """A constant initial state, (D, 1, H); None of one that callers give, or of zeros."""
        if isinstance(state, np.ndarray) and state.dtype.kind == "f" and state.ndim == 3:
            state = state.swapaxes(0, 1) if batch_first else state
            if (state != state[:, :1]).any():
                raise ValueError(
                    "the initial states are constants that differ from row to row, and numlstm "
                    "learns one for all rows: make them inputs, and pass state= to predict"
                )
            return state[:, :1] if self.learned or state.any() else None
        if state is None or (isinstance(state, Opaque) and state.given):
            return None
        if isinstance(state, Data) and self.stages.is_given(state, root):
            return None
        raise NotRead("its initial state is made by nodes that numlstm does not have")

    # ---- outputs -----------------------------------------------------------------------------

    def found(self, name: str | None) -> Found:
        """The output of that name, or the only one that is a network."""
        if not self.lstms:
            kinds = ", ".join(sorted({node.op_type for node in self.graph.nodes}))
            raise ValueError(f"there is no LSTM in the graph, which has the nodes {kinds}")
        if name is not None and name not in self.values:
            raise ValueError(
                f"value={name!r} is no value of the graph, whose outputs are "
                f"{list(self.graph.outputs)}"
            )
        return self._as_found(self._chosen() if name is None else name)

    def _chosen(self) -> str:
        graded: dict[tuple[bool, bool, int], list[str]] = {}
        for name in self.graph.outputs:
            data, reason = self.values.get(name), self._reason(name)
            if reason and len(self.graph.outputs) > 1:
                raise ValueError(
                    f"of the outputs {list(self.graph.outputs)}, {name!r} is no network: {reason}. "
                    f"Say which one is meant, value={self.graph.outputs[0]!r}; any value inside "
                    "the graph does, too"
                )
            if reason:
                return name
            if isinstance(data, Data) and not self._is_aside(data):
                stage, kind, _ = self.stages.output_of(data)
                grade = not stage.has_head, kind == "last", data.places.ndim
                graded.setdefault(grade, []).append(name)
        if not graded:
            raise ValueError(
                f"none of the outputs {list(self.graph.outputs)} is what one of the LSTMs "
                f"{self.lstms} gives, or a linear head of it: name the value that is, value='...'"
            )
        best = graded[min(graded)]
        if len(best) > 1:
            raise ValueError(
                f"more than one output is a network, {best}: say which one is meant, "
                f"value={best[0]!r}"
            )
        return best[0]

    def _is_aside(self, data: Data) -> bool:
        """Whether it is data of callers, or the final states of all layers."""
        stages = self.stages.all_of(data)
        return not any(one.levels for one in stages) or self.stages.are_states(data)

    def _reason(self, name: str) -> str | None:
        """The reason why an output is no network, if it is made of one."""
        value = self.values.get(name)
        if isinstance(value, Unread):
            return value.reason
        if not isinstance(value, Data) or self._is_aside(value):
            return None
        try:
            self.stages.output_of(value)
        except NotRead as error:
            return _of_value(name, error)
        return None

    def _as_found(self, name: str) -> Found:
        value = self.values[name]
        if isinstance(value, Unread):
            raise ValueError(
                f"{value.reason}. value= names one before it, to convert the network up to there"
            )
        if not isinstance(value, Data):
            raise ValueError(f"{name!r} is no output of an LSTM or of a head behind one")
        try:
            stage, kind, places = self.stages.output_of(value)
        except NotRead as error:
            raise ValueError(_of_value(name, error)) from error
        return Found(name, stage, places, value.places.shape, weights_of(stage, kind))


def _called(node: Any) -> str:
    name = node.name or (node.output[0] if node.output else "")
    return f"the {node.op_type} node {name!r}"


def _of_value(name: str, error: NotRead) -> str:
    return f"{name!r} {str(error).removeprefix('it ')}"


def _foreign(node: Any) -> str:
    if any(part in node.op_type for part in _QUANTISED):
        return (
            f"{_called(node)} is quantised, and numlstm computes with floats: convert the network "
            "from before its quantisation"
        )
    return f"{_called(node)} is of another domain, {node.domain!r}, and not read"


def _constant(attributes: Mapping[str, Any]) -> Value:
    for name, value in attributes.items():
        if name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
            array = np.asarray(value)
            narrow = name.startswith("value_float")
            return array.astype(np.float32) if narrow else array
    return Opaque()


def _is_given(kind: str, attributes: Mapping[str, Any], values: Sequence[Value | None]) -> bool:
    """Whether a node passes on what callers give, or makes zeros of a shape that is not known."""
    if kind == "ConstantOfShape":
        return not np.any(attributes.get("value", 0))
    first = values[0]
    if kind == "Expand" and isinstance(first, np.ndarray):
        return not first.any()
    return kind in _PASSED_ON and isinstance(first, Opaque) and first.given


def _shape(value: Value, attributes: Mapping[str, Any]) -> Value:
    sizes = known_sizes(value)
    if sizes is None:
        return Opaque()
    return np.array(sizes[attributes.get("start", 0) : attributes.get("end", None)], np.int64)


def _trains(values: Sequence[Value | None]) -> bool:
    """Whether a Dropout has an input training_mode that may be true."""
    mode = values[2] if len(values) > 2 else None
    return mode is not None and not (isinstance(mode, np.ndarray) and not mode.any())


def _times(array: Array, attributes: Mapping[str, Any], name: str) -> Array:
    factor = attributes.get(name, 1.0)
    return array if factor == 1.0 else (array * array.dtype.type(factor)).astype(array.dtype)


def _weights_of_lstm(node: Any, named: Mapping[str, Value]) -> dict[str, Array]:
    arrays = {}
    for name in named.keys() & {"W", "R", "B", "P"}:
        value = named[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise ValueError(f"{name} of {_called(node)} must be constant floats")
        arrays[name] = value
    if not {"W", "R"} <= arrays.keys():
        raise ValueError(f"{_called(node)} lacks W or R")
    return arrays


def _is_ragged(lens: Value | None, steps: int) -> bool:
    if lens is None or (isinstance(lens, Opaque) and lens.given):
        return lens is not None
    if isinstance(lens, np.ndarray):
        if (lens == steps).all():
            return False
        raise ValueError(
            "sequence_lens is constant, which fixes a batch: make it an input, and pass lengths= "
            "to predict"
        )
    raise NotRead("its sequence_lens are computed by nodes: make it an input of the graph")
