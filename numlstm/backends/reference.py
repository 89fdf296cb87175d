"""The definition: the LSTM layer and the linear head in plain NumPy, slow and obvious.

Forward, for t = 1..T, with the logistic function s and the elementwise product *:

    z_t = W_ih x_t + W_hh h_{t-1} + b          (the four gates' pre-activations, i f g o)
    i_t = s(z_i)   f_t = s(z_f)   g_t = tanh(z_g)   o_t = s(z_o)
    c_t = f_t * c_{t-1} + i_t * g_t
    h_t = o_t * tanh(c_t)

Hochreiter & Schmidhuber (1997), "Long short-term memory", Neural Computation 9(8), gave the
cell c (eq. 9) and its input and output gates (eqs. 3-8); Gers, Schmidhuber & Cummins (2000),
"Learning to forget", Neural Computation 12(10), eqs. 3.1-3.6, added the forget gate f; the
notation and the full gradient through time follow Graves (2013), "Generating sequences with
recurrent neural networks", eqs. 7-11.

To z_t is added what a row has at all of its steps, its row terms: of attributes s of the whole
sequence W_is s, as if they were further inputs at every step. Kratzert et al. (2019), "Towards
learning universal, regional, and local hydrological behaviors via machine learning applied to
large-sample datasets", HESS 23, tile them.

The variants, each a change of one line and all free to be combined (`spec.cell`, `Noise`):

    peephole      z_i += p_i * c_{t-1}   z_f += p_f * c_{t-1}   z_o += p_o * c_t
                  Gers & Schmidhuber (2000), "Recurrent nets that time and count", IJCNN
    forget_gate   "coupled": f_t = 1 - i_t, Greff et al. (2017), "LSTM: a search space odyssey",
                  IEEE TNNLS 28(10), CIFG; "none": f_t = 1, the cell of 1997
    layer_norm    per gate, over its units: z = gain * (a - mean a) / sqrt(var a + epsilon) + b with
                  a = W_ih x_t + W_hh h_{t-1} + W_is s; and the cell alike, on its way out:
                  h_t = o_t * tanh(cell_gain * (c_t - mean c_t) / sqrt(...) + cell_bias)
                  Ba, Kiros & Hinton (2016), "Layer normalization", arXiv:1607.06450, eqs. 20-22,
                  with the sum of the products normalised once; peepholes come after it.
                  "gates": the cell goes out as it is, and peepholes come before the normalisation:
                  a_i += p_i * c_{t-1}   a_f += p_f * c_{t-1}   a_o += p_o * c_t
                  as in TensorFlow Lite (lite/kernels/lstm_eval.cc, CalculateLstmGateFloat)
    activations   other functions in the place of s, tanh (of z_g) and tanh (of the cell)
    activation_clip
                  limits what goes into every activation: the ONNX LSTM operator's `clip`
    cell_clip     limits c_t; proj_size: h_t = W_hr (o_t * tanh(c_t)), the weight_hr of PyTorch
                  Sak, Senior & Beaufays (2014), arXiv:1402.1128
    proj_clip     limits W_hr (o_t * tanh(c_t)), as in TensorFlow Lite (CalculateLstmOutputFloat,
                  which clips what its projection gives, the bias included)
    x, h          W_ih (m_x * x_t), W_hh (m_h * h_{t-1}): Gal & Ghahramani (2016), "A theoretically
                  grounded application of dropout in recurrent neural networks", NIPS
    g             c_t = f_t * c_{t-1} + i_t * (m_g * g_t): Semeniuta, Severyn & Barth (2016),
                  "Recurrent dropout without memory loss", arXiv:1603.05118
    keep_h/c      h_t = k_h * h_t + (1 - k_h) * h_{t-1}, and c alike, after all other lines:
                  Krueger et al. (2017), "Zoneout", arXiv:1606.01305
    reset         h_{t-1} and c_{t-1} are first replaced by the initial state: the learned one, or 0

Backward is the chain rule through these lines, read from the last to the first; `d` before a
name means the derivative of the loss with respect to it. The derivative of an activation is
written with its value, that of a clip is 0 from the limit on. Every line is analytic but for
kinks, where the real part decides, so the same code runs on complex arrays and complex-step
differentiation checks it to the last digits.

Arrays: X (B, T, I), Y (B, T, P), h (B, P) and c (B, H), with P = H unless there is a projection.
Sequences shorter than T are padded; a row is frozen from its own length on, and its padding is
never read into a result.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.cell import Activation
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import HeadSpec, LayerSpec, Noise
from numlstm.backends import numpy_arrays as arrays  # noqa: F401

name = "reference"
precisions: tuple[str, ...] = ()

# some BLAS libraries raise the flag of invalid operations in lanes whose results they do not use;
# what overflows is infinite, and is refused where it is asked for
_blas_flags_ignored = np.errstate(invalid="ignore", over="ignore")


class Tape(NamedTuple):
    """Intermediate results of the forward pass that the backward pass reads."""

    lengths: np.ndarray  # (B,)
    reset: np.ndarray  # (B, T)
    noise: Noise
    steps: list  # a Step per t
    has_row_terms: bool


class Step(NamedTuple):
    """The values of one step, (B, H) unless it says otherwise; None where a variant is off."""

    x: np.ndarray  # (B, I), with its mask
    h_prev: np.ndarray  # (B, P), with its mask
    c_prev: np.ndarray
    normalised: dict  # gate -> Normalised
    z: dict  # gate -> pre-activation, before it is clipped
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c_free: np.ndarray  # before it is clipped
    c: np.ndarray
    normalised_c: Any  # Normalised
    n: np.ndarray  # what goes into the output activation, before it is clipped
    a: np.ndarray  # what comes out of it
    h_free: np.ndarray  # (B, P) before it is clipped


def require() -> None:
    """Nothing is missing: NumPy is always there."""


def tangents():
    """Derivatives along a direction, by the complex step through these very functions."""
    step = importlib.import_module("numlstm.backends.complex_step")
    return step.ComplexStep(sys.modules[__name__])


def members() -> None:
    """The definition takes one network at a time."""


def update() -> None:
    """Updates are made in NumPy's memory."""


