"""State dicts of PyTorch: stored truths, what is found in them, and what is refused."""

import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import numlstm
from numlstm.convert import from_torch, to_torch
from numlstm.convert.state_dicts import find_parts, state_dict_of
from numlstm.convert.torch import check as torch_check

STORED = dict(np.load(Path(__file__).with_name("torch.npz")))
X = STORED["X"]
CELL = {"weight_ih": np.ones((20, 3)), "weight_hh": np.ones((20, 5))}
CHOICES = {"stack": {"lstm": ["first", "second"]}}
QUIET = {"check": False, "backend": "reference"}


def state(name):
    prefix = f"{name}/state/"
    return {k.removeprefix(prefix): v for k, v in STORED.items() if k.startswith(prefix)}


def lstm(prefix, inputs, units, layers=1):
    made = {}
    for level in range(layers):
        made[f"{prefix}weight_ih_l{level}"] = np.ones((4 * units, inputs if level == 0 else units))
        made[f"{prefix}weight_hh_l{level}"] = np.ones((4 * units, units))
    return made


@pytest.mark.parametrize("name", ["plain", "head", "no_bias", "everything", "cell", "stack"])
def test_what_pytorch_computes(name):
    model = from_torch(state(name), **CHOICES.get(name, {}), **QUIET)
    assert model.spec.dtype == "float64"
    Y, final = model.forward(X)
    for have, what in ((Y, "Y"), (final.h, "h"), (final.c, "c")):
        want = STORED[f"{name}/result/{what}"]
        assert np.linalg.norm(have - want) <= 1e-12 * np.linalg.norm(want)
    last = from_torch(state(name), output="last", **CHOICES.get(name, {}), **QUIET)
    assert last.output == "last"
    assert last.predict(X).shape == (2, model.spec.width)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_size": 2, "num_layers": 3},
        {"bidirectional": True, "proj_size": 2, "output_size": 1},
        {"cell": {"peephole": True}},
    ],
)
def test_a_state_dict_there_and_back(options, dtype):
    if "cell" in options:  # another variant has names that PyTorch does not have
        model = numlstm.LSTM(3, 5, rng=0, dtype=dtype, backend="reference", **options)
        with pytest.raises(ValueError, match=r"lstm\.peephole_l0"):
            from_torch(state_dict_of(model), **QUIET)
        return
    model = numlstm.LSTM(3, 5, rng=0, dtype=dtype, backend="reference", **options)
    model.theta[::5] = -0.0
    model.set_scaling((1.0, 2.0), (3.0, 4.0))
    read = from_torch(state_dict_of(model), **QUIET)
    assert read.spec == model.spec
    assert read.theta.tobytes() == model.theta.tobytes()
    np.testing.assert_array_equal(read.scaling.y_scale, model.scaling.y_scale)


class Tensor:
    """As much of a tensor as is read of one."""

    is_quantized = False

    def __init__(self, array, dtype):
        self.array, self.dtype, self.shape = array, dtype, array.shape

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(self.array.astype("float32"), "torch.float32")

    def numpy(self):
        if self.dtype == "torch.bfloat16":
            raise TypeError("unsupported ScalarType BFloat16")
        return self.array


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_tensors_become_float32(dtype):
    tensors = {
        name: Tensor(value.astype("float16"), f"torch.{dtype}")
        for name, value in state("head").items()
    }
    model = from_torch(tensors, **QUIET)
    assert model.spec.dtype == "float32"
    one = STORED["head/state/rnn.bias_ih_l0"].astype("float16").astype("float32")
    two = STORED["head/state/rnn.bias_hh_l0"].astype("float16").astype("float32")
    np.testing.assert_array_equal(model.params["bias_l0"], one + two)


def test_checkpoints_have_others_beside_the_state_dict():
    checkpoint = {"epoch": 3, "state_dict": state("head"), "optimizer": {}}
    model = from_torch(checkpoint, **QUIET)
    assert model.theta.tobytes() == from_torch(state("head"), **QUIET).theta.tobytes()


