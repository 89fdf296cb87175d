"""Files of safetensors: the way there and back, and files that are wrong."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from numlstm.convert import from_safetensors, to_safetensors
from numlstm.convert.safetensors import pack, unpack

VARIANTS = (
    {},
    {"num_layers": 3, "bidirectional": True, "proj_size": 2, "dropout": {"inputs": 0.3}},
    {"cell": {"peephole": True, "forget_gate": "coupled"}, "learned_state": True},
    {"cell": {"layer_norm": True}, "num_layers": 2, "residual": True, "static_size": 2},
    {"direct_input": True},
)


def written(model):
    buffer = io.BytesIO()
    to_safetensors(model, buffer)
    return buffer.getvalue()


def read(data, **options):
    return from_safetensors(io.BytesIO(data), check=False, backend="reference", **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", VARIANTS)
def test_there_and_back(options, dtype):
    model = numlstm.LSTM(3, 5, 2, rng=0, dtype=dtype, backend="reference", **options)
    model.theta[::7] = -0.0
    model.set_scaling((1.0, 2.0), (3.0, 4.0))
    model.output = "last"
    copy = read(written(model))
    assert (copy.spec, copy.output) == (model.spec, "last")
    assert copy.theta.tobytes() == model.theta.tobytes()
    assert copy.is_new == model.is_new
    for name in model.scaling._fields:
        np.testing.assert_array_equal(getattr(copy.scaling, name), getattr(model.scaling, name))
    assert read(written(model), output="sequence").output == "sequence"
    assert written(read(written(copy))) == written(copy)


def test_all_that_a_fit_keeps(tmp_path):
    X = np.random.default_rng(0).standard_normal((4, 6, 2))
    y = X[..., :1].copy()
    X[0, 2] = np.nan
    fitted = numlstm.fit(X, y, missing="mask", hidden_size=3, epochs=1, rng=0)
    model = fitted.model
    to_safetensors(model, tmp_path / "model.safetensors")
    copy = from_safetensors(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))


def test_a_file_of_others():
    rng = np.random.default_rng(0)
    tensors = {
        "rnn.weight_ih_l0": rng.standard_normal((20, 3)).astype("float32"),
        "rnn.weight_hh_l0": rng.standard_normal((20, 5)).astype("float32"),
        "fc.weight": rng.standard_normal((2, 5)).astype("float32"),
    }
    model = read(pack(tensors, {}), output="last")
    assert (model.output, model.spec.width) == ("last", 2)
    np.testing.assert_array_equal(model.params["head_weight"], tensors["fc.weight"])
    assert read(pack(tensors, {}), head=False).spec.head is None
    with pytest.raises(ValueError, match="no LSTM"):
        read(pack({"a": np.ones(3)}, {}))


@pytest.mark.parametrize("names", [{"lstm": "lstm"}, {"head": "head"}, {"head": False}])
def test_a_file_of_ours_says_what_its_parts_are(names):
    model = numlstm.LSTM(3, 5, 2, rng=0, backend="reference", cell={"activation_clip": 0.5})
    with pytest.raises(ValueError, match="says what its parts are: leave them out"):
        read(written(model), **names)


def test_halves_of_float32():
    values = np.array([1.0, -2.5, 3e38, 0.0], "float32")
    halves = (values.view("uint32") >> 16).astype("<u2").tobytes()
    entry = {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}
    header = json.dumps({"a": entry}).encode()
    tensors, _ = unpack(len(header).to_bytes(8, "little") + header + halves)
    np.testing.assert_allclose(tensors["a"], values, rtol=2**-7)


def changed(**entries):
    """A file of one tensor whose header says something else."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | entries
    header = json.dumps({"a": {k: v for k, v in entry.items() if v is not None}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


WRONG = {
    "empty": b"",
    "short": b"\1\0",
    "a size beyond the file": (2**40).to_bytes(8, "little") + b"{}",
    "no JSON": (2).to_bytes(8, "little") + b"{]",
    "no dictionary": (2).to_bytes(8, "little") + b"[]",
    "deep": (2 * 10**5).to_bytes(8, "little") + b"[" * 10**5 + b"]" * 10**5,
    "an unknown type": changed(dtype="F8_E4M3"),
    "no type": changed(dtype=None),
    "a negative size": changed(shape=[-2]),
    "a huge size": changed(shape=[2**62, 2**62]),
    "a shape that is none": changed(shape={"a": 1}),
    "another shape": changed(shape=[3]),
    "an end before its beginning": changed(data_offsets=[8, 0]),
    "a hole": changed(shape=[1], data_offsets=[4, 8]),
    "bytes of none": changed(shape=[1], data_offsets=[0, 4]),
    "beyond the end": changed(shape=[4], data_offsets=[0, 16]),
    "texts that are none": (25).to_bytes(8, "little") + b'{"__metadata__": {"a": 1}}'[:25],
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_are_wrong(name):
    with pytest.raises(numlstm.StorageError, match="is refused"):
        read(WRONG[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: t.pop("lstm.weight_hh_l0"), "weight_hh_l0' is not there"),
        (lambda t, m: t.update({"lstm.other": np.ones(1)}), "no parameter 'other'"),
        (lambda t, m: t.update({"other": np.ones(1)}), "no tensor 'other'"),
        (lambda t, m: t.update({"head.bias": np.ones(3, "float32")}), "must be float32 of shape"),
        (lambda t, m: t.update({"head.bias": np.full(2, np.nan, "float32")}), "theta"),
        (lambda t, m: t.update({"scaling.x_scale": -np.ones(3)}), "scaling.x_scale"),
        (lambda t, m: m.update(numlstm="[]"), "must be a dictionary"),
        (lambda t, m: m.update(numlstm='{"spec": {"input_size": 3}}'), "spec"),
    ],
)
def test_files_of_ours_that_do_not_fit(change, message):
    model = numlstm.LSTM(3, 5, 2, rng=0, backend="reference")
    model.set_scaling((1.0, 2.0))
    tensors, metadata = unpack(written(model))
    change(tensors, metadata)
    with pytest.raises(numlstm.StorageError, match=message):
        read(pack(tensors, metadata))


def test_a_whole_file_without_an_lstm_is_not_damaged():
    for tensors in ({"fc.weight": np.ones((2, 5))}, {"weight_hh_l0": np.ones((20, 5), "int8")}):
        with pytest.raises(ValueError, match="is refused: there is no LSTM") as caught:
            read(pack({k: v.astype("float32") for k, v in tensors.items()}, {}))
        assert caught.type is ValueError


@given(st.data())
def test_no_damage_is_worse_than_an_error(data):
    whole = written(numlstm.LSTM(1, 2, 1, rng=0, backend="reference"))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for content in (bytes(damaged), whole[:cut]):
        try:
            model = read(content)
        except (numlstm.StorageError, ValueError):
            continue
        assert np.isfinite(model.theta).all()
