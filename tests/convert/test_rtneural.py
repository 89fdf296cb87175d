"""RTNeural's JSON: its equations in plain NumPy, there and back, headers that disagree."""

import copy
import io
import json
import sys
import warnings

import numpy as np
import pytest

import mutate_rtneural
import numlstm
from helpers.rtneural_equations import run
from numlstm.convert import from_rtneural, to_rtneural
from numlstm.utils.files import StorageError

QUIET = {"check": False, "backend": "reference"}
RNG = np.random.default_rng(1997)
X = RNG.standard_normal((2, 9, 3))


def array(*shape):
    return RNG.uniform(-0.7, 0.7, shape)


def lstm(inputs, units, **changes):
    weights = [array(inputs, 4 * units), array(units, 4 * units), array(4 * units)]
    made = {"type": "lstm", "activation": "tanh", "shape": [None, None, units], "weights": weights}
    return made | changes


def dense(inputs, outputs, **changes):
    weights = [array(inputs, outputs), array(outputs)]
    made = {"type": "dense", "activation": "", "shape": [None, None, outputs], "weights": weights}
    return made | changes


def network(*layers, inputs=3, **more):
    return {"in_shape": [None, None, inputs], "layers": list(layers), **more}


def near(have, want, bar=1e-12):
    assert have.shape == want.shape
    assert np.linalg.norm(have - want) <= bar * np.linalg.norm(want)


def written(model):
    buffer = io.BytesIO()
    to_rtneural(model, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        network(lstm(3, 5)),
        network(lstm(3, 5), dense(5, 2)),
        network(lstm(3, 5), dense(5, 2, type="time-distributed-dense")),
        network(lstm(3, 6), lstm(6, 4), dense(4, 1)),
        network(lstm(3, 5, activation="", weights=[array(3, 20), array(5, 20)])),
        network(lstm(3, 5, shape=[None, 5]), dense(5, 2, weights=[array(5, 2)])),
    ],
)
def test_what_rtneural_computes(content):
    model = from_rtneural(content, **QUIET)
    assert model.spec.dtype == "float64"
    near(model.predict(X), run(content, X))
    text = json.dumps(content, default=lambda value: value.tolist())
    again = from_rtneural(io.BytesIO(text.encode()), **QUIET)
    assert again.theta.tobytes() == model.theta.tobytes()
    near(run(json.loads(written(model)), X), run(content, X))
    last = from_rtneural(content, output="last", **QUIET)
    near(last.predict(X), run(content, X)[:, -1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"output_size": None, "num_layers": 3}])
def test_there_and_back_keeps_every_bit(options, dtype, tmp_path):
    arguments = {"output_size": 2, "dtype": dtype, "rng": 0, "backend": "reference"} | options
    model = numlstm.LSTM(3, 5, **arguments)
    model.theta = np.random.default_rng(1).standard_normal(model.theta.size)
    model.theta[::7] = -0.0
    model.theta[::11] = 1.0
    to_rtneural(model, tmp_path / "net.json")
    copied = from_rtneural(tmp_path / "net.json", **QUIET)
    assert copied.spec == model.spec
    assert copied.theta.tobytes() == model.theta.tobytes()
    near(
        run(json.loads(written(model)), X), model.predict(X), 1e-6 if dtype == "float32" else 1e-12
    )
    model.theta[...] = 0.5
    again = from_rtneural(io.BytesIO(written(model)), **QUIET)
    assert again.spec.dtype == dtype


@pytest.mark.parametrize("outputs", [2, None])
def test_units_of_the_data_go_into_the_weights(outputs):
    model = numlstm.LSTM(3, 5, outputs, dtype="float64", rng=0, backend="reference")
    width = model.spec.width
    model.set_scaling(
        ([1.0, -2.0, 3.0], [2.0, 0.5, 4.0]), (np.arange(width), 1.0 + np.arange(width))
    )
    again = from_rtneural(io.BytesIO(written(model)), **QUIET)
    assert again.scaling is None
    near(again.predict(X), model.predict(X))
    model.scaling = model.scaling._replace(y_mean=None, y_scale=None)
    near(from_rtneural(io.BytesIO(written(model)), **QUIET).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [((1.7e9, 3600.0), (0.0, 1.0)), ((300.0, 10.0), (1e6, 0.1))],  # seconds since 1970; metres
)
def test_units_without_digits_are_refused(inputs, targets):
    model = numlstm.LSTM(1, 5, 1, rng=0, backend="reference")
    model.set_scaling(inputs, targets)
    with pytest.raises(ValueError, match=r"moves the outputs by .* model\.set_scaling\(\)"):
        written(model)
    model.set_scaling((300.0, 10.0), (300.0, 10.0))
    x = np.random.default_rng(0).normal(300.0, 10.0, (2, 9, 1))
    near(run(json.loads(written(model)), x), model.predict(x), 1e-5)
    double = numlstm.LSTM(1, 5, 1, rng=0, dtype="float64", backend="reference")
    double.set_scaling(inputs, targets)
    x = np.random.default_rng(0).normal(*inputs, (2, 9, 1))
    again = from_rtneural(io.BytesIO(written(double)), **QUIET)
    np.testing.assert_allclose(again.predict(x), double.predict(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"bidirectional": True}, "bidirectional"),
        ({"cell": {"peephole": True}}, "peephole"),
        ({"learned_state": True}, "learned_state"),
        ({"proj_size": 2}, "proj_size"),
        ({"cell": {"activations": ("sigmoid", "relu", "relu")}}, "activations"),
    ],
)
def test_what_rtneural_lacks(options, part):
    model = numlstm.LSTM(3, 5, rng=0, backend="reference", **options)
    with pytest.raises(ValueError, match=f"RTNeural lacks a part of this model: .*{part}"):
        to_rtneural(model, io.BytesIO())


