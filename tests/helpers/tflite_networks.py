"""Random LSTM operators of TensorFlow Lite, for the script that makes truths and for benchmarks."""

import numpy as np

from numlstm.convert.tflite_operator import (
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
