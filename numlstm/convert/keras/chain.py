"""The weights of LSTM layers of Keras that stand one behind the other."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.cell import Activations, Cell
from numlstm.convert.keras.activations import activations_of, name_of
from numlstm.convert.keras.files import Description, Layer, class_of
from numlstm.convert.weights import Weights
from numlstm.data.scaling import Scaling
from numlstm.utils import notices
from numlstm.utils.types import Array

_IDLE = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout",
         "ActivityRegularization")  # fmt: skip
_OF_MASKS = ("NotEqual", "Any")  # of a Masking layer
_AT_EVERY_STEP = ("Dense", "Activation", "Softmax")
_OF_LOGITS = ("softmax", "sigmoid")
_REFUSED = {
    "Lambda": "a Lambda runs code of its own",
    "LayerNormLSTMCell": "TensorFlow Addons' cell normalises the two products separately, and "
    "numlstm their sum: no weights make one of the other",
    "LayerNormBasicLSTMCell": "this cell carries the normalised cell on to the next step, and "
    "numlstm the cell as it is: no weights make one of the other",
    "CuDNNLSTM": "load it in Keras 2, which makes it an LSTM, and save that",
    "QuantizeWrapper": "it is quantised, and numlstm computes with floats",
}
_MASKING = (
    "{} is not converted: where sequences are padded at their end, give their "
    "lengths=, as lengths_of_mask makes them of a mask; padding elsewhere has no form here"
)
_GO_BACKWARDS = (
    "{!r} reads from the end alone, go_backwards=True, and numlstm has such a layer beside a "
    "forward one only: convert it with go_backwards=False and give it X[:, ::-1], of padded rows "
    "each reversed up to its own length; as in Keras its outputs are then in the reversed order"
)
_STATEFUL = (
    "{!r} goes on from the states of the batch before, stateful=True, which stays behind: here "
    "every call starts anew, unless it gets predict(X, state=...)"
)


class Recurrent(NamedTuple):
    """One LSTM of a chain, in both directions if it has them."""

    layers: tuple[dict[str, Array], ...]
    activations: Activations
    returns_sequences: bool


class Chain(NamedTuple):
    """The LSTMs of a model, with the head behind them, and the activation of this."""

    weights: Weights
    head_activation: str


def read_chain(description: Description, logits: bool) -> Chain:
    """The LSTMs of a description, and the head behind them."""
    reader = _Reader(new=int(description.version.partition(".")[0] or 0) >= 3)
    layers = _ordered(description.layers)
    for layer in layers:
        reader.take(layer)
    masked = [layer.name for layer in layers if layer.has_mask]
    if masked and not any(layer.kind == "Masking" for layer in layers):
        notices.warn(_MASKING.format(f"the mask that {masked} were called with"))
    if not reader.lstms:
        raise ValueError(f"there is no LSTM among {[layer.kind for layer in description.layers]}")
    if description.outputs is not None:
        reader.end(layers[-1].name, description.outputs)
    activation = reader.activation
    if activation != "linear" and not (logits and activation in _OF_LOGITS):
        raise ValueError(
            f"the outputs go through {activation!r}, and those of numlstm are linear"
            + ("; logits=True leaves it out" if activation in _OF_LOGITS else "")
        )
    return Chain(reader.weights(), activation)


class _Reader:
    """The layers of a chain, which it takes one by one, from the input on."""

    def __init__(self, new: bool) -> None:
        self.new = new  # whether Keras 3, or a newer one, gave the names of activations
        self.lstms: list[Recurrent] = []
        self.head: dict[str, Array] | None = None
        self.activation = "linear"
        self.units: list[tuple[bool, Layer]] = []  # whether it is behind the LSTMs

    def take(self, layer: Layer) -> None:
        """Read a layer behind those that were taken, or refuse it."""
        layer = _unwrapped(layer)
        kind, behind = _kind(layer), bool(self.lstms)
        rates = (_option(layer.config, name) for name in ("dropout", "recurrent_dropout"))
        if layer.is_random and (kind in _IDLE or any(rates)):
            raise ValueError(f"{layer.name!r} was called with training=True: it is random there")
        if kind in _IDLE:
            return
        if self.units and self.units[-1][0]:
            raise ValueError(
                f"{layer.name!r} reads {self.units[-1][1].name!r}, a Normalization with "
                "invert=True: numlstm converts the units behind everything else"
            )
        if kind == "Masking":
            notices.warn(_MASKING.format(f"the layer {layer.name!r}"))
        elif kind == "Normalization" and self._may_be_units(behind, layer):
            self.units.append((behind, layer))
        elif kind == "LSTM" and self._is_open():
            if behind and not self.lstms[-1].returns_sequences:
                raise ValueError(f"{layer.name!r} reads a layer that does not return sequences")
            self.lstms.append(_recurrent(layer, self.new))
            if _option(layer.config, "stateful"):
                notices.warn(_STATEFUL.format(layer.name))
        elif kind == "Dense" and behind and self._is_open():
            self.head, self.activation = _dense(layer)
        elif kind == "Activation" and behind and self.activation == "linear":
            self.activation = name_of(layer.config.get("activation"))
        elif kind == "Softmax" and behind and self.activation == "linear":
            if (axis := layer.config.get("axis", -1)) not in (-1, [-1]):
                raise ValueError(f"{layer.name!r} must have axis=-1, received axis={axis}")
            self.activation = "softmax"
        else:
            raise ValueError(_refusal(layer, kind, behind))

    def end(self, last: str, outputs: Sequence[tuple[str, int]]) -> None:
        """Check that a model returns what its last layer gives, and say what else it does."""
        (name, index), *others = outputs
        if name != last:
            raise ValueError(
                f"the model returns what {name!r} gives, and goes on to {last!r}: which one? "
                "keras.Model(model.inputs, model.outputs[0]) is a model of the first one alone"
            )
        if index == 1 and len(self.lstms[-1].layers) == 1:  # h after the last step
            self.lstms[-1] = self.lstms[-1]._replace(returns_sequences=False)
        elif index:
            raise ValueError(
                f"the model returns the output {index} of {name!r}, a state: numlstm has states as "
                "the second result of forward; make a model of what the layer gives at first"
            )
        left = [other for other, number in others if not number and other != last]
        if left:
            notices.warn(
                f"the model returns what {left} give, too, which stays behind: predict gives what "
                f"{last!r} does"
            )

    def _may_be_units(self, behind: bool, layer: Layer) -> bool:
        """Whether a Normalization is one of the inputs, or of the outputs."""
        return (
            (self.activation == "linear") if behind and layer.config.get("invert") else not behind
        )

    def _is_open(self) -> bool:
        """Whether there may still be a layer with weights."""
        return self.head is None and self.activation == "linear"

    def weights(self) -> Weights:
        """The weights of all of them."""
        directions = {len(lstm.layers) for lstm in self.lstms}
        activations = {lstm.activations for lstm in self.lstms}
        scaling = _scaling(self.units, self._sizes())
        if len(directions) > 1:
            raise ValueError("all LSTMs must be in a Bidirectional, or none")
        if len(activations) > 1:
            raise ValueError("all LSTMs must have the same activations")
        return Weights(
            [layer for lstm in self.lstms for layer in lstm.layers],
            self.head,
            directions=directions.pop(),
            cell=Cell(activations=activations.pop()),
            output="sequence" if self.lstms[-1].returns_sequences else "last",
            scaling=scaling,
        )

    def _sizes(self) -> tuple[int, int]:
        """How many inputs and outputs there are."""
        outputs = sum(layer["weight_hh"].shape[1] for layer in self.lstms[-1].layers)
        if self.head is not None:
            outputs = self.head["weight"].shape[0]
        return self.lstms[0].layers[0]["weight_ih"].shape[1], outputs


# ---- the order of the layers -----------------------------------------------------------------


def _ordered(layers: list[Layer]) -> list[Layer]:
    """The layers from the input on; each must read the one before."""
    if all(layer.parents is None for layer in layers):
        return layers
    layers = _without_masks(layers)
    chain, rest = [], list(layers)
    for layer in [layer for layer in layers if not layer.parents]:
        chain.append(layer)
        rest.remove(layer)
    if len(chain) != 1:
        raise ValueError(f"the model has {len(chain)} inputs, and numlstm reads one")
    while rest:
        following = [layer for layer in rest if _reads(layer, chain[-1].name)]
        if len(following) != 1:
            names = [layer.name for layer in rest]
            raise ValueError(
                f"the model is no chain of layers: behind {chain[-1].name!r} there are "
                f"{[layer.name for layer in following]}, of {names}; pass an LSTM layer itself"
            )
        chain.append(following[0])
        rest.remove(following[0])
    return chain


def _without_masks(layers: list[Layer]) -> list[Layer]:
    """Without the operations that make masks of the inputs, which no layer reads but as masks."""
    while True:
        read = {name for layer in layers for name, _ in layer.parents or ()}
        kept = [one for one in layers if one.kind not in _OF_MASKS or one.name in read]
        if len(kept) == len(layers):
            return kept
        layers = kept


def _reads(layer: Layer, name: str) -> bool:
    parents = layer.parents or []
    if any(parent == name for parent, _ in parents) and (
        len(parents) > 1 or parents[0] != (name, 0)
    ):
        raise ValueError(
            f"{layer.name!r} reads {parents}, more than the output of one layer: states that go "
            "from layer to layer are an argument here, predict(X, state=...); pass each LSTM layer "
            "by itself"
        )
    return (name, 0) in parents


# ---- layer by layer --------------------------------------------------------------------------


def _unwrapped(layer: Layer) -> Layer:
    """The layer in a TimeDistributed, of those that do the same at every step without it."""
    inner = _inner(layer.config, "layer") if layer.kind == "TimeDistributed" else None
    if inner is None or inner[0] not in (*_AT_EVERY_STEP, *_IDLE):
        return layer
    return layer._replace(kind=inner[0], config={**inner[1], "name": layer.name})


def _kind(layer: Layer) -> str:
    """The kind of a layer, whatever is wrapped around it."""
    inner = _inner(layer.config, "layer")
    if layer.kind == "TimeDistributed" and inner is not None:
        return f"TimeDistributed of {inner[0]}"
    if layer.kind == "Bidirectional" and inner is not None:
        kinds = {_kind(Layer(*inner, ()))}
        if (other := _inner(layer.config, "backward_layer")) is not None:
            kinds.add(_kind(Layer(*other, ())))
        return kinds.pop() if len(kinds) == 1 else f"Bidirectional of {sorted(kinds)}"
    if layer.kind == "RNN" and (cell := _inner(layer.config, "cell")) is not None:
        return "LSTM" if cell[0] == "LSTMCell" else str(cell[0])
    return "LSTM" if layer.kind == "LSTMCell" else layer.kind


def _inner(config: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]] | None:
    """Class and configuration of a layer inside another one."""
    entry = config.get(name)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("config"), Mapping):
        return None
    return class_of(entry), entry["config"]


def _option(config: Mapping[str, Any], name: str) -> bool:
    """Whether an option is set, of a layer or of one inside it."""
    inner = [_inner(config, part) for part in ("layer", "backward_layer", "cell")]
    return bool(config.get(name)) or any(_option(one[1], name) for one in inner if one is not None)


def _refusal(layer: Layer, kind: str, behind: bool) -> str:
    name = re.split("[.>]", kind)[-1]
    if name in _REFUSED:
        return f"the layer {layer.name!r} is refused: {_REFUSED[name]}"
    if name != kind:
        return f"the layer {layer.name!r} is refused: {kind} is a class of its own, not of Keras"
    where = "behind the LSTM, but one Dense," if behind else "before the LSTM"
    remedy = "pass the LSTM layer alone" if behind else "give its outputs as X, and pass the rest"
    return f"numlstm has no layer {where} for {layer.name!r}, {kind}: {remedy}"


def _recurrent(layer: Layer, new: bool) -> Recurrent:
    """An LSTM, or a Bidirectional of one."""
    config, weights = layer.config, [np.asarray(value) for value in layer.weights]
    if layer.kind != "Bidirectional":
        own = _of_cell(config)
        if own.get("go_backwards"):
            raise ValueError(_GO_BACKWARDS.format(layer.name))
        sequences = bool(own.get("return_sequences", layer.kind == "LSTMCell"))
        return Recurrent(
            (_parameters(layer.name, own, weights),), activations_of(own, new), sequences
        )
    if config.get("merge_mode") != "concat":
        raise ValueError(
            f"{layer.name!r} merges its directions by {config.get('merge_mode')!r}, and numlstm "
            "puts them side by side, merge_mode='concat'"
        )
    inner = _inner(config, "layer")
    assert inner is not None
    forward = _of_cell(inner[1])
    other = _inner(config, "backward_layer")
    backward = {**forward, "go_backwards": True} if other is None else _of_cell(other[1])
    if forward.get("go_backwards") or not backward.get("go_backwards"):
        raise ValueError(f"the first layer of {layer.name!r} must go forward, the other backwards")
    activations = activations_of(forward, new)
    if activations_of(backward, new) != activations:
        raise ValueError(f"the directions of {layer.name!r} have different activations")
    half = 3 if forward.get("use_bias", True) else 2
    halves = (forward, weights[:half]), (backward, weights[half:])
    both = tuple(_parameters(layer.name, own, part) for own, part in halves)
    return Recurrent(both, activations, bool(forward.get("return_sequences")))


def _of_cell(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of an RNN with that of its cell."""
    cell = _inner(config, "cell")
    return config if cell is None else {**cell[1], **config}


