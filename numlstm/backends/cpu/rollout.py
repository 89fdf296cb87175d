"""Free-running forecasts: the network's outputs are its next inputs, in one loop without Python.

The rows go in groups, which threads share; what a row gives does not depend on its group. Shape
comments: B rows, T steps of warming up, S steps of the forecast, E exogenous inputs, G rows in a
group.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.compile import entry, kernel
from numlstm.backends.cpu.parallel import for_shards
from numlstm.backends.cpu.pointers import call_at
from numlstm.backends.cpu.products import copy
from numlstm.backends.cpu.simd import at, get, move
from numlstm.backends.cpu.step import STEP


class Series(NamedTuple):
    """What comes from outside, and what is filled."""

    X: Any  # (B, T, O + E)
    exogenous: Any  # (B, S, E)
    Y: Any  # (B, S, O)


class Running(NamedTuple):
    """Every row's state, and its input and output of one step; group by group."""

    h: Any  # (B / G, layers, G, P)
    c: Any  # (B / G, layers, G, H)
    x: Any  # (B, O + E)
    y: Any  # (B, O)


@entry
def rollout(driver, memory, per_group, series, running):
    """Fill Y."""
    batch = series.X.shape[0]
    groups = (batch + per_group - 1) // per_group
    for_shards(roll_group, driver, groups, (memory, per_group, series, running))


@kernel
def roll_group(group, memory, per_group, series, running):
    """All steps of one group of rows."""
    batch, warm, inputs = series.X.shape
    outputs = series.Y.shape[2]
    first = group * per_group
    rows, net = min(per_group, batch - first), at(memory, 0)
    x, y = at(running.x, first * inputs), at(running.y, first * outputs)
    h = at(running.h, first * (running.h.size // batch))
    c = at(running.c, first * (running.c.size // batch))
    for t in range(warm + series.Y.shape[1] - 1):
        for j in range(rows):
            put_input(series, first + j, t, move(x, j * inputs), move(y, j * outputs))
        call_at(get(net, STEP), (net, x, h, c, y, rows))
        if t >= warm - 1:
            for j in range(rows):
                place = (first + j) * series.Y.shape[1] + t - warm + 1
                copy(at(series.Y, place * outputs), move(y, j * outputs), outputs)


@kernel
def put_input(series, row, t, x, y):
    """x of one row at step t: observed, or what was forecast and the exogenous inputs."""
    warm, inputs = series.X.shape[1:]
    steps, outputs = series.Y.shape[1:]
    if t < warm:
        copy(x, at(series.X, (row * warm + t) * inputs), inputs)
    else:
        exogenous = inputs - outputs
        copy(x, y, outputs)
        place = (row * steps + t - warm) * exogenous
        copy(move(x, outputs), at(series.exogenous, place), exogenous)
