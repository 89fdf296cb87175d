"""A layer's parameters in the layout of the products, and their gradient back from it.

theta begins with W_ih (4H, I), W_hh (4H, P), b (4H), where a gate may be absent; in the products it
is there, with weights of zero. Forward, panels 2u and 2u + 1 hold the gates (i, f) and
(g, o) of the u-th vector of units; their k runs over 1 (whose weight is b), x and h. The letters in
the shape comments: see `tape.py`.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, copy, copy_spaced, pack_panel, product
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import (
    Block,
    at,
    get,
    lanes_of,
    load,
    move,
    noinline,
    panel_width,
    put,
    store,
)
from numlstm.backends.cpu.layer.row_terms import add_lines, add_panel
from numlstm.backends.cpu.layer.tape import in_caller, line_of, read_layout, rows_at

MANY = 2**16  # numbers to rearrange that are worth a meeting of the threads
# lines of tape whose share of dW is computed in one product, and how many of its panels
LINES_OF_DZ, PANELS_OF_DZ = 128, 8


@entry
def pack(driver, numbers, theta, weights):
    """Fill weights (2U, K, W) from theta."""
    layout = read_layout(numbers)
    for_shards(pack_vector, driver, layout.vectors, (layout, theta, weights))


@kernel
def pack_vector(u, layout, theta, weights):
    """The two panels of a vector of units."""
    noinline()
    k, width, lanes = 1 + layout.inputs + layout.outputs, panel_width(theta), lanes_of(theta)
    for gate in range(4):
        panel = at(weights, (2 * u + gate // 2) * k * width + gate % 2 * lanes)
        own = gate_of_theta(layout, gate)
        count = 0 if own < 0 else min(lanes, layout.units - u * lanes)
        for j in range(count):
            b, w_ih, w_hh = row_of_theta(layout, own * layout.units + u * lanes + j, theta)
            to = move(panel, j)
            put(to, 0, get(b, 0) if layout.biased else get(b, 0) * 0)
            copy_spaced(move(to, width), width, w_ih, 1, layout.inputs)
            copy_spaced(move(to, (1 + layout.inputs) * width), width, w_hh, 1, layout.outputs)
        for j in range(count, lanes):
            for row in range(k):
                put(panel, row * width + j, 0)


@kernel
def unpack(u, layout, dW, dtheta):
    """The mirror of `pack`, for a vector of units. dW (2U, K, W)."""
    noinline()
    k, width, lanes = 1 + layout.inputs + layout.outputs, panel_width(dtheta), lanes_of(dtheta)
    for gate in range(4):
        panel = move(dW, (2 * u + gate // 2) * k * width + gate % 2 * lanes)
        own = gate_of_theta(layout, gate)
        for j in range(0 if own < 0 else min(lanes, layout.units - u * lanes)):
            db, dw_ih, dw_hh = row_of_theta(layout, own * layout.units + u * lanes + j, dtheta)
            source = move(panel, j)
            put(db, 0, get(source, 0))
            copy_spaced(dw_ih, 1, move(source, width), width, layout.inputs)
            copy_spaced(dw_hh, 1, move(source, (1 + layout.inputs) * width), width, layout.outputs)


@kernel
def sum_gradients(driver, layout, dW, dtheta):
    """dtheta from the sum over dW (shards, 2U, K, W), whose first part becomes the sum.

    Where dW is empty, as it was not wanted, dtheta may be, too.
    """
    if dW.size >= MANY:
        for_shards(_sum_vector, driver, layout.vectors, (layout, dW, dtheta))
    elif dW.size > 0:
        for u in range(layout.vectors):
            _sum_vector(u, layout, dW, dtheta)


@kernel
def _sum_vector(u, layout, dW, dtheta):
    """One shard after the other, so that the sum is the same on any machine."""
    size = dW.size // layout.shards
    share = size // layout.vectors
    for shard in range(1, layout.shards):
        accumulate(at(dW, u * share), at(dW, shard * size + u * share), share)
    unpack(u, layout, at(dW, 0), dtheta)


@kernel
def gate_of_theta(layout, gate):
    """Position of a gate (i, f, g, o) in theta, or -1."""
    if layout.gates == 4 or gate == 0:
        return gate
    return gate - 1 if gate > 1 else -1


@kernel
def row_of_theta(layout, row, theta):
    """Pointers to b, W_ih and W_hh of one of the 4H rows."""
    rows, inputs, outputs = layout.gates * layout.units, layout.inputs, layout.outputs
    w_hh = at(theta, rows * inputs + row * outputs)
    return at(theta, rows * (inputs + outputs) + row), at(theta, row * inputs), w_hh


class Columns(NamedTuple):
    """The weights packed for the backward pass: k runs over the rows of W_hh and W_ih, by gates."""

    h: Any  # (ceil(P / W), 4 gate, W)
    x: Any  # (ceil(I / W), 4 gate, W), or empty where dX is not wanted


@kernel
def pack_columns(driver, layout, theta, columns, gate):
    """Fill columns from theta; `gate` >= H rows belong to a gate."""
    panels = max(columns.h.shape[0], columns.x.shape[0])
    if theta.size >= MANY:
        for_shards(_pack_columns_of, driver, panels, (layout, theta, columns, gate))
    else:
        for panel in range(panels):
            _pack_columns_of(panel, layout, theta, columns, gate)


@kernel
def _pack_columns_of(panel, layout, theta, columns, gate):
    """One panel of W_hh and one of W_ih."""
    noinline()
    width, units = panel_width(theta), layout.units
    for n in range(4):
        own, first = gate_of_theta(layout, n), n * gate * width
        rows = 0 if own < 0 else units
        _, w_ih, w_hh = row_of_theta(layout, max(own, 0) * units, theta)
        if panel < columns.h.shape[0]:
            to = at(columns.h, panel * 4 * gate * width + first)
            pack_panel(to, gate, w_hh, rows, layout.outputs, panel * width)
        if panel < columns.x.shape[0]:
            to = at(columns.x, panel * 4 * gate * width + first)
            pack_panel(to, gate, w_ih, rows, layout.inputs, panel * width)


# --- gradients of W and of x from dz --------------------------------------------------------------


@kernel
def use_dz(shard, t_first, t_last, waiting, gate, layout, columns, tape, gradient):
    """dW += dz' xh, dx = dz W_ih and sums of dz of the waiting lines, steps t_first to t_last.

    A line of dz has `gate` numbers for each of the four gates. An empty dW is not wanted.
    """
    noinline()
    capacity, dz_row = gradient.dz.shape[1], gradient.dz.shape[2]
    start = at(gradient.dz, (shard * capacity + capacity - waiting) * dz_row)
    dz = Block(start, dz_row, 1)
    line, w_k = line_of(layout, shard, t_first), 1 + layout.inputs + layout.outputs
    width = panel_width(columns.x)
    dW = at(gradient.dW, shard * 2 * layout.vectors * w_k * width)
    panels = at(gradient.panels, shard * PANELS_OF_DZ * LINES_OF_DZ * width)
    summed = Summed(shard, t_first, t_first, gradient.terms)
    wanted = gradient.dW.size > 0
    if wanted and gradient.terms.size > 0 and waiting <= LINES_OF_DZ:
        summed = Summed(shard, t_first, t_last, gradient.terms)
    elif gradient.terms.size > 0:
        whole = 2 * layout.vectors
        add_lines(shard, t_first, t_last, 0, whole, dz, gate, layout, gradient.terms)
    if wanted:
        add_to_dW(0, 2 * layout.vectors, line, waiting, dz, gate, layout, tape, dW, panels, summed)
    if gradient.dX.size > 0:
        dx = at(gradient.dx, shard * capacity * gradient.dx.shape[2])
        w_x = Block(at(columns.x, 0), 4 * gate * width, width)
        put_dX(shard, t_first, t_last, waiting, dz, w_x, layout, dx, gradient.dX)


class Summed(NamedTuple):
    """The steps of the lines of which `add_to_dW` also sums dz by rows: all of them, or none."""

    shard: int
    t_first: int
    t_last: int
    terms: Any  # see `row_terms.py`


@kernel
def add_to_dW(first, last, line, lines, dz, gate, layout, tape, dW, panels, summed):
    """dW += sum of dz xh' over lines of tape, a range of panels. dW (2U, K, W), dz (lines, 4 gate).

    A few panels of dz are brought together: in place, their lines would collide in the cache.
    """
    noinline()
    k, width = 1 + layout.inputs + layout.outputs, panel_width(dW)
    for part in range(0, lines, LINES_OF_DZ):
        count = min(LINES_OF_DZ, lines - part)
        xh = Block(move(tape.xh.start, (line + part) * tape.xh.row), 1, tape.xh.row)
        for p in range(first, last, PANELS_OF_DZ):
            high = min(PANELS_OF_DZ, last - p)
            for n in range(high):
                panel = move(panels, n * LINES_OF_DZ * width)
                copy_panel(panel, move(dz.start, part * dz.row), dz.row, p + n, gate, count)
                if summed.t_last > summed.t_first:
                    steps = summed.shard, summed.t_first, summed.t_last
                    add_panel(*steps, p + n, panel, layout, summed.terms)
            out = Block(move(dW, p * k * width), width, k * width)
            product(out, xh, Block(panels, LINES_OF_DZ * width, width), k, high, count, True)


@kernel
def copy_panel(panel, dz, dz_row, p, gate, count):
    """panel (count, W) = what belongs to panel p of dz (count, 4, gate)."""
    noinline()
    lanes = lanes_of(panel)
    source = move(dz, p % 2 * 2 * gate + p // 2 * lanes)
    for j in range(count):
        line = move(source, j * dz_row)
        store(panel, j * 2 * lanes, load(line, 0))
        store(panel, j * 2 * lanes + lanes, load(line, gate))


@kernel
def put_dX(shard, t_first, t_last, lines, dz, w, layout, dx, dX):
    """dx = dz W_ih of `lines` lines, steps t_first to t_last; dx (lines, padded I) is scratch."""
    noinline()
    row = (layout.inputs + w.column - 1) // w.column * w.column
    product(Block(dx, row, w.column), dz, w, lines, row // w.column, w.row // w.column, False)
    place = get(layout.place, shard)
    for t in range(t_first, t_last):
        for j in range(rows_at(layout, shard, t)):
            copy(in_caller(layout, dX, place + j, t, layout.inputs), dx, layout.inputs)
            dx = move(dx, row)
