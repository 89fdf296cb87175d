"""Files and layers of Keras: stored truths, what is found in them, and what is refused."""

import io
import json
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

import numlstm
from numlstm.convert import from_keras, lengths_of_mask, to_keras
from numlstm.convert.keras.copies import without_subclass
from numlstm.convert.keras.files import plain_layers

h5py = pytest.importorskip("h5py")  # what reads the files

STORED = dict(np.load(Path(__file__).with_name("keras.npz")))
X = STORED["X"]
USED = ("plain", "hard_sigmoid", "softsign", "last", "both", "cell", "functional", "scaled",
        "returns_h", "returns_names", "scaled_alike", "every_step_idle", "half_bias")  # fmt: skip
QUIET = {"check": False, "backend": "reference"}


def stored(name, kind="keras"):
    return io.BytesIO(STORED[f"{name}/{kind}"].tobytes())


def read(name, kind="keras", **options):
    return from_keras(stored(name, kind), **QUIET, **options)


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.parametrize("name", USED)
def test_what_keras_computes(name, kind):
    model = read(name, kind)
    want = STORED[f"{name}/Y"]
    have = model.predict(X)
    assert have.shape == want.shape
    assert np.linalg.norm(have - want) <= 2e-6 * np.linalg.norm(want)
    assert model.output == ("last" if want.ndim == 2 else "sequence")


def test_layers_of_different_sizes_are_padded():
    model = read("last")
    assert (model.spec.hidden_size, model.spec.num_layers) == (5, 2)
    assert not model.params["weight_hh_l1"].reshape(4, 5, 5)[:, 3:].any()


def test_the_slope_of_the_hard_sigmoid_is_that_of_the_version():
    assert read("hard_sigmoid").cell.activations[0].alpha == 1 / 6
    old = stored("hard_sigmoid", "h5")
    with h5py.File(old, "r+") as file:
        file.attrs["keras_version"] = "2.15.0"
    old.seek(0)
    model = from_keras(old, **QUIET)
    assert model.cell.activations[0].alpha == 0.2
    assert np.abs(model.predict(X) - STORED["hard_sigmoid/Y"]).max() > 1e-3


def test_the_forget_bias_is_in_the_stored_weights():
    weights = [np.zeros((3, 16)), np.zeros((4, 16)), np.full(16, 7.0)]
    model = from_keras(Fake("LSTM", {"unit_forget_bias": True}, weights), **QUIET)
    np.testing.assert_array_equal(model.params["bias_l0"], weights[2])


@pytest.mark.parametrize("name", ["logits", "softmax"])
def test_logits(name):
    with pytest.raises(ValueError, match=r"go through 'softmax', .* logits=True leaves it out"):
        read(name)
    logits = read(name, logits=True).predict(X)
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(share, STORED[f"{name}/Y"], rtol=1e-5)


def test_units():
    scaling = read("scaled").scaling
    np.testing.assert_array_equal(scaling.x_scale, [2.0, 3.0, 0.5])
    np.testing.assert_allclose(scaling.y_mean, [5.0, 6.0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("backwards", r"go_backwards=False and give it X\[:, ::-1\]"),
        ("sum", "merge_mode='concat'"),
        ("dense_first", "before the LSTM for 'dense.*', Dense: give its outputs as X"),
        ("lambda", "a Lambda runs code"),
        ("gru", "GRU"),
        ("own_lstm", "'lstm.*' is refused: mine>LSTM is a class of its own"),
        ("own_dense", "'dense.*' is refused: mine>Dense is a class of its own"),
        ("own_dropout", "'dropout.*' is refused: mine>Dropout is a class of its own"),
        ("own_cell", "'rnn.*' is refused: mine>LSTMCell is a class of its own"),
        ("own_inside", "'bidirectional.*' is refused: mine>LSTM is a class of its own"),
        ("own_activation", "no activation for 'mine>tanh'"),
        ("every_step", "for 'time_distributed.*', TimeDistributed of LSTM"),
        ("every_step_relu", "go through 'relu'"),
        ("units_between", "'dense.*' reads 'normalization.*', a Normalization with invert=True"),
        ("units_softmax", "for 'normalization.*', Normalization"),
        ("always_random", "'dropout.*' was called with training=True: it is random there"),
        ("quantised", r"'dense.*' must have floats alone, .* received .*'int8\(4, 2\)'"),
        ("scaled_by_step", r"each of 3 features, or one for all, received shape \(.* for axis="),
        ("softmax_of_steps", "'softmax.*' must have axis=-1, received axis=1"),
        ("returns_c", r"returns the output 2 of 'lstm.*', a state: .* result of forward"),
        ("returns_before", "returns what 'lstm.*' gives, and goes on to 'dense.*': which one"),
    ],
)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_refused(name, message, kind):
    with pytest.raises(ValueError, match=message):
        read(name, kind)


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.parametrize("name", ["masking", "masked"])
def test_a_layer_of_masks_is_said_to_be_lengths(name, kind):
    with pytest.warns(UserWarning, match=r"'masking.*' is not converted: .* lengths="):
        model = read(name, kind)
    want = STORED[f"{name}/Y"]
    assert np.linalg.norm(model.predict(X) - want) <= 2e-6 * np.linalg.norm(want)


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_mask_of_a_call_is_said_to_be_lengths(kind):
    with pytest.warns(UserWarning, match=r"the mask that \['lstm.*'\] were called with is"):
        read("mask_of_call", kind)


