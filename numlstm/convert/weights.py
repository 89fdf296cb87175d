"""Networks between numlstm and others: what every reader makes, and every writer reads."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import Dropout, LayerSpec, NetworkSpec
from numlstm.convert.sizes import (
    Layer,
    hidden_size,
    live_units,
    output_size,
    require_paddable,
    resized,
    with_units,
)
from numlstm.data.scaling import Scaling
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array

_OF_HEAD = ("weight", "bias", "direct")
REVERSE_ONLY = (
    "a layer that reads from the end alone is no layer of numlstm, which has it beside a forward "
    "one only: convert it as a forward layer, give it X[:, ::-1], of rows with lengths each "
    "reversed up to its own length, and turn its outputs round in the same way"
)


@dataclass(frozen=True)
class Weights:
    """A network of layers that may have sizes of their own, in numlstm's names and gate order.

    Parameters
    ----------
    layers : sequence of mapping
        From the input upwards, forward before reverse. Each has the parameters of
        `LayerSpec.shapes` by name, the gates in the order i, f, g, o: weight_ih (4H, I), weight_hh
        (4H, P), bias (4H,), peephole (3H,), gain, weight_hr (P, H), initial_h, initial_c. What is
        missing is 0, gains 1.
    head : mapping, optional
        weight (O, W) and bias (O,) of the linear head, which reads the last layer's W features;
        direct (O, I) where it reads the inputs too.
    directions : int
        2 where every layer has a reverse one beside it.
    cell : Cell
        The variant of the cells.
    output : {"sequence", "last"}
        Whether the counterpart returns all steps, or the last one.
    scaling : Scaling, optional
        The units of the data there.
    """

    layers: Sequence[Layer]
    head: Layer | None = None
    directions: int = 1
    cell: Cell = Cell()
    residual: bool = False
    dropout: Dropout = field(default_factory=Dropout)
    output: str = "sequence"
    scaling: Scaling | None = None

    def levels(self) -> Iterator[tuple[Layer, ...]]:
        """The directions of every layer, from the input upwards."""
        for start in range(0, len(self.layers), self.directions):
            yield tuple(self.layers[start : start + self.directions])


def to_model(weights: Weights, backend: str = "auto") -> LSTM:
    """The model of some weights, whose dtype it keeps."""
    weights = _filled(_checked(weights))
    _require_order(weights)
    weights = _padded(weights)
    spec = _spec(weights)
    spec.require_sense()
    theta = np.concatenate([part.ravel() for part in _parameters(weights, spec)])
    model = LSTM.from_spec(spec, backend, theta)
    model.output = weights.output
    if weights.scaling is not None:
        weights.scaling.require_fit(spec.input_size, spec.width, spec.static_size)
        model.scaling = weights.scaling
    return model


def weights_of(model: LSTM, *, crop: bool = False) -> Weights:
    """A model as others take it; with `crop` each layer without the dead units at its end."""
    spec, params = model.spec, model.params
    layers = []
    for level in range(spec.num_layers):
        for suffix in ("", "_reverse")[: spec.num_directions]:
            names = spec.layers[spec.num_directions * level].shapes
            layers.append({name: params[f"{name}_l{level}{suffix}"] for name in names})
    of_head = [name for name in _OF_HEAD if f"head_{name}" in params]
    head = {name: params[f"head_{name}"] for name in of_head} if spec.head else None
    weights = Weights(
        layers,
        head,
        directions=spec.num_directions,
        cell=spec.cell,
        residual=spec.residual,
        dropout=spec.dropout,
        output=model.output,
        scaling=network_scaling(model),
    )
    return _cropped(weights) if crop else weights


def network_scaling(model: LSTM) -> Scaling | None:
    """The units of all inputs of a network: mask channels, behind the features, have none."""
    scaling = model.scaling
    if scaling is None or model.filling is None:
        return scaling
    masks = np.zeros(model.spec.input_size - scaling.x_mean.size)
    return scaling._replace(
        x_mean=np.concatenate([scaling.x_mean, masks]),
        x_scale=np.concatenate([scaling.x_scale, masks + 1.0]),
    )


# ---- from others -----------------------------------------------------------------------------


def _checked(weights: Weights) -> Weights:
    """Plain arrays of one dtype, which is float64 where one of them is."""
    parts = [*weights.layers, *([weights.head] if weights.head else [])]
    arrays = [{name: _array(name, value) for name, value in part.items()} for part in parts]
    dtype = "float32"
    if any(value.dtype == np.float64 for part in arrays for value in part.values()):
        dtype = "float64"
    arrays = [{name: value.astype(dtype) for name, value in part.items()} for part in arrays]
    count = len(weights.layers)
    return replace(weights, layers=arrays[:count], head=arrays[count] if weights.head else None)


def _array(name: str, value: Any) -> Array:
    kind = np.asarray(value).dtype
    if kind.kind in "iub":
        raise TypeError(
            f"{name} has dtype {kind}, which stands for quantised weights: pass the floats that "
            "they stand for, scale * (value - zero_point)"
        )
    return checks.array(name, value, None)


def _filled(weights: Weights) -> Weights:
    """With all parameters that the cells have; biases, peepholes and states that are missing are 0.

    Refuses names that they do not have, and shapes that do not fit.
    """
    learned = any("initial_h" in layer or "initial_c" in layer for layer in weights.layers)
    projected = {"weight_hr" in layer for layer in weights.layers}
    if len(projected) > 1:
        raise ValueError("either all layers have a projection, weight_hr, or none")
    layers: list[dict[str, Array]] = []
    for index, layer in enumerate(weights.layers):
        name = f"layer {index // weights.directions}{' reverse' * (index % weights.directions)}"
        spec = _layer_spec(name, layer, weights.cell, learned)
        layers.append(_complete(name, layer, spec.shapes))
    head = weights.head
    if head is not None:
        inputs = weights.layers[0]["weight_ih"].shape[1] if weights.layers else 0
        head = _complete("the head", head, _head_shapes(head, inputs))
    return replace(weights, layers=layers, head=head)


def _layer_spec(name: str, layer: Layer, cell: Cell, learned: bool) -> LayerSpec:
    for key in ("weight_ih", "weight_hh"):
        if key not in layer:
            raise ValueError(f"{name} lacks {key}, received {sorted(layer)}")
        checks.shape(f"{key} of {name}", layer[key], ("4H" if len(cell.gates) == 4 else "3H", "n"))
    if "weight_hr" in layer:
        checks.shape(f"weight_hr of {name}", layer["weight_hr"], ("P", "H"))
    units, outputs = hidden_size(layer), output_size(layer)
    rows, gates = layer["weight_hh"].shape[0], len(cell.gates)
    if rows != gates * units:
        hint = "; where rows are inputs, as in x @ W, pass W.T" if outputs == gates * rows else ""
        raise ValueError(
            f"weight_hh of {name} must have shape ({gates}H, H), rows of the gates "
            f"{', '.join(cell.gates)}, or ({gates}H, P) beside weight_hr (P, H), received "
            f"{layer['weight_hh'].shape}{hint}"
        )
    dtype = layer["weight_ih"].dtype.name
    proj = outputs if "weight_hr" in layer else None
    static = layer["weight_is"].shape[-1] if "weight_is" in layer else None
    return LayerSpec(layer["weight_ih"].shape[1], units, dtype, proj, cell, learned, None, static)


def _head_shapes(head: Layer, inputs: int) -> dict[str, tuple[int, ...]]:
    if "weight" not in head:
        raise ValueError(f"the head lacks weight, received {sorted(head)}")
    checks.shape("weight of the head", head["weight"], ("O", "W"))
    outputs, _ = head["weight"].shape
    shapes = {"weight": head["weight"].shape, "bias": (outputs,)}
    return shapes | {"direct": (outputs, inputs)} if "direct" in head else shapes


def _complete(name: str, part: Layer, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """All parameters of these shapes, in their order."""
    if unknown := sorted(part.keys() - shapes.keys()):
        raise ValueError(
            f"{name} has {unknown[0]}, which its variant of the cell does not have, but "
            f"{list(shapes)}: say which variant it is, cell="
        )
    dtype = next(iter(part.values())).dtype
    complete = {}
    for key, shape in shapes.items():
        default = np.full(shape, 1.0 if key in ("gain", "cell_gain") else 0.0, dtype)
        complete[key] = part.get(key, default)
        checks.shape(f"{key} of {name}", complete[key], shape)
    return complete


def _require_order(weights: Weights) -> None:
    """Refuse layers of which one does not read what the one below gives."""
    if not weights.layers:
        raise ValueError("there is no layer")
    width = weights.layers[0]["weight_ih"].shape[1]
    for level, layers in enumerate(weights.levels()):
        for layer in layers:
            if layer["weight_ih"].shape[1] != width:
                below = f"layer {level - 1} gives" if level else "the other direction reads"
                raise ValueError(
                    f"layer {level} reads {layer['weight_ih'].shape[1]} features, weight_ih "
                    f"{layer['weight_ih'].shape}, and {below} {width}"
                )
        width = sum(map(output_size, layers))
    if weights.head is not None and weights.head["weight"].shape[1] != width:
        raise ValueError(
            f"the head reads {weights.head['weight'].shape[1]} features, weight "
            f"{weights.head['weight'].shape}, and the last layer gives {width}"
        )


def _padded(weights: Weights) -> Weights:
    """All layers with the units of the largest one; a head takes the padding out again."""
    units = max(map(hidden_size, weights.layers))
    outputs = max(map(output_size, weights.layers))
    sizes = {(hidden_size(layer), output_size(layer)) for layer in weights.layers}
    if sizes == {(units, outputs)}:
        return weights
    require_paddable(weights.cell)
    if weights.residual:
        raise ValueError("residual layers must have the same number of units")
    layers: list[Layer] = []
    below: list[int] = []  # sizes of what the layer below gives
    for level in weights.levels():
        for layer in level:
            padded = with_units(layer, weights.cell, units, outputs)
            if below:
                padded["weight_ih"] = resized(padded["weight_ih"], 1, below, outputs)
            layers.append(padded)
        below = [output_size(layer) for layer in level]
    head = weights.head
    if head is None and below != [outputs] * len(below):  # one that passes on what is not padding
        width, dtype = sum(below), layers[0]["bias"].dtype
        head = {"weight": np.eye(width, dtype=dtype), "bias": np.zeros(width, dtype)}
    if head is not None:
        head = {**head, "weight": resized(head["weight"], 1, below, outputs)}
    return replace(weights, layers=layers, head=head)


def _spec(weights: Weights) -> NetworkSpec:
    first, head = weights.layers[0], weights.head
    count = len(weights.layers) // weights.directions
    return NetworkSpec(
        input_size=first["weight_ih"].shape[1],
        hidden_size=hidden_size(first),
        output_size=None if head is None else head["weight"].shape[0],
        num_layers=count,
        dtype=first["weight_ih"].dtype.name,
        bidirectional=weights.directions == 2,
        residual=weights.residual,
        proj_size=output_size(first) if "weight_hr" in first else None,
        cell=weights.cell,
        learned_state="initial_h" in first,
        dropout=weights.dropout if count > 1 else replace(weights.dropout, layers=0.0),
        static_size=first["weight_is"].shape[1] if "weight_is" in first else None,
        direct_input=head is not None and "direct" in head,
    )


def _parameters(weights: Weights, spec: NetworkSpec) -> Iterator[Array]:
    """All parameters in the order of the flat vector."""
    for layer, own in zip(weights.layers, spec.layers, strict=True):
        for name, shape in own.shapes.items():
            assert layer[name].size == math.prod(shape)
            yield layer[name]
    if weights.head is not None:
        yield from (weights.head[name] for name in _OF_HEAD if name in weights.head)


# ---- to others -------------------------------------------------------------------------------


def _cropped(weights: Weights) -> Weights:
    """Without the dead units at the ends of layers, as reading others puts them there."""
    cell, levels = weights.cell, list(weights.levels())
    units, count = hidden_size(weights.layers[0]), weights.directions
    reads = [_side_by_side(level, "weight_ih") for level in levels[1:]]
    if weights.head is None or weights.residual or "weight_hr" in weights.layers[0]:
        return weights  # what returns its hidden state, or adds it to others, shows all units
    reads.append(weights.head["weight"])
    live = [
        [
            live_units(layer, cell, read)
            for layer, read in zip(level, np.split(read, count, 1), strict=True)
        ]
        for level, read in zip(levels, reads, strict=True)
    ]
    sizes = [max(level) for level in live]
    if max(sizes) < units or min(sizes) == 0:  # then no reading of others made them
        return weights
    layers: list[Layer] = []
    head = dict(weights.head)
    for index, (level, size) in enumerate(zip(levels, sizes, strict=True)):
        for layer in level:
            cropped = with_units(layer, cell, size, size)
            if index:
                cropped["weight_ih"] = resized(
                    cropped["weight_ih"], 1, [units] * count, sizes[index - 1]
                )
            layers.append(cropped)
    head["weight"] = resized(head["weight"], 1, [units] * count, sizes[-1])
    return replace(weights, layers=layers, head=head)


def _side_by_side(level: Sequence[Layer], name: str) -> Array:
    """The rows of all directions."""
    return np.concatenate([layer[name] for layer in level])
