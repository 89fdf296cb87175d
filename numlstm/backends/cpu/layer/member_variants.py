"""Layers of any variant of the members of an ensemble, in one call: the kernels of `members.py`.

Those of `recurrence.py` do the arithmetic, without masks, terms of rows and projections. M members;
the other letters: see `tape.py`.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import LayerSpec
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import copy
from numlstm.backends.cpu.codegen.memory_pool import from_pool
from numlstm.backends.cpu.codegen.packing import blocks, empty
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import at, get, lanes_of
from numlstm.backends.cpu.layer.recurrence import (
    Gradient,
    Layer,
    Masks,
    ParameterGradients,
    Parameters,
    Work,
    backward_shard,
    forward_shard,
)
from numlstm.backends.cpu.layer.shards import Layout
from numlstm.backends.cpu.layer.tape import Carry, Inputs, line_of, read_layout, read_tape
from numlstm.backends.cpu.layer.weights import (
    LINES_OF_DZ,
    PANELS_OF_DZ,
    Columns,
    pack_columns,
    pack_vector,
    sum_gradients,
)
from numlstm.cell.elementary import like
from numlstm.cell.encoding import UNIT_ROWS, encode, unit_rows, with_ends


class MembersWork(NamedTuple):
    """Scratch of a pass; the last two are those of all members, as nothing writes to them."""

    z: Any  # (M, B, U * 4 * L)
    m: Any  # (M, B, padded H)
    out: Any  # (M, B, padded H)
    dn: Any  # (M, shards, padded H)
    rows_of_ones: Any  # (B, padded H)
    ones: Any  # (shards, padded H)


def new_work(spec: LayerSpec, layout: Layout, members: int) -> tuple:
    """Scratch of both passes."""
    batch, padded = layout.batch, _padded(spec)
    return tuple(
        MembersWork(
            empty((members, batch, 4 * layout.gate), spec.dtype),
            np.zeros((members, batch, padded), spec.dtype),
            np.zeros((members, batch, padded), spec.dtype),
            np.zeros((members, layout.parts, padded), spec.dtype),
            np.ones((batch, padded), spec.dtype),
            np.ones((layout.parts, padded), spec.dtype),
        )
    )


def new_gradient(spec: LayerSpec, layout: Layout, columns: int, dX: np.ndarray) -> tuple:
    """Gradients of all members; dX (M, B, T, I), of no row where it is not wanted."""
    members, parts, dtype = len(dX), layout.parts, spec.dtype
    width = packing.panel_width(dtype)
    inputs = spec.input_size if dX.size else 0
    vectors, capacity = (
        blocks(spec.hidden_size, packing.lanes(dtype)),
        max(LINES_OF_DZ, layout.batch),
    )
    row = packing.odd_cache_lines(4 * layout.gate, np.dtype(dtype).itemsize)
    return (
        dX,
        from_pool((members, parts, 2 * vectors, columns, width), dtype),
        np.zeros((members, parts, UNIT_ROWS, _padded(spec)), dtype),
        from_pool((members, parts, capacity, row), dtype),
        empty((members, parts, capacity, _padded(spec)), dtype),
        empty((members, parts, PANELS_OF_DZ, LINES_OF_DZ, width), dtype),
        empty((members, parts, capacity, blocks(inputs, width) * width), dtype),
    )


def new_columns(spec: LayerSpec, layout: Layout, members: int, need_dX: bool) -> tuple:
    """Memory for the weights of the backward pass of all members."""
    width, rows = packing.panel_width(spec.dtype), 4 * layout.gate
    inputs = spec.input_size if need_dX else 0
    return (
        from_pool((members, blocks(spec.hidden_size, width), rows, width), spec.dtype),
        empty((members, blocks(inputs, width), rows, width), spec.dtype),
    )


def layer_of(spec: LayerSpec, thetas) -> tuple:
    """The cell, what every unit of a member has of its own, and the arrays that are empty here."""
    units = np.zeros((len(thetas), UNIT_ROWS, _padded(spec)), spec.dtype)
    for start, row in _places(spec):
        units[:, row, : spec.hidden_size] = thetas[:, start : start + spec.hidden_size]
    of_bits = np.empty((0, 0), np.uint8)
    return encode(spec), units, of_bits, *(np.empty((0,) * n, spec.dtype) for n in (2, 3))


def put_gradients(spec: LayerSpec, dthetas, dunits) -> None:
    """Put the gradients of what units have of their own, summed over the shards, into dthetas."""
    if not (places := _places(spec)):
        return
    totals = dunits[:, 0].copy()
    for shard in range(1, dunits.shape[1]):
        totals += dunits[:, shard]
    for start, row in places:
        dthetas[:, start : start + spec.hidden_size] = totals[:, row, : spec.hidden_size]


def _padded(spec: LayerSpec) -> int:
    width = packing.panel_width(spec.dtype)
    return blocks(spec.hidden_size, width) * width


@lru_cache(maxsize=64)
def _places(spec: LayerSpec) -> tuple[tuple[int, int], ...]:
    """Where in theta the numbers of the units begin that stand in a row of their own, and that."""
    count = sum(int(np.prod(shape)) for shape in spec.shapes.values())
    views = split(spec.shapes, np.arange(count))
    return tuple((int(views[name][part][0]), row) for name, part, row in unit_rows(spec))


@entry
def forward_members(driver, numbers, thetas, panels, X, terms, Y, carry, work, memory, layer):
    """Pack the weights and fill Y and the tape of every member."""
    layout = read_layout(numbers)
    arguments = (
        layout,
        thetas,
        panels,
        X,
        terms,
        Y,
        Carry(*carry),
        MembersWork(*work),
        memory,
        layer,
    )
    for_shards(_forward, driver, thetas.shape[0], arguments)


@kernel
def _forward(member, layout, thetas, panels, X, terms, Y, carries, works, memory, layers):
    """One member's forward pass from the state in `carries`."""
    for u in range(layout.vectors):
        pack_vector(u, layout, thetas[member], panels[member])
    lines = line_of(layout, layout.shards - 1, layout.steps)
    tape = read_tape(layout, lines, memory[member])
    carry = Carry(carries.h[member], carries.c[member])
    copy(tape.c_first.start, at(carry.c, 0), layout.batch * layout.padded)
    own = X[min(member, X.shape[0] - 1)]
    inputs = Inputs(own, carry.h, carry.c, terms)
    layer, work = _of_member(member, layers, layers[0]), _work_of(member, works)
    for shard in range(layout.shards):
        given = panels[member], inputs, Y[member], carry, work, tape, True
        forward_shard(shard, layout, layer, *given)