def test_weights_that_a_dense_layer_adds():
    model = read("adapted")
    want = STORED["adapted/Y"]
    assert np.linalg.norm(model.predict(X) - want) <= 2e-6 * np.linalg.norm(want)
    with pytest.raises(ValueError, match=r"'dense.*' must have floats alone, .* LoRA is merged"):
        read("adapted", "h5")


def test_a_class_that_is_not_registered():
    with pytest.raises(ValueError, match=r"'dense.*' is refused: __main__\.Dense is a class"):
        read("unregistered")
    Own = type(Fake("Dropout", {}, []))
    Own.__module__ = "some_package.layers"
    with pytest.raises(ValueError, match=r"some_package\.layers\.Dropout is a class of its own"):
        from_keras(Own(), **QUIET)


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ({"module": "builtins", "class_name": "function", "config": "tanh"}, r"builtins\.tanh"),
        (
            {"module": "m", "class_name": "tanh", "config": {}, "registered_name": "tanh"},
            r"m\.tanh",
        ),
    ],
)
def test_an_activation_of_a_user(activation, name):
    with pytest.raises(ValueError, match=f"no activation for '{name}'"):
        from_keras(Fake("LSTM", {"activation": activation}, WEIGHTS), **QUIET)


def tanh(x):
    return 2 * x


def sigmoid(x):
    """As PyTorch has it."""


sigmoid.__module__ = "torch"


def test_a_function_of_a_user_that_is_not_registered():
    own = types.SimpleNamespace(name="it", activation=tanh, recurrent_activation=sigmoid)
    outer = Fake("Bidirectional", {"activation": "tanh"}, WEIGHTS)
    outer.forward_layer = types.SimpleNamespace(name="forward", cell=own)
    with pytest.raises(ValueError, match=rf"no activation for '{__name__}\.tanh', activation"):
        from_keras(outer, **QUIET)


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_outputs_that_stay_behind_are_named(kind):
    with pytest.warns(UserWarning, match=r"returns what \['lstm.*'\] give, too"):
        model = read("returns_both", kind)
    want = STORED["returns_both/Y"]
    assert np.linalg.norm(model.predict(X) - want) <= 2e-6 * np.linalg.norm(want)


def test_masks():
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(lengths_of_mask(mask), [2, 4, 0])
    for wrong in ([[0, 1, 1]], [[1, 0, 1]]):
        with pytest.raises(ValueError, match="row 0 has padding before a step that counts"):
            lengths_of_mask(np.array(wrong))
    with pytest.raises(ValueError, match=r"\(B, T\)"):
        lengths_of_mask([True])


# ---- layers, as much of them as is read ------------------------------------------------------


def Fake(kind, config, weights):
    """A layer of Keras 3 by its class, configuration and weights."""

    def get_config(self):
        return {"name": "it", "return_sequences": True} | config

    members = {"get_config": get_config, "get_weights": lambda self: weights}
    return type(kind, (), members | {"__module__": "keras.layers"})()


RNG = np.random.default_rng(0)
WEIGHTS = [RNG.standard_normal(shape) for shape in ((3, 16), (4, 16), (16,))]


def test_a_bidirectional_layer():
    inner = {"class_name": "LSTM", "config": {"return_sequences": True}}
    other = [-part for part in WEIGHTS]
    layer = Fake("Bidirectional", {"merge_mode": "concat", "layer": inner}, WEIGHTS + other)
    model = from_keras(layer, **QUIET)
    np.testing.assert_array_equal(model.params["weight_ih_l0"], WEIGHTS[0].T)
    np.testing.assert_array_equal(model.params["weight_hh_l0_reverse"], -WEIGHTS[1].T)
    assert model.spec.dtype == "float64"


