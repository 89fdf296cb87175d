"""The flat parameter vector: named views into it, and how it is initialised."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from numlstm.architecture.spec import HeadSpec, LayerSpec, NetworkSpec


def split(shapes: Mapping[str, tuple[int, ...]], theta: np.ndarray) -> dict[str, np.ndarray]:
    """Views into `theta` by name: no copy, so writing to a view writes to `theta`."""
    views, start = {}, 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        views[name] = theta[start:stop].reshape(shape)
        start = stop
    return views


def blocks(spec: NetworkSpec, theta: np.ndarray) -> Iterator[np.ndarray]:
    """The part of `theta` that belongs to each layer, then to the head, as flat views."""
    parts: list[LayerSpec | HeadSpec] = [*spec.layers, *([spec.head] if spec.head else [])]
    start = 0
    for part in parts:
        stop = start + sum(math.prod(shape) for shape in part.shapes.values())
        yield theta[start:stop]
        start = stop


def initialise(
    spec: NetworkSpec,
    rng: np.random.Generator,
    init: str = "orthogonal",
    forget_bias: float = 1.0,
    chrono: float | None = None,
) -> np.ndarray:
    """A fresh parameter vector, shape (n,).

    "orthogonal": input weights uniform as in Glorot & Bengio (2010, eq. 16), every gate's
    recurrent matrix orthogonal as in Saxe et al. (2014), with a projection its columns
    orthonormal. "uniform": all weights uniform in +-1/sqrt(H), as PyTorch draws them. The biases
    are 0 but for the forget gate's, `forget_bias` (Gers et al. 2000; Jozefowicz et al. 2015).
    With `chrono` the forget gate's are log(u), u uniform in [1, chrono - 1], and the input gate's
    the negative of that (Tallec & Ollivier 2018, eq. 16). What a variant of the cell
    adds begins as `UNIT_PARAMETERS` says, and learned states at 0: where that is possible, the
    network begins as one without them.
    """
    theta = np.zeros(spec.num_parameters, dtype=spec.dtype)
    parts = list(blocks(spec, theta))
    for layer, block in zip(spec.layers, parts, strict=False):
        views = split(layer.shapes, block)
        _draw_weights(layer, views, rng, init)
        _set_biases(layer, views, rng, forget_bias, chrono)
    if spec.head is not None:
        weight = split(spec.head.shapes, parts[-1])["weight"]
        weight[...] = _uniform(rng, weight.shape, spec.hidden_size, init)
    return theta


def _draw_weights(
    spec: LayerSpec, views: Mapping[str, np.ndarray], rng: np.random.Generator, init: str
) -> None:
    size, width = spec.hidden_size, spec.output_size
    for gate in range(len(spec.cell.gates)):
        rows = slice(gate * size, (gate + 1) * size)
        views["weight_ih"][rows] = _uniform(rng, (size, spec.input_size), size, init)
        if init == "orthogonal":
            views["weight_hh"][rows] = _orthogonal(rng, size, width)
        else:
            views["weight_hh"][rows] = _uniform(rng, (size, width), size, init)
    if "weight_hr" in views:
        views["weight_hr"][...] = _uniform(rng, (width, size), size, init)


def _set_biases(
    spec: LayerSpec,
    views: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    forget_bias: float,
    chrono: float | None,
) -> None:
    size = spec.hidden_size
    biases = dict(zip(spec.cell.gates, views["bias"].reshape(-1, size), strict=True))
    if chrono is not None:
        biases["f"][...] = np.log(rng.uniform(1, chrono - 1, size))
        biases["i"][...] = -biases["f"]
    elif "f" in biases:
        biases["f"][...] = forget_bias
    for parameter in spec.cell.unit_parameters:
        views[parameter.name][...] = parameter.initial


def _uniform(
    rng: np.random.Generator, shape: tuple[int, ...], hidden_size: int, init: str
) -> np.ndarray:
    bound = np.sqrt(6.0 / sum(shape)) if init == "orthogonal" else 1.0 / np.sqrt(hidden_size)
    return rng.uniform(-bound, bound, shape)


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Orthonormal columns, of which there are no more than rows."""
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    q = q * np.sign(np.diag(r))  # makes the draw uniform over the group (Mezzadri 2007)
    # LAPACK's last bits differ between machines; a grid of 2**-20 keeps them out of theta
    return np.round(q * 2.0**20) / 2.0**20
