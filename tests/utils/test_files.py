"""Files are whole or refused: round trips, damage, kills, wrong kinds; save and load."""

import codecs
import dataclasses
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import numlstm
from numlstm import StorageError
from numlstm.data.scaling import Scaling
from numlstm.utils import files

ARRAYS = {
    "theta": np.linspace(-1, 1, 7, dtype=np.float32),
    "m/0": np.array([[np.nan, np.inf], [-0.0, 5e-324]]),
    "file": np.array(3),  # names that np.savez would take for its own arguments
    "empty": np.zeros((0, 3), ">f8"),
}
META = {"step": 3, "lr": 0.1 + 0.2, "tiny": 5e-324, "worst": float("inf"), "big": 2**127 + 1}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run.ckpt"
    files.write_checkpoint(path, ARRAYS, META)
    return path


def test_checkpoint_round_trip_is_exact(checkpoint):
    arrays, meta = files.read_checkpoint(checkpoint)
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()
        assert arrays[name].flags.writeable


@given(
    array=hnp.arrays(
        hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4)
    ),
    number=st.floats(allow_nan=False),
)
def test_any_array_and_float_survive(tmp_path_factory, array, number):
    path = tmp_path_factory.mktemp("any") / "x"
    files.write_checkpoint(path, {"a": array}, {"number": number})
    arrays, meta = files.read_checkpoint(path)
    assert arrays["a"].dtype == array.dtype
    assert arrays["a"].tobytes() == array.tobytes()
    assert np.float64(meta["number"]).tobytes() == np.float64(number).tobytes()


def test_same_content_same_bytes(checkpoint, tmp_path):
    files.write_checkpoint(tmp_path / "again", ARRAYS, META)
    assert (tmp_path / "again").read_bytes() == checkpoint.read_bytes()


def test_numpy_opens_the_file(checkpoint):
    with np.load(checkpoint, allow_pickle=False) as archive:
        assert archive["theta"].tobytes() == ARRAYS["theta"].tobytes()
        assert json.loads(archive["header"].tobytes())["kind"] == "checkpoint"


def refusal(path, content) -> str:
    """What `read_checkpoint` says of a file of this content; faster than pytest.raises."""
    path.write_bytes(content)
    try:
        files.read_checkpoint(path)
    except StorageError as error:
        return str(error)
    return "accepted"


def test_cut_anywhere_is_refused(checkpoint):
    data = checkpoint.read_bytes()
    for size in range(len(data)):
        message = refusal(checkpoint, data[:size])
        assert re.search(rf"run\.ckpt' is .* \({size} bytes\)$", message), message


def test_any_flipped_byte_is_refused(checkpoint):
    data = checkpoint.read_bytes()
    for index in range(len(data)):
        flipped = bytearray(data)
        flipped[index] ^= 1 << index % 8
        message = refusal(checkpoint, flipped)
        assert "run.ckpt' is " in message, message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "not a numlstm file"),
        (b"\x80\x04\x95pickle", "not a numlstm file"),
        (b"PK\3\4" + bytes(100), "checksum"),
        (b"\0" * 4096, "not a numlstm file"),
    ],
)
def test_other_content_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=rf"other\.bin.*{reason}"):
        files.read_checkpoint(path)


def test_appended_bytes_are_refused(checkpoint):
    with open(checkpoint, "ab") as file:
        file.write(b"\0")
    with pytest.raises(StorageError, match="checksum"):
        files.read_checkpoint(checkpoint)


def test_an_npz_of_someone_else_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    with pytest.raises(StorageError, match="not written by numlstm"):
        files.read_checkpoint(tmp_path / "a.npz")


def test_wrong_kind_is_refused(tmp_path):
    files.write(tmp_path / "m", "model", {}, {})
    with pytest.raises(StorageError, match="is a model file, not a checkpoint file"):
        files.read_checkpoint(tmp_path / "m")


def test_newer_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "VERSION", 3)
    files.write_checkpoint(tmp_path / "new", {}, {})
    monkeypatch.undo()
    with pytest.raises(StorageError, match=r"version 3 .* reads version 2 of a checkpoint"):
        files.read_checkpoint(tmp_path / "new")


def test_missing_file_and_folder_keep_their_own_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        files.read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no_folder"):
        files.write_checkpoint(tmp_path / "no_folder" / "x", {}, {})


