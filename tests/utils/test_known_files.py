"""Files of other kinds are known by their first bytes, and errors say what reads them."""

import io
import zipfile

import numpy as np
import pytest

import numlstm
import numlstm.convert
from numlstm.convert import from_rtneural, from_safetensors, to_rtneural, to_safetensors
from numlstm.utils.known_files import hint, known_as


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def written(write):
    buffer = io.BytesIO()
    write(numlstm.LSTM(1, 2, 1, rng=0, backend="reference"), buffer)
    return buffer.getvalue()


FILES = {
    "PyTorch": (zipped("net/data.pkl", "net/data/0", "net/version"), "from_torch"),
    "old PyTorch": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "from_torch"),
    "Keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "from_keras"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "from_keras"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x01", "from_onnx"),
    "TFLite": (b"\x1c\0\0\0TFL3" + bytes(20), "from_tflite"),
    "safetensors": (written(to_safetensors), "from_safetensors"),
    "numlstm": (written(numlstm.LSTM.save), "numlstm.load"),
    "arrays": (zipped("a.npy", "b.npy"), "np.load"),
    "an array": (b"\x93NUMPY\1\0", "np.load"),
    "JSON": (written(to_rtneural), "from_rtneural"),
    "CSV": (b"time,level\r\n0,1.5\r\n", "file of text"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_kinds(kind):
    data, reader = FILES[kind]
    assert reader in known_as(data)
    assert hint(data, "numlstm.save").startswith("; it seems to be ")
    assert hint(data, reader) == "" or kind == "CSV"


@pytest.mark.parametrize("data", [b"", b"\x08", b"PK\3\4", zipped(), zipped("a"), bytes(range(99))])
def test_what_is_not_known(data):
    assert known_as(data) is None
    assert hint(data, "numlstm.load") == ""


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("read", [numlstm.load, from_safetensors, from_rtneural])
def test_the_wrong_reader_names_the_right_one(kind, read):
    data, reader = FILES[kind]
    if reader.endswith(read.__name__):
        return
    with pytest.raises(numlstm.StorageError, match=reader) as caught:
        read(io.BytesIO(data))
    assert "bytes, and it has" not in str(caught.value)
    assert "codec" not in str(caught.value)


@pytest.mark.parametrize("kind", FILES)
def test_with_packages(kind):
    data, reader = FILES[kind]
    readers = {"from_torch": "torch", "from_keras": "h5py", "from_onnx": "onnx", "from_tflite": ""}
    for name, package in readers.items():
        if name == reader:
            continue
        if package and not _has(package):
            continue
        with pytest.raises(numlstm.StorageError, match=reader):
            getattr(numlstm.convert, name)(io.BytesIO(data))


def _has(package):
    try:
        __import__(package)
    except ImportError:
        return False
    return True


def test_the_array_that_numpy_wrote():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    with pytest.raises(numlstm.StorageError, match=r"not written by numlstm.*np.load reads it"):
        numlstm.load(io.BytesIO(buffer.getvalue()))