@pytest.mark.parametrize(
    ("kind", "config", "weights", "message"),
    [
        ("LSTM", {"activation": "gelu"}, WEIGHTS, "no activation for 'gelu'"),
        ("LSTM", {"time_major": True}, WEIGHTS, "time_major"),
        ("LSTM", {}, WEIGHTS[:2], "must have a kernel"),
        ("LSTM", {"use_bias": False}, WEIGHTS, "must have a kernel"),
        ("RNN", {"cell": {"class_name": "LayerNormLSTMCell", "config": {}}}, [], "separately"),
        ("CuDNNLSTM", {}, [], "load it in Keras 2"),
    ],
)
def test_layers_that_are_refused(kind, config, weights, message):
    with pytest.raises(ValueError, match=message):
        from_keras(Fake(kind, config, weights), **QUIET)


def test_what_is_not_of_keras():
    with pytest.raises(TypeError, match="must be a layer or model of Keras"):
        from_keras(3)


def test_a_frozen_direction_of_keras_2():
    file = stored("both", "h5")
    with h5py.File(file, "r+") as opened:
        for name, group in opened["model_weights"].items():
            if name.startswith("bidirectional"):
                group.attrs["weight_names"] = np.roll(group.attrs["weight_names"], 3)
    file.seek(0)
    theta = from_keras(file, **QUIET).theta
    np.testing.assert_array_equal(theta, read("both", "h5").theta)


def test_a_graph_of_keras_2():
    nodes = [[["input", 0, 0, {}]]], [[["lstm", 0, 0, {}], ["lstm", 0, 1, {}]]]
    layers = [{"class_name": "LSTM", "config": {}, "inbound_nodes": node} for node in nodes]
    found = plain_layers({"class_name": "Functional", "config": {"layers": layers}})
    assert [layer.parents for layer in found] == [[("input", 0)], [("lstm", 0), ("lstm", 1)]]


def Computing(config, weights, copies):
    """A layer that computes in copies alone, whose configurations it records."""
    layer = Fake("LSTM", config, weights)

    def from_config(cls, config):
        copies.append(config)
        copy = cls()
        copy.model = None
        return copy

    def set_weights(self, weights):
        self.read = weights

    def finalize_state(self):
        weights = self.read
        self.model = from_keras(Fake("LSTM", {}, weights), **QUIET)

    def call(self, X, training=False):
        return X if self.model is None else self.model.predict(X)

    members = {"from_config": classmethod(from_config), "set_weights": set_weights}
    members["finalize_state"] = finalize_state
    return type("LSTM", (type(layer),), {**members, "__call__": call, "__module__": "keras"})()


def test_the_check_runs_a_copy_for_any_batch():
    mixed = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    config = {
        "stateful": True,
        "dtype": mixed,
        "batch_input_shape": (32, 10, 3),
        "kernel_initializer": {"class_name": "Mine"},
        "units": 4,
    }
    copies = []
    layer = Computing(config, WEIGHTS, copies)
    with pytest.warns(UserWarning, match="'it' goes on from the states of the batch before"):
        from_keras(layer, backend="reference")
    wanted = {"stateful": False, "dtype": "float32", "batch_input_shape": (None, None, 3)}
    assert copies == [{"name": "it", "return_sequences": True, "units": 4} | wanted]
    assert not hasattr(layer, "model")
    wrong = type(Computing({}, WEIGHTS, copies))
    wrong.get_weights = lambda self: [-part for part in WEIGHTS]
    wrong.set_weights = lambda self, weights: setattr(self, "read", WEIGHTS)
    with pytest.raises(RuntimeError, match="outputs of Keras and of numlstm differ"):
        from_keras(wrong(), backend="reference")


def functional(**members):
    """A model of a user's class, by what is read of it."""
    Functional = type("Functional", (), {"__module__": "keras.src.models", "call": lambda self: 0})
    Mine = type("Mine", (Functional,), {"inputs": ["X"], "outputs": ["Y"], **members})
    Functional.__init__ = lambda self, *tensors: setattr(self, "tensors", tensors)
    return Functional, Mine()


def test_a_subclass_of_a_functional_model():
    Functional, model = functional()
    plain = without_subclass(model)
    assert type(plain) is Functional
    assert plain.tensors == (["X"], ["Y"])
    _, model = functional(call=lambda self: 1)
    with pytest.raises(ValueError, match="Mine has a call of its own"):
        without_subclass(model)


# ---- files that are wrong --------------------------------------------------------------------


