"""The flat parameter vector: named views into it, and how it is initialised."""

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import HeadSpec, LayerSpec, NetworkSpec
from numlstm.utils import checks
from numlstm.utils.nouns import Noun, option, suggestion
from numlstm.utils.types import Array


def _bias(name: str, value: Any) -> float | tuple[float, ...] | None:
    """A number for all units, or a number for each of them."""
    if not isinstance(value, (list, tuple)) and np.ndim(value) == 0:
        return checks.optional(checks.real, name, value)  # type: ignore[no-any-return]
    array = checks.array(name, value, "float64")
    if array.ndim > 1 or not array.size:
        raise ValueError(
            f"{name} must be a number or an array (H,), a number for each unit, received an array "
            f"of shape {array.shape}"
        )
    return tuple(array.tolist())


# the keyword for the biases of a gate
_BIASES = {"i": "input_bias", "f": "forget_bias", "o": "output_bias"}


@dataclass(frozen=True)
class Init(Noun):
    """The first values of the parameters.

    `weights` "orthogonal": input weights uniform as in Glorot & Bengio (2010, eq. 16), every
    gate's recurrent matrix orthogonal as in Saxe et al. (2014), with a projection its columns
    orthonormal. "uniform": all weights uniform in +-1/sqrt(H), as PyTorch draws them. The biases
    are 0 but for the forget gate's, `forget_bias`, by default 1 (Gers et al. 2000; Jozefowicz et
    al. 2015), and for those that `input_bias` and `output_bias` give the two other gates: each is a
    number, or one for every unit, (H,), the same in all layers. With `chrono` the forget gate's are
    log(u), u uniform in [1, chrono - 1], and the input gate's the negative of that (Tallec &
    Ollivier 2018, eq. 16). Gains are 1; all that other variants add begins at 0, so that the
    network begins as one without them.
    """

    weights: str = option("orthogonal", options=("orthogonal", "uniform"))
    forget_bias: float | Sequence[float] | None = option(None, _bias)
    chrono: float | None = option(None, partial(checks.optional, checks.real, above=2.0))
    input_bias: float | Sequence[float] | None = option(None, _bias)
    output_bias: float | Sequence[float] | None = option(None, _bias)

    def __post_init__(self) -> None:
        """Check the values, and that no two ask for the same biases."""
        super().__post_init__()
        for name, gate in (("forget_bias", "forget"), ("input_bias", "input")):
            if self.chrono is not None and getattr(self, name) is not None:
                raise ValueError(f"chrono draws the biases of the {gate} gate: leave {name} out")

    def require_sense(self, cell: Cell, hidden_size: int, dtype: str) -> None:
        """Refuse biases of a gate or of units that there are not, or that a dtype cannot hold."""
        for name in _BIASES.values():
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != hidden_size:
                raise ValueError(
                    f"{name} has {len(value)} values, and a layer has hidden_size={hidden_size} "
                    "units: pass a number, or one for each unit"
                )
            for number in value if isinstance(value, tuple) else (value,):
                checks.held(name, number, dtype)
        for name in ("forget_bias", "chrono"):
            if getattr(self, name) is not None and cell.forget_gate != "gate":
                raise ValueError(
                    f"{name} sets the bias of a forget gate, and forget_gate={cell.forget_gate!r} "
                    f"has none of its own: leave {name} out"
                )


class Parameters(MutableMapping[str, Array]):
    """The parameters of a network by name: writable views into its flat vector, in its order.

    An assignment ``params[name] = array`` writes into the vector. The array must have the shape of
    the parameter and finite real numbers, which are converted to its dtype. The names are fixed.

    Attributes
    ----------
    theta : ndarray, shape (n,)
        The flat vector.

    Raises
    ------
    KeyError
        For a name that the network does not have; the message says which it has.
    ValueError, TypeError
        For an array of another shape, or one that does not hold finite real numbers.
    TypeError
        For ``del``, ``pop``, ``clear`` and ``|=``.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> params = numlstm.LSTM(3, 8, rng=0).params
    >>> params["bias_l0"] = np.zeros(32)
    >>> params
    <Parameters of float32: weight_ih_l0 (32, 3), weight_hh_l0 (32, 8), bias_l0 (32,)>
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], theta: Array):
        self.theta = theta
        self._shapes, self._views = shapes, split(shapes, theta)

    def __getitem__(self, name: str) -> Array:
        """The view of this name."""
        try:
            return self._views[name]
        except (KeyError, TypeError):
            raise self._unknown(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        """Write an array of the same shape into the flat vector."""
        self[name][...] = self._checked(name, value)

    def __delitem__(self, name: str) -> NoReturn:
        """Refused: a network has all of its parameters, always."""
        self[name]
        raise TypeError(f"a parameter cannot be removed: {name!r} is part of the network")

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the flat vector."""
        return iter(self._views)

    def __len__(self) -> int:
        """Number of names."""
        return len(self._views)

    def __repr__(self) -> str:
        """Names and shapes."""
        named = ", ".join(f"{name} {view.shape}" for name, view in self.items())
        return f"<Parameters of {self.theta.dtype}: {named}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """By the flat vector, so that copies are views of one, too."""
        return Parameters, (self._shapes, self.theta)

    def __ior__(self, other: Any) -> NoReturn:
        """Refused: to Python it would also be an assignment to what the mapping is kept in."""
        raise TypeError("params |= ... would put a new mapping in place: write params.update(...)")

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Assign several parameters, all or none of them."""
        checked = {k: self._checked(k, v) for k, v in dict(*args, **kwargs).items()}
        for name, value in checked.items():
            self._views[name][...] = value

    def _checked(self, name: str, value: Any) -> Array:
        view = self[name]
        array = checks.array(f"params[{name!r}]", value, view.dtype.name)
        checks.shape(f"params[{name!r}]", array, view.shape)
        return array

    def _unknown(self, name: Any) -> KeyError:
        known = list(self._views)
        hint = suggestion(name, known)
        if isinstance(name, str) and name.startswith(("bias_ih_", "bias_hh_")):
            one = f"bias_{name.removeprefix('bias_ih_').removeprefix('bias_hh_')}"
            hint = f": it has one bias, {one!r}, the sum of PyTorch's two"
        return KeyError(f"no parameter {name!r} among {known}{hint}")


