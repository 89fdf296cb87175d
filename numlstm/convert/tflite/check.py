"""LSTM operators in files of their own, and what LiteRT makes of them.

What is checked is not the file that was read, which anybody may have made: it is one of the tensors
that were read from it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numlstm.convert.check import Outputs
from numlstm.convert.tflite.counterpart import TFLITE
from numlstm.convert.tflite.operator import (
    BOTH,
    INPUT,
    RECURRENT,
    STATES,
    STEP,
    Recurrent,
)
from numlstm.utils.types import Array

_CODES = {STEP: 16, "UNIDIRECTIONAL_SEQUENCE_LSTM": 44, BOTH: 52}


class States(NamedTuple):
    """The indices of the tensors of h and c, by layer, forward before reverse."""

    h: list[int]
    c: list[int]


class Writer:
    """A graph that is put together operator by operator, and written."""

    def __init__(self) -> None:
        """An empty graph."""
        self.schema = TFLITE.require("ai_edge_litert.schema_py_generated", "the check")
        self.buffers = [self.schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[int] = []
        self.states = States([], [])

    def tensor(self, shape: Sequence[int], kind: int = 0, **options: Any) -> int:
        """A tensor without numbers."""
        self.tensors.append(
            self.schema.TensorT(
                shape=list(shape), type=kind, name=f"t{len(self.tensors)}", **options
            )
        )
        return len(self.tensors) - 1

    def constant(self, array: Array) -> int:
        """A tensor with numbers, floats or int32."""
        kinds = {"float32": 0, "float16": 1, "int32": 2, "int8": 9}
        self.buffers.append(self.schema.BufferT(data=np.frombuffer(array.tobytes(), np.uint8)))
        return self.tensor(array.shape, kinds[array.dtype.name], buffer=len(self.buffers) - 1)

    def operator(
        self, code: int, inputs: Sequence[int], outputs: Sequence[int], options: Any = None
    ) -> int:
        """An operator; returns its first output."""
        if code not in self.codes:
            self.codes.append(code)
        kind = type(options).__name__.removesuffix("T") if options is not None else "NONE"
        self.operators.append(
            self.schema.OperatorT(
                opcodeIndex=self.codes.index(code),
                inputs=list(inputs),
                outputs=list(outputs),
                builtinOptionsType=getattr(self.schema.BuiltinOptions, kind),
                builtinOptions=options,
            )
        )
        return outputs[0]

    def lstm(self, one: Recurrent, source: int, count: int = 24) -> int:
        """An LSTM operator; of two directions that are not merged the first output."""
        shape = self.tensors[source].shape
        inputs = [source, *[-1] * (47 if one.kind == BOTH else count - 1)]
        for place, array in one.constants.items():
            inputs[place] = self.constant(array)
        batch = shape[1 if one.options.time_major else 0]
        sizes = [one.direction(index)[RECURRENT[1]].shape for index in range(one.directions)]
        for index, (units, outputs) in enumerate(sizes):
            h, c = (self.tensor((batch, n), isVariable=True) for n in (outputs, units))
            first = STATES[one.kind][2 * index]
            inputs[first : first + 2] = h, c
            self.states.h.append(h)
            self.states.c.append(c)
        widths = [outputs for _, outputs in sizes]
        widths = [sum(widths)] if one.options.merge_outputs else widths
        given = [self.tensor((*shape[:-1], width)) for width in widths]
        return self.operator(_CODES[one.kind], inputs, given, self._options(one))

    def _options(self, one: Recurrent) -> Any:
        own = one.options
        common = {
            "fusedActivationFunction": own.activation,
            "cellClip": own.cell_clip,
            "projClip": own.proj_clip,
        }
        if one.kind == STEP:
            return self.schema.LSTMOptionsT(**common)
        if one.kind == BOTH:
            return self.schema.BidirectionalSequenceLSTMOptionsT(
                **common, timeMajor=own.time_major, mergeOutputs=own.merge_outputs
            )
        return self.schema.UnidirectionalSequenceLSTMOptionsT(**common, timeMajor=own.time_major)

    def dense(self, head: Mapping[str, Array], source: int) -> int:
        """A dense layer."""
        inputs = [source, self.constant(head["weight"])]
        inputs.append(self.constant(head["bias"]) if "bias" in head else -1)
        shape = (*self.tensors[source].shape[:-1], head["weight"].shape[0])
        options = self.schema.FullyConnectedOptionsT(keepNumDims=True)
        return self.operator(9, inputs, [self.tensor(shape)], options)

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file."""
        builder = TFLITE.require("flatbuffers", "the check").Builder(1024)
        codes = [
            self.schema.OperatorCodeT(
                deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=_version(code)
            )
            for code in self.codes
        ]
        graph = self.schema.SubGraphT(
            tensors=self.tensors,
            inputs=list(inputs),
            outputs=list(outputs),
            operators=self.operators,
        )
        model = self.schema.ModelT(
            version=3, operatorCodes=codes, subgraphs=[graph], buffers=self.buffers
        )
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _version(code: int) -> int:
    return {9: 5}.get(code, 1)


def written(
    operators: Sequence[Recurrent], head: Mapping[str, Array] | None, batch: int, steps: int
) -> tuple[bytes, States]:
    """A file of LSTMs one behind the other and a dense layer, time first.

    Batches first, the kernel of two directions whose outputs are merged writes those of a row over
    others.
    """
    writer = Writer()
    kind, own = operators[0].kind, operators[0].direction(0)
    features = own[INPUT[1]].shape[1]
    at = source = writer.tensor((batch, features) if kind == STEP else (steps, batch, features))
    for one in operators:
        options = one.options._replace(time_major=kind != STEP, merge_outputs=True)
        at = writer.lstm(one._replace(options=options), at)
    if head is not None:
        at = writer.dense(head, at)
    return writer.content([source], [at]), writer.states


def run(
    operators: Sequence[Recurrent], head: Mapping[str, Array] | None, X: Array, last: bool = False
) -> Outputs:
    """Outputs and states of LiteRT for X (B, T, I)."""
    content, states = written(operators, head, *X.shape[:2])
    interpreter = interpreter_of(content)
    x = X.transpose(1, 0, 2)
    if operators[0].kind == STEP:
        Y = np.stack([outputs_of(interpreter, row) for row in x])
    else:
        Y = outputs_of(interpreter, x)
    h, c = ([np.array(interpreter.get_tensor(i)) for i in part] for part in states)
    return Outputs(Y[-1] if last else Y.transpose(1, 0, 2), h, c)


def interpreter_of(content: bytes) -> Any:
    """An interpreter with the operators' own kernels."""
    litert = TFLITE.require("ai_edge_litert.interpreter", "the check")
    interpreter = litert.Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter


def outputs_of(interpreter: Any, x: Array) -> Array:
    """The outputs of an interpreter for an input."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ascontiguousarray(x))
    interpreter.invoke()
    found: Array = np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return found
