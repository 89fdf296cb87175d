"""Files that are wrong under a checksum that holds: refused as such, by what and where."""

import io
import json
import os
import re
import socket
import sys
import time
import zipfile
from functools import partial

import numpy as np
import pytest

import numlstm
from helpers.fits import PowerCut, batch, cut_the_power
from helpers.house import ROOT
from helpers.processes import run_python
from numlstm import StorageError
from numlstm.data.labels import Names
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.utils import archives, files
from sealed_files import END, ENTRY, MEMBER, File, overwritten, sealed, taken_apart

INPUTS = np.random.default_rng(0).standard_normal((2, 5, 2))


def a_model(**options):
    return numlstm.LSTM(2, 4, 3, **{"rng": 0, "dtype": "float64", **options})


def full_model():
    """A model with all that a file may hold: 2 features, each with a channel, and 3 targets."""
    model = numlstm.LSTM(4, 4, 3, rng=0, dtype="float64")
    model.scaling = Scaling(np.zeros(2), np.ones(2), np.arange(3.0), np.full(3, 2.0))
    model.filling = Imputer(np.array([1.0, 2.0]))
    model.names = Names(("p", "q"), ("a", "b", "c"))
    model.forecasts = False
    return model


def apart(model) -> File:
    buffer = io.BytesIO()
    model.save(buffer)
    return taken_apart(buffer.getvalue())


def member(file, name):
    return next(member for member in file.members if member.name == f"{name}.npy")


def refusal(file) -> str:
    data = file if isinstance(file, bytes) else file.data()
    with pytest.raises(StorageError) as caught:
        numlstm.load(io.BytesIO(data))
    return str(caught.value)


def test_what_was_taken_apart_is_put_together():
    for model in (a_model(), full_model()):
        file = apart(model)
        copy = numlstm.load(io.BytesIO(file.data()))
        assert copy.theta.tobytes() == model.theta.tobytes()
        assert copy.names == model.names


@pytest.mark.parametrize("rank", [0, 31, 32])
def test_arrays_of_any_rank_that_numpy_always_had(rank):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.full((1,) * rank, 3.0))
    found = archives.unpack(memoryview(buffer.getvalue()))["a"]
    assert found.shape == (1,) * rank
    assert found.item() == 3


def test_an_archive_that_ends_early_is_refused_wherever_that_is():
    buffer = io.BytesIO()
    np.savez(buffer, theta=np.arange(3.0), b=np.ones((2, 1), "float32"))
    data = buffer.getvalue()
    assert archives.unpack(data)["theta"].tolist() == [0, 1, 2]
    for end in range(len(data)):
        with pytest.raises((ValueError, zipfile.BadZipFile)):
            archives.unpack(data[:end])


# --- the spec and the parameters ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("hidden_size", value) for value in (3, 5, 8, 10**6, 2**62, 2**64, "8", True, 4.0, None)),
        *(("dtype", value) for value in ("float32", "float16", "f8", "<f8", "O", None, 8)),
        *(("proj_size", value) for value in (-2, 0, 2, 4, 2**63)),
        *(("input_size", value) for value in (1, 3, 0, -1, 2**40)),
        *(("num_layers", value) for value in (2, 0, -1, 10**8, 2**63 - 1, 10**30)),
        *(("output_size", value) for value in (None, 2, 4, 10**10)),
        *(("bidirectional", value) for value in (True, 1, 0, "no", None)),
        *(("residual", value) for value in (True, 1, [])),
        *(("learned_state", value) for value in (True, 0.0)),
        *(("cell", value) for value in (None, [], {"x": 1}, {"peephole": 1}, {"peephole": True})),
        *(("cell", {name: 1e999}) for name in ("cell_clip", "layer_norm_epsilon")),
        *(("cell", {"activations": value}) for value in (None, 3, [1, 2, 3], ["relu"] * 3)),
        ("cell", {"activations": [{"name": [], "alpha": 0.0, "beta": 0.0}] * 3}),
        ("cell", {"activations": [{"name": "tanh", "alpha": "x", "beta": 0.0}] * 3}),
        *(("dropout", value) for value in (0.5, {"layers": 1.0}, {"layers": -0.1}, {"x": 0.1})),
        *(("precision", value) for value in ("tf32", "float16", 3)),
        ("units", 4),
    ],
)
def test_another_network_than_that_of_the_parameters(field, value):
    file = apart(a_model())
    file.header["meta"]["spec"][field] = value
    message = refusal(file)
    assert " is refused: " in message
    assert "theta" in message or field in message or str(next(iter(value))).rstrip("s") in message


