"""The check of a conversion against PyTorch."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

from numlstm.convert.check import Outputs, agrees, verify
from numlstm.convert.counterpart import MissingPackage
from numlstm.convert.sizes import hidden_size, output_size
from numlstm.convert.state_dicts import Parts
from numlstm.convert.torch.counterpart import PYTORCH
from numlstm.model.lstm import LSTM
from numlstm.utils import notices
from numlstm.utils.types import Array


def check_parts(model: LSTM, parts: Parts, module: Any = None) -> None:
    """Compare a model with what PyTorch makes of the same parts."""
    ours = network_of(module, parts)
    verify(
        model,
        PYTORCH.name,
        lambda X: (
            _of_parts(model, parts, module, X)
            if ours is None
            else of_whole(_modules().copied(ours, model.spec.dtype), X)
        ),
    )


def of_whole(module: Any, X: Array) -> Outputs:
    """Outputs and states of the module that `to_torch` makes."""
    torch = PYTORCH.require("torch", "the check")
    training = module.training
    with torch.no_grad():
        Y, (h, c) = module.eval()(torch.from_numpy(X))
    module.train(training)
    return Outputs(Y.numpy(), list(h.numpy()), list(c.numpy()))


def network_of(module: Any, parts: Parts) -> Any:
    """The module that `to_torch` made, where the parts are those of one, perhaps inside another."""
    prefix = next(iter(parts.lstms))
    if module is None or prefix.rpartition(".")[2] != "lstm":
        return None
    found = submodule(module, prefix.rpartition(".")[0])
    return found if isinstance(found, _modules().Network) else None


def warn_of_others(model: LSTM, module: Any, parts: Parts, meant: bool) -> None:
    """Warn where a larger module makes something else of a batch than its LSTM and its head do.

    And where that cannot be told, unless the parts are `meant`.
    """
    first = submodule(module, next(iter(parts.lstms)))
    if first is module or network_of(module, parts) is module:
        return
    whole = _modules().copied(module, model.spec.dtype)
    same = None if whole is None else agrees(model, lambda X: _modules().calls(whole, X))
    advice = (
        "an activation between or behind them, a layer before the LSTM, or another choice of steps "
        "is code that is yours to add; lstm= and head= say that these parts are meant, without "
        "this warning"
    )
    if same is False:
        notices.warn(
            "the LSTM and the head were converted, and the module as a whole computes something "
            f"else: {advice}"
        )
    elif same is None and not meant:
        notices.warn(
            "the LSTM and the head were converted and checked, and the module as a whole could not "
            "be compared, since it takes more than a batch X (B, T, I), or gives no Y (B, T, O) or "
            f"(B, O): {advice}"
        )


def _of_parts(model: LSTM, parts: Parts, module: Any, X: Array) -> Outputs:
    """Of the LSTMs one behind the other, and of the head."""
    modules = _modules()
    _require_projections(parts)
    if model.scaling is not None:
        X = model.scaling.inputs(X, model.spec.dtype)
    lstms: Sequence[Any] = [
        (module is not None and modules.copied_lstm(submodule(module, prefix), model.spec.dtype))
        or modules.lstm_of(found)
        for prefix, found in parts.lstms.items()
    ]
    Y, h, c = modules.run(lstms, parts.head, X, model.output == "last")
    return Outputs(Y if model.scaling is None else model.scaling.outputs(Y), h, c)


def _require_projections(parts: Parts) -> None:
    for layers in parts.lstms.values():
        for layer in layers.values():
            if "weight_hr" in layer and output_size(layer) == hidden_size(layer):
                raise MissingPackage("nn.LSTM has no projection that is as large as hidden_size")


def _modules() -> Any:
    PYTORCH.require("torch", "the check")
    return PYTORCH.require("numlstm.convert.torch.modules", "the check")


def submodule(module: Any, prefix: str) -> Any:
    """A module inside another one, by its name; also of a ScriptModule."""
    return reduce(getattr, prefix.split("."), module) if prefix else module
