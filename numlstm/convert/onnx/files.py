"""ONNX files: the parsed graph and its tensors as arrays. Nothing in a file is run here."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from numlstm.convert.counterpart import Counterpart
from numlstm.utils import checks, files, known_files
from numlstm.utils.types import Array

ONNX = Counterpart(
    "ONNX",
    "onnx",
    (
        *("bidirectional", "residual", "learned_state", "num_layers", "head", "scaling"),
        *("peephole", "forget_gate=coupled", "activation_clip", "activations"),
    ),
)
# types, as ONNX numbers them
FLOAT, INT32, INT64, FLOAT16, DOUBLE, BFLOAT16 = 1, 6, 7, 10, 11, 16
FLOATS = (FLOAT, DOUBLE, FLOAT16, BFLOAT16)
_LONGEST = 300  # characters of what was wrong
_LONGEST_SENTENCE = 1200


@dataclass(frozen=True)
class Free:
    """The size of an axis that the file leaves open; it takes no part in arithmetic."""

    name: str


Size = int | Free


@dataclass(frozen=True)
class Input:
    """An input of the graph: its type as ONNX numbers it, and its sizes where it tells them."""

    type: int
    sizes: tuple[Size, ...] | None


@dataclass(frozen=True)
class Graph:
    """The nodes of a graph in their order, its constants, inputs without a default and outputs."""

    nodes: Sequence[Any]
    arrays: Mapping[str, Array]
    inputs: Mapping[str, Input]
    outputs: Sequence[str]
    opset: int = 17
    ir_version: int = 8
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(source: Any, arrays: Mapping[str, Any] | None) -> Graph:
    """The graph of a path, a ModelProto, or a NodeProto whose weights stand in `arrays`."""
    onnx = ONNX.require("onnx", "from_onnx")
    if isinstance(source, onnx.NodeProto):
        return _of_node(onnx, source, arrays)
    if arrays is not None:
        raise TypeError("arrays= goes with a single node, and a model has arrays of its own")
    if isinstance(source, onnx.ModelProto):
        return _of_model(onnx, source, None)
    is_open = hasattr(source, "read")
    if isinstance(source, bytes):
        raise TypeError("source holds the content of a file: pass onnx.load_from_string(source)")
    if not is_open and not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            "source must be a path, an onnx.ModelProto, a NodeProto or an open binary file, "
            f"received {checks.shown(source)}"
        )
    if is_open and not isinstance(source, os.PathLike):
        return _of_model(onnx, _parsed(onnx, "the file", files.read_bytes(source)), None)
    path = files.path_of(source, "source")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} is no file")
    model = _parsed(onnx, path, files.read_bytes(path))
    return _of_model(onnx, model, Path(path).resolve().parent)


@contextlib.contextmanager
def refusing(name: str) -> Iterator[None]:
    """Let what is damaged in a file be a `StorageError`; what says a reason of its own stays."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if len(str(error)) > _LONGEST_SENTENCE:  # of names of that length
            raise type(error)(f"{str(error)[:_LONGEST_SENTENCE]}...") from error
        raise
    except (ImportError, RuntimeError, OSError):
        raise
    except MemoryError as error:
        raise files.StorageError(f"{name} needs more memory than there is") from error
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:_LONGEST]
        raise files.StorageError(f"{name} is damaged: {words}") from error


def _parsed(onnx: Any, path: str, data: bytes) -> Any:
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:  # of protobuf, which has several
        other = known_files.hint(data, "from_onnx")
        raise files.StorageError(f"{path} is damaged, or no ONNX file: {error}{other}") from error
    if not model.graph.node:
        other = known_files.hint(data, "from_onnx")
        raise files.StorageError(
            f"{path} is no ONNX file with a network: its graph has no nodes{other}"
        )
    return model


def _of_model(onnx: Any, model: Any, folder: Path | None) -> Graph:
    if len(model.functions):
        raise ValueError(
            "the model has functions of its own: pass onnx.inliner.inline_local_functions(model)"
        )
    graph = model.graph
    if len(graph.sparse_initializer) or len(graph.quantization_annotation):
        raise ValueError("the model has sparse or quantised tensors, and numlstm reads floats")
    arrays = {one.name: array_of(onnx, one, folder) for one in graph.initializer}
    inputs = {one.name: _input(one) for one in graph.input if one.name not in ("", *arrays)}
    opsets = {one.domain: one.version for one in model.opset_import}
    return Graph(
        list(graph.node),
        arrays,
        inputs,
        [one.name for one in graph.output],
        opsets.get("", opsets.get("ai.onnx", 1)),
        model.ir_version,
        {one.key: one.value for one in model.metadata_props},
    )


