"""Graphs of ONNX read node by node: which output is what network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.convert.onnx.files import FLOATS, Free, Graph, Input, Size, array_of
from numlstm.convert.onnx.folding import CannotFold, fold, slices_of
from numlstm.convert.onnx.networks import weights_of
from numlstm.convert.onnx.operator import KNOWN, cell_of, layers_of
from numlstm.convert.onnx.stages import Data, Level, NotRead, Stage, Stages
from numlstm.convert.weights import Weights
from numlstm.utils.types import Array

_QUANTISED = ("Quantize", "QLinear", "Integer")
_MOVES = {  # kinds of nodes that give what they get in another form, or parts of it
    *("Expand", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
}
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
LEARNED = "numlstm.learned_state"  # what `to_onnx` says of initial states, which may be 0
_OPEN = (7, 5, 11, 13, 17, 19), (13, 11, 7, 5, 19, 17)  # sizes in the place of open ones
_ENDLESS = 2**31 - 1


@dataclass(frozen=True)
class Unread:
    """Something made by nodes that no network of numlstm has."""

    reason: str


Value = Array | Data | Unread


@dataclass(frozen=True)
class Found:
    """An output of a graph that is a network."""

    name: str
    stage: Stage
    places: Array  # of the numbers (T, B, W), or (B, W) of the last step, in the flat output
    shape: tuple[int, ...]  # of the output
    weights: Weights

    @property
    def grade(self) -> tuple[bool, bool, int]:
        """The least is the output that is meant: of a head, all steps, and of fewer axes."""
        return self.weights.head is None, self.weights.output == "last", len(self.shape)


def read_network(onnx: Any, graph: Graph, value: str | None) -> Found:
    """The network that a graph is; where sizes are open it must be the same of any."""
    reader = Reader(onnx, graph, _OPEN[0])
    found = reader.found(value)
    if not reader.sizes:
        return found
    again = Reader(onnx, graph, _OPEN[1]).found(value)
    if _bytes_of(found.weights) != _bytes_of(again.weights):
        raise ValueError("the graph is another network for each number of rows or steps")
    return found


def _bytes_of(weights: Weights) -> Any:
    parts = [*weights.layers, weights.head or {}]
    arrays = [{name: array.tobytes() for name, array in part.items()} for part in parts]
    return arrays, repr(weights.scaling and list(weights.scaling)), weights.output


class Reader:
    """The values of a graph by name, from its inputs onwards, where open axes have some sizes."""

    def __init__(self, onnx: Any, graph: Graph, opened: Sequence[int]):
        self.onnx, self.graph, self.opened = onnx, graph, opened
        self.values: dict[str, Value] = dict(graph.arrays)
        self.stages = Stages()
        self.lstms: list[str] = []
        self.sizes: dict[str, int] = {}
        for name, info in graph.inputs.items():
            self.values[name] = self._input(name, info)
        for node in graph.nodes:
            self._read(node)

    def _input(self, name: str, info: Input) -> Value:
        sizes = info.sizes
        if sizes is None:
            sizes = tuple(Free(f"{name}.{axis}") for axis in range(3))
        shape = tuple(map(self._size, sizes))
        if sizes and isinstance(sizes[-1], Free):  # of features, if it is the data
            shape = (*shape[:-1], self._features() or shape[-1])
        try:
            return self.stages.input(name, shape)
        except NotRead as error:
            return Unread(f"the input {name!r} cannot be read: {error}")

    def _features(self) -> int:
        """The number of features that the first LSTM reads."""
        names = [node.input[1] for node in self.graph.nodes if node.op_type == "LSTM"]
        weight = self.graph.arrays.get(names[0]) if names else None
        return int(weight.shape[2]) if weight is not None and weight.ndim == 3 else 0

    def _size(self, size: Size) -> int:
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
        attributes = self._attributes(node)
        if unread and _are_zeros(kind, attributes, values):
            return [self._given(node)] * count
        if unread:
            return [unread[0]] * count
        if kind == "Constant":
            return [_constant(attributes)]
        arrays: list[Any] = [one.places if isinstance(one, Data) else one for one in values]
        if kind == "Shape":
            sizes = np.shape(arrays[0])
            return [np.array(sizes[attributes.get("start", 0) : attributes.get("end", None)])]
        if any(isinstance(value, Data) for value in values):
            try:
                return self._of_data(kind, attributes, values, count)
            except CannotFold:
                if not self._is_given(values[0]):
                    raise
                return [self._given(node)] * count  # a state of one row, for all rows, or lengths
        return fold(kind, attributes, arrays, count)

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
    ) -> Sequence[Any]:
        if kind == "Dropout" and _trains(values):
            raise NotRead("it is a dropout of training")
        if kind == "Cast" and attributes.get("to") not in FLOATS:
            raise CannotFold("it makes the data no floats")
        if kind in ("Identity", "Dropout", "Cast"):
            return [values[0]] * count
        data = [isinstance(one, Data) for one in values]
        if not (kind == "Concat" and all(data)) and not (kind in _MOVES and data.index(True) == 0):
            return [self._arithmetic(kind, attributes, values)]
        if kind in _MOVES and sum(data) > 1:
            raise CannotFold("what it reads beside the data is no constant")
        arrays: list[Any] = [one.places if isinstance(one, Data) else one for one in values]
        if kind == "Slice":
            self._require_ends_within(attributes, *arrays)
        return [Data(places) for places in fold(kind, attributes, arrays, count)]

    def _given(self, node: Any) -> Data:
        """Zeros, or what callers give, made by a node, of a shape that nothing has to say."""
        return self.stages.input(_called(node), (1,))

    def _is_given(self, value: Value | None, other_than: str = "") -> bool:
        """Whether callers give it as it is, beside the data, or it is zeros."""
        return isinstance(value, Data) and self.stages.is_given(value, other_than)

    def _require_ends_within(self, attributes: Mapping[str, Any], data: Any, *ends: Any) -> None:
        """Refuse a Slice of an open axis that reaches beyond the size put in its place."""
        for axis, cut in slices_of(attributes, data.ndim, *ends).items():
            size = data.shape[axis]
            furthest = max(end for end in (abs(cut.start), abs(cut.stop), 0) if end < _ENDLESS)
            if any(size % one == 0 for one in self.sizes.values()) and furthest > size:
                raise NotRead(f"it cuts at {furthest} of an axis whose size is open")

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
            if kind == "Gemm" and not isinstance(third, Data):
                return self._gemm(attributes, first, second, third)
        raise NotRead(
            "networks of numlstm are LSTMs with one linear head behind them and the units of the "
            "data around them, and have no such node"
        )

    def _gemm(self, attributes: Mapping[str, Any], data: Data, weight: Array, bias: Any) -> Data:
        if attributes.get("transA", 0) or data.places.ndim != 2:
            raise NotRead("it turns the data round")
        weight = weight.T if attributes.get("transB", 0) else weight
        made = self.stages.headed(data, _times(weight, attributes.get("alpha", 1.0)))
        if bias is None:
            return made
        return self.stages.scaled(made, "Add", _times(bias, attributes.get("beta", 1.0)))

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
        if below.root not in self.graph.inputs or self.graph.inputs[below.root].type not in FLOATS:
            raise NotRead("its X does not come from an input of floats")
        ragged = self._is_ragged(named.get("sequence_lens"), len(places))
        for name in ("initial_h", "initial_c"):
            state = self._initial(named.get(name), batch_first, below.root)
            if state is not None:
                arrays[name] = state.astype(arrays["W"].dtype)
        layers = layers_of(arrays, cell, directions, attributes.get("hidden_size"))
        if layers[0]["weight_ih"].shape[1] != places.shape[2]:
            raise ValueError(
                f"W of {_called(node)} does not read the {places.shape[2]} features of X"
            )
        level = Level(node, layers, cell, ragged, batch_first)
        return self.stages.lstm(below, places, level)

    def _attributes_of_lstm(self, node: Any) -> dict[str, Any]:
        for one in node.attribute:
            kind = self.onnx.AttributeProto.AttributeType.Name(one.type)
            if kind != KNOWN.get(one.name, kind):
                raise ValueError(f"{one.name} of an LSTM is {KNOWN[one.name]}, received {kind}")
        return self._attributes(node)

    def _initial(self, state: Value | None, batch_first: bool, root: str) -> Array | None:
        """A constant initial state, (D, 1, H); None of one that callers give, or of zeros."""
        if isinstance(state, np.ndarray) and state.dtype.kind == "f" and state.ndim == 3:
            state = state.swapaxes(0, 1) if batch_first else state
            if (state != state[:, :1]).any():
                raise ValueError(
                    "the initial states are constants that differ from row to row, and numlstm "
                    "learns one for all rows: make them inputs, and pass state= to predict"
                )
            learned = state.any() or self.graph.metadata.get(LEARNED) == "True"
            return state[:, :1] if learned else None
        if state is None or self._is_given(state, root):
            return None
        raise NotRead("its initial state is made by nodes that numlstm does not have")

    def _is_ragged(self, lens: Value | None, steps: int) -> bool:
        if lens is None or self._is_given(lens):
            return lens is not None
        if isinstance(lens, np.ndarray):
            if (lens == steps).all():
                return False
            raise ValueError(
                "sequence_lens is constant, which fixes a batch: make it an input, and pass "
                "lengths= to predict"
            )
        raise NotRead("its sequence_lens are computed by nodes: make it an input of the graph")

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
        return self._chosen() if name is None else self._network(name)

    def _chosen(self) -> Found:
        outputs, found = list(self.graph.outputs), []
        for name in outputs:
            value = self.values.get(name)
            if isinstance(value, Data) and self.stages.are_aside(value):
                continue
            try:
                if isinstance(value, (Data, Unread)):
                    found.append(self._network(name))
            except ValueError as error:
                if len(outputs) == 1:
                    raise
                raise ValueError(
                    f"of the outputs {outputs}, {name!r} is no network: {error}. Say which one is "
                    f"meant, value={outputs[0]!r}; any value inside the graph does, too"
                ) from error
        if not found:
            raise ValueError(
                f"none of the outputs {outputs} is what one of the LSTMs {self.lstms} gives, or a "
                "linear head of it: name the value that is, value='...'"
            )
        best = [one for one in found if one.grade == min(one.grade for one in found)]
        if len(best) > 1:
            raise ValueError(
                f"more than one output is a network, {[one.name for one in best]}: say which one "
                f"is meant, value={best[0].name!r}"
            )
        return best[0]

    def _network(self, name: str) -> Found:
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
            raise ValueError(f"{name!r} {str(error).removeprefix('it ')}") from error
        return Found(name, stage, places, value.places.shape, weights_of(stage, kind))


def _called(node: Any) -> str:
    name = node.name or (node.output[0] if node.output else "")
    return f"the {node.op_type} node {name!r}"


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
    raise NotRead("it is neither of numbers nor of a tensor")


def _are_zeros(kind: str, attributes: Mapping[str, Any], values: Sequence[Value | None]) -> bool:
    """Whether a node makes zeros, of any shape."""
    if kind == "ConstantOfShape":
        return not np.any(attributes.get("value", 0))
    return kind == "Expand" and isinstance(values[0], np.ndarray) and not values[0].any()


def _trains(values: Sequence[Value | None]) -> bool:
    """Whether a Dropout has an input training_mode that may be true."""
    mode = values[2] if len(values) > 2 else None
    return mode is not None and not (isinstance(mode, np.ndarray) and not mode.any())


def _times(array: Array, factor: float) -> Array:
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
