"""Names for the types of arrays."""

from typing import Any, TypeAlias

import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]  # in NumPy's memory
AnyArray: TypeAlias = Any  # in a backend's memory: NumPy's or a GPU's
