"""LSTM operators of TensorFlow Lite: their tensors by place, and the layers that they are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from numlstm.architecture.cell import Activation, Activations, Cell
from numlstm.convert.tflite.files import Graph, Operator
from numlstm.convert.tflite.flatbuffer import EMPTY, Table
from numlstm.convert.weights import Weights
from numlstm.utils.types import Array

STEP, SEQUENCE, BOTH = "LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"
KINDS = (STEP, SEQUENCE, BOTH)
# what stands from the second place on, for one direction; of the gates always in the order i f g o
INPUT, RECURRENT, PEEPHOLE, BIAS = range(4), range(4, 8), range(8, 11), range(11, 15)
PROJECTION, PROJECTION_BIAS = 15, 16
PER_DIRECTION = 17
GAIN = range(20, 24)  # of the operator, of one direction
STATES = {STEP: range(18, 20), SEQUENCE: range(18, 20), BOTH: range(35, 39)}
_COUNTS = {STEP: (20, 24), SEQUENCE: (20, 24), BOTH: (48,)}
_AUXILIARY = range(39, 48)
EPSILON = 1e-8  # of the layer normalisation
_GATES = Activation("sigmoid")
_ACTIVATIONS = {1: Activation("relu"), 4: Activation("tanh")}
_ACTIVATION_NAMES = {
    0: "NONE, with which the kernel gives out its candidate in the place of its cell",
    2: "RELU_N1_TO_1",
    3: "RELU6",
    5: "SIGN_BIT",
}


class Options(NamedTuple):
    """The options of an LSTM operator."""

    activation: int
    cell_clip: float
    proj_clip: float
    time_major: bool
    merge_outputs: bool = True


class Recurrent(NamedTuple):
    """An LSTM operator: constants by place, those that are left out missing."""

    kind: str
    constants: Mapping[int, Array]
    options: Options

    @property
    def directions(self) -> int:
        """1 or 2."""
        return 2 if self.kind == BOTH else 1

    def direction(self, index: int) -> dict[int, Array]:
        """The constants of a direction, by their places behind the input."""
        first = 1 + PER_DIRECTION * index
        return {
            place - first: array
            for place, array in self.constants.items()
            if first <= place < first + PER_DIRECTION
        }

    @property
    def gains(self) -> dict[int, Array]:
        """The gains of the layer normalisation, which two directions do not have."""
        found = {} if self.kind == BOTH else self.constants
        return {place: array for place, array in found.items() if place in GAIN}


def read_operator(graph: Graph, operator: Operator) -> Recurrent:
    """An operator, of the full kernel and with states that begin as zeros."""
    kind, inputs = operator.name, operator.inputs
    options = _options(kind, operator.options)
    if len(inputs) not in _COUNTS[kind]:
        raise ValueError(f"{kind} must have {_COUNTS[kind]} inputs, received {len(inputs)}")
    for place in STATES[kind]:
        if inputs[place] < 0 or not graph.tensors[inputs[place]].is_variable:
            raise ValueError(
                f"the states of {kind} must be variables, which begin as zeros: where they are "
                "given from outside, predict(X, state=...) does so here, and no file says it"
            )
    if kind == BOTH and any(inputs[place] >= 0 for place in _AUXILIARY):
        raise ValueError(
            f"{kind} has an auxiliary input, with which directions of a stack read only their own: "
            "both read the outputs of both in numlstm"
        )
    last = 1 + PER_DIRECTION * (2 if kind == BOTH else 1)
    places = [*range(1, last), *(GAIN if kind != BOTH and len(inputs) == 24 else ())]
    constants = {p: graph.floats(inputs[p]) for p in places if inputs[p] >= 0}
    return Recurrent(kind, constants, options)


def _options(kind: str, table: Table | None) -> Options:
    """The options, which all kinds have in one order but for the fourth and fifth."""
    table = table or EMPTY
    clips = {name: table.scalar(at, "<f", 0.0) for at, name in ((1, "cell_clip"), (2, "proj_clip"))}
    for name, value in clips.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be at least 0, which is off, received {value}")
    if kind == STEP and table.scalar(3, "<b", 0):
        raise ValueError(
            "LSTM has the basic kernel, whose weights are of another form: the full one is read"
        )
    if kind == SEQUENCE and table.scalar(5, "<B", 0):
        raise ValueError(f"{kind} has diagonals as recurrent weights, which are not read")
    major = {STEP: False, SEQUENCE: table.scalar(3, "<B", 0), BOTH: table.scalar(4, "<B", 1)}[kind]
    merge = kind != BOTH or bool(table.scalar(3, "<B", 0))
    return Options(table.scalar(0, "<b", 0), **clips, time_major=bool(major), merge_outputs=merge)


# ---- layers ----------------------------------------------------------------------------------


def weights_of_operators(
    operators: Sequence[Recurrent], head: Mapping[str, Array] | None
) -> tuple[Weights, list[Array]]:
    """The network, and what the projections add to the hidden state of every layer beside it.

    TensorFlow Lite has h = W_p m + b_p. Here h' = W_p m = h - b_p is carried: b_p goes into what
    reads it, into the biases of the gates, of the next layer and of the head; and h', which begins
    where h is 0, at -b_p.
    """
    if len({one.directions for one in operators}) > 1:
        raise ValueError("all LSTMs must have two directions, or none")
    read = [
        _layer(one, one.direction(index)) for one in operators for index in range(one.directions)
    ]
    cells = {cell for _, cell, _ in read}
    if len(cells) > 1:
        variants = sorted(str(cell.changed()) for cell in cells)
        raise ValueError(f"all LSTMs must be of one variant, received {variants}")
    layers, shifts = [layer for layer, _, _ in read], [shift for _, _, shift in read]
    weights = Weights(layers, head, directions=operators[0].directions, cell=cells.pop())
    if any(shift.any() for shift in shifts):
        weights = _shifted(weights, shifts)
    return weights, shifts


def _layer(operator: Recurrent, own: Mapping[int, Array]) -> tuple[dict[str, Array], Cell, Array]:
    """The parameters of a direction, its cell and the bias of its projection."""
    _require_all(own, operator)
    coupled = INPUT[0] not in own
    gates = "fgo" if coupled else "ifgo"
    rows = {name: _blocks(own, places, gates) for name, places in _ROWS.items()}
    gain = _blocks(operator.gains, GAIN, gates)
    units, outputs = rows["weight_ih"].shape[0] // len(gates), rows["weight_hh"].shape[-1]
    if PEEPHOLE[1] in own:
        places = PEEPHOLE[1:] if coupled else PEEPHOLE
        rows["peephole"] = np.concatenate([own[place] for place in places])
    if coupled:  # it has f, and i = 1 - f = s(-z_f); here f = 1 - i
        rows = {name: _negated(array, units) for name, array in rows.items()}
    if gain.size:
        rows["gain"] = gain
    shift = np.zeros(outputs, np.float32)
    if PROJECTION in own:
        rows["weight_hr"] = own[PROJECTION]
        shift = own.get(PROJECTION_BIAS, shift)
        if shift.shape != (outputs,):
            raise ValueError(f"the bias of the projection has shape {shift.shape}")
    return rows, _cell(operator, rows, coupled), shift


_ROWS = {"weight_ih": INPUT, "weight_hh": RECURRENT, "bias": BIAS}


def _require_all(own: Mapping[int, Array], operator: Recurrent) -> None:
    """Refuse groups of tensors of which some are there and some not, or of several sizes."""
    required = [*INPUT[1:], *RECURRENT[1:], *BIAS[1:]]
    of_input = INPUT[0], RECURRENT[0], BIAS[0]
    peepholes = [place in own for place in PEEPHOLE[1:]]
    gains = [place in operator.gains for place in GAIN]
    plain = INPUT[0] in own
    complete = (
        all(place in own for place in required)
        and len({place in own for place in of_input}) == 1
        and len(set(peepholes)) == 1
        and (PEEPHOLE[0] in own) == (plain and peepholes[0])
        and (not any(gains) or gains == [plain, True, True, True])
        and (PROJECTION in own or PROJECTION_BIAS not in own)
    )
    if not complete:
        raise ValueError(
            f"{operator.kind} lacks some of its tensors: those of the input gate, the peepholes, "
            "the layer normalisation must be all there, or none"
        )
    units = own[BIAS[1]].shape
    vectors = [*(p for p in (*BIAS, *PEEPHOLE) if p in own)]
    shapes = {own[place].shape for place in vectors}
    shapes |= {array.shape for array in operator.gains.values()}
    for places in (INPUT, RECURRENT):
        shapes |= {own[place].shape[:1] for place in places if place in own}
        if len({own[place].shape for place in places if place in own}) > 1:
            raise ValueError(f"{operator.kind} has gates of different shapes")
        if own[places[1]].ndim != 2:
            raise ValueError(f"{operator.kind} must have matrices of weights")
    if shapes != {units} or len(units) != 1:
        raise ValueError(f"{operator.kind} has tensors of different numbers of units, {shapes}")


def _blocks(constants: Mapping[int, Array], places: Sequence[int], gates: str) -> Array:
    """The rows of the gates, one behind the other."""
    found = [constants[place] for place in places if place in constants]
    if not found:
        return np.zeros(0, np.float32)
    assert len(found) == len(gates)
    return np.concatenate(found)


def _negated(array: Array, units: int) -> Array:
    """With the first block of rows negated."""
    copy = np.array(array)
    np.negative(copy[:units], out=copy[:units])
    return copy


def _cell(operator: Recurrent, rows: Mapping[str, Array], coupled: bool) -> Cell:
    options = operator.options
    if options.activation not in _ACTIVATIONS:
        name = _ACTIVATION_NAMES.get(options.activation, options.activation)
        raise ValueError(f"numlstm has the activations TANH and RELU of an LSTM, received {name}")
    own = _ACTIVATIONS[options.activation]
    activations: Activations = (_GATES, own, own)
    cell = Cell(
        forget_gate="coupled" if coupled else "gate",
        peephole="peephole" in rows,
        cell_clip=options.cell_clip or None,
        proj_clip=(options.proj_clip or None) if "weight_hr" in rows else None,
        activations=activations,
    )
    if "gain" in rows:
        cell = replace(cell, layer_norm="gates", layer_norm_epsilon=EPSILON)
    return cell


# ---- the bias of the projection --------------------------------------------------------------


def _shifted(weights: Weights, shifts: Sequence[Array]) -> Weights:
    """The same network whose hidden states are less by the biases of the projections."""
    for name in ("layer_norm", "proj_clip"):
        if getattr(weights.cell, name):
            raise ValueError(
                f"a projection has a bias beside {name}: what it adds to the hidden state can be "
                "moved into the biases of what reads it only where nothing lies between, and "
                "numlstm has no bias in a projection"
            )
    count = weights.directions
    layers: list[dict[str, Array]] = []
    below = np.zeros(0, np.float32)
    for level in range(len(weights.layers) // count):
        own = range(count * level, count * (level + 1))
        for index in own:
            layer, shift = dict(weights.layers[index]), shifts[index]
            bias = layer["bias"].astype(np.float64) + layer["weight_hh"] @ shift.astype(np.float64)
            if level:
                bias += layer["weight_ih"] @ below.astype(np.float64)
            layers.append({**layer, "bias": bias.astype(np.float32), "initial_h": -shift})
        below = np.concatenate([shifts[index] for index in own])
    head = weights.head or {"weight": np.eye(below.size, dtype=np.float32)}
    added = head["weight"] @ below.astype(np.float64) + head.get("bias", np.zeros(1, np.float32))
    return replace(weights, layers=layers, head={**head, "bias": added.astype(np.float32)})
