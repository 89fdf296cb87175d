"""One unit of one row at one step, forward next to backward: the body of the kernels.

All regimes share it. Every function is arithmetic on scalars and on places of arrays: whoever owns
a (row, unit) calls it, and nobody else touches what it writes. The equations: `numlstm.cell`.

In the shape comments: B rows, T steps, I inputs, H units, P outputs, K = P + I + 1.
"""

from typing import Any, NamedTuple

from numlstm.cell.activations import activate_limited, slope_limited
from numlstm.cell.elementary import compilable, fma, like
from numlstm.cell.encoding import (
    CELL_BIAS,
    CELL_GAIN,
    EARLY_F,
    EARLY_I,
    EARLY_O,
    INITIAL_C,
    INITIAL_H,
)
from numlstm.cell.equations import (
    OF_GATES_AND_CELL,
    add_unit_gradients,
    is_projection_clipped,
    mixed,
    projection_backward,
    sees_cell_early,
    unit_of,
    variant_backward,
    variant_forward,
)


class Weights(NamedTuple):
    """A layer's parameters as the kernels read them; a gate that is absent has weights of zero."""

    gates: Any  # (K, 4, H): W_hh, W_ih, b, or 0 in its place where it comes after normalisation
    unit: Any  # (UNIT_ROWS, H)
    out: Any  # (P, H) W_hr, or (0, 0)


class Masks(NamedTuple):
    """Lengths, resets and dropout masks; an empty array is none."""

    lengths: Any  # (B,) int64, at most T
    reset: Any  # (B, T) uint8
    x: Any  # (B, I)
    h: Any  # (B, P)
    g: Any  # (B, T or 1, H)
    keep_h: Any  # (B, T or 1, P)
    keep_c: Any  # (B, T or 1, H)


class Tape(NamedTuple):
    """The record of a forward pass. The last four are empty where the variant has none."""

    xh: Any  # (B, T, K): h_{t-1} under its mask, x_t under its mask, 1
    gates: Any  # (B, T, 4, H): W_ih x_t + b, then z, then i f g o
    c_prev: Any  # (B, T, H): c_{t-1}, anew where the row was reset
    c_new: Any  # (B, T, 1, H): c_t before zoneout
    a: Any  # (B, T, H): the output activation
    z_hat: Any  # (B, T, 4, H): normalised
    c_hat: Any  # (B, T, 1, H)
    scale: Any  # (B, T, 5): what they were multiplied by
    m: Any  # (B, T, H): o a, what is projected, zero in the padding


class State(NamedTuple):
    """The state of every row, or in the backward pass its gradient; each place has one owner."""

    h: Any  # (B, P)
    c: Any  # (B, H)


class Pass(NamedTuple):
    """Arguments of the recurrence's kernels beside the steps and the results."""

    weights: Weights
    masks: Masks
    tape: Tape
    state: State  # forward the state, backward its gradient


class Gates(NamedTuple):
    """A number of every gate of one unit: z or dz."""

    i: Any
    f: Any
    g: Any
    o: Any


class Taped(NamedTuple):
    """The tape's values of one unit of a row at a step."""

    i: Any
    f: Any
    g: Any
    o: Any
    c_prev: Any
    c_new: Any
    a: Any


class Gradient(NamedTuple):
    """The results of a backward pass."""

    dz: Any  # (B, T, 4, H), zero in the padding
    unit: Any  # (B, UNIT_ROWS, H), zero at first; empty where the layer has no such parameters
    dh: Any  # (B, T, P) of h_new, zero in the padding; for rows as a whole only, and so the rest
    dm: Any  # (B, T, H) of what was projected
    dn: Any  # (B, T, 1, H) of what went into the output activation


@compilable()
def factor(noise, row, t, unit, one):
    """A factor of the noise at a step; what has but one step is the same at all, nothing is 1."""
    if noise.shape[0] == 0:
        return one
    return noise[row, min(t, noise.shape[1] - 1), unit]


@compilable()
def is_active(masks, row, t):
    """Whether a row has not ended before step t."""
    return t < masks.lengths[row]


@compilable()
def is_reset(masks, row, t):
    """Whether the state of a row is replaced before step t."""
    return masks.reset.shape[0] > 0 and masks.reset[row, t] != 0


@compilable()
def own_of(variant, weights, masks, row, t, unit, one):
    """The unit's parameters and its noise."""
    m_g = factor(masks.g, row, t, unit, one)
    keep_c = factor(masks.keep_c, row, t, unit, one)
    return unit_of(variant, read_parameter, (weights.unit, unit, like(one, 0.0)), m_g, keep_c)


@compilable()
def read_parameter(place, there, row):
    """A parameter of a unit, or zero."""
    unit_rows, unit, zero = place
    if there:
        return unit_rows[row, unit]
    return zero


@compilable()
def add_to_parameter(place, row, value):
    """Add to the gradient of a parameter of a unit."""
    dunit, batch_row, unit = place
    dunit[batch_row, row, unit] += value


