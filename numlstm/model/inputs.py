"""The inputs of a model: checked once, and moved to the memory that the backend reads."""

from typing import Any, NamedTuple, TypeVar

import numpy as np

from numlstm.architecture.spec import State
from numlstm.backends import numpy_arrays as numpy_arrays
from numlstm.data import labels
from numlstm.data.attributes import require_static
from numlstm.data.padding import require_right_padding
from numlstm.data.sequences import mask
from numlstm.network.network import Network
from numlstm.utils import checks
from numlstm.utils.types import AnyArray, Array

T = TypeVar("T")


class ModelInputs(NamedTuple):
    """The inputs of a forward pass, in the backend's memory."""

    X: AnyArray  # (B, T, I)
    state: State | None  # None: the initial one
    lengths: AnyArray | None  # (B,)
    reset: AnyArray | None  # (B, T)
    bound: float  # no magnitude in these arrays is above; 0 of those in a GPU's memory
    static: AnyArray | None = None  # (B, S)


class InputReader:
    """Checks the arrays of a caller, and moves them to the backend's memory and results back.

    Results go to the memory that `X` is in; arrays in a GPU's memory are not copied on their way.
    """

    def __init__(self, network: Network, X: Any):
        self.spec, self._arrays = network.spec, network.backend.arrays
        self._on_host = self._arrays is numpy_arrays  # nothing has to be moved
        self._lends = not self._on_host and checks.on_gpu(X)
        self.bound = 0.0  # no magnitude that was looked at is above

    def inputs(
        self, X: Any, state: Any, lengths: Any, reset: Any, static: Any = None
    ) -> ModelInputs:
        """The arguments of `LSTM.forward`."""
        X = self._checked("X", X, ("B", "T", self.spec.input_size))
        self.require_room("X", X.shape[:2], X.shape)
        lengths = checks.lengths(lengths, *X.shape[:2])
        if type(X) is np.ndarray:
            require_right_padding(X, lengths)
        self.require_finite("X", X, lengths)
        if reset is not None:
            reset = checks.flags("reset", reset, X.shape[:2])
        state = self.state("state", state, X.shape[0])
        static = self.static(static, X.shape[0])
        move = self.to_backend
        given = move(X), state, move(lengths), move(reset), self.bound
        return ModelInputs(*given, move(static))

    def static(self, static: Any, batch: int) -> Any:
        """Attributes of the sequences, (B, S); of one alone also (S,)."""
        if static is not None:
            static = self.read("static", static)
            if static.ndim == 1 and batch == 1:
                static = static.reshape((1, static.size))
        require_static(static, self.spec.static_size)
        if static is not None:
            checks.shape("static", static, (batch, self.spec.static_size or 0))
            self.require_finite("static", static)
        return static

    def array(self, name: str, value: Any, shape: tuple[int | str, ...]) -> AnyArray:
        """An array that may hold anything, in the backend's memory."""
        return self.to_backend(self._checked(name, value, shape))

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
        return State(self.to_backend(h), self.to_backend(c))

    def require_room(self, name: str, rows: tuple[int, ...], given: tuple[int, ...]) -> None:
        """Refuse inputs of rows (B, T) or (B,) whose hidden states no memory holds."""
        layers = self.spec.layers
        states = rows[0], len(layers), layers[0].output_size + layers[0].hidden_size
        checks.require_room(name, given, given, (*rows, self.spec.hidden_width), states)

    def to_caller(self, result: T) -> T:
        """A result, or a tuple of them, in the memory of the caller's arrays."""
        if self._on_host:
            return result
        if isinstance(result, tuple):
            return type(result)(*map(self.to_caller, result))
        if result is None:
            return result
        move = self._arrays.lent if self._lends else self._arrays.to_numpy
        moved: T = move(result)
        return moved

    def read(self, name: str, value: Any) -> AnyArray:
        """An array that may hold anything, in NumPy's memory or in the GPU's."""
        if not self._on_host and checks.on_gpu(value):
            return self._arrays.borrowed(name, value, self.spec.dtype)
        if type(value) is not np.ndarray:  # a step takes microseconds
            labels.require_plain(name, value)
        return checks.array(name, value, self.spec.dtype, finite=False)

    def to_backend(self, value: Any) -> Any:
        """An array in the backend's memory; None stays None."""
        return value if self._on_host or value is None else self._arrays.asarray(value)

    def _checked(self, name: str, value: Any, shape: tuple[int | str, ...]) -> Any:
        array = self.read(name, value)
        checks.shape(name, array, shape)
        return array

    def require_finite(self, name: str, array: AnyArray, lengths: Array | None = None) -> None:
        """Refuse what is not finite; padding may hold anything."""
        if type(array) is not np.ndarray:
            if not self._arrays.all_finite(array, self.to_backend(lengths)):
                raise ValueError(f"{name} has NaN or infinite values; remove or fill them first")
            return
        if lengths is not None:
            valid = mask(lengths, array.shape[1])[..., None]
            array = np.where(valid, array, array.dtype.type(0))
        self.bound = max(self.bound, checks.require_finite(name, array))
