"""Layers of the members of an ensemble, of one spec and layout, in one call: shard = member.

The kernels of `plain_recurrence.py` do the arithmetic, for variants of the cell those of
`recurrence.py`, see `member_variants.py`. A member takes its shards of rows one after the other, so
its numbers are those that it would have alone. M members; the other letters: see `tape.py`. Heads
of few outputs are taken together too, others one after the other.
"""

from typing import Any, NamedTuple

import numba
import numpy as np

from numlstm.architecture.spec import HeadSpec, LayerSpec
from numlstm.backends.cpu import launch
from numlstm.backends.cpu.codegen import packing
from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.memory_pool import from_pool
from numlstm.backends.cpu.codegen.packing import blocks, empty
from numlstm.backends.cpu.codegen.parallel import call, for_shards, serial_driver
from numlstm.backends.cpu.layer import head, member_variants, shards
from numlstm.backends.cpu.layer.plain_recurrence import Gradient, backward_shard, forward_shard
from numlstm.backends.cpu.layer.shards import Layout
from numlstm.backends.cpu.layer.tape import (
    HEADER,
    Carry,
    line_of,
    read_layout,
    read_tape,
    start_tape,
)
from numlstm.backends.cpu.layer.weights import (
    LINES_OF_DZ,
    PANELS_OF_DZ,
    Columns,
    pack_columns,
    pack_vector,
    sum_gradients,
)

CACHE = 2**21  # bytes of tape that a thread's share of the caches keeps


class MembersTape(NamedTuple):
    """Record of a forward pass for the backward pass."""

    layout: Layout
    memory: Any  # (M, ...)
    carry: Carry  # scratch, h (M, B, padded H), c
    variant: tuple[Any, ...] = ()  # scratch and layer, as `member_variants.py` has them


def able(spec: LayerSpec) -> bool:
    """Whether these kernels apply to the layer."""
    if spec.learned_state or spec.static_size or spec.proj_size is not None:
        return False
    return not (shards.is_plain(spec) and shards.is_by_units(spec, 1))


