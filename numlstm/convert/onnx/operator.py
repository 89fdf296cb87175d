"""The LSTM operator of ONNX in numlstm's terms: names, constants, weights and attributes.

ONNX has the gates in the order i, o, f, c, peepholes in the order i, o, f, two biases, and keeps
constants of activations as float32.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numlstm.architecture.cell import ACTIVATIONS, USUAL, Activation, Cell
from numlstm.convert.gate_order import reordered
from numlstm.convert.tensors import with_one_bias
from numlstm.convert.weights import REVERSE_ONLY
from numlstm.utils.types import Array

ORDER = "iofg"
NAMES = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "affine": "Affine",
    "leaky_relu": "LeakyRelu",
    "thresholded_relu": "ThresholdedRelu",
    "scaled_tanh": "ScaledTanh",
    "hard_sigmoid": "HardSigmoid",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}
_OURS = {theirs.lower(): ours for ours, theirs in NAMES.items()}
KNOWN = {  # attributes, and their types as ONNX names them
    "activation_alpha": "FLOATS",
    "activation_beta": "FLOATS",
    "activations": "STRINGS",
    "clip": "FLOAT",
    "direction": "STRING",
    "hidden_size": "INT",
    "input_forget": "INT",
    "layout": "INT",
    "output_sequence": "INT",  # of the operator's first version
}


def cell_of(attributes: Mapping[str, Any], peephole: bool, dtype: str) -> tuple[Cell, int]:
    """The variant of a node, and its number of directions."""
    if unknown := sorted(attributes.keys() - KNOWN):
        raise ValueError(f"an LSTM of ONNX has no attribute {unknown[0]!r}, but {sorted(KNOWN)}")
    direction = text(attributes.get("direction", "forward")).lower()
    if direction == "reverse":
        raise ValueError(REVERSE_ONLY)
    if direction not in ("forward", "bidirectional"):
        raise ValueError(
            f"direction must be forward, reverse or bidirectional, received {direction!r}"
        )
    directions = 2 if direction == "bidirectional" else 1
    ways = _activations(attributes, directions, dtype)
    if ways[0] != ways[-1]:
        raise ValueError(
            "both directions must have the same activations, received "
            f"{' and '.join(str([str(one) for one in way]) for way in ways)}"
        )
    clip = attributes.get("clip")
    cell = Cell(
        forget_gate="coupled" if attributes.get("input_forget", 0) else "gate",
        peephole=peephole,
        activation_clip=None if clip is None else constant(clip, dtype),
        activations=ways[0],
    )
    return cell, directions


def text(value: Any) -> str:
    """A text of an attribute."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def constant(value: float, dtype: str) -> float:
    """A float32 of an attribute: for float32 networks the decimal number that was meant."""
    narrow = np.float32(value)
    return float(str(narrow)) if dtype == "float32" else float(narrow)


