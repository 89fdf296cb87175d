"""Make tflite_files.npz: files of TensorFlow Lite, with what LiteRT computes from them.

Needs ai-edge-litert; the tests do not. Run it: PYTHONPATH=tests python tests/convert/make_tflite.py
Arrays are stored as "name.file", "name.Y" and so on; files that are refused have no Y.
"""

from pathlib import Path

import numpy as np

from helpers.tflite_networks import drawn
from numlstm.convert.tflite.check import Writer, interpreter_of, outputs_of
from numlstm.convert.tflite.operator import BOTH, INPUT, PROJECTION_BIAS, STEP

ROWS, STEPS, FEATURES = 2, 6, 3
RNG = np.random.default_rng(1997)
X = RNG.standard_normal((ROWS, STEPS, FEATURES)).astype(np.float32)
TRUTHS, REFUSED = {}, {}
TIME_FIRST = 1, 0, 2


def truth(make):
    TRUTHS[make.__name__] = make
    return make


def refused(make):
    REFUSED[make.__name__] = make
    return make


class Graph(Writer):
    """With the operators that stand around LSTMs in files of converters."""

    def source(self, *shape):
        return self.tensor(shape or (ROWS, STEPS, FEATURES))

    def shape(self, at):
        return tuple(self.tensors[at].shape)

    def transpose(self, at, order=TIME_FIRST):
        given = self.tensor([self.shape(at)[axis] for axis in order])
        places = self.constant(np.array(order, np.int32))
        return self.operator(39, [at, places], [given], self.schema.TransposeOptionsT())

    def reshape(self, at, *shape):
        places = self.constant(np.array(shape, np.int32))
        options = self.schema.ReshapeOptionsT(newShape=list(shape))
        return self.operator(22, [at, places], [self.tensor(shape)], options)

    def step(self, at, time, begin=-1, shrink=True):
        """x[:, begin] or x[begin], as Keras has it."""
        axes = range(len(self.shape(at)))
        others = sum(1 << axis for axis in axes if axis != time)
        kept = [n for axis, n in enumerate(self.shape(at)) if axis != time or not shrink]
        if not shrink:
            kept[time] = 1
        rows = [begin * (axis == time) for axis in axes], [0 for _ in axes], [1 for _ in axes]
        inputs = [at, *(self.constant(np.array(row, np.int32)) for row in rows)]
        ends = others if begin != -1 or shrink else others | 1 << time
        options = self.schema.StridedSliceOptionsT(
            beginMask=others, endMask=ends, shrinkAxisMask=shrink << time
        )
        return self.operator(45, inputs, [self.tensor(kept)], options)

    def slice(self, at, begin, size):
        shape = [n if s == -1 else s for n, s in zip(self.shape(at), size, strict=True)]
        rows = [self.constant(np.array(row, np.int32)) for row in (begin, size)]
        return self.operator(65, [at, *rows], [self.tensor(shape)], self.schema.SliceOptionsT())

    def reverse(self, at, axis=1):
        axes = self.constant(np.array([axis], np.int32))
        options = self.schema.ReverseV2OptionsT()
        return self.operator(105, [at, axes], [self.tensor(self.shape(at))], options)

    def concatenation(self, *parts, axis=2):
        shape = list(self.shape(parts[0]))
        shape[axis] *= len(parts)
        options = self.schema.ConcatenationOptionsT(axis=axis)
        return self.operator(2, parts, [self.tensor(shape)], options)

    def softmax(self, at):
        options = self.schema.SoftmaxOptionsT(beta=1.0)
        return self.operator(25, [at], [self.tensor(self.shape(at))], options)

    def head(self, at, outputs=2):
        return self.dense(dense(self.shape(at)[-1], outputs), at)


def dense(width, outputs=2):
    def array(*shape):
        return RNG.uniform(-1, 1, shape).astype(np.float32)

    return {"weight": array(outputs, width), "bias": array(outputs)}


