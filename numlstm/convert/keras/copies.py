"""Copies of layers and models of Keras, which compute the same of any batch.

A check must not move the states of a user's network, nor ask for the batch that it was made for.
"""

from collections.abc import Mapping
from typing import Any

from numlstm.convert.keras.files import class_of
from numlstm.utils.types import Array

_OF_BACKENDS = ("torch", "jax", "jaxlib")  # whose functions of these names are the same
_OF_MODELS = ("Sequential", "Functional")
# what says nothing of the outputs, once there are weights; a user's own may not be found by name
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
_OF_BUILDING = ("build_config", "build_input_shape", "compile_config")


def copied(source: Any, X: Array) -> Any:
    """A copy that reads X, without states of its own, and of the dtype of its weights."""
    copy = type(source).from_config(_without_batch(source.get_config()))
    copy(X)  # builds it
    copy.set_weights(source.get_weights())
    for layer in getattr(copy, "layers", [copy]):
        if hasattr(layer, "finalize_state"):  # a Normalization keeps what it makes of its weights
            layer.finalize_state()
    return copy


def require_own_functions(layer: Any) -> None:
    """Refuse an activation of a user's, which a configuration has by its bare name."""
    for name in ("activation", "recurrent_activation"):
        function = getattr(layer, name, None)
        bare = getattr(function, "__name__", None)
        if bare is None:
            continue
        module = str(getattr(function, "__module__", None) or "keras")
        found = class_of({"class_name": bare, "module": module})
        if found != bare and module.partition(".")[0] not in _OF_BACKENDS:
            raise ValueError(f"numlstm has no activation for {found!r}, {name} of {layer.name!r}")
    for part in ("layer", "forward_layer", "backward_layer", "cell"):
        if hasattr(layer, part):
            require_own_functions(getattr(layer, part))


def without_subclass(source: Any) -> Any:
    """A model that a user's class made of layers as one of Keras' own class.

    A class with a `call` of its own is refused, which may do what its layers do not say.
    """
    kind: Any = type(source)
    for base in kind.__mro__:
        name = class_of({"class_name": base.__name__, "module": base.__module__})
        if name not in _OF_MODELS or base is kind:
            continue
        if kind.call is not base.call:
            raise ValueError(
                f"{kind.__name__} has a call of its own, which is not converted: pass its "
                "LSTM layer"
            )
        if name == "Functional":
            return base(source.inputs, source.outputs)
        return base(source.layers)
    return source


def _without_batch(value: Any) -> Any:
    """A configuration for any batch, of the dtype of the weights."""
    if isinstance(value, (list, tuple)):
        return [_without_batch(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    found = {
        name: _without_batch(part)
        for name, part in value.items()
        if name not in _OF_BUILDING and not str(name).endswith(_OF_TRAINING)
    }
    for name in ("batch_shape", "batch_input_shape"):
        if isinstance(found.get(name), list):
            found[name] = (None, None, *found[name][2:])
    if "stateful" in found:
        found["stateful"] = False
    if "input_layers" in found:
        found["input_layers"] = _only(found["input_layers"])
    if "dtype" in found:
        found["dtype"] = _of_weights(found["dtype"])
    return found


def _only(inputs: Any) -> Any:
    """The one input, which may be by name or in a list."""
    while isinstance(inputs, Mapping) or (len(inputs) == 1 and not isinstance(inputs[0], str)):
        inputs = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs[0]
    return inputs


def _of_weights(dtype: Any) -> Any:
    """The policy of a layer, with the arithmetic in the dtype of the weights."""
    policy = dtype.get("config", {}) if isinstance(dtype, Mapping) else {"name": dtype}
    return "float32" if str(policy.get("name")).startswith("mixed_") else dtype
