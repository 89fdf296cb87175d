"""numlstm.fit takes every variant, its regularisations, resets and missing inputs by keyword."""

import numpy as np
import pytest
from scipy.optimize import OptimizeWarning

import numlstm
from helpers.fits import SINE, batch, same, stop_after
from helpers.variants import KEYWORDS
from numlstm.architecture.spec import Dropout
from numlstm.data.missing import Imputer

RATES = list(Dropout.__dataclass_fields__)


@pytest.fixture
def quick(family_backend):
    """A short fit on the backend at hand."""

    def fit(X, y=None, **options):
        asked = {"hidden_size": 4, "epochs": 3, "rng": 0, "backend": family_backend.name}
        if "model" in options:
            del asked["hidden_size"]
        return numlstm.fit(X, y, **{**asked, **options})

    return fit


# --- variants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYWORDS)
def test_every_variant_learns_and_is_kept(quick, name):
    X, y = batch()
    options = {"epochs": 12, "batch_size": 4, **KEYWORDS[name]}
    result = quick(X, y, learning_rate=0.03, **options)
    assert result.fun < result.history["loss"][0]
    expected = numlstm.LSTM(
        2, 4, 1, **{**KEYWORDS[name], "num_layers": options.get("num_layers", 1)}
    )
    assert result.model.spec == expected.spec
    assert repr(result.model) in str(result)
    same(quick(X, y, learning_rate=0.03, **options), result)


@pytest.mark.parametrize("name", [name for name in KEYWORDS if name != "bidirectional"])
def test_every_variant_goes_through_windows_and_a_resumed_run(quick, name, tmp_path):
    X, y = batch(B=5, T=7)
    options = {"bptt_steps": 3, "batch_size": 2, "epochs": 4, **KEYWORDS[name]}
    expected = quick(X, y, **options)
    file = tmp_path / "run"
    quick(X, y, checkpoint=file, callback=stop_after(2), **options)
    same(quick(X, y, checkpoint=file, resume=True, **options), expected)


def test_the_variant_is_part_of_a_checkpoint(quick, tmp_path):
    quick(*batch(), checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="it differs in cell"):
        quick(*batch(), checkpoint=tmp_path / "run", resume=True, cell={"activation_clip": 1.0})


@pytest.mark.parametrize("output", ["sequence", "last"])
def test_a_bidirectional_network_on_ragged_sequences(quick, output):
    """The first step depends on the last one: only the reverse direction can know it."""
    rng = np.random.default_rng(0)
    X = [rng.choice([-1.0, 1.0], (rng.integers(2, 6), 1)) for _ in range(40)]
    y = [np.full(len(x), x[-1, 0]) for x in X]
    if output == "last":
        y = np.array([x[0, 0] * x[-1, 0] for x in X])
    options = {"hidden_size": 8, "epochs": 40, "batch_size": 8, "validation": 0.2}
    both = quick(X, y, bidirectional=True, **options)
    assert both.output == output
    assert both.history["validation_loss"].min() < 0.3
    if output == "sequence":
        assert quick(X, y, **options).history["validation_loss"].min() > 0.4
    Y = both.model.predict(X)
    for i, row in enumerate(X[:3]):
        np.testing.assert_allclose(both.model.predict([row])[0], Y[i], rtol=1e-5, atol=1e-6)


