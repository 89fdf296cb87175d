"""A layer's cell in numbers, and the parameters that every unit has, as kernels take them.

All of it follows from the fields of `Cell` and from `UNIT_PARAMETERS`.
"""

from dataclasses import Field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numlstm.architecture.cell import GATES, UNIT_PARAMETERS, Activation, Cell
from numlstm.architecture.spec import LayerSpec
from numlstm.cell.activations import Limited, function_of, limited
from numlstm.cell.elementary import compilable, noinline

LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in ("float32", "float64")}

# how many of the constants of an activation z is multiplied by
FACTORS = {"affine": 1, "leaky_relu": 1, "hard_sigmoid": 1, "scaled_tanh": 2}

# --- the cell -------------------------------------------------------------------------------------


def _kind(field: Field) -> Any:
    """The type of a field's encoding: choices and flags are integers, limits are numbers."""
    if field.name == "activations":
        return tuple[Limited, Limited, Limited]
    return int if field.metadata["options"] or isinstance(field.default, bool) else float


_KINDS = {field.name: _kind(field) for field in fields(Cell)}

if TYPE_CHECKING:

    class Variant(tuple[Any, ...]):
        """The fields of `Cell` by name, and `projected`: whether the layer has a projection.

        What is one of a few options is its place among them; a limit that is not there is
        infinite, or the largest number where an activation would make a NaN of infinity.
        """

        _fields: tuple[str, ...]

        def __new__(cls, *values: Any, **named: Any) -> "Variant": ...  # noqa: D102
        def __getattr__(self, name: str) -> Any: ...  # noqa: D105

else:
    Variant = NamedTuple("Variant", [*_KINDS.items(), ("projected", int)])

ACTIVATIONS_AT = Variant._fields.index("activations")
AFTER_ACTIVATIONS = ACTIVATIONS_AT + 1


@lru_cache(maxsize=64)
def encode(spec: LayerSpec) -> Variant:
    """The cell of a layer in numbers; `with_ends` completes its activations."""
    cell, largest = spec.cell, LARGEST[spec.dtype]
    values = {field.name: _number(field, getattr(cell, field.name))
              for field in fields(Cell) if field.name != "activations"}  # fmt: skip
    clip = values["activation_clip"]
    activations = tuple(
        Limited(function_of(f), clip if takes_infinity(f) else min(clip, largest), 0.0, 0.0)
        for f in cell.activations
    )
    return Variant(**values, activations=activations, projected=int(spec.proj_size is not None))


def takes_infinity(activation: Activation) -> bool:
    """Whether its value at infinity is its limit there: not for inf / inf, nor for 0 times inf."""
    constants = (activation.alpha, activation.beta)[: FACTORS.get(activation.name, 0)]
    return activation.name != "softsign" and 0.0 not in constants


def _number(field: Field, value: Any) -> int | float:
    if field.metadata["options"]:
        return field.metadata["options"].index(value)
    if _KINDS[field.name] is int:
        return int(value)
    return float("inf") if value is None else float(value)


@compilable()
def with_ends(v, zero):
    """The cell with the ends of its activations, which slopes need, in the type of `zero`."""
    noinline()
    gates, candidate, output = v.activations
    complete = limited(gates, zero), limited(candidate, zero), limited(output, zero)
    return Variant(*v[:ACTIVATIONS_AT], complete, *v[AFTER_ACTIVATIONS:])


# --- what every unit has beside its gates' weights ------------------------------------------------

BIASES = tuple(f"bias_{gate}" for gate in GATES)  # they stand there where gates are normalised

# the rows of an array of these, and of their gradients
_PARTS = [part for parameter in UNIT_PARAMETERS for part in parameter.parts()]
ROWS = {part: n for n, part in enumerate([*_PARTS, *BIASES, "initial_h", "initial_c"])}
UNIT_ROWS = len(ROWS)
GAIN, BIAS = ROWS["gain_i"], ROWS["bias_i"]  # of the first gate; those of the others follow
EARLY_I, EARLY_F, EARLY_O = (ROWS[f"early_{gate}"] for gate in "ifo")
CELL_GAIN, CELL_BIAS = ROWS["cell_gain"], ROWS["cell_bias"]
INITIAL_H, INITIAL_C = ROWS["initial_h"], ROWS["initial_c"]


def unit_rows(spec: LayerSpec):
    """(name, where in it, row) of everything that a unit has of its own."""
    cell, units = spec.cell, spec.hidden_size
    own = [(parameter.name, parameter.parts(cell.gates)) for parameter in cell.unit_parameters]
    if cell.layer_norm:
        own.append(("bias", tuple(f"bias_{gate}" for gate in cell.gates)))
    for name, parts in own:
        for n, part in enumerate(parts):
            yield name, slice(n * units, (n + 1) * units), ROWS[part]
    if spec.learned_state:
        yield "initial_h", slice(0, spec.output_size), INITIAL_H
        yield "initial_c", slice(0, units), INITIAL_C
