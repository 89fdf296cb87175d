"""How the outputs of a step are read from its state, and in which units."""

from typing import NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.model.lstm import LSTM
from numlstm.network.derivatives import state_size
from numlstm.utils.types import Array


def readout(model: LSTM) -> Array:
    """The derivatives of the outputs by the state of their step, (O, S), in the network's units."""
    spec, size = model.spec, model.spec.layers[0].output_size
    weight = np.eye(size)
    if spec.head is not None:
        weight = split(spec.shapes, model.theta)["head_weight"].astype(np.float64)
    C = np.zeros((spec.width, state_size(model.network)))
    for layer in range(spec.num_layers) if spec.residual else [spec.num_layers - 1]:
        C[:, layer * size : (layer + 1) * size] = weight
    return C


def direct(model: LSTM) -> Array:
    """The derivatives of the outputs by the inputs of their step, (O, I), beside their state."""
    spec = model.spec
    if not spec.direct_input:
        return np.zeros((spec.width, spec.input_size))
    weight: Array = split(spec.shapes, model.theta)["head_direct"].astype(np.float64)
    return weight


def input_scales(model: LSTM) -> Array:
    """The unit of every input feature, without mask channels, (I,)."""
    if model.scaling is None:
        return np.ones(num_values(model))
    scale: Array = model.scaling.x_scale
    return scale


def input_means(model: LSTM, columns: int) -> Array:
    """The mean of the training inputs, which the network's units know; else zeros."""
    if model.scaling is not None:
        return model.scaling.x_mean
    return np.zeros(columns) if model.filling is None else model.filling.mean


def num_values(model: LSTM) -> int:
    """Number of inputs of a step that are no mask channels."""
    size = model.spec.input_size
    return size if model.filling is None else size // 2


def input_names(model: LSTM) -> tuple[str, ...] | None:
    """Names of the inputs of a step, those known ahead among them."""
    features, future = model.names.features, model.names.future
    if features is None or model.ahead is None or not model.num_future:
        return features
    if future is None:
        return None
    later = (f"{name}+{k}" for k in range(1, model.ahead.steps + 1) for name in future)
    return (*features, *later)


def require_states(model: LSTM) -> None:
    """Refuse networks that have no state between two steps."""
    if model.spec.bidirectional:
        raise ValueError(
            "a bidirectional network has no state between two steps, in which it could remember: "
            "its directions run towards each other"
        )


def require_dynamics(model: LSTM) -> None:
    """Refuse networks that carry no state from step to step."""
    require_states(model)
    if model.window is not None:
        raise ValueError(
            f"this model was trained on windows of {model.window} steps, each of which begins in "
            "the initial state, and has no dynamics beyond them: set model.window = None to look "
            "at the network with its state carried on"
        )


class Feedback(NamedTuple):
    """The next inputs as a function of the state, matrix @ state + offset; network's units."""

    matrix: Array  # (I, S)
    offset: Array  # (I,)


def feedback(model: LSTM) -> Feedback:
    """How outputs become the next inputs, of a network that forecasts all of these."""
    spec = model.spec
    factor, offset = np.ones(spec.width), np.zeros(spec.width)
    if model.scaling is not None:
        factor, offset = model.scaling.of_outputs(spec.width)
        mean, scale = model.scaling.x_mean, model.scaling.x_scale
        factor, offset = factor / scale, (offset - mean) / scale
    return Feedback(factor[:, None] * readout(model), factor * head_bias(model) + offset)


def head_bias(model: LSTM) -> Array:
    """The outputs of a state of zeros, (O,)."""
    spec = model.spec
    if spec.head is None:
        return np.zeros(spec.width)
    bias: Array = split(spec.shapes, model.theta)["head_bias"].astype(np.float64)
    return bias


def require_own_inputs(model: LSTM) -> None:
    """Refuse to run freely what does not forecast all of its inputs."""
    model._require_forecasts()
    if model.spec.width < model.spec.input_size:
        raise ValueError(
            f"this model forecasts {model.spec.width} of its {model.spec.input_size} inputs, and "
            "the others do not follow from it: it does not run alone"
        )
    if model.spec.direct_input:
        raise ValueError(
            "direct_input=True makes a forecast depend on the one before it beside the state: the "
            "network does not run alone on its states; give the inputs"
        )
