"""Networks from TensorFlow Lite."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from numlstm.convert.check import Outputs, verify
from numlstm.convert.tflite.check import run
from numlstm.convert.tflite.counterpart import TFLITE
from numlstm.convert.tflite.files import MAGIC, read_graph
from numlstm.convert.tflite.flow import Network, find_network
from numlstm.convert.tflite.operator import weights_of_operators
from numlstm.convert.weights import Weights, to_model
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, files
from numlstm.utils.types import Array


def from_tflite(
    source: Any,
    *,
    lstm: int | Sequence[int] | None = None,
    head: bool | None = None,
    logits: bool = False,
    check: bool = True,
    backend: str = "auto",
) -> LSTM:
    """A network from TensorFlow Lite: LSTM operators of the full kernel and a dense layer.

    Parameters
    ----------
    source : path, binary file or bytes
        A .tflite file, or its content. It is read without TensorFlow, and nothing in it is
        executed.
    lstm : int, or sequence of int, optional
        Which of the LSTM operators, counted from 0 in the order of the file; several are stacked,
        from the input upwards. What stands before the first is then left out. Default: all, behind
        nothing but the input.
    head : bool, optional
        False leaves out what stands behind the last LSTM; True takes the dense layer there, though
        the graph gives out more than what it makes. Default: a dense layer is the head if there is
        one.
    logits : bool, optional
        Leave out the softmax or sigmoid at the end.
    check : bool, optional
        Run a random batch in LiteRT through the LSTM operators and the dense layer that were read,
        in a file of their own, and raise where the results differ beyond rounding.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs.

    Returns
    -------
    model : LSTM
        The network, float32. `predict` returns the last step where the graph cuts off the others.
        Where a projection has a bias, the model has learned initial states: its hidden state is
        that of TensorFlow Lite less this bias.

    Raises
    ------
    StorageError
        For a file that is damaged, or not of TensorFlow Lite.
    ValueError
        For quantised tensors, and for operators that numlstm has no layer for; the message names
        them.
    RuntimeError
        Where the two compute something else.

    Warns
    -----
    UserWarning
        Where there is no LiteRT to check against.

    Examples
    --------
    >>> from numlstm.convert import from_tflite
    >>> model = from_tflite("network.tflite")  # doctest: +SKIP
    """
    check, logits = checks.flag("check", check), checks.flag("logits", logits)
    head = None if head is None else checks.flag("head", head)
    lstm = _numbers(lstm)
    if isinstance(source, (bytes, bytearray, memoryview)) and bytes(source[4:8]) == MAGIC:
        source = io.BytesIO(source)
    data = files.read_bytes(source)
    with files.refusing(source, whole=True):
        network, weights, shifts = _read(data, lstm, head, logits)
    model = to_model(weights, backend)
    if check:
        verify(model, TFLITE.name, lambda X: _run(network, shifts, X))
    return model


def _numbers(lstm: Any) -> int | list[int] | None:
    if lstm is None:
        return None
    if isinstance(lstm, Sequence) and not isinstance(lstm, (str, bytes)):
        return [checks.size("lstm", one, 0) for one in lstm]
    return checks.size("lstm", lstm, 0)


def _read(
    data: bytes, lstm: int | list[int] | None, head: bool | None, logits: bool
) -> tuple[Network, Weights, list[Array]]:
    """The network, its weights, and what the projections add to hidden states."""
    network = find_network(read_graph(data), lstm, head, logits)
    weights, shifts = weights_of_operators(network.operators, network.head)
    output = "last" if network.last else "sequence"
    return network, replace(weights, output=output), shifts


def _run(network: Network, shifts: Sequence[Array], X: Array) -> Outputs:
    """Outputs of LiteRT for X, with our hidden states."""
    found = run(network.operators, network.head, X, network.last)
    assert found.h is not None
    h = [own - shift for own, shift in zip(found.h, shifts, strict=True)]
    return found._replace(h=h)