def _input(info: Any) -> Input:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return Input(tensor.elem_type, None)
    sizes = [
        dim.dim_value if dim.dim_value > 0 else Free(dim.dim_param or f"{info.name}.{axis}")
        for axis, dim in enumerate(tensor.shape.dim)
    ]
    return Input(tensor.elem_type, tuple(sizes))


def _of_node(onnx: Any, node: Any, arrays: Mapping[str, Any] | None) -> Graph:
    """A graph of one LSTM node."""
    if node.op_type != "LSTM":
        raise ValueError(f"the node must be an LSTM, received {node.op_type}")
    if not isinstance(arrays, Mapping):
        raise TypeError(
            "a node has names of its weights only: pass arrays=, a mapping from them to arrays, "
            f"received {checks.shown(arrays)}"
        )
    named = {str(name): np.asarray(value) for name, value in arrays.items()}
    inputs = {}
    for place, name in enumerate(node.input):
        if name and name not in named:
            kind = INT32 if place == 4 else FLOAT
            inputs[name] = Input(kind, None)
    for place, name in (1, "W"), (2, "R"):
        if len(node.input) <= place or node.input[place] not in named:
            raise ValueError(f"arrays lacks {name} of the node, received {sorted(named)}")
    return Graph([node], named, inputs, [name for name in node.output if name], 22, 10)


# ---- tensors ---------------------------------------------------------------------------------


def array_of(onnx: Any, tensor: Any, folder: Path | None) -> Array:
    """The numbers of a tensor; narrow floats become float32."""
    kinds = onnx.TensorProto
    name = tensor.name or "a tensor"
    if tensor.data_type not in (*FLOATS, INT64, INT32, kinds.BOOL):
        raise ValueError(
            f"{name} has the type {_type_name(onnx, tensor.data_type)}, as quantised weights have: "
            "numlstm reads floats, so convert the network from before its quantisation"
        )
    if any(size < 0 for size in tensor.dims):
        raise files.StorageError(f"{name} is damaged: its sizes are {list(tensor.dims)}")
    if tensor.data_location == kinds.EXTERNAL:
        tensor = _with_data(onnx, tensor, folder)
    try:
        array: Array = np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise files.StorageError(f"{name} is damaged: {str(error)[:_LONGEST]}") from error
    if list(array.shape) != list(tensor.dims):
        raise files.StorageError(f"{name} is damaged: it has not the numbers that its sizes say")
    return array.astype(np.float32) if tensor.data_type in (FLOAT16, BFLOAT16) else array


def _type_name(onnx: Any, number: int) -> str:
    known = {value: name for name, value in onnx.TensorProto.DataType.items()}
    return str(known.get(number, number))


def _with_data(onnx: Any, tensor: Any, folder: Path | None) -> Any:
    """A tensor with its bytes from a file beside the model."""
    entries = {one.key: one.value for one in tensor.external_data}
    place = entries.get("location", "")
    if folder is None:
        raise ValueError(
            f"the numbers of {tensor.name} stand in another file, {place!r}: pass the path of the "
            "model, beside which it lies, or load it by onnx.load(path)"
        )
    whole = _within(folder, place)
    if whole is None:
        raise files.StorageError(
            f"the numbers of {tensor.name} stand in {place!r}, which is no file in the folder of "
            "the model, and others are not read"
        )
    size = whole.stat().st_size
    try:
        start = int(entries.get("offset", "0"))
        length = int(entries.get("length", size - start))
    except ValueError as error:
        raise files.StorageError(f"the place of {tensor.name} is damaged: {error}") from error
    if start < 0 or length < 0 or start + length > size:
        raise files.StorageError(f"{whole.name} is too short for {tensor.name}")
    with open(whole, "rb") as file:
        file.seek(start)
        data = file.read(length)
    loaded = onnx.TensorProto()
    loaded.name, loaded.data_type, loaded.raw_data = tensor.name, tensor.data_type, data
    loaded.dims.extend(tensor.dims)
    return loaded


def _within(folder: Path, place: str) -> Path | None:
    """A file in a folder, or None of anything else, such as a link out of it."""
    if not place or os.path.isabs(place):
        return None
    try:
        whole = (folder / place).resolve()
        inside = folder in whole.parents and whole.is_file()
    except (OSError, ValueError):  # of names that none can have
        return None
    return whole if inside else None
