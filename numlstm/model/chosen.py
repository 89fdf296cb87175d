"""Which quantities, layers, units and steps of a network are asked for."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.spec import NetworkSpec
from numlstm.network.trace import QUANTITIES
from numlstm.utils import checks
from numlstm.utils.types import Array


class Chosen(NamedTuple):
    """Quantities by name; layers, units and steps by number, from 0 on."""

    quantities: tuple[str, ...]
    layers: Array
    units: Array
    all_units: bool
    steps: Array

    @classmethod
    def read(
        cls, spec: NetworkSpec, length: int, quantities: Any, layers: Any, units: Any, steps: Any
    ) -> "Chosen":
        """From arguments; None is all."""
        return cls(
            _quantities(spec, quantities),
            places("layers", layers, len(spec.layers)),
            places("units", units, spec.hidden_size),
            units is None,
            places("steps", steps, length),
        )


def _quantities(spec: NetworkSpec, value: Any) -> tuple[str, ...]:
    """Names in the order of a `Trace`, each once."""
    has_forget = spec.cell.forget_gate != "none"
    if value is None:
        return tuple(name for name in QUANTITIES if has_forget or name != "f")
    try:
        names = {checks.choice("quantities", name, options=QUANTITIES) for name in value}
    except TypeError:
        raise TypeError(
            f"quantities must be some of {', '.join(map(repr, QUANTITIES))}, received "
            f"{checks.shown(value)}"
        ) from None
    if not names:
        raise ValueError(f"quantities names none of {', '.join(map(repr, QUANTITIES))}")
    if "f" in names and not has_forget:
        raise ValueError(
            "this cell has no forget gate (forget_gate='none'): nothing is forgotten, leave 'f' out"
        )
    return tuple(name for name in QUANTITIES if name in names)


def places(name: str, value: Any, size: int) -> Array:
    """Numbers from 0 to below `size`, from an index, a slice or several; None is all."""
    every = np.arange(size)
    if value is None:
        return every
    if isinstance(value, slice):
        return every[value]
    chosen = np.atleast_1d(np.asarray(value))
    if chosen.size == 0 and chosen.ndim == 1:
        return every[:0]
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise TypeError(
            f"{name} must be an integer, a slice or a list of integers, received "
            f"{checks.shown(value)}"
        )
    if ((chosen < -size) | (chosen >= size)).any():
        raise ValueError(
            f"{name} must be from {-size} to {size - 1}, received {checks.shown(value)}: there "
            f"are {size}"
        )
    return every[chosen.astype(np.int64)]
