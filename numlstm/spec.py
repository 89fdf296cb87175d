"""The nouns of the package: what a layer and a network are, a state, a gradient."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

GATES = (
    "i",
    "f",
    "g",
    "o",
)  # input gate, forget gate, candidate, output gate: the order everywhere


class State(NamedTuple):
    """Recurrent state of a network.

    Attributes
    ----------
    h, c : ndarray, shape (num_layers, B, H)
        Hidden state and cell state, one row per sequence, in the dtype of the model.
    """

    h: Any
    c: Any


class Gradients(NamedTuple):
    """What a pullback returns.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        Gradient with respect to the flat parameter vector.
    X : ndarray, shape (B, T, I), or None
        Gradient with respect to the input; None where it was not asked for.
    state : State
        Gradient with respect to the initial state.
    """

    theta: Any
    X: Any
    state: State


@dataclass(frozen=True)
class LayerSpec:
    """Sizes of one LSTM layer; enough to lay out its parameters and choose its kernels."""

    input_size: int
    hidden_size: int
    dtype: str

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, in the order in which they lie in the flat vector."""
        gates = 4 * self.hidden_size
        return {
            "weight_ih": (gates, self.input_size),
            "weight_hh": (gates, self.hidden_size),
            "bias": (gates,),
        }


@dataclass(frozen=True)
class HeadSpec:
    """Sizes of the linear head y = W h + b."""

    input_size: int
    output_size: int
    dtype: str

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, in the order in which they lie in the flat vector."""
        return {"weight": (self.output_size, self.input_size), "bias": (self.output_size,)}


@dataclass(frozen=True)
class NetworkSpec:
    """Stacked LSTM layers and an optional linear head."""

    input_size: int
    hidden_size: int
    output_size: int | None = None
    num_layers: int = 1
    dtype: str = "float32"

    @cached_property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers from the input upwards."""
        widths = (self.input_size,) + (self.hidden_size,) * (self.num_layers - 1)
        return tuple(LayerSpec(width, self.hidden_size, self.dtype) for width in widths)

    @cached_property
    def head(self) -> HeadSpec | None:
        """The linear head, or None where the network returns its hidden sequence."""
        if self.output_size is None:
            return None
        return HeadSpec(self.hidden_size, self.output_size, self.dtype)

    @cached_property
    def width(self) -> int:
        """Number of features that the network returns per step."""
        return self.hidden_size if self.output_size is None else self.output_size

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Public name and shape of every parameter, in the order of the flat vector."""
        named = {
            f"{name}_l{index}": shape
            for index, layer in enumerate(self.layers)
            for name, shape in layer.shapes.items()
        }
        if self.head is not None:
            named |= {f"head_{name}": shape for name, shape in self.head.shapes.items()}
        return named

    @cached_property
    def num_parameters(self) -> int:
        """Length of the flat parameter vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())
