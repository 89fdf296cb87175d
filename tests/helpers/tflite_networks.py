"""Random LSTM operators of TensorFlow Lite, for the script that makes truths and for benchmarks."""

import numpy as np

from numlstm.convert.tflite.operator import (
    BIAS,
    BOTH,
    GAIN,
    INPUT,
    PEEPHOLE,
    PER_DIRECTION,
    PROJECTION,
    PROJECTION_BIAS,
    RECURRENT,
    SEQUENCE,
    STEP,
    Options,
    Recurrent,
)


def drawn(
    rng,
    kind=SEQUENCE,
    features=3,
    units=5,
    outputs=None,
    *,
    cifg=False,
    peephole=False,
    norm=False,
    projection_bias=False,
    activation=4,
    cell_clip=0.0,
    proj_clip=0.0,
    time_major=False,
    merge_outputs=True,
):
    """An operator with random constants; `outputs` is the size of a projection."""

    def array(*shape):
        return rng.uniform(-0.6, 0.6, shape).astype(np.float32)

    constants = {}
    width = outputs or units
    for direction in range(2 if kind == BOTH else 1):
        own = {}
        for gate in range(cifg, 4):
            own[INPUT[gate]] = array(units, features)
            own[RECURRENT[gate]] = array(units, width)
            own[BIAS[gate]] = array(units)
        if peephole:
            own |= {place: array(units) for place in PEEPHOLE[cifg:]}
        if outputs:
            own[PROJECTION] = array(outputs, units)
            if projection_bias:
                own[PROJECTION_BIAS] = array(outputs)
        constants |= {1 + PER_DIRECTION * direction + place: a for place, a in own.items()}
    if norm:
        constants |= {place: 1 + array(units) for place in GAIN[cifg:]}
    options = Options(activation, cell_clip, proj_clip, time_major, merge_outputs)
    return Recurrent(kind, constants, options)


def random_network(rng):
    """Operators of one variant, stacked, and a head or None."""
    kind = str(rng.choice([SEQUENCE, SEQUENCE, BOTH, STEP]))
    norm, projected = bool(rng.integers(2)) and kind != BOTH, bool(rng.integers(2))
    shared = {"cifg": bool(rng.integers(2)), "peephole": bool(rng.integers(2)), "norm": norm}
    shared["activation"] = int(rng.choice([4, 4, 4, 1]))
    shared["cell_clip"] = float(np.float32(rng.uniform(0.3, 2))) * int(rng.integers(2))
    if projected:
        shared["proj_clip"] = float(np.float32(rng.uniform(0.1, 1))) * int(rng.integers(2))
        shared["projection_bias"] = not norm and not shared["proj_clip"] and bool(rng.integers(2))
    width, units = int(rng.integers(1, 9)), int(rng.integers(2, 20))
    operators = []
    for _ in range(int(rng.integers(1, 4))):
        outputs = int(rng.integers(1, units + 1)) if projected else None
        if operators and norm and projected:  # layers that cannot be padded
            outputs = operators[-1].constants[6].shape[1]
        operators.append(drawn(rng, kind, width, units, outputs, **shared))
        width = (outputs or units) * operators[-1].directions
        units = units if norm else int(rng.integers(2, 20))
    if not rng.integers(2):
        return operators, None
    size = int(rng.integers(1, 5))
    head = {"weight": rng.uniform(-1, 1, (size, width)), "bias": rng.uniform(-1, 1, size)}
    return operators, {name: array.astype(np.float32) for name, array in head.items()}
