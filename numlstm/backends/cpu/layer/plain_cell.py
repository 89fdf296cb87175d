"""One row through the cell, forward next to backward, two vectors of units at a time.

Two vectors are taken as one value because a cell is a long chain of dependent instructions: with
two chains in flight the processor has something to do while each waits for itself.

In the shape comments: H units, L lanes of a vector, U = ceil(H / L) vectors of units. Arguments
are pointers to the row's values; first and last are a range of vectors of units.
"""

from numlstm.backends.cpu.codegen.compile import kernel
from numlstm.backends.cpu.codegen.vectors import lanes_of, load_pair, move, store_pair
from numlstm.cell.equations import cell_backward, cell_forward

SLOTS = 5  # what the tape holds of a unit: i, f, g, o, c


@kernel
def forward_cells(first, last, z, c_now, h_now, tape):
    """i f g o c h of one row. z (U, 4, L), c_now and h_now (H,) padded, tape (U, SLOTS, L)."""
    lanes = lanes_of(z)
    for u in range(first, last, 2):
        v = min(u + 1, last - 1)  # an odd last vector is computed twice
        zu, zv, cu, cv = 4 * lanes * u, 4 * lanes * v, lanes * u, lanes * v
        i, f, g, o, c, h = cell_forward(
            load_pair(z, zu, zv),
            load_pair(z, zu + lanes, zv + lanes),
            load_pair(z, zu + 2 * lanes, zv + 2 * lanes),
            load_pair(z, zu + 3 * lanes, zv + 3 * lanes),
            load_pair(c_now, cu, cv),
        )
        store_pair(h_now, cu, cv, h)
        store_pair(c_now, cu, cv, c)
        tu, tv = SLOTS * cu, SLOTS * cv
        store_pair(tape, tu, tv, i)
        store_pair(tape, tu + lanes, tv + lanes, f)
        store_pair(tape, tu + 2 * lanes, tv + 2 * lanes, g)
        store_pair(tape, tu + 3 * lanes, tv + 3 * lanes, o)
        store_pair(tape, tu + 4 * lanes, tv + 4 * lanes, c)


@kernel
def backward_cells(first, last, tape, c_prev, c_step, dh, dc_now, dz, gate):
    """dz and dc of one row. dz (4, gate): each gate's units begin `gate` elements further.

    c_prev (U, c_step, L) lies on the tape of the step before, or is the initial state.
    """
    lanes = lanes_of(dh)
    # from the last unit to the first, so that what the last vector writes beyond the units of one
    # gate is overwritten by the next gate's first
    for above in range(last, first, -2):
        u, v = max(above - 2, first), above - 1
        cu, cv = lanes * u, lanes * v
        tu, tv = SLOTS * cu, SLOTS * cv
        dz_i, dz_f, dz_g, dz_o, dc = cell_backward(
            load_pair(tape, tu, tv),
            load_pair(tape, tu + lanes, tv + lanes),
            load_pair(tape, tu + 2 * lanes, tv + 2 * lanes),
            load_pair(tape, tu + 3 * lanes, tv + 3 * lanes),
            load_pair(tape, tu + 4 * lanes, tv + 4 * lanes),
            load_pair(c_prev, c_step * cu, c_step * cv),
            load_pair(dh, cu, cv),
            load_pair(dc_now, cu, cv),
        )
        store_pair(dc_now, cu, cv, dc)
        store_pair(dz, cu, cv, dz_i)
        store_pair(move(dz, gate), cu, cv, dz_f)
        store_pair(move(dz, 2 * gate), cu, cv, dz_g)
        store_pair(move(dz, 3 * gate), cu, cv, dz_o)
