"""Networks from and to the JSON of RTNeural, and from the JSON state dicts of audio plug-ins."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from numlstm.convert.check import Outputs, distance, verify
from numlstm.convert.counterpart import Counterpart, MissingPackage
from numlstm.convert.sizes import hidden_size
from numlstm.convert.state_dicts import Parts, find_parts, weights_of_parts
from numlstm.convert.torch.check import check_parts
from numlstm.convert.weights import Weights, to_model, weights_of
from numlstm.data.scaling import Scaling
from numlstm.model.lstm import LSTM
from numlstm.utils import checks, files, known_files, notices, schema
from numlstm.utils.files import Target
from numlstm.utils.types import Array

RTNEURAL = Counterpart(
    "RTNeural", parts=("num_layers", "head", "scaling"), last=False, doubles=True
)
_LARGEST_LOSS = 1e-3  # by which rounding may move outputs, in spreads of the targets
DTYPES = ("float32", "float64")
_DENSE = ("dense", "time-distributed-dense")
_LSTM_WEIGHTS = "a kernel (I, 4H), a recurrent kernel (H, 4H) and a bias (4H,)"
_REASONS = {
    "gru": "a GRU is no LSTM",
    "conv1d": "numlstm has no convolutions",
    "conv2d": "numlstm has no convolutions",
    "activation": "the outputs of numlstm are linear",
    "prelu": "the outputs of numlstm are linear",
    "batchnorm": "numlstm does not normalise batches",
    "batchnorm2d": "numlstm does not normalise batches",
}
# what plug-ins do around the network, as their files say, and how to do it here
_AROUND = {
    "skip": "a plug-in adds the first {} input(s) to its outputs, so add X[..., :{}] to them",
    "in_skip": "a plug-in adds the first {} input(s) to its outputs, so add X[..., :{}] to them",
    "in_gain": "a plug-in amplifies its inputs by {} dB, so multiply X by 10 ** ({} / 20)",
    "out_gain": "a plug-in amplifies its outputs by {} dB, so multiply them by 10 ** ({} / 20)",
}


def from_rtneural(
    source: Target | Mapping[str, Any],
    *,
    lstm: str | Sequence[str] | None = None,
    head: str | bool | None = None,
    output: str = "sequence",
    check: bool = True,
    backend: str = "auto",
) -> LSTM:
    """A network from RTNeural's JSON, or from a PyTorch state dict in JSON.

    Parameters
    ----------
    source : path, binary file or mapping
        The file, or what it holds. Either ``in_shape`` and ``layers``, as RTNeural's
        ``python/model_utils.py`` writes them from Keras: lstm layers, with a dense or
        time-distributed-dense behind them if there is one; or a ``state_dict``, perhaps beside
        ``model_data``, as the plug-ins of GuitarML have them.
    lstm, head : str, optional
        Names in a state dict, as in `from_torch`.
    output : {"sequence", "last"}, optional
        What `predict` returns; RTNeural gives the output of every step.
    check : bool, optional
        Compare a state dict with PyTorch, as `from_torch` does. RTNeural is C++ and cannot be asked
        from here: a warning says so.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs.

    Returns
    -------
    model : LSTM
        The network: float32 where every number of the file is one, else float64.

    Raises
    ------
    StorageError
        For a file that is damaged: no JSON.
    ValueError
        For layers that numlstm does not have, and for sizes that are not those of the weights; the
        message says which.

    Warns
    -----
    UserWarning
        Where the conversion could not be checked, and where the file says that a plug-in does more
        than the network: adds the input to the output, or applies a gain.

    Examples
    --------
    >>> import numpy as np
    >>> from numlstm.convert import from_rtneural
    >>> layers = [
    ...     {
    ...         "type": "lstm",
    ...         "activation": "tanh",
    ...         "shape": [None, None, 2],
    ...         "weights": [np.ones((1, 8)), np.ones((2, 8)), np.zeros(8)],
    ...     }
    ... ]
    >>> network = {"in_shape": [None, None, 1], "layers": layers}
    >>> from_rtneural(network, check=False, backend="reference")
    <LSTM: 1 input, 1 layer of 2 units, no head; 32 parameters, float32, reference backend>
    """
    output = checks.choice("output", output, ("sequence", "last"))
    check = checks.flag("check", check)
    if isinstance(source, Mapping):
        read = _read(source, lstm, head)
    else:
        data = files.read_bytes(source)
        with files.refusing(source):
            content = _json(data)
        with files.refusing(source, whole=True):
            read = _read(content, lstm, head)
    model = to_model(replace(read.weights, output=output), backend)
    for words in read.around:
        notices.warn(words)
    if check and read.parts is not None:
        check_parts(model, read.parts)
    elif check:
        verify(model, RTNEURAL.name, _not_here)
    return model


def _json(data: bytes) -> Any:
    try:
        return files.plain_values(data)
    except UnicodeDecodeError as error:
        other = known_files.hint(data, "from_rtneural")
        raise ValueError(f"it is no JSON{other or f', and no text: {error}'}") from error
    except ValueError as error:
        other = known_files.hint(data, "from_rtneural")
        raise ValueError(f"{error}{other}") from error


def to_rtneural(model: LSTM, path: Target) -> None:
    """Write a network as the JSON that RTNeural's `json_parser::parseJson` reads.

    Parameters
    ----------
    model : LSTM
        The network. The units of its data, `LSTM.scaling`, go into the weights, since RTNeural has
        no place for them: what is read again computes the same, and has no scaling.
    path : str, bytes, path-like or binary file
        Where to; a file that was there is replaced.

    Raises
    ------
    ValueError
        For a model with a part that RTNeural lacks; the message names it. For units of the data
        that the weights have no digits for, as of means many spreads from 0.

    Warns
    -----
    UserWarning
        For what the model does around its network, and RTNeural does not: the last output alone,
        windows, names and the like.

    Examples
    --------
    >>> import io, numlstm
    >>> from numlstm.convert import from_rtneural, to_rtneural
    >>> model = numlstm.LSTM(1, 8, 1, rng=0, backend="reference")
    >>> buffer = io.BytesIO()
    >>> to_rtneural(model, buffer)
    >>> _ = buffer.seek(0)
    >>> copy = from_rtneural(buffer, check=False, backend="reference")
    >>> bool((copy.theta == model.theta).all())
    True
    """
    RTNEURAL.require_parts(model)
    weights = weights_of(model, crop=True)
    if weights.scaling is not None:
        weights = _in_units(weights, weights.scaling, model.spec.width)
        _require_digits(model, weights)
    layers = [_written("lstm", _kernels(layer)) for layer in weights.layers]
    if weights.head is not None:
        kernels = [weights.head["weight"].T, weights.head["bias"]]
        layers.append(_written("dense", kernels))
    content = {
        "in_shape": [None, None, model.spec.input_size],
        "layers": layers,
        "numlstm": {"dtype": model.spec.dtype},
    }
    files.write_bytes(path, json.dumps(content).encode())


# ---- reading ---------------------------------------------------------------------------------


class Read(NamedTuple):
    """A network as a file has it."""

    weights: Weights
    around: list[str]  # what a plug-in does beside it
    parts: Parts | None = None  # of a state dict


def _read(content: Any, lstm: Any, head: Any) -> Read:
    if not isinstance(content, Mapping):
        raise ValueError(f"it must hold a dictionary, received {schema.received(content)}")
    if "layers" in content:
        if lstm is not None or head is not None:
            raise ValueError("lstm and head name parts of a state dict, and the file has layers")
        return Read(_of_layers(content), _around(content))
    return _of_state_dict(content, lstm, head)


def _not_here(X: Array) -> Outputs:
    raise MissingPackage("it is C++, which cannot be run from here")


def _of_layers(content: Mapping[str, Any]) -> Weights:
    """The layers, of which each must read what the one before gives."""
    entries = content["layers"]
    if not isinstance(entries, (list, tuple)) or not entries:
        raise ValueError(f"layers must be a list, received {schema.received(entries)}")
    width = _last("in_shape", content.get("in_shape"))
    lstms: list[dict[str, Array]] = []
    head: dict[str, Array] | None = None
    for index, entry in enumerate(entries):
        name = f"layers[{index}]"
        kind = _kind(name, entry)
        if kind == "lstm" and head is None:
            lstms.append(_lstm(name, entry, width))
        elif kind in _DENSE and lstms and head is None:
            head = _dense(name, entry, width)
        else:
            raise ValueError(_refusal(name, kind, bool(lstms)))
        width = _last(f"the shape of {name}", entry.get("shape"))
    if not lstms:
        raise ValueError("it has no lstm layer")
    parts = [*lstms, *([head] if head else [])]
    dtype = _dtype(content, [value for part in parts for value in part.values()])
    lstms = [{name: value.astype(dtype) for name, value in layer.items()} for layer in lstms]
    if head is not None:
        head = {name: value.astype(dtype) for name, value in head.items()}
    return Weights(lstms, head)


def _kind(name: str, entry: Any) -> str:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{name} must be a dictionary, received {schema.received(entry)}")
    return schema.text(f"the type of {name}", entry.get("type"))


def _refusal(name: str, kind: str, behind: bool) -> str:
    if kind in _DENSE:
        where = "a second layer behind" if behind else "a layer before"
        remedy = "multiply the two" if behind else "give its outputs as X, and leave it out"
        return f"{name} is a {kind}, and numlstm has no place for {where} the LSTM: {remedy}"
    if kind == "lstm":
        return f"{name} is an lstm behind a dense layer: convert them one by one"
    reason = _REASONS.get(kind, "numlstm has lstm layers, and one dense behind them")
    return f"{name} is {schema.received(kind)}, which is refused: {reason}"


def _last(name: str, shape: Any) -> int:
    """The number of features of a shape such as [None, None, 8]."""
    if not isinstance(shape, (list, tuple)) or not shape:
        raise ValueError(
            f"{name} must be a list such as [null, null, 8], received {schema.received(shape)}"
        )
    for size in shape[:-1]:
        if size is not None:
            schema.whole(name, size)
    return schema.whole(name, shape[-1], 1)


def _lstm(name: str, entry: Mapping[str, Any], width: int) -> dict[str, Array]:
    activation = entry.get("activation") or "tanh"
    if activation != "tanh":
        raise ValueError(
            f"{name} says activation {schema.received(activation)}, and an LSTM of RTNeural "
            "computes tanh whatever it says: write 'tanh' if the network was trained so"
        )
    units = _last(f"the shape of {name}", entry.get("shape"))
    shapes = (width, 4 * units), (units, 4 * units), (4 * units,)
    kernels = _kernels_of(name, entry, shapes, _LSTM_WEIGHTS)
    named = dict(zip(("weight_ih", "weight_hh", "bias"), kernels, strict=False))
    return {**named, "weight_ih": named["weight_ih"].T, "weight_hh": named["weight_hh"].T}


def _dense(name: str, entry: Mapping[str, Any], width: int) -> dict[str, Array]:
    if (entry.get("activation") or "linear") != "linear":
        raise ValueError(
            f"{name} has the activation {schema.received(entry['activation'])}, and the outputs of "
            "numlstm are linear"
        )
    outputs = _last(f"the shape of {name}", entry.get("shape"))
    shapes = (width, outputs), (outputs,)
    kernels = _kernels_of(name, entry, shapes, "a kernel (I, O) and a bias (O,)")
    named = dict(zip(("weight", "bias"), kernels, strict=False))
    return {**named, "weight": named["weight"].T}


def _kernels_of(
    name: str, entry: Mapping[str, Any], shapes: tuple[tuple[int, ...], ...], words: str
) -> list[Array]:
    """Its weights, which must have the sizes that the shapes say; the bias may be missing."""
    weights = entry.get("weights")
    if not isinstance(weights, (list, tuple)) or len(weights) not in (len(shapes) - 1, len(shapes)):
        raise ValueError(
            f"the weights of {name} must be {words}, received {schema.received(weights)}"
            + (f" of {len(weights)}" if isinstance(weights, (list, tuple)) else "")
        )
    kernels = [numbers(f"weights[{i}] of {name}", value) for i, value in enumerate(weights)]
    received = [kernel.shape for kernel in kernels]
    if received != list(shapes[: len(kernels)]):
        raise ValueError(
            f"the weights of {name} must be {words}, of shapes {list(shapes)} as in_shape and the "
            f"shape of the layer say, received {received}: correct the one that is wrong"
        )
    return kernels


def numbers(name: str, value: Any) -> Array:
    """Lists of finite numbers as an array of float64."""
    array = value
    if isinstance(value, (list, tuple)):
        for one in _leaves(value):
            if type(one) not in (int, float):
                raise ValueError(f"{name} must be numbers, received {schema.received(one)}")
        try:
            array = np.array(value, np.float64)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name} must be rows of one length: {error}") from error
    return checks.array(name, array, None).astype(np.float64)


def _leaves(value: Any) -> Iterator[Any]:
    for one in value:
        if isinstance(one, (list, tuple)):
            yield from _leaves(one)
        else:
            yield one


def _dtype(content: Mapping[str, Any], arrays: list[Array]) -> str:
    """The dtype that `to_rtneural` has written; else float32 where every number is one."""
    own = content.get("numlstm")
    with np.errstate(over="ignore"):
        exact = all(np.array_equal(array, array.astype(np.float32)) for array in arrays)
    if own is None:
        return "float32" if exact else "float64"
    dtype = schema.one_of("dtype", schema.mapping("numlstm", own, ("dtype",))["dtype"], DTYPES)
    if dtype == "float32" and not exact:
        raise ValueError("it says that its dtype is float32, and has numbers that are none")
    return str(dtype)


def _of_state_dict(content: Mapping[str, Any], lstm: Any, head: Any) -> Read:
    """A network with PyTorch's names, in JSON."""
    state_dict = content.get("state_dict", content)
    if not isinstance(state_dict, Mapping) or not any(
        "weight_hh" in str(key) for key in state_dict
    ):
        raise ValueError(
            "it must have in_shape and layers, as RTNeural's python/model_utils.py writes them, or "
            f"a state_dict, received {sorted(map(str, content))[:8]}"
        )
    named = {str(name): numbers(str(name), value) for name, value in state_dict.items()}
    dtype = _dtype({}, list(named.values()))
    parts = find_parts({name: value.astype(dtype) for name, value in named.items()}, lstm, head)
    weights = weights_of_parts(parts)
    header = content.get("model_data", {})
    _require_header(weights, header)
    return Read(weights, _around({**content, **header}), parts)


