"""Networks from and to files of safetensors: numbers and names, nothing that could run.

The format is eight bytes, the size of a header; the header, JSON with type, shape and place of
every tensor; and their numbers. It is so small that it is read and written here.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from numlstm.architecture.spec import NetworkSpec
from numlstm.convert.counterpart import require_model
from numlstm.convert.state_dicts import find_parts, state_dict_of, weights_of_parts
from numlstm.convert.tensors import with_one_bias
from numlstm.convert.torch.check import check_parts
from numlstm.convert.weights import to_model
from numlstm.model.lstm import LSTM
from numlstm.model.persistence import Arithmetic, Content, model_of
from numlstm.utils import checks, files, known_files, schema
from numlstm.utils.files import Target
from numlstm.utils.types import Array

_OWN = "numlstm"  # the entry of the metadata with all that is no tensor
_LARGEST_HEADER = 10**8  # as the package safetensors has it
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "|b1",
    "BF16": "<u2",  # the upper half of a float32
}  # fmt: skip
_NAMES = {"<f8": "F64", "<f4": "F32"}
_PARTS = ("scaling", "filling")


def from_safetensors(
    path: Target,
    *,
    lstm: str | Sequence[str] | None = None,
    head: str | bool | None = None,
    output: str | None = None,
    check: bool = True,
    backend: str = "auto",
) -> LSTM:
    """A network from a file of safetensors, of numlstm or with PyTorch's names.

    Parameters
    ----------
    path : str, bytes, path-like or binary file
        The file.
    lstm, head : str, optional
        Names in a file that `to_safetensors` did not write, as in `from_torch`; with one that it
        wrote they are refused.
    output : {"sequence", "last"}, optional
        What `predict` returns. Default: what the file says, else "sequence".
    check : bool, optional
        Compare a file that `to_safetensors` did not write with PyTorch, as `from_torch` does.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs.

    Returns
    -------
    model : LSTM
        The network. Of a file that `to_safetensors` wrote it has the bits of the parameters, the
        units of the data, and all else that `LSTM.save` keeps.

    Raises
    ------
    StorageError
        For a file that is damaged or not of this format.
    ValueError, TypeError, RuntimeError
        As `from_torch`.

    Warns
    -----
    UserWarning
        Where there is no PyTorch to check against.

    Examples
    --------
    >>> import os, tempfile, numlstm
    >>> from numlstm.convert import from_safetensors, to_safetensors
    >>> model = numlstm.LSTM(3, 8, 2, cell={"peephole": True}, rng=0, backend="reference")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     to_safetensors(model, path)
    ...     copy = from_safetensors(path, backend="reference")
    >>> bool((copy.theta == model.theta).all()), copy.cell == model.cell
    (True, True)
    """
    data = files.read_bytes(path)
    if output is not None:
        output = checks.choice("output", output, ("sequence", "last"))
    with files.refusing(path):
        tensors, metadata = unpack(data)
        content = _content(tensors, metadata[_OWN]) if _OWN in metadata else None
    if content is not None and (lstm is not None or head is not None):
        raise ValueError(
            "lstm and head name parts in a file of others, and to_safetensors wrote this one, "
            "which says what its parts are: leave them out"
        )
    if content is not None:
        model = model_of(LSTM, content, Arithmetic(backend))
        model.output = output or model.output
        return model
    with files.refusing(path, whole=True):
        parts = find_parts(tensors, lstm, head)
        weights = replace(weights_of_parts(parts), output=output or "sequence")
    model = to_model(weights, backend)
    if checks.flag("check", check):
        check_parts(model, parts)
    return model


def to_safetensors(model: LSTM, path: Target) -> None:
    """Write a model to a file of safetensors, whole or not at all.

    Parameters
    ----------
    model : LSTM
        The network, of any variant.
    path : str, bytes, path-like or binary file
        Where to write. The tensors have the names that they have in the module of `to_torch`:
        ``lstm.weight_ih_l0``, ..., ``head.weight``, ``head.bias``; those that PyTorch does not have
        are ``lstm.peephole_l0`` and the like. What is no tensor is in the metadata.

    Raises
    ------
    OSError, ValueError, TypeError
        As `LSTM.save`.

    Examples
    --------
    See `from_safetensors`.
    """
    require_model(model)
    content = Content.of(model)
    content.require_sense()
    tensors = state_dict_of(model)
    if model.filling is not None:
        tensors |= {f"filling.{name}": value for name, value in model.filling._asdict().items()}
    metadata = {"format": "pt", _OWN: json.dumps(content.meta())}
    files.write_bytes(path, pack(tensors, metadata))


def pack(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """A file of safetensors."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts, end = [], 0
    for name, value in sorted(tensors.items(), key=lambda item: -item[1].itemsize):  # aligned
        kind = value.dtype.newbyteorder("<").str
        part = value.astype(kind).tobytes()
        header[name] = {
            "dtype": _NAMES[kind],
            "shape": list(value.shape),
            "data_offsets": [end, end + len(part)],
        }
        parts.append(part)
        end += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def unpack(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and metadata of a file; a ValueError for one that is not of the format."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _LARGEST_HEADER):
        if other := known_files.hint(data, "from_safetensors"):
            raise ValueError(f"it is no file of safetensors{other}")
        raise ValueError(f"it says that its header has {size} bytes, and it has {len(data)} itself")
    header = files.plain_values(data[8 : 8 + size])
    if not isinstance(header, dict):
        raise ValueError(f"its header must be a dictionary, received {schema.received(header)}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(type(v) is str for v in metadata.values()):
        raise ValueError("its __metadata__ must be a dictionary of texts")
    places = {name: _Place(name, entry) for name, entry in header.items()}
    numbers = memoryview(data)[8 + size :]
    _require_order(list(places.values()), len(numbers))
    return {name: place.tensor(numbers) for name, place in places.items()}, metadata


class _Place:
    """Where a tensor stands, and what it is."""

    def __init__(self, name: str, entry: Any):
        entry = schema.mapping(name, entry, ("dtype", "shape", "data_offsets"))
        self.kind = schema.one_of(f"the dtype of {name}", entry["dtype"], _DTYPES)
        sizes = entry["shape"]
        if not isinstance(sizes, list) or len(sizes) > 8:
            raise ValueError(f"the shape of {name} must be a list of at most 8")
        self.shape = tuple(schema.whole(f"the shape of {name}", size) for size in sizes)
        ends = schema.items(f"data_offsets of {name}", entry["data_offsets"], 2)
        self.start, self.stop = (schema.whole(f"data_offsets of {name}", end) for end in ends)
        wanted = math.prod(self.shape) * np.dtype(_DTYPES[self.kind]).itemsize
        if self.stop - self.start != wanted:
            raise ValueError(
                f"{name} of {self.kind} and shape {self.shape} needs {wanted} bytes, and has "
                f"{self.stop - self.start}"
            )

    def tensor(self, numbers: memoryview) -> Array:
        """The tensor, in native byte order; a copy."""
        part = np.frombuffer(numbers[self.start : self.stop], _DTYPES[self.kind])
        if self.kind == "BF16":
            part = (part.astype("uint32") << 16).view("float32")
        array: Array = part.astype(part.dtype.newbyteorder("=")).reshape(self.shape)
        return array


def _require_order(places: list[_Place], size: int) -> None:
    """Refuse tensors that overlap, or leave bytes that are of none."""
    end = 0
    for place in sorted(places, key=lambda place: (place.start, place.stop)):
        if place.start != end:
            raise ValueError("its tensors do not stand one behind the other")
        end = place.stop
    if end != size:
        raise ValueError(f"its tensors need {end} bytes, and there are {size}")


def _content(tensors: Mapping[str, Array], text: str) -> Content:
    """The content that `to_safetensors` wrote, checked as a model file is."""
    meta = files.plain_values(text.encode())
    spec = NetworkSpec.restored(schema.mapping("numlstm", meta, ("spec",), list(meta))["spec"])
    layers: dict[str, Array] = {}
    arrays: dict[str, Array] = {}
    for name, value in tensors.items():
        part, _, rest = name.partition(".")
        if part in _PARTS:
            arrays[f"{part}/{rest}"] = value
        elif part in ("lstm", "head"):
            layers[rest if part == "lstm" else f"head_{rest}"] = value
        else:
            raise ValueError(f"a model has no tensor {name!r}")
    arrays["theta"] = _theta(spec, layers)
    return Content.restored(arrays, meta)


def _theta(spec: NetworkSpec, layers: dict[str, Array]) -> Array:
    """The flat vector of named parameters, with PyTorch's two biases."""
    for name in list(spec.shapes):
        if name.startswith("bias_l"):
            place = name.removeprefix("bias_")
            keys = [f"bias_ih_{place}", f"bias_hh_{place}"]
            pair = {key[:7]: layers.pop(key) for key in keys if key in layers}
            if pair:
                layers[name] = with_one_bias(pair)["bias"]
    if unknown := sorted(layers.keys() - spec.shapes.keys()):
        raise ValueError(f"the network has no parameter {unknown[0]!r}")
    parts = [
        schema.array(layers, name, shape, spec.dtype).ravel() for name, shape in spec.shapes.items()
    ]
    return np.concatenate(parts)