def test_a_network_without_some_of_its_fields():
    for field in ("input_size", "hidden_size", "output_size", "num_layers", "dtype"):
        file = apart(a_model())
        del file.header["meta"]["spec"][field]
        assert f"spec lacks the entry '{field}'" in refusal(file)


@pytest.mark.parametrize("count", [10**4 + 1, 10**8, 2**62])
def test_more_layers_than_can_be_counted_are_refused_at_once(count):
    words = f"num_layers must be at most 10000, received {count}|num_layers={count}, .* no memory"
    with pytest.raises(ValueError, match=words):
        numlstm.LSTM(3, 8, num_layers=count)
    with pytest.raises(ValueError, match=words):
        numlstm.fit(INPUTS, num_layers=count)


def change_theta(theta, kind):
    return {
        "column": theta[:, None], "short": theta[:-1], "long": np.append(theta, 0.0),
        "one": theta[:1], "none": theta[:0], "scalar": theta[:1].reshape(()),
        "narrow": theta.astype("f4"), "whole": theta.astype("i8"), "complex": theta + 0j,
        "times": theta.astype("i8").astype("M8[s]"), "texts": theta.astype("U3"),
    }[kind]  # fmt: skip


KINDS = (
    *("column", "short", "long", "one", "none", "scalar", "narrow", "whole", "complex", "times"),
    "texts",
)


@pytest.mark.parametrize("kind", KINDS)
def test_another_number_or_type_of_parameters(kind):
    file = apart(a_model())
    theta = member(file, "theta")
    theta.array = change_theta(theta.array, kind)
    assert "theta" in refusal(file)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite(value):
    file = apart(a_model())
    theta = member(file, "theta")
    theta.array = theta.array.copy()
    theta.array[-1] = value
    message = refusal(file)
    assert f"1 NaN or infinite value(s), the first at index ({theta.array.size - 1},)" in message


def test_other_byte_and_element_orders_are_the_same_numbers(tmp_path):
    model = full_model()
    file = apart(model)
    for each in file.members:
        if each.name != "header.npy":
            each.array = each.array.astype(">f8")
    copy = numlstm.load(io.BytesIO(file.data()))
    assert copy.theta.tobytes() == model.theta.tobytes()
    assert copy.theta.dtype.isnative
    assert copy.scaling.x_mean.dtype.isnative
    X = np.where(INPUTS > 1, np.nan, INPUTS)
    assert copy.predict(X).tobytes() == model.predict(X).tobytes()
    table = np.arange(12.0).reshape(3, 4)
    for array in (table, np.asfortranarray(table), table[::-1, ::2], table.T.astype(">f4")):
        files.write_checkpoint(tmp_path / "run", {"a": array}, {})
        found = files.read_checkpoint(tmp_path / "run")[0]["a"]
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
        assert found.flags.owndata


# --- the other parts of a model -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x_mean", "x_scale", "y_mean", "y_scale"])
@pytest.mark.parametrize("kind", ["one more", "one", "column", "narrow", "nan", "inf", "whole"])
def test_invalid_units(name, kind):
    file = apart(full_model())
    part = member(file, f"scaling/{name}")
    array = part.array + 1.0
    array[0] = {"nan": np.nan, "inf": np.inf}.get(kind, array[0])
    part.array = {
        "one more": np.append(array, 1.0), "one": array[:1], "column": array[:, None],
        "narrow": array.astype("f4"), "whole": np.ones(array.size, "i8"),
    }.get(kind, array)  # fmt: skip
    assert f"scaling.{name}" in refusal(file)


@pytest.mark.parametrize("name", ["x_scale", "y_scale"])
@pytest.mark.parametrize("value", [0.0, -0.0, -1.0])
def test_scales_that_are_not_above_zero(name, value):
    file = apart(full_model())
    part = member(file, f"scaling/{name}")
    part.array = np.where(np.arange(part.array.size) == 1, value, part.array)
    assert f"scaling.{name} must have finite numbers above 0" in refusal(file)


@pytest.mark.parametrize("name", ["scaling/x_mean", "scaling/x_scale", "scaling/y_mean", "theta"])
def test_a_part_that_is_not_there(name):
    file = apart(full_model())
    file.members.remove(member(file, name))
    assert name.replace("/", ".") in refusal(file).replace("/", ".")