def _require_header(weights: Weights, header: Any) -> None:
    """Refuse sizes that are not those of the weights."""
    if not isinstance(header, Mapping):
        raise ValueError(f"model_data must be a dictionary, received {schema.received(header)}")
    found = {
        "unit_type": "LSTM",
        "input_size": weights.layers[0]["weight_ih"].shape[1],
        "hidden_size": hidden_size(weights.layers[0]),
        "num_layers": len(weights.layers) // weights.directions,
    }
    if weights.head is not None:
        found["output_size"] = weights.head["weight"].shape[0]
    for name, value in found.items():
        if name in header and header[name] != value:
            raise ValueError(
                f"model_data says {name} {schema.received(header[name])}, and the weights are of "
                f"{value}: correct the one that is wrong"
            )


def _around(content: Mapping[str, Any]) -> list[str]:
    """Sentences on a plug-in that the file describes."""
    found = []
    for name, words in _AROUND.items():
        value = content.get(name)
        if type(value) in (bool, int, float) and value:
            told = words.format(*[value + 0] * 2)  # true is 1
            found.append(
                f"the file says {name} {value}, and the network alone is converted: {told}"
            )
    return found


# ---- writing ---------------------------------------------------------------------------------


def _kernels(layer: Mapping[str, Array]) -> list[Array]:
    return [layer["weight_ih"].T, layer["weight_hh"].T, layer["bias"]]


