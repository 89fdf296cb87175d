"""Sequences whose inputs are partly the network's own outputs, forward next to backward.

Where a step is fed, the first features of its input are the output of the step before: a forecast
in the place of an observation. One loop without Python over the steps of `step.py`, and the
backward pass over their derivatives. The rows go in groups, which threads share; the outputs of a
row do not depend on its group. Shape comments: B rows, T steps, I inputs, O <= I outputs, G rows in
a group.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, clear, copy
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import at, get, move
from numlstm.stepping.kernels.pointers import call_at
from numlstm.stepping.kernels.step import STEP, VJP


class Series(NamedTuple):
    """Inputs, and the outputs to be filled."""

    X: Any  # (B, T, I)
    fed: Any  # (B, T) of bytes; nothing is fed at the first step
    Y: Any  # (B, T, O)


class Running(NamedTuple):
    """Every row's state, and its input and output of one step; group by group."""

    h: Any  # (B / G, layers, G, P)
    c: Any  # (B / G, layers, G, H)
    x: Any  # (B, I)
    y: Any  # (B, O)


class States(NamedTuple):
    """The state before every step; empty where no backward pass follows."""

    h: Any  # (B / G, T, layers, G, P)
    c: Any  # (B / G, T, layers, G, H)


class Gradient(NamedTuple):
    """Gradients; those of the running state go from the end to the beginning in place."""

    dY: Any  # (B, T, O)
    dX: Any  # (B, T, I), zero where an output was fed in its place
    dtheta: Any  # (B / G, n), added to
    running: Running


@entry
def forward(driver, nets, per_group, series, running, states):
    """Fill Y; the state goes on in place. nets (groups, n) has one for each, or one for all."""
    groups = (series.X.shape[0] + per_group - 1) // per_group
    for_shards(forward_group, driver, groups, (nets, per_group, series, running, states))


@kernel
def forward_group(group, nets, per_group, series, running, states):
    """All steps of one group of rows."""
    batch, steps, inputs = series.X.shape
    outputs, first, net = series.Y.shape[2], group * per_group, net_of(nets, group)
    rows = min(per_group, batch - first)
    x, y, h, c = of_group(running, first, batch)
    for t in range(steps):
        if states.h.size > 0:
            h_kept, c_kept, h_size, c_size = state_at(states, first, rows, t, batch, steps)
            copy(h_kept, h, h_size)
            copy(c_kept, c, c_size)
        if rows == 1:  # in place, as far as it goes
            x_now, y_now = (
                input_of(series, first, t, x),
                at(series.Y, (first * steps + t) * outputs),
            )
            call_at(get(net, STEP), (net, x_now, h, c, y_now, 1))
        else:
            for j in range(rows):
                put_input(series, first + j, t, move(x, j * inputs))
            call_at(get(net, STEP), (net, x, h, c, y, rows))
            for j in range(rows):
                target = at(series.Y, ((first + j) * steps + t) * outputs)
                copy(target, move(y, j * outputs), outputs)


@entry
def backward(driver, nets, per_group, series, states, gradient):
    """Fill `gradient`."""
    groups = (series.X.shape[0] + per_group - 1) // per_group
    for_shards(backward_group, driver, groups, (nets, per_group, series, states, gradient))


@kernel
def backward_group(group, nets, per_group, series, states, gradient):
    """All steps of one group of rows, backward: gradients of fed inputs go to the outputs fed."""
    batch, steps, inputs = series.X.shape
    outputs, first, net = series.Y.shape[2], group * per_group, net_of(nets, group)
    rows = min(per_group, batch - first)
    x, dy, dh, dc = of_group(gradient.running, first, batch)
    dtheta = at(gradient.dtheta, group * gradient.dtheta.shape[1])
    for t in range(steps - 1, -1, -1):
        for j in range(rows):
            place = (first + j) * steps + t
            copy(move(dy, j * outputs), at(gradient.dY, place * outputs), outputs)
            if t + 1 < steps and is_fed(series, first + j, t + 1):
                dx = at(gradient.dX, (place + 1) * inputs)
                accumulate(move(dy, j * outputs), dx, outputs)
                clear(dx, outputs)
            put_input(series, first + j, t, move(x, j * inputs))
        h, c, _, _ = state_at(states, first, rows, t, batch, steps)
        # x was read when dx is written, so both may be one
        call_at(get(net, VJP), (net, x, h, c, dy, dh, dc, x, dtheta, rows))
        for j in range(rows):
            dx = at(gradient.dX, ((first + j) * steps + t) * inputs)
            copy(dx, move(x, j * inputs), inputs)


@kernel
def net_of(nets, group):
    """Pointer to the net of a group of rows; that of rows with attributes is their own."""
    return at(nets, min(group, nets.shape[0] - 1) * nets.shape[1])


@kernel
def input_of(series, row, t, x):
    """Pointer to the input of one row at step t; x is there for one that must be put together."""
    steps, inputs = series.X.shape[1:]
    if not is_fed(series, row, t):
        return at(series.X, (row * steps + t) * inputs)
    if series.Y.shape[2] == inputs:
        return at(series.Y, (row * steps + t - 1) * inputs)
    put_input(series, row, t, x)
    return x


@kernel
def put_input(series, row, t, x):
    """x of one row at step t: observed, or what the step before gave and the other features."""
    steps, inputs = series.X.shape[1:]
    outputs = series.Y.shape[2]
    copy(x, at(series.X, (row * steps + t) * inputs), inputs)
    if is_fed(series, row, t):
        copy(x, at(series.Y, (row * steps + t - 1) * outputs), outputs)


@kernel
def is_fed(series, row, t):
    """Whether the step before gave the first features of a row at step t."""
    return get(at(series.fed, 0), row * series.fed.shape[1] + t) != 0


@kernel
def of_group(running, first, batch):
    """Pointers to x, y, h and c of the group that begins at a row."""
    return (
        at(running.x, first * (running.x.size // batch)),
        at(running.y, first * (running.y.size // batch)),
        at(running.h, first * (running.h.size // batch)),
        at(running.c, first * (running.c.size // batch)),
    )


@kernel
def state_at(states, first, rows, t, batch, steps):
    """Pointers to h and c of a group before step t, and their sizes."""
    h_size, c_size = states.h.size // (batch * steps), states.c.size // (batch * steps)
    place = first * steps + t * rows
    h, c = at(states.h, place * h_size), at(states.c, place * c_size)
    return h, c, rows * h_size, rows * c_size