def windows() -> None:
    """They are cut by NumPy."""


def transitions() -> None:
    """The definition takes one direction at a time."""


def pack_layer(spec: LayerSpec, theta):
    """The layer's matrices by name; a copy, so that later changes of theta do not reach in."""
    return split(spec.shapes, theta.copy())


def pack_head(spec: HeadSpec, theta):
    """The head's matrices by name; a copy, as for a layer."""
    return split(spec.shapes, theta.copy())


# --- activations, clipping, normalisation ---------------------------------------------------------


def sigmoid(z):
    """s(z) = 1 / (1 + exp(-z)) = exp(z) / (1 + exp(z)): the form whose exponential is small."""
    negative = z.real < 0
    e = np.exp(np.where(negative, z, -z))
    return np.where(negative, e, 1) / (1 + e)


def positive(z):
    """The larger of z and 0."""
    return np.where(z.real > 0, z, 0)


def between_0_and_1(z):
    """z, or the end of the interval that it lies beyond."""
    return np.where(z.real <= 0, 0, np.where(z.real >= 1, 1, z))


def magnitude(z):
    """z or -z, whichever is not negative: analytic on either side of 0."""
    return np.where(z.real > 0, z, -z)


class Function(NamedTuple):
    """An activation with constants a and b, and its derivative, a function of its value y."""

    value: Callable[..., Any]  # (z, a, b) -> y
    slope: Callable[..., Any]  # (y, a, b) -> dy/dz


