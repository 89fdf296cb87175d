"""Blocks of rows in the gate order of others: i, f, g, o here; c and j are names of the g."""

from typing import Any

import numpy as np

from numlstm.architecture.cell import GATES, Cell
from numlstm.utils import checks
from numlstm.utils.types import Array

_CANDIDATE = str.maketrans("cj", "gg")  # ONNX and Keras call it c, TensorFlow 1 calls it j


def read_order(order: Any, cell: Cell) -> str:
    """The order of the gates that a cell has, of an order such as "ifgo", "ijfo" or "iofc"."""
    if not isinstance(order, str):
        raise TypeError(f"gate_order must be a text such as 'ifgo', received {checks.shown(order)}")
    letters = order.lower().translate(_CANDIDATE)
    if len(set(letters)) != len(letters) or not set(cell.gates) <= set(letters) <= set(GATES):
        raise ValueError(
            f"gate_order must have each of {', '.join(cell.gates)} once, where c and j are other "
            f"names of the candidate g, as in 'ifgo', 'ijfo' or 'iofc'; received {order!r}"
        )
    return "".join(gate for gate in letters if gate in cell.gates)


def reordered(array: Array, order: str, wanted: str, axis: int = 0) -> Array:
    """Blocks along an axis from one order of the gates to another, which may have fewer of them."""
    if order == wanted:
        return array
    blocks = dict(zip(order, np.split(array, len(order), axis), strict=True))
    return np.concatenate([blocks[gate] for gate in wanted], axis)
