"""Networks from arrays: orders of the gates, sizes, what is refused; the way there and back."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from numlstm.convert import from_arrays
from numlstm.convert.check import Outputs, agrees, verify
from numlstm.convert.counterpart import Counterpart, MissingPackage
from numlstm.convert.weights import to_model, weights_of
from numlstm.data.labels import Names

VARIANTS = (
    {},
    {"num_layers": 3, "bidirectional": True, "proj_size": 2},
    {"cell": {"peephole": True, "forget_gate": "coupled"}, "learned_state": True},
    {"cell": {"layer_norm": True, "peephole": True}, "num_layers": 2, "residual": True},
    {"cell": {"layer_norm": "gates"}, "bidirectional": True, "static_size": 2},
    {"num_layers": 2, "direct_input": True},
)


def drawn(dtype="float32", **arguments):
    """A model of random numbers, negative zeros among them."""
    model = numlstm.LSTM(3, 5, 2, rng=0, dtype=dtype, backend="reference", **arguments)
    model.theta = np.random.default_rng(1).standard_normal(model.theta.size)
    model.theta[::7] = -0.0
    return model


def layer(units, width, rng, suffix="_l0"):
    return {
        f"weight_ih{suffix}": rng.standard_normal((4 * units, width)),
        f"weight_hh{suffix}": rng.standard_normal((4 * units, units)),
        f"bias{suffix}": rng.standard_normal(4 * units),
    }


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("arguments", VARIANTS)
def test_a_way_there_and_back_keeps_every_bit(arguments, dtype):
    model = drawn(dtype, **arguments)
    residual = arguments.get("residual", False)
    read = from_arrays(dict(model.params), cell=model.cell, residual=residual, backend="reference")
    assert read.spec == model.spec
    assert read.theta.tobytes() == model.theta.tobytes()
    for crop in (False, True):
        copy = to_model(weights_of(model, crop=crop), "reference")
        assert (copy.spec, copy.theta.tobytes()) == (model.spec, model.theta.tobytes())


@given(order=st.permutations("ifgo"), candidate=st.sampled_from("gcj"), peephole=st.booleans())
def test_any_order_of_the_gates(order, candidate, peephole):
    model = drawn("float64", cell={"peephole": peephole})
    mixed = {}
    for name, value in model.params.items():
        own = "ifo" if name.startswith("peephole") else "ifgo"
        if name.startswith("head"):
            mixed[name] = value
            continue
        blocks = dict(zip(own, np.split(value, len(own)), strict=True))
        mixed[name] = np.concatenate([blocks[gate] for gate in order if gate in own])
    said = "".join(order).replace("g", candidate)
    read = from_arrays(mixed, gate_order=said, backend="reference")
    assert read.spec == model.spec
    assert read.theta.tobytes() == model.theta.tobytes()


@pytest.mark.parametrize("order", ["ifg", "ifgg", "ifgx", "ifgco", "", 3])
def test_an_order_that_is_none(order):
    with pytest.raises((ValueError, TypeError), match="gate_order must"):
        from_arrays(dict(drawn().params), gate_order=order)


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("ways", [("",), ("", "_reverse")])
def test_layers_of_different_sizes(ways, head):
    rng = np.random.default_rng(0)
    arrays, width = {}, 3
    for level, units in enumerate((4, 7, 2)):
        for way in ways:
            arrays |= layer(units, width, rng, f"_l{level}{way}")
        width = len(ways) * units
    if head:
        arrays["head_weight"] = rng.standard_normal((3, width))
    model = from_arrays(arrays, backend="reference")
    assert model.spec.hidden_size == 7
    X = rng.standard_normal((2, 5, 3))
    Y, state = model.forward(X)
    expected = X
    for level, units in enumerate((4, 7, 2)):
        one = {k.replace(f"_l{level}", "_l0"): v for k, v in arrays.items() if f"_l{level}" in k}
        expected, own = from_arrays(one, backend="reference").forward(expected)
        rows = slice(len(ways) * level, len(ways) * (level + 1))
        np.testing.assert_array_equal(state.c[rows, :, :units], own.c)
        assert not state.h[rows, :, units:].any()
    np.testing.assert_array_equal(Y, expected @ arrays["head_weight"].T if head else expected)
    cropped = weights_of(model, crop=True)
    sizes = [layer["weight_hh"].shape[1] for layer in cropped.layers]
    assert sizes == [units for units in (4, 7, 2) for _ in ways]
    again = to_model(cropped, "reference")
    assert again.theta.tobytes() == model.theta.tobytes()


def test_dead_units_have_no_gradient():
    rng = np.random.default_rng(0)
    arrays = layer(2, 3, rng) | layer(4, 2, rng, "_l1")
    model = from_arrays(arrays, backend="reference")
    Y, pullback = model.vjp(rng.standard_normal((2, 5, 3)))
    gradient = pullback(np.ones_like(Y)).theta
    dead = weights_of(model).layers[0]["weight_hh"].shape == (16, 4)
    assert dead
    assert not gradient[model.theta == 0].any()


@pytest.mark.parametrize(
    "cell",
    [
        {"layer_norm": True},
        {"activations": ("sigmoid", "sigmoid", "tanh")},
        {"activations": ("sigmoid", "tanh", ("affine", 1.0, 0.5))},
    ],
)
def test_different_sizes_need_units_that_do_nothing(cell):
    rng = np.random.default_rng(0)
    arrays = layer(2, 3, rng) | layer(4, 2, rng, "_l1")
    with pytest.raises(ValueError, match="dead units"):
        from_arrays(arrays, cell=cell)


def test_what_is_missing_is_zero_and_two_biases_are_summed():
    rng = np.random.default_rng(0)
    arrays = layer(4, 3, rng)
    bias = arrays.pop("bias_l0")
    assert not from_arrays(arrays, backend="reference").params["bias_l0"].any()
    two = arrays | {"bias_ih_l0": bias, "bias_hh_l0": 2 * bias}
    model = from_arrays(two, backend="reference")
    np.testing.assert_array_equal(model.params["bias_l0"], bias + 2 * bias)
    one = arrays | {"bias_ih_l0": np.full_like(bias, -0.0), "bias_hh_l0": np.zeros_like(bias)}
    assert np.signbit(from_arrays(one, backend="reference").params["bias_l0"]).all()


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [(("float16",) * 3, "float32"), (("float32", "float64", "float32"), "float64")],
)
def test_the_dtype_is_kept(dtypes, expected):
    arrays = layer(4, 3, np.random.default_rng(0))
    arrays = {
        name: value.astype(dtype)
        for (name, value), dtype in zip(arrays.items(), dtypes, strict=True)
    }
    assert from_arrays(arrays, backend="reference").spec.dtype == expected


REFUSED = {
    "no mapping": (lambda a: [a], "must be a mapping"),
    "no name": (lambda a: a | {"kernel": 0}, "no name of a parameter"),
    "integers": (lambda a: a | {"bias_l0": np.zeros(16, "int8")}, "quantised"),
    "not finite": (lambda a: a | {"bias_l0": np.full(16, np.nan)}, "NaN"),
    "no weights": (lambda a: {"bias_l0": a["bias_l0"]}, "lacks weight_ih"),
    "turned": (lambda a: a | {"weight_hh_l0": a["weight_hh_l0"].T}, r"pass W\.T"),
    "shape": (lambda a: a | {"bias_l0": np.zeros(12)}, "must have shape"),
    "blocks": (lambda a: a | {"bias_l0": np.zeros(13)}, "blocks of rows"),
    "unknown": (lambda a: a | {"gain_l0": np.ones(16)}, "cell="),
    "gap": (lambda a: a | {"weight_ih_l2": np.zeros((16, 4))}, "without a gap"),
    "reverse": (lambda a: {f"{k}_reverse": v for k, v in a.items()}, r"X\[:, ::-1\]"),
    "head": (lambda a: a | {"head_weight": np.zeros((2, 3))}, "the head reads 3"),
    "bias thrice": (lambda a: a | {"bias_ih_l0": np.zeros(16)}, "of which bias is the sum"),
    "addons": (lambda a: a | {"kernel_norm/gamma": 1}, "normalises the two products separately"),
    "contrib": (lambda a: a | {"layer_norm_basic_lstm_cell/k": 1}, "carries the normalised cell"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    change, message = REFUSED[name]
    arrays = change(layer(4, 3, np.random.default_rng(0)))
    with pytest.raises((ValueError, TypeError), match=message):
        from_arrays(arrays)


def test_layers_that_do_not_fit_each_other():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"layer 1 reads 5 features, .* layer 0 gives 4"):
        from_arrays(layer(4, 3, rng) | layer(4, 5, rng, "_l1"))
    with pytest.raises(ValueError, match="all layers have a reverse direction"):
        from_arrays(layer(4, 3, rng) | layer(4, 4, rng, "_l1") | layer(4, 4, rng, "_l1_reverse"))


# ---- what another side lacks, and the check against it ---------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"bidirectional": True}, "bidirectional"),
        ({"cell": {"forget_gate": "coupled"}}, "forget_gate"),
        ({"cell": {"layer_norm": "gates"}}, "layer_norm"),
        ({"cell": {"activations": ("hard_sigmoid", "tanh", "tanh")}}, "hard_sigmoid"),
        ({"dropout": {"zoneout_c": 0.1}}, "zoneout_c"),
        ({"learned_state": True}, "learned_state"),
        ({}, "output_size"),
    ],
)
def test_a_part_that_the_other_side_lacks(arguments, part):
    with pytest.raises(ValueError, match=f"Side lacks a part of this model: .*{part}"):
        Counterpart("Side").require_parts(drawn(**arguments))


def test_a_square_projection_is_a_part_of_its_own():
    model = drawn(proj_size=drawn().spec.hidden_size)
    with pytest.raises(ValueError, match=r"Side lacks a part .* as large as hidden_size"):
        Counterpart("Side", parts=("proj_size", "head")).require_parts(model)
    Counterpart("Side", parts=("proj_size", "head", "square projection")).require_parts(model)


def test_rates_that_predictions_do_not_use_are_no_part():
    rates = {"inputs": 0.5, "recurrent": 0.1}
    Counterpart("Side", parts=("head",)).require_parts(drawn(dropout=rates))


@pytest.mark.parametrize("output", ["sequence", "last"])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_check(output, scaled):
    model = drawn(bidirectional=True, num_layers=2)
    model.output = output
    if scaled:
        model.set_scaling((100.0, 9.0), (50.0, 0.1))

    def same(X):
        inputs = model.scaling.inputs(X, "float32") if scaled else X
        return Outputs(model.predict(X), *model.forward(inputs)[1])

    def other(X):
        inputs = model.scaling.inputs(X, "float32") if scaled else X
        return same(X)._replace(c=list(1.001 * model.forward(inputs)[1].c))

    verify(model, "Side", same)
    verify(model, "Side", lambda X: same(X.astype("float64")))
    with pytest.raises(RuntimeError, match="states c of Side and of numlstm differ by 1"):
        verify(model, "Side", other)
    with pytest.raises(RuntimeError, match="outputs of Side have shape"):
        verify(model, "Side", lambda X: Outputs(same(X).Y[:-1]))
    with pytest.raises(RuntimeError, match="outputs of Side and of numlstm differ by nan"):
        verify(model, "Side", lambda X: Outputs(same(X).Y * np.nan))
    shift = 3e-5 if scaled else 3e-4  # small beside the mean of the data
    with pytest.raises(RuntimeError, match="outputs of Side and of numlstm differ"):
        verify(model, "Side", lambda X: Outputs(same(X).Y + shift))


def test_a_check_allows_for_rounding_in_an_ill_conditioned_network():
    model = drawn(cell={"layer_norm": "gates", "layer_norm_epsilon": 1e-8})
    for name in ("weight_ih_l0", "weight_hh_l0"):  # all units nearly alike, before they are scaled
        model.params[name][...] = 0.5 + 1e-3 * np.abs(model.params[name])
    theirs = numlstm.LSTM.from_spec(model.spec, "reference", model.theta.copy())
    signs = np.random.default_rng(5).choice([-1, 1], theirs.theta.size)
    theirs.theta[...] *= 1 + np.finfo("float32").eps * signs

    def run(X):
        return Outputs(theirs.predict(X), *theirs.forward(X)[1])

    X = np.random.default_rng(1997).standard_normal((3, 7, 3)).astype("float32")
    apart = np.linalg.norm(theirs.predict(X) - model.predict(X)) / np.linalg.norm(model.predict(X))
    assert apart > 3e-5  # more than the bar, 2e-5
    verify(model, "Side", run)
    theirs.params["head_bias"][...] += 0.01
    with pytest.raises(RuntimeError, match="outputs of Side and of numlstm differ"):
        verify(model, "Side", run)


def test_a_check_without_the_other_side():
    def missing(X):
        raise MissingPackage("it needs side")

    with pytest.warns(UserWarning, match="not checked against Side: it needs side; check=False"):
        verify(drawn(), "Side", missing)


# ---- units of the data -----------------------------------------------------------------------


class Scaler:
    mean_, scale_ = np.arange(3.0), None


def test_units_by_hand(tmp_path):
    model = drawn("float64")
    X = np.random.default_rng(2).standard_normal((2, 4, 3))
    model.set_scaling(([1, 2, 3], 2.0), (5.0, [3.0, 4.0]))
    Y, _ = model.forward((X - np.array([1, 2, 3])) / 2.0)
    np.testing.assert_array_equal(model.predict(X), Y * np.array([3.0, 4.0]) + 5.0)
    model.save(tmp_path / "model.npz")
    loaded = numlstm.load(tmp_path / "model.npz", backend="reference")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    model.set_scaling(Scaler())
    np.testing.assert_array_equal(model.predict(X), model.forward(X - np.arange(3.0))[0])
    model.set_scaling()
    np.testing.assert_array_equal(model.predict(X), model.forward(X)[0])


def test_units_of_a_mean_with_its_variance_and_of_attributes():
    model = drawn("float64", static_size=2)
    X, static = np.ones((1, 4, 3)), np.array([[3.0, 5.0]])
    with pytest.raises(ValueError, match=r"shape \(2,\), received \(1,\).* variance=True says so"):
        model.set_scaling(targets=([2.0], [3.0]), static=(1.0, 2.0))
    model.set_scaling(targets=([2.0], [3.0]), static=(1.0, 2.0), variance=True)
    Y, _ = model.forward(X, static=[[1.0, 2.0]])
    expected = Y * np.array([3.0, 1.0]) + np.array([2.0, 2 * np.log(3.0)])
    np.testing.assert_allclose(model.predict(X, static=static), expected, rtol=1e-15)
    model.set_scaling(targets=(4.0, 5.0))  # which is of the means, as it was
    np.testing.assert_array_equal(model.scaling.y_mean, [4.0])
    with pytest.raises(ValueError, match="two outputs for each target, and there are 3"):
        numlstm.LSTM(1, 2, 3, rng=0, backend="reference").set_scaling(
            targets=(0.0, 1.0), variance=True
        )


class FrameScaler:
    mean_, scale_, feature_names_in_ = [3.0, 1.0, 2.0], [30.0, 10.0, 20.0], ["c", "a", "b"]


def test_units_with_names():
    model = drawn()
    model.set_scaling(FrameScaler())  # of a model without names: in the order that it has
    np.testing.assert_array_equal(model.scaling.x_mean, [3.0, 1.0, 2.0])
    model.names = Names(("a", "b", "c"), ("u", "v"))
    mean = pd.Series({"b": 2.0, "c": 3.0, "a": 1.0})
    for inputs in FrameScaler(), (mean, 10 * mean), (dict(mean), [10.0, 20.0, 30.0]):
        model.set_scaling(inputs, targets=(pd.Series({"v": 2.0, "u": 1.0}), 1.0))
        np.testing.assert_array_equal(model.scaling.x_mean, [1.0, 2.0, 3.0])
        np.testing.assert_array_equal(model.scaling.x_scale, [10.0, 20.0, 30.0])
        np.testing.assert_array_equal(model.scaling.y_mean, [1.0, 2.0])
    model.set_scaling((pd.Series([1.0, 2.0, 3.0]), 1.0))
    np.testing.assert_array_equal(model.scaling.x_mean, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="the mean of inputs lacks 'a', 'b', 'c' and has 'x'"):
        model.set_scaling((pd.Series([1.0, 2.0, 3.0], ["x", "y", "z"]), 1.0))
    model.names = Names(("a", "b"))  # as where others are known ahead
    with pytest.raises(ValueError, match="has some for 2 of the 3 numbers alone: pass arrays"):
        model.set_scaling((mean, 1.0))
    model.set_scaling((pd.Series([1.0, 2.0, 3.0]), 1.0))  # numbers are no names
    model.names = Names()
    model.set_scaling((mean, mean[::-1]))
    np.testing.assert_array_equal(model.scaling.x_scale, [2.0, 3.0, 1.0])


def test_a_number_is_the_unit_of_all_outputs():
    model = drawn()
    model.set_scaling(targets=(1.0, 3.0))
    np.testing.assert_array_equal(model.scaling.y_scale, [3.0, 3.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": 3.0}, "inputs must be a pair"),
        ({"inputs": (0.0, 0.0)}, "scale of inputs must be above 0"),
        ({"inputs": (np.zeros(2), 1.0)}, r"must be a number or have shape \(3,\)"),
        ({"targets": (np.nan, 1.0)}, "mean of targets"),
        ({"static": (0.0, 1.0)}, "has none"),
    ],
)
def test_units_that_are_none(arguments, message):
    model = drawn()
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_scaling(**arguments)
    assert model.scaling is None


def test_specs_of_models_are_those_of_their_layers():
    model = drawn(num_layers=2, dropout=0.3)
    copy = to_model(weights_of(model), "reference")
    assert copy.spec == model.spec
    one = dataclasses.replace(weights_of(model), layers=weights_of(model).layers[:1])
    assert to_model(one, "reference").spec.dropout.layers == 0.0


def test_whether_a_larger_network_does_more_than_its_parts():
    model = drawn(bidirectional=True)
    steps = model.predict
    assert agrees(model, lambda X: [steps(X)]) is True
    assert agrees(model, lambda X: [steps(X)[:, -1]]) is True
    assert agrees(model, lambda X: [np.tanh(steps(X)), steps(X)]) is True
    assert agrees(model, lambda X: []) is None
    assert agrees(model, lambda X: [steps(X)[..., None]]) is None
    assert agrees(model, lambda X: [np.tanh(steps(X))]) is False
    assert agrees(model, lambda X: [steps(X)[:, 0]]) is False
    model.output = "last"
    assert agrees(model, lambda X: [model.predict(X)]) is True
    assert agrees(model, lambda X: [model.predict(X, output="sequence")[:, -1]]) is False