FUNCTIONS = {
    "sigmoid": Function(lambda z, a, b: sigmoid(z), lambda y, a, b: y * (1 - y)),
    "tanh": Function(lambda z, a, b: np.tanh(z), lambda y, a, b: 1 - y**2),
    "relu": Function(lambda z, a, b: positive(z), lambda y, a, b: np.where(y.real > 0, 1, 0)),
    "affine": Function(lambda z, a, b: a * z + b, lambda y, a, b: np.full_like(y, a)),
    "leaky_relu": Function(
        lambda z, a, b: np.where(z.real > 0, z, a * z), lambda y, a, b: np.where(y.real > 0, 1, a)
    ),
    "thresholded_relu": Function(
        lambda z, a, b: np.where(z.real > a, z, 0), lambda y, a, b: np.where(y.real > a, 1, 0)
    ),
    "scaled_tanh": Function(
        lambda z, a, b: a * np.tanh(b * z), lambda y, a, b: b * (a - y * y / a)
    ),
    "hard_sigmoid": Function(
        lambda z, a, b: between_0_and_1(a * z + b),
        lambda y, a, b: np.where((y.real > 0) & (y.real < 1), a, 0),
    ),
    "elu": Function(
        lambda z, a, b: np.where(z.real > 0, z, a * np.expm1(np.where(z.real > 0, 0, z))),
        lambda y, a, b: np.where(y.real > 0, 1, y + a),
    ),
    "softsign": Function(
        lambda z, a, b: z / (1 + magnitude(z)), lambda y, a, b: (1 - magnitude(y)) ** 2
    ),
    "softplus": Function(
        lambda z, a, b: positive(z) + np.log1p(np.exp(-magnitude(z))),
        lambda y, a, b: -np.expm1(-y),
    ),
}


def activate(activation: Activation, z, limit):
    """The activation of z, clipped before."""
    value = FUNCTIONS[activation.name].value
    return value(clipped(z, limit), activation.alpha, activation.beta)


def activate_backward(activation: Activation, y, dy, z, limit):
    """The gradient of z, which became y: 0 where it was clipped."""
    slope = FUNCTIONS[activation.name].slope(y, activation.alpha, activation.beta)
    return clipped_backward(dy * slope.astype(y.dtype), z, limit)


def clipped(z, limit):
    """z between -limit and limit, a constant from there on; all of z where there is no limit."""
    if limit is None:
        return z
    return np.where(z.real >= limit, limit, np.where(z.real <= -limit, -limit, z))


def clipped_backward(dz, z, limit):
    """The gradient before the limit of z: 0 from there on."""
    return dz if limit is None else np.where(np.abs(z.real) < limit, dz, 0)


class Normalised(NamedTuple):
    """Numbers of mean 0 and variance 1 over the last axis."""

    value: np.ndarray
    scale: np.ndarray  # what they were multiplied by

    def backward(self, dvalue):
        """The gradient of what was normalised: without its parts along 1 and along the value."""
        along = (dvalue * self.value).mean(axis=-1, keepdims=True)
        return self.scale * (dvalue - dvalue.mean(axis=-1, keepdims=True) - self.value * along)


def normalise(a, epsilon) -> Normalised:
    """(a - mean a) / sqrt(var a + epsilon) over the last axis."""
    with np.errstate(over="ignore", invalid="ignore"):
        centred = a - a.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        scale = 1 / np.sqrt(variance + epsilon)
        value = centred * scale
    huge = ~np.isfinite(variance[..., 0])
    if huge.any():
        value[huge], scale[huge] = normalise_huge(a[huge], epsilon)
    return Normalised(value, scale)


def normalise_huge(a, epsilon) -> Normalised:
    """`normalise` where squares overflow: a / unit, and less the first, so that equals are 0."""
    unit = np.abs(a.real).max(axis=-1, keepdims=True)
    centred = a / unit - a[..., :1] / unit
    centred = centred - centred.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    equal = variance.real == 0
    scale = 1 / np.sqrt(np.where(equal, epsilon, variance + epsilon / unit / unit))
    # of equal numbers the value is 0, and only a derivative needs their unit
    scale = np.where(equal, scale * unit, scale)
    return Normalised(centred * scale, scale / unit)


# --- one step -------------------------------------------------------------------------------------


