"""Layers of different sizes as layers of one size, with dead units; and without them again.

A dead unit has weights and biases of 0, and nothing reads it: its cell and its hidden state stay 0,
and so do its gradients.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from numlstm.architecture.cell import ACTIVATIONS, UNIT_PARAMETERS, Activation, Cell
from numlstm.utils.types import Array

Layer = Mapping[str, Array]  # one layer in one direction: its parameters, named as in `LayerSpec`


def hidden_size(layer: Layer) -> int:
    """The number of units, H."""
    return int((layer["weight_hr"] if "weight_hr" in layer else layer["weight_hh"]).shape[1])


def output_size(layer: Layer) -> int:
    """The number of features of the hidden state, P."""
    return int(layer["weight_hh"].shape[1])


def resized(array: Array, axis: int, widths: Sequence[int], size: int) -> Array:
    """Blocks of some widths along an axis, each cut to `size` or filled up to it with zeros."""
    parts = []
    for block in np.split(array, np.cumsum(widths)[:-1], axis):
        kept = np.take(block, range(min(size, block.shape[axis])), axis)
        missing = [(0, 0)] * array.ndim
        missing[axis] = (0, size - kept.shape[axis])
        parts.append(np.pad(kept, missing))
    return np.concatenate(parts, axis)


def with_units(layer: Layer, cell: Cell, units: int, outputs: int) -> dict[str, Array]:
    """A layer with another number of units and of features of its hidden state."""
    own, width, gates = hidden_size(layer), output_size(layer), len(cell.gates)
    unit_blocks = {p.name: len(p.parts(cell.gates)) for p in UNIT_PARAMETERS}
    changed = dict(layer)
    for name in layer.keys() & {"weight_ih", "weight_hh", "bias", "weight_is"}:
        changed[name] = resized(layer[name], 0, [own] * gates, units)
    for name in layer.keys() & unit_blocks.keys():
        changed[name] = resized(layer[name], 0, [own] * unit_blocks[name], units)
    changed["weight_hh"] = resized(changed["weight_hh"], 1, [width], outputs)
    if "weight_hr" in layer:
        changed["weight_hr"] = resized(
            resized(layer["weight_hr"], 0, [width], outputs), 1, [own], units
        )
    for name, size in ("initial_h", outputs), ("initial_c", units):
        if name in layer:
            changed[name] = resized(layer[name], 0, [layer[name].size], size)
    return changed


def require_paddable(cell: Cell) -> None:
    """Refuse cells in which a unit without weights does something."""
    if cell.layer_norm:
        raise ValueError(
            "layers of different sizes are padded with dead units, which layer normalisation would "
            "count: give all layers the same number of units"
        )
    for name, activation in zip(("candidate", "output"), cell.activations[1:], strict=True):
        if _at_zero(activation):
            raise ValueError(
                "layers of different sizes are padded with dead units, whose weights are 0, and "
                f"{activation.name} of 0, as the activation of the {name}, is not 0: give all "
                "layers the same number of units"
            )


def _at_zero(activation: Activation) -> bool:
    """Whether an activation of 0 is something else."""
    if activation.name in ("sigmoid", "softplus"):
        return True
    constants = len(ACTIVATIONS[activation.name])
    return constants == 2 and activation.name != "scaled_tanh" and bool(activation.beta)


def live_units(layer: Layer, cell: Cell, read: Array) -> int:
    """The number of units up to the last that is not dead; `read` is what reads them, (R, P)."""
    units = hidden_size(layer)
    if cell.layer_norm or units != output_size(layer):
        return units
    rows = [
        value.reshape(-1, units, *value.shape[1:]).swapaxes(0, 1).reshape(units, -1)
        for name, value in layer.items()
        if name not in ("weight_hr",)
    ]
    rows += [layer["weight_hh"].T, read.T]
    live = np.flatnonzero(np.concatenate(rows, 1).view(f"u{rows[0].itemsize}").any(1))  # -0.0 too
    return int(live[-1]) + 1 if live.size else 0
