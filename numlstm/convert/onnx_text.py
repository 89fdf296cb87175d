"""The LSTM operator as the text of ONNX has it, for onnx's reference evaluator.

onnx's own leaves out clip, lengths, activations and coupled gates; onnxruntime does not clip what
goes into h, and has neither float64 nor layout = 1. It shares no equation with numlstm.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

from numlstm.utils.types import Array

_FUNCTIONS: dict[str, tuple[int, Callable[..., Array]]] = {  # number of constants, function
    "sigmoid": (0, lambda z: 1 / (1 + np.exp(-z))),
    "tanh": (0, np.tanh),
    "relu": (0, lambda z: np.maximum(z, 0)),
    "softsign": (0, lambda z: z / (1 + np.abs(z))),
    "softplus": (0, lambda z: np.logaddexp(z, 0)),
    "affine": (2, lambda z, a=1.0, b=0.0: a * z + b),
    "leakyrelu": (1, lambda z, a=0.01: np.where(z < 0, a * z, z)),
    "thresholdedrelu": (1, lambda z, a=1.0: np.where(z > a, z, 0)),
    "scaledtanh": (2, lambda z, a=1.0, b=1.0: a * np.tanh(b * z)),
    "hardsigmoid": (2, lambda z, a=np.float32(0.2), b=0.5: np.clip(a * z + b, 0, 1)),
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
        self, X, W, R, B=None, sequence_lens=None, initial_h=None, initial_c=None, P=None,
        activation_alpha=None, activation_beta=None, activations=None, clip=None,
        direction=None, hidden_size=None, input_forget=None, layout=None,
    ):  # type: ignore[no-untyped-def]  # fmt: skip
        X = X.swapaxes(0, 1) if layout else X
        steps, rows, _ = X.shape
        ways, _, size = R.shape
        states = []
        for state in (initial_h, initial_c):
            state = np.zeros((ways, rows, size), X.dtype) if state is None else state
            states.append(state.swapaxes(0, 1) if layout and state.any() else state)
        H, C = (np.array(np.broadcast_to(state, (ways, rows, size))) for state in states)
        B = np.zeros((ways, 8 * size), X.dtype) if B is None else B
        P = np.zeros((ways, 3 * size), X.dtype) if P is None else P
        lens = np.full(rows, steps) if sequence_lens is None else sequence_lens
        functions = _functions(
            activations or _USUAL * ways, activation_alpha or (), activation_beta or ()
        )
        limit = np.inf if clip is None else clip
        Y = np.zeros((steps, ways, rows, size), X.dtype)
        for way in range(ways):
            f, g, h = functions[3 * way : 3 * way + 3]
            reverse = way == 1 or direction == "reverse"
            for step in range(steps)[:: -1 if reverse else 1]:
                on = step < lens
                Z = X[step] @ W[way].T + H[way] @ R[way].T + sum(np.split(B[way], 2))
                Zi, Zo, Zf, Zc = np.split(Z, 4, 1)
                Pi, Po, Pf = np.split(P[way], 3)
                cut = lambda z: np.clip(z, -limit, limit)  # noqa: E731
                i = f(cut(Zi + Pi * C[way]))
                forget = 1 - i if input_forget else f(cut(Zf + Pf * C[way]))
                c = forget * C[way] + i * g(cut(Zc))
                y = f(cut(Zo + Po * c)) * h(cut(c))
                H[way][on], C[way][on], Y[step, way][on] = y[on], c[on], y[on]
        if layout:
            return Y.transpose(2, 0, 1, 3), H.swapaxes(0, 1), C.swapaxes(0, 1)
        return Y, H, C
