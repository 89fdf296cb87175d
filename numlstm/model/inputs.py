"""What a model is run on: checked once, and brought to where the backend reads it."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.spec import State
from numlstm.backends import numpy_arrays as numpy_arrays
from numlstm.data.sequences import mask
from numlstm.network.network import Network
from numlstm.utils import checks


class Given(NamedTuple):
    """What a network is run on, in the backend's memory."""

    X: Any  # (B, T, I)
    state: State | None  # None: the initial one
    lengths: Any  # (B,) or None
    reset: Any  # (B, T) or None


class Door:
    """Where arrays come in and results go out; those of a GPU's memory stay there, uncopied.

    Results go to where `X` is.
    """

    def __init__(self, network: Network, X: Any):
        self.spec, self._arrays = network.spec, network.backend.arrays
        self._open = self._arrays is numpy_arrays  # nothing has to be brought
        self._lends = not self._open and checks.on_gpu(X)

    def enter(self, X: Any, state: Any, lengths: Any, reset: Any) -> Given:
        """The arguments of `LSTM.forward`."""
        X = self._checked("X", X, ("B", "T", self.spec.input_size))
        lengths = checks.lengths(lengths, *X.shape[:2])
        self.require_finite("X", X, lengths)
        if reset is not None:
            reset = checks.flags("reset", reset, X.shape[:2])
        state = self.state("state", state, X.shape[0])
        return Given(self.bring(X), state, self.bring(lengths), self.bring(reset))

    def array(self, name: str, value: Any, shape: tuple[int | str, ...]) -> Any:
        """An array that may hold anything, in the backend's memory."""
        return self.bring(self._checked(name, value, shape))

    def state(self, name: str, state: Any, batch: int, *, finite: bool = True) -> State | None:
        """A state in the backend's memory, or None for the initial one."""
        if state is None:
            return None
        try:
            h, c = state
        except (TypeError, ValueError):
            raise TypeError(f"{name} must be a State(h, c), received {type(state)}") from None
        layer, layers = self.spec.layers[0], len(self.spec.layers)
        h = self._checked(f"{name}.h", h, (layers, batch, layer.output_size))
        c = self._checked(f"{name}.c", c, (layers, batch, layer.hidden_size))
        if finite:
            self.require_finite(f"{name}.h", h)
            self.require_finite(f"{name}.c", c)
        return State(self.bring(h), self.bring(c))

    def leave(self, result: Any) -> Any:
        """A result, or a tuple of them, where the caller has his arrays."""
        if self._open:
            return result
        if isinstance(result, tuple):
            return type(result)(*map(self.leave, result))
        if result is None:
            return None
        return self._arrays.lent(result) if self._lends else self._arrays.to_numpy(result)

    def read(self, name: str, value: Any) -> Any:
        """An array that may hold anything, in NumPy's memory or in the GPU's."""
        if not self._open and checks.on_gpu(value):
            return self._arrays.borrowed(name, value, self.spec.dtype)
        return checks.array(name, value, self.spec.dtype, finite=False)

    def bring(self, value: Any) -> Any:
        """An array in the backend's memory; None stays None."""
        return value if self._open or value is None else self._arrays.asarray(value)

    def _checked(self, name: str, value: Any, shape: tuple[int | str, ...]) -> Any:
        array = self.read(name, value)
        checks.shape(name, array, shape)
        return array

    def require_finite(self, name: str, array: Any, lengths: np.ndarray | None = None) -> None:
        """Refuse what is not finite; padding may hold anything."""
        if type(array) is not np.ndarray:
            if not self._arrays.all_finite(array, self.bring(lengths)):
                raise ValueError(f"{name} has NaN or infinite values; remove or fill them first")
        elif lengths is None:
            checks.require_finite(name, array)
        else:
            valid = mask(lengths, array.shape[1])[..., None]
            checks.require_finite(name, np.where(valid, array, array.dtype.type(0)))
