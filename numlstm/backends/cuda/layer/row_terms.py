"""What rows add to z at all of their steps, before the recurrence, and its gradient after it."""

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.target import cuda
from numlstm.cell.elementary import compilable, like


@compilable()
def gate_of(n, gates):
    """The gate (i, f, g, o) that is the n-th with weights of its own; without it, it is f."""
    return n + 1 if gates < 4 and n > 0 else n


@kernel
def add_row_terms(terms, z):
    """z (B, T, 4, H) += terms (B, G H) at every step."""
    _, steps, _, units = z.shape
    width = terms.shape[1]
    for i in range(cuda.grid(1), terms.shape[0] * width, cuda.gridsize(1)):
        row, k = i // width, i % width
        gate, unit = gate_of(k // units, width // units), k % units
        for t in range(steps):
            z[row, t, gate, unit] += terms[row, k]


@kernel
def sum_over_steps(dz, dterms):
    """dterms (B, G H) = the sum over the steps of dz (B, T, 4, H), one after the other."""
    _, steps, _, units = dz.shape
    width = dterms.shape[1]
    for i in range(cuda.grid(1), dterms.shape[0] * width, cuda.gridsize(1)):
        row, k = i // width, i % width
        gate, unit = gate_of(k // units, width // units), k % units
        total = like(dz[row, 0, gate, unit], 0.0)
        for t in range(steps):
            total += dz[row, t, gate, unit]
        dterms[row, k] = total