def _parameters(name: str, config: Mapping[str, Any], weights: Sequence[Array]) -> dict[str, Array]:
    """Parameters in numlstm's layout; Keras has the gates in the same order."""
    if config.get("time_major"):
        raise ValueError(f"{name!r} reads steps first, time_major=True: set it to False")
    wanted = 3 if config.get("use_bias", True) else 2
    if len(weights) != wanted or any(np.ndim(kernel) != 2 for kernel in weights[:2]):
        shapes = [np.shape(array) for array in weights]
        raise ValueError(
            f"{name!r} must have a kernel (I, 4H), a recurrent kernel (H, 4H) and a bias (4H,), "
            f"received shapes {shapes}"
        )
    named = {"weight_ih": weights[0].T, "weight_hh": weights[1].T}
    return named | ({"bias": weights[2]} if wanted == 3 else {})


def _dense(layer: Layer) -> tuple[dict[str, Array], str]:
    names = ("weight", "bias") if layer.config.get("use_bias", True) else ("weight",)
    arrays = [np.asarray(array) for array in layer.weights]
    if len(arrays) != len(names) or any(array.dtype.kind != "f" for array in arrays):
        found = [f"{array.dtype}{array.shape}" for array in arrays]
        raise ValueError(
            f"{layer.name!r} must have floats alone, a kernel (W, O) and a bias (O,), received "
            f"{found}: quantised layers are refused, and LoRA is merged by a .keras file"
        )
    if arrays[0].ndim != 2:
        raise ValueError(f"{layer.name!r} has no kernel (W, O)")
    named = dict(zip(names, arrays, strict=True))
    return {**named, "weight": arrays[0].T}, name_of(layer.config.get("activation"))


