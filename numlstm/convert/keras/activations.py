"""Activations by the names of Keras."""

from collections.abc import Mapping, Sequence
from typing import Any

from numlstm.architecture.cell import Activation, Activations
from numlstm.convert.keras.files import class_of

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


def activations_of(config: Mapping[str, Any], new: bool) -> Activations:
    """The activations of the gates, of the candidate and of the cell before the output gate."""
    gates = _activation(config.get("recurrent_activation", "sigmoid"), new)
    own = _activation(config.get("activation", "tanh"), new)
    return gates, own, own


def _activation(value: Any, new: bool) -> Activation:
    name = name_of(value)
    if name == "hard_sigmoid":
        return _HARD_SIGMOID[new]
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"numlstm has no activation for {name!r}, but for {[*_ACTIVATIONS, 'hard_sigmoid']}"
        )
    return _ACTIVATIONS[name]


def name_of(value: Any) -> str:
    """The name of an activation, of which a configuration may have the function."""
    if value is None:
        return "linear"
    if isinstance(value, Mapping) and value.get("class_name") == "function":
        name = str(value.get("config"))  # of a user's: Keras writes its own by their bare names
        return name if ">" in name else f"{value.get('module')}.{name}"
    if isinstance(value, Mapping):
        return class_of(value)
    return value if isinstance(value, str) else str(getattr(value, "__name__", value))


def names_of(activations: Sequence[Activation]) -> tuple[str, str]:
    """The names, in Keras 3, of the activations of the gates and of the rest."""
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


def function_of(keras: Any, activation: Activation) -> Any:
    """An activation by name, or the function where a name means something else in Keras 3."""
    if activation != _HARD_SIGMOID[False]:
        return names_of((activation,) * 3)[0]
    return lambda x: keras.ops.clip(activation.alpha * x + activation.beta, 0.0, 1.0)