@pytest.mark.parametrize("name", ["optimizer_m", "scaling/z", "scaling/", "filling/x", "filling"])
def test_a_part_that_is_not_known(name):
    file = apart(full_model())
    member(file, "filling/mean").name = f"{name}.npy"
    assert f"a model has no array '{name}'" in refusal(file)


def test_channels_that_the_network_has_not():
    file = apart(full_model())
    member(file, "filling/mean").array = np.zeros(3)
    assert "filling.mean must have 2 number(s)" in refusal(file)
    odd = apart(numlstm.LSTM(3, 2, rng=0))
    odd.members.append(type(odd.members[0])("filling/mean.npy", np.zeros(1)))
    assert "a channel for every feature, and the network has 3" in refusal(odd)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        *(("output", value) for value in ("first", None, 3, ["last"], {})),
        *(("forecasts", value) for value in (1, "yes", [], 0.0)),
        *(("drawn", value) for value in (True, "x", 3, "A" * 64, ["0" * 64])),
        *(("features", value) for value in ("pq", ["p"], ["p", "p"], ["p", 3], None, {}, [])),
        *(("targets", value) for value in ("abc", ["a"] * 2, [[]], list("abcd"), None, 3)),
        ("more", 1),
    ],
)
def test_other_plain_values(entry, value):
    file = apart(full_model())
    file.header["meta"][entry] = value
    assert entry in refusal(file)


def test_what_would_not_load_is_not_saved():
    for change in (
        {"scaling": full_model().scaling._replace(x_scale=np.array([1.0, 0.0]))},
        {"scaling": full_model().scaling._replace(y_mean=np.zeros(2))},
        {"filling": Imputer(np.array([1.0, np.nan]))},
        {"names": Names(("p",))},
        {"names": Names(("p", "p"))},
        {"names": Names(("p", 3))},
        {"output": "first"},
        {"forecasts": 1},
    ):
        model = full_model()
        vars(model).update(change)
        with pytest.raises(ValueError, match=next(iter(change)) + "|names|features"):
            model.save(io.BytesIO())


# --- the header -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe{}", "utf-8"),
        (b"null", "the header must be a dictionary, received None"),
        (b"[" * 10**5, "lists within one another"),
        (b'{"a":' * 10**5 + b"1" + b"}" * 10**5, "lists within one another"),
        (b"1" * 10**4, "digits"),
        (b'{"kind": 1, "kind": 2}', "an entry twice"),
        (b'{"kind": "model"}', "lacks the entry 'format'"),
        (b'{"format": "x", "version": 2, "kind": "model", "meta": {}}', "header's format"),
        (b'{"format": "numlstm", "version": true, "kind": "model", "meta": {}}', "version"),
        (b'{"format": "numlstm", "version": 2, "kind": 3, "meta": {}}', "header's kind"),
        (b'{"format": "numlstm", "version": 2, "kind": "model", "meta": []}', "header's meta"),
        (b'{"format": "numlstm", "version": 2, "kind": "model", "meta": {}}', "lacks the entry"),
        (json.dumps("x").encode("utf-16"), "utf-8"),
    ],
)
def test_other_headers(text, words):
    file = apart(a_model())
    file.text = text
    assert words in refusal(file)


def test_a_bracket_in_a_text_is_none():
    model = full_model()
    model.names = Names(("[" * 100, '"]\\' * 50), ("a", "b", "c"))
    assert numlstm.load(io.BytesIO(apart(model).data())).names == model.names


@pytest.mark.parametrize("text", [b'\\"' * 10**6, b"[]," * 10**6, b'"[",' * 10**6, b"\\" * 10**6])
def test_a_header_is_looked_through_once(text):
    """What took the square of its size, or seconds a megabyte."""
    file = apart(a_model())
    file.text = b"[" * 17 + text
    started = time.process_time()
    assert refusal(file)
    assert time.process_time() - started < 5
    assert "lists within one another" in refusal(file) or text[:2] == b'\\"'


