"""What has shape, dtype and slicing, and no way in which NumPy would make an array of it."""

from typing import Any

import numpy as np

# and what sparse matrices have, which are not read as if they were dense
_OTHERS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__", "toarray")


def is_sliced(value: Any) -> bool:
    """Whether its values are had by slicing alone: netCDF4's arrays would lose their mask."""
    if hasattr(value, "set_auto_mask"):
        return True
    if any(hasattr(value, name) for name in (*_OTHERS, "__cuda_array_interface__")):
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
    if value is None or type(value) is np.ndarray:  # a prediction takes microseconds
        return value
    if isinstance(value, (list, tuple)):
        if not any(map(is_sliced, value)):
            return value
        return [_read(part) if is_sliced(part) else part for part in value]
    return _read(value) if is_sliced(value) else value


def _read(value: Any) -> Any:
    read = unmasked(value[:])
    return read if hasattr(read, "__array__") else value


def unmasked(read: Any) -> Any:
    """What was read of a store that masks what is missing: NaN there."""
    if not isinstance(read, np.ma.MaskedArray) or read.dtype.kind not in "fiub":
        return read
    if not np.ma.is_masked(read):
        return read.data
    floats: Any = read if read.dtype.kind == "f" else read.astype(np.float64)
    return floats.filled(np.nan)