def test_parts_by_pattern():
    network = {
        **lstm("encoder.rnn.", 3, 5),
        **lstm("decoder.rnn.", 3, 5),
        "encoder.norm.weight": np.ones(5),
        "encoder.out.weight": np.ones((2, 5)),
        "decoder.out.weight": np.ones((4, 5)),
    }
    model = from_torch(network, lstm="enc*", head="encoder.o*", **QUIET)
    assert (model.spec.num_layers, model.spec.width) == (1, 2)
    assert from_torch(network, lstm="decoder.rnn", head=False, **QUIET).spec.head is None
    with pytest.raises(ValueError, match=r"more than one LSTM, \['encoder.rnn', 'decoder.rnn'\]"):
        from_torch(network, **QUIET)
    with pytest.raises(ValueError, match=r"fits \['encoder.out', 'decoder.out'\]"):
        from_torch(network, lstm="encoder.rnn", head="*.out", **QUIET)
    with pytest.raises(ValueError, match="fits none of"):
        from_torch(network, lstm="other", **QUIET)
    with pytest.raises(TypeError, match="lstm must be a name, or a list of names, received 5"):
        from_torch(network, lstm=5, **QUIET)
    with pytest.raises(ValueError, match="one LSTM or several different"):
        from_torch(network, lstm=["encoder.rnn"] * 2, **QUIET)


HEAD = {"fc.weight": np.ones((2, 5))}
REFUSED = {
    "nothing": ({}, "no entries at all"),
    "gru": (
        {"rnn.weight_ih_l0": np.ones((15, 3)), "rnn.weight_hh_l0": np.ones((15, 5))},
        "rnn is a GRU, and numlstm has LSTMs only: rnn.weight_hh_l0 has 15 rows for 5 units",
    ),
    "rnn": (
        {"weight_ih": np.ones((5, 3)), "weight_hh": np.ones((5, 5))},
        "this is a plain RNN, and numlstm has LSTMs only",
    ),
    "two heads": ({**lstm("", 3, 5), **HEAD, "out.weight": np.ones((2, 5))}, r"\['fc', 'out'\]"),
    "before": ({"e.weight": np.ones((3, 9)), **lstm("", 3, 5), **HEAD}, "before the LSTM"),
    "only before": ({"e.weight": np.ones((3, 9)), **lstm("", 3, 5)}, "before the LSTM"),
    "no head": ({**lstm("", 3, 5), "fc.weight": np.ones((2, 7))}, "gives 5 features"),
    "norm": ({**lstm("", 3, 5), "norm.weight": np.ones(5)}, "norm.weight; nn.Linear"),
    "quantised": ({"rnn._all_weight_values.0.param": 1}, "is quantised"),
    "integers": (lstm("", 3, 5) | {"bias_ih_l0": np.ones(20, "int8")}, "quantised"),
    "reverse": ({f"{k}_reverse": v for k, v in lstm("", 3, 5).items()}, r"X\[:, ::-1\]"),
    "a gap": (
        lstm("", 3, 5, 3) | {"weight_hh_l1": np.ones((20, 4)), "weight_ih_l1": np.ones((20, 4))},
        "no LSTM",
    ),
    "a missing layer": (
        {k: v for k, v in lstm("", 5, 5, 3).items() if "l1" not in k},
        "layers of the LSTM are missing",
    ),
    "contrib": ({"layer_norm_basic_lstm_cell.kernel": 1}, "carries the normalised cell"),
    "a scaling": (lstm("", 3, 5) | {"scaling.mean": np.ones(3)}, "a scaling has no 'mean'"),
    "half a scaling": (lstm("", 3, 5) | {"scaling.x_mean": np.ones(3)}, "x_mean and x_scale"),
    "a sequence": ([1], "must be a mapping"),
    "a class": (Tensor, "received the class Tensor: pass an instance"),
    "numbers": ({1: 2}, "names of a state dict must be text"),
}


