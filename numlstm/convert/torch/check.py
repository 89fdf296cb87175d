"""The check of a conversion against PyTorch."""

import copy
from typing import Any

from numlstm.convert.check import Outputs, verify
from numlstm.convert.state_dicts import Parts
from numlstm.convert.torch.counterpart import PYTORCH
from numlstm.model.lstm import LSTM
from numlstm.utils.types import Array


def check_parts(model: LSTM, parts: Parts, module: Any = None) -> None:
    """Compare a model with what PyTorch makes of the same parts."""
    if parts.scaling is not None and getattr(module, "scaling", None) is not None:
        verify(model, PYTORCH.name, lambda X: of_whole(copy.deepcopy(module).cpu().eval(), X))
    else:
        verify(model, PYTORCH.name, lambda X: _of_parts(model, parts, module, X))


def of_whole(module: Any, X: Array) -> Outputs:
    """Outputs and states of the module that `to_torch` makes."""
    torch = PYTORCH.require("torch", "the check")
    training = module.training
    with torch.no_grad():
        Y, (h, c) = module.eval()(torch.from_numpy(X))
    module.train(training)
    return Outputs(Y.numpy(), list(h.numpy()), list(c.numpy()))


def _of_parts(model: LSTM, parts: Parts, module: Any, X: Array) -> Outputs:
    """Outputs and states of the LSTMs one behind the other, and the head."""
    kind = getattr(PYTORCH.require("torch", "the check"), model.spec.dtype)
    modules = PYTORCH.require("numlstm.convert.torch.modules", "the check")
    if model.scaling is not None:
        X = model.scaling.inputs(X, model.spec.dtype)
    lstms = [
        modules.lstm_of(found)
        if module is None
        else copy.deepcopy(submodule(module, prefix)).to("cpu", kind).eval()
        for prefix, found in parts.lstms.items()
    ]
    Y, h, c = modules.run(lstms, parts.head, X, model.output == "last")
    return Outputs(Y if model.scaling is None else model.scaling.outputs(Y), h, c)


def submodule(module: Any, prefix: str) -> Any:
    """A module inside another one, by its name."""
    return module.get_submodule(prefix) if prefix else module