# --- forward --------------------------------------------------------------------------------------


@compilable()
def cell(variant, given, row, t, unit, c_prev, z):
    """i f g o and c to the tape, from z (`Gates`) and the cell before."""
    weights, masks, tape, state = given
    one = like(z.i, 1.0)
    if is_reset(masks, row, t):
        c_prev = weights.unit[INITIAL_C, unit]
    own = own_of(variant, weights, masks, row, t, unit, one)
    i, f, g, o, c_new, c = variant_forward(variant, z.i, z.f, z.g, z.o, c_prev, own)
    tape.gates[row, t, 0, unit] = i
    tape.gates[row, t, 1, unit] = f
    tape.gates[row, t, 2, unit] = g
    tape.gates[row, t, 3, unit] = o
    tape.c_prev[row, t, unit] = c_prev
    tape.c_new[row, t, 0, unit] = c_new
    state.c[row, unit] = c
    return c_new


@compilable()
def output(variant, weights, tape, row, t, unit, c_new):
    """m = o a, a = the output activation of the cell, which may have been normalised."""
    n = c_new
    if variant.layer_norm == OF_GATES_AND_CELL:
        gain, bias = weights.unit[CELL_GAIN, unit], weights.unit[CELL_BIAS, unit]
        n = fma(gain, tape.c_hat[row, t, 0, unit], bias)
    a = activate_limited(variant.activations[2], n)
    tape.a[row, t, unit] = a
    m = tape.gates[row, t, 3, unit] * a
    if variant.projected:
        tape.m[row, t, unit] = m
    return m


@compilable()
def projected(weights, tape, row, t, p):
    """W_hr m of one output."""
    h_new = like(weights.out[p, 0], 0.0)
    for unit in range(weights.out.shape[1]):
        h_new = fma(weights.out[p, unit], tape.m[row, t, unit], h_new)
    return h_new


@compilable()
def put_hidden(weights, masks, tape, state, Y, row, t, unit, h_new):
    """h_t = h_new but for zoneout, to Y and to the next step's line of the tape; returns that."""
    h = h_new
    if masks.keep_h.shape[0] > 0:
        h_prev = state.h[row, unit]
        if is_reset(masks, row, t):
            h_prev = weights.unit[INITIAL_H, unit]
        h = mixed(factor(masks.keep_h, row, t, unit, h_new), h_new, h_prev)
    state.h[row, unit] = h
    Y[row, t, unit] = h
    return put_line(weights, masks, tape, row, t + 1, unit, h)


@compilable()
def put_line(weights, masks, tape, row, t, unit, h):
    """h_{t-1} as step t multiplies it: anew after a reset, under its mask, 0 in the padding."""
    if t >= tape.xh.shape[1]:
        return h
    if is_reset(masks, row, t):
        h = weights.unit[INITIAL_H, unit]
    if masks.h.shape[0] > 0:
        h = h * masks.h[row, unit]
    if not is_active(masks, row, t):
        h = like(h, 0.0)
    tape.xh[row, t, unit] = h
    return h


@compilable()
def put_padding(tape, Y, row, t, unit):
    """Zeros where a row has ended."""
    zero = like(Y[row, t, unit], 0.0)
    Y[row, t, unit] = zero
    if t + 1 < tape.xh.shape[1]:
        tape.xh[row, t + 1, unit] = zero


# --- backward -------------------------------------------------------------------------------------


@compilable()
def taped(tape, row, t, unit):
    """The tape's values."""
    return Taped(
        tape.gates[row, t, 0, unit],
        tape.gates[row, t, 1, unit],
        tape.gates[row, t, 2, unit],
        tape.gates[row, t, 3, unit],
        tape.c_prev[row, t, unit],
        tape.c_new[row, t, 0, unit],
        tape.a[row, t, unit],
    )


@compilable()
def output_gradient(dY, row, t, unit, zero):
    """dY, or 0 where none is given and before the first step."""
    if t >= 0 and dY.shape[0] > 0:
        return dY[row, t, unit]
    return zero


@compilable()
def take_hidden(masks, dy, gradient, dstate, dh, row, t, unit, through):
    """dh_new of step t: from `through`, what step t + 1 gives its h_{t-1}, from dY and dstate's dh.

    What is left for the step before stays in dstate; where the row does not run at t, everything.
    """
    zero, one, steps = like(through, 0.0), like(through, 1.0), gradient.dz.shape[1]
    if t + 1 < steps and is_active(masks, row, t + 1):
        mask = one
        if masks.h.shape[0] > 0:
            mask = masks.h[row, unit]
        dh = fma(mask, through, dh)
        if is_reset(masks, row, t + 1):
            if gradient.unit.shape[0] > 0:
                gradient.unit[row, INITIAL_H, unit] += dh
            dh = zero
    dh_new = zero
    if t >= 0 and is_active(masks, row, t):
        dh = dh + dy
        keep = factor(masks.keep_h, row, t, unit, one)
        dh_new = keep * dh
        dh = (one - keep) * dh
    dstate.h[row, unit] = dh
    return dh_new


