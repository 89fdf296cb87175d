"""Modules of PyTorch: the one that a model becomes, and those that a conversion is checked with."""

import contextlib
import copy
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from numlstm.convert.state_dicts import named_units, state_dict_of
from numlstm.convert.weights import network_scaling
from numlstm.data.scaling import Scaling
from numlstm.model.lstm import LSTM
from numlstm.utils.types import Array


class Units(torch.nn.Module):  # type: ignore[misc]
    """The units of the data: standardised on the way in, and back on the way out."""

    def __init__(self, scaling: Scaling):
        super().__init__()
        for name, value in scaling._asdict().items():
            if value is not None:
                self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Moved to other devices, and not to other types, as `half` and `float` would."""
        for name, value in self._buffers.items():
            self._buffers[name] = value.to(fn(value).device)
        return self

    def inputs(self, X: Any, dtype: Any) -> Any:
        """X in the network's units, computed in float64."""
        return ((X.to(self.x_mean.dtype) - self.x_mean) / self.x_scale).to(dtype)

    def outputs(self, Y: Any) -> Any:
        """Y in the units of the data; log-variances, behind the means, are moved."""
        if not hasattr(self, "y_mean"):
            return Y
        factor, offset = self.y_scale, self.y_mean
        if Y.shape[-1] > factor.shape[0]:
            offset = torch.cat([offset, 2.0 * torch.log(factor)])
            factor = torch.cat([factor, torch.ones_like(factor)])
        return (Y.to(factor.dtype) * factor + offset).to(Y.dtype)


class Network(torch.nn.Module):  # type: ignore[misc]
    """An LSTM with its head and its units: what `to_torch` returns."""

    def __init__(self, model: LSTM):
        super().__init__()
        spec, kind = model.spec, getattr(torch, model.spec.dtype)
        self.lstm = torch.nn.LSTM(
            spec.input_size,
            spec.hidden_size,
            spec.num_layers,
            batch_first=True,
            dropout=spec.dropout.layers,
            bidirectional=spec.bidirectional,
            proj_size=spec.proj_size or 0,
            dtype=kind,
        )
        self.head = None
        if spec.head is not None:
            self.head = torch.nn.Linear(spec.head.input_size, spec.head.output_size, dtype=kind)
        scaling = network_scaling(model)
        self.scaling = None if scaling is None else Units(scaling)
        self.output = model.output

    def forward(self, X: Any, state: Any = None) -> Any:
        """Y and the final (h, c), as `LSTM.predict`."""
        if self.scaling is not None:
            X = self.scaling.inputs(X, self.lstm.weight_ih_l0.dtype)
        Y, (h, c) = self.lstm(X, state)
        if self.output == "last":
            Y = last_of(h, 1 + self.lstm.bidirectional)
        if self.head is not None:
            Y = self.head(Y)
        return Y if self.scaling is None else self.scaling.outputs(Y), (h, c)


def last_of(h: Any, directions: int) -> Any:
    """The outputs of the last layer once each direction has read all steps, (B, W)."""
    return torch.cat(list(h[-directions:]), dim=-1)


def module_of(model: LSTM) -> Network:
    """The module of a model, with its parameters; for predictions, without its dropout."""
    module = Network(model)
    named = state_dict_of(model) | named_units(network_scaling(model))
    module.load_state_dict({name: _tensor(value) for name, value in named.items()})
    module.eval()
    return module


def _tensor(array: Array) -> Any:
    return torch.tensor(array)


def lstm_of(layers: Mapping[tuple[int, bool], Mapping[str, Array]]) -> Any:
    """An nn.LSTM with the arrays of its layers."""
    first = layers[0, False]
    kinds = [_tensor(value).dtype for layer in layers.values() for value in layer.values()]
    kind = torch.float64 if torch.float64 in kinds else torch.float32
    projected = "weight_hr" in first
    lstm = torch.nn.LSTM(
        first["weight_ih"].shape[1],
        first["weight_hh"].shape[0] // 4,
        1 + max(level for level, _ in layers),
        bias="bias_ih" in first,
        batch_first=True,
        bidirectional=any(reverse for _, reverse in layers),
        proj_size=first["weight_hr"].shape[0] if projected else 0,
        dtype=kind,
    )
    named = {
        f"{name}_l{level}{'_reverse' * reverse}": _tensor(value).to(kind)
        for (level, reverse), layer in layers.items()
        for name, value in layer.items()
    }
    lstm.load_state_dict(named)
    return lstm.eval()


