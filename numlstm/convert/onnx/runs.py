"""Both sides of a conversion from and to ONNX: what a graph computes from a batch.

By onnxruntime where it is installed and keeps to the operator's text, else by onnx's reference
evaluator with the LSTM of `reference_lstm`. Of a graph of others only the nodes that were read run.
"""

import importlib.util
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from numlstm.convert.check import Outputs
from numlstm.convert.extras import MissingPackage, require
from numlstm.convert.onnx.files import EXTRA, Free, Graph, Size
from numlstm.convert.onnx.flow import Flow
from numlstm.utils.types import Array

_INTEGERS = {6: np.int32, 7: np.int64}
_LARGEST, _MOST_STEPS = 2**20, 2**13  # numbers and steps of a batch, where the graph fixes them


def run(
    onnx: Any, model: Any, inputs: Mapping[str, Array], *, ours: bool = True
) -> dict[str, Array]:
    """The outputs of a model by name; a model of ours must run in onnxruntime."""
    names = [one.name for one in model.graph.output]
    if by_the_runtime(model):
        try:
            return dict(zip(names, _in_the_runtime(model, names, inputs), strict=True))
        except Exception as error:  # of many kinds, which onnxruntime does not share
            if ours:
                raise RuntimeError(f"onnxruntime does not run the model: {error}") from error
    try:
        return dict(zip(names, _in_the_evaluator(model, names, inputs), strict=True))
    except Exception as error:
        raise RuntimeError(
            f"the nodes cannot be run to compare them: {type(error).__name__}: {error}; "
            "check=False converts the network all the same"
        ) from error


def _in_the_runtime(model: Any, names: list[str], inputs: Mapping[str, Array]) -> list[Array]:
    runtime = require("onnxruntime", EXTRA, "the check")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    made: list[Array] = session.run(names, dict(inputs))
    return made


def _in_the_evaluator(model: Any, names: list[str], inputs: Mapping[str, Array]) -> list[Array]:
    evaluator = require("onnx.reference", EXTRA, "the check").ReferenceEvaluator
    text = require("numlstm.convert.onnx.reference_lstm", EXTRA, "the check")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        made: list[Array] = evaluator(model, new_ops=[text.LSTM]).run(names, dict(inputs))
    return made


def by_the_runtime(model: Any) -> bool:
    """Whether onnxruntime is there, and computes a model by the text."""
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    for node in model.graph.node:
        if node.op_type != "LSTM":
            continue
        for one in node.attribute:
            if one.name == "clip" or (one.name == "layout" and one.i):
                return False
    weights = {node.input[1] for node in model.graph.node if node.op_type == "LSTM"}
    kinds = {one.name: one.data_type for one in model.graph.initializer}
    return all(kinds.get(name) == 1 for name in weights)


# ---- of a graph that was read ----------------------------------------------------------------


def excerpt(onnx: Any, graph: Graph, output: str, flow: Flow) -> tuple[Any, list[list[str]]]:
    """A model of the nodes that an output needs, and the names of the levels' states."""
    nodes: list[Any] = []
    needed = {output}
    lstms = [level.node for level in flow.levels]
    for node in list(graph.nodes)[::-1]:
        if needed & set(node.output) or any(node is one for one in lstms):
            needed |= set(node.input)
            nodes.insert(0, node)
    needed.discard("")  # of inputs that are left out
    states: list[list[str]] = []
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if any(node is one for one in lstms):
            names = [*copy.output, "", ""][:3]
            names = [
                name or f"numlstm.state.{len(states)}.{place}" if place else name
                for place, name in enumerate(names)
            ]
            del copy.output[:]
            copy.output.extend(names)
            states.append(names[1:])
        copies.append(copy)
    kind = 11 if flow.levels[0].layers[0]["weight_ih"].dtype == np.float64 else 1
    info = onnx.helper.make_tensor_value_info
    outputs = list(dict.fromkeys([output, *(name for names in states for name in names)]))
    made = onnx.helper.make_graph(
        copies,
        "excerpt",
        [
            info(name, one.type, one.sizes and [_size_or_name(size) for size in one.sizes])
            for name, one in graph.inputs.items()
            if name in needed
        ],
        [info(name, kind, None) for name in outputs],
        [
            onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
            for name, array in graph.arrays.items()
            if name in needed
        ],
    )
    opsets = [onnx.helper.make_opsetid("", graph.opset)]
    version = min(max(graph.ir_version, 4), 10)
    return onnx.helper.make_model(made, opset_imports=opsets, ir_version=version), states


def _size_or_name(size: Size) -> int | str:
    return size.name if isinstance(size, Free) else size


def batch_of(flow: Flow) -> tuple[int, int] | None:
    """Rows and steps of the check: those that the graph asks for; None where they are too many."""
    T, B, _ = (atom.size for atom in flow.places)
    rows = B if isinstance(B, int) else 3
    steps = T if isinstance(T, int) else 7
    numbers = rows * steps * flow.levels[0].layers[0]["weight_ih"].shape[1]
    return None if steps > _MOST_STEPS or numbers > _LARGEST else (rows, steps)


def inputs_of(graph: Graph, model: Any, flow: Flow, X: Array) -> dict[str, Array]:
    """A batch (B, T, I) as the graph takes it; initial states are 0, lengths those of all steps."""
    rows, steps = X.shape[:2]
    order = sorted(range(3), key=lambda k: flow.places[k].role)  # of T, B, I
    feeds = {flow.root: np.ascontiguousarray(X.swapaxes(0, 1).transpose(order))}
    for info in model.graph.input:
        if info.name == flow.root:
            continue
        known = graph.inputs[info.name]
        sizes = known.sizes or _of_a_node(info.name, flow, rows)
        shape = tuple(rows if isinstance(size, Free) else size for size in sizes)
        if math.prod(shape) > _LARGEST:
            raise MissingPackage(f"the graph asks for a very large input {info.name!r}")
        kind = _INTEGERS.get(known.type)
        if kind is not None:
            feeds[info.name] = np.full(shape, steps, kind)
        else:
            feeds[info.name] = np.zeros(shape, X.dtype)
    return feeds


def _of_a_node(name: str, flow: Flow, rows: int) -> tuple[Size, ...]:
    """The sizes of an input of an LSTM node."""
    for level in flow.levels:
        if name in level.node.input[4:5]:
            return (rows,)
        if name in level.node.input[5:7]:
            sizes = len(level.layers), rows, level.layers[0]["weight_hh"].shape[1]
            first = any(one.name == "layout" and one.i for one in level.node.attribute)
            return (sizes[1], sizes[0], sizes[2]) if first else sizes
    raise MissingPackage(f"the graph does not say which shape its input {name!r} has")


def outputs_of(flow: Flow, made: Mapping[str, Array], name: str, states: Any) -> Outputs:
    """What the graph gives, as a model of numlstm has it."""
    Y = made[name]
    roles = [axis[0].role if axis else "" for axis in flow.axes]
    if len(flow.axes[-1]) == 2:
        roles[-1] = "H"
    wanted = sorted(range(len(roles)), key=lambda k: ("", "B", "T", "D", "H", "O").index(roles[k]))
    Y = Y.transpose(wanted)
    leading = Y.shape[roles.count("") :][: 1 if flow.last else 2]
    Y = Y.reshape(*leading, -1)
    parts: list[list[Array]] = [[], []]
    for level, names in zip(flow.levels, states, strict=True):
        first = any(one.name == "layout" and one.i for one in level.node.attribute)
        for part, state in zip(parts, names, strict=True):
            array = made[state].swapaxes(0, 1) if first else made[state]
            part.extend(array)
    return Outputs(Y, *parts)
