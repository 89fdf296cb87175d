"""Long forward passes in slices of their time, with the bits of the whole.

Between two slices Ctrl-C is heard, and of the hidden sequence only a slice is ever in memory. A
bidirectional network needs its sequences whole: it runs in a thread that can be abandoned.
"""

import time
from collections.abc import Callable, Iterable, Iterator
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
    seen: Callable[[AnyArray], None] | None = None,
    static: AnyArray | None = None,
) -> tuple[AnyArray, State, None]:
    """As `Network.forward` without a tape, on the backend "cpu".

    What a slice reads is copied: one that is abandoned must not read the memory of the caller.
    """
    rows, steps, _ = X.shape
    cuts: Iterable[tuple[int, int]] = [(0, steps)]
    if not network.spec.bidirectional and steps > 1:
        cuts = slices(steps, int(FIRST / max(1, rows * network.spec.num_parameters)))
    state = state and State(*(part.copy() for part in state))
    static = None if static is None else static.copy()
    Y: Any = None
    for start, stop in cuts:
        part, state, _ = network.runner.run(
            *(Network.forward, network, weights),
            X[:, start:stop].copy(),
            state,
            None if lengths is None else np.clip(lengths - start, 0, stop - start),
            last=last,
            reset=None if reset is None else reset[:, start:stop].copy(),
            noise=noise and _cut(noise, start, stop),
            seen=seen,
            static=static,
            extent=rows * (stop - start),
        )
        if stop - start == steps:
            Y = part
            continue
        if last:
            # a row's output is that of the slice with its last step, which its head may read
            if Y is not None and lengths is not None:
                part = np.where((lengths > start)[:, None], part, Y)
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
