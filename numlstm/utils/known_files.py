"""Files of other kinds, by their first bytes: what a reader says that got the wrong one."""

import contextlib
import io
import zipfile

_ARRAYS = "a file of NumPy arrays: np.load reads it"
_TORCH = "a file of PyTorch: numlstm.convert.from_torch reads it"
_KERAS = "a file of Keras: numlstm.convert.from_keras reads it"
_MODEL = "a file of numlstm: numlstm.load reads it, where it holds a model"
_ONNX = "an ONNX file: numlstm.convert.from_onnx reads it"
_TFLITE = "a file of TensorFlow Lite: numlstm.convert.from_tflite reads it"
_SAFETENSORS = "a file of safetensors: numlstm.convert.from_safetensors reads it"
_JSON = "a file of JSON: numlstm.convert.from_rtneural reads it, where it is one of RTNeural"
_TEXT = "a file of text, and no network"
_BEGINNINGS = {
    b"\x89HDF\r\n\x1a\n": _KERAS,
    b"\x93NUMPY": _ARRAYS,
    b"\x80\x02": _TORCH,  # a pickle, as before PyTorch 1.6
}
_LARGEST_VERSION = 32  # of ONNX's intermediate representation, 13 in 2026
_ONNX_FIELDS = b"\x12\x1a\x22\x3a\x42"  # one of which stands behind the version


def hint(data: bytes, reader: str) -> str:
    """Behind what is wrong with a file: what it seems to be, where another reader has it."""
    kind = known_as(data)
    return "" if kind is None or f"{reader} reads" in kind else f"; it seems to be {kind}"


def known_as(data: bytes) -> str | None:
    """What a file seems to be, and what reads it; None for what is not known."""
    if data.startswith(b"PK\3\4"):
        return _archive(data)
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    if data[4:8] == b"TFL3":
        return _TFLITE
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8:
        return _SAFETENSORS
    if len(data) > 2 and data[0] == 8 and data[1] < _LARGEST_VERSION and data[2] in _ONNX_FIELDS:
        return _ONNX
    return _text(data[:1024])


def _archive(data: bytes) -> str | None:
    """The kind of a zip archive, by the names in it."""
    with contextlib.suppress(Exception):  # of damage of any kind
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        if "model.weights.h5" in names:
            return _KERAS
        if any(name.endswith("data.pkl") for name in names):
            return _TORCH
        if "header.npy" in names:
            return _MODEL
        if names and all(name.endswith(".npy") for name in names):
            return _ARRAYS
    return None


def _text(beginning: bytes) -> str | None:
    """Whether it is text, and JSON."""
    if beginning.lstrip()[:1] in (b"{", b"["):
        return _JSON
    if len(beginning) > 3 and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in beginning):
        return _TEXT
    return None