def _written(kind: str, kernels: list[Array]) -> dict[str, Any]:
    size = kernels[1].shape[0]
    return {
        "type": kind,
        "activation": "",
        "shape": [None, None, size],
        "weights": [kernel.tolist() for kernel in kernels],
    }


def _require_digits(model: LSTM, weights: Weights) -> None:
    """Refuse units of the data for which the weights do not have the digits."""
    folded = to_model(replace(weights, output=model.output), "reference")
    apart = distance(model, folded)
    if not apart <= _LARGEST_LOSS:
        raise ValueError(
            f"the units of the data would go into {model.spec.dtype} weights, whose rounding moves "
            f"the outputs by {apart:.1e} spreads of the targets, as means are many spreads from 0: "
            "write the network without units, model.set_scaling(), and standardise around it, or "
            "fit with dtype='float64' for a plug-in of doubles"
        )


def _in_units(weights: Weights, scaling: Scaling, width: int) -> Weights:
    """The same function of data in their own units."""
    first = dict(weights.layers[0])
    dtype = first["bias"].dtype
    scaled = first["weight_ih"] / scaling.x_scale
    first["weight_ih"] = scaled.astype(dtype)
    first["bias"] = (first["bias"] - scaled @ scaling.x_mean).astype(dtype)
    head = weights.head
    if scaling.y_mean is not None:
        factor, offset = scaling.of_outputs(width)
        head = head or {"weight": np.eye(width), "bias": np.zeros(width)}
        weight = head["weight"] * np.reshape(factor, (-1, 1))
        bias = head["bias"] * factor + offset
        head = {"weight": weight.astype(dtype), "bias": bias.astype(dtype)}
    return replace(weights, layers=[first, *weights.layers[1:]], head=head, scaling=None)