# ---- what is read ----------------------------------------------------------------------------


@truth
def plain(g, at):
    return g.lstm(drawn(RNG), at)


@truth
def twenty_inputs(g, at):
    return g.head(g.lstm(drawn(RNG), at, count=20))


@truth
def time_first(g, at):
    at = g.lstm(drawn(RNG, time_major=True), g.transpose(at))
    return g.head(g.transpose(at))


@truth
def stays_time_first(g, at):
    return g.head(g.lstm(drawn(RNG, time_major=True), g.transpose(at)))


@truth
def coupled(g, at):
    return g.head(g.lstm(drawn(RNG, cifg=True), at))


@truth
def coupled_peephole(g, at):
    return g.lstm(drawn(RNG, cifg=True, peephole=True), at)


@truth
def normalised(g, at):
    return g.head(g.lstm(drawn(RNG, norm=True), at))


@truth
def normalised_peephole(g, at):
    return g.lstm(drawn(RNG, norm=True, peephole=True), at)


@truth
def normalised_coupled(g, at):
    return g.lstm(drawn(RNG, norm=True, peephole=True, cifg=True, outputs=4), at)


@truth
def clipped(g, at):
    return g.lstm(drawn(RNG, outputs=5, cell_clip=0.2, proj_clip=0.05, peephole=True), at)


@truth
def projection_bias(g, at):
    return g.lstm(drawn(RNG, outputs=4, projection_bias=True), at)


@truth
def projection_bias_and_head(g, at):
    return g.head(g.lstm(drawn(RNG, outputs=4, projection_bias=True, cifg=True), at))


@truth
def projection_bias_in_a_stack(g, at):
    at = g.lstm(drawn(RNG, outputs=4, projection_bias=True, time_major=True), g.transpose(at))
    at = g.lstm(drawn(RNG, outputs=4, features=4, time_major=True), at)
    at = g.lstm(drawn(RNG, outputs=4, features=4, projection_bias=True, time_major=True), at)
    return g.head(g.transpose(at))


@truth
def projection_bias_that_is_zero(g, at):
    one = drawn(RNG, outputs=4, projection_bias=True, norm=True)
    one.constants[1 + PROJECTION_BIAS][...] = 0
    return g.lstm(one, at)


@truth
def relu(g, at):
    return g.head(g.lstm(drawn(RNG, activation=1), at))


@truth
def stack_of_sizes(g, at):
    at = g.lstm(drawn(RNG, units=4), at)
    return g.lstm(drawn(RNG, features=4, units=6), at)


@truth
def last_step(g, at):
    return g.head(g.step(g.lstm(drawn(RNG), at), 1))


@truth
def last_step_time_first(g, at):
    return g.head(g.step(g.lstm(drawn(RNG, time_major=True), g.transpose(at)), 0))


@truth
def last_step_kept(g, at):
    at = g.step(g.lstm(drawn(RNG), at), 1, begin=STEPS - 1)
    return g.head(g.reshape(at, ROWS, 5))


@truth
def last_step_by_slice(g, at):
    at = g.slice(g.lstm(drawn(RNG), at), [0, STEPS - 1, 0], [-1, 1, -1])
    return g.head(g.reshape(at, ROWS, 5))


@truth
def probabilities(g, at):
    return g.softmax(g.head(g.lstm(drawn(RNG), at)))


@truth
def dense_over_rows(g, at):
    at = g.reshape(g.lstm(drawn(RNG), at), ROWS * STEPS, 5)
    return g.reshape(g.head(at), ROWS, STEPS, 2)


@truth
def both_directions(g, at):
    at = g.lstm(drawn(RNG, BOTH, time_major=True), g.transpose(at))
    at = g.lstm(drawn(RNG, BOTH, features=10, time_major=True), at)
    return g.head(g.transpose(at))


