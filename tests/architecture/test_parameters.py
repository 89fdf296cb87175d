"""The flat vector and its views; what the initialisers promise."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given

from helpers.strategies import networks
from numlstm.architecture import parameters
from numlstm.architecture.cell import Activation, Cell
from numlstm.architecture.parameters import Init, Parameters
from numlstm.architecture.spec import CELL_OF_VERSION_1, Dropout, LayerSpec, NetworkSpec


@given(spec=networks)
def test_views_cover_theta_once_in_order(spec):
    theta = np.arange(spec.num_parameters, dtype=spec.dtype)
    views = parameters.split(spec.shapes, theta)
    assert list(views) == list(spec.shapes)
    for name, view in views.items():
        assert view.shape == spec.shapes[name]
        assert np.shares_memory(view, theta)
    joined = np.concatenate([view.ravel() for view in views.values()])
    np.testing.assert_array_equal(joined, theta)


@given(spec=networks)
def test_blocks_cover_theta_once_in_order(spec):
    theta = np.arange(spec.num_parameters, dtype=spec.dtype)
    parts = list(parameters.blocks(spec, theta))
    assert len(parts) == len(spec.layers) + (spec.output_size is not None)
    assert all(np.shares_memory(part, theta) for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts), theta)


def test_names_and_shapes_are_the_documented_ones():
    assert NetworkSpec(3, 8, 2, 2).shapes == {
        "weight_ih_l0": (32, 3),
        "weight_hh_l0": (32, 8),
        "bias_l0": (32,),
        "weight_ih_l1": (32, 8),
        "weight_hh_l1": (32, 8),
        "bias_l1": (32,),
        "head_weight": (2, 8),
        "head_bias": (2,),
    }
    assert NetworkSpec(3, 8).layers == (LayerSpec(3, 8, "float32"),)
    assert NetworkSpec(3, 8).head is None
    assert NetworkSpec(3, 8).width == 8
    assert NetworkSpec(3, 8, 2).width == 2


def test_a_variant_has_the_parameters_that_it_needs():
    everything = NetworkSpec(
        *(3, 8, 2, 2),
        bidirectional=True,
        proj_size=5,
        cell=Cell(peephole=True, layer_norm=True),
        learned_state=True,
    )
    layer = {
        "weight_ih": (32, 3),
        "weight_hh": (32, 5),
        "bias": (32,),
        "peephole": (24,),
        "gain": (32,),
        "cell_gain": (8,),
        "cell_bias": (8,),
        "weight_hr": (5, 8),
        "initial_h": (5,),
        "initial_c": (8,),
    }
    assert everything.layers[0].shapes == everything.layers[1].shapes == layer
    assert everything.layers[2].shapes == {**layer, "weight_ih": (32, 10)}
    suffixes = ("l0", "l0_reverse", "l1", "l1_reverse")
    names = [f"{name}_{suffix}" for suffix in suffixes for name in layer]
    assert list(everything.shapes) == [*names, "head_weight", "head_bias"]
    assert everything.shapes["head_weight"] == (2, 10)


@pytest.mark.parametrize("forget", ["coupled", "none"])
def test_a_gate_that_is_not_there_has_no_parameters(forget):
    shapes = LayerSpec(3, 8, "float32", cell=Cell(forget_gate=forget, peephole=True)).shapes
    assert shapes == {
        "weight_ih": (24, 3),
        "weight_hh": (24, 8),
        "bias": (24,),
        "peephole": (16,),
    }


def test_a_spec_survives_json():
    spec = NetworkSpec(
        *(3, 8, 2, 2, "float64", True, True, 5),
        cell=Cell("coupled", True, "gates", 1e-3, 3.0, 4.0, 0.5, (Activation("elu", 0.7),) * 3),
        learned_state=True,
        dropout=Dropout(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    )
    fields = json.loads(json.dumps(dataclasses.asdict(spec)))
    assert NetworkSpec.restored(fields) == spec
    assert NetworkSpec.restored({"input_size": 3, "hidden_size": 8}) == NetworkSpec(3, 8)


def initialised(seed=0, **options):
    init = options.pop("init", Init())
    spec = NetworkSpec(3, 9, 2, dtype="float64", **options)
    theta = parameters.initialise(spec, np.random.default_rng(seed), init)
    return parameters.split(spec.shapes, theta)


def test_forget_bias_and_chrono_initialisation():
    bias = initialised(init=Init(forget_bias=-2.5))["bias_l0"]
    np.testing.assert_array_equal(bias, np.repeat([0.0, -2.5, 0.0, 0.0], 9))
    i, f, g, o = np.split(initialised(init=Init(chrono=50))["bias_l0"], 4)
    np.testing.assert_array_equal(i, -f)
    assert not g.any()
    assert not o.any()
    assert 1 <= np.exp(f).min() < np.exp(f).max() <= 49
    assert not initialised(cell=Cell("coupled"))["bias_l0"].any()


def test_the_biases_of_the_other_gates_by_name():
    own = np.linspace(-1, 1, 9)
    usual = initialised()
    given = initialised(init=Init(input_bias=own, output_bias=-2, forget_bias=[3.0] * 9))
    for name, view in usual.items():
        if not name.startswith("bias"):  # nothing more is drawn
            np.testing.assert_array_equal(given[name], view)
            continue
        i, f, g, o = np.split(given[name], 4)
        np.testing.assert_array_equal(i, own)
        np.testing.assert_array_equal([f, g, o], np.repeat([[3.0], [0.0], [-2.0]], 9, axis=1))
    i, g, o = np.split(initialised(cell=Cell("none"), init=Init(input_bias=-1))["bias_l0"], 3)
    assert (i == -1).all()
    assert not g.any()
    assert not o.any()
    drawn, chrono = (initialised(init=Init(chrono=50, output_bias=b))["bias_l0"] for b in (None, 1))
    np.testing.assert_array_equal(chrono[:27], drawn[:27])
    assert (chrono[27:] == 1).all()
    assert Init(input_bias=own) == Init(input_bias=own.tolist())
    assert Init(input_bias=own).changed() == {"input_bias": tuple(own)}


def test_a_variant_begins_as_the_network_without_it():
    plain = initialised()
    cell = Cell(peephole=True, layer_norm=True)
    views = initialised(cell=cell, learned_state=True)
    for name, view in plain.items():
        np.testing.assert_array_equal(views.pop(name), view)
    ones = {name for name, view in views.items() if (view == 1).all()}
    assert ones == {"gain_l0", "cell_gain_l0"}
    assert not any(views[name].any() for name in set(views) - ones)


def test_a_projection_has_orthonormal_recurrent_columns():
    views = initialised(proj_size=4)
    for matrix in np.split(views["weight_hh_l0"], 4):
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(4), atol=2**-18)
    assert 0 < np.abs(views["weight_hr_l0"]).max() <= np.sqrt(6 / 13)


@pytest.mark.parametrize("init", ["orthogonal", "uniform"])
@pytest.mark.parametrize("output_size", [None, 3])
def test_biases_are_zero_but_the_forget_gates_which_is_one(init, output_size):
    spec = NetworkSpec(3, 7, output_size, 2)
    views = parameters.split(
        spec.shapes, parameters.initialise(spec, np.random.default_rng(0), Init(init))
    )
    expected = np.repeat([0.0, 1.0, 0.0, 0.0], 7)
    for index in range(2):
        np.testing.assert_array_equal(views[f"bias_l{index}"], expected)
    if output_size is not None:
        np.testing.assert_array_equal(views["head_bias"], np.zeros(3))


@pytest.mark.parametrize("hidden_size", [1, 2, 16, 33])
def test_every_gates_recurrent_matrix_is_orthogonal(hidden_size):
    spec = NetworkSpec(3, hidden_size, 1, 2, "float64")
    views = parameters.split(spec.shapes, parameters.initialise(spec, np.random.default_rng(5)))
    for index in range(2):
        for matrix in np.split(views[f"weight_hh_l{index}"], 4):
            # stored on a grid of 2**-20, so orthogonal to about that
            np.testing.assert_allclose(
                matrix @ matrix.T, np.eye(hidden_size), atol=2**-20 * np.sqrt(hidden_size)
            )


def test_weights_stay_within_their_bounds():
    spec = NetworkSpec(6, 10, 4, 2)
    rng = np.random.default_rng(1)
    glorot = parameters.split(spec.shapes, parameters.initialise(spec, rng, Init("orthogonal")))
    uniform = parameters.split(spec.shapes, parameters.initialise(spec, rng, Init("uniform")))
    for views, name, bound in (
        (glorot, "weight_ih_l0", np.sqrt(6 / 16)),
        (glorot, "weight_ih_l1", np.sqrt(6 / 20)),
        (glorot, "head_weight", np.sqrt(6 / 14)),
        *((uniform, name, 10**-0.5) for name in uniform if "weight" in name),
    ):
        largest = np.abs(views[name]).max()
        assert 0.7 * bound < largest <= bound * (1 + 1e-6), name


@pytest.mark.parametrize("init", ["orthogonal", "uniform"])
def test_the_same_seed_gives_the_same_weights_in_both_dtypes(init):
    def draw(dtype, seed):
        spec = NetworkSpec(3, 5, 2, 2, dtype)
        return parameters.initialise(spec, np.random.default_rng(seed), Init(init))

    wide = draw("float64", 3)
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide, draw("float64", 3))
    np.testing.assert_array_equal(wide.astype("float32"), draw("float32", 3))
    assert (wide != draw("float64", 4)).any()


# --- the mapping ----------------------------------------------------------------------------


SHAPES = {"weight": (2, 3), "bias": (2,)}


@pytest.fixture(params=["float32", "float64"])
def params(request):
    return Parameters(SHAPES, np.arange(8, dtype=request.param))


def test_an_assignment_writes_through(params):
    weight = params["weight"]
    params["weight"] = [[9, 8, 7], [6, 5, 4]]
    params["bias"] += 1
    np.testing.assert_array_equal(params.theta, [9, 8, 7, 6, 5, 4, 7, 8])
    assert np.shares_memory(params["weight"], weight)
    assert params.theta.dtype == weight.dtype


@pytest.mark.parametrize("given", [{"bias": np.ones(2)}, [("bias", [1, 1])]])
def test_update_writes_through(params, given):
    params.update(given, weight=np.zeros((2, 3), int))
    np.testing.assert_array_equal(params.theta, [0, 0, 0, 0, 0, 0, 1, 1])


def test_an_update_is_whole_or_not_at_all(params):
    for wrong in (np.ones((2, 2)), [np.nan, 0]):
        with pytest.raises(ValueError, match="bias"):
            params.update(weight=np.zeros((2, 3)), bias=wrong)
    with pytest.raises(KeyError, match="biass"):
        params.update(weight=np.zeros((2, 3)), biass=np.ones(2))
    np.testing.assert_array_equal(params.theta, range(8))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones((3, 2)), ValueError, r"params\['weight'\] must have shape \(2, 3\)"),
        (1.0, ValueError, "must have shape"),
        (np.ones((1, 2, 3)), ValueError, "must have shape"),
        ([[0, 0, 0], [0, np.inf, 0]], ValueError, "infinite"),
        (np.full((2, 3), "a"), TypeError, "real numbers"),
        (np.full((2, 3), 1j), TypeError, "real numbers"),
        (None, TypeError, "real numbers"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(params, value, error, message):
    with pytest.raises(error, match=message):
        params["weight"] = value
    np.testing.assert_array_equal(params.theta, range(8))


def test_a_number_beyond_the_dtype_is_refused():
    params = Parameters({"bias": (1,)}, np.zeros(1, "float32"))
    with pytest.raises(ValueError, match="beyond the range of float32"):
        params["bias"] = [1e300]


@pytest.mark.parametrize("name", ["weigth", "other", 0, ["weight"]])
def test_an_unknown_name_is_refused(params, name):
    for use in (params.__getitem__, params.__delitem__, lambda n: params.__setitem__(n, 0)):
        with pytest.raises(KeyError, match=r"no parameter .* among \['weight', 'bias'\]") as caught:
            use(name)
    if name == "weigth":
        assert "did you mean 'weight'?" in str(caught.value)
        assert name not in params
        assert params.get(name) is None
        with pytest.raises(KeyError, match="no parameter"):
            params.setdefault(name, 0)
    assert list(params) == list(SHAPES)


def test_pytorchs_biases_are_answered_with_their_sum(params):
    with pytest.raises(KeyError, match="one bias, 'bias_l0', the sum of PyTorch's two"):
        params["bias_hh_l0"] = 0


def test_a_parameter_cannot_be_removed(params):
    def delete():
        del params["weight"]

    for use in (delete, params.popitem, params.clear, lambda: params.pop("bias")):
        with pytest.raises(TypeError, match="cannot be removed"):
            use()
    assert list(params) == list(SHAPES)
    np.testing.assert_array_equal(params.theta, range(8))


def test_a_union_in_place_is_refused_before_anything_is_written(params):
    before = params.theta.copy()
    with pytest.raises(TypeError, match=r"write params\.update\(\.\.\.\)"):
        params |= {"bias": np.ones(params["bias"].shape)}
    np.testing.assert_array_equal(params.theta, before)
    view = params.setdefault("bias", 3.0)
    assert np.shares_memory(view, params.theta)
    with pytest.raises(KeyError, match="no parameter 'biases'"):
        params.setdefault("biases", 3.0)
    np.testing.assert_array_equal(params.theta, before)


def test_it_is_a_mapping_in_the_order_of_theta(params):
    assert list(params) == list(params.keys()) == list(dict(params)) == list(SHAPES)
    assert len(params) == 2
    assert "bias" in params
    assert params.get("none") is None
    values = [view.ravel() for view in params.values()]
    np.testing.assert_array_equal(np.concatenate(values), params.theta)
    for name, view in params.items():
        assert view.shape == SHAPES[name]
        view[...] = 0
    assert not params.theta.any()
    dtype = params.theta.dtype
    assert repr(params) == f"<Parameters of {dtype}: weight (2, 3), bias (2,)>"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_copy_is_of_one_vector_too(params, copied):
    other = copied(params)
    other["bias"] = [5, 5]
    np.testing.assert_array_equal(other.theta[-2:], 5)
    np.testing.assert_array_equal(params.theta, range(8))


def test_a_spec_has_an_entry_by_one_of_its_names_alone():
    old, new = next(iter(CELL_OF_VERSION_1.items()))
    value = getattr(Cell(), new)
    NetworkSpec.restored({"input_size": 3, "hidden_size": 8, "cell": {old: value}})
    with pytest.raises(ValueError, match="an entry by its old and its new name"):
        NetworkSpec.restored({"input_size": 3, "hidden_size": 8, "cell": {old: value, new: value}})
