"""Long forward passes in slices of their time, with the bits of the whole.

Between two slices Ctrl-C is heard, and of the hidden sequence only a slice is ever in memory. A
bidirectional network needs its sequences whole: it runs in a thread that can be left.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from numlstm.architecture.spec import State
from numlstm.network.dropout import NetworkNoise
from numlstm.network.network import Network, Weights
from numlstm.utils.aside import PATIENCE, Runner, slices
from numlstm.utils.types import AnyArray

FIRST = 2.0**26  # multiply-adds of a first slice, of which nothing is known yet


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
    seen: Callable[[AnyArray], None] | None = None,
) -> tuple[AnyArray, State, None]:
    """As `Network.forward` without a tape, on the backend "cpu"."""
    rows, steps, _ = X.shape
    given: dict[str, Any] = {"last": last, "reset": reset, "noise": noise, "seen": seen}
    if network.spec.bidirectional or steps < 2:
        return _timed(network, weights, X, state, lengths, **given)
    Y: Any = None
    first = FIRST / max(1, rows * network.spec.num_parameters)
    for start, stop in slices(steps, int(first)):
        if (start, stop) == (0, steps):
            return _timed(network, weights, X, state, lengths, **given)
        part, state, _ = _timed(
            network,
            weights,
            np.ascontiguousarray(X[:, start:stop]),
            state,
            None if lengths is None else np.clip(lengths - start, 0, stop - start),
            last=last,
            reset=None if reset is None else np.ascontiguousarray(reset[:, start:stop]),
            noise=noise and _cut(noise, start, stop),
            seen=seen,
        )
        if last:
            Y = part
            continue
        if Y is None:
            Y = np.empty((rows, steps, part.shape[2]), part.dtype)
        Y[:, start:stop] = part
    assert state is not None
    return Y, state, None


def _timed(
    network: Network, weights: Weights, X: AnyArray, *given: Any, **named: Any
) -> tuple[AnyArray, State, None]:
    """A pass that is whole; aside, unless one of its size is known to be short."""
    extent = X.shape[0] * X.shape[1]
    result: tuple[AnyArray, State, None]
    start = time.perf_counter()
    if extent <= network.short:
        result = network.forward(weights, X, *given, **named)
    else:
        result = Runner().aside(lambda: network.forward(weights, X, *given, **named))
    if time.perf_counter() - start < PATIENCE:
        network.short = max(network.short, extent)
    return result


def _cut(noise: NetworkNoise, start: int, stop: int) -> NetworkNoise:
    """The masks of some steps; those of all steps have an axis for them, or one of length 1."""

    def cut(mask: Any) -> Any:
        if mask is None or mask.ndim < 3 or mask.shape[1] == 1:
            return mask
        return np.ascontiguousarray(mask[:, start:stop])

    layers = (layer and type(layer)(*map(cut, layer)) for layer in noise.layers)
    return noise._replace(layers=tuple(layers), between=tuple(map(cut, noise.between)))
