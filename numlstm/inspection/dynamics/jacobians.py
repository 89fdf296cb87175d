"""A network along its trajectory as a linear system, in slices that fit the memory."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from numlstm.architecture.spec import State
from numlstm.network.derivatives import Linearised, Run, linearised, state_size
from numlstm.network.network import Network
from numlstm.utils.types import Array

_HELD = 2**22  # elements of Jacobians that are held at once


class Slice(NamedTuple):
    """Some steps of a run: where they begin, and their Jacobians."""

    start: int
    there: Array  # (B, t): whether a row has the step
    linear: Linearised


def forwards(network: Network, run: Run, *, need_X: bool = False) -> Iterator[Slice]:
    """Slices from the first step to the last."""
    for start, part in _parts(network, run, need_X):
        yield _linear(network, start, part, need_X)


def backwards(network: Network, run: Run, *, need_X: bool = False) -> Iterator[Slice]:
    """Slices from the last steps to the first."""
    for start, part in reversed(list(_parts(network, run, need_X))):
        yield _linear(network, start, part, need_X)


def _linear(network: Network, start: int, part: Run, need_X: bool) -> Slice:
    rows, steps = part.X.shape[:2]
    there = np.ones((rows, steps), bool)
    if part.lengths is not None:
        there = np.arange(steps) < part.lengths[:, None]
    return Slice(start, there, linearised(network, part, need_X=need_X))


def _parts(network: Network, run: Run, need_X: bool) -> Iterator[tuple[int, Run]]:
    """Where slices begin, and their runs, each from the state in which the one before ended."""
    batch, steps, inputs = run.X.shape
    size = state_size(network)
    each = batch * size * (size + inputs * need_X)
    count = max(1, _HELD // max(1, each))
    weights, state = network.pack(run.theta), run.state
    for start in range(0, steps, count):
        part = _cut(run, start, start + count, state)
        yield start, part
        if start + count < steps:
            given = weights, part.X, part.state, part.lengths
            _, state, _ = network.forward(*given, **part.options)


def _cut(run: Run, start: int, stop: int, state: State | None) -> Run:
    """Some steps of a run."""
    lengths = run.lengths
    if lengths is not None:
        lengths = np.clip(lengths - start, 0, min(stop, run.X.shape[1]) - start)
    reset = None if run.reset is None else np.ascontiguousarray(run.reset[:, start:stop])
    X = np.ascontiguousarray(run.X[:, start:stop])
    return Run(run.theta, X, state, lengths, reset, run.static)