@_blas_flags_ignored
def step_forward(spec: LayerSpec, weights, x, h_prev, c_prev, noise: Noise, row_terms=None):
    """The state (h, c) after one step, and the values that it is made of."""
    cell = spec.cell
    of_gates, of_candidate, of_output = cell.activations
    x, h_masked = times(x, noise.x), times(h_prev, noise.h)
    sums, z, normalised = gate_inputs(spec, weights, x, h_masked, row_terms), {}, {}
    for gate in cell.gates[:-1]:
        z[gate], normalised[gate] = pre_activation(spec, weights, gate, sums[gate], c_prev)
    i = activate(of_gates, z["i"], cell.activation_clip)
    f = forget(spec, z, i)
    g = activate(of_candidate, z["g"], cell.activation_clip)
    c_free = f * c_prev + i * times(g, noise.g)
    c_new = clipped(c_free, cell.cell_clip)
    z["o"], normalised["o"] = pre_activation(spec, weights, "o", sums["o"], c_new)
    o = activate(of_gates, z["o"], cell.activation_clip)
    n, normalised_c = c_new, None
    if cell.layer_norm is True:
        normalised_c = normalise(c_new, cell.layer_norm_epsilon)
        n = weights["cell_gain"] * normalised_c.value + weights["cell_bias"]
    a = activate(of_output, n, cell.activation_clip)
    h_new = h_free = o * a
    if spec.proj_size:
        h_free = h_new @ weights["weight_hr"].T
        h_new = clipped(h_free, cell.proj_clip)
    step = Step(
        *(x, h_masked, c_prev, normalised, z, i, f, g, o),
        *(c_free, c_new, normalised_c, n, a, h_free),
    )
    return mixed(noise.keep_h, h_new, h_prev), mixed(noise.keep_c, c_new, c_prev), step


@_blas_flags_ignored
def step_backward(spec: LayerSpec, weights, step: Step, dh, dc, noise: Noise, d):
    """Gradients (dx, dh_prev, dc_prev) of one step; those of the parameters are added to `d`."""
    cell = spec.cell
    of_gates, of_candidate, of_output = cell.activations
    i, f, g, o, c_prev = step.i, step.f, step.g, step.o, step.c_prev
    dh_new, dh_kept = mixed_backward(noise.keep_h, dh)
    dc_new, dc_kept = mixed_backward(noise.keep_c, dc)
    if spec.proj_size:
        dh_new = clipped_backward(dh_new, step.h_free, cell.proj_clip)
        d["weight_hr"] += dh_new.T @ (o * step.a)
        dh_new = dh_new @ weights["weight_hr"]
    dn = activate_backward(of_output, step.a, dh_new * o, step.n, cell.activation_clip)
    if cell.layer_norm is True:
        d["cell_gain"] += (dn * step.normalised_c.value).sum(axis=0)
        d["cell_bias"] += dn.sum(axis=0)
        dn = step.normalised_c.backward(dn * weights["cell_gain"])
    dz_o = activate_backward(of_gates, o, dh_new * step.a, step.z["o"], cell.activation_clip)
    dsums = {}
    dsums["o"], dc_seen = pre_activation_backward(spec, weights, step, "o", dz_o, d)
    dc_new = dc_new + dn + dc_seen
    dc_new = clipped_backward(dc_new, step.c_free, cell.cell_clip)
    dg, df = times(dc_new * i, noise.g), dc_new * c_prev
    di = dc_new * times(g, noise.g)
    dc_prev, dz = dc_kept + dc_new * f, {}
    if cell.forget_gate == "gate":
        dz["f"] = activate_backward(of_gates, f, df, step.z["f"], cell.activation_clip)
    elif cell.forget_gate == "coupled":
        di = di - df
    dz["i"] = activate_backward(of_gates, i, di, step.z["i"], cell.activation_clip)
    dz["g"] = activate_backward(of_candidate, g, dg, step.z["g"], cell.activation_clip)
    for gate in cell.gates[:-1]:
        dsums[gate], dc_seen = pre_activation_backward(spec, weights, step, gate, dz[gate], d)
        dc_prev = dc_prev + dc_seen
    dx, dh_prev = gate_inputs_backward(spec, weights, step, dsums, d)
    return times(dx, noise.x), dh_kept + times(dh_prev, noise.h), dc_prev


def gate_inputs(spec: LayerSpec, weights, x, h, row_terms):
    """W_ih x + W_hh h and row terms of every gate, with the bias if it is not normalised."""
    a = x @ weights["weight_ih"].T + h @ weights["weight_hh"].T
    if row_terms is not None:
        a = a + row_terms
    return by_gate(spec, a if spec.cell.layer_norm else a + weights["bias"])


