"""Networks from and to ONNX."""

import os
from collections.abc import Mapping
from typing import Any

from numlstm.convert.check import Outputs, verify
from numlstm.convert.onnx import runs
from numlstm.convert.onnx.files import ONNX, Graph, read, refusing
from numlstm.convert.onnx.operator import require_constants
from numlstm.convert.onnx.reader import Found, read_network
from numlstm.convert.onnx.writer import Writer
from numlstm.convert.weights import to_model, weights_of
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, files, replacing
from numlstm.utils.types import Array

_LARGEST = 2**31 - 2**20  # bytes of a file that has its numbers in itself


def from_onnx(
    source: Any,
    arrays: Mapping[str, Any] | None = None,
    *,
    value: str | None = None,
    check: bool = True,
    backend: str = "auto",
) -> LSTM:
    """A network from ONNX: LSTM nodes, a linear head behind them, units of the data around them.

    Each number of the data is followed through the nodes: of a file with fixed sizes what a layer
    gives may be 8 million numbers, steps x rows x features.

    Parameters
    ----------
    source : path, open binary file, onnx.ModelProto or onnx.NodeProto
        A file or a model, of which nodes of exporters between and around the LSTMs are followed,
        such as Transpose, Squeeze, Reshape and Slice; or a single LSTM node. Nothing in it is run
        but by the check.
    arrays : mapping of str to array_like, optional
        Beside a single node, by the names of its inputs: W and R, and B, P and initial states where
        it has them.
    value : str, optional
        The name of what the network gives, which may lie inside the graph, as before a softmax.
        Default: the only output that is one.
    check : bool, optional
        Run a random batch through the nodes here and in onnxruntime, and raise where the results
        differ beyond rounding. Where there is no onnxruntime, or it does not keep to the operator's
        text or lacks float64, onnx's reference evaluator runs them with an LSTM of numlstm's own,
        a second one after that text.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs.

    Returns
    -------
    model : LSTM
        The network, of the dtype of the weights, or float32 for narrower ones; it reads batches
        first. Sub, Div, Mul and Add around it are its scaling. It has learned initial states where
        the graph has constant ones that are not 0.

    Raises
    ------
    ValueError, TypeError
        Where the graph has nodes that no network of numlstm has, or more than one network; the
        message lists what was found. For quantised weights and for a layer in reverse only.
    StorageError
        For a file that is damaged, or has its numbers outside of its folder.
    RuntimeError
        Where the two compute something else.
    ImportError
        Where onnx is not installed.

    Warns
    -----
    UserWarning
        Where the check could not be made.

    Examples
    --------
    >>> import numpy as np
    >>> from onnx import helper
    >>> from numlstm.convert import from_onnx
    >>> node = helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=2)
    >>> W, R = np.zeros((1, 8, 3), "float32"), np.ones((1, 8, 2), "float32")
    >>> from_onnx(node, {"W": W, "R": R}, backend="reference")
    <LSTM: 3 inputs, 1 layer of 2 units, no head; 48 parameters, float32, reference backend>
    """
    onnx = ONNX.require("onnx", "from_onnx")
    with refusing(str(source) if isinstance(source, (str, os.PathLike)) else "source"):
        graph = read(source, arrays)
        found = _found(onnx, graph, value)
        model = to_model(found.weights, backend)
    if checks.flag("check", check):
        _check(onnx, graph, found, model)
    return model


def to_onnx(
    model: LSTM,
    path: Any = None,
    *,
    states: bool = True,
    lengths: bool = True,
    check: bool = True,
) -> Any:
    """A model of ONNX that computes what a model predicts.

    Parameters
    ----------
    model : LSTM
        The network.
    path : path, optional
        Where to write the file; None writes none.
    states : bool, optional
        Inputs ``h0`` and ``c0`` and outputs ``hn`` and ``cn``, each (L D, batch, H), layer by
        layer, forward before reverse. A caller who leaves the inputs out begins with the initial
        states that the model has learned, or with 0; one row is for all.
    lengths : bool, optional
        An input ``sequence_lens``, int32, (batch,), which may be left out, too.
    check : bool, optional
        Run a random batch here and in onnxruntime, and raise where the results differ beyond
        rounding; where onnxruntime is missing or does not have it, as in `from_onnx`.

    Returns
    -------
    proto : onnx.ModelProto
        With the input ``X`` (batch, time, I), in the units of the data, and the output ``Y``
        (batch, time, O), or (batch, O) of a model with ``output="last"``. Batch and time are free.
        Of its two biases one is the model's, the other 0. Of float64 networks it is in float64,
        which onnxruntime does not have for LSTMs.

    Raises
    ------
    ValueError
        For a model with a part that the LSTM operator lacks; the message names it.
    RuntimeError
        Where the two compute something else.
    ImportError
        Where onnx is not installed.

    Examples
    --------
    >>> import numlstm
    >>> from numlstm.convert import to_onnx
    >>> model = numlstm.LSTM(3, 8, 2, rng=0)
    >>> proto = to_onnx(model)
    >>> [output.name for output in proto.graph.output]
    ['Y', 'hn', 'cn']
    """
    ONNX.require_parts(model)
    require_constants(model.spec.cell, model.spec.dtype)
    states, lengths = checks.flag("states", states), checks.flag("lengths", lengths)
    target = None if path is None else files.path_of(path)
    if model.theta.nbytes > _LARGEST:
        raise ValueError(f"a file of ONNX holds 2 GB, and the model has {model.theta.nbytes} bytes")
    onnx = ONNX.require("onnx", "to_onnx")
    weights = weights_of(model, crop=not states)
    proto = Writer(onnx, weights).model(states, lengths)
    if checks.flag("check", check):
        verify(model, ONNX.name, lambda X: _of_ours(onnx, proto, X, states))
    if target is not None:
        replacing.replace({target: proto.SerializeToString()})
    return proto


def _found(onnx: Any, graph: Graph, value: str | None) -> Found:
    if value is not None and not isinstance(value, str):
        raise TypeError(
            f"value must be the name of one in the graph, received {checks.shown(value)}"
        )
    return read_network(onnx, graph, value)


def _check(onnx: Any, graph: Graph, found: Found, model: LSTM) -> None:
    steps, rows, _ = found.stage.reads.shape
    verify(model, ONNX.name, lambda X: runs.computed(onnx, graph, found, X), rows=rows, steps=steps)


def _of_ours(onnx: Any, proto: Any, X: Array, states: bool) -> Outputs:
    made = runs.run(onnx, proto, {"X": X})
    return Outputs(made["Y"], *([list(made["hn"]), list(made["cn"])] if states else []))
