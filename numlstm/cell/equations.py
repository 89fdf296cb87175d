"""The equations of one time step, forward next to backward, written once for every kernel.

z is the pre-activation of a gate; i f g o are input gate, forget gate, candidate and output gate, c
the cell, h the hidden state, `d` before a name its gradient. Arguments are vectors over units, or
scalars.
The plain cell stands by itself; `variant_*` is every other one, up to what goes into the output
activation, because a row of cells may be normalised there. `v` is the encoding of a `Cell` with its
fields by name, `numlstm.cell.encoding.Variant`. Equations: see
`numlstm/backends/reference.py`, which states them independently.
"""

from typing import Any, NamedTuple

from numlstm.architecture.cell import FORGET_GATES, LAYER_NORMS
from numlstm.cell.activations import activate_limited, slope_limited
from numlstm.cell.elementary import clip, compilable, flush, fma, like, sigmoid, tanh, where
from numlstm.cell.encoding import ROWS

# the places of the values of `Cell.forget_gate` and of `Cell.layer_norm` among their options
OWN, COUPLED, NONE = map(FORGET_GATES.index, ("gate", "coupled", "none"))
OFF, OF_GATES_AND_CELL, OF_GATES = map(LAYER_NORMS.index, (False, True, "gates"))

INFINITE = float("inf")  # a limit that is not there

PEEPHOLE_I, PEEPHOLE_F, PEEPHOLE_O = (ROWS[f"peephole_{gate}"] for gate in "ifo")


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


class Unit(NamedTuple):
    """Parameters of a unit beside its gates: peephole weights, dropout and zoneout factors."""

    peephole_i: Any
    peephole_f: Any
    peephole_o: Any
    m_g: Any  # on the candidate
    keep_c: Any  # share of the new cell


@compilable()
def unit_of(v, read, place, m_g, keep_c):
    """The parameters of a unit; `read(place, there, row)` has those of a row, if there are any."""
    return Unit(
        read(place, v.peephole, PEEPHOLE_I),
        read(place, v.peephole, PEEPHOLE_F),
        read(place, v.peephole, PEEPHOLE_O),
        m_g,
        keep_c,
    )


@compilable()
def variant_forward(v, z_i, z_f, z_g, z_o, c_prev, unit):
    """i, f, g, o, c before and c after zoneout."""
    of_gates, of_candidate, _ = v.activations
    i = activate_limited(of_gates, fma(unit.peephole_i, c_prev, z_i))
    f = like(i, 1.0)
    if v.forget_gate == OWN:
        f = activate_limited(of_gates, fma(unit.peephole_f, c_prev, z_f))
    elif v.forget_gate == COUPLED:
        f = f - i
    g = activate_limited(of_candidate, z_g)
    c_new = clip(fma(f, c_prev, i * (unit.m_g * g)), v.cell_clip)
    o = activate_limited(of_gates, fma(unit.peephole_o, c_new, z_o))
    return i, f, g, o, c_new, mixed(unit.keep_c, c_new, c_prev)


@compilable()
def variant_backward(v, i, f, g, o, c_new, c_prev, do, dn, dc, unit):
    """dz_i, dz_f, dz_g, dz_o and dc_prev; dn is the gradient of what went to the output."""
    of_gates, of_candidate, _ = v.activations
    one, zero = like(c_new, 1.0), like(c_new, 0.0)
    dz_o = do * slope_limited(of_gates, o)
    dc_new = fma(unit.keep_c, dc, fma(dz_o, unit.peephole_o, dn))
    dc_new = clip_backward(dc_new, c_new, v.cell_clip)
    dg, df = dc_new * i * unit.m_g, dc_new * c_prev
    di, dz_f = dc_new * (unit.m_g * g), zero
    if v.forget_gate == OWN:
        dz_f = df * slope_limited(of_gates, f)
    elif v.forget_gate == COUPLED:
        di = di - df
    dz_i = di * slope_limited(of_gates, i)
    dz_g = dg * slope_limited(of_candidate, g)
    dc_prev = fma(one - unit.keep_c, dc, dc_new * f)
    dc_prev = fma(dz_f, unit.peephole_f, fma(dz_i, unit.peephole_i, dc_prev))
    return flush(dz_i), flush(dz_f), flush(dz_g), flush(dz_o), flush(dc_prev)


@compilable()
def add_unit_gradients(v, add, place, dz_i, dz_f, dz_o, c_new, c_prev):
    """Gradients of the parameters of a unit: `add(place, row, value)` adds to that of a row."""
    if v.peephole:
        add(place, PEEPHOLE_I, dz_i * c_prev)
        add(place, PEEPHOLE_F, dz_f * c_prev)
        add(place, PEEPHOLE_O, dz_o * c_new)


@compilable()
def sees_cell_early(v):
    """Whether gates see the cell before they are normalised: the output gate then waits for it."""
    return v.peephole != 0 and v.layer_norm == OF_GATES


@compilable()
def clip_backward(d, value, limit):
    """The gradient before a limit: 0 from there on; value may be that before it or after it."""
    top, zero = like(value, limit), like(value, 0.0)
    return where(value < top, where(value > -top, d, zero), zero)


@compilable()
def is_projection_clipped(v):
    """Whether what a projection gives has a limit."""
    return v.projected != 0 and v.proj_clip < INFINITE


@compilable()
def projection_forward(v, h):
    """h from W_hr m: within its limit."""
    if is_projection_clipped(v):
        h = clip(h, v.proj_clip)
    return h


@compilable()
def projection_backward(v, dh, h):
    """The gradient of W_hr m from that of h; h may be W_hr m itself."""
    return clip_backward(dh, h, v.proj_clip)


@compilable()
def mixed(keep, new, old):
    """Zoneout: the share `keep` of the new value, the rest of the old one."""
    return fma(keep, new, (like(keep, 1.0) - keep) * old)
