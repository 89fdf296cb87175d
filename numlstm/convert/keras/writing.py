"""Networks to Keras."""

from collections.abc import Mapping, Sequence
from typing import Any

from numlstm.architecture.spec import NetworkSpec
from numlstm.convert.keras.activations import names_of
from numlstm.convert.keras.check import verify_network
from numlstm.convert.keras.counterpart import KERAS, keras_for
from numlstm.convert.sizes import Layer
from numlstm.convert.weights import Weights, weights_of
from numlstm.data.scaling import Scaling
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array


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
        Where the two compute something else.
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
    KERAS.require_parts(model)
    names = names_of(model.cell.activations)
    keras = keras_for("to_keras")
    network = built(keras, weights_of(model, crop=True), names, model)
    if checks.flag("check", check):
        verify_network(model, lambda X: network)
    return network


def built(keras: Any, weights: Weights, names: Sequence[Any], model: LSTM) -> Any:
    """A keras.Sequential of the weights of a model; `names` are its two activations."""
    dtype, inputs = model.spec.dtype, model.spec.input_size
    layers, values = [keras.Input((None, inputs), dtype=dtype)], []
    units = _normalizations(keras, model.spec, weights.scaling)
    if units[0] is not None:
        layers.append(units[0])
    levels = list(weights.levels())
    for level in levels:
        sequences = weights.output == "sequence" or level is not levels[-1]
        layers.append(_layer(keras, level, names, return_sequences=sequences, dtype=dtype))
        values.append((layers[-1], [array for own in level for array in _kernels(own)]))
    if weights.head is not None:
        weight, bias = weights.head["weight"], weights.head.get("bias")
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


def _layer(keras: Any, level: tuple[Layer, ...], names: Sequence[Any], **options: Any) -> Any:
    """An LSTM, or a Bidirectional of two."""
    layers = [
        keras.layers.LSTM(
            own["weight_hh"].shape[1],
            recurrent_activation=names[0],
            activation=names[1],
            use_bias="bias" in own,
            go_backwards=bool(index),
            **options,
        )
        for index, own in enumerate(level)
    ]
    if len(layers) == 1:
        return layers[0]
    return keras.layers.Bidirectional(layers[0], backward_layer=layers[1], dtype=options["dtype"])


def _kernels(layer: Mapping[str, Array]) -> list[Array]:
    kernels = [layer["weight_ih"].T, layer["weight_hh"].T]
    return kernels + ([layer["bias"]] if "bias" in layer else [])


def _normalizations(keras: Any, spec: NetworkSpec, scaling: Scaling | None) -> tuple[Any, Any]:
    """The layers at both ends that convert the units of the data."""
    if scaling is None:
        return None, None
    dtype = spec.dtype

    least = float(keras.config.epsilon())

    def layer(mean: Array, scale: Array, **more: Any) -> Any:
        if scale.min() < least:
            raise ValueError(
                f"Keras lacks a part of this model: a scale of {scale.min():.3g}, since its "
                f"Normalization divides by {least:g} at least; measure these data in another unit"
            )
        return keras.layers.Normalization(mean=mean, variance=scale**2, dtype=dtype, **more)

    first = layer(scaling.x_mean, scaling.x_scale)
    if scaling.y_mean is None:
        return first, None
    factor, offset = scaling.of_outputs(spec.width)
    return first, layer(offset, factor, invert=True)
