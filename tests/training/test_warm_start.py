"""Fits that begin with a model given: what counts as new, and the number of outputs."""

import copy
import inspect
import pickle
import re
from dataclasses import fields, replace

import numpy as np
import pytest

import numlstm
from helpers.fits import batch, quick, same
from numlstm.architecture.cell import Cell
from numlstm.architecture.parameters import Init
from numlstm.architecture.spec import Dropout, NetworkSpec

OPTIONS = {"epochs": 60, "learning_rate": 0.02}


def far():
    """Data in units in which a network that is not standardised learns nothing."""
    X, y = batch()
    return 1e3 + 50 * X, 200 * y - 4e4


def r2(result, X, y):
    return 1 - np.var(result.model.predict(X) - y) / np.var(y)


def through_a_file(model, folder):
    model.save(folder / "model.npz")
    return numlstm.load(folder / "model.npz")


WAYS = {
    "as it is": lambda model, _: model,
    "copy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "file": through_a_file,
    "another type": lambda model, _: model.astype(
        "float32" if model.spec.dtype == "float64" else "float64"
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_untrained_model_is_a_new_one(way, dtype, tmp_path):
    X, y = far()
    model = WAYS[way](numlstm.LSTM(2, 4, 1, rng=3, dtype=dtype), tmp_path)
    model.predict(X)
    result = quick(X, y, model=model, **OPTIONS)
    same(result, quick(X, y, model=model, standardize=True, **OPTIONS))
    assert result.model.scaling.x_mean == pytest.approx(X.mean(axis=(0, 1)), rel=1e-12)
    assert r2(result, X, y) > 0.9
    assert r2(quick(X, y, **OPTIONS), X, y) > 0.9
    assert model.is_new
    assert not result.model.is_new


def test_variants_and_classes_are_new_too():
    X, y = far()
    labels = (y[..., 0] > np.median(y)).astype(int)
    model = numlstm.LSTM(2, 4, 2, rng=0, cell={"peephole": True}, learned_state=True)
    result = quick(X, labels, loss="cross_entropy", model=model, output="sequence", **OPTIONS)
    assert result.model.scaling.x_mean == pytest.approx(X.mean(axis=(0, 1)), rel=1e-12)
    assert (result.model.predict(X).argmax(axis=-1) == labels).mean() > 0.95
    forecast = quick(X[..., 0].ravel(), model=numlstm.LSTM(1, 4, 1, rng=0))
    assert forecast.model.scaling.y_mean == pytest.approx(X[..., 0].ravel()[:-1].mean(), rel=1e-12)


@pytest.mark.parametrize("change", ["theta", "params", "one bit"])
def test_parameters_of_its_own_need_a_word_on_the_units(change):
    X, y = far()
    model = numlstm.LSTM(2, 4, 1, rng=0)
    drawn = model.theta.copy()
    if change == "theta":
        model.theta = quick(X, y).x
    elif change == "params":
        model.params["head_bias"] = [1.0]
    else:
        model.params["bias_l0"][0] = -0.0
    words = r"pass standardize=True .* or standardize=False where"
    with pytest.raises(ValueError, match=words):
        quick(X, y, model=model)
    assert not model.is_new
    assert quick(X, y, model=model, standardize=False).model.scaling is None
    assert quick(X, y, model=model, standardize=True).model.scaling is not None
    model.theta = drawn
    assert model.is_new
    assert quick(X, y, model=model).model.scaling is not None


def test_a_trained_model_goes_on_as_it_was():
    X, y = far()
    first = quick(X, y)
    assert quick(X, y, model=first.model).model.scaling is first.model.scaling
    with pytest.raises(ValueError, match="standardize=False does not go with the model given"):
        quick(X, y, model=first.model, standardize=False)
    plain = quick(X, y, standardize=False)
    with pytest.raises(ValueError, match="the model given has no scaling"):
        quick(X, y, model=plain.model)
    for one in (first, plain):
        assert not one.model.is_new
    options = {"hidden_size": 4, "members": 2, "epochs": 1, "rng": 0}
    member = numlstm.ensemble(X, y, standardize=False, **options).models[0]
    with pytest.raises(ValueError, match="the model given has no scaling"):
        quick(X, y, model=member)


def test_a_scaling_that_is_kept_is_not_asked_for_anew():
    """What was said was not done: the data were in the units of the first fit."""
    X, y = far()
    first = quick(X, y).model
    for said in (True, False):
        words = rf"standardize={said} does not go with the model given, .*leave standardize out"
        with pytest.raises(ValueError, match=words):
            quick(1000 * X, y, model=first, standardize=said)
    anew = copy.deepcopy(first)
    anew.scaling = None
    result = quick(1000 * X, y, model=anew, standardize=True)
    assert result.model.scaling.x_mean == pytest.approx(1000 * X.mean(axis=(0, 1)), rel=1e-12)
    again = quick(X, y, model=first)
    for said in (None, True):  # which is true of the same data
        same(again, quick(X, y, model=first, standardize=said))
    assert again.model.scaling is first.scaling
    pair = numlstm.fit(X, y[..., [0, 0]], hidden_size=4, epochs=1).model
    labels = (y[..., 0] > np.median(y)).astype(int)
    asked = {"loss": "cross_entropy", "output": "sequence", "model": pair}
    with pytest.raises(ValueError, match="keeps a scaling of other data"):
        numlstm.fit(X, labels, standardize=True, **asked)


def test_a_new_model_may_read_mask_channels():
    """It learns what it does of inputs that are filled and given channels by hand."""
    X, y = far()
    X[np.random.default_rng(5).random(X.shape) < 0.2] = np.nan
    model = numlstm.LSTM(4, 4, 1, dtype="float64", rng=7)
    result = quick(X, y, model=model, missing="mask")
    mean, scale = (f(X, axis=(0, 1)) for f in (np.nanmean, np.nanstd))
    filled, observed = X.copy(), ~np.isnan(X)
    for t in range(9):
        before = filled[:, t - 1] if t else np.broadcast_to(mean, (12, 2))
        filled[:, t] = np.where(observed[:, t], X[:, t], before)
    inputs = np.concatenate([(filled - mean) / scale, observed], axis=2)
    targets = (y - y.mean()) / y.std()
    expected = quick(inputs, targets, model=model, standardize=False)
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-9, atol=1e-12)
    assert result.fun == pytest.approx(expected.fun, rel=1e-9)
    assert (result.model.num_features, model.num_features) == (2, 4)
    forecast = expected.model.predict(inputs) * y.std() + y.mean()
    np.testing.assert_allclose(result.model.predict(X), forecast, rtol=1e-9)
    goes_on = quick(X, y, model=result.model, missing="mask")
    assert goes_on.model.filling is result.model.filling


def test_a_new_model_without_mask_channels_is_told_how_to_be_made():
    X, y = far()
    for inputs in (1, 2, 3, 5, 6):
        words = (
            rf"missing='mask' does not go with the model given, which has 'raise' and {inputs} "
            r"input.*make the model as numlstm.LSTM\(4, ...\)"
        )
        with pytest.raises(ValueError, match=words):
            quick(X, y, model=numlstm.LSTM(inputs, 4, 1, rng=0), missing="mask")
    moved = numlstm.LSTM(4, 4, 1, rng=0)
    moved.theta += 1
    with pytest.raises(ValueError, match=r"missing='mask' does not go with .* leave missing out"):
        quick(X, y, model=moved, missing="mask", standardize=True)


# --- the number of outputs ------------------------------------------------------------------------


def test_classes_that_the_data_do_not_show_have_outputs():
    X, _ = batch()
    labels = np.arange(len(X)) % 3
    result = quick(X, labels, loss="cross_entropy", output_size=5)
    assert result.model.predict(X).shape == (12, 5)
    assert quick(X, labels, loss="cross_entropy").model.predict(X).shape == (12, 3)
    many = numlstm.ensemble(
        X, labels, loss="cross_entropy", output_size=5, members=2, epochs=1, hidden_size=3, rng=0
    )
    assert many.predict(X)[0].shape == (12, 5)
    goes_on = quick(X, labels, loss="cross_entropy", model=result.model, output_size=5)
    assert goes_on.model.spec == result.model.spec


def test_a_number_of_outputs_that_fits_changes_nothing():
    X, y = batch(O=3)
    same(quick(X, y), quick(X, y, output_size=3))
    assert quick(X, y, loss="gaussian_nll", output_size=6).model.spec.output_size == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output_size": 2}, "the network has 2 outputs.* y and loss='mse' need 1"),
        ({"output_size": 1, "loss": "gaussian_nll"}, "1 outputs.* loss='gaussian_nll' need 2"),
        ({"output_size": 0}, "output_size must be an integer >= 1, received 0"),
        (
            {"output_size": 2, "model": numlstm.LSTM(2, 4, 1, rng=0)},
            "output_size=2 does not go with the model given, which has 1",
        ),
    ],
)
def test_a_number_of_outputs_that_contradicts_the_targets_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        quick(*batch(), **options)
    if "model" not in options:
        with pytest.raises(ValueError, match=words):
            numlstm.ensemble(*batch(), members=2, epochs=1, **options)


