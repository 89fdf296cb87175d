"""A layer's variant in numbers, and the parameters that every unit has, as kernels take them."""

from functools import lru_cache
from typing import Any, NamedTuple

from numlstm.architecture.spec import LayerSpec
from numlstm.cell.activations import function_of
from numlstm.cell.equations import COUPLED, NONE, OWN

FORGET = {"gate": OWN, "coupled": COUPLED, "none": NONE}
GATE_ROWS = {"i": 0, "f": 1, "g": 2, "o": 3}
UNLIMITED = {"float32": 1e30, "float64": 1e300}  # finite, so that no activation makes a NaN of it

# rows of the parameters that every unit has beside its gates, and of their gradients
P_I, P_F, P_O, GAIN, BIAS, CELL_GAIN, CELL_BIAS = 0, 1, 2, 3, 7, 11, 12
INITIAL_H, INITIAL_C = 13, 14
UNIT_ROWS = 15
PEEPHOLE_ROWS = {"i": P_I, "f": P_F, "o": P_O}

EPSILON = 1e-5  # under the root of layer normalisation


class Family(NamedTuple):
    """A layer's variant as Python gives it to kernels."""

    forget: int
    peephole: bool
    normalised: bool
    projected: bool
    clip: float
    cell_clip: float
    activations: Any  # three Functions


@lru_cache(maxsize=64)
def family_of(spec: LayerSpec) -> Family:
    """The variant in numbers."""
    cell, unlimited = spec.cell, UNLIMITED[spec.dtype]
    return Family(
        FORGET[cell.forget_gate],
        cell.peephole,
        cell.layer_norm,
        spec.proj_size is not None,
        unlimited if cell.activation_clip is None else float(cell.activation_clip),
        unlimited if cell.cell_clip is None else float(cell.cell_clip),
        tuple(function_of(activation) for activation in cell.activations),
    )


def unit_rows(spec: LayerSpec):
    """(name, where in it, row) of everything that a unit has of its own."""
    cell, units = spec.cell, spec.hidden_size
    for n, gate in enumerate(cell.peepholes):
        yield "peephole", slice(n * units, (n + 1) * units), PEEPHOLE_ROWS[gate]
    if cell.layer_norm:
        for n, gate in enumerate(cell.gates):
            part = slice(n * units, (n + 1) * units)
            yield "gain", part, GAIN + GATE_ROWS[gate]
            yield "bias", part, BIAS + GATE_ROWS[gate]
        yield "cell_gain", slice(units), CELL_GAIN
        yield "cell_bias", slice(units), CELL_BIAS
    if spec.learned_state:
        yield "initial_h", slice(spec.output_size), INITIAL_H
        yield "initial_c", slice(units), INITIAL_C