@compilable()
def limit_backward(variant, weights, tape, row, t, p, dh_new):
    """The limit of a projection backward: from the gradient of h_new to that of W_hr m."""
    if is_projection_clipped(variant):
        return projection_backward(variant, dh_new, projected(weights, tape, row, t, p))
    return dh_new


@compilable()
def take_cell(masks, gradient, dstate, dc, row, t, unit):
    """dc of step t as it comes from step t + 1: dstate's, unless the row began anew there."""
    ran = t + 1 < gradient.dz.shape[1] and is_active(masks, row, t + 1)
    if ran and is_reset(masks, row, t + 1):
        if gradient.unit.shape[0] > 0:
            gradient.unit[row, INITIAL_C, unit] += dc
        dc = like(dc, 0.0)
        dstate.c[row, unit] = dc
    return dc


@compilable()
def output_backward(variant, o, a, dm):
    """dn from dm, the gradient of o a."""
    return dm * o * slope_limited(variant.activations[2], a)


@compilable()
def cell_backward(variant, given, known, gradient, row, t, unit, dm, dn, dc):
    """dz of every gate, which is returned too, and dc for the step before; `known`: `Taped`."""
    weights, masks, _, dstate = given
    own = own_of(variant, weights, masks, row, t, unit, like(dm, 1.0))
    i, f, g, o, c_prev, c_new, a = known
    do = dm * a
    dz_i, dz_f, dz_g, dz_o, dc = variant_backward(
        variant, i, f, g, o, c_new, c_prev, do, dn, dc, own
    )
    gradient.dz[row, t, 0, unit] = dz_i
    gradient.dz[row, t, 1, unit] = dz_f
    gradient.dz[row, t, 2, unit] = dz_g
    if not sees_cell_early(variant):  # else it is there already
        gradient.dz[row, t, 3, unit] = dz_o
    dstate.c[row, unit] = dc
    place = gradient.unit, row, unit
    add_unit_gradients(variant, add_to_parameter, place, dz_i, dz_f, dz_o, c_new, c_prev)
    return Gates(dz_i, dz_f, dz_g, dz_o)


# --- gates that see the cell before they are normalised -------------------------------------------


@compilable()
def add_cell(weights, masks, tape, state, row, t, unit):
    """z_i and z_f on the tape with what they see of the cell before the step."""
    c_prev = state.c[row, unit]
    if is_reset(masks, row, t):
        c_prev = weights.unit[INITIAL_C, unit]
    z_i, z_f = tape.gates[row, t, 0, unit], tape.gates[row, t, 1, unit]
    tape.gates[row, t, 0, unit] = fma(weights.unit[EARLY_I, unit], c_prev, z_i)
    tape.gates[row, t, 1, unit] = fma(weights.unit[EARLY_F, unit], c_prev, z_f)


@compilable()
def add_new_cell(weights, tape, row, t, unit, z_o):
    """z_o to the tape, with what it sees of the new cell."""
    c_new = tape.c_new[row, t, 0, unit]
    tape.gates[row, t, 3, unit] = fma(weights.unit[EARLY_O, unit], c_new, z_o)


@compilable()
def output_gate_backward(variant, tape, gradient, row, t, unit, dm):
    """dz_o, of the gate as it was normalised."""
    o, do = tape.gates[row, t, 3, unit], dm * tape.a[row, t, unit]
    gradient.dz[row, t, 3, unit] = do * slope_limited(variant.activations[0], o)


@compilable()
def add_new_cell_backward(weights, tape, gradient, row, t, unit):
    """dn with what the output gate saw of the new cell."""
    dz_o, p_o = gradient.dz[row, t, 3, unit], weights.unit[EARLY_O, unit]
    gradient.dn[row, t, 0, unit] = fma(dz_o, p_o, gradient.dn[row, t, 0, unit])
    gradient.unit[row, EARLY_O, unit] += dz_o * tape.c_new[row, t, 0, unit]


@compilable()
def add_cell_backward(weights, tape, gradient, dstate, row, t, unit):
    """dc with what the input and the forget gate saw of the cell before the step."""
    dz_i, dz_f = gradient.dz[row, t, 0, unit], gradient.dz[row, t, 1, unit]
    p_i, p_f = weights.unit[EARLY_I, unit], weights.unit[EARLY_F, unit]
    c_prev = tape.c_prev[row, t, unit]
    dstate.c[row, unit] = fma(dz_f, p_f, fma(dz_i, p_i, dstate.c[row, unit]))
    gradient.unit[row, EARLY_I, unit] += dz_i * c_prev
    gradient.unit[row, EARLY_F, unit] += dz_f * c_prev