def test_a_model_has_a_small_header_and_a_run_may_have_a_large_one(tmp_path):
    file = apart(a_model())
    file.text = b" " * (2**24 + 1)
    assert "its header has 16777217 bytes, more than the 16777216 of a model" in refusal(file)
    history = {"loss": ["x" * 2**24]}
    files.write_checkpoint(tmp_path / "run", {}, history)
    assert files.read_checkpoint(tmp_path / "run")[1] == history
    with pytest.raises(ValueError, match="its header has"):
        files.write(io.BytesIO(), "model", {}, history)


# --- the archive ----------------------------------------------------------------------------------


def test_a_header_has_a_largest_size(monkeypatch):
    file = apart(a_model())
    size = len(json.dumps(file.header).encode())
    monkeypatch.setitem(files._LARGEST_HEADER, "model", size)
    numlstm.load(io.BytesIO(file.data()))
    monkeypatch.setitem(files._LARGEST_HEADER, "model", size - 1)
    assert f"its header has {size} bytes, more than the {size - 1} of" in refusal(file)


def header(**fields):
    return lambda file, one: one.npy.update(fields)


def lying(*records, **fields):
    """Other numbers in these records of a member, or in the end of the archive."""

    def change(file, one):
        index = file.members.index(one)
        for record in records:
            file.damage.append(partial(overwritten, record=record, index=index, **fields))

    return change


def compressed(file, one):
    one.method = zipfile.ZIP_DEFLATED


BOTH = MEMBER, ENTRY
ARCHIVES = {
    "compressed": (compressed, "is compressed or encrypted"),
    "called compressed": (lying(*BOTH, method=8), "is compressed or encrypted"),
    "of an unknown method": (lying(*BOTH, method=99), "is compressed or encrypted"),
    "encrypted": (lying(*BOTH, flags=1), "is compressed or encrypted"),
    "with its sizes behind it": (lying(*BOTH, flags=8), "is compressed or encrypted"),
    "larger when unpacked": (lying(*BOTH, size=2**30), "is compressed or encrypted"),
    "larger than the file": (lying(*BOTH, size=2**30, packed=2**30), "more than the"),
    "larger than it was": (lying(*BOTH, size=1300, packed=1300), "CRC|Overlapped|ends outside"),
    "smaller than it is": (lying(*BOTH, size=10, packed=10), "CRC|no array"),
    "elsewhere by the directory": (lying(ENTRY, place=0), "differ"),
    "nowhere by the directory": (lying(ENTRY, place=2**31), "[Tt]runcated|offset|magic"),
    "of another name than by the directory": (lying(MEMBER, name=4), "differ"),
    "of another checksum": (lying(*BOTH, crc=1), "Bad CRC-32 for file 'theta.npy'"),
    "no array": (header(magic=b"\x80\4"), "is not an array of numbers"),
    "of another version of NumPy's": (header(version=b"\4\0"), "is not an array of numbers"),
    "of a header without end": (header(size=2**15), "is not an array of numbers"),
    "of a header that ends early": (header(size=20), "is not an array of numbers"),
    "of a nested header": (header(header=b"(" * 9000), "is not an array of numbers"),
    "evaluated": (header(descr="__import__('os').abort()"), "is not an array of numbers"),
    "of objects": (header(descr="'|O'"), "is not an array of numbers"),
    "structured": (header(descr="[('a', '<f8')]"), "is not an array of numbers"),
    "of texts": (header(descr="'<U2'"), "is not an array of numbers"),
    "of an impossible type": (header(descr="'<f7'"), "has the invalid type '<f7'"),
    "huge": (header(shape="(99999999999999,)"), "make others"),
    "huge and empty": (header(shape="(0, 4611686018427387904)"), "has the invalid shape"),
    "of a negative size": (header(shape="(-1,)"), "is not an array of numbers"),
    "of a size that overflows": (header(shape="(4294967296, 4294967296)"), "make others"),
    "of many axes": (header(shape=repr((1,) * 40)), "has the invalid shape"),
    "of one byte less": (header(payload=b"\0" * 1143), "make others"),
    "of one byte more": (header(payload=b"\0" * 1145), "make others"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_member_that_is(name):
    change, words = ARCHIVES[name]
    file = apart(a_model())
    change(file, member(file, "theta"))
    assert re.search(words, refusal(file))


def test_members_twice_and_ends_of_other_archives():
    file = apart(a_model())
    file.members.append(member(file, "theta"))
    assert "is there twice" in refusal(file)
    file = apart(a_model())
    file.members[1].name = "theta"
    assert "is not an array" in refusal(file)
    for name, value in (("size", 7), ("size", 2**31), ("place", 2**31)):
        file = apart(a_model())
        lying(END, **{name: value})(file, file.members[0])
        refusal(file)
    refusal(sealed(b"PK\3\4" + bytes(30)))
    refusal(sealed(b"PK\5\6" + bytes(18)))


def test_a_directory_is_not_larger_than_that_of_a_model():
    """Millions of entries of 46 bytes, each of which becomes an object, are not read."""
    file = apart(a_model())
    file.members += [type(file.members[0])(f"{n}.npy", np.zeros(1)) for n in range(2000)]
    assert "the directory of its members has" in refusal(file)


def test_a_bomb_is_refused_by_what_it_declares():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("theta.npy", bytes(10**7))
    assert len(buffer.getvalue()) < 20_000
    assert "is compressed or encrypted" in refusal(sealed(buffer.getvalue()))


def test_archives_beyond_four_gigabytes_have_larger_fields(monkeypatch):
    """With the limit at which `zipfile` writes them lowered."""
    buffer, model = io.BytesIO(), full_model()
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 300)
    model.save(buffer)
    assert b"PK\6\6" in buffer.getvalue()
    monkeypatch.undo()
    buffer.seek(0)
    assert numlstm.load(buffer).theta.tobytes() == model.theta.tobytes()


def test_a_file_that_the_memory_does_not_hold(monkeypatch, tmp_path):
    a_model().save(tmp_path / "model")

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(archives, "unpack", full)
    with pytest.raises(StorageError, match="model' needs more memory than there is"):
        numlstm.load(tmp_path / "model")


# --- what is no file ------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_pipes_sockets_devices_and_folders_are_refused_before_read(tmp_path, monkeypatch):
    pipe, place, device = tmp_path / "pipe", str(tmp_path / "socket"), "/dev/zero"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        listening.bind("socket")
        for path in (pipe, place, device):
            with pytest.raises(StorageError, match=r"is a (FIFO|socket|device), and a path"):
                numlstm.load(path)
        with pytest.raises(StorageError, match="is a FIFO"):
            files.read_checkpoint(pipe)
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        numlstm.load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="there are no such files")
def test_a_pipe_that_is_open_is_read(tmp_path):
    buffer = io.BytesIO()
    a_model().save(buffer)
    reading, writing = os.pipe()
    with open(reading, "rb") as source:
        with open(writing, "wb") as sink:
            sink.write(buffer.getvalue())
        assert numlstm.load(source).theta.tobytes() == a_model().theta.tobytes()


