"""The LSTM operator as the text of ONNX has it, for onnx's reference evaluator.

onnx's own leaves out clip, lengths, activations and coupled gates; onnxruntime does not clip what
goes into h, and has neither float64 nor layout = 1. It shares no equation with numlstm.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

from numlstm.utils.types import Array

_HUNDREDTH = float(np.float32(0.01))
_FIFTH = float(np.float32(0.2))  # constants of ONNX are float32
_FUNCTIONS: dict[str, tuple[int, Callable[..., Array]]] = {  # number of constants, function
    "sigmoid": (0, lambda z: 1 / (1 + np.exp(-z))),
    "tanh": (0, np.tanh),
    "relu": (0, lambda z: np.maximum(z, 0)),
    "softsign": (0, lambda z: z / (1 + np.abs(z))),
    "softplus": (0, lambda z: np.logaddexp(z, 0)),
    "affine": (2, lambda z, a=1.0, b=0.0: a * z + b),
    "leakyrelu": (1, lambda z, a=_HUNDREDTH: np.where(z < 0, a * z, z)),
    "thresholdedrelu": (1, lambda z, a=1.0: np.where(z > a, z, 0)),
    "scaledtanh": (2, lambda z, a=1.0, b=1.0: a * np.tanh(b * z)),
    "hardsigmoid": (2, lambda z, a=_FIFTH, b=0.5: np.clip(a * z + b, 0, 1)),
    "elu": (1, lambda z, a=1.0: np.where(z < 0, a * np.expm1(np.minimum(z, 0)), z)),
}
_USUAL = ("Sigmoid", "Tanh", "Tanh")


def _functions(names: Sequence[str], alpha: Sequence[float], beta: Sequence[float]) -> list[Any]:
    """Each with the constants that it takes from the lists."""
    lists, made = (list(alpha), list(beta)), []
    for name in names:
        count, function = _FUNCTIONS[name.lower()]
        given = [values.pop(0) for values in lists[:count] if values]
        made.append(lambda z, function=function, given=given: function(z, *given))
    return made


class LSTM(OpRun):  # type: ignore[misc]
    """All attributes and inputs of the operator."""

    op_domain = ""

    def _run(  # the names of inputs and attributes are ONNX's
        self,
        X: Array,
        W: Array,
        R: Array,
        B: Any = None,
        sequence_lens: Any = None,
        initial_h: Any = None,
        initial_c: Any = None,
        P: Any = None,
        activation_alpha: Any = None,
        activation_beta: Any = None,
        activations: Any = None,
        clip: Any = None,
        direction: Any = None,
        hidden_size: Any = None,
        input_forget: Any = None,
        layout: Any = None,
    ) -> tuple[Array, Array, Array]:
        X = X.swapaxes(0, 1) if layout else X
        (steps, rows, _), (ways, _, size) = X.shape, R.shape
        H, C = (
            np.array(_first(state, (ways, rows, size), layout, X.dtype))
            for state in (initial_h, initial_c)
        )
        B = np.zeros((ways, 8 * size), X.dtype) if B is None else B
        P = np.zeros((ways, 3 * size), X.dtype) if P is None else P
        lens = np.full(rows, steps) if sequence_lens is None else sequence_lens
        functions = _functions(
            activations or _USUAL * ways, activation_alpha or (), activation_beta or ()
        )
        limit = np.inf if clip is None else clip
        Y = np.zeros((steps, ways, rows, size), X.dtype)
        for way in range(ways):
            of_the_way = W[way], R[way], B[way], P[way], functions[3 * way : 3 * way + 3]
            reverse = way == 1 or direction == "reverse"
            for step in range(steps)[:: -1 if reverse else 1]:
                on = step < lens
                h, c = _step(X[step], H[way], C[way], of_the_way, limit, input_forget)
                H[way][on], C[way][on], Y[step, way][on] = h[on], c[on], h[on]
        if layout:
            return Y.transpose(2, 0, 1, 3), H.swapaxes(0, 1), C.swapaxes(0, 1)
        return Y, H, C


def _first(state: Any, shape: tuple[int, ...], layout: Any, dtype: Any) -> Array:
    """An initial state, (D, B, H)."""
    if state is None:
        return np.zeros(shape, dtype)
    return np.broadcast_to(state.swapaxes(0, 1) if layout else state, shape)


def _step(X: Array, H: Array, C: Array, weights: Any, limit: float, coupled: Any) -> Any:
    W, R, B, P, (f, g, h) = weights

    def cut(Z: Array) -> Array:
        return np.clip(Z, -limit, limit)

    Z = X @ W.T + H @ R.T + sum(np.split(B, 2))
    (Zi, Zo, Zf, Zc), (Pi, Po, Pf) = np.split(Z, 4, 1), np.split(P, 3)
    i = f(cut(Zi + Pi * C))
    forget = 1 - i if coupled else f(cut(Zf + Pf * C))
    c = forget * C + i * g(cut(Zc))
    return f(cut(Zo + Po * c)) * h(cut(c)), c
