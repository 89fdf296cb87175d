"""One time step of a whole network, for callers that own the loop: no allocation, no Python.

All that a step needs stands in one block of memory, a `Net`: the address of the compiled function,
sizes, offsets and the packed parameters; `numlstm/stepping/memory.py` writes it. So a caller holds
one pointer, and its machine code has nothing of ours in it. Scratch is on the stack. The letters
in the shape comments: see `tape.py`; R rows of a batch.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, copy, product
from numlstm.backends.cpu.codegen.vectors import (
    Block,
    at,
    get,
    lanes_of,
    load,
    load_pair,
    move,
    panel_width,
    put,
    store,
    store_pair,
)
from numlstm.backends.cpu.layer.plain_cell import forward_cells
from numlstm.backends.cpu.layer.recurrence import mix_rows, project
from numlstm.backends.cpu.layer.variant_cell import SCALES, Row, forward_row
from numlstm.cell.elementary import compilable, fma, like
from numlstm.cell.encoding import Variant
from numlstm.cell.equations import cell_forward
from numlstm.stepping.kernels.pointers import (
    as_floats,
    at_address,
    call_at,
    is_null,
    own_frame,
    read_numbers,
    read_record,
    recast,
    reserve,
)

DONE, NULL_POINTER, WRONG_SIZE = 0, 1, 2  # what a step returns
MODERATE = 1e18  # products of two numbers up to it are finite in float32, and sums of them

# where in a net's memory the addresses of its step and of the step's derivatives stand, 0 where
# they are not wanted, and where its sizes begin
STEP, JVP, VJP, SIZES = range(4)


class Sizes(NamedTuple):
    """A network in integers, with the names of `tape.SequenceLayout` that its kernels share."""

    inputs: int  # I
    width: int  # O: outputs of the network
    layers: int
    units: int  # H
    outputs: int  # P
    vectors: int  # U
    padded: int
    padded_out: int
    padded_width: int  # O, filled up to whole panels
    slots: int
    projected: int
    residual: int
    head: int
    scaled: int  # whether x and y are in the units of the data
    gates: int  # how many have weights of their own: 4, or 3 without a forget gate
    parameters: int  # length of theta
    head_theta: int  # where the head's begin in theta
    own: int  # triples of `Part.own`
    rows: int  # that are taken at once
    rows_derived: int  # as many where derivatives are asked for
    # where things stand: in the memory,
    parts_at: int
    cell_at: int  # a `Variant`
    scaling_at: int
    values_at: int
    # and among the values
    ones: int  # (padded,)
    keep_c: int  # (padded,)
    keep_h: int  # (padded_out,)
    head_panels: int  # (padded O / W, P, W)
    head_bias: int  # (padded O,)
    head_back: int  # (padded P / W, O, W) the transpose, for gradients
    zeros: int  # (4 padded,), at least 4 U L
    direct_panels: int  # (padded O / W, I, W) of direct connections
    direct_back: int  # (padded I / W, O, W)
    # whether there are any, and where their weight begins in theta
    direct: int
    direct_theta: int
    # attributes of a whole sequence. In the memory, 0 where there are none: what the first level
    # adds to z of a row, the attributes, and where the gradient of what it adds is to be summed
    static: int  # S
    terms_at: int  # (rows, 4 U L) as z is
    static_at: int  # (rows, S)
    dterms_at: int  # (rows, 4 U L) as dz is
    terms_row: int  # from one row of the three to the next, 0 where all rows share them
    static_row: int
    dterms_row: int
    home: int  # address of the memory that places count from, 0 where it is where this stands


class Part(NamedTuple):
    """One layer: how many features it reads, and where its parameters stand.

    Among the values; what is there for gradients alone is missing where they are not asked for.
    """

    inputs: int
    panels: int  # (2U, K, W)
    unit: int  # (UNIT_ROWS, padded)
    out: int  # (padded P / W, H, W)
    out_back: int  # (padded H / W, P, W) the transpose
    x_back: int  # (ceil(I / W), 4 U L, W) W_ih, and W_hh, for gradients
    h_back: int  # (padded P / W, 4 U L, W)
    theta: int  # in theta: where the layer's parameters begin, and where W_hr does
    theta_out: int
    theta_static: int  # where W_is begins, of the first level
    own: int  # from the parts on: (row of unit, place in theta, count) of what units have alone


class Net(NamedTuple):
    """A network in memory. It has many parts: kernels pass the address on, and read it again."""

    sizes: Sizes
    parts: Any
    scaling: Any  # means and scales of x, factors and offsets of y, in float64
    values: Any


class Shape(NamedTuple):
    """Sizes of a layer for `variant_cell.py`: see `tape.SequenceLayout`."""

    units: int
    vectors: int
    padded: int
    slots: int


@kernel
def read_net(memory, number):
    """The net at a pointer; `number` points to numbers of its type."""
    sizes = read_numbers(move(memory, SIZES), 0, Sizes)
    values = recast(move(memory, sizes.values_at), number)
    scaling = as_floats(move(memory, sizes.scaling_at))
    return Net(sizes, move(memory, sizes.parts_at), scaling, values)


@kernel
def home_of(memory):
    """The net itself, of one that may be a copy of its head."""
    return at_address(read_numbers(move(memory, SIZES), 0, Sizes).home, memory)


@kernel
def shape_of(s):
    """Sizes for the kernels of a row."""
    return Shape(s.units, s.vectors, s.padded, s.slots)


@kernel
def cell_of(memory):
    """The cell, without the ends of its activations, which are for derivatives."""
    sizes = read_numbers(move(memory, SIZES), 0, Sizes)
    return read_record(move(memory, sizes.cell_at), Variant)


# --- scratch --------------------------------------------------------------------------------------


class Work(NamedTuple):
    """Scratch of one step of so many rows."""

    x: Any  # (R, I) the input in the network's units
    hidden: Any  # (R, P) what goes from one residual layer to the next
    xh: Any  # (R, K)
    z: Any  # (R, 4 padded)
    m: Any  # (R, padded)
    out: Any  # (R, padded_out)
    y: Any  # (R, padded O)
    direct: Any  # (R, padded O) what direct connections add to y, where there are any
    h: Any  # (padded_out,) of one row, and so the next two
    c: Any  # (padded,)
    cells: Any  # (slots * padded + SCALES,)


@compilable()
def row_of_xh(s):
    """Elements of a line of xh."""
    return whole(1 + max(s.inputs, s.outputs) + s.outputs)


@compilable()
def whole(count):
    """The count, filled up to whole cache lines."""
    return -(-count // 16) * 16


@compilable()
def work_size(s, rows):
    """Elements of scratch."""
    per_row = whole(s.inputs) + whole(s.outputs) + row_of_xh(s) + 5 * whole(s.padded)
    per_row += whole(s.padded_out) + whole(s.padded_width) * (1 + s.direct)
    cells = whole(s.slots * s.padded + SCALES)
    return rows * per_row + whole(s.padded_out) + whole(s.padded) + cells


@kernel
def carve(s, rows, memory):
    """The scratch in a piece of memory."""
    x = memory
    hidden = move(x, rows * whole(s.inputs))
    xh = move(hidden, rows * whole(s.outputs))
    z = move(xh, rows * row_of_xh(s))
    m = move(z, rows * 4 * whole(s.padded))
    out = move(m, rows * whole(s.padded))
    y = move(out, rows * whole(s.padded_out))
    direct = move(y, rows * whole(s.padded_width))
    h = move(direct, s.direct * rows * whole(s.padded_width))
    c = move(h, whole(s.padded_out))
    return Work(x, hidden, xh, z, m, out, y, direct, h, c, move(c, whole(s.padded)))


# --- one step -------------------------------------------------------------------------------------


@kernel
def advance(layer_step, memory, scratch, first, rows, batch, x, h, c, y):
    """h and c after the step, in place, and y; x (R, I) and y (R, O) are Blocks.

    h (layers, batch, P) and c (layers, batch, H) are pointers to the first of the rows, which is
    row `first` of the caller.
    """
    s = read_net(memory, h).sizes
    work, below = carve(s, rows, scratch), x
    if s.scaled:
        scale_inputs(memory, rows, x, work.x)
        below = Block(work.x, s.inputs, 1)
    if s.direct:
        put_direct(memory, rows, below, work.direct)
    for layer in range(s.layers):
        h_layer = move(h, layer * batch * s.outputs)
        c_layer = move(c, layer * batch * s.units)
        terms = terms_of(memory, layer, first, h)
        layer_step(memory, scratch, layer, rows, terms, below, h_layer, c_layer)
        below = Block(h_layer, s.outputs, 1)
        if s.residual:
            if layer == 0:
                copy(work.hidden, h_layer, rows * s.outputs)
            else:
                accumulate(work.hidden, h_layer, rows * s.outputs)
            below = Block(work.hidden, s.outputs, 1)
    if s.head or s.scaled:
        put_outputs(memory, rows, below, y, work)
    else:
        for j in range(rows):
            copy(move(y.start, j * y.row), move(below.start, j * below.row), s.width)


@kernel
def scale_inputs(memory, rows, x, target):
    """x (R, I) in the network's units."""
    net = read_net(memory, target)
    inputs, scaling = net.sizes.inputs, net.scaling
    for j in range(rows):
        for i in range(inputs):
            value = get(x.start, j * x.row + i)
            shifted = like(get(scaling, i), value) - get(scaling, i)
            put(target, j * inputs + i, like(value, shifted / get(scaling, inputs + i)))


