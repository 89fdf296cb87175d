"""Descriptions of layers and networks; states, gradients, dropout masks."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

from numlstm.architecture.cell import Cell, require_held
from numlstm.utils import checks, nouns, schema
from numlstm.utils.lazy import cached_property
from numlstm.utils.nouns import Noun, option, required

# what version 0.1.0 called fields of a cell, in model files and in checkpoints
CELL_OF_VERSION_1 = {"forget": "forget_gate", "clip": "activation_clip"}

# how a GPU's tensor cores round the factors of a float32 product: to 10 bits of mantissa, or to 7
PRECISIONS = ("tf32", "bf16")


class State(NamedTuple):
    """Recurrent state of a network.

    Attributes
    ----------
    h : ndarray, shape (num_layers * num_directions, B, P)
        Hidden state, one row per sequence, in the dtype of the model; P is `proj_size`, or H
        where there is no projection. Layers from the input upwards, forward before reverse.
    c : ndarray, shape (num_layers * num_directions, B, H)
        Cell state.
    """

    h: Any
    c: Any


class Gradients(NamedTuple):
    """Gradients with respect to parameters, input and initial state, as a pullback returns them.

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


class StaticGradients(NamedTuple):
    """As `Gradients`, of a network with attributes of whole sequences.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        Gradient with respect to the flat parameter vector.
    X : ndarray, shape (B, T, I), or None
        Gradient with respect to the input; None where it was not asked for.
    state : State
        Gradient with respect to the initial state.
    static : ndarray, shape (B, S)
        Gradient with respect to the attributes.
    """

    theta: Any
    X: Any
    state: State
    static: Any


def _rate(name: str, value: Any) -> float:
    return checks.real(f"dropout {name}", value, least=0.0, below=1.0)


@dataclass(frozen=True)
class Dropout(Noun):
    """Rates of the regularisations in the recurrence; 0 is off."""

    layers: float = option(0.0, _rate)  # outputs of a layer on their way to the next, per step
    inputs: float = option(0.0, _rate)  # inputs of every layer, one mask per sequence
    states: float = option(0.0, _rate)  # hidden state into the gates, one mask per sequence
    recurrent: float = option(0.0, _rate)  # the candidate g, per step
    weights: float = option(0.0, _rate)  # entries of weight_hh, one mask per update
    zoneout_h: float = option(0.0, _rate)  # units of the hidden state that keep their value
    zoneout_c: float = option(0.0, _rate)  # units of the cell that keep their value, per step

    @classmethod
    def read(cls, name: str, value: Any) -> "Dropout":
        """From an argument: rates by name, or a number, the rate between layers."""
        if value is None or isinstance(value, (Mapping, cls)):
            return nouns.read(cls, name, value)
        return cls(layers=checks.real(name, value, least=0.0, below=1.0))


class Noise(NamedTuple):
    """Random factors on one layer; None is no noise. T may be 1: the same at every step.

    Dropout masks hold 0 or 1 / (1 - rate). `keep_h` and `keep_c` are the share of the new value
    (1: new, 0: the old one is kept); the mean 1 - rate takes their place in predictions.
    """

    x: Any = None  # (B, I)
    h: Any = None  # (B, P)
    g: Any = None  # (B, T, H)
    keep_h: Any = None  # (B, T, P)
    keep_c: Any = None  # (B, T, H)


