"""What a forward pass had of its gates and cells, copied off the tape."""

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.target import cuda
from numlstm.backends.cuda.layer.cells import factor, is_active
from numlstm.cell.elementary import like
from numlstm.cell.equations import mixed


@kernel
def read_gate(tape, masks, gate, steps, units, result):
    """result (B, S, U) = i f g o, by number, at steps (B, S) and units (U,)."""
    rows, count, width = result.shape
    for n in range(cuda.grid(1), rows * count * width, cuda.gridsize(1)):
        line, k = n // width, n % width
        row, s = line // count, line % count
        t, unit = steps[row, s], units[k]
        value = like(result[row, s, k], 0.0)
        if is_active(masks, row, t):
            value = tape.gates[row, t, gate, unit]
        result[row, s, k] = value


@kernel
def read_cell(tape, masks, steps, units, result):
    """result (B, S, U) = the cell that is carried, at steps (B, S) and units (U,)."""
    rows, count, width = result.shape
    for n in range(cuda.grid(1), rows * count * width, cuda.gridsize(1)):
        line, k = n // width, n % width
        row, s = line // count, line % count
        t, unit = steps[row, s], units[k]
        value = like(result[row, s, k], 0.0)
        if is_active(masks, row, t):
            keep = factor(masks.keep_c, row, t, unit, like(value, 1.0))
            value = mixed(keep, tape.c_new[row, t, 0, unit], tape.c_prev[row, t, unit])
        result[row, s, k] = value