@pytest.mark.parametrize(
    ("others", "fitting", "before"),
    [
        ({"e": (3, 1), "h.0": (16, 5), "h.2": (1, 16)}, ["h.0"], ["e"]),
        ({"h.0": (16, 5), "h.2": (3, 16)}, ["h.0"], ["h.2"]),  # behind, and it may not seem so
        ({"h.0": (5, 5), "h.2": (1, 5)}, ["h.0", "h.2"], None),
    ],
)
def test_the_advice_on_several_layers_says_only_what_shapes_tell(others, fitting, before):
    network = lstm("rnn.", 3, 5) | {f"{k}.weight": np.ones(shape) for k, shape in others.items()}
    with pytest.raises(ValueError, match="gets the outputs of the LSTM as they are") as caught:
        from_torch(network, **QUIET)
    words = str(caught.value)
    assert f"take 5 features, as many as it gives: {fitting}" in words
    told = "nn.Linear that give as many as it reads"
    assert (f"{told}: {before}. One of these may stand before" in words) == (before is not None)
    assert (told in words) == (before is not None)
    assert from_torch(network, head="h.0", **QUIET).spec.width == others["h.0"][0]


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    source, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        from_torch(source, **QUIET)


@pytest.mark.parametrize("shape", [(5, 5), (100, 5)])
def test_a_layer_that_may_stand_before_the_lstm(shape):
    """Of a square linear layer, or an embedding, nothing tells but its module."""
    bias = {"e.bias": np.ones(5)} if shape == (5, 5) else {}
    network = {"e.weight": np.ones(shape), **bias, **lstm("rnn.", 5, 5)}
    with pytest.raises(ValueError, match=r"may stand behind the LSTM, and may be .* before it"):
        from_torch(network, **QUIET)
    assert from_torch(network, head="e", **QUIET).spec.width == shape[0]
    assert from_torch(network, head=False, **QUIET).spec.head is None
    forecasts = {**lstm("rnn.", 1, 5), "fc.weight": np.ones((1, 5)), "fc.bias": np.ones(1)}
    assert from_torch(forecasts, **QUIET).spec.width == 1
    ours = numlstm.LSTM(5, 5, 5, rng=0, backend="reference")
    assert from_torch(state_dict_of(ours), **QUIET).spec == ours.spec


def test_the_layers_of_a_module_are_linear_or_no_heads():
    network = {**lstm("rnn.", 3, 5), "e.weight": np.ones((100, 5))}
    with pytest.raises(
        ValueError, match=r"nn\.Linear that take 5 features, as many as it gives: \[\]"
    ):
        find_parts(network, linear=[])
    with pytest.raises(ValueError, match="fits none of"):
        find_parts(network, head="e", linear=["fc"])
    assert find_parts(network, linear=["e"]).head_prefix == "e"


def test_units_are_found_in_wrappers_and_heads_may_have_their_name():
    model = numlstm.LSTM(3, 5, 2, rng=0, backend="reference")
    model.set_scaling((1.0, 2.0), (3.0, 4.0))
    wrapped = {f"module.{name}": value for name, value in state_dict_of(model).items()}
    for head in None, "module.head":
        read = from_torch(wrapped, head=head, **QUIET)
        np.testing.assert_array_equal(read.scaling.y_mean, [3.0, 3.0])
        assert read.theta.tobytes() == model.theta.tobytes()
    head = {"scaling.weight": np.ones((2, 5)), "scaling.bias": np.ones(2)}
    read = from_torch({**lstm("rnn.", 3, 5), **head}, **QUIET)
    assert (read.spec.width, read.scaling) == (2, None)


def test_biases_are_summed_in_the_dtype_of_the_model():
    small, large = np.full(20, 1e-9, "float32"), np.full(20, 1.0, "float32")
    network = {"bias_ih_l0": small, "bias_hh_l0": large}
    network |= {name: value.astype("float32") for name, value in lstm("", 3, 5).items()}
    network["fc.weight"] = np.ones((2, 5))
    bias = from_torch(network, **QUIET).params["bias_l0"]
    np.testing.assert_array_equal(bias, small.astype("float64") + 1.0)


class Modules:
    """As much of `numlstm.convert.torch.modules` as tells what a whole module computes."""

    class Network:
        pass

    def copied(self, module, dtype):
        return module.network

    def calls(self, network, X):
        return network(X)


