"""Fits that begin with a model given: what counts as new, and the number of outputs."""

import copy
import pickle

import numpy as np
import pytest

import numlstm
from helpers.fits import batch, quick, same

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