def _activations(
    attributes: Mapping[str, Any], directions: int, dtype: str
) -> list[tuple[Activation, ...]]:
    """Three for each direction; only those that have constants take them from the lists."""
    names = [text(one) for one in attributes.get("activations", ())]
    if not names:
        names = [NAMES[one.name] for one in USUAL] * directions
    if len(names) != 3 * directions:
        raise ValueError(f"activations must be {3 * directions}, received {names}")
    lists = [list(attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta")]
    read = []
    for name in names:
        if name.lower() not in _OURS:
            raise ValueError(f"activation {name!r} is none of {sorted(NAMES.values())}")
        ours = _OURS[name.lower()]
        defaults = ACTIVATIONS[ours]
        given = [
            constant(values.pop(0) if values else default, dtype)
            for values, default in zip(lists, defaults, strict=False)
        ]
        read.append(Activation(ours, *given))
    for name, values in zip(("alpha", "beta"), lists, strict=True):
        if values:
            raise ValueError(
                f"activation_{name} has {len(values)} more numbers than {names} take: only "
                "functions that have such a constant consume one"
            )
    return [tuple(read[3 * way : 3 * way + 3]) for way in range(directions)]


def layers_of(
    arrays: Mapping[str, Array], cell: Cell, directions: int, units: Any
) -> list[dict[str, Array]]:
    """The layers of a node from W, R, B, P and initial states (D, 1, H)."""
    R = arrays["R"]
    if R.ndim != 3 or R.shape[0] != directions or 4 * R.shape[2] != R.shape[1]:
        raise ValueError(f"R must have shape ({directions}, 4H, H), received {R.shape}")
    size = R.shape[2]
    if units is not None and units != size:
        raise ValueError(f"hidden_size is {units}, and R of shape {R.shape} has {size} units")
    W = arrays["W"]
    if W.ndim != 3 or W.shape[:2] != R.shape[:2]:
        raise ValueError(f"W must have shape ({directions}, {4 * size}, I), received {W.shape}")
    for name, count in ("B", 8), ("P", 3):
        if name in arrays and arrays[name].shape != (directions, count * size):
            raise ValueError(
                f"{name} must have shape ({directions}, {count * size}), received "
                f"{arrays[name].shape}"
            )
    return [_layer({n: a[way] for n, a in arrays.items()}, cell) for way in range(directions)]


def _layer(arrays: Mapping[str, Array], cell: Cell) -> dict[str, Array]:
    """One direction."""
    gates = "".join(cell.gates)  # where gates are coupled, the rows of f go
    layer = {
        "weight_ih": reordered(arrays["W"], ORDER, gates),
        "weight_hh": reordered(arrays["R"], ORDER, gates),
    }
    if "B" in arrays:
        for name, part in zip(("bias_ih", "bias_hh"), np.split(arrays["B"], 2), strict=True):
            layer[name] = reordered(part, ORDER, gates)
    if "P" in arrays:
        layer["peephole"] = reordered(arrays["P"], "iof", gates.replace("g", ""))
    for name in arrays.keys() & {"initial_h", "initial_c"}:
        layer[name] = arrays[name].reshape(-1)
    return with_one_bias(layer)


# ---- to ONNX ---------------------------------------------------------------------------------


def attributes_of(cell: Cell, directions: int, units: int) -> dict[str, Any]:
    """The attributes of a node."""
    attributes: dict[str, Any] = {"hidden_size": units}
    if directions == 2:
        attributes["direction"] = "bidirectional"
    if cell.forget_gate == "coupled":
        attributes["input_forget"] = 1
    if cell.activation_clip is not None:
        attributes["clip"] = cell.activation_clip
    if cell.activations != USUAL:
        functions = list(cell.activations) * directions
        attributes["activations"] = [NAMES[one.name] for one in functions]
        for place, name in enumerate(("alpha", "beta")):
            taken = [one for one in functions if len(ACTIVATIONS[one.name]) > place]
            if taken:
                attributes[f"activation_{name}"] = [getattr(one, name) for one in taken]
    return attributes


def require_constants(cell: Cell, dtype: str) -> None:
    """Refuse constants of float64 networks that ONNX would round."""
    if dtype == "float32":
        return
    named = [("activation_clip", cell.activation_clip or 0.0)]
    for one in cell.activations:
        named += [(f"{name} of {one.name}", getattr(one, name)) for name in ("alpha", "beta")]
    for name, value in named:
        if float(np.float32(value)) != value:
            raise ValueError(
                f"ONNX keeps constants of activations as float32, and {name}, {value:g}, is none: "
                f"in a float64 network write float(numpy.float32({value:g})), or use float32"
            )


def arrays_of(layers: Sequence[Mapping[str, Array]], cell: Cell) -> dict[str, Array]:
    """W, R, B and P of the directions of a level."""
    gates = "".join(cell.gates)

    def stacked(name: str, own: str, order: str) -> Array:
        return np.stack([_blocks(layer[name], own, order) for layer in layers])

    biases = stacked("bias", gates, ORDER)
    arrays = {
        "W": stacked("weight_ih", gates, ORDER),
        "R": stacked("weight_hh", gates, ORDER),
        "B": np.concatenate([biases, np.zeros_like(biases)], 1),
    }
    if cell.peephole:
        arrays["P"] = stacked("peephole", gates.replace("g", ""), "iof")
    return arrays


def _blocks(array: Array, order: str, wanted: str) -> Array:
    """Blocks in another order; those that are missing are 0."""
    blocks = dict(zip(order, np.split(array, len(order)), strict=True))
    zero = np.zeros_like(blocks["i"])
    return np.concatenate([blocks.get(gate, zero) for gate in wanted])