@kernel
def put_direct(memory, rows, x, target):
    """What direct connections add to y: target (R, padded O) from x (R, I)."""
    net, width = read_net(memory, target), panel_width(target)
    s, row = net.sizes, net.sizes.padded_width
    w = Block(move(net.values, s.direct_panels), s.inputs * width, width)
    product(Block(target, row, width), x, w, rows, row // width, s.inputs, False)


@kernel
def put_outputs(memory, rows, hidden, y, work):
    """y from what the last layer gives: the head, and the units of the data."""
    scratch = work.y
    net = read_net(memory, scratch)
    s, row = net.sizes, net.sizes.padded_width
    if s.head:
        width = panel_width(scratch)
        for j in range(rows):
            copy(move(scratch, j * row), move(net.values, s.head_bias), row)
        w = Block(move(net.values, s.head_panels), s.outputs * width, width)
        out = Block(scratch, row, width)
        product(out, hidden, w, rows, row // width, s.outputs, True)
        if s.direct:
            accumulate(scratch, work.direct, rows * row)
        hidden = Block(scratch, row, 1)
    for j in range(rows):
        target, source = move(y.start, j * y.row), move(hidden.start, j * hidden.row)
        if s.scaled:
            scale_output(memory, source, target)
        else:
            copy(target, source, s.width)


@kernel
def scale_output(memory, source, target):
    """One row of y in the units of the data."""
    net = read_net(memory, source)
    width, factors = net.sizes.width, move(net.scaling, 2 * net.sizes.inputs)
    for i in range(width):
        value, factor = get(source, i), get(factors, i)
        put(target, i, like(value, like(factor, value) * factor + get(factors, width + i)))


@kernel
def terms_of(memory, layer, first, h):
    """What is in z of a layer before the products, from a row on; without it zeros, row 0."""
    net = read_net(memory, h)
    s = net.sizes
    start, row = move(net.values, s.zeros), 0
    if layer == 0 and s.terms_at > 0:
        start, row = move(recast(move(memory, s.terms_at), h), first * s.terms_row), s.terms_row
    return Block(start, row, 1)


@kernel
def put_z(memory, scratch, layer, rows, terms, below, h):
    """z = terms + W [1 x h] of all rows; their lines of xh stay."""
    net = read_net(memory, h)
    s, row, begun = net.sizes, row_of_xh(net.sizes), layer == 0 and net.sizes.terms_at > 0
    part, work = read_numbers(net.parts, layer, Part), carve(s, rows, scratch)
    for j in range(rows):
        xh = move(work.xh, j * row)
        put(xh, 0, 1)
        copy(move(xh, 1), move(below.start, j * below.row), part.inputs)
        copy(move(xh, 1 + part.inputs), move(h, j * s.outputs), s.outputs)
        if begun:
            z_row, count = move(work.z, j * 4 * s.padded), 4 * s.vectors * lanes_of(terms.start)
            copy(z_row, move(terms.start, j * terms.row), count)
    k, width = 1 + part.inputs + s.outputs, panel_width(h)
    w = Block(move(net.values, part.panels), k * width, width)
    z = Block(work.z, 4 * s.padded, width)
    product(z, Block(work.xh, row, 1), w, rows, 2 * s.vectors, k, begun)


# --- the plain cell -------------------------------------------------------------------------------


@kernel
def plain_layer(memory, scratch, layer, rows, terms, below, h, c):
    """h (R, P) and c (R, H) of a layer without a variant, in place; below (R, I) is its input."""
    if rows == 1:
        plain_row(memory, scratch, layer, terms.start, below.start, h, c)
    else:
        plain_rows(memory, scratch, layer, rows, terms, below, h, c)


@kernel
def plain_rows(memory, scratch, layer, rows, terms, below, h, c):
    """Several rows, by tiles."""
    put_z(memory, scratch, layer, rows, terms, below, h)
    s = read_net(memory, h).sizes
    work = carve(s, rows, scratch)
    for j in range(rows):
        h_row, c_row = move(h, j * s.units), move(c, j * s.units)
        copy(work.c, c_row, s.units)
        z_row = move(work.z, j * 4 * s.padded)
        forward_cells(0, s.vectors, z_row, work.c, work.h, work.cells)
        copy(c_row, work.c, s.units)
        copy(h_row, work.h, s.units)


@kernel
def plain_row(memory, scratch, layer, terms, x, h, c):
    """One row: the sums stay in registers until the cells have taken them."""
    net = read_net(memory, h)
    s, part = net.sizes, read_numbers(net.parts, layer, Part)
    work, lanes, panels = carve(s, 1, scratch), lanes_of(h), move(net.values, part.panels)
    k, c_row = 1 + part.inputs + s.outputs, c
    fits = s.vectors * lanes == s.units  # else what is beyond the units is not ours
    if not fits:
        c_row = work.c
        copy(c_row, c, s.units)
    for u in range(0, s.vectors - 1, 2):
        at_unit, begin = move(panels, 4 * lanes * k * u), move(terms, 4 * lanes * u)
        z = sums_of_pair(at_unit, begin, k, part.inputs, x, h)
        c_prev = load_pair(c_row, lanes * u, lanes * u + lanes)
        _, _, _, _, c_now, h_now = cell_forward(z[0], z[1], z[2], z[3], c_prev)
        store_pair(work.h, lanes * u, lanes * u + lanes, h_now)
        store_pair(c_row, lanes * u, lanes * u + lanes, c_now)
    if s.vectors % 2 == 1:
        u = s.vectors - 1
        at_unit, begin = move(panels, 4 * lanes * k * u), move(terms, 4 * lanes * u)
        z = sums_of_one(at_unit, begin, k, part.inputs, x, h)
        _, _, _, _, c_one, h_one = cell_forward(z[0], z[1], z[2], z[3], load(c_row, lanes * u))
        store(work.h, lanes * u, h_one)
        store(c_row, lanes * u, c_one)
    copy(h, work.h, s.units)
    if not fits:
        copy(c, c_row, s.units)


@kernel
def sums_of_pair(w, begin, k, inputs, x, h):
    """z of the four gates of two vectors of units; every element is summed over k in order.

    begin (2, 4, L) is what the sums begin with.
    """
    lanes, panel = lanes_of(w), panel_width(w) * k
    p, q, r = panel, 2 * panel, 3 * panel  # where the other panels begin
    z_i = load_pair(begin, 0, 4 * lanes) + load_pair(w, 0, q)
    z_f = load_pair(begin, lanes, 5 * lanes) + load_pair(w, lanes, q + lanes)
    z_g = load_pair(begin, 2 * lanes, 6 * lanes) + load_pair(w, p, r)
    z_o = load_pair(begin, 3 * lanes, 7 * lanes) + load_pair(w, p + lanes, r + lanes)
    source, count = x, inputs
    for _ in range(2):  # over x, then over h
        for n in range(count):
            w = move(w, 2 * lanes)
            value = like(z_i, get(source, n))
            z_i = fma(value, load_pair(w, 0, q), z_i)
            z_f = fma(value, load_pair(w, lanes, q + lanes), z_f)
            z_g = fma(value, load_pair(w, p, r), z_g)
            z_o = fma(value, load_pair(w, p + lanes, r + lanes), z_o)
        source, count = h, k - 1 - inputs
    return z_i, z_f, z_g, z_o


@kernel
def sums_of_one(w, begin, k, inputs, x, h):
    """`sums_of_pair` of a single vector of units."""
    lanes, p = lanes_of(w), panel_width(w) * k
    z_i, z_f = load(begin, 0) + load(w, 0), load(begin, lanes) + load(w, lanes)
    z_g = load(begin, 2 * lanes) + load(w, p)
    z_o = load(begin, 3 * lanes) + load(w, p + lanes)
    source, count = x, inputs
    for _ in range(2):
        for n in range(count):
            w = move(w, 2 * lanes)
            value = like(z_i, get(source, n))
            z_i = fma(value, load(w, 0), z_i)
            z_f = fma(value, load(w, lanes), z_f)
            z_g = fma(value, load(w, p), z_g)
            z_o = fma(value, load(w, p + lanes), z_o)
        source, count = h, k - 1 - inputs
    return z_i, z_f, z_g, z_o


# --- a cell of any variant ------------------------------------------------------------------------


@kernel
def variant_layer(memory, scratch, layer, rows, terms, below, h, c):
    """Step of a layer of any variant."""
    cells = carve(read_net(memory, h).sizes, rows, scratch).cells
    variant_rows(memory, scratch, layer, rows, terms, below, h, c, Block(cells, 0, 1))


@kernel
def variant_rows(memory, scratch, layer, rows, terms, below, h, c, tape):
    """Step of a layer of any variant; tape (R, cells) keeps the gates of every row."""
    put_z(memory, scratch, layer, rows, terms, below, h)
    net = read_net(memory, h)
    s, cell = net.sizes, cell_of(memory)
    part, work, shape = read_numbers(net.parts, layer, Part), carve(s, rows, scratch), shape_of(s)
    ones, keep_c = move(net.values, s.ones), move(net.values, s.keep_c)
    for j in range(rows):
        row = Row(move(tape.start, j * tape.row), work.c, 1, ones, keep_c)
        copy(work.c, move(c, j * s.units), s.units)
        z_row, m_row = move(work.z, j * 4 * s.padded), move(work.m, j * s.padded)
        forward_row(shape, cell, move(net.values, part.unit), row, z_row, work.c, m_row)
        copy(move(c, j * s.units), work.c, s.units)
    put_hidden(memory, scratch, layer, rows, h)


@kernel
def put_hidden(memory, scratch, layer, rows, h):
    """h from m = o a: the projection, and what zoneout keeps of the old one."""
    net, width = read_net(memory, h), panel_width(h)
    s, work = net.sizes, carve(net.sizes, rows, scratch)
    if s.projected:
        w_out = move(net.values, read_numbers(net.parts, layer, Part).out)
        m, out = Block(work.m, s.padded, 1), Block(work.out, s.padded_out, width)
        w = Block(w_out, s.units * width, width)
        project(cell_of(memory), out, m, w, rows, s.padded_out // width, s.units)
    for j in range(rows):
        new = move(work.m, j * s.padded)
        if s.projected:
            new = move(work.out, j * s.padded_out)
        copy(work.h, move(h, j * s.outputs), s.outputs)
        mix_rows(work.h, move(net.values, s.keep_h), new, work.h, s.padded_out)
        copy(move(h, j * s.outputs), work.h, s.outputs)


# --- the functions that callers reach by address --------------------------------------------------


@kernel
def advance_on_stack(layer_step, memory, first, rows, batch, x, h, c, y):
    """`advance` with scratch that is gone at the end."""
    own_frame()
    scratch = reserve(h, work_size(read_net(memory, h).sizes, rows))
    advance(layer_step, memory, scratch, first, rows, batch, x, h, c, y)


@kernel
def fault_of(memory, pointers, batch):
    """Status of a call with these arguments: the fault, or DONE."""
    if is_null(memory):
        return NULL_POINTER
    for pointer in pointers:
        if is_null(pointer):
            return NULL_POINTER
    return WRONG_SIZE if batch < 0 else DONE


@kernel
def advance_all(layer_step, at_once, memory, x, h, c, y, batch):
    """The step of any number of rows, at most `at_once` of them together."""
    s, row = read_net(memory, x).sizes, 0
    while row < batch:
        rows = min(at_once, batch - row)
        x_rows = Block(move(x, row * s.inputs), s.inputs, 1)
        y_rows = Block(move(y, row * s.width), s.width, 1)
        h_rows, c_rows = move(h, row * s.outputs), move(c, row * s.units)
        advance_on_stack(layer_step, memory, row, rows, batch, x_rows, h_rows, c_rows, y_rows)
        row += rows


@kernel
def take_step(layer_step, memory, x, h, c, y, batch):
    """The step, if the arguments are right; its status."""
    fault = fault_of(memory, (x, h, c, y), batch)
    if fault == DONE:
        memory = home_of(memory)
        at_once = read_net(memory, x).sizes.rows
        advance_all(layer_step, at_once, memory, x, h, c, y, batch)
    return fault


def step_plain(memory, x, h, c, y, batch):
    """A step of networks of plain cells."""
    return take_step(plain_layer, memory, x, h, c, y, batch)


def step_variant(memory, x, h, c, y, batch):
    """A step of networks of any variant."""
    return take_step(variant_layer, memory, x, h, c, y, batch)


# --- from Python ----------------------------------------------------------------------------------


@entry
def step_once(memory, x, h, c, y, h_new, c_new):
    """A step that leaves h and c as they are; whether x, h and c were moderate."""
    for array, target in ((h, h_new), (c, c_new)):
        copy(at(target, 0), at(array, 0), array.size)
    good = moderate(x) and moderate(h) and moderate(c)
    net = at(memory, 0)
    if good:
        arguments = net, at(x, 0), at(h_new, 0), at(c_new, 0), at(y, 0), x.shape[0]
        call_at(get(net, STEP), arguments)
    return good


@kernel
def moderate(array):
    """Whether all magnitudes are below `MODERATE`; that of a NaN is not."""
    start, good = at(array, 0), 0
    for i in range(array.size):
        value = get(start, i)
        good += (value < MODERATE) & (value > -MODERATE)
    return good == array.size
