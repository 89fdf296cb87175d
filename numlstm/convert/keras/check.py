"""The check of a conversion against Keras."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numlstm.convert.check import Outputs, verify
from numlstm.convert.keras.counterpart import KERAS
from numlstm.model.lstm import LSTM
from numlstm.utils.types import Array


def verify_network(model: LSTM, network: Callable[[Array], Any]) -> None:
    """Compare a model with a layer or model of Keras, which is made here for a batch."""
    # Keras on PyTorch rounds the product of a Dense to float32
    precision = None if model.spec.head is None else "float32"
    verify(model, KERAS.name, lambda X: Outputs(_outputs(network(X), X)), precision=precision)


def _outputs(network: Any, X: Array) -> Array:
    """The first output of a layer or model."""
    first = network(X, training=False)
    while isinstance(first, (list, tuple, Mapping)):
        first = first[min(first) if isinstance(first, Mapping) else 0]
    if hasattr(first, "detach"):
        first = first.detach().cpu()
    return np.asarray(first)