def rewritten(name, **members):
    """A .keras file with other members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(stored(name)) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.namelist():
            content = members.get(member.partition(".")[0], old.read(member))
            if content is not None:
                new.writestr(member, content)
    return io.BytesIO(buffer.getvalue())


WRONG = {
    "nothing": lambda: io.BytesIO(b""),
    "text": lambda: io.BytesIO(b"hello"),
    "half a zip": lambda: io.BytesIO(stored("plain").getvalue()[:99]),
    "half an h5": lambda: io.BytesIO(stored("plain", "h5").getvalue()[:999]),
    "no weights": lambda: rewritten("plain", model=None),
    "no config": lambda: rewritten("plain", config=None),
    "no JSON": lambda: rewritten("plain", config="{"),
    "no dictionary": lambda: rewritten("plain", config="[]"),
    "weights of no file": lambda: rewritten("plain", model=b"\x89HDF"),
    "layers of no config": lambda: rewritten(
        "plain", config=json.dumps({"class_name": "Sequential", "config": {"layers": [1]}})
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_are_wrong(name):
    with pytest.raises(numlstm.StorageError, match="is refused"):
        from_keras(WRONG[name](), **QUIET)


def test_a_whole_file_of_something_else():
    file = rewritten("plain", config='{"class_name": "Mine", "config": {}}')
    with pytest.raises(ValueError, match="is refused: it holds 'Mine', and only") as caught:
        from_keras(file, **QUIET)
    assert caught.type is ValueError


def test_links_out_of_a_file_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["kernel"] = np.ones((3, 16))
    file = stored("plain", "h5")
    with h5py.File(file, "r+") as opened:
        (name,) = (k for k in opened["model_weights"] if k.startswith("lstm"))
        group = opened[f"model_weights/{name}"]
        path = str(group.attrs["weight_names"][0])
        del group[path]
        group[path] = h5py.ExternalLink(str(tmp_path / "other.h5"), "kernel")
    file.seek(0)
    with pytest.raises(numlstm.StorageError, match="it has no weights"):
        from_keras(file, **QUIET)


# ---- the other way ---------------------------------------------------------------------------


def test_without_keras(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    message = r'needs keras: python -m pip install "numlstm\[keras\]"'
    with pytest.warns(UserWarning, match=f"was not checked against Keras: .*{message}"):
        from_keras(stored("plain"), backend="reference")
    with pytest.raises(ImportError, match=message):
        to_keras(numlstm.LSTM(3, 5, rng=0, backend="reference"))


def test_without_a_backend(monkeypatch, tmp_path):
    no_backend = "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')"
    (tmp_path / "keras.py").write_text(no_backend)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    message = r"Keras its backend: install one, .* KERAS_BACKEND .*'tensorflow'"
    with pytest.warns(UserWarning, match=f"was not checked against Keras: .*{message}"):
        from_keras(stored("plain"), backend="reference")
    with pytest.raises(ImportError, match=message):
        to_keras(numlstm.LSTM(3, 5, rng=0, backend="reference"))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"cell": {"peephole": True}}, "peephole"),
        ({"proj_size": 2}, "proj_size"),
        ({"residual": True, "num_layers": 2}, "residual"),
        ({"direct_input": True, "output_size": 2}, "direct_input=True"),
        ({"cell": {"activations": ("sigmoid", "tanh", "relu")}}, "tanh and relu"),
        ({"cell": {"activations": ("hard_sigmoid", "tanh", "tanh")}}, r"hard_sigmoid\(0.2"),
        ({"cell": {"activations": ("sigmoid", ("elu", 0.5), ("elu", 0.5))}}, r"elu\(0.5"),
    ],
)
def test_what_keras_lacks(options, part):
    with pytest.raises(ValueError, match=f"Keras lacks a part of this model: .*{part}"):
        to_keras(numlstm.LSTM(3, 5, rng=0, backend="reference", **options))


def test_a_scale_that_keras_does_not_divide_by(monkeypatch):
    stub = types.SimpleNamespace(
        Input=lambda *shape, **options: None,
        config=types.SimpleNamespace(epsilon=lambda: 1e-7),
        layers=types.SimpleNamespace(Normalization=lambda **options: None),
    )
    monkeypatch.setitem(sys.modules, "keras", stub)
    model = numlstm.LSTM(1, 5, rng=0, backend="reference")
    model.set_scaling(inputs=(0.0, 1e-9))
    with pytest.raises(ValueError, match="a scale of 1e-09, since its Normalization divides by"):
        to_keras(model)
