"""Arguments and results of the kernels for a layer of any variant."""

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import LayerSpec, Noise
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.packing import blocks
from numlstm.backends.cpu.layer.recurrence import Masks, Parameters
from numlstm.cell.encoding import UNIT_ROWS, encode, unit_rows


def parameters_of(spec: LayerSpec, theta) -> Parameters:
    """Parameters beside the weights of the gates, in the kernels' layout."""
    views, width = split(spec.shapes, theta), packing.panel_width(spec.dtype)
    padded = blocks(spec.hidden_size, width) * width
    unit = packing.zeros((UNIT_ROWS, padded), spec.dtype)
    for name, part, row in unit_rows(spec):
        values = views[name][part]
        unit[row, : len(values)] = values
    if spec.proj_size is None:
        nothing = np.empty((0, 0, 0), spec.dtype)
        return Parameters(unit, nothing, nothing)
    W_hr = views["weight_hr"]
    return Parameters(unit, packing.panels(W_hr.T), packing.panels(W_hr))


def masks_of(spec: LayerSpec, reset, noise: Noise | None) -> Masks:
    """Reset and dropout masks as arrays, empty where there are none."""
    noise = Noise() if noise is None else noise
    nothing = np.empty(0, spec.dtype)

    def factors(array, dimensions):
        if array is None:
            return nothing.reshape((0,) * dimensions)
        return np.require(array, spec.dtype, ["C", "A", "W"])

    bits = np.empty((0, 0), np.uint8) if reset is None else np.array(reset, np.uint8)
    per_row = factors(noise.x, 2), factors(noise.h, 2)
    return Masks(bits, *per_row, *(factors(array, 3) for array in noise[2:]))


def layer_of(spec: LayerSpec, parameters: Parameters, masks: Masks) -> tuple:
    """The `Layer` as an entry takes it: its cell in numbers, its parameters and masks."""
    return encode(spec), tuple(parameters), tuple(masks)


def put_gradients(spec: LayerSpec, dtheta, dunit, dout) -> None:
    """Put `ParameterGradients`, summed over the shards, into dtheta."""
    views = split(spec.shapes, dtheta)
    total = packing.sum_in_order(dunit)
    for name, part, row in unit_rows(spec):
        view = views[name][part]
        view[...] = total[row, : len(view)]
    if spec.proj_size is not None:
        panels = packing.sum_in_order(dout)  # (padded H / W, P, W)
        matrix = panels.transpose(1, 0, 2).reshape(spec.proj_size, -1)
        views["weight_hr"][...] = matrix[:, : spec.hidden_size]