def at_once(specs, batch: int, steps: int) -> int:
    """How many members to take through these layers together.

    So many that every thread has some, and that the backward pass finds their tapes in the caches.
    The numbers of a member do not depend on it.
    """
    layouts = [shards.uniform(spec, batch, steps, shards.is_plain(spec)) for spec in specs]
    tapes = sum(
        layout.memory(True) * np.dtype(spec.dtype).itemsize
        for layout, spec in zip(layouts, specs, strict=True)
    )
    return numba.config.NUMBA_NUM_THREADS * max(1, CACHE // max(1, tapes))


def forward(spec: LayerSpec, thetas, X, lengths=None, state=None):
    """Y (M, B, T, H) of members with thetas (M, n), on X (M, B, T, I) or (1, B, T, I).

    They begin with a state (h, c), (M, B, H) each, by default of zeros.
    """
    members, (_, batch, steps, _), plain = len(thetas), X.shape, shards.is_plain(spec)
    if lengths is None:
        layout = shards.uniform(spec, batch, steps, plain)
    else:
        layout = shards.ragged(spec, lengths, steps, plain)
    lanes = packing.lanes(spec.dtype)
    vectors = blocks(spec.hidden_size, lanes)
    columns = 1 + spec.input_size + spec.hidden_size
    panels = empty((members, 2 * vectors, columns, 2 * lanes), spec.dtype)
    padded = blocks(spec.hidden_size, 2 * lanes) * 2 * lanes
    carry = Carry(*(np.zeros((members, batch, padded), spec.dtype) for _ in range(2)))
    if state is not None:
        for target, part in zip(carry, state, strict=True):
            target[..., : spec.hidden_size] = part[:, _order(layout)]
    z = np.empty((members, batch, 4 * vectors * lanes), spec.dtype)
    Y = _padded_with_zeros((members, batch, steps, spec.hidden_size), layout, spec)
    memory = from_pool((members, layout.memory(True)), spec.dtype)
    work = members * layout.lines * panels[0].size
    terms = np.empty((0, 0, 0), spec.dtype)
    given = layout.numbers, thetas, panels, X, terms, Y, tuple(carry)
    if plain:
        z = empty((members, batch, 4 * vectors * lanes), spec.dtype)
        call(forward_members, members, work, *given, z, memory)
        return Y, MembersTape(layout, memory, carry)
    scratch = member_variants.new_work(spec, layout, members)
    layer = member_variants.layer_of(spec, thetas)
    call(member_variants.forward_members, members, work, *given, scratch, memory, layer)
    return Y, MembersTape(layout, memory, carry, (scratch, layer))


def final_state(spec: LayerSpec, kept: MembersTape):
    """(h, c), (M, B, H) each, after a forward pass; `backward` needs their memory for itself."""
    state = []
    for part in kept.carry:
        final = np.empty((*part.shape[:2], spec.hidden_size), spec.dtype)
        final[:, _order(kept.layout)] = part[..., : spec.hidden_size]
        state.append(final)
    return tuple(state)


def _order(layout: Layout) -> np.ndarray:
    """The caller's row that stands in each place."""
    return layout.numbers[HEADER : HEADER + layout.batch]


def backward(spec: LayerSpec, thetas, kept: MembersTape, dY, need_dX: bool):
    """Gradients of thetas (M, n) and of X (M, B, T, I) or None; dY (M, B, T, H)."""
    members, batch, steps, units = dY.shape
    width, inputs = packing.panel_width(spec.dtype), spec.input_size if need_dX else 0
    layout, dtype = kept.layout, spec.dtype
    columns, rows = 1 + spec.input_size + units, 4 * units
    capacity = max(LINES_OF_DZ, batch)
    row = packing.odd_cache_lines(rows + width, np.dtype(dtype).itemsize)
    dX = _padded_with_zeros(
        (members, batch if need_dX else 0, steps, spec.input_size), layout, spec
    )
    dthetas = np.zeros_like(thetas)
    vectors = blocks(units, packing.lanes(dtype))
    for part in kept.carry:
        part[...] = 0
    given = serial_driver(), layout.numbers, thetas, kept.memory, tuple(kept.carry)
    work = 2 * members * layout.lines * columns * rows
    if kept.variant:
        scratch, layer = kept.variant
        gradients = member_variants.new_gradient(spec, layout, columns, dX)
        panels = member_variants.new_columns(spec, layout, members, need_dX)
        of_variant = scratch, dY, dthetas, panels, gradients, layer
        call(member_variants.backward_members, members, work, *given, *of_variant)
        member_variants.put_gradients(spec, dthetas, gradients[2])
        return dthetas, (dX if need_dX else None)
    packed = Columns(
        from_pool((members, blocks(units, width), rows, width), dtype),
        empty((members, blocks(inputs, width), rows, width), dtype),
    )
    gradient = Gradient(
        dX,
        from_pool((members, layout.parts, 2 * vectors, columns, width), dtype),
        from_pool((members, layout.parts, capacity, row), dtype),
        empty((members, layout.parts, PANELS_OF_DZ, LINES_OF_DZ, width), dtype),
        empty((members, layout.parts, capacity, blocks(inputs, width) * width), dtype),
        empty((members, 0, 0, 0), dtype),
    )
    of_pass = dY, dthetas, tuple(packed), tuple(gradient)
    call(backward_members, members, work, *given, *of_pass)
    return dthetas, (dX if need_dX else None)


def _padded_with_zeros(shape, layout: Layout, spec: LayerSpec):
    """An array whose padding is zero; the kernels write the rest."""
    array = from_pool(shape, spec.dtype)
    if layout.lines < layout.batch * layout.steps:
        array[...] = 0
    return array


def head_forward(spec: HeadSpec, thetas, H):
    """y = W h + b over the last axis: H (M, ..., H) -> (M, ..., O)."""
    if spec.output_size > head.FEW:
        weights = (launch.pack_head(spec, theta) for theta in thetas)
        return np.stack([launch.head_forward(spec, *pair) for pair in zip(weights, H, strict=True)])
    members, sizes = len(thetas), _rows(spec, H)
    Y = from_pool((*H.shape[:-1], spec.output_size), spec.dtype)
    given = members, tuple(sizes), thetas, launch.uniform(H), Y
    call(head.forward_few, members, Y.size * sizes.inputs, *given)
    return Y


def head_backward(spec: HeadSpec, thetas, H, dY):
    """Gradients of thetas (M, n) and of H (M, ..., H)."""
    if spec.output_size > head.FEW:
        weights = (launch.pack_head(spec, theta) for theta in thetas)
        each = [launch.head_backward(spec, *three) for three in zip(weights, H, dY, strict=True)]
        return tuple(np.stack(part) for part in zip(*each, strict=True))
    members, sizes = len(thetas), _rows(spec, H)
    dH, dthetas = from_pool(H.shape, spec.dtype), np.zeros_like(thetas)
    given = members, tuple(sizes), thetas, launch.uniform(H), launch.uniform(dY), dH, dthetas
    call(head.backward_few, members, 2 * H.size * sizes.outputs, *given)
    return dthetas, dH


def _rows(spec: HeadSpec, H) -> head.Rows:
    """A member's rows, all of them one shard."""
    rows = H[0].size // spec.input_size
    return head.Rows(rows, spec.input_size, spec.output_size, rows)


@entry
def forward_members(driver, numbers, thetas, panels, X, terms, Y, carry, z, memory):
    """Pack the weights and fill Y and the tape of every member."""
    layout = read_layout(numbers)
    arguments = layout, thetas, panels, X, terms, Y, Carry(*carry), z, memory
    for_shards(_forward, driver, thetas.shape[0], arguments)


@kernel
def _forward(member, layout, thetas, panels, X, terms, Y, carries, z, memory):
    """One member's forward pass from the state in `carries`."""
    for u in range(layout.vectors):
        pack_vector(u, layout, thetas[member], panels[member])
    lines = line_of(layout, layout.shards - 1, layout.steps)
    tape = read_tape(layout, lines, memory[member])
    carry = Carry(carries.h[member], carries.c[member])
    start_tape(layout, carry, tape, True)
    inputs = X[min(member, X.shape[0] - 1)]
    for shard in range(layout.shards):
        given = panels[member], inputs, terms, Y[member], carry, z[member], tape, True
        forward_shard(shard, layout, *given)


@entry
def backward_members(
    driver, serial, numbers, thetas, memory, carry, dY, dthetas, columns, gradient
):
    """Fill dthetas and dX, where it is not empty, of every member."""
    layout = read_layout(numbers)
    carry, columns, gradient = Carry(*carry), Columns(*columns), Gradient(*gradient)
    arguments = serial, layout, thetas, memory, carry, dY, dthetas, columns, gradient
    for_shards(_backward, driver, thetas.shape[0], arguments)


@kernel
def _backward(member, serial, layout, thetas, memory, carries, dY, dthetas, packed, gradients):
    """One member's backward pass; the gradients of its shards are added in their order."""
    columns = Columns(packed.h[member], packed.x[member])
    theta, dtheta = thetas[member], dthetas[member]
    pack_columns(serial, layout, theta, columns, layout.units)
    gradient = Gradient(
        gradients.dX[member],
        gradients.dW[member],
        gradients.dz[member],
        gradients.panels[member],
        gradients.dx[member],
        gradients.terms[member],
    )
    lines = line_of(layout, layout.shards - 1, layout.steps)
    tape = read_tape(layout, lines, memory[member])
    carry = Carry(carries.h[member], carries.c[member])
    for shard in range(layout.shards):
        backward_shard(shard, layout, columns, dY[member], carry, tape, gradient)
    sum_gradients(serial, layout, gradient.dW, dtheta)