class Whole:
    """A module with an LSTM in it."""

    rnn = object()

    def __init__(self, network):
        self.network = network


def test_modules_that_do_something_else_or_cannot_be_compared(monkeypatch):
    monkeypatch.setattr(torch_check, "_modules", Modules)
    network = {**lstm("rnn.", 3, 5), "fc.weight": np.ones((2, 5))}
    model, parts = from_torch(network, **QUIET), find_parts(network)

    def warn(network, meant=False):
        torch_check.warn_of_others(model, Whole(network), parts, meant)

    warn(lambda X: [model.predict(X)])  # warnings are errors here
    with pytest.warns(UserWarning, match="as a whole computes something else"):
        warn(lambda X: [np.tanh(model.predict(X))], True)
    for other in None, lambda X: [], lambda X: [model.predict(X).swapaxes(1, 2)]:
        with pytest.warns(UserWarning, match="as a whole could not be compared"):
            warn(other)
        warn(other, True)


def test_what_pytorch_itself_cannot_check():
    network = lstm("", 3, 5) | {"weight_hr_l0": np.ones((5, 5))}
    with pytest.warns(UserWarning, match="was not checked against PyTorch"):
        assert from_torch(network, backend="reference").spec.proj_size == 5


def test_a_quantised_tensor():
    tensor = Tensor(np.ones(20), "torch.qint8")
    tensor.is_quantized = True
    with pytest.raises(TypeError, match=r"bias_ih is quantised: pass bias_ih\.dequantize"):
        from_torch(lstm("", 3, 5) | {"bias_ih_l0": tensor}, **QUIET)


def test_files_at_a_path_or_open(monkeypatch, tmp_path):
    def load(file, map_location, weights_only):
        assert weights_only
        return {b"lstm": lstm("", 3, 5), b"list": [1]}[file.read()]

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
    path = tmp_path / "file.pt"
    path.write_bytes(b"lstm")
    theta = from_torch(lstm("", 3, 5), **QUIET).theta
    with path.open("rb") as file:
        for source in (path, file, io.BytesIO(b"lstm")):
            assert from_torch(source, **QUIET).theta.tobytes() == theta.tobytes()
    with pytest.raises(numlstm.StorageError, match="is damaged, or holds more than weights"):
        from_torch(io.BytesIO(b"\0other"), **QUIET)
    with pytest.raises(ValueError, match="holds list, and no state_dict") as caught:
        from_torch(io.BytesIO(b"list"), **QUIET)
    assert caught.type is ValueError  # the file is not damaged
    with pytest.raises(FileNotFoundError):
        from_torch(tmp_path / "none.pt", **QUIET)


def test_without_pytorch(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "numlstm.convert.torch.modules", raising=False)
    message = r'needs torch: python -m pip install "numlstm\[torch\]"'
    with pytest.warns(UserWarning, match=f"was not checked against PyTorch: .* {message}"):
        from_torch(state("plain"), backend="reference")
    with pytest.raises(ImportError, match=message):
        to_torch(numlstm.LSTM(3, 5, rng=0, backend="reference"))
    with pytest.raises(ImportError, match=message):
        from_torch(tmp_path / "file.pt")
    with pytest.raises(ValueError, match="is read by from_safetensors"):
        from_torch(tmp_path / "file.safetensors")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"cell": {"peephole": True}}, "peephole"),
        ({"residual": True, "num_layers": 2}, "residual"),
        ({"direct_input": True, "output_size": 2}, "direct_input=True"),
        ({"learned_state": True}, "learned_state"),
        ({"static_size": 2}, "static_size"),
        ({"cell": {"layer_norm": True}}, "layer_norm"),
        ({"dropout": {"zoneout_h": 0.1}}, "zoneout_h"),
    ],
)
def test_what_pytorch_lacks(options, part):
    with pytest.raises(ValueError, match=f"PyTorch lacks a part of this model: .*{part}"):
        to_torch(numlstm.LSTM(3, 5, rng=0, backend="reference", **options))
