"""Tensors by name, as others have them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numlstm.utils.types import Array

_FOREIGN = (  # names of variants that are not ours, and why they cannot be
    (
        ("kernel_norm", "recurrent_norm"),
        "TensorFlow Addons' LayerNormLSTMCell normalises the two products separately, and numlstm "
        "their sum: no weights make one of the other",
    ),
    (
        ("layer_norm_basic_lstm", "transform/gamma", "state_norm", "state/gamma"),
        "tf.contrib's LayerNormBasicLSTMCell carries the normalised cell on to the next step, and "
        "numlstm the cell as it is: no weights make one of the other",
    ),
)


def array_of(name: str, value: Any) -> Array:
    """A tensor, or what NumPy makes an array of."""
    if getattr(value, "is_quantized", False):
        raise TypeError(f"{name} is quantised: pass {name}.dequantize()")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value  # NumPy has none
        value = value.numpy()
    array: Array = np.asarray(value)
    return array.astype("float32") if array.dtype == np.float16 else array


def require_mapping(name: str, value: Any) -> None:
    """Refuse what does not have arrays by name."""
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a mapping from names to arrays, as {{'weight_ih_l0': ...}}, received "
            f"{type(value).__name__}"
        )


def require_known(name: Any) -> None:
    """Refuse names of variants that no cell of numlstm is."""
    for words, reason in _FOREIGN:
        if any(word in str(name).lower() for word in words):
            raise ValueError(f"{name!r} is refused: {reason}")


def with_one_bias(layer: Mapping[str, Array]) -> dict[str, Array]:
    """PyTorch's two biases become their sum; where one is zero, it is the other to the bit."""
    named = dict(layer)
    pair = [named.pop(name) for name in ("bias_ih", "bias_hh") if name in named]
    if pair and "bias" in named:
        raise ValueError("a layer has bias, or bias_ih and bias_hh, of which bias is the sum")
    if pair:
        parts = [part for part in pair if np.any(part)] or pair[:1]
        if len({part.shape for part in pair}) > 1:
            raise ValueError(f"bias_ih and bias_hh have shapes {[part.shape for part in pair]}")
        named["bias"] = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return named