def test_fewer_outputs_than_classes_are_refused():
    X, _ = batch()
    with pytest.raises(ValueError, match=r"2 outputs.* loss='cross_entropy' need 3"):
        quick(X, np.arange(12) % 3, loss="cross_entropy", output_size=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_new_model_is_new_in_another_dtype_too(dtype, tmp_path):
    model = numlstm.LSTM(2, 4, 1, rng=0, dtype="float64" if dtype == "float32" else "float32")
    model.save(tmp_path / "model")
    for other in (model.astype(dtype), numlstm.load(tmp_path / "model", dtype=dtype)):
        assert other.spec.dtype == dtype
        assert other.is_new
        other.theta[0] += 1
        assert not other.is_new


# --- what is said beside a model ------------------------------------------------------------------

# a value that is not the default, for every keyword of the network
OTHER = {
    "hidden_size": 4, "output_size": 2, "num_layers": 2, "dtype": "float64", "bidirectional": True,
    "residual": True, "proj_size": 3, "cell": {"peephole": True}, "learned_state": True,
    "direct_input": True, "precision": "tf32", "backend": "reference", "missing": "mask",
}  # fmt: skip
DEFAULTS = {p.name: p.default for p in inspect.signature(numlstm.fit).parameters.values()}


def with_values(**values):
    """A model that has these values, untrained if a constructor can say them."""
    asked = {"input_size": 2, "hidden_size": 32, "output_size": 1, "rng": 0} | values
    if "residual" in values:
        asked["num_layers"] = 2
    if "missing" not in values and "precision" not in values:
        return numlstm.LSTM(**asked)
    model = numlstm.LSTM(**{k: v for k, v in asked.items() if k not in ("missing", "precision")})
    if "precision" in values:  # which no backend here has
        model.spec = replace(model.spec, **values)
        return model
    X, y = batch()
    return numlstm.fit(X, y, epochs=1, rng=0, **values).model


def data_for(model):
    X, y = batch()
    return X, y[:, :, [0] * model.spec.output_size]


def test_every_keyword_of_the_network_is_tried():
    of_data = {"input_size", "static_size"}  # which no keyword of a fit says
    asked = {f.name for f in fields(NetworkSpec)} - of_data - {"dropout"}
    assert set(OTHER) == asked | {"backend", "missing"}


@pytest.mark.parametrize("name", OTHER)
def test_what_is_said_beside_a_model_is_true_of_it(name):
    model = with_values(**{name: OTHER[name]})
    X, y = data_for(model)
    if name == "precision":  # a fit of it needs a GPU, and says so only where all else agrees
        with pytest.raises(ValueError, match="it needs backend='cuda'"):
            quick_beside(X, y, model, precision="tf32")
        return
    said = quick_beside(X, y, model, **{name: OTHER[name]})
    same(said, quick_beside(X, y, model))
    assert said.model.spec == model.spec


@pytest.mark.parametrize("name", OTHER)
def test_a_default_that_is_said_beside_another_model_is_refused(name):
    model = with_values(**{name: OTHER[name]})
    default = DEFAULTS[name]
    said = {"cell": Cell(), "output_size": 1}.get(name, default)
    has, shown = repr(OTHER[name]), repr({} if name == "cell" else said)
    words = re.escape(f"{name}={shown} does not go with the model given, which has {has}: leave")
    for value in (said, {}) if name == "cell" else (said,):
        with pytest.raises(ValueError, match=words):
            quick_beside(*data_for(model), model, **{name: value})


@pytest.mark.parametrize("name", OTHER)
def test_other_values_than_those_of_a_plain_model_are_refused(name):
    model = with_values()
    has = {"cell": {}, "output_size": 1, "backend": "cpu"}
    expected = repr(has.get(name, DEFAULTS[name]))
    words = re.escape(f"{name}={OTHER[name]!r} does not go with the model given, which has ")
    with pytest.raises(ValueError, match=words + re.escape(expected)):
        quick_beside(*data_for(model), model, **{name: OTHER[name]})


def quick_beside(X, y, model, **said):
    options = {"epochs": 1, "rng": 0}
    return numlstm.fit(X, y, model=model, **options, **said)


@pytest.mark.parametrize("variant", [{"peephole": True, "cell_clip": 3.0}, {"layer_norm": True}])
def test_a_cell_is_said_whole(variant):
    X, y = batch()
    model = numlstm.LSTM(2, 4, 1, cell=variant, rng=0)
    for said in (variant, dict(reversed(variant.items())), Cell(**variant), model.cell):
        same(quick_beside(X, y, model, cell=said), quick_beside(X, y, model))
    for said in ({"peephole": True}, {"layer_norm": False}, variant | {"forget_gate": "coupled"}):
        with pytest.raises(ValueError, match=r"^cell=.* does not go with the model given, which"):
            quick_beside(X, y, model, cell=said)


@pytest.mark.parametrize("init", [{}, Init(), {"weights": "orthogonal"}, {"forget_bias": 1.0}])
def test_first_values_do_not_go_with_parameters_that_are_there(init):
    with pytest.raises(ValueError, match=r"init=\{.* whose parameters are there: leave init out"):
        quick_beside(*batch(), numlstm.LSTM(2, 4, 1, rng=0), init=init)


def test_what_is_left_to_the_model_may_be_written_as_none():
    X, y = batch()
    model = numlstm.LSTM(2, 4, 1, cell={"peephole": True}, dropout={"states": 0.2}, rng=0)
    left = {"cell": None, "init": None, "output_size": None, "dropout": None}
    said = quick_beside(X, y, model, **left)
    same(said, quick_beside(X, y, model))
    assert said.model.spec == model.spec


@pytest.mark.parametrize("rate", [0, 0.0, {}, {"states": 0.5}])
def test_rates_of_dropout_are_set_anew(rate):
    model = numlstm.LSTM(2, 4, 1, dropout={"states": 0.2}, rng=0)
    result = quick_beside(*batch(), model, dropout=rate)
    assert result.model.spec.dropout == Dropout.read("dropout", rate)


def test_values_that_make_no_sense_say_so_beside_a_model_too():
    model = numlstm.LSTM(2, 4, 1, rng=0)
    with pytest.raises(ValueError, match="hidden_size must be an integer >= 1, received 0"):
        quick_beside(*batch(), model, hidden_size=0)
    with pytest.raises(ValueError, match="missing must be one of"):
        quick_beside(*batch(), model, missing="drop")
    with pytest.raises(TypeError, match=r"a numlstm.LSTM or a FitResult, received <class 'dict'>"):
        quick_beside(*batch(), {}, hidden_size=4)


def test_what_is_no_model_says_where_one_is(tmp_path):
    X, y = batch()
    result = quick(X, y)
    for given in ("run.npz", dict(result)):
        with pytest.raises(TypeError, match=r"or a FitResult.*: of a file pass numlstm\.load"):
            numlstm.fit(X, y, model=given)
    with pytest.raises(ValueError, match=r"dtype='float64' .* model\.astype\('float64'\)"):
        numlstm.fit(X, y, model=result.model, dtype="float64")
    double = result.model.astype("float64")
    assert numlstm.fit(X, y, model=double, dtype="float64", epochs=1).x.dtype == np.float64