@truth
def both_directions_side_by_side(g, at):
    options = {"merge_outputs": False, "cifg": True, "peephole": True}
    at = g.lstm(drawn(RNG, BOTH, outputs=3, projection_bias=True, **options), at)
    return g.head(g.concatenation(at, at + 1))


@truth
def one_step_a_call(g, at):
    at = g.lstm(drawn(RNG, STEP, outputs=3, peephole=True), at)
    return g.head(g.lstm(drawn(RNG, STEP, features=3, outputs=3, peephole=True), at))


@truth
def float16(g, at):
    one = drawn(RNG)
    made = g.lstm(one, at)
    operator = g.operators.pop()
    for place, array in one.constants.items():
        half = g.constant(array.astype(np.float16))
        inputs, given = [half], [g.tensor(array.shape)]
        operator.inputs[place] = g.operator(6, inputs, given, g.schema.DequantizeOptionsT())
    g.operators.append(operator)
    return made


# ---- what is refused -------------------------------------------------------------------------


@refused
def int8_weights(g, at):
    one = drawn(RNG)
    made = g.lstm(one, at)
    tensor = g.tensors[g.operators[-1].inputs[1 + INPUT[1]]]
    tensor.type = 9
    tensor.quantization = g.schema.QuantizationParametersT(scale=[0.01], zeroPoint=[0])
    return made


@refused
def quantised_input(g, at):
    at = g.operator(6, [at], [g.tensor(g.shape(at))], g.schema.DequantizeOptionsT())
    return g.lstm(drawn(RNG), at)


@refused
def basic_kernel(g, at):
    made = g.lstm(drawn(RNG, STEP), at)
    g.operators[-1].builtinOptions.kernelType = 1
    return made


@refused
def diagonal(g, at):
    made = g.lstm(drawn(RNG), at)
    g.operators[-1].builtinOptions.diagonalRecurrentTensors = True
    return made


@refused
def dense_before(g, at):
    return g.lstm(drawn(RNG, features=4), g.head(at, 4))


@refused
def reversed_before(g, at):
    return g.lstm(drawn(RNG), g.reverse(at))


@refused
def reversed_behind(g, at):
    return g.reverse(g.lstm(drawn(RNG), at))


@refused
def flattened(g, at):
    return g.head(g.reshape(g.lstm(drawn(RNG), at), ROWS, STEPS * 5))


@refused
def first_step(g, at):
    return g.head(g.step(g.lstm(drawn(RNG), at), 1, begin=0))


@refused
def first_step_of_any_number(g, at):
    g.tensors[at].shape = [ROWS, 1, FEATURES]
    at = g.lstm(drawn(RNG), at)
    g.tensors[at].shapeSignature = [ROWS, -1, 5]
    return g.head(g.step(at, 1, begin=0))


@refused
def last_row(g, at):
    return g.head(g.step(g.lstm(drawn(RNG), at), 0))


@refused
def projection_bias_normalised(g, at):
    return g.lstm(drawn(RNG, outputs=4, projection_bias=True, norm=True), at)


@refused
def projection_bias_clipped(g, at):
    return g.lstm(drawn(RNG, outputs=4, projection_bias=True, proj_clip=0.1), at)


@refused
def no_activation(g, at):
    return g.lstm(drawn(RNG, activation=0), at)


@refused
def relu6(g, at):
    return g.lstm(drawn(RNG, activation=3), at)


@refused
def two_heads(g, at):
    at = g.lstm(drawn(RNG), at)
    g.head(at)
    return g.head(at)


@refused
def two_dense(g, at):
    return g.head(g.head(g.lstm(drawn(RNG), at)))


@refused
def dense_relu(g, at):
    made = g.head(g.lstm(drawn(RNG), at))
    g.operators[-1].builtinOptions.fusedActivationFunction = 1
    return made


@refused
def softmax(g, at):
    return g.softmax(g.head(g.lstm(drawn(RNG), at)))


@refused
def no_lstm(g, at):
    return g.head(at)


