"""The linear head y = W h + b and its gradients, in shards of rows.

Shape comments: N rows, H inputs, O outputs, W the width of a panel; `padded` means filled up to
whole panels. Every shard takes its rows a chunk at a time, through scratch of its own. A head of a
FEW outputs, whose panels would be nearly empty, is read as it stands, for one network or many.
"""

from typing import Any, NamedTuple

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.gemm import accumulate, add_dots, add_outer, clear, copy, product
from numlstm.backends.cpu.codegen.parallel import for_shards
from numlstm.backends.cpu.codegen.vectors import Block, at, move, panel_width

CHUNK = 64  # rows
FEW = 2  # outputs


class Rows(NamedTuple):
    """Sizes of a head and how its rows are shared out."""

    rows: int  # N
    inputs: int  # H
    outputs: int  # O
    per_shard: int


class HeadGradient(NamedTuple):
    """Results of a backward pass, and its scratch."""

    dH: Any  # (N, H)
    dW: Any  # (shards, padded O / W, H, W), zero at first
    db: Any  # (shards, O), zero at first
    dh: Any  # (shards, CHUNK, padded H) scratch
    dy: Any  # (shards, padded O / W, CHUNK, W) scratch, zero at first


@kernel
def forward_shard(shard, sizes, weights, bias, H, Y, scratch):
    """y = W h + b. weights (padded O / W, H, W), bias (padded O,)."""
    width, row = panel_width(weights), scratch.shape[2]
    w = Block(at(weights, 0), sizes.inputs * width, width)
    y = Block(at(scratch, shard * CHUNK * row), row, width)
    end = min(sizes.rows, (shard + 1) * sizes.per_shard)
    for first in range(shard * sizes.per_shard, end, CHUNK):
        rows = min(CHUNK, end - first)
        for j in range(rows):
            copy(move(y.start, j * row), at(bias, 0), row)
        h = Block(at(H, first * sizes.inputs), sizes.inputs, 1)
        product(y, h, w, rows, row // width, sizes.inputs, True)
        for j in range(rows):
            copy(at(Y, (first + j) * sizes.outputs), move(y.start, j * row), sizes.outputs)


@kernel
def backward_shard(shard, sizes, weights, H, dY, gradient):
    """dh = W' dy, dW = sum of dy h', db = sum of dy. weights (padded H / W, O, W)."""
    width, h_row = panel_width(weights), gradient.dh.shape[2]
    panels = gradient.dy.shape[1]
    w = Block(at(weights, 0), sizes.outputs * width, width)
    dh = Block(at(gradient.dh, shard * CHUNK * h_row), h_row, width)
    dy = Block(at(gradient.dy, shard * panels * CHUNK * width), CHUNK * width, width)
    dW_at = shard * panels * sizes.inputs * width
    dW = Block(at(gradient.dW, dW_at), width, sizes.inputs * width)
    end = min(sizes.rows, (shard + 1) * sizes.per_shard)
    for first in range(shard * sizes.per_shard, end, CHUNK):
        rows = min(CHUNK, end - first)
        dy_rows = Block(at(dY, first * sizes.outputs), sizes.outputs, 1)
        product(dh, dy_rows, w, rows, h_row // width, sizes.outputs, False)
        for j in range(rows):
            dH = at(gradient.dH, (first + j) * sizes.inputs)
            copy(dH, move(dh.start, j * h_row), sizes.inputs)
            dy_row = move(dy_rows.start, j * sizes.outputs)
            accumulate(at(gradient.db, shard * sizes.outputs), dy_row, sizes.outputs)
            for panel in range(panels):
                wide = min(width, sizes.outputs - panel * width)
                line = move(dy.start, panel * dy.row + j * width)
                copy(line, move(dy_row, panel * width), wide)
        h_columns = Block(at(H, first * sizes.inputs), 1, sizes.inputs)
        product(dW, h_columns, dy, sizes.inputs, panels, rows, True)


@entry
def forward(driver, shards, sizes, weights, bias, H, Y, scratch):
    """The forward pass of all shards."""
    for_shards(forward_shard, driver, shards, (Rows(*sizes), weights, bias, H, Y, scratch))


@entry
def backward(driver, shards, sizes, weights, H, dY, gradient):
    """The backward pass of all shards."""
    arguments = Rows(*sizes), weights, H, dY, HeadGradient(*gradient)
    for_shards(backward_shard, driver, shards, arguments)


# --- few outputs: theta (O H + O,) is W, then b ---------------------------------------------------


@kernel
def rows_of(shard, sizes):
    """The network, and its first and last row, that are a shard's."""
    shards = max(1, -(-sizes.rows // max(1, sizes.per_shard)))
    first = shard % shards * sizes.per_shard
    return shard // shards, first, min(sizes.rows, first + sizes.per_shard)


@kernel
def _forward_few(shard, sizes, thetas, H, Y):
    """y = W h + b. thetas (M, n), H (M, N, H), Y (M, N, O)."""
    member, first, last = rows_of(shard, sizes)
    inputs, outputs = sizes.inputs, sizes.outputs
    W, rows = at(thetas, member * thetas.shape[1]), member * sizes.rows + first
    h = Block(at(H, rows * inputs), inputs, 1)
    for j in range(last - first):
        copy(at(Y, (rows + j) * outputs), move(W, outputs * inputs), outputs)
    for o in range(outputs):
        y = Block(at(Y, rows * outputs + o), outputs, 1)
        add_dots(y, h, move(W, o * inputs), last - first, inputs)


@kernel
def _backward_few(shard, sizes, thetas, H, dY, dH, dthetas):
    """dh = W' dy, dW = sum of dy h', db = sum of dy. dthetas (shards, n), zero at first."""
    member, begin, end = rows_of(shard, sizes)
    inputs, outputs = sizes.inputs, sizes.outputs
    w = Block(at(thetas, member * thetas.shape[1]), inputs, 1)
    dW = at(dthetas, shard * thetas.shape[1])
    db = move(dW, outputs * inputs)
    for first in range(begin, end, CHUNK):
        rows, place = min(CHUNK, end - first), member * sizes.rows + first
        dy, h, dh = at(dY, place * outputs), at(H, place * inputs), at(dH, place * inputs)
        clear(dh, rows * inputs)
        add_outer(dh, rows, inputs, Block(dy, 1, outputs), w, outputs)
        add_outer(dW, outputs, inputs, Block(dy, outputs, 1), Block(h, inputs, 1), rows)
        for j in range(rows):
            accumulate(db, move(dy, j * outputs), outputs)


@entry
def forward_few(driver, shards, sizes, thetas, H, Y):
    """The forward pass of all shards of all networks."""
    for_shards(_forward_few, driver, shards, (Rows(*sizes), thetas, H, Y))


@entry
def backward_few(driver, shards, sizes, thetas, H, dY, dH, dthetas):
    """The backward pass of all shards of all networks."""
    for_shards(_backward_few, driver, shards, (Rows(*sizes), thetas, H, dY, dH, dthetas))