@kernel
def _of_member(member, layers, cell):
    """The layer of a member, with the cell given."""
    _, units, bits, nothing, none = layers
    masks = Masks(bits, nothing, nothing, none, none, none)
    return Layer(cell, Parameters(units[member], none, none), masks)


@kernel
def _work_of(member, works):
    """The scratch of a member."""
    ones = works.ones
    return Work(
        works.z[member],
        works.m[member],
        works.out[member],
        works.rows_of_ones,
        ones,
        ones,
        ones,
        works.dn[member],
    )


@entry
def backward_members(
    driver, serial, numbers, thetas, memory, carry, work, dY, dthetas, columns, gradient, layer
):
    """Fill dthetas up to the biases, dX where it is not empty, and the gradients of the units."""
    layout = read_layout(numbers)
    complete = with_ends(layer[0], like(get(at(thetas, 0), 0), 0.0))
    of_pass = Carry(*carry), MembersWork(*work), dY, dthetas, Columns(*columns), gradient
    arguments = serial, layout, thetas, memory, *of_pass, layer, complete
    for_shards(_backward, driver, thetas.shape[0], arguments)


@kernel
def _backward(
    member, serial, layout, thetas, memory, carries, works, dY, dthetas, packed, gradients, layers,
    cell,
):  # fmt: skip
    """One member's backward pass; the gradients of its shards are added in their order."""
    columns = Columns(packed.h[member], packed.x[member])
    theta, dtheta = thetas[member], dthetas[member]
    pack_columns(serial, layout, theta, columns, layout.vectors * lanes_of(theta))
    layer, work = _of_member(member, layers, cell), _work_of(member, works)
    dX, dW, dunits, dz, dh, panels, dx = gradients
    gradient = Gradient(
        dX[member],
        dW[member],
        ParameterGradients(dunits[member], layers[4]),
        dz[member],
        dh[member],
        panels[member],
        dx[member],
        layers[4],
    )
    lines = line_of(layout, layout.shards - 1, layout.steps)
    tape = read_tape(layout, lines, memory[member])
    carry = Carry(carries.h[member], carries.c[member])
    for shard in range(layout.shards):
        given = columns, dY[member], carry, work, tape, gradient
        backward_shard(shard, layout, layer, *given)
    sum_gradients(serial, layout, gradient.dW, dtheta)
