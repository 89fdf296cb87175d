"""Networks from Keras: layers, models and their files."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numlstm.convert.keras.activations import function_of
from numlstm.convert.keras.chain import Chain, read_chain
from numlstm.convert.keras.check import verify_network
from numlstm.convert.keras.copies import copied, require_own_functions, without_subclass
from numlstm.convert.keras.counterpart import keras_for
from numlstm.convert.keras.files import (
    Description,
    Layer,
    class_of,
    outputs_of,
    plain_layers,
    read_file,
)
from numlstm.convert.keras.writing import built
from numlstm.convert.weights import Weights, to_model
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, files
from numlstm.utils.types import Array

_MODELS = {"Model": "Functional"}  # of old ones, which had one class for both


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
        without Keras, and nothing in it is executed. The model returns what its last layer gives.
    logits : bool, optional
        Leave out the softmax or sigmoid of the last layer: the outputs are its logits, as those of
        networks with the losses "cross_entropy" and "binary_cross_entropy".
    check : bool, optional
        Run a random batch through both, and raise where the results differ beyond rounding. Of
        Keras that is a copy of `source`; of a file its layers are rebuilt.
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
        For a file that is damaged, or not of Keras.
    RuntimeError
        Where the two compute something else.

    Warns
    -----
    UserWarning
        Where there is no Keras to check against; of a mask, of which numlstm's form is the argument
        `lengths`: see `lengths_of_mask`; of a stateful layer; and of outputs that stay behind.

    Examples
    --------
    >>> from numlstm.convert import from_keras
    >>> model = from_keras("network.keras")  # doctest: +SKIP
    """
    logits = checks.flag("logits", logits)
    source = without_subclass(source)
    description = _described(source)
    of_file = not hasattr(source, "get_weights")
    with files.refusing(source, whole=True) if of_file else contextlib.nullcontext():
        chain = read_chain(description, logits)
    model = to_model(chain.weights, backend)
    if checks.flag("check", check):
        _verify(model, chain, source)
    return model


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


def _described(source: Any) -> Description:
    """The layers of a file, a model or a layer."""
    if isinstance(source, (str, bytes, os.PathLike)) or hasattr(source, "read"):
        return read_file(source)
    if not hasattr(source, "get_config") or not hasattr(source, "get_weights"):
        raise TypeError(
            f"source must be a layer or model of Keras, or a path, received {type(source).__name__}"
        )
    for layer in getattr(source, "layers", [source]):
        require_own_functions(layer)
    kind, version = _class(type(source)), _version(source)
    if not hasattr(source, "layers"):
        return Description([Layer(kind, source.get_config(), source.get_weights())], version)
    whole = {"class_name": _MODELS.get(kind, kind), "config": source.get_config()}
    layers = [
        layer._replace(weights=_weights_of_layer(source, layer.config))
        for layer in plain_layers(whole)
    ]
    return Description(layers, version, outputs_of(whole))


def _class(kind: type) -> str:
    return class_of({"class_name": kind.__name__, "module": kind.__module__})


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


def _verify(model: LSTM, chain: Chain, source: Any) -> None:
    """Compare a model with the layer or model that it was made of, or with its layers rebuilt."""
    whole = hasattr(source, "get_weights") and chain.head_activation == "linear"
    if whole and type(source).__name__ != "LSTMCell":
        verify_network(model, lambda X: copied(source, X))
    else:
        verify_network(model, lambda X: _rebuilt(model, chain.weights))


def _rebuilt(model: LSTM, weights: Weights) -> Any:
    keras = keras_for("the check")
    functions = [function_of(keras, one) for one in weights.cell.activations[:2]]
    return built(keras, weights, functions, model)