def split(shapes: Mapping[str, tuple[int, ...]], theta: Array) -> dict[str, Array]:
    """Views into `theta` by name: no copy, so writing to a view writes to `theta`."""
    views, start = {}, 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        views[name] = theta[start:stop].reshape(shape)
        start = stop
    return views


def blocks(spec: NetworkSpec, theta: np.ndarray) -> Iterator[np.ndarray]:
    """The part of `theta` that belongs to each layer, then to the head, as flat views.

    The last one is the weight of direct connections, where there are any.
    """
    parts: list[LayerSpec | HeadSpec] = [*spec.layers, *([spec.head] if spec.head else [])]
    start = 0
    for part in parts:
        stop = start + sum(math.prod(shape) for shape in part.shapes.values())
        yield theta[start:stop]
        start = stop
    if spec.direct_input:
        yield theta[start:]


def initialise(spec: NetworkSpec, rng: np.random.Generator, init: Init = Init()) -> np.ndarray:
    """A fresh parameter vector, shape (n,)."""
    theta = np.zeros(spec.num_parameters, dtype=spec.dtype)
    parts = list(blocks(spec, theta))
    for layer, block in zip(spec.layers, parts, strict=False):
        views = split(layer.shapes, block)
        _draw_weights(layer, views, rng, init.weights)
        _set_biases(layer, views, rng, init)
    if spec.head is not None:
        weight = split(spec.head.shapes, parts[len(spec.layers)])["weight"]
        weight[...] = _uniform(rng, weight.shape, spec.hidden_size, init.weights)
    for layer, block in zip(spec.layers, parts, strict=False):
        if layer.static_size:  # last, so that all others are what they are without attributes
            _draw_static(layer, split(layer.shapes, block)["weight_is"], rng, init.weights)
    return theta


def _draw_static(
    spec: LayerSpec, weight_is: np.ndarray, rng: np.random.Generator, weights: str
) -> None:
    """As the weights of as many inputs."""
    size = spec.hidden_size
    for rows in np.split(weight_is, len(spec.cell.gates)):
        rows[...] = _uniform(rng, rows.shape, size, weights)


def _draw_weights(
    spec: LayerSpec, views: Mapping[str, np.ndarray], rng: np.random.Generator, weights: str
) -> None:
    size, width = spec.hidden_size, spec.output_size
    for gate in range(len(spec.cell.gates)):
        rows = slice(gate * size, (gate + 1) * size)
        views["weight_ih"][rows] = _uniform(rng, (size, spec.input_size), size, weights)
        if weights == "orthogonal":
            views["weight_hh"][rows] = _orthogonal(rng, size, width)
        else:
            views["weight_hh"][rows] = _uniform(rng, (size, width), size, weights)
    if "weight_hr" in views:
        views["weight_hr"][...] = _uniform(rng, (width, size), size, weights)


def _set_biases(
    spec: LayerSpec, views: Mapping[str, np.ndarray], rng: np.random.Generator, init: Init
) -> None:
    size = spec.hidden_size
    biases = dict(zip(spec.cell.gates, views["bias"].reshape(-1, size), strict=True))
    if init.chrono is not None:
        biases["f"][...] = np.log(rng.uniform(1, init.chrono - 1, size))
        biases["i"][...] = -biases["f"]
    elif "f" in biases:
        biases["f"][...] = 1.0
    for gate, name in _BIASES.items():
        if (value := getattr(init, name)) is not None:
            biases[gate][...] = value
    for parameter in spec.cell.unit_parameters:
        views[parameter.name][...] = parameter.initial


def _uniform(
    rng: np.random.Generator, shape: tuple[int, ...], hidden_size: int, weights: str
) -> np.ndarray:
    bound = np.sqrt(6.0 / sum(shape)) if weights == "orthogonal" else 1.0 / np.sqrt(hidden_size)
    return rng.uniform(-bound, bound, shape)


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Orthonormal columns, of which there are no more than rows."""
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    q = q * np.sign(np.diag(r))  # makes the draw uniform over the group (Mezzadri 2007)
    # LAPACK's last bits differ between machines; a grid of 2**-20 keeps them out of theta
    return np.round(q * 2.0**20) / 2.0**20