def run(
    lstms: Sequence[Any], head: Mapping[str, Array] | None, X: Array, last: bool
) -> tuple[Array, list[Array], list[Array]]:
    """Outputs and final states by layer of LSTMs, or cells, one behind the other, and a head."""
    h: list[Array] = []
    c: list[Array] = []
    Y = torch.from_numpy(X)
    with torch.no_grad():
        for lstm in lstms:
            Y, (h_n, c_n) = _one(lstm, Y)
            h, c = [*h, *h_n.numpy()], [*c, *c_n.numpy()]
        if last:
            Y = last_of(h_n, 1 + getattr(lstms[-1], "bidirectional", False))
        if head is not None:
            weight, bias = (
                _tensor(head["weight"]),
                _tensor(head["bias"]) if "bias" in head else None,
            )
            Y = torch.nn.functional.linear(Y.to(weight.dtype), weight, bias)
    return Y.numpy(), h, c


def copied(module: Any, dtype: str) -> Any:
    """A copy for a check, on the CPU and in the dtype of a model; None of what has no copy."""
    with contextlib.suppress(Exception):  # of a module that holds a state, or compiled code
        return _copy_of(unwrapped(module)).to("cpu", getattr(torch, dtype)).eval()
    return None


def _copy_of(module: Any) -> Any:
    """Of a compiled module as a file has it, since a deep copy shares its parameters' graph."""
    if not isinstance(module, torch.jit.ScriptModule):
        return copy.deepcopy(module)
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer, map_location="cpu")


def copied_lstm(module: Any, dtype: str) -> Any:
    """The same of an nn.LSTM or nn.LSTMCell, and of nothing else."""
    if not isinstance(module, torch.nn.LSTM | torch.nn.LSTMCell):
        return None
    return copied(module, dtype)


def unwrapped(module: Any) -> Any:
    """The module in one that only says where it runs, or how."""
    if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
        return unwrapped(module.module)
    return unwrapped(module._orig_mod) if hasattr(module, "_orig_mod") else module


def calls(module: Any, X: Array) -> Iterator[Array]:
    """Outputs of any module that takes X, batches first or steps first; of these batches first."""
    for steps_first in False, True:
        x = torch.from_numpy((X.swapaxes(0, 1) if steps_first else X).copy())
        for found in _tensors(_called(module, x, X.shape[0], X.shape[1])):
            array: Array = found.detach().cpu().numpy()
            yield array.swapaxes(0, 1) if steps_first and array.ndim == 3 else array


def _called(module: Any, x: Any, rows: int, steps: int) -> Any:
    """The results of a module for x, for x and no state, or for x and its lengths."""
    for more in (), (None,), (torch.full((rows,), steps),):
        with torch.no_grad(), contextlib.suppress(Exception):  # of code of any kind
            return module(x, *more)
    return None


def _tensors(result: Any) -> list[Any]:
    """The tensors that may be the outputs: the first of several, any that has a name."""
    if isinstance(result, Mapping):
        return [one for value in result.values() for one in _tensors(value)]
    if isinstance(result, tuple | list):
        return _tensors(result[0]) if result else []
    return [result] if isinstance(result, torch.Tensor) else []


def _one(lstm: Any, X: Any) -> Any:
    """Outputs and state of an nn.LSTM, or of an nn.LSTMCell step by step; batches first."""
    X = X.to(next(lstm.parameters()).dtype)
    if isinstance(lstm, torch.nn.LSTMCell):
        state: Any = None
        rows = []
        for x in X.unbind(1):
            state = lstm(x, state)
            rows.append(state[0])
        return torch.stack(rows, 1), tuple(part[None] for part in state)
    if getattr(lstm, "batch_first", True):
        return lstm(X)
    Y, state = lstm(X.transpose(0, 1))
    return Y.transpose(0, 1), state
