"""Tangents by the complex step, f(x + i h v) = f(x) + i h f'(x) v + O(h^2).

h is so small that the rest is below all rounding: Squire & Trapp (1998), "Using complex variables
to estimate derivatives of real functions", SIAM Review 40(1). Every line of the reference is
analytic but for kinks, where the real part decides, so this is the definition of what a derivative
along a direction is: of the forward pass, and of the backward pass, whose derivative is a Hessian
times a vector.
"""

from typing import Any

import numpy as np

from numlstm.architecture.spec import HeadSpec, LayerSpec

STEP = 1e-30


class ComplexStep:
    """The contract of `tangents()` over a backend whose functions also work on complex arrays.

    Arithmetic is complex128 throughout; results come in the precision of the layer.
    """

    def __init__(self, backend: Any):
        self.backend = backend
        self.name = backend.name
        self.arrays = backend.arrays

    def pack_layer(self, spec: LayerSpec, theta):
        """The layer's matrices by name, in small steps."""
        return self.backend.pack_layer(spec, small(theta))

    def pack_head(self, spec: HeadSpec, theta):
        """The head's matrices by name, in small steps."""
        return self.backend.pack_head(spec, small(theta))

    def layer_forward(
        self, spec: LayerSpec, weights, X, state, lengths=None, *, row_terms=None, **options
    ):
        """Y, the final state and the tape; the tape stays in small steps."""
        given = small(X), tuple(map(small, state))
        Y, final, tape = self.backend.layer_forward(
            spec, weights, *given, lengths, row_terms=small(row_terms), **options
        )
        return full(Y, spec.dtype), tuple(full(part, spec.dtype) for part in final), tape

    def layer_backward(self, spec: LayerSpec, weights, tape, dY, dstate, **wanted):
        """Gradients of theta, X, the initial state and the row terms; None for one not wanted."""
        dstate = None if dstate is None else tuple(map(small, dstate))
        dtheta, dX, d_initial, drow_terms = self.backend.layer_backward(
            spec, weights, tape, small(dY), dstate, **wanted
        )
        d_initial = tuple(full(part, spec.dtype) for part in d_initial)
        dtheta, dX, drow_terms = (full(each, spec.dtype) for each in (dtheta, dX, drow_terms))
        return dtheta, dX, d_initial, drow_terms

    def head_forward(self, spec: HeadSpec, weights, H):
        """Y over the last axis of H."""
        return full(self.backend.head_forward(spec, weights, small(H)), spec.dtype)

    def head_backward(self, spec: HeadSpec, weights, H, dY):
        """Gradients of theta and of H."""
        gradients = self.backend.head_backward(spec, weights, small(H), small(dY))
        return tuple(full(part, spec.dtype) for part in gradients)


def small(array):
    """The tangent as a small step; None stays None."""
    return None if array is None else _scaled(array, STEP, np.complex128)


def full(array, dtype):
    """The tangent of a small step; None stays None."""
    return None if array is None else _scaled(array, 1 / STEP, np.result_type(dtype, np.complex64))


def _scaled(array, factor: float, dtype):
    result = np.empty(array.shape, dtype)  # by parts: an infinite part would make the other a NaN
    result.real, result.imag = array.real, array.imag * factor
    return result
