"""The equations of one time step, forward next to backward, written once for every kernel.

z is the pre-activation of a gate; i f g o are input gate, forget gate, candidate and output gate, c
the cell, h the hidden state, `d` before a name its gradient. Arguments are vectors over units, or
scalars.
Equations: see `numlstm/backends/reference.py`, which states them independently.
"""

from numlstm.elementary import compilable, flush, fma, like, sigmoid, tanh


@compilable()
def cell_forward(z_i, z_f, z_g, z_o, c_prev):
    """i f o = sigmoid(z), g = tanh(z_g), c = f c_prev + i g, h = o tanh(c)."""
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), tanh(z_g), sigmoid(z_o)
    c = fma(f, c_prev, i * g)
    return i, f, g, o, c, o * tanh(c)


@compilable()
def cell_backward(i, f, g, o, c, c_prev, dh, dc):
    """dz_i, dz_f, dz_g, dz_o, dc_prev from dh and dc: the chain rule through `cell_forward`."""
    one = like(c, 1.0)
    tanh_c = tanh(c)
    dc = fma(dh * o, fma(-tanh_c, tanh_c, one), dc)
    dz_i = dc * g * i * (one - i)
    dz_f = dc * c_prev * f * (one - f)
    dz_g = dc * i * fma(-g, g, one)
    dz_o = dh * tanh_c * o * (one - o)
    return flush(dz_i), flush(dz_f), flush(dz_g), flush(dz_o), flush(dc * f)
