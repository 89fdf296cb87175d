"""Graphs of ONNX read node by node: which output is what network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numlstm.convert.onnx import flow as flows
from numlstm.convert.onnx.files import Free, Graph, array_of
from numlstm.convert.onnx.flow import (
    Atom,
    Flow,
    Level,
    NotRead,
    Opaque,
    Stack,
    Step,
    Unread,
    Value,
)
from numlstm.convert.onnx.folding import FLOATS, CannotFold, fold, integers
from numlstm.convert.onnx.operator import KNOWN, cell_of, layers_of
from numlstm.convert.weights import Weights
from numlstm.data.scaling import Scaling
from numlstm.utils.types import Array

_QUANTISED = ("Quantize", "QLinear", "Integer")
_SYMMETRIC = ("Add", "Mul")
_PASSED_ON = {  # kinds of nodes that give a state or lengths as they get them, or parts of them
    *("Cast", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"),
    *("Transpose", "Unsqueeze"),
}
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_MOVES: dict[str, Callable[..., Flow]] = {
    "Transpose": flows.transposed,
    "Squeeze": flows.squeezed,
    "Unsqueeze": flows.unsqueezed,
    "Reshape": flows.reshaped,
    "Gather": flows.gathered,
    "Slice": flows.sliced,
    "Cast": flows.cast,
}
LEARNED = "numlstm.learned_state"  # what `to_onnx` says of initial states, which may be 0


@dataclass(frozen=True)
class Found:
    """An output of a graph that is a network."""

    name: str
    flow: Flow
    weights: Weights


class Reader:
    """The values of a graph by name, from its inputs onwards."""

    def __init__(self, onnx: Any, graph: Graph):
        self.onnx, self.graph = onnx, graph
        self.values: dict[str, Value] = dict(graph.arrays)
        self.lstms: list[str] = []
        self.learned = graph.metadata.get(LEARNED) == "True"
        for name, info in graph.inputs.items():
            self.values[name] = Opaque(info.sizes, given=True)
            if info.type in FLOATS:
                sizes = info.sizes or tuple(Free(f"{name}.{k}") for k in range(3))
                axes = tuple((Atom(str(k), size),) for k, size in enumerate(sizes))
                self.values[name] = Flow(name, axes)
        for node in graph.nodes:
            self._read(node)

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
        count = len(node.output)
        unread = [value for value in values if isinstance(value, Unread)]
        if node.domain not in ("", "ai.onnx") or any(part in node.op_type for part in _QUANTISED):
            return [Unread(_foreign(node))] * count
        if node.op_type == "LSTM":
            return self._lstm(node, values)
        if unread:
            return [unread[0]] * count
        attributes = self._attributes(node)
        if node.op_type == "Constant":
            return [_constant(attributes)]
        if node.op_type == "Shape" and values and values[0] is not None:
            return [_shape(values[0], attributes)]
        if any(isinstance(value, (Flow, Stack)) for value in values):
            return _of_data(node.op_type, attributes, values, count)
        if any(isinstance(value, Opaque) for value in values):
            return [Opaque(given=_is_given(node.op_type, attributes, values))] * count
        arrays = [value if isinstance(value, np.ndarray) else None for value in values]
        try:
            return fold(node.op_type, attributes, arrays, count)
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

    # ---- LSTM nodes --------------------------------------------------------------------------

    def _lstm(self, node: Any, values: list[Value | None]) -> Sequence[Value]:
        named = {name: v for name, v in zip(_INPUTS, values, strict=False) if v is not None}
        self.lstms.append(_called(node))
        X = named.get("X")
        if isinstance(X, Unread):
            return [X] * len(node.output)
        if not isinstance(X, Flow):
            raise NotRead("its X does not come from an input of the graph as it is")
        arrays = {}
        for name in named.keys() & {"W", "R", "B", "P"}:
            value = named[name]
            if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
                raise ValueError(f"{name} of {_called(node)} must be constant floats")
            arrays[name] = value
        if not {"W", "R"} <= arrays.keys():
            raise ValueError(f"{_called(node)} lacks W or R")
        dtype = "float64" if arrays["W"].dtype == np.float64 else "float32"
        for one in node.attribute:
            kind = self.onnx.AttributeProto.AttributeType.Name(one.type)
            if kind != KNOWN.get(one.name, kind):
                raise ValueError(f"{one.name} of an LSTM is {KNOWN[one.name]}, received {kind}")
        attributes = self._attributes(node)
        cell, directions = cell_of(attributes, "P" in arrays, dtype)
        batch_first = bool(attributes.get("layout", 0))
        X, T, B = _time_and_batch(X, batch_first)
        ragged = _is_ragged(named.get("sequence_lens"), T)
        for name in ("initial_h", "initial_c"):
            state = self._initial(named.get(name), batch_first)
            if state is not None:
                arrays[name] = state.astype(arrays["W"].dtype)
        layers = layers_of(arrays, cell, directions, attributes.get("hidden_size"))
        if layers[0]["weight_ih"].shape[1] != X.width and not isinstance(X.width, Free):
            raise ValueError(f"W of {_called(node)} does not read the {X.width} features of X")
        level = Level(len(self.lstms), ragged, node, layers, cell)
        X = replace(X, levels=(*X.levels, level), state="", last=False)
        return _outputs(X, arrays["R"].shape[2], directions, (T, B), batch_first)

    def _initial(self, state: Value | None, batch_first: bool) -> Array | None:
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
        if isinstance(state, Flow) and not state.levels:
            return None
        raise NotRead("its initial state is made by nodes that numlstm does not have")

    # ---- outputs -----------------------------------------------------------------------------

    def found(self, output: str | None) -> Found:
        """The output of that name, or the only one that is a network."""
        if not self.lstms:
            kinds = ", ".join(sorted({node.op_type for node in self.graph.nodes}))
            raise ValueError(f"there is no LSTM in the graph, which has the nodes {kinds}")
        if output is not None:
            if output not in self.values:
                raise ValueError(
                    f"output={output!r} is no value of the graph, whose outputs are "
                    f"{list(self.graph.outputs)}"
                )
            return self._as_found(output)
        return self._as_found(self._chosen())

    def _chosen(self) -> str:
        graded: dict[tuple[int, ...], list[str]] = {}
        for name in self.graph.outputs:
            value = self.values.get(name)
            if isinstance(value, Unread) and len(self.graph.outputs) > 1:
                raise ValueError(
                    f"of the outputs {list(self.graph.outputs)}, {name!r} is no network: "
                    f"{value.reason}. Say which one is meant, output={self.graph.outputs[0]!r}; "
                    "any value inside the graph does, too"
                )
            if isinstance(value, Flow) and value.levels and value.state != "c":
                grade = (value.head is None, value.state == "h", value.last, len(value.axes))
                graded.setdefault(tuple(map(int, grade)), []).append(name)
        if not graded:
            return self._without_network()
        best = graded[min(graded)]
        if len(best) > 1:
            raise ValueError(
                f"more than one output is a network, {best}: say which one is meant, "
                f"output={best[0]!r}"
            )
        return best[0]

    def _without_network(self) -> str:
        for name in self.graph.outputs:
            if isinstance(self.values.get(name), Unread):
                return name
        raise ValueError(
            f"none of the outputs {list(self.graph.outputs)} is what one of the LSTMs "
            f"{self.lstms} gives, or a linear head of it: name the value that is, output='...'"
        )

    def _as_found(self, name: str) -> Found:
        value = self.values[name]
        if isinstance(value, Unread):
            raise ValueError(
                f"{value.reason}. output= names a value before it, to convert the network up to "
                "there"
            )
        if not isinstance(value, Flow) or not value.levels or value.state == "c":
            raise ValueError(f"{name!r} is no output of an LSTM or of a head behind one")
        _require_output(name, value)
        return Found(name, value, _weights(value))


def _require_output(name: str, flow: Flow) -> None:
    roles = sorted(atom.role for axis in flow.axes[:-1] for atom in axis)
    ways = len(flow.levels[-1].layers)
    if flow.head is None and not in_order_or_apart(flow):
        raise ValueError(f"{name!r} has not the features of the LSTM on one axis")
    rest = [role for role in roles if role != "D"]
    if flow.way is not None or rest != (["B"] if flow.last else ["B", "T"]):
        raise ValueError(
            f"{name!r} has only some directions, rows or steps of an LSTM with {ways} directions"
        )


def in_order_or_apart(flow: Flow) -> bool:
    """Whether the last axis is the features, or the units of directions on an axis of their own."""
    roles = [atom.role for atom in flow.axes[-1]] if flow.axes else []
    return flows.in_order(flow) or roles == ["H"]


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
    return Opaque()


def _is_given(kind: str, attributes: Mapping[str, Any], values: Sequence[Value | None]) -> bool:
    """Whether a node passes on what callers give, or makes zeros of a shape that is not known."""
    if kind == "ConstantOfShape":
        return not np.any(attributes.get("value", 0))
    first = values[0]
    if kind == "Expand" and isinstance(first, np.ndarray) and first.dtype != object:
        return not first.any()
    return kind in _PASSED_ON and isinstance(first, Opaque) and first.given


def _shape(value: Value, attributes: Mapping[str, Any]) -> Value:
    sizes = flows.sizes_of(value)
    if sizes is None:
        return Opaque()
    sizes = sizes[attributes.get("start", 0) : attributes.get("end", len(sizes))]
    if all(isinstance(size, int) for size in sizes):
        return np.array(sizes, np.int64)
    made = np.empty(len(sizes), object)
    made[:] = sizes
    return made


def _of_data(
    kind: str, attributes: Mapping[str, Any], values: list[Value | None], count: int
) -> Sequence[Value]:
    """What a node makes of the data."""
    first, others = values[0], values[1:]
    arrays = [value for value in others if isinstance(value, np.ndarray)]
    constant = all(value is None or isinstance(value, np.ndarray) for value in others)
    if isinstance(first, Flow) and not first.levels and kind in ("Slice", "Split", "Expand"):
        return [Opaque(given=True)] * count  # of a state, of which each level gets its own
    if kind in ("Identity", "Dropout") and first is not None:
        if kind == "Dropout" and any(array.any() for array in arrays[1:]):
            raise NotRead("it is a dropout of training")
        return [first] * count
    if kind == "Concat":
        return [flows.joined([value for value in values if value is not None], attributes)]
    if isinstance(first, Stack):
        if kind == "Gather" and arrays:
            return [flows.part_of(first, attributes, arrays[0])]
        raise NotRead("it changes the final states of several layers")
    if kind == "Split" and isinstance(first, Flow) and constant:
        return flows.split(first, attributes, count)
    if kind in _MOVES and isinstance(first, Flow) and constant:
        return [_MOVES[kind](first, attributes, *others)]
    return [_arithmetic(kind, attributes, values)]


def _arithmetic(kind: str, attributes: Mapping[str, Any], values: list[Value | None]) -> Flow:
    first, second = (*values, None, None)[:2]
    if kind in _SYMMETRIC and isinstance(first, np.ndarray):
        first, second = second, first
    if isinstance(first, Flow):
        if kind == "Add" and isinstance(second, Flow):
            return flows.added(first, second)
        if isinstance(second, np.ndarray):
            if kind in ("Add", "Sub", "Mul", "Div"):
                return flows.moved(first, kind, second)
            if kind == "MatMul":
                return flows.multiplied(first, second)
            if kind == "Gemm":
                third = values[2] if len(values) > 2 else None
                if third is None or isinstance(third, np.ndarray):
                    return flows.gemm(first, attributes, second, third)
    raise NotRead(
        "networks of numlstm are LSTMs with one linear head behind them and the units of the data "
        "around them, and have no such node"
    )


def _time_and_batch(X: Flow, batch_first: bool) -> tuple[Flow, Atom, Atom]:
    """X with the atoms of its axes called by what they are."""
    if len(X.axes) != 3 or X.head is not None or X.behind or X.state or X.last:
        raise NotRead("its X is not the data, or the outputs of all steps of a layer below")
    if X.levels and (X.way is not None or not flows.in_order(X)):
        raise NotRead("its X is not all features of the layer below")
    order = (1, 0) if batch_first else (0, 1)
    if any(len(X.axes[k]) != 1 for k in (*order, *(() if X.levels else (2,)))):
        raise NotRead("its X has axes that are joined or new")
    T, B = (X.axes[k][0] for k in order)
    if X.levels and (T.role, B.role) != ("T", "B"):
        raise NotRead("its X has other axes than the layer below: steps must stay steps")
    feature = X.axes[2][0].role
    if not X.levels and any(step.role not in (None, feature) for step in X.before):
        raise NotRead("the data before it are scaled along another axis than the features")
    if not X.levels:
        X = replace(X, places=(T, B, X.axes[2][0]))
    return X, Atom("T", T.size), Atom("B", B.size)


def _is_ragged(lens: Value | None, T: Atom) -> bool:
    if lens is None or (isinstance(lens, Opaque) and lens.given):
        return lens is not None
    if isinstance(lens, np.ndarray):
        if all(one == T.size for one in integers(lens)):
            return False
        raise ValueError(
            "sequence_lens is constant, which fixes a batch: make it an input, and pass lengths= "
            "to predict"
        )
    raise NotRead("its sequence_lens are computed by nodes: make it an input of the graph")


def _outputs(
    X: Flow, units: int, directions: int, axes: tuple[Atom, Atom], batch_first: bool
) -> list[Value]:
    """Y, Y_h and Y_c."""
    T, B = ((one,) for one in axes)
    D = (Atom("D", 2),) if directions == 2 else ()
    H = (Atom("H", units),)
    wide, narrow = ((B, T, D, H), (B, D, H)) if batch_first else ((T, D, B, H), (D, B, H))
    return [
        replace(X, axes=wide),
        replace(X, axes=narrow, state="h", last=True),
        replace(X, axes=narrow, state="c", last=True),
    ]


# ---- weights ---------------------------------------------------------------------------------


def _weights(flow: Flow) -> Weights:
    levels = flow.levels
    first = levels[0]
    for level in levels[1:]:
        if level.cell != first.cell or len(level.layers) != len(first.layers):
            raise ValueError(
                "all layers must be of one kind, in attributes, peepholes and directions: "
                f"{_called(level.node)} differs from {_called(first.node)}"
            )
    ways = {level.residual for level in levels[1:]}
    if len(ways) > 1:
        raise ValueError("either all layers but the first are added to their inputs, or none")
    return Weights(
        [layer for level in levels for layer in level.layers],
        flow.head,
        directions=len(first.layers),
        cell=first.cell,
        residual=ways == {True},
        output="last" if flow.last else "sequence",
        scaling=_scaling(flow),
    )


def _scaling(flow: Flow) -> Scaling | None:
    """The units of the data, of nodes before the LSTM and behind the head."""
    if not flow.before and not flow.behind:
        return None
    features = flow.levels[0].layers[0]["weight_ih"].shape[1]
    x_mean, x_scale = _of_inputs(flow.before, features)
    y_mean = y_scale = None
    if flow.behind:
        width = flow.width
        assert isinstance(width, int)
        y_mean, y_scale = _of_outputs(flow.behind, width)
    for name, scale in ("before the LSTM", x_scale), ("behind the head", y_scale):
        if scale is not None and not (scale > 0).all():
            raise ValueError(
                f"the nodes {name} multiply by numbers that are not positive, and a scaling "
                "divides by standard deviations: name a value without them, output='...'"
            )
    return Scaling(x_mean, x_scale, y_mean, y_scale)


def _of_inputs(steps: Sequence[Step], features: int) -> tuple[Array, Array]:
    """Mean and scale: those of a Sub and a Div to the bit."""
    arrays = [np.array(np.broadcast_to(s.array, features), np.float64) for s in steps]
    if [step.kind for step in steps] == ["Sub", "Div"]:
        return arrays[0], arrays[1]
    factor, offset = _composed(steps, arrays, features)
    with np.errstate(all="ignore"):
        return -offset / factor, 1.0 / factor


def _of_outputs(steps: Sequence[Step], width: int) -> tuple[Array, Array]:
    """Mean and scale: those of a Mul and an Add to the bit."""
    arrays = [np.array(np.broadcast_to(s.array, width), np.float64) for s in steps]
    if [step.kind for step in steps] == ["Mul", "Add"]:
        scale, mean = arrays
    else:
        scale, mean = _composed(steps, arrays, width)
    half = width // 2  # log-variances behind the means are moved by 2 log(scale)
    if width == 2 * half and half and (scale[half:] == 1).all() and (scale[:half] > 0).all():
        moves = 2.0 * np.log(scale[:half])
        if moves.any() and np.array_equal(mean[half:], moves):
            return mean[:half], scale[:half]
    return mean, scale


def _composed(steps: Sequence[Step], arrays: Sequence[Array], size: int) -> tuple[Array, Array]:
    """All steps as factor * x + offset."""
    factor, offset = np.ones(size), np.zeros(size)
    with np.errstate(all="ignore"):
        for step, array in zip(steps, arrays, strict=True):
            if step.kind in ("Add", "Sub"):
                offset = offset + array if step.kind == "Add" else offset - array
            elif step.kind == "Mul":
                factor, offset = factor * array, offset * array
            else:
                factor, offset = factor / array, offset / array
    return factor, offset