def changed(path, value):
    content = network(lstm(3, 5), dense(5, 2))
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(["in_shape"], [None, None, 2]), r"shapes \[\(2, 20\).*correct the one"),
        (changed(["layers", 0, "shape"], [None, None, 4]), r"shapes \[\(3, 16\)"),
        (changed(["layers", 1, "shape"], [None, None, 3]), r"layers\[1\].*\(5, 3\)"),
        (changed(["layers", 0, "shape"], [None, None, None]), "must be an integer"),
        (changed(["layers", 0, "shape"], "5"), "must be a list"),
        (changed(["in_shape"], [[None, None, 3]]), "must be an integer"),
        (changed(["layers", 0, "weights"], [array(3, 20)]), "a kernel .* of 1"),
        (changed(["layers", 0, "weights", 0], [[0.5] * 20, [0.5] * 19, [0.5] * 20]), "one length"),
        (changed(["layers", 0, "weights", 2], ["0.5"] * 20), "must be numbers, received '0.5'"),
        (changed(["layers", 0, "weights", 2], [True] * 20), "must be numbers, received True"),
        (changed(["layers", 0, "weights", 2], [float("nan")] * 20), "NaN"),
        (changed(["layers", 0, "weights", 2], [10**400] * 20), "too large"),
        (changed(["layers", 0, "activation"], "relu"), "computes tanh whatever it says"),
        (changed(["layers", 1, "activation"], "sigmoid"), "outputs of numlstm are linear"),
        (changed(["layers"], []), "must be a list"),
        (changed(["layers", 0], 3), "must be a dictionary"),
        (changed(["layers", 1, "type"], "conv1d"), "'conv1d', which is refused: .*convolutions"),
        (changed(["layers", 1, "type"], "gru"), "a GRU is no LSTM"),
        (changed(["layers", 1, "type"], "prelu"), "'prelu', which is refused"),
        (changed(["layers", 1, "type"], "batchnorm"), "'batchnorm', which is refused"),
        (changed(["layers", 1, "type"], "activation"), "'activation', which is refused"),
        (changed(["layers", 1, "type"], "unknown"), "one dense behind them"),
        (network(dense(3, 4), lstm(4, 5)), "a layer before the LSTM"),
        (network(lstm(3, 5), dense(5, 2), dense(2, 1)), "a second layer behind the LSTM"),
        (network(lstm(3, 5), dense(5, 2), lstm(2, 4)), "an lstm behind a dense layer"),
        (network(lstm(3, 5), numlstm={"dtype": "float16"}), "dtype must be one of"),
        (network(lstm(3, 5), numlstm={"dtype": "float32"}), "has numbers that are none"),
        (network(lstm(3, 5), numlstm=3), "must be a dictionary"),
        ({"weights": []}, "in_shape and layers"),
        ({}, "in_shape and layers"),
    ],
)
def test_what_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        from_rtneural(copy.deepcopy(content), **QUIET)
    text = json.dumps(content, default=lambda value: value.tolist())
    with pytest.raises(ValueError, match=f"is refused: .*{message}") as caught:
        from_rtneural(io.BytesIO(text.encode()), **QUIET)
    assert caught.type is ValueError  # the file is not damaged


