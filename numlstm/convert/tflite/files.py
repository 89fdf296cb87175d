"""Files of TensorFlow Lite: the tensors and operators of their schema, schema.fbs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from numlstm.convert.tflite.flatbuffer import Table, root
from numlstm.utils.files import StorageError
from numlstm.utils.types import Array

# operators that something is known of here; the numbers are those of the schema
NAMES = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    7: "EMBEDDING_LOOKUP", 9: "FULLY_CONNECTED", 14: "LOGISTIC", 16: "LSTM", 18: "MUL", 19: "RELU",
    21: "RELU6", 22: "RESHAPE", 24: "RNN", 25: "SOFTMAX", 27: "SVDF", 28: "TANH", 32: "CUSTOM",
    36: "GATHER", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 43: "SQUEEZE",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM", 45: "STRIDED_SLICE", 49: "SPLIT",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM", 65: "SLICE", 70: "EXPAND_DIMS", 83: "PACK", 88: "UNPACK",
    105: "REVERSE_V2", 114: "QUANTIZE", 119: "WHILE", 126: "BATCH_MATMUL",
}  # fmt: skip
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 4: "<i8"}  # of tensors whose numbers are read
_TYPE_NAMES = {3: "UINT8", 7: "INT16", 9: "INT8", 17: "INT4", 10: "FLOAT64", 18: "BFLOAT16"}
_FLOAT16 = 1
# how many inputs must be there at the least, of operators that are followed
_LEAST = {"FULLY_CONNECTED": 2, "TRANSPOSE": 2, "STRIDED_SLICE": 4, "SLICE": 3}
MAGIC = b"TFL3"  # as bytes 4 to 7
_MOST_DIMENSIONS = 8


class Tensor(NamedTuple):
    """A tensor: its description, and where its numbers are, if it is a constant."""

    name: str
    shape: tuple[int, ...]
    kind: int
    buffer: int
    is_variable: bool
    is_sparse: bool
    free: tuple[int, ...] = ()  # -1 for axes that may have any size

    def is_free(self, axis: int) -> bool:
        """Whether an axis may have any size."""
        return axis < len(self.free) and self.free[axis] < 0


class Operator(NamedTuple):
    """An operator and the indices of its tensors, -1 for those that are left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None


