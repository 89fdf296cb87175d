"""The CUDA backend: the contract of `numlstm.backends` over the kernels of this folder.

Here arrays of the host go to the device and come back; the parameters of a layer and its tape stay
there. Derivatives along a direction are those of the CPU's kernels.
"""

from typing import Any, NamedTuple

import numpy as np

from numlstm import backends
from numlstm.backends.cuda import launch
from numlstm.backends.cuda.cells import State, Switches, Tape
from numlstm.backends.cuda.memory import empty, on_device, on_host
from numlstm.backends.cuda.target import SIMULATED, fault
from numlstm.params import split
from numlstm.spec import HeadSpec, LayerSpec

name = "cuda"
NO_DEVICE = "library cannot be found", "NO_DEVICE", "no CUDA-capable device", "there is no"
automatic = not SIMULATED  # the simulator is for those who ask for it


class LayerTape(NamedTuple):
    """What `layer_backward` needs to know of `layer_forward`."""

    tape: Tape
    switches: Switches


class HeadWeights(NamedTuple):
    """A head's parameters on the device."""

    weight: Any  # (O, H)
    bias: Any  # (O,)


def require() -> None:
    """Raise `BackendError` unless there is a device that runs kernels."""
    reason = fault()
    if reason is not None:
        absent = any(sign in reason for sign in NO_DEVICE)
        raise (backends.BackendError if absent else backends.DeviceError)(
            f'backend "cuda" cannot run: {reason}. It needs an NVIDIA GPU, its driver, and '
            '"numlstm[cuda12]" or "numlstm[cuda13]", for the version of CUDA that nvidia-smi shows'
        )


def tangents():
    """Derivatives along a direction, by the kernels of the CPU."""
    return backends.get("cpu").tangents()


def members() -> None:
    """One network at a time."""


def transitions() -> None:
    """One direction at a time."""


def asarray(array):
    """Host memory: the kernels' functions bring it to the device."""
    return np.asarray(array)


def to_numpy(array):
    """Backend memory is host memory."""
    return np.asarray(array)


# --- layer ----------------------------------------------------------------------------------------


def pack_layer(spec: LayerSpec, theta):
    """The parameters on the device, in the layout of the kernels."""
    return launch.pack(spec, theta)


def layer_forward(
    spec: LayerSpec, weights, X, state, lengths=None, *, tape=False, reset=None, noise=None
):
    """h_1..h_T of one layer, its final state, and the tape for `layer_backward`."""
    batch, steps, _ = X.shape
    switches = launch.switches_of(spec, batch, steps, lengths, reset, noise)
    carried = State(*(on_device(np.array(part), spec.dtype) for part in state))
    Y, kept = launch.forward(spec, weights, on_device(X, spec.dtype), carried, switches)
    h, c = map(on_host, carried)
    return on_host(Y), (h, c), LayerTape(kept, switches) if tape else None


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True):
    """Gradients of theta (flat), X (or None) and the initial state; dY or dstate may be None."""
    batch = tape.tape.xh.shape[0]
    if dstate is None:
        sizes = spec.output_size, spec.hidden_size
        dstate = tuple(np.zeros((batch, size), spec.dtype) for size in sizes)
    carried = State(*(on_device(np.array(part), spec.dtype) for part in dstate))
    dY = on_device(np.empty((0, 0, 0)) if dY is None else dY, spec.dtype)
    dtheta, dX = launch.backward(spec, weights, tape.tape, tape.switches, dY, carried, need_dX)
    dh, dc = map(on_host, carried)
    return on_host(dtheta), (on_host(dX) if need_dX else None), (dh, dc)


# --- head -----------------------------------------------------------------------------------------


def pack_head(spec: HeadSpec, theta):
    """The parameters on the device."""
    views = split(spec.shapes, theta)
    return HeadWeights(*(on_device(np.array(part), spec.dtype) for part in views.values()))


def head_forward(spec: HeadSpec, weights, H):
    """y = W h + b over the last axis: H (..., H) -> (..., O)."""
    rows = on_device(H.reshape(-1, spec.input_size), spec.dtype)
    Y = empty((rows.shape[0], spec.output_size), spec.dtype)
    launch.multiply(rows, weights.weight.T, Y, weights.bias, spec.precision)
    return on_host(Y).reshape(*H.shape[:-1], spec.output_size)


def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H."""
    rows = on_device(H.reshape(-1, spec.input_size), spec.dtype)
    drows = on_device(dY.reshape(-1, spec.output_size), spec.dtype)
    dH, dW = empty(rows.shape, spec.dtype), empty(weights.weight.shape, spec.dtype)
    ones, db = (
        np.ones((1, rows.shape[0]), spec.dtype),
        empty((1, spec.output_size), spec.dtype),
    )
    launch.multiply(drows, weights.weight, dH, precision=spec.precision)
    launch.multiply(drows.T, rows, dW, precision=spec.precision)
    launch.multiply(on_device(ones, spec.dtype), drows, db)
    dtheta = np.concatenate([on_host(part).ravel() for part in (dW, db)])
    return dtheta, on_host(dH).reshape(H.shape)
