"""The layout of a layer's parameters for the kernels: one map of places, both ways.

Packed are, one after the other, gates (K, 4, H), unit (UNIT_ROWS, H) and out (P, H): see
`cells.Weights`.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from numlstm.architecture.cell import GATES
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import LayerSpec
from numlstm.cell.encoding import UNIT_ROWS, unit_rows


class Layout(NamedTuple):
    """The place in theta of every packed number, -1 where it is zero; and the parts' shapes."""

    source: np.ndarray  # (n,)
    gates: tuple[int, ...]
    unit: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def has_units(self) -> bool:
        """Whether there are parameters beside the gates that every unit has."""
        first = int(np.prod(self.gates))
        return bool((self.source[first : first + int(np.prod(self.unit))] >= 0).any())


@lru_cache(maxsize=64)
def layout_of(spec: LayerSpec) -> Layout:
    """Every parameter has one place; absent gates and units' parameters stand there as zeros."""
    H, P, inputs = spec.hidden_size, spec.output_size, spec.input_size
    count = sum(int(np.prod(shape)) for shape in spec.shapes.values())
    views = split(spec.shapes, np.arange(count))
    gates = np.full((P + inputs + 1, 4, H), -1)
    unit = np.full((UNIT_ROWS, H), -1)
    out = views.get("weight_hr", np.empty((0, 0), int))
    for n, name in enumerate(spec.cell.gates):
        gate, rows = GATES.index(name), slice(n * H, (n + 1) * H)
        gates[:P, gate] = views["weight_hh"][rows].T
        gates[P:-1, gate] = views["weight_ih"][rows].T
        if not spec.cell.layer_norm:  # else it comes after the normalisation
            gates[-1, gate] = views["bias"][rows]
    for name, part, row in unit_rows(spec):
        places = views[name][part]
        unit[row, : len(places)] = places
    source = np.concatenate([part.ravel() for part in (gates, unit, out)]).astype(np.int32)
    return Layout(source, gates.shape, unit.shape, out.shape)