def _scaling(units: list[tuple[bool, Layer]], sizes: tuple[int, int]) -> Scaling | None:
    """What Normalization layers do, before and behind the LSTMs."""
    before = [layer for behind, layer in units if not behind]
    behind = [layer for behind, layer in units if behind]
    if len(before) > 1 or len(behind) > 1 or any(layer.config.get("invert") for layer in before):
        raise ValueError("a Normalization may stand first, and one with invert=True last")
    if not units:
        return None
    x = _moments(before[0], sizes[0]) if before else None
    y = _moments(behind[0], sizes[1]) if behind else (None, None)
    if x is None:
        raise ValueError("a Normalization with invert=True needs one before the LSTM")
    return Scaling(*x, *y)


def _moments(layer: Layer, size: int) -> tuple[Array, Array]:
    """Mean and scale of a Normalization, which keeps the variance."""
    mean, variance = (_numbers(layer.config.get(name)) for name in ("mean", "variance"))
    if mean is None or variance is None:
        if len(layer.weights) < 2:
            raise ValueError(f"{layer.name!r} has no mean and variance: adapt it to data")
        mean, variance = (np.asarray(part) for part in layer.weights[:2])
    scale = np.maximum(np.sqrt(np.asarray(variance, np.float64)), 1e-7)
    return _of_features(layer, mean, size), _of_features(layer, scale, size)


def _of_features(layer: Layer, numbers: Array, size: int) -> Array:
    """A number for each feature, which may be one for all, of the axis None."""
    axis = layer.config.get("axis", -1)
    axes = axis if isinstance(axis, (list, tuple)) else [] if axis is None else [axis]
    numbers = np.asarray(numbers, np.float64)
    if numbers.size == 1:
        return np.full(size, numbers.item())
    if len(axes) != 1 or axes[0] not in (-1, 2) or numbers.size != size:
        raise ValueError(
            f"{layer.name!r} must have a mean and a variance of each of {size} features, or one "
            f"for all, received shape {numbers.shape} for axis={axis}"
        )
    return numbers.reshape(size)


def _numbers(value: Any) -> Array | None:
    if isinstance(value, Mapping):  # an array in a configuration
        value = value.get("config", {}).get("value")
    return None if value is None else np.asarray(value)