@refused
def two_variants(g, at):
    return g.lstm(drawn(RNG, features=5, cifg=True), g.lstm(drawn(RNG), at))


@refused
def mixed_directions(g, at):
    at = g.lstm(drawn(RNG, BOTH, time_major=True), g.transpose(at))
    return g.lstm(drawn(RNG, features=10, time_major=True), at)


@refused
def steps_for_rows(g, at):
    return g.lstm(drawn(RNG, features=5, time_major=True), g.lstm(drawn(RNG), at))


@refused
def reverse_first(g, at):
    at = g.lstm(drawn(RNG, BOTH, merge_outputs=False), at)
    return g.concatenation(at + 1, at)


@refused
def auxiliary_input(g, at):
    made = g.lstm(drawn(RNG, BOTH), at)
    g.operators[-1].inputs[39] = at
    return made


@refused
def given_states(g, at):
    made = g.lstm(drawn(RNG), at)
    g.tensors[g.operators[-1].inputs[18]].isVariable = False
    return made


@refused
def without_a_bias(g, at):
    made = g.lstm(drawn(RNG), at)
    g.operators[-1].inputs[12] = -1
    return made


@refused
def too_few_bytes(g, at):
    made = g.lstm(drawn(RNG), at)
    tensor = g.tensors[g.operators[-1].inputs[1]]
    g.buffers[tensor.buffer].data = g.buffers[tensor.buffer].data[:-4]
    return made


@refused
def not_finite(g, at):
    one = drawn(RNG)
    one.constants[2][0, 0] = np.nan
    return g.lstm(one, at)


@refused
def negative_clip(g, at):
    return g.lstm(drawn(RNG, cell_clip=-1.0), at)


@refused
def projection_of_one_axis(g, at):
    one = drawn(RNG, outputs=4)
    one.constants[16] = one.constants[16].ravel()
    return g.lstm(one, at)


@refused
def circle(g, at):
    made = g.reshape(g.lstm(drawn(RNG), at), ROWS, STEPS, 5)
    g.operators[-1].outputs = [g.operators[-1].inputs[0]]
    return made


@refused
def dense_without_weights(g, at):
    made = g.head(g.lstm(drawn(RNG), at))
    g.operators[-1].inputs[1] = -1
    return made


@refused
def two_outputs(g, at):
    at = g.lstm(drawn(RNG), at)
    return at, g.head(at)


@refused
def two_sizes(g, at):
    one = drawn(RNG)
    one.constants[13] = one.constants[13][:-1]
    return g.lstm(one, at)


def written(make, name):
    """A file, its states, and whether it takes a step at a time."""
    g = Graph()
    step = name in ("one_step_a_call", "basic_kernel")
    at = g.source(*((ROWS, FEATURES) if step else (ROWS, STEPS, FEATURES)))
    made = make(g, at)
    return g.content([at], made if isinstance(made, tuple) else [made]), g.states, step


def computed(content, states, step):
    """Y, batches first, and the states."""
    interpreter = interpreter_of(content)
    if step:
        Y = np.stack([outputs_of(interpreter, x) for x in X.transpose(TIME_FIRST)], 1)
    else:
        Y = outputs_of(interpreter, X)
    if Y.ndim == 3 and Y.shape[0] == STEPS:
        Y = Y.transpose(TIME_FIRST)
    found = {"Y": Y}
    for name, indices in states._asdict().items():
        for layer, index in enumerate(indices):
            found[f"{name}{layer}"] = np.array(interpreter.get_tensor(index))
    return found


if __name__ == "__main__":
    stored = {"X": X}
    for name, make in (TRUTHS | REFUSED).items():
        content, states, step = written(make, name)
        stored[f"{name}.file"] = np.frombuffer(content, np.uint8)
        if name in TRUTHS:
            arrays = computed(content, states, step)
            stored |= {f"{name}.{key}": value for key, value in arrays.items()}
    np.savez_compressed(Path(__file__).with_name("tflite_files.npz"), **stored)