def gate_inputs_backward(spec: LayerSpec, weights, step: Step, dsums, d):
    """Gradients of x and h; those of the parameters and row terms are added to `d`."""
    da = np.concatenate([dsums[gate] for gate in spec.cell.gates], axis=1)
    if "row_terms" in d:
        d["row_terms"] += da
    if not spec.cell.layer_norm:
        d["bias"] += da.sum(axis=0)
    d["weight_ih"] += da.T @ step.x
    d["weight_hh"] += da.T @ step.h_prev
    return da @ weights["weight_ih"], da @ weights["weight_hh"]


def pre_activation(spec: LayerSpec, weights, gate, a, c):
    """A gate's z from the sum of its products and the cell it sees; and what was normalised."""
    look, normalised = peepholes(spec, weights), None
    seen = look[gate] * c if gate in look else 0
    if spec.cell.layer_norm:
        before, seen = (seen, 0) if spec.cell.layer_norm == "gates" else (0, seen)
        normalised = normalise(a + before, spec.cell.layer_norm_epsilon)
        gain, bias = (by_gate(spec, weights[name])[gate] for name in ("gain", "bias"))
        a = gain * normalised.value + bias
    return a + seen, normalised


def pre_activation_backward(spec: LayerSpec, weights, step: Step, gate, dz, d):
    """Gradients of the sum of products and of the cell; those of the parameters go to `d`."""
    da, normalised, look = dz, step.normalised[gate], peepholes(spec, weights)
    if normalised is not None:
        by_gate(spec, d["bias"])[gate] += dz.sum(axis=0)
        by_gate(spec, d["gain"])[gate] += (dz * normalised.value).sum(axis=0)
        da = normalised.backward(dz * by_gate(spec, weights["gain"])[gate])
    if gate not in look:
        return da, 0
    dseen = da if spec.cell.layer_norm == "gates" else dz
    peepholes(spec, d)[gate] += (dseen * (step.c if gate == "o" else step.c_prev)).sum(axis=0)
    return da, dseen * look[gate]


def by_gate(spec: LayerSpec, array):
    """Views of the parts of an array, along its last axis, that belong to the gates."""
    gates = spec.cell.gates
    return dict(zip(gates, np.split(array, len(gates), axis=-1), strict=True))


def forget(spec: LayerSpec, z, i):
    """How much of the cell is kept."""
    if spec.cell.forget_gate == "gate":
        return activate(spec.cell.activations[0], z["f"], spec.cell.activation_clip)
    return 1 - i if spec.cell.forget_gate == "coupled" else np.ones_like(i)


def peepholes(spec: LayerSpec, weights):
    """The weights from its unit's cell to every gate that looks at it, by name: views."""
    if not spec.cell.peephole:
        return {}
    gates = [gate for gate in spec.cell.gates if gate != "g"]
    return dict(zip(gates, np.split(weights["peephole"], len(gates)), strict=True))


def times(value, mask):
    """The value under a mask, if there is one."""
    return value if mask is None else value * mask


def mixed(keep, new, old):
    """Zoneout: the share `keep` of the new value, the rest of the old one."""
    return new if keep is None else keep * new + (1 - keep) * old


def mixed_backward(keep, d):
    """Gradients of the new and of the old value."""
    return (d, 0) if keep is None else (keep * d, (1 - keep) * d)


# --- whole sequences ------------------------------------------------------------------------------


def layer_forward(
    spec: LayerSpec,
    weights,
    X,
    state,
    lengths=None,
    *,
    tape=False,
    reset=None,
    noise=None,
    row_terms=None,
):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    B, T, _ = X.shape
    lengths = np.full(B, T) if lengths is None else lengths
    reset = np.zeros((B, T), bool) if reset is None else reset
    noise = Noise() if noise is None else noise
    h_0, c_0 = weights.get("initial_h", 0), weights.get("initial_c", 0)  # after a reset
    (h, c), steps = state, []
    dtype = np.result_type(X, *weights.values(), h, c, *([] if row_terms is None else [row_terms]))
    Y = np.zeros((B, T, spec.output_size), dtype)
    for t in range(T):
        active, again = (t < lengths)[:, None], reset[:, t, None]
        # a row that has ended computes on zeros: its numbers stay finite and add nothing
        x = np.where(active, X[:, t], 0)
        h_prev = np.where(active, np.where(again, h_0, h), 0)
        c_prev = np.where(active, np.where(again, c_0, c), 0)
        given = x, h_prev, c_prev, noise_at(noise, t), row_terms
        h_new, c_new, step = step_forward(spec, weights, *given)
        if tape:
            steps.append(step)
        Y[:, t] = np.where(active, h_new, 0)
        h, c = np.where(active, h_new, h), np.where(active, c_new, c)
    kept = Tape(lengths, reset, noise, steps, row_terms is not None) if tape else None
    return Y, (h.astype(dtype), c.astype(dtype)), kept