def test_a_judged_bidirectional_network_reads_long_sequences_whole(quick, monkeypatch):
    """A validation loss in windows would cut what the reverse direction needs."""
    X, y = batch(B=6, T=9)
    whole = quick(X, y, bidirectional=True, validation=(X, y))
    monkeypatch.setattr("numlstm.objectives.evaluator._HELD", 1)
    pieces = quick(X, y, bidirectional=True, validation=(X, y))
    for name, values in whole.history.items():
        np.testing.assert_allclose(pieces.history[name], values, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bidirectional": True, "bptt_steps": 3}, "bptt_steps cuts sequences into windows"),
        ({"bidirectional": True, "stateful": True}, "stateful cuts sequences into windows"),
        ({"proj_size": 5}, "proj_size must be at most hidden_size = 4"),
        ({"residual": True}, "residual=True needs num_layers >= 2"),
        ({"cell": {"forget_gate": "coupled"}, "init": {"chrono": 9}}, "leave chrono out"),
        ({"missing": "fill"}, r"missing must be one of \['raise', 'mask'\]"),
        ({"model": numlstm.LSTM(2, 4, 1), "cell": {"peephole": True}},
         "cell={'peephole': True} does not go with the model given, which has {}"),
        ({"model": numlstm.LSTM(2, 4, 1), "init": {"chrono": 9}},
         "init={'chrono': 9.0} does not go with the model given"),
        ({"model": numlstm.LSTM(2, 4, 1), "missing": "mask"}, "missing='mask' does not go with"),
        ({"reset": np.zeros((3, 3), bool)}, r"reset must hold True or False in shape \(12, 9\)"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        numlstm.fit(*batch(), **{"hidden_size": 4, **options})


def test_biases_begin_as_asked_for(quick):
    begun = {"epochs": 1, "learning_rate": 1e-30}
    bias = quick(*batch(), init={"forget_bias": -2}, **begun).model.params["bias_l0"]
    np.testing.assert_allclose(bias, np.repeat([0.0, -2.0, 0.0, 0.0], 4), atol=1e-29)
    i, f, _, _ = np.split(quick(*batch(), init={"chrono": 30}, **begun).model.params["bias_l0"], 4)
    np.testing.assert_allclose(i, -f)
    assert len(set(f)) == 4


def test_training_goes_on_from_a_variant(quick):
    X, y = batch()
    options = {"cell": {"peephole": True}, "proj_size": 3, "dropout": {"states": 0.3}}
    first = quick(X, y, **options)
    second = quick(X, y, model=first.model)
    assert second.model.spec == first.model.spec
    assert quick(X, y, model=first.model, **options).x.tobytes() == second.x.tobytes()
    off = quick(X, y, model=first.model, dropout={})
    assert off.model.spec.dropout == Dropout()
    assert off.x.tobytes() != second.x.tobytes()
    assert quick(X, y, model=first.model, dropout=0).x.tobytes() == off.x.tobytes()


# --- noise --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
def test_every_rate_is_for_training_only_and_resumes_to_the_bit(quick, rate, tmp_path):
    X, y = batch()
    options = {"num_layers": 2, "dropout": {rate: 0.4}, "batch_size": 5, "epochs": 4}
    result = quick(X, y, **options)
    assert result.x.tobytes() != quick(X, y, **{**options, "dropout": 0.0}).x.tobytes()
    assert result.model.spec.dropout == Dropout(**{rate: 0.4})
    np.testing.assert_array_equal(*(result.model.predict(X) for _ in range(2)))
    assert (result.model.predict(X, noise_rng=0) != result.model.predict(X)).any()
    file = tmp_path / "run"
    quick(X, y, checkpoint=file, callback=stop_after(2), **options)
    same(quick(X, y, checkpoint=file, resume=True, **options), result)


def test_a_number_is_the_rate_between_layers(quick):
    X, y = batch()
    named = quick(X, y, num_layers=2, dropout={"layers": 0.3})
    same(quick(X, y, num_layers=2, dropout=0.3), named)


def test_scipys_methods_use_no_noise(quick):
    X, y = batch()
    with pytest.warns(OptimizeWarning, match="does not use dropout"):
        result = quick(X, y, method="L-BFGS-B", dropout={"zoneout_h": 0.5})
    assert result.model.spec.dropout == Dropout()
    same(quick(X, y, method="L-BFGS-B"), result)


# --- resets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_series_with_resets_is_its_pieces(quick, bidirectional):
    X, y = batch(B=6, T=8)
    options = {"standardize": False, "dtype": "float64", "bidirectional": bidirectional}
    options |= {"method": "sgd", "epochs": 4, "learned_state": True}
    pieces = quick(X, y, **options)
    reset = np.zeros(48, bool)
    reset[::8] = True
    series = X.reshape(48, 2), y.reshape(48, 1)
    joined = quick(*series, reset=reset, **options)
    np.testing.assert_allclose(joined.x, pieces.x, rtol=1e-9, atol=1e-12)
    predicted = joined.model.predict(series[0], reset=reset)
    np.testing.assert_allclose(predicted, joined.model.predict(X).reshape(48, 1), rtol=1e-9)


@pytest.mark.parametrize("k", [3, 4, 12])
@pytest.mark.parametrize("stateful", [False, True])
def test_resets_go_through_windows_and_streams(quick, k, stateful):
    """A series with resets at its cuts has the gradient of its pieces, however it is laid out."""
    X, y = batch(B=1, T=24)
    reset = np.arange(24) % k == 0
    options = {"standardize": False, "dtype": "float64", "method": "L-BFGS-B", "epochs": 2}
    pieces = quick(X.reshape(-1, k, 2), y.reshape(-1, k, 1), **options)
    options |= {"stateful": True, "batch_size": 2} if stateful else {}
    series = quick(X[0], y[0], bptt_steps=k, reset=reset, **options)
    np.testing.assert_allclose(series.x, pieces.x, rtol=1e-7, atol=1e-9)
    assert series.fun == pytest.approx(pieces.fun, rel=1e-9)


def test_lists_have_lists_of_resets(quick):
    X = [SINE[:9], SINE[:5]]
    reset = [np.arange(9) == 4, np.zeros(5, bool)]
    result = quick(X, reset=reset, standardize=False)
    shorter = [SINE[:4], SINE[4:9], SINE[:5]]
    whole = result.model.predict(X, reset=reset)
    parts = result.model.predict(shorter)
    np.testing.assert_allclose(whole[0], np.concatenate(parts[:2]), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"reset\[1\] must hold True or False in shape \(5,\)"):
        quick(X, reset=[reset[0], reset[0]])
    with pytest.raises(ValueError, match="reset must be a list with one array"):
        quick(X, reset=reset[0])


def test_the_value_after_a_reset_is_not_forecast(quick):
    """A jump at every reset that nobody could know in advance costs nothing."""
    series = np.concatenate([np.full(5, level) for level in (0.0, 5.0, -3.0, 8.0)])
    reset = np.arange(20) % 5 == 0
    options = {"standardize": False, "epochs": 1, "learning_rate": 1e-30, "dtype": "float64"}
    result = quick(series, reset=reset, **options)
    Y = result.model.predict(series, reset=reset)[:-1, 0]
    error = (Y - series[1:]) ** 2
    assert result.fun == pytest.approx(error[~reset[1:]].mean(), rel=1e-9)


# --- missing inputs -----------------------------------------------------------------------------


def gappy(B=12, T=9, share=0.3):
    X, y = batch(B, T)
    X = X + 3
    X[np.random.default_rng(5).random(X.shape) < share] = np.nan
    return X, y


def test_missing_inputs_are_refused_unless_a_rule_is_asked_for(quick):
    with pytest.raises(ValueError, match=r"X has .* NaN or infinite"):
        quick(*gappy())
    X, y = gappy()
    X[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="X has 1 NaN or infinite"):
        quick(X, y, missing="mask")


def test_the_rule_of_filling():
    nan = np.nan
    X = np.array([[[nan, 1], [2, nan], [nan, nan], [4, 5], [nan, 6]]])
    reset = np.array([[False, False, False, False, True]])
    filled, observed = Imputer(np.array([10.0, 20.0])).fill(X)
    np.testing.assert_array_equal(filled[0], [[10, 1], [2, 1], [2, 1], [4, 5], [4, 6]])
    np.testing.assert_array_equal(observed[0], [[0, 1], [1, 0], [0, 0], [1, 1], [0, 1]])
    filled, _ = Imputer(np.array([10.0, 20.0])).fill(X, reset)
    np.testing.assert_array_equal(filled[0, -1], [10, 6])
    assert np.isnan(X).sum() == 5


@pytest.mark.parametrize("standardize", [True, False])
def test_a_fit_with_missing_inputs_is_one_on_the_filled_ones(quick, standardize):
    X, y = gappy()
    result = quick(X, y, missing="mask", standardize=standardize, dtype="float64")
    model = result.model
    assert model.spec.input_size == 4
    assert model.num_features == 2
    np.testing.assert_allclose(model.filling.mean, np.nanmean(X, axis=(0, 1)), rtol=1e-12)
    filled, observed = model.filling.fill(X)
    inputs = model.scaling.inputs(filled) if standardize else filled
    Y, _ = model.forward(np.concatenate([inputs, observed], axis=-1))
    expected = model.scaling.outputs(Y) if standardize else Y
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12)
    if standardize:
        np.testing.assert_allclose(model.scaling.x_scale, np.nanstd(X, axis=(0, 1)), rtol=1e-12)
    again = quick(X, y, model=model, dtype="float64", standardize=standardize)
    assert again.model.filling == model.filling


def test_missing_inputs_in_lists_series_and_forecasts(quick, tmp_path):
    X, y = gappy()
    ragged = [x[: 5 + i % 4] for i, x in enumerate(X)]
    result = quick(ragged, y[:, -1], missing="mask")
    result.model.save(tmp_path / "model")
    copy = numlstm.load(tmp_path / "model", backend="reference")
    np.testing.assert_allclose(copy.predict(ragged), result.model.predict(ragged), rtol=1e-5)
    np.testing.assert_allclose(
        copy.predict([ragged[2]]), result.model.predict(ragged)[2:3], rtol=1e-4
    )
    series = SINE.copy()
    series[::7] = np.nan
    forecast = quick(series, missing="mask", stateful=True, batch_size=6, bptt_steps=10, epochs=10)
    assert forecast.fun < forecast.history["loss"][0]
    assert np.isfinite(forecast.model.predict(series)).all()


def test_a_mask_tells_what_values_cannot(quick):
    """The target is whether a value was observed: only the mask channel knows."""
    X = np.ones((30, 6, 1))
    X[np.random.default_rng(0).random(X.shape) < 0.5] = np.nan
    y = np.isfinite(X).astype(float)
    result = quick(X, y, missing="mask", epochs=60, batch_size=5, standardize=False)
    assert result.fun < 0.05


@pytest.mark.parametrize(
    "X", [np.zeros((2, 5, 1)), lambda rng, n: {"X": rng.normal(size=(n, 5, 1))}]
)
def test_a_network_that_reads_what_it_is_to_forecast_is_refused(X, quick):
    with pytest.raises(ValueError, match="would see the values that it is to forecast"):
        quick(X, None, bidirectional=True)
    windows = quick(np.sin(np.arange(30.0)), None, bidirectional=True, window=5)
    assert windows.model.window == 5
