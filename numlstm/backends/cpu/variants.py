"""A layer of any variant: what the kernels of `family.py` take, and what they give back."""

from functools import lru_cache

import numpy as np

from numlstm.activations import function_of
from numlstm.backends.cpu import family_cells as rows
from numlstm.backends.cpu import packing
from numlstm.backends.cpu.family import Family, Parameters, Switches
from numlstm.backends.cpu.packing import blocks
from numlstm.cell import COUPLED, NONE, OWN
from numlstm.params import split
from numlstm.spec import LayerSpec, Noise

FORGET = {"gate": OWN, "coupled": COUPLED, "none": NONE}
GATE_ROWS = {"i": 0, "f": 1, "g": 2, "o": 3}
PEEPHOLE_ROWS = {"i": rows.P_I, "f": rows.P_F, "o": rows.P_O}
UNLIMITED = {"float32": 1e30, "float64": 1e300}  # finite, so that no activation makes a NaN of it


@lru_cache(maxsize=64)
def family_of(spec: LayerSpec) -> Family:
    """The variant in numbers."""
    cell, unlimited = spec.cell, UNLIMITED[spec.dtype]
    return Family(
        FORGET[cell.forget],
        cell.peephole,
        cell.layer_norm,
        spec.proj_size is not None,
        unlimited if cell.clip is None else float(cell.clip),
        unlimited if cell.cell_clip is None else float(cell.cell_clip),
        tuple(function_of(activation) for activation in cell.activations),
    )


def unit_rows(spec: LayerSpec):
    """(name, where in it, row of `Parameters.unit`) of everything that a unit has of its own."""
    cell, units = spec.cell, spec.hidden_size
    for n, gate in enumerate(cell.peepholes):
        yield "peephole", slice(n * units, (n + 1) * units), PEEPHOLE_ROWS[gate]
    if cell.layer_norm:
        for n, gate in enumerate(cell.gates):
            part = slice(n * units, (n + 1) * units)
            yield "gain", part, rows.GAIN + GATE_ROWS[gate]
            yield "bias", part, rows.BIAS + GATE_ROWS[gate]
        yield "cell_gain", slice(units), rows.CELL_GAIN
        yield "cell_bias", slice(units), rows.CELL_BIAS
    if spec.learned_state:
        yield "initial_h", slice(spec.output_size), rows.INITIAL_H
        yield "initial_c", slice(units), rows.INITIAL_C


def parameters_of(spec: LayerSpec, theta) -> Parameters:
    """What the layer has beside its gates, in the kernels' layout."""
    views, width = split(spec.shapes, theta), packing.panel_width(spec.dtype)
    padded = blocks(spec.hidden_size, width) * width
    unit = packing.zeros((rows.UNIT_ROWS, padded), spec.dtype)
    for name, part, row in unit_rows(spec):
        values = views[name][part]
        unit[row, : len(values)] = values
    if spec.proj_size is None:
        nothing = np.empty((0, 0, 0), spec.dtype)
        return Parameters(unit, nothing, nothing)
    W_hr = views["weight_hr"]
    return Parameters(unit, packing.panels(W_hr.T), packing.panels(W_hr))


def switches_of(spec: LayerSpec, reset, noise: Noise | None) -> Switches:
    """Resets and noise as arrays, empty where there are none."""
    noise = Noise() if noise is None else noise
    nothing = np.empty(0, spec.dtype)

    def factors(array, dimensions):
        if array is None:
            return nothing.reshape((0,) * dimensions)
        return np.require(array, spec.dtype, ["C", "A", "W"])

    bits = np.empty((0, 0), np.uint8) if reset is None else np.array(reset, np.uint8)
    per_row = factors(noise.x, 2), factors(noise.h, 2)
    return Switches(bits, *per_row, *(factors(array, 3) for array in noise[2:]))


def put_gradients(spec: LayerSpec, dtheta, dunit, dout) -> None:
    """Gradients of what the layer has beside its gates, from those of the shards, into dtheta."""
    views = split(spec.shapes, dtheta)
    total = packing.sum_in_order(dunit)
    for name, part, row in unit_rows(spec):
        view = views[name][part]
        view[...] = total[row, : len(view)]
    if spec.proj_size is not None:
        panels = packing.sum_in_order(dout)  # (padded H / W, P, W)
        matrix = panels.transpose(1, 0, 2).reshape(spec.proj_size, -1)
        views["weight_hr"][...] = matrix[:, : spec.hidden_size]
