"""The flat parameter vector: named views into it, and how it is initialised."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from numlstm.spec import HeadSpec, LayerSpec, NetworkSpec


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


def initialise(spec: NetworkSpec, rng: np.random.Generator, init: str = "orthogonal") -> np.ndarray:
    """A fresh parameter vector, shape (n,).

    "orthogonal": input weights uniform as in Glorot & Bengio (2010, eq. 16), every gate's
    recurrent matrix orthogonal as in Saxe et al. (2014). "uniform": all weights uniform in
    +-1/sqrt(H), as PyTorch draws them. Either way the biases are 0 but for the forget gate's,
    which is 1 (Gers et al. 2000; Jozefowicz et al. 2015).
    """
    theta = np.zeros(spec.num_parameters, dtype=spec.dtype)
    parts = list(blocks(spec, theta))
    for layer, block in zip(spec.layers, parts, strict=False):
        _initialise_layer(layer, split(layer.shapes, block), rng, init)
    if spec.head is not None:
        weight = split(spec.head.shapes, parts[-1])["weight"]
        weight[...] = _uniform(rng, weight.shape, spec.hidden_size, init)
    return theta


def _initialise_layer(
    spec: LayerSpec, views: Mapping[str, np.ndarray], rng: np.random.Generator, init: str
) -> None:
    size = spec.hidden_size
    for gate in range(4):
        rows = slice(gate * size, (gate + 1) * size)
        views["weight_ih"][rows] = _uniform(rng, (size, spec.input_size), size, init)
        if init == "orthogonal":
            views["weight_hh"][rows] = _orthogonal(rng, size)
        else:
            views["weight_hh"][rows] = _uniform(rng, (size, size), size, init)
    views["bias"][size : 2 * size] = 1.0


def _uniform(
    rng: np.random.Generator, shape: tuple[int, ...], hidden_size: int, init: str
) -> np.ndarray:
    bound = np.sqrt(6.0 / sum(shape)) if init == "orthogonal" else 1.0 / np.sqrt(hidden_size)
    return rng.uniform(-bound, bound, shape)


def _orthogonal(rng: np.random.Generator, size: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    q = q * np.sign(np.diag(r))  # makes the draw uniform over the group (Mezzadri 2007)
    # LAPACK's last bits differ between machines; a grid of 2**-20 keeps them out of theta
    return np.round(q * 2.0**20) / 2.0**20
