"""The CUDA backend: the contract of `numlstm.backends` over the kernels of this folder.

Arrays stay on the device; `arrays` brings them there and back. Derivatives along a direction are
those of the CPU's kernels.
"""

from typing import Any, NamedTuple

from numlstm import backends
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import PRECISIONS, HeadSpec, LayerSpec
from numlstm.backends.cuda.device.memory import driver, empty, full, nothing, zeros
from numlstm.backends.cuda.device.target import SIMULATED, fault
from numlstm.backends.cuda.layer import launch
from numlstm.backends.cuda.layer.cells import Masks, State, Tape
from numlstm.backends.cuda.training import arrays as arrays
from numlstm.backends.cuda.training.update import Update

name = "cuda"
precisions = PRECISIONS
NO_DEVICE = "library cannot be found", "NO_DEVICE", "no CUDA-capable device", "there is no"
automatic = not SIMULATED  # the simulator is for those who ask for it


class LayerTape(NamedTuple):
    """The record of `layer_forward` for `layer_backward`."""

    tape: Tape
    masks: Masks
    has_terms: bool  # whether rows had terms of their own


class HeadWeights(NamedTuple):
    """A head's parameters on the device."""

    weight: Any  # (O, H)
    bias: Any  # (O,)

    @property
    def size(self) -> int:
        """Of theta."""
        return self.weight.size + self.bias.size


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


def update() -> type[Update]:
    """Updates that stay on the device."""
    return Update


def windows() -> None:
    """They are gathered on the device, or cut by NumPy of series that it has no room for."""


# --- layer ----------------------------------------------------------------------------------------


def pack_layer(spec: LayerSpec, theta):
    """The parameters on the device, in the layout of the kernels."""
    return launch.pack(spec, theta)


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
    batch, steps, _ = X.shape
    masks = launch.masks_of(spec, batch, steps, lengths, reset, noise)
    carried = State(*map(arrays.copy, state))
    Y, kept = launch.forward(spec, weights, X, carried, masks, row_terms)
    return Y, tuple(carried), LayerTape(kept, masks, row_terms is not None) if tape else None


def layer_backward(spec: LayerSpec, weights, tape, dY, dstate, *, need_dX=True, need_dtheta=True):
    """Gradients of theta (flat), X, the initial state and the row terms; None for one not wanted.

    Row terms have one where there were some.
    """
    batch = tape.tape.xh.shape[0]
    if dstate is None:
        sizes = spec.output_size, spec.hidden_size
        carried = State(*(zeros((batch, size), spec.dtype) for size in sizes))
    else:
        carried = State(*map(arrays.copy, dstate))
    dY = nothing(spec.dtype, 3) if dY is None else dY
    wanted = launch.Wanted(need_dtheta, need_dX, tape.has_terms)
    given = weights, tape.tape, tape.masks, dY, carried
    dtheta, dX, dterms = launch.backward(spec, *given, wanted)
    return dtheta, dX, tuple(carried), dterms


def layer_trace(spec: LayerSpec, tape, quantity, steps=None, units=None):
    """What the layer had of a gate or of the cell, (B, S, U); zero behind the ends of the rows."""
    return launch.trace(spec, tape.tape, tape.masks, quantity, steps, units)


# --- head -----------------------------------------------------------------------------------------


def pack_head(spec: HeadSpec, theta):
    """The parameters on the device; a copy, so that later changes of theta do not reach in."""
    return HeadWeights(*split(spec.shapes, arrays.copy(theta)).values())


def head_forward(spec: HeadSpec, weights, H):
    """y = W h + b over the last axis: H (..., H) -> (..., O)."""
    *leading, _ = H.shape
    rows = H.reshape((H.size // spec.input_size, spec.input_size))
    Y = empty((rows.shape[0], spec.output_size), spec.dtype)
    W = driver.transposed(weights.weight)
    launch.multiply(rows, W, Y, weights.bias, spec.precision)
    return Y.reshape((*leading, spec.output_size))


def head_backward(spec: HeadSpec, weights, H, dY):
    """Gradients of theta (flat) and of H."""
    rows = H.reshape((H.size // spec.input_size, spec.input_size))
    drows = dY.reshape((rows.shape[0], spec.output_size))
    dH, dtheta = empty(rows.shape, spec.dtype), empty(weights.size, spec.dtype)
    dW, db = split(spec.shapes, dtheta).values()
    launch.multiply(drows, weights.weight, dH, precision=spec.precision)
    launch.multiply(driver.transposed(drows), rows, dW, precision=spec.precision)
    ones = full((1, rows.shape[0]), 1.0, spec.dtype)
    launch.multiply(ones, drows, db.reshape((1, spec.output_size)))
    return dtheta, dH.reshape(H.shape)