def layer_backward(
    spec: LayerSpec, weights, tape: Tape, dY, dstate, *, need_dX=True, need_dtheta=True
):
    """Gradients of theta (flat), X, the initial state and the row terms; None for one not wanted.

    Row terms have one where there were some.
    """
    given = [array for array in (dY, *(dstate or ())) if array is not None]
    dtype = np.result_type(*weights.values(), *given)
    d = {name: np.zeros(shape, dtype) for name, shape in spec.shapes.items()}
    B, T = tape.reset.shape
    if tape.has_row_terms:
        d["row_terms"] = np.zeros((B, len(spec.cell.gates) * spec.hidden_size), dtype)
    dX = np.zeros((B, T, spec.input_size), dtype)
    dh, dc = (np.zeros((B, size), dtype) for size in (spec.output_size, spec.hidden_size))
    dh, dc = (dh, dc) if dstate is None else dstate
    for t in reversed(range(T)):
        active, again = (t < tape.lengths)[:, None], tape.reset[:, t, None]
        dh_t, dc_t = np.where(active, dh, 0), np.where(active, dc, 0)
        dh_t = dh_t if dY is None else dh_t + np.where(active, dY[:, t], 0)
        dX[:, t], dh_prev, dc_prev = step_backward(
            spec, weights, tape.steps[t], dh_t, dc_t, noise_at(tape.noise, t), d
        )
        if spec.learned_state:  # what a reset put in the place of the state were parameters
            d["initial_h"] += np.where(again, dh_prev, 0).sum(axis=0)
            d["initial_c"] += np.where(again, dc_prev, 0).sum(axis=0)
        dh = np.where(active, np.where(again, 0, dh_prev), dh)
        dc = np.where(active, np.where(again, 0, dc_prev), dc)
    drow_terms = d.pop("row_terms", None)
    dtheta = np.concatenate([part.ravel() for part in d.values()]) if need_dtheta else None
    dstate = dh.astype(dtype), dc.astype(dtype)
    return dtheta, (dX if need_dX else None), dstate, drow_terms


def layer_trace(spec: LayerSpec, tape: Tape, quantity, steps=None, units=None):
    """What the layer had of a gate or of the cell, (B, S, U); zero behind the ends of the rows."""
    B, T = tape.reset.shape
    values = np.zeros((B, T, spec.hidden_size), spec.dtype)
    for t, step in enumerate(tape.steps):
        value = getattr(step, quantity)
        if quantity == "c":
            value = mixed(noise_at(tape.noise, t).keep_c, value, step.c_prev)
        values[:, t] = np.where((t < tape.lengths)[:, None], value, 0)
    if steps is not None:
        values = values[np.arange(B)[:, None], steps]
    return values if units is None else values[:, :, units]


def noise_at(noise: Noise, t) -> Noise:
    """The noise of step t; what has but one step is the same at all of them."""

    def at(value):
        return None if value is None else value[:, min(t, value.shape[1] - 1)]

    return Noise(noise.x, noise.h, at(noise.g), at(noise.keep_h), at(noise.keep_c))


# --- head -----------------------------------------------------------------------------------------

# products are of contiguous arrays: NumPy 2.2 sums those of others in another order, to other bits


@_blas_flags_ignored
def head_forward(spec: HeadSpec, weights, H):
    """y = W h + b over the last axis: H (..., H) -> (..., O)."""
    return np.ascontiguousarray(H) @ weights["weight"].T + weights["bias"]


@_blas_flags_ignored
def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H."""
    H, dY = np.ascontiguousarray(H), np.ascontiguousarray(dY)
    rows, drows = H.reshape(-1, spec.input_size), dY.reshape(-1, spec.output_size)
    dtheta = np.concatenate([(drows.T @ rows).ravel(), drows.sum(axis=0)])
    return dtheta, dY @ weights["weight"]
