"""Tensors of PyTorch as arrays, without PyTorch."""

from typing import Any

import numpy as np

from numlstm.utils.types import Array


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
