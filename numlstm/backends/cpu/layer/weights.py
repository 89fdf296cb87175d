"""A layer's parameters in the layout of the products, and their gradient back from it.

theta begins with W_ih (4H, I), W_hh (4H, P), b (4H), where a gate may be absent; in the products it
is there, with weights of zero. Forward, panels 2u and 2u + 1 hold the gates (i, f) and
(g, o) of the u-th vector of units; their k runs over 1 (whose weight is b), x and h. The letters in
the shape comments: see `tape.py`.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, copy_spaced, pack_panel
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import at, compact, get, lanes_of, move, panel_width, put
from numlstm.backends.cpu.layer.tape import read_plan

MANY = 2**16  # numbers to rearrange that are worth a meeting of the threads


@entry
def pack(driver, numbers, theta, weights):
    """Fill weights (2U, K, W) from theta."""
    plan = read_plan(numbers)
    for_shards(pack_vector, driver, plan.vectors, (plan, theta, weights))


@kernel
def pack_vector(u, plan, theta, weights):
    """The two panels of a vector of units."""
    compact()
    k, width, lanes = 1 + plan.inputs + plan.outputs, panel_width(theta), lanes_of(theta)
    for gate in range(4):
        panel = at(weights, (2 * u + gate // 2) * k * width + gate % 2 * lanes)
        own = gate_of_theta(plan, gate)
        count = 0 if own < 0 else min(lanes, plan.units - u * lanes)
        for j in range(count):
            b, w_ih, w_hh = row_of_theta(plan, own * plan.units + u * lanes + j, theta)
            to = move(panel, j)
            put(to, 0, get(b, 0) if plan.biased else get(b, 0) * 0)
            copy_spaced(move(to, width), width, w_ih, 1, plan.inputs)
            copy_spaced(move(to, (1 + plan.inputs) * width), width, w_hh, 1, plan.outputs)
        for j in range(count, lanes):
            for row in range(k):
                put(panel, row * width + j, 0)


@kernel
def unpack(u, plan, dW, dtheta):
    """The mirror of `pack`, for a vector of units. dW (2U, K, W)."""
    compact()
    k, width, lanes = 1 + plan.inputs + plan.outputs, panel_width(dtheta), lanes_of(dtheta)
    for gate in range(4):
        panel = move(dW, (2 * u + gate // 2) * k * width + gate % 2 * lanes)
        own = gate_of_theta(plan, gate)
        for j in range(0 if own < 0 else min(lanes, plan.units - u * lanes)):
            db, dw_ih, dw_hh = row_of_theta(plan, own * plan.units + u * lanes + j, dtheta)
            source = move(panel, j)
            put(db, 0, get(source, 0))
            copy_spaced(dw_ih, 1, move(source, width), width, plan.inputs)
            copy_spaced(dw_hh, 1, move(source, (1 + plan.inputs) * width), width, plan.outputs)


@kernel
def sum_gradients(driver, plan, dW, dtheta):
    """dtheta from the sum over dW (shards, 2U, K, W), whose first part becomes the sum."""
    if dW.size >= MANY:
        for_shards(_sum_vector, driver, plan.vectors, (plan, dW, dtheta))
    else:
        for u in range(plan.vectors):
            _sum_vector(u, plan, dW, dtheta)


@kernel
def _sum_vector(u, plan, dW, dtheta):
    """One shard after the other, so that the sum is the same on any machine."""
    size = dW.size // plan.shards
    share = size // plan.vectors
    for shard in range(1, plan.shards):
        accumulate(at(dW, u * share), at(dW, shard * size + u * share), share)
    unpack(u, plan, at(dW, 0), dtheta)


@kernel
def gate_of_theta(plan, gate):
    """Where a gate (i, f, g, o) stands in theta, or -1."""
    if plan.gates == 4 or gate == 0:
        return gate
    return gate - 1 if gate > 1 else -1


@kernel
def row_of_theta(plan, row, theta):
    """Pointers to b, W_ih and W_hh of one of the 4H rows."""
    rows, inputs, outputs = plan.gates * plan.units, plan.inputs, plan.outputs
    w_hh = at(theta, rows * inputs + row * outputs)
    return at(theta, rows * (inputs + outputs) + row), at(theta, row * inputs), w_hh


class Columns(NamedTuple):
    """The weights packed for the way back: k runs over the rows of W_hh and W_ih, by gates."""

    h: Any  # (ceil(P / W), 4 gate, W)
    x: Any  # (ceil(I / W), 4 gate, W), or empty where dX is not wanted


@kernel
def pack_columns(driver, plan, theta, columns, gate):
    """Fill columns from theta; `gate` >= H rows belong to a gate."""
    panels = max(columns.h.shape[0], columns.x.shape[0])
    if theta.size >= MANY:
        for_shards(_pack_columns_of, driver, panels, (plan, theta, columns, gate))
    else:
        for panel in range(panels):
            _pack_columns_of(panel, plan, theta, columns, gate)


@kernel
def _pack_columns_of(panel, plan, theta, columns, gate):
    """One panel of W_hh and one of W_ih."""
    compact()
    width, units = panel_width(theta), plan.units
    for n in range(4):
        own, first = gate_of_theta(plan, n), n * gate * width
        rows = 0 if own < 0 else units
        _, w_ih, w_hh = row_of_theta(plan, max(own, 0) * units, theta)
        if panel < columns.h.shape[0]:
            to = at(columns.h, panel * 4 * gate * width + first)
            pack_panel(to, gate, w_hh, rows, plan.outputs, panel * width)
        if panel < columns.x.shape[0]:
            to = at(columns.x, panel * 4 * gate * width + first)
            pack_panel(to, gate, w_ih, rows, plan.inputs, panel * width)
