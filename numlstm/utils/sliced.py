"""What has shape, dtype and slicing, and no way in which NumPy would make an array of it."""

from typing import Any

import numpy as np

_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")


def is_sliced(value: Any) -> bool:
    """Whether its values are had by slicing alone."""
    if any(hasattr(value, name) for name in (*_PROTOCOLS, "__cuda_array_interface__")):
        return False
    if not all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return False
    try:
        np.dtype(value.dtype)
    except TypeError:  # of another library
        return False
    return isinstance(value.shape, tuple) and len(value.shape) > 0


def whole(value: Any) -> Any:
    """All values of what is had by slicing alone, or of a list of such; all else as it is."""
    if isinstance(value, (list, tuple)):
        if not any(map(is_sliced, value)):
            return value
        return [_read(part) if is_sliced(part) else part for part in value]
    return _read(value) if is_sliced(value) else value


def _read(value: Any) -> Any:
    read = value[:]
    return read if hasattr(read, "__array__") else value