# --- checkpoints ----------------------------------------------------------------------------------

RUN = {"hidden_size": 4, "epochs": 3, "rng": 0, "batch_size": 5, "bptt_steps": 4}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The file of a run that went on to the middle of its second epoch, within a batch."""
    path = tmp_path_factory.mktemp("stored") / "run"
    with pytest.MonkeyPatch.context() as patch:
        cut_the_power(patch, 14)
        with pytest.raises(PowerCut):
            numlstm.fit(*batch(), checkpoint=path, **RUN)
    return path.read_bytes()


def resumed(data, path):
    path.write_bytes(data)
    return numlstm.fit(*batch(), checkpoint=path, resume=True, **RUN)


def test_the_run_that_is_mutated_goes_on(stored, tmp_path):
    file = taken_apart(stored)
    meta = file.header["meta"]
    assert meta["epoch"] == 1
    assert meta["window"] > 0
    expected = numlstm.fit(*batch(), **RUN)
    assert resumed(file.data(), tmp_path / "run").x.tobytes() == expected.x.tobytes()


@pytest.mark.parametrize("name", ["theta", "previous", "best_theta", "optimizer_m", "state_c"])
@pytest.mark.parametrize("kind", ["one", "scalar", "row", "long", "wide", "none"])
def test_arrays_of_a_run_that_would_be_broadcast(name, kind, stored, tmp_path):
    file = taken_apart(stored)
    part = member(file, name)
    if kind == "none":
        file.members.remove(part)
    else:
        flat = part.array.ravel()
        part.array = {
            "one": flat[:1], "scalar": flat[:1].reshape(()), "row": part.array[None],
            "long": np.append(flat, flat), "wide": part.array.astype("f8"),
        }[kind]  # fmt: skip
    with pytest.raises(StorageError, match=f"run' is refused: .*{name}"):
        resumed(file.data(), tmp_path / "run")


@pytest.mark.parametrize("name", ["theta", "previous", "best_theta"])
def test_parameters_that_no_run_writes(name, stored, tmp_path):
    file = taken_apart(stored)
    part = member(file, name)
    part.array = np.full_like(part.array, np.nan)
    with pytest.raises(StorageError, match=f"the array .{name}. has .* NaN or infinite"):
        resumed(file.data(), tmp_path / "run")


def test_a_diverged_optimiser_is_no_fault(stored, tmp_path):
    file = taken_apart(stored)
    part = member(file, "optimizer_v")
    part.array = np.full_like(part.array, np.inf)
    file.header["meta"]["best"], file.header["meta"]["best_epoch"] = float("inf"), 0
    assert resumed(file.data(), tmp_path / "run").nit == 3


MANY = [-1, 10**6, 2**64, 1.0, True, "1", None, [], {}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("epoch", "batch", "window") for value in MANY),
        *((name, value) for name in ("windows", "updates") for value in [0, *MANY[2:]]),
        *(("since", value) for value in (-1, 2, True, "x")),
        *(("steps", value) for value in [[1, 2], [None], *MANY]),
        *(("best", value) for value in (float("nan"), "x", None, [1.0], True)),
        *(("best_epoch", value) for value in (2, -1, [1], 0.5, None)),
        *(("sums", value) for value in ({}, [], {"loss": 1.0}, None)),
        *(("history", value) for value in ({}, [], {"loss": [1.0]}, None)),
        *(("seed", value) for value in (-1, 2**63, "x", None, 1.5, [])),
        *(("fingerprint", value) for value in ([], None, {"a": 1}, {"a": None})),
        ("more", 1),
    ],
)
def test_plain_values_of_a_run(name, value, stored, tmp_path):
    file = taken_apart(stored)
    file.header["meta"][name] = value
    counted = {"epoch": "history", "windows": "updates", "updates": "steps"}  # by what it disagrees
    with pytest.raises(StorageError, match=f"{name}|{counted.get(name, name)}"):
        resumed(file.data(), tmp_path / "run")


@pytest.mark.parametrize("name", ["loss", "gradient_norm", "learning_rate"])
@pytest.mark.parametrize("values", [[], [1.0] * 2, ["x"], [None], [[1.0]], [True], 1.0, None])
def test_a_history_of_other_epochs(name, values, stored, tmp_path):
    file = taken_apart(stored)
    file.header["meta"]["history"][name] = values
    with pytest.raises(StorageError, match=f"history.{name}"):
        resumed(file.data(), tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "name"),
    [({"validation": 0.3}, "validation_loss"), ({"patience": 2}, "training_loss")],
)
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_history_without_the_losses_that_judge(options, name, epochs, tmp_path):
    options = {**RUN, **options, "epochs": epochs, "checkpoint": tmp_path / "run"}
    numlstm.fit(*batch(), **options)
    file = taken_apart((tmp_path / "run").read_bytes())
    del file.header["meta"]["history"][name]
    (tmp_path / "run").write_bytes(file.data())
    with pytest.raises(StorageError, match=f"history.{name} is missing"):
        numlstm.fit(*batch(), **{**options, "epochs": 3}, resume=True)


@pytest.mark.parametrize("name", ["state_h", "theta", "best_theta", "optimizer_v"])
def test_arrays_of_the_members_of_an_ensemble(name, tmp_path, monkeypatch):
    options = {**RUN, "members": 3, "bootstrap": False}
    cut_the_power(monkeypatch, 14)
    with pytest.raises(PowerCut):
        numlstm.ensemble(*batch(), checkpoint=tmp_path / "run", **options)
    monkeypatch.undo()
    file = taken_apart((tmp_path / "run").read_bytes())
    part = member(file, name)
    part.array = part.array[:1]
    (tmp_path / "run").write_bytes(file.data())
    with pytest.raises(StorageError, match=f"the array '{name}' must be float32 of shape"):
        numlstm.ensemble(*batch(), checkpoint=tmp_path / "run", resume=True, **options)


# --- and many more --------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory and time are set as on Linux")
def test_some_of_a_hundred_thousand_mutations():
    """All of them: stress/mutate_files.py."""
    done = run_python(ROOT / "stress" / "mutate_files.py", "--cases", 300, "--seed", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout
    assert "used" in done.stdout
    assert "WRONG" not in done.stdout
