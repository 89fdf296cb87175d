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
recurrent neural networks", eqs. 7-11 (without peepholes).

Backward is the chain rule through these lines, read from the last to the first; `d` before a
name means the derivative of the loss with respect to it. Every line is analytic, so the same
code runs on complex arrays and complex-step differentiation checks it to the last digits.

Arrays: X (B, T, I), Y (B, T, H), h and c (B, H). Sequences shorter than T are padded; a row is
frozen from its own length on, and its padding is never read into a result.
"""

from typing import NamedTuple

import numpy as np

from numlstm.params import split
from numlstm.spec import HeadSpec, LayerSpec

name = "reference"


class Tape(NamedTuple):
    """What the backward pass needs to know of the forward pass."""

    X: np.ndarray  # (B, T, I)
    lengths: np.ndarray  # (B,)
    steps: list  # per t: (h_prev, c_prev, i, f, g, o, c)


def require() -> None:
    """Nothing is missing: NumPy is always there."""


def asarray(array):
    """Backend memory is NumPy memory."""
    return np.asarray(array)


def to_numpy(array):
    """Backend memory is NumPy memory."""
    return np.asarray(array)


def pack_layer(spec: LayerSpec, theta):
    """The layer's matrices by name; a copy, so that later changes of theta do not reach in."""
    return split(spec.shapes, theta.copy())


def pack_head(spec: HeadSpec, theta):
    """The head's matrices by name; a copy, as for a layer."""
    return split(spec.shapes, theta.copy())


def sigmoid(z):
    """s(z) = 1 / (1 + exp(-z)) = exp(z) / (1 + exp(z)): the form whose exponential is small."""
    negative = z.real < 0
    e = np.exp(np.where(negative, z, -z))
    return np.where(negative, e, 1) / (1 + e)


def layer_forward(spec: LayerSpec, weights, X, state, lengths=None, *, tape=False):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    W_ih, W_hh, b = weights["weight_ih"], weights["weight_hh"], weights["bias"]
    B, T, _ = X.shape
    lengths = np.full(B, T) if lengths is None else lengths
    h, c = state
    dtype = np.result_type(X, W_ih, h, c)
    Y = np.zeros((B, T, spec.hidden_size), dtype)
    steps = []
    for t in range(T):
        active = (t < lengths)[:, None]
        x = np.where(active, X[:, t], 0)
        z = x @ W_ih.T + h @ W_hh.T + b
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        if tape:
            steps.append((h, c, i, f, g, o, c_new))
        Y[:, t] = np.where(active, h_new, 0)
        h, c = np.where(active, h_new, h), np.where(active, c_new, c)
    return Y, (h.astype(dtype), c.astype(dtype)), Tape(X, lengths, steps) if tape else None


def layer_backward(spec: LayerSpec, weights, tape: Tape, dY, dstate, *, need_dX=True):
    """Gradients of theta (flat), X (or None) and the initial state; dY or dstate may be None."""
    W_ih, W_hh, b = weights["weight_ih"], weights["weight_hh"], weights["bias"]
    dtype = np.result_type(tape.X, W_ih, *(a for a in (dY, *(dstate or ())) if a is not None))
    dW_ih, dW_hh = np.zeros(W_ih.shape, dtype), np.zeros(W_hh.shape, dtype)
    db, dX = np.zeros(b.shape, dtype), np.zeros(tape.X.shape, dtype)
    zero = np.zeros((len(tape.X), spec.hidden_size), dtype)
    dh, dc = (zero, zero) if dstate is None else dstate
    for t in reversed(range(len(tape.steps))):
        h_prev, c_prev, i, f, g, o, c = tape.steps[t]
        active = (t < tape.lengths)[:, None]
        x = np.where(active, tape.X[:, t], 0)
        dh_t = dh if dY is None else dh + np.where(active, dY[:, t], 0)
        tanh_c = np.tanh(c)
        do = dh_t * tanh_c
        dc_t = dc + dh_t * o * (1 - tanh_c**2)
        di, df, dg = dc_t * g, dc_t * c_prev, dc_t * i
        dz = np.concatenate(
            [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1
        )
        dz = np.where(active, dz, 0)
        dW_ih += dz.T @ x
        dW_hh += dz.T @ h_prev
        db += dz.sum(axis=0)
        dX[:, t] = dz @ W_ih
        dh = np.where(active, dz @ W_hh, dh)
        dc = np.where(active, dc_t * f, dc)
    dtheta = np.concatenate([dW_ih.ravel(), dW_hh.ravel(), db])
    return dtheta, (dX if need_dX else None), (dh.astype(dtype), dc.astype(dtype))


def head_forward(spec: HeadSpec, weights, H):
    """y = W h + b over the last axis: H (..., H) -> (..., O)."""
    return H @ weights["weight"].T + weights["bias"]


def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H."""
    rows, drows = H.reshape(-1, spec.input_size), dY.reshape(-1, spec.output_size)
    dtheta = np.concatenate([(drows.T @ rows).ravel(), drows.sum(axis=0)])
    return dtheta, dY @ weights["weight"]