@dataclass(frozen=True)
class LayerSpec:
    """Sizes and variant of one LSTM layer; lays out its parameters and chooses its kernels."""

    input_size: int
    hidden_size: int
    dtype: str
    proj_size: int | None = None
    cell: Cell = Cell()
    learned_state: bool = False
    precision: str | None = None  # of products on a GPU: see `PRECISIONS`
    static_size: int | None = None  # attributes of a whole sequence

    @property
    def output_size(self) -> int:
        """Number of features of the hidden state."""
        return self.proj_size or self.hidden_size

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, in the order in which they lie in the flat vector."""
        units, gates = self.hidden_size, len(self.cell.gates) * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, self.input_size),
            "weight_hh": (gates, self.output_size),
            "bias": (gates,),
        }
        for parameter in self.cell.unit_parameters:
            shapes[parameter.name] = (len(parameter.parts(self.cell.gates)) * units,)
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, units)
        if self.learned_state:
            shapes |= {"initial_h": (self.output_size,), "initial_c": (units,)}
        if self.static_size:  # kernels read their product with the attributes, never these
            shapes["weight_is"] = (gates, self.static_size)
        return shapes

    @cached_property
    def of_static(self) -> "HeadSpec | None":
        """The product with the attributes, as of a head whose bias is zero."""
        if not self.static_size:
            return None
        return HeadSpec(self.static_size, self.shapes["weight_is"][0], self.dtype)


@dataclass(frozen=True)
class HeadSpec:
    """Sizes of the linear head y = W h + b."""

    input_size: int
    output_size: int
    dtype: str
    precision: str | None = None

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, in the order in which they lie in the flat vector."""
        return {"weight": (self.output_size, self.input_size), "bias": (self.output_size,)}


_size = partial(checks.optional, checks.size)
_MOST_PARAMETERS = 10**11
_MOST_LAYERS = 10**4
_precision = partial(checks.optional, checks.choice, options=PRECISIONS)


_SIZES = ("input_size", "hidden_size")  # which have no default


def _of_any_version(kind: type) -> list[str]:
    """The names of a noun's fields, with those that version 0.1.0 wrote."""
    return [*nouns.names(kind), *(CELL_OF_VERSION_1 if kind is Cell else ())]


def _require_equal(name: str, given: Any, made: Any) -> None:
    """Refuse a value that a check made another one of, or of another type; what is left out may."""
    if isinstance(given, dict) and isinstance(made, dict):
        for key, value in given.items():
            _require_equal(f"{name}.{key}", value, made.get(key))
    elif isinstance(given, list) and isinstance(made, tuple) and len(given) == len(made):
        for index, pair in enumerate(zip(given, made, strict=True)):
            _require_equal(f"{name}[{index}]", *pair)
    elif given != made or isinstance(given, bool) != isinstance(made, bool):
        raise ValueError(f"{name} must be {made!r}, received {schema.received(given)}")