@pytest.mark.parametrize(
    ("arrays", "meta"),
    [({"a": np.array([print])}, {}), ({}, {"f": print}), ({"header": np.zeros(2)}, {})],
)
def test_what_cannot_be_stored_leaves_the_old_file(checkpoint, arrays, meta):
    before = checkpoint.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        files.write_checkpoint(checkpoint, arrays, meta)
    assert checkpoint.read_bytes() == before
    assert os.listdir(checkpoint.parent) == [checkpoint.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file_and_no_litter(checkpoint, monkeypatch, call):
    def fail(*args):
        raise OSError("disk full")

    before = checkpoint.read_bytes()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_checkpoint(checkpoint, {"theta": np.zeros(3)}, {})
    monkeypatch.undo()
    assert checkpoint.read_bytes() == before
    assert os.listdir(checkpoint.parent) == [checkpoint.name]


def test_file_is_synced_before_it_gets_its_name_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a)))
    files.write_checkpoint(tmp_path / "x", {}, {})
    assert calls == (["fsync", "replace", "fsync"] if os.name == "posix" else ["fsync", "replace"])


def test_a_link_stays_a_link(checkpoint, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(checkpoint)
    files.write_checkpoint(link, {}, {"new": True})
    assert link.is_symlink()
    assert files.read_checkpoint(checkpoint)[1] == {"new": True}


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_checkpoint("here", {}, META)
    assert files.read_checkpoint("here")[1] == META


def test_nothing_is_unpickled(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("header.npy", "w") as member:
        np.lib.format.write_array(member, np.array([{}], object), allow_pickle=True)
    path = tmp_path / "evil"
    path.write_bytes(files._seal(buffer.getvalue()))  # even under a checksum that holds
    with pytest.raises(StorageError, match=r"evil.*header\.npy. is not an array of numbers"):
        files.read_checkpoint(path)


def test_threads_writing_one_path_leave_one_whole_file(tmp_path):
    path = tmp_path / "shared"

    def write(number):
        for _ in range(10):
            files.write_checkpoint(path, {"a": np.full(1000, number)}, {"number": number})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arrays, meta = files.read_checkpoint(path)
    assert (arrays["a"] == meta["number"]).all()
    assert os.listdir(tmp_path) == ["shared"]


WRITER = """
import sys
import numpy as np
from numlstm.utils import files
number = 0
while True:
    files.write_checkpoint(sys.argv[1], {"a": np.full(200_000, number)}, {"number": number})
    number += 1
"""


def test_killed_writer_never_leaves_an_unreadable_file(tmp_path):
    path = tmp_path / "killed"
    delays = np.random.default_rng(0).uniform(0, 0.05, 10)
    for delay in delays:
        path.unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        while not path.exists():
            time.sleep(0.001)
        time.sleep(delay)
        writer.kill()
        writer.wait()
        arrays, meta = files.read_checkpoint(path)
        assert (arrays["a"] == meta["number"]).all()


# --- model files ----------------------------------------------------------------------------------

SCALING = Scaling(
    x_mean=np.array([0.1, -3.0]),
    x_scale=np.array([2.0, 0.3]),
    y_mean=np.array([5.0, 0.0, -1.0]),
    y_scale=np.array([0.1, 7.0, 1.0]),
)
INPUTS = np.random.default_rng(2).standard_normal((4, 6, 2))


def model_on(backend, dtype="float64"):
    return numlstm.LSTM(2, 5, 3, num_layers=2, dtype=dtype, rng=1, backend=backend.name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "scaling", [None, SCALING, SCALING._replace(y_mean=None, y_scale=None)], ids=str
)
def test_a_saved_model_comes_back_bit_for_bit(backend, dtype, scaling, tmp_path):
    model, X = model_on(backend, dtype), INPUTS
    model.scaling, model.output = scaling, "last"
    model.save(tmp_path / "model")
    copy = numlstm.load(tmp_path / "model", backend=backend.name)
    assert copy.spec == model.spec
    assert copy.theta.tobytes() == model.theta.tobytes()
    assert copy.predict(X).tobytes() == model.predict(X).tobytes()
    copy.theta += 1  # its own memory, writable
    copy.save(tmp_path / "copy")
    assert numlstm.load(tmp_path / "copy").theta.tobytes() == copy.theta.tobytes()


def test_a_model_without_head_survives(backend, tmp_path):
    model = numlstm.LSTM(1, 3, backend=backend.name, rng=0)
    model.save(str(tmp_path / "model"))
    copy = numlstm.load(str(tmp_path / "model"), backend=backend.name)
    assert copy.spec.output_size is None
    assert copy.theta.tobytes() == model.theta.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite_are_not_saved(value, tmp_path):
    model = numlstm.LSTM(1, 3, rng=0)
    model.save(tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    model.theta[2] = value
    with pytest.raises(ValueError, match=r"theta has 1 NaN or infinite .* index \(2,\)"):
        model.save(tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == content


def test_load_refuses_what_is_no_model(tmp_path):
    path = tmp_path / "x"
    files.write_checkpoint(path, {"theta": np.zeros(3)}, {})
    with pytest.raises(StorageError, match="is a checkpoint file, not a model file"):
        numlstm.load(path)
    with pytest.raises(FileNotFoundError):
        numlstm.load(tmp_path / "nowhere")


def test_load_refuses_a_damaged_model(backend, tmp_path):
    path = tmp_path / "model"
    model_on(backend).save(path)
    with pytest.raises(files.StorageError, match="not a checkpoint file"):
        files.read_checkpoint(path)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(StorageError, match=r"model.*cut short"):
        numlstm.load(path)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="backend must be one of"):
        numlstm.load(path, backend="abacus")


# --- open files, paths of other kinds, other types ------------------------------------------------


class Raw(io.RawIOBase):
    """A stream without a buffer, that cannot be sought and takes a few bytes at a time."""

    def __init__(self, data=b""):
        self.taken, self.rest = bytearray(), memoryview(data)

    def writable(self):
        return True

    def readable(self):
        return True

    def write(self, data):
        part = bytes(data[:1000])
        self.taken += part
        return len(part)

    def readinto(self, buffer):
        part, self.rest = self.rest[: min(777, len(buffer))], self.rest[min(777, len(buffer)) :]
        buffer[: len(part)] = part
        return len(part)


class Sink:
    """The least that a file needs."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += bytes(data)

    def read(self):
        return bytearray(self.data)


def same(model, other):
    assert model.theta.tobytes() == other.theta.tobytes()
    assert model.spec == other.spec
    assert model.predict(INPUTS).tobytes() == other.predict(INPUTS).tobytes()


def a_model(dtype="float64"):
    model = numlstm.LSTM(2, 5, 3, num_layers=2, dtype=dtype, rng=1)
    model.scaling = SCALING
    return model


def test_open_files(tmp_path):
    model = a_model()
    model.save(tmp_path / "path")
    content = (tmp_path / "path").read_bytes()
    buffer, raw, sink = io.BytesIO(), Raw(), Sink()
    for file in (buffer, raw, sink):
        model.save(file)
    assert buffer.getvalue() == bytes(raw.taken) == sink.data == content
    same(numlstm.load(Raw(content)), model)
    same(numlstm.load(sink), model)
    with pytest.raises(StorageError, match="is empty, or was read to its end"):
        numlstm.load(buffer)
    buffer.seek(0)
    same(numlstm.load(buffer), model)
    with tempfile.TemporaryFile() as file:
        file.write(b"before")
        model.save(file)
        file.seek(6)
        same(numlstm.load(file), model)
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        with archive.open("model", "w") as member:  # which cannot be sought
            model.save(member)
        with archive.open("model") as member:
            same(numlstm.load(member), model)
    with gzip.open(tmp_path / "gz", "wb") as file:
        model.save(file)
    with gzip.open(tmp_path / "gz") as file:
        same(numlstm.load(file), model)
    with pytest.raises(StorageError, match=r"the file <_io.BytesIO.* is damaged"):
        numlstm.load(io.BytesIO(content[:-1]))


def test_several_models_in_a_file_are_told_apart_by_the_caller(tmp_path):
    """A zip archive is read from its end, so that a file ends where its model does."""
    first, second, buffer = a_model(), a_model("float32"), io.BytesIO()
    first.save(buffer)
    size = buffer.tell()
    second.save(buffer)
    more = len(buffer.getvalue()) - size
    words = (
        rf"holds a whole file of {size} bytes and {more} more, .*BytesIO\(file\.read\({size}\)\)"
    )
    buffer.seek(0)
    with pytest.raises(StorageError, match=words):
        numlstm.load(buffer)
    (tmp_path / "both").write_bytes(buffer.getvalue())
    with pytest.raises(StorageError, match=words):
        numlstm.load(tmp_path / "both")
    buffer.seek(0)
    same(numlstm.load(io.BytesIO(buffer.read(size))), first)
    same(numlstm.load(buffer), second)


def test_files_of_text_are_refused(tmp_path):
    model = a_model()
    (tmp_path / "text").write_text("a text")
    with (
        open(tmp_path / "text") as reading,
        tempfile.NamedTemporaryFile("w+") as wrapped,
        codecs.open(tmp_path / "coded", "w", "utf-8") as coded,
    ):
        for file in (io.StringIO("x"), reading, wrapped):
            with pytest.raises(TypeError, match=r"a file of text, .* with mode 'wb' or 'rb'"):
                numlstm.load(file)
        for file in (io.StringIO(), wrapped, coded):
            with pytest.raises(TypeError, match=r"a file of text, .* with mode 'wb' or 'rb'"):
                model.save(file)


def test_files_of_another_encoding_are_files_of_text(tmp_path):
    a_model().save(tmp_path / "model")
    words = r"a file of text, .* with mode 'wb' or 'rb'"
    with (
        open(tmp_path / "model", encoding="utf-8") as reading,
        pytest.raises(TypeError, match=words),
    ):
        numlstm.load(reading)


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_a_pipe_without_bytes_is_not_a_file_of_text():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with (
        open(writing, "wb"),
        open(reading, "rb", buffering=0) as source,
        pytest.raises(BlockingIOError, match="has no bytes now"),
    ):
        numlstm.load(source)


class Wrapper:
    """A file in another, as `tempfile` makes it."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        return self.file.write(data)


def test_a_wrapper_may_take_a_part():
    wrapped, buffer = Wrapper(Raw()), io.BytesIO()
    a_model().save(wrapped)
    a_model().save(buffer)
    assert bytes(wrapped.file.taken) == buffer.getvalue()


class Place:
    """A path whose text is bytes."""

    def __init__(self, path):
        self.path = os.fsencode(path)

    def __fspath__(self):
        return self.path


@pytest.mark.parametrize("kind", [str, os.fsencode, Place])
def test_every_kind_of_path(tmp_path, kind):
    model = a_model()
    model.save(kind(tmp_path / "model"))
    same(numlstm.load(kind(tmp_path / "model")), model)
    series = np.sin(np.arange(20.0))
    options = {"hidden_size": 2, "rng": 0, "checkpoint": kind(tmp_path / "run")}
    numlstm.fit(series, epochs=1, **options)
    assert numlstm.fit(series, epochs=2, resume=True, **options).nit == 2


@pytest.mark.parametrize("value", [3, None, 1.5, ["model.npz"], "", b""])
def test_what_is_no_path(value):
    for call in (a_model().save, numlstm.load):
        with pytest.raises((TypeError, ValueError), match=r"path must .*received"):
            call(value)


def test_content_is_no_path():
    buffer = io.BytesIO()
    a_model().save(buffer)
    with pytest.raises(TypeError, match=r"the content of a file: pass io\.BytesIO"):
        numlstm.load(buffer.getvalue())
    with pytest.raises(TypeError, match=r"checkpoint must be a path, received <_io.BytesIO"):
        numlstm.fit(np.arange(9.0), checkpoint=buffer)


def test_another_type(tmp_path):
    narrow = a_model("float32")
    narrow.output = "last"
    wide = narrow.astype("float64")
    assert wide.theta.dtype == np.float64
    np.testing.assert_array_equal(wide.theta, narrow.theta)  # exactly
    np.testing.assert_allclose(wide.predict(INPUTS), narrow.predict(INPUTS), rtol=1e-4, atol=1e-5)
    assert wide.output == "last"
    np.testing.assert_array_equal(wide.scaling.x_mean, SCALING.x_mean)
    same(wide.astype(np.float32), narrow)
    wide.theta[:] = 7
    wide.scaling.x_mean[:] = 9
    assert not (narrow.theta == 7).any()
    assert narrow.scaling.x_mean[0] == 0.1
    own = narrow.astype("f4")
    own.theta[0] += 1
    assert own.theta[0] != narrow.theta[0]

    narrow.save(tmp_path / "narrow")
    same(numlstm.load(tmp_path / "narrow", dtype="float64"), narrow.astype("float64"))
    wide = a_model()
    wide.save(tmp_path / "wide")
    rounded = numlstm.load(tmp_path / "wide", dtype="float32")
    np.testing.assert_array_equal(rounded.theta, wide.theta.astype(np.float32))
    same(numlstm.load(tmp_path / "wide", dtype=None), wide)

    wide.theta[3] = 1e39
    wide.save(tmp_path / "wide")
    for call in (
        lambda: wide.astype("float32"),
        lambda: numlstm.load(tmp_path / "wide", dtype="float32"),
    ):
        with pytest.raises(ValueError, match="theta has values beyond the range of float32"):
            call()
    for call in (wide.astype, lambda kind: numlstm.load(tmp_path / "wide", dtype=kind)):
        with pytest.raises(ValueError, match=r"dtype must be one of .* received 'float16'"):
            call(np.float16)


def test_tensor_cores_stay_with_float32():
    model = numlstm.LSTM(2, 3, 1)
    model.spec = dataclasses.replace(model.spec, precision="tf32")
    assert model.astype("float64").spec.precision is None
