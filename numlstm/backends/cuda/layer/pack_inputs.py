"""Before and after the recurrence: the lines of the tape, and the mask on dX."""

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.target import cuda
from numlstm.backends.cuda.layer.cells import is_active, put_line
from numlstm.cell.elementary import like


@kernel
def put_inputs(X, masks, xh):
    """x_t under its mask and 1 to every line of xh (B, T, K); zeros in the padding."""
    batch, steps, inputs = X.shape
    width = inputs + 1
    outputs = xh.shape[2] - width
    for i in range(cuda.grid(1), batch * steps * width, cuda.gridsize(1)):
        line, k = i // width, i % width
        row, t = line // steps, line % steps
        value = like(xh[row, t, outputs + k], 0.0)
        if is_active(masks, row, t):
            if k == inputs:
                value = like(value, 1.0)
            else:
                value = X[row, t, k]
                if masks.x.shape[0] > 0:
                    value = value * masks.x[row, k]
        xh[row, t, outputs + k] = value


@kernel
def put_first(weights, masks, tape, state):
    """h_0 to the lines of the first step."""
    batch, outputs = state.h.shape
    for i in range(cuda.grid(1), batch * outputs, cuda.gridsize(1)):
        row, unit = i // outputs, i % outputs
        put_line(weights, masks, tape, row, 0, unit, state.h[row, unit])


@kernel
def mask_inputs(dX, x):
    """dX (B, T, I) under the mask of the inputs (B, I)."""
    batch, steps, inputs = dX.shape
    for i in range(cuda.grid(1), batch * steps * inputs, cuda.gridsize(1)):
        line, k = i // inputs, i % inputs
        dX[line // steps, line % steps, k] *= x[line // steps, k]