@dataclass(frozen=True)
class Graph:
    """The main graph of a file."""

    tensors: Sequence[Tensor]
    operators: Sequence[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    buffers: Sequence[Array]

    @cached_property
    def producers(self) -> dict[int, Operator]:
        """Which operator gives a tensor."""
        return {tensor: one for one in self.operators for tensor in one.outputs}

    @cached_property
    def readers(self) -> dict[int, list[Operator]]:
        """Which operators read a tensor."""
        found: dict[int, list[Operator]] = {}
        for one in self.operators:
            for tensor in dict.fromkeys(one.inputs):
                found.setdefault(tensor, []).append(one)
        return found

    def constant(self, index: int) -> Array:
        """The numbers of a constant tensor, float16 ones as float32."""
        tensor = self.tensors[index]
        source = self.producers.get(index)
        if source is not None and source.name == "DEQUANTIZE":
            if self.tensors[source.inputs[0]].kind != _FLOAT16:
                raise ValueError(_quantised(self.tensors[source.inputs[0]]))
            return self._numbers(self.tensors[source.inputs[0]]).astype("<f4")
        if source is not None or tensor.is_variable:
            raise ValueError(f"{tensor.name!r} must be a constant: the file computes it")
        return self._numbers(tensor)

    def floats(self, index: int) -> Array:
        """A constant of floats; quantised ones are refused."""
        array = self.constant(index)
        if array.dtype.kind != "f":
            raise ValueError(_quantised(self.tensors[index]))
        return array

    def _numbers(self, tensor: Tensor) -> Array:
        if tensor.is_sparse:
            raise ValueError(f"{tensor.name!r} is sparse: convert the model without sparsity")
        if tensor.kind not in _TYPES:
            raise ValueError(_quantised(tensor))
        dtype = np.dtype(_TYPES[tensor.kind])
        data = self.buffers[tensor.buffer]
        if data.size != math.prod(tensor.shape) * dtype.itemsize:
            raise StorageError(
                f"{tensor.name!r} has {data.size} bytes, and its shape {tensor.shape} is that of "
                f"{math.prod(tensor.shape) * dtype.itemsize}"
            )
        return data.view(dtype).reshape(tensor.shape)


def _quantised(tensor: Tensor) -> str:
    kind = _TYPE_NAMES.get(tensor.kind, f"type {tensor.kind}")
    return (
        f"{tensor.name!r} is {kind}, a quantised tensor, and numlstm computes with floats: convert "
        "the model without quantisation, without converter.optimizations"
    )


def read_graph(data: bytes) -> Graph:
    """The main graph of a file."""
    model = root(data, MAGIC)
    names = model.tables(1, _operator_name)
    graphs = model.tables(2, lambda table: table)
    if not graphs:
        raise StorageError("it has no graph")
    buffers = model.tables(4, _buffer)
    tensors = graphs[0].tables(0, _tensor)
    for tensor in tensors:
        if not tensor.buffer < max(len(buffers), 1):
            raise StorageError(f"{tensor.name!r} has buffer {tensor.buffer}, of {len(buffers)}")
    operators = graphs[0].tables(3, lambda table: _operator(table, names, len(tensors)))
    ends = [_indices(graphs[0], field, len(tensors)) for field in (1, 2)]
    _require_order(operators, ends[0])
    return Graph(tensors, operators, ends[0], ends[1], buffers)


def _require_order(operators: Sequence[Operator], inputs: tuple[int, ...]) -> None:
    """Refuse tensors that are written twice, or read before they are written."""
    used = set(inputs)
    for one in operators:
        used.update(one.inputs)
        written = {tensor for tensor in one.outputs if tensor >= 0}
        if written & used:
            raise StorageError(f"{one.name} writes a tensor that was written or read before")
        used |= written


def _operator_name(table: Table) -> str:
    code = max(table.scalar(0, "<b", 0), table.scalar(3, "<i", 0))  # the first is that of old files
    if code == 32:
        return f"CUSTOM {table.text(1)}"
    return NAMES.get(code, f"operator {code}")


def _buffer(table: Table) -> Array:
    if table.scalar(1, "<Q", 0) > 1:
        raise ValueError("its numbers lie behind the FlatBuffer, as in files of more than 2 GB")
    return table.bytes(0)


def _tensor(table: Table) -> Tensor:
    shape = tuple(map(int, table.vector(0, "<i4")[: _MOST_DIMENSIONS + 1]))
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=1) < 0:
        raise StorageError(f"a tensor has shape {shape}")
    if table.scalar(10, "<I", 0):
        raise ValueError("its numbers lie in other files")
    kind, buffer = table.scalar(1, "<b", 0), table.scalar(2, "<I", 0)
    variable = bool(table.scalar(5, "<B", 0))
    free = tuple(map(int, table.vector(7, "<i4")[:_MOST_DIMENSIONS]))
    return Tensor(table.text(3), shape, kind, buffer, variable, table.has(6), free)


def _operator(table: Table, names: Sequence[str], count: int) -> Operator:
    code = table.scalar(0, "<I", 0)
    if code >= len(names):
        raise StorageError(f"an operator has code {code}, of {len(names)}")
    name, inputs, outputs = names[code], _indices(table, 1, count), _indices(table, 2, count)
    least = _LEAST.get(name, 1) if name in NAMES.values() else 0
    if len(inputs) < least or min(inputs[:least], default=0) < 0 or min(outputs, default=-1) < 0:
        raise StorageError(
            f"{name} lacks inputs or outputs, received {inputs[:9]} and {outputs[:9]}"
        )
    return Operator(name, inputs, outputs, table.table(4))


def _indices(table: Table, field: int, count: int) -> tuple[int, ...]:
    """Indices of tensors, which there are."""
    found = table.vector(field, "<i4")
    if found.size > 500 or (found.size and not (found.min() >= -1 and found.max() < count)):
        raise StorageError(f"an operator names a tensor that is none of {count}")
    return tuple(map(int, found))
