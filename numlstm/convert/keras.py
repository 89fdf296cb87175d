"""Networks from and to Keras: layers, models and their files."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.cell import Activation, Activations, Cell
from numlstm.convert.check import Outputs, verify
from numlstm.convert.extras import require
from numlstm.convert.keras_files import Description, Layer, plain_layers, read_file
from numlstm.convert.parts import require_parts
from numlstm.convert.weights import Weights, to_model, weights_of
from numlstm.data.scaling import Scaling
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, files, notices
from numlstm.utils.types import Array

SIDE = "Keras"
EXTRA = "keras"
HAS = ("bidirectional", "num_layers", "head", "scaling", "activations")

# names of Keras that mean the same in every version; "hard_sigmoid" does not
_ACTIVATIONS = {
    "sigmoid": Activation("sigmoid"),
    "tanh": Activation("tanh"),
    "relu": Activation("relu"),
    "linear": Activation("affine"),
    "elu": Activation("elu"),
    "softsign": Activation("softsign"),
    "softplus": Activation("softplus"),
}
_HARD_SIGMOID = {True: Activation("hard_sigmoid", 1 / 6), False: Activation("hard_sigmoid", 0.2)}
_IDLE = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout",
         "ActivityRegularization")  # fmt: skip
_OF_MASKS = ("NotEqual", "Any")  # of a Masking layer
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


class Recurrent(NamedTuple):
    """One LSTM of a chain, in both directions if it has them."""

    layers: tuple[dict[str, Array], ...]
    activations: Activations
    returns_sequences: bool


class Chain(NamedTuple):
    """What is converted of a model: LSTMs one behind the other, and what stands around them."""

    lstms: list[Recurrent]
    head: dict[str, Array] | None
    head_activation: str
    scaling: Scaling | None


def from_keras(
    source: Any, *, logits: bool = False, check: bool = True, backend: str = "auto"
) -> LSTM:
    """A network from Keras: an LSTM layer, a model of LSTM layers, or its file.

    Parameters
    ----------
    source : keras.Layer, keras.Model, or path
        An LSTM, or a Bidirectional of one; a Sequential or Functional model that is a chain of
        them, of the same activations, with a Dense behind them if there is one, and a
        Normalization at either end; or the .keras or .h5 file of such a model. A file is read
        without Keras, and nothing in it is executed.
    logits : bool, optional
        Leave out the softmax or sigmoid of the last layer: the outputs are its logits, as those of
        networks with the losses "cross_entropy" and "binary_cross_entropy".
    check : bool, optional
        Run a random batch through both, and raise where the results differ beyond rounding.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs.

    Returns
    -------
    model : LSTM
        The network, of the dtype of the weights. Where the last LSTM does not return sequences,
        `predict` returns the last output. Layers of different sizes are padded with dead units, as
        by `from_arrays`. Rates of dropout stay behind.

    Raises
    ------
    ValueError
        For a layer that numlstm does not have; the message names it.
    StorageError
        The same, of a file; and for one that is damaged, or not of Keras.
    RuntimeError
        Where both sides compute something else.

    Warns
    -----
    UserWarning
        Where there is no Keras to check against; and of a Masking layer, of which numlstm's form is
        the argument `lengths`: see `lengths_of_mask`.

    Examples
    --------
    >>> from numlstm.convert import from_keras
    >>> model = from_keras("network.keras")  # doctest: +SKIP
    """
    logits, description = checks.flag("logits", logits), _described(source)
    of_file = not hasattr(source, "get_weights")
    with files.refusing(source) if of_file else contextlib.nullcontext():
        chain = _chain(description, logits)
        model = to_model(_weights(chain), backend)
    if checks.flag("check", check):
        _verify(model, chain, source)
    return model


def to_keras(model: LSTM, *, check: bool = True) -> Any:
    """A keras.Sequential that computes what a model predicts.

    Parameters
    ----------
    model : LSTM
        The network. Rates of dropout stay behind.
    check : bool, optional
        Run a random batch through both, and raise where the results differ beyond rounding.

    Returns
    -------
    network : keras.Sequential
        An LSTM for each layer, in a Bidirectional if there are two directions, a Dense for the head
        and a Normalization at either end for the units of the data. Of a model with
        ``output="last"`` it returns the last output.

    Raises
    ------
    ValueError
        For a model with a part that Keras lacks; the message names it.
    RuntimeError
        Where both sides compute something else.
    ImportError
        Where there is no Keras.

    Examples
    --------
    >>> import numlstm
    >>> from numlstm.convert import to_keras
    >>> to_keras(numlstm.LSTM(3, 8, 2, proj_size=4, rng=0))
    Traceback (most recent call last):
    ValueError: Keras lacks a part of this model: proj_size=4
    """
    require_parts(model, SIDE, HAS)
    names = _names(model.cell.activations)
    keras = require("keras", EXTRA, "to_keras")
    chain = _chain_of(model)
    network = _built(keras, chain, names, model)
    if checks.flag("check", check):
        verify(model, SIDE, lambda X: Outputs(_run(network, X)), precision=_precision(model))
    return network


def lengths_of_mask(mask: Any) -> Array:
    """The lengths of sequences whose mask, as Keras has it, is that of padding at their end.

    Parameters
    ----------
    mask : array_like of bool, shape (B, T)
        True where a step counts.

    Returns
    -------
    lengths : ndarray of int, shape (B,)
        What `forward`, `predict` and `fit` take as `lengths`.

    Raises
    ------
    ValueError
        For a mask with padding before a step that counts, which carries the state over it: numlstm
        has no such thing.

    Examples
    --------
    >>> from numlstm.convert import lengths_of_mask
    >>> lengths_of_mask([[True, True, False], [True, True, True]])
    array([2, 3])
    """
    shape = np.shape(mask)
    if len(shape) != 2:
        raise ValueError(f"mask must have shape (B, T), received {shape}")
    steps: Array = checks.flags("mask", mask, shape)
    bad = np.flatnonzero((~steps[:, :-1] & steps[:, 1:]).any(1))
    if bad.size:
        raise ValueError(
            f"mask must be that of padding at the end of every row, and row {bad[0]} has padding "
            "before a step that counts: remove it, or put it behind the sequence"
        )
    lengths: Array = steps.sum(1)
    return lengths


# ---- describing ------------------------------------------------------------------------------


def _described(source: Any) -> Description:
    """The layers of a file, a model or a layer."""
    if isinstance(source, (str, bytes, os.PathLike)) or hasattr(source, "read"):
        return read_file(source)
    if not hasattr(source, "get_config") or not hasattr(source, "get_weights"):
        raise TypeError(
            f"source must be a layer or model of Keras, or a path, received {type(source).__name__}"
        )
    kind, version = type(source).__name__, _version(source)
    if not hasattr(source, "layers"):
        return Description([Layer(kind, source.get_config(), source.get_weights())], version)
    if kind == "Model":
        kind = "Functional"
    layers = [
        Layer(name, config, _weights_of_layer(source, config), parents)
        for name, config, parents in plain_layers(
            {"class_name": kind, "config": source.get_config()}
        )
    ]
    return Description(layers, version)


def _weights_of_layer(model: Any, config: Mapping[str, Any]) -> Sequence[Array]:
    named = {layer.name: layer for layer in model.layers}
    layer = named.get(config["name"])
    return [] if layer is None else list(layer.get_weights())


def _version(source: Any) -> str:
    """The version of the Keras that an object is of."""
    for base in type(source).__mro__:
        root = base.__module__.partition(".")[0]
        if root in ("keras", "tf_keras"):
            return str(getattr(sys.modules.get(root), "__version__", "3"))
    return "2"  # of TensorFlow before there was a package of its own


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


# ---- reading ---------------------------------------------------------------------------------


def _chain(description: Description, logits: bool) -> Chain:
    """The LSTMs of a description, and the head behind them."""
    new = int(description.version.partition(".")[0] or 0) >= 3
    lstms: list[Recurrent] = []
    head: dict[str, Array] | None = None
    activation, units = "linear", list[tuple[bool, Layer]]()
    for layer in _ordered(description.layers):
        kind = _kind(layer)
        if kind in _IDLE:
            continue
        if kind == "Masking":
            notices.warn(
                f"the layer {layer.name!r} is not converted: where sequences are padded at their "
                "end, give their lengths=, as lengths_of_mask makes them of a mask; padding "
                "elsewhere has no form here"
            )
        elif kind == "Normalization" and (not lstms or layer.config.get("invert")):
            units.append((bool(lstms), layer))
        elif kind == "LSTM" and head is None and activation == "linear":
            if lstms and not lstms[-1].returns_sequences:
                raise ValueError(f"{layer.name!r} reads a layer that does not return sequences")
            lstms.append(_recurrent(layer, new))
        elif kind == "Dense" and lstms and head is None and activation == "linear":
            head, activation = _dense(layer)
        elif kind == "Activation" and lstms and activation == "linear":
            activation = _name(layer.config.get("activation"))
        else:
            raise ValueError(_refusal(layer, kind, bool(lstms)))
    if not lstms:
        raise ValueError(f"there is no LSTM among {[layer.kind for layer in description.layers]}")
    if activation != "linear" and not (logits and activation in _OF_LOGITS):
        raise ValueError(
            f"the outputs go through {activation!r}, and those of numlstm are linear"
            + ("; logits=True leaves it out" if activation in _OF_LOGITS else "")
        )
    return Chain(lstms, head, activation, _scaling(units))


def _kind(layer: Layer) -> str:
    """What a layer is, whatever is wrapped around it."""
    inner = _inner(layer.config, "layer")
    if layer.kind == "TimeDistributed" and inner is not None:
        return str(inner[0])
    if layer.kind == "Bidirectional" and inner is not None:
        return _kind(Layer(*inner, ()))
    if layer.kind == "RNN" and (cell := _inner(layer.config, "cell")) is not None:
        return "LSTM" if cell[0] == "LSTMCell" else str(cell[0])
    return "LSTM" if layer.kind == "LSTMCell" else layer.kind


def _inner(config: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]] | None:
    """Class and configuration of a layer inside another one."""
    entry = config.get(name)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("config"), Mapping):
        return None
    return str(entry.get("class_name")), entry["config"]


def _refusal(layer: Layer, kind: str, behind: bool) -> str:
    if kind in _REFUSED:
        return f"the layer {layer.name!r} is refused: {_REFUSED[kind]}"
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
            (_parameters(layer.name, own, weights),), _activations(own, new), sequences
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
    activations = _activations(forward, new)
    if _activations(backward, new) != activations:
        raise ValueError(f"the directions of {layer.name!r} have different activations")
    half = len(weights) // 2
    halves = (forward, weights[:half]), (backward, weights[half:])
    both = tuple(_parameters(layer.name, own, part) for own, part in halves)
    return Recurrent(both, activations, bool(forward.get("return_sequences")))


_GO_BACKWARDS = (
    "{!r} reads from the end alone, go_backwards=True, and numlstm has such a layer beside a "
    "forward one only: convert it with go_backwards=False and give it X[:, ::-1], of padded rows "
    "each reversed up to its own length; as in Keras its outputs are then in the reversed order"
)


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


def _activations(config: Mapping[str, Any], new: bool) -> Activations:
    """Of the gates, of the candidate, of the cell on its way out."""
    gates = _activation(config.get("recurrent_activation", "sigmoid"), new)
    own = _activation(config.get("activation", "tanh"), new)
    return gates, own, own


def _activation(value: Any, new: bool) -> Activation:
    name = _name(value)
    if name == "hard_sigmoid":
        return _HARD_SIGMOID[new]
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"numlstm has no activation for {name!r}, but for {[*_ACTIVATIONS, 'hard_sigmoid']}"
        )
    return _ACTIVATIONS[name]


def _name(value: Any) -> str:
    """The name of an activation, of which a configuration may have the function."""
    if value is None:
        return "linear"
    if isinstance(value, Mapping) and value.get("class_name") == "function":
        value = value.get("config")
    if isinstance(value, Mapping):
        value = value.get("class_name")
    return value if isinstance(value, str) else str(getattr(value, "__name__", value))


def _dense(layer: Layer) -> tuple[dict[str, Array], str]:
    inner = _inner(layer.config, "layer")
    config = layer.config if inner is None else inner[1]
    named = dict(zip(("weight", "bias"), map(np.asarray, layer.weights), strict=False))
    if "weight" not in named or named["weight"].ndim != 2:
        raise ValueError(f"{layer.name!r} has no kernel (W, O)")
    return {**named, "weight": named["weight"].T}, _name(config.get("activation"))


def _scaling(units: list[tuple[bool, Layer]]) -> Scaling | None:
    """What Normalization layers do, before and behind the LSTMs."""
    before = [layer for behind, layer in units if not behind]
    behind = [layer for behind, layer in units if behind]
    if len(before) > 1 or len(behind) > 1 or any(layer.config.get("invert") for layer in before):
        raise ValueError("a Normalization may stand first, and one with invert=True last")
    if not units:
        return None
    x = _moments(before[0]) if before else None
    y = _moments(behind[0]) if behind else (None, None)
    if x is None:
        raise ValueError("a Normalization with invert=True needs one before the LSTM")
    return Scaling(*x, *y)


def _moments(layer: Layer) -> tuple[Array, Array]:
    """Mean and scale of a Normalization, which keeps the variance."""
    mean, variance = (_numbers(layer.config.get(name)) for name in ("mean", "variance"))
    if mean is None or variance is None:
        if len(layer.weights) < 2:
            raise ValueError(f"{layer.name!r} has no mean and variance: adapt it to data")
        mean, variance = (np.asarray(part) for part in layer.weights[:2])
    scale = np.maximum(np.sqrt(np.asarray(variance, np.float64)), 1e-7)
    return np.atleast_1d(np.asarray(mean, np.float64).squeeze()), np.atleast_1d(scale.squeeze())


def _numbers(value: Any) -> Array | None:
    if isinstance(value, Mapping):  # an array in a configuration
        value = value.get("config", {}).get("value")
    return None if value is None else np.asarray(value)


def _weights(chain: Chain) -> Weights:
    directions = {len(lstm.layers) for lstm in chain.lstms}
    activations = {lstm.activations for lstm in chain.lstms}
    if len(directions) > 1:
        raise ValueError("all LSTMs must be in a Bidirectional, or none")
    if len(activations) > 1:
        raise ValueError("all LSTMs must have the same activations")
    return Weights(
        [layer for lstm in chain.lstms for layer in lstm.layers],
        chain.head,
        directions=directions.pop(),
        cell=Cell(activations=activations.pop()),
        output="sequence" if chain.lstms[-1].returns_sequences else "last",
        scaling=chain.scaling,
    )


# ---- writing and checking --------------------------------------------------------------------


def _chain_of(model: LSTM) -> Chain:
    """The chain of a model, each layer without its dead units."""
    weights = weights_of(model, crop=True)
    levels = list(weights.levels())
    ends = model.output == "last"
    lstms = [
        Recurrent(tuple(map(dict, level)), _three(model.cell), not ends or level is not levels[-1])
        for level in levels
    ]
    head = None if weights.head is None else dict(weights.head)
    return Chain(lstms, head, "linear", model.scaling)


def _three(cell: Cell) -> Activations:
    gates, candidate, output = cell.activations
    return gates, candidate, output


def _names(activations: Sequence[Activation]) -> tuple[str, str]:
    """What Keras 3 calls the activations of the gates and of the rest."""
    names = {activation: name for name, activation in _ACTIVATIONS.items()}
    names[_HARD_SIGMOID[True]] = "hard_sigmoid"
    gates, candidate, output = activations
    if candidate != output:
        raise ValueError(
            "Keras lacks a part of this model: it has one activation for the candidate and the "
            f"output, and the model {candidate} and {output}"
        )
    for activation in (gates, candidate):
        if activation not in names:
            raise ValueError(f"Keras lacks a part of this model: the activation {activation}")
    return names[gates], names[candidate]


def _verify(model: LSTM, chain: Chain, source: Any) -> None:
    """Compare a model with the layer or model that it was made of, or with its layers rebuilt."""
    whole = hasattr(source, "get_weights") and chain.head_activation == "linear"
    if whole and type(source).__name__ != "LSTMCell":
        verify(model, SIDE, lambda X: Outputs(_run(source, X)), precision=_precision(model))
        return

    def rebuilt(X: Array) -> Outputs:
        keras = require("keras", EXTRA, "the check")
        functions = [_function(keras, one) for one in chain.lstms[0].activations[:2]]
        return Outputs(_run(_built(keras, chain, functions, model), X))

    verify(model, SIDE, rebuilt, precision=_precision(model))


def _precision(model: LSTM) -> str | None:
    """That of Keras, which on PyTorch rounds the product of a Dense to float32."""
    return None if model.spec.head is None else "float32"


def _function(keras: Any, activation: Activation) -> Any:
    """An activation by name, or the function where a name means something else in Keras 3."""
    if activation != _HARD_SIGMOID[False]:
        return _names((activation,) * 3)[0]
    return lambda x: keras.ops.clip(activation.alpha * x + activation.beta, 0.0, 1.0)


def _run(network: Any, X: Array) -> Array:
    """The first output of a layer or model."""
    found = network(X, training=False)
    first = found[0] if isinstance(found, (list, tuple)) else found
    if hasattr(first, "detach"):
        first = first.detach().cpu()
    return np.asarray(first)


def _built(keras: Any, chain: Chain, names: Sequence[Any], model: LSTM) -> Any:
    """A keras.Sequential of a chain, with its weights."""
    dtype, inputs = model.spec.dtype, model.spec.input_size
    layers, values = [keras.Input((None, inputs), dtype=dtype)], []
    units = _normalizations(keras, model)
    if units[0] is not None:
        layers.append(units[0])
    for lstm in chain.lstms:
        layers.append(_layer(keras, lstm, names, dtype))
        values.append((layers[-1], [array for own in lstm.layers for array in _kernels(own)]))
    if chain.head is not None:
        weight, bias = chain.head["weight"], chain.head.get("bias")
        dense = keras.layers.Dense(weight.shape[0], use_bias=bias is not None, dtype=dtype)
        layers.append(dense)
        values.append((dense, [weight.T] + ([] if bias is None else [bias])))
    if units[1] is not None:
        layers.append(units[1])
    network = keras.Sequential(layers)
    network.dtype_policy = dtype  # else it rounds its inputs to what is usual
    for layer, arrays in values:
        layer.set_weights(arrays)
    return network


def _layer(keras: Any, lstm: Recurrent, names: Sequence[Any], dtype: str) -> Any:
    layers = [
        keras.layers.LSTM(
            own["weight_hh"].shape[1],
            recurrent_activation=names[0],
            activation=names[1],
            use_bias="bias" in own,
            return_sequences=lstm.returns_sequences,
            go_backwards=bool(index),
            dtype=dtype,
        )
        for index, own in enumerate(lstm.layers)
    ]
    if len(layers) == 1:
        return layers[0]
    return keras.layers.Bidirectional(layers[0], backward_layer=layers[1], dtype=dtype)


def _kernels(layer: Mapping[str, Array]) -> list[Array]:
    kernels = [layer["weight_ih"].T, layer["weight_hh"].T]
    return kernels + ([layer["bias"]] if "bias" in layer else [])


def _normalizations(keras: Any, model: LSTM) -> tuple[Any, Any]:
    """The layers at both ends that convert the units of the data."""
    if model.scaling is None:
        return None, None
    dtype = model.spec.dtype

    def layer(mean: Array, scale: Array, **more: Any) -> Any:
        return keras.layers.Normalization(mean=mean, variance=scale**2, dtype=dtype, **more)

    first = layer(model.scaling.x_mean, model.scaling.x_scale)
    if model.scaling.y_mean is None:
        return first, None
    factor, offset = model.scaling.of_outputs(model.spec.width)
    return first, layer(offset, factor, invert=True)