def test_files_that_are_none(tmp_path):
    for data in (b"[]", b"3"):
        with pytest.raises(ValueError, match="must hold a dictionary") as caught:
            from_rtneural(io.BytesIO(data), **QUIET)
        assert caught.type is ValueError  # it is whole, and something else
    for data in (b"", b"{", b"\xff\xfe", b"[" * 10**5, b'{"layers": 1, "layers": 2}'):
        with pytest.raises(StorageError):
            from_rtneural(io.BytesIO(data), **QUIET)
    with pytest.raises(FileNotFoundError):
        from_rtneural(tmp_path / "none.json", **QUIET)
    with pytest.raises(TypeError, match="path"):
        from_rtneural(3, **QUIET)


def test_a_warning_says_that_rtneural_cannot_be_asked():
    with pytest.warns(UserWarning, match="not checked against RTNeural: it is C"):
        from_rtneural(network(lstm(3, 5)), backend="reference")


def plug_in(**header):
    """A state dict in JSON, and its model of PyTorch's names."""
    own = {
        "rec.weight_ih_l0": array(20, 1),
        "rec.weight_hh_l0": array(20, 5),
        "rec.bias_ih_l0": array(20),
        "rec.bias_hh_l0": array(20),
        "lin.weight": array(1, 5),
        "lin.bias": array(1),
    }
    rows = {name: value.tolist() for name, value in own.items()}
    sizes = {"unit_type": "LSTM", "input_size": 1, "hidden_size": 5, "num_layers": 1}
    sizes |= {"output_size": 1, "model": "SimpleRNN"}
    return {"model_data": sizes | header, "state_dict": rows}, own


def test_a_state_dict_of_a_plug_in():
    content, own = plug_in()
    model = from_rtneural(content, **QUIET)
    kernels = [own["rec.weight_ih_l0"].T, own["rec.weight_hh_l0"].T]
    kernels.append(own["rec.bias_ih_l0"] + own["rec.bias_hh_l0"])
    head = {"type": "dense", "weights": [own["lin.weight"].T, own["lin.bias"]]}
    same = {"layers": [{"type": "lstm", "weights": kernels}, head]}
    near(model.predict(X[..., :1]), run(same, X[..., :1]))
    bare = from_rtneural(content["state_dict"], **QUIET)
    assert bare.theta.tobytes() == model.theta.tobytes()


def test_parts_of_a_state_dict_are_named():
    content, own = plug_in()
    rows = content["state_dict"]
    rows |= {name.replace("rec.", "other."): rows[name] for name in list(rows) if "rec" in name}
    with pytest.raises(ValueError, match="more than one LSTM"):
        from_rtneural(content, **QUIET)
    model = from_rtneural(content, lstm="rec", head="lin", **QUIET)
    np.testing.assert_array_equal(model.params["weight_hh_l0"], own["rec.weight_hh_l0"])
    assert from_rtneural(content, lstm="rec", head=False, **QUIET).spec.head is None
    with pytest.raises(ValueError, match="lstm and head name parts of a state dict"):
        from_rtneural(network(lstm(3, 5)), head=False, **QUIET)


def test_a_state_dict_is_checked_against_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.warns(UserWarning, match="not checked against PyTorch"):
        from_rtneural(plug_in()[0], backend="reference")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"hidden_size": 6}, "model_data says hidden_size 6, and the weights are of 5"),
        ({"input_size": 2}, "input_size 2"),
        ({"num_layers": 2}, "num_layers 2"),
        ({"output_size": 2}, "output_size 2"),
        ({"unit_type": "GRU"}, "unit_type 'GRU'"),
        ({"hidden_size": "5"}, "hidden_size '5'"),
    ],
)
def test_a_header_that_disagrees_is_refused(header, message):
    with pytest.raises(ValueError, match=message):
        from_rtneural(plug_in(**header)[0], **QUIET)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (plug_in(skip=1)[0], r"skip 1.*add X\[\.\.\., :1\]"),
        (network(lstm(3, 5), skip=True), r"skip True.*add X\[\.\.\., :1\]"),
        (network(lstm(3, 5), in_skip=1), r"in_skip 1"),
        (network(lstm(3, 5), in_gain=-6.0), r"in_gain -6.0.*10 \*\* \(-6.0 / 20\)"),
        (network(lstm(3, 5), out_gain=3), "out_gain 3"),
    ],
)
def test_what_a_plug_in_does_around_the_network_is_said(content, message):
    with pytest.warns(UserWarning, match=message):
        from_rtneural(content, **QUIET)
    for name in ("skip", "in_gain"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            from_rtneural(network(lstm(3, 5), **{name: 0}), **QUIET)
            from_rtneural(network(lstm(3, 5), **{name: False}), **QUIET)


def test_hostile_files_are_refused():
    sources = mutate_rtneural.honest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in range(400):
            rng = np.random.default_rng([7, case])
            data = mutate_rtneural.mutated(sources[rng.integers(len(sources))], rng)
            assert mutate_rtneural.use(data) in ("used", "refused")
