"""Networks from PyTorch: modules, state dicts and files of weights."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numlstm.architecture.spec import Dropout
from numlstm.convert.state_dicts import Parts, find_parts, weights_of_parts
from numlstm.convert.tensors import require_mapping
from numlstm.convert.torch.check import check_parts, network_of, submodule, warn_of_others
from numlstm.convert.torch.counterpart import PYTORCH
from numlstm.convert.weights import to_model
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, files, known_files

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # of a state dict, in checkpoints


def from_torch(
    source: Any,
    *,
    lstm: str | Sequence[str] | None = None,
    head: str | bool | None = None,
    output: str | None = None,
    check: bool = True,
    backend: str = "auto",
) -> LSTM:
    """A network from PyTorch: an nn.LSTM or nn.LSTMCell and the nn.Linear behind it.

    Parameters
    ----------
    source : torch.nn.Module, mapping of str to array_like, path or binary file
        A module with an LSTM in it; its ``state_dict()``, of tensors or of arrays; or the file of
        one, which is read by ``torch.load(weights_only=True)`` and cannot run code.
    lstm : str, or sequence of str, optional
        The name of the LSTM inside the module, or a pattern for it, such as "encoder.*"; several,
        from the input upwards, are stacked. Default: the only one that there is.
    head : str or bool, optional
        The name of the nn.Linear behind it, or a pattern; False takes none. Default: the only one
        that there is. What lies between them and around them, such as an activation, is code, which
        no weight shows and nothing here converts.
    output : {"sequence", "last"}, optional
        What `predict` returns: the outputs of all steps, or of the last one. Default: what a module
        of `to_torch` does, else "sequence"; a state dict does not say.
    check : bool, optional
        Run a random batch through the LSTM and the head here and in PyTorch, and raise where the
        results differ beyond rounding.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs.

    Returns
    -------
    model : LSTM
        The network, of the dtype of the weights, or float32 for narrower ones. It reads batches
        first, whatever ``batch_first`` says. Its bias is the sum of PyTorch's two.

    Raises
    ------
    ValueError, TypeError
        Where there is no LSTM, or more than one; where there are further parameters and nothing
        says what they are; for shapes that do not fit, and for quantised weights.
    StorageError
        For a file that is damaged, or holds more than weights.
    RuntimeError
        Where the two compute something else.
    ImportError
        For a file, where there is no PyTorch.

    Warns
    -----
    UserWarning
        Where there is no PyTorch to check against; and where a module, called with the batch, gives
        something else than its LSTM and head, or cannot be called so, unless `lstm` or `head` says
        what is meant. A list of several LSTMs is compared with the module all the same.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm.convert import from_torch
    >>> state_dict = {
    ...     "lstm.weight_ih_l0": np.zeros((32, 3), "float32"),
    ...     "lstm.weight_hh_l0": np.zeros((32, 8), "float32"),
    ...     "fc.weight": np.ones((2, 8), "float32"),
    ... }
    >>> from_torch(state_dict, check=False, backend="reference")
    <LSTM: 3 inputs, 1 layer of 8 units, 2 outputs; 402 parameters, float32, reference backend>
    """
    state_dict, module = _read(source)
    parts = find_parts(state_dict, lstm, head, _linear_layers(module))
    weights = weights_of_parts(parts)
    output = _output(output, module, parts)
    weights = replace(weights, output=output, dropout=_dropout(module, parts))
    model = to_model(weights, backend)
    if checks.flag("check", check):
        check_parts(model, parts, module)
        if module is not None and (len(parts.lstms) > 1 or (lstm is None and head is None)):
            warn_of_others(model, module, parts, meant=head is not None)
    return model


def _linear_layers(module: Any) -> list[str] | None:
    """The names of all nn.Linear of a module, compiled ones too; None where there is no module."""
    if module is None:
        return None
    linear = PYTORCH.require("torch", "a module").nn.Linear
    return [
        name
        for name, one in module.named_modules()
        if isinstance(one, linear) or getattr(one, "original_name", "") == "Linear"
    ]


def _output(asked: str | None, module: Any, parts: Parts) -> str:
    """The output that is asked for, or that of the module of `to_torch`."""
    if asked is not None:
        return str(checks.choice("output", asked, ("sequence", "last")))
    return str(getattr(network_of(module, parts), "output", "sequence"))


def _read(source: Any) -> tuple[Mapping[str, Any], Any]:
    """The state dict of a source, and its module where it is one."""
    if isinstance(source, (str, bytes, os.PathLike)) or hasattr(source, "read"):
        return _unwrapped(_loaded(source)), None
    if isinstance(source, type):
        raise TypeError(
            f"source must be a module or what it holds, received the class {source.__name__}: "
            "pass an instance, with its weights"
        )
    if callable(getattr(source, "state_dict", None)):
        return source.state_dict(), source
    require_mapping("source", source)
    return _unwrapped(source), None


def _unwrapped(source: Mapping[Any, Any]) -> Mapping[str, Any]:
    """The state dict in a checkpoint, which has others beside it."""
    for name in _WRAPPERS:
        if isinstance(source.get(name), Mapping):
            return _unwrapped(source[name])
    if bad := [key for key in source if not isinstance(key, str)]:
        raise TypeError(f"names of a state dict must be text, received {checks.shown(bad[0])}")
    return source


def _loaded(source: Any) -> Mapping[Any, Any]:
    """The content of a file, at a path or open."""
    name = str(source) if hasattr(source, "read") else files.path_of(source, "source")
    if name.endswith(".safetensors"):
        raise ValueError(f"{name} is read by from_safetensors")
    torch = PYTORCH.require("torch", "a file of PyTorch")
    data = files.read_bytes(source)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, with advice that is not ours
        raise files.StorageError(f"{name} {_unread(data)}") from error
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{name} holds {type(loaded).__name__}, and no state_dict")
    return loaded


def _unread(data: bytes) -> str:
    """Why PyTorch does not read a file."""
    if other := known_files.hint(data, "from_torch"):
        return f"is no file of PyTorch{other}"
    return (
        "is damaged, or holds more than weights, which could run code: where you trust it, load it "
        "in PyTorch and pass the module, or its state_dict()"
    )


def _dropout(module: Any, parts: Parts) -> Dropout:
    """The rate between layers of the module's LSTM."""
    if module is None or len(parts.lstms) > 1:
        return Dropout()
    rate = getattr(submodule(module, next(iter(parts.lstms))), "dropout", 0.0)
    return Dropout(layers=float(rate)) if isinstance(rate, float) else Dropout()
