"""Long forward passes in slices of their time, with the bits of the whole.

Between two slices Ctrl-C is heard, and of the hidden sequence only a slice is ever in memory. A
bidirectional network needs its sequences whole: it runs in a thread that can be abandoned.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from numlstm.architecture.spec import State
from numlstm.network.dropout import NetworkNoise
from numlstm.network.network import Network, Weights
from numlstm.utils.interruptible import PATIENCE
from numlstm.utils.types import AnyArray

FIRST = 2.0**26  # multiply-adds of a first slice, of which nothing is known yet


def slices(steps: int, first: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of parts of a series that take less than `PATIENCE` each, as time shows.

    They have a power of two of steps, the first about so many, so that few sizes occur.
    """
    start, size = 0, 1 << max(0, first.bit_length() - 1)
    while start < steps:
        stop = min(start + size, steps)
        begun = time.perf_counter()
        yield start, stop
        elapsed = time.perf_counter() - begun
        if elapsed > PATIENCE:
            size = max(1, size // 2)
        elif elapsed < PATIENCE / 4:
            size *= 2
        start = stop


def forward(
    network: Network,
    weights: Weights,
    X: AnyArray,
    state: State | None = None,
    lengths: AnyArray | None = None,
    *,
    last: bool = False,
    reset: AnyArray | None = None,
    noise: NetworkNoise | None = None,
) -> tuple[AnyArray, State, None]:
    """As `Network.forward` without a tape, on the backend "cpu"."""
    rows, steps, _ = X.shape
    run = partial(network.runner.run, Network.forward, network, weights, last=last)
    whole = partial(run, X, state, lengths, reset=reset, noise=noise, extent=rows * steps)
    result: tuple[AnyArray, State, None]
    if network.spec.bidirectional or steps < 2:
        result = whole()
        return result
    Y: Any = None
    first = FIRST / max(1, rows * network.spec.num_parameters)
    for start, stop in slices(steps, int(first)):
        if (start, stop) == (0, steps):
            result = whole()
            return result
        part, state, _ = run(
            np.ascontiguousarray(X[:, start:stop]),
            state,
            None if lengths is None else np.clip(lengths - start, 0, stop - start),
            reset=None if reset is None else np.ascontiguousarray(reset[:, start:stop]),
            noise=noise and _cut(noise, start, stop),
            extent=rows * (stop - start),
        )
        if last:
            Y = part
            continue
        if Y is None:
            Y = np.empty((rows, steps, part.shape[2]), part.dtype)
        Y[:, start:stop] = part
    assert state is not None
    return Y, state, None


def _cut(noise: NetworkNoise, start: int, stop: int) -> NetworkNoise:
    """The masks of some steps; those of all steps have an axis for them, or one of length 1."""

    def cut(mask: Any) -> Any:
        if mask is None or mask.ndim < 3 or mask.shape[1] == 1:
            return mask
        return np.ascontiguousarray(mask[:, start:stop])

    layers = (layer and type(layer)(*map(cut, layer)) for layer in noise.layers)
    return noise._replace(layers=tuple(layers), between=tuple(map(cut, noise.between)))
