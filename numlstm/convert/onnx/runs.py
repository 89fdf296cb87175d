"""The check of conversions from and to ONNX: what a graph computes from a batch.

By onnxruntime where it is installed and keeps to the operator's text, else by onnx's reference
evaluator with the LSTM of `reference_lstm`. Of a graph of others only the nodes that were read run.
"""

import importlib.util
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numlstm.convert.check import Outputs
from numlstm.convert.counterpart import MissingPackage
from numlstm.convert.onnx.files import FLOAT, INT32, INT64, ONNX, Free, Graph, Size
from numlstm.convert.onnx.reader import Found
from numlstm.utils.types import Array

_INTEGERS = {INT32: np.int32, INT64: np.int64}
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
    runtime = ONNX.require("onnxruntime", "the check")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    made: list[Array] = session.run(names, dict(inputs))
    return made


def _in_the_evaluator(model: Any, names: list[str], inputs: Mapping[str, Array]) -> list[Array]:
    evaluator = ONNX.require("onnx.reference", "the check").ReferenceEvaluator
    from numlstm.convert.onnx.reference_lstm import LSTM

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        made: list[Array] = evaluator(model, new_ops=[LSTM]).run(names, dict(inputs))
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
    return all(kinds.get(name) == FLOAT for name in weights)


# ---- of a graph that was read ----------------------------------------------------------------


def computed(onnx: Any, graph: Graph, found: Found, X: Array) -> Outputs:
    """The outputs and states of the nodes of a network, from a batch (B, T, I)."""
    if X.shape[1] > _MOST_STEPS or X.size > _LARGEST:
        raise MissingPackage("the graph asks for a very large batch")
    nodes, states = _nodes(onnx, graph, found)
    outputs = dict.fromkeys([found.name, *(name for names in states for name in names)])
    model = _assembled(onnx, graph, nodes, list(outputs), X.dtype)
    made = run(onnx, model, _inputs(graph, model, found, X), ours=False)
    Y = made[found.name].ravel()
    if Y.size != math.prod(found.shape):
        raise RuntimeError(
            f"{found.name!r} has the shape {made[found.name].shape} where {found.shape} was read: "
            "the network computes something else there"
        )
    Y = Y[found.places]
    parts: list[list[Array]] = [[], []]
    for level, names in zip(found.stage.levels, states, strict=True):
        for part, name in zip(parts, names, strict=True):
            part.extend(made[name].swapaxes(0, 1) if level.batch_first else made[name])
    return Outputs(Y.swapaxes(0, 1) if Y.ndim == 3 else Y, *parts)


def _nodes(onnx: Any, graph: Graph, found: Found) -> tuple[list[Any], list[list[str]]]:
    """The nodes that an output needs, and the names of the levels' states."""
    needed, lstms = {found.name}, [id(level.node) for level in found.stage.levels]
    nodes: list[Any] = []
    states: list[list[str]] = []
    for node in list(graph.nodes)[::-1]:
        if not needed & set(node.output) and id(node) not in lstms:
            continue
        needed |= set(node.input)
        if id(node) in lstms:
            node, names = _with_states(onnx, node, len(states))
            states.insert(0, names)
        nodes.insert(0, node)
    return nodes, states


def _with_states(onnx: Any, node: Any, index: int) -> tuple[Any, list[str]]:
    """A copy of an LSTM node that returns its final states, and their names."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    kept = [one for one in node.attribute if one.name != "output_sequence"]  # of opset 1
    del copy.attribute[:]
    copy.attribute.extend(kept)
    Y, *states = [*copy.output, "", "", ""][:3]
    states = [name or f"numlstm.state.{index}.{place}" for place, name in enumerate(states)]
    del copy.output[:]
    copy.output.extend([Y, *states])
    return copy, states


def _assembled(
    onnx: Any, graph: Graph, nodes: Sequence[Any], outputs: Sequence[str], dtype: Any
) -> Any:
    """A model of some of the nodes."""
    needed = {name for node in nodes for name in node.input} - {""}  # of inputs that are left out
    helper, info = onnx.helper, onnx.helper.make_tensor_value_info
    inputs = [
        info(name, one.type, one.sizes and [_size_or_name(size) for size in one.sizes])
        for name, one in graph.inputs.items()
        if name in needed
    ]
    arrays = [
        onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
        for name, array in graph.arrays.items()
        if name in needed
    ]
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    made = helper.make_graph(
        nodes, "excerpt", inputs, [info(name, kind, None) for name in outputs], arrays
    )
    opsets = [helper.make_opsetid("", graph.opset)]
    version = min(max(graph.ir_version, 4), 10)
    return helper.make_model(made, opset_imports=opsets, ir_version=version)


def _size_or_name(size: Size) -> int | str:
    return size.name if isinstance(size, Free) else size


def _inputs(graph: Graph, model: Any, found: Found, X: Array) -> dict[str, Array]:
    """A batch (B, T, I) as the graph takes it; initial states are 0, lengths those of all steps."""
    rows, steps = X.shape[:2]
    source = found.stage.chain()[0]
    data = np.empty(source.shape, X.dtype)
    data.ravel()[found.stage.reads] = X.swapaxes(0, 1)
    feeds = {source.root: data}
    for info in model.graph.input:
        if info.name == source.root:
            continue
        known = graph.inputs[info.name]
        sizes = known.sizes or _of_a_node(info.name, found, rows)
        shape = tuple(rows if isinstance(size, Free) else size for size in sizes)
        if math.prod(shape) > _LARGEST:
            raise MissingPackage(f"the graph asks for a very large input {info.name!r}")
        kind = _INTEGERS.get(known.type)
        if kind is not None:
            feeds[info.name] = np.full(shape, steps, kind)
        else:
            feeds[info.name] = np.zeros(shape, X.dtype)
    return feeds


def _of_a_node(name: str, found: Found, rows: int) -> tuple[Size, ...]:
    """The sizes of an input of an LSTM node."""
    for level in found.stage.levels:
        if name in level.node.input[4:5]:
            return (rows,)
        if name in level.node.input[5:7]:
            sizes = len(level.layers), rows, level.layers[0]["weight_hh"].shape[1]
            return (sizes[1], sizes[0], sizes[2]) if level.batch_first else sizes
    raise MissingPackage(f"the graph does not say which shape its input {name!r} has")