@dataclass(frozen=True)
class NetworkSpec(Noun):
    """Stacked LSTM layers, in one direction or both, and an optional linear head."""

    input_size: int = required(checks.size)
    hidden_size: int = option(32, checks.size)
    output_size: int | None = option(None, _size)
    num_layers: int = option(1, checks.size)
    dtype: str = option("float32", checks.dtype)
    bidirectional: bool = option(False, checks.flag)
    residual: bool = option(False, checks.flag)  # layers add their outputs to their inputs
    proj_size: int | None = option(None, _size)
    cell: Cell = option(Cell(), partial(nouns.read, Cell))
    learned_state: bool = option(False, checks.flag)
    dropout: Dropout = option(Dropout(), Dropout.read, full_batch=False)
    precision: str | None = option(None, _precision)  # of products on a GPU
    static_size: int | None = option(None, _size)  # attributes of a whole sequence
    direct_input: bool = option(False, checks.flag)  # the head reads the inputs too

    @classmethod
    def restored(cls, fields: Any) -> "NetworkSpec":
        """From `dataclasses.asdict`, after a way through JSON; what is missing is the default.

        A ValueError for what no constructor would take, or is not what `asdict` makes of the spec.
        """
        fields = dict(schema.mapping("spec", fields, _SIZES, nouns.names(cls)))
        for name, kind in (("cell", Cell), ("dropout", Dropout)):
            if name in fields:
                own = schema.mapping(f"spec.{name}", fields[name], (), _of_any_version(kind))
                fields[name] = {CELL_OF_VERSION_1.get(k, k): v for k, v in own.items()}
                if len(fields[name]) < len(own):
                    raise ValueError(f"spec.{name} has an entry by its old and its new name")
        try:
            spec = cls(**fields)
            spec.require_sense()
        except (TypeError, ValueError) as error:
            raise ValueError(f"spec: {error}") from error
        _require_equal("spec", fields, asdict(spec))
        return spec

    def require_sense(self) -> None:
        """Refuse what could be built but would not be what its name says."""
        self._require_a_size()
        self.cell.require_effect(within=self)
        require_held(self.cell, self.dtype)
        if self.proj_size is not None and self.proj_size > self.hidden_size:
            raise ValueError(
                f"proj_size must be at most hidden_size = {self.hidden_size}, received "
                f"{self.proj_size}: a projection does not make the hidden state larger than the "
                "cell"
            )
        if self.residual and self.num_layers == 1:
            raise ValueError(
                "residual=True needs num_layers >= 2: the second and every further layer adds its "
                "output to its input"
            )
        if self.direct_input and self.output_size is None:
            raise ValueError(
                "direct_input=True adds the inputs of a step, by weights of their own, to the "
                "outputs of the head: it needs an output_size"
            )
        if self.cell.layer_norm and self.hidden_size == 1:
            raise ValueError(
                "layer_norm=True needs hidden_size >= 2: one number alone is always normalised to 0"
            )
        if self.precision is not None and self.dtype != "float32":
            raise ValueError(
                f"precision={self.precision!r} rounds the factors of float32 products: it needs "
                f"dtype='float32', received {self.dtype!r}"
            )

    def _require_a_size(self) -> None:
        """Refuse more than any memory holds, before layers or parameters are counted one by one."""
        recurrent = self.num_layers * self.hidden_size * (self.proj_size or self.hidden_size)
        read = self.hidden_width + (self.input_size if self.direct_input else 0)
        ends = read * (self.output_size or 0) + self.hidden_size * self.input_size
        if recurrent + ends > _MOST_PARAMETERS:
            raise ValueError(
                f"hidden_size={self.hidden_size}, num_layers={self.num_layers}, "
                f"input_size={self.input_size}, output_size={self.output_size} make a network of "
                f"more than {_MOST_PARAMETERS:.0e} parameters, which no memory holds: choose less"
            )
        if self.num_layers > _MOST_LAYERS:
            raise ValueError(
                f"num_layers must be at most {_MOST_LAYERS}, received {self.num_layers}: choose "
                "fewer layers"
            )

    @property
    def num_directions(self) -> int:
        """2 where every layer also reads the sequence from its end, else 1."""
        return 2 if self.bidirectional else 1

    @cached_property
    def hidden_width(self) -> int:
        """Number of features that a layer gives per step, both directions together."""
        return self.num_directions * (self.proj_size or self.hidden_size)

    @cached_property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers from the input upwards, forward before reverse."""
        widths = (self.input_size,) + (self.hidden_width,) * (self.num_layers - 1)
        variant = (self.dtype, self.proj_size, self.cell, self.learned_state, self.precision)
        return tuple(
            LayerSpec(width, self.hidden_size, *variant, None if level else self.static_size)
            for level, width in enumerate(widths)
            for _ in range(self.num_directions)
        )

    @cached_property
    def head(self) -> HeadSpec | None:
        """The linear head, or None where the network returns its hidden sequence."""
        if self.output_size is None:
            return None
        return HeadSpec(self.hidden_width, self.output_size, self.dtype, self.precision)

    @cached_property
    def direct(self) -> HeadSpec | None:
        """The product of the head with the inputs, as of a head whose bias is zero."""
        if not self.direct_input or self.output_size is None:
            return None
        return HeadSpec(self.input_size, self.output_size, self.dtype, self.precision)

    @cached_property
    def width(self) -> int:
        """Number of features that the network returns per step."""
        return self.hidden_width if self.output_size is None else self.output_size

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Public name and shape of every parameter, in the order of the flat vector."""
        suffixes = ("", "_reverse")
        named = {
            f"{name}_l{index // self.num_directions}{suffixes[index % self.num_directions]}": shape
            for index, layer in enumerate(self.layers)
            for name, shape in layer.shapes.items()
        }
        if self.head is not None:
            named |= {f"head_{name}": shape for name, shape in self.head.shapes.items()}
        if self.direct is not None:
            named["head_direct"] = self.direct.shapes["weight"]
        return named

    @cached_property
    def num_parameters(self) -> int:
        """Length of the flat parameter vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())
