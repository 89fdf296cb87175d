"""Attributions are held to captum, to the gradients of `vjp`, and to what they must add up to."""

import numpy as np
import pytest

import numlstm
from helpers.house import TRUTHS
from numlstm import inspection
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.inspection.attribution import quadrature

OUTPUT = 1  # of the truths
# case: (I, H, O), options, and the steps that are explained
CASES = {
    "plain": ((3, 8, 2), {}, (11, 5)),
    "stacked": ((2, 6, 3), {"num_layers": 2}, (8, 3)),
    "bidirectional": ((3, 5, 2), {"num_layers": 2, "bidirectional": True}, (7, 2)),
    "classes": ((2, 7, 4), {}, (9,)),
}
BARS = {"float64": 1e-10, "float32": 1e-6}
VARIANTS = [
    {},
    {"num_layers": 2, "residual": True},
    {"bidirectional": True, "num_layers": 2},
    {"proj_size": 4, "cell": {"peephole": True}},
    {"direct_input": True},
    {"direct_input": True, "bidirectional": True},
    {"cell": {"layer_norm": True, "forget_gate": "coupled"}, "learned_state": True},
]


def random_model(*sizes, seed=0, dtype="float64", **options):
    """A model whose outputs depend on its inputs well, with units of its data."""
    model = numlstm.LSTM(*sizes, dtype=dtype, rng=seed, **options)
    rng = np.random.default_rng(seed)
    model.theta = rng.uniform(-0.7, 0.7, model.theta.size)
    inputs, width, static = sizes[0], model.spec.width, options.get("static_size")
    model.scaling = Scaling(
        rng.normal(size=inputs),
        rng.uniform(0.5, 2, inputs),
        rng.normal(size=width),
        rng.uniform(0.5, 2, width),
        static_mean=None if static is None else rng.normal(size=static),
        static_scale=None if static is None else rng.uniform(0.5, 2, static),
    )
    return model


def inputs(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def require_complete(found, bar=1e-8):
    """All attributions add up to the difference of the predictions."""
    sums = found.values.sum(axis=(1, 2))
    for part in (found.static, found.future):
        if part is not None:
            sums = sums + part.sum(axis=tuple(range(1, part.ndim)))
    difference = found.prediction - found.baseline_prediction
    np.testing.assert_allclose(sums, difference, rtol=0, atol=bar)
    np.testing.assert_allclose(found.completeness_error, sums - difference, rtol=0, atol=1e-12)


# --- truths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("case", CASES)
def test_captum_says_the_same(backend, case, dtype):
    sizes, options, steps = CASES[case]
    with np.load(TRUTHS / "attribution_truths.npz") as truths:
        truth = {k.removeprefix(case + "."): v for k, v in truths.items() if k.startswith(case)}
    model = numlstm.LSTM(*sizes, dtype=dtype, backend=backend.name, rng=0, **options)
    model.theta = truth["theta"]
    asked = {"output": OUTPUT, "of": "probability" if case == "classes" else "output"}
    for step in steps:
        given = asked | {"step": step}
        ours = inspection.integrated_gradients(
            model, truth["X"], baseline=truth["baseline"], num_steps=64, **given
        )
        first = inspection.gradient_x_input(model, truth["X"], baseline="zeros", **given)
        for mine, name in ((ours, f"ig.{step}"), (first, f"gxi.{step}")):
            scale = np.abs(truth[name]).max()
            np.testing.assert_allclose(mine.values, truth[name], rtol=0, atol=BARS[dtype] * scale)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_gradient_x_input_is_that_of_vjp(backend, options):
    model = random_model(3, 9, 2, backend=backend.name, **options)
    X, scaling = inputs(4, 7, 3), model.scaling
    found = inspection.gradient_x_input(model, X, output=1, step=4)
    Y, pullback = model.vjp(scaling.inputs(X))
    dY = np.zeros_like(Y)
    dY[:, 4, 1] = scaling.y_scale[1]
    expected = scaling.inputs(X) * pullback(dY).X
    np.testing.assert_allclose(found.values, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found.prediction, model.predict(X)[:, 4, 1])
    at_mean = model.predict(np.broadcast_to(scaling.x_mean, X.shape))[:, 4, 1]
    np.testing.assert_allclose(found.baseline_prediction, at_mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_integrated_gradients_are_complete(backend, options):
    model = random_model(2, 6, 1, backend=backend.name, static_size=3, **options)
    X, static = inputs(5, 8, 2), inputs(5, 3, seed=2)
    lengths = np.array([8, 3, 8, 1, 5])
    found = inspection.integrated_gradients(
        model, X, static=static, lengths=lengths, num_steps=100, baseline="zeros"
    )
    require_complete(found)
    assert np.abs(found.static).min() > 0
    np.testing.assert_array_equal(found.steps, lengths - 1)
    Y = model.predict(X, static=static, lengths=lengths)
    np.testing.assert_array_equal(found.prediction, Y[np.arange(5), lengths - 1, 0])
    padding = np.arange(8) >= lengths[:, None]
    assert not found.values[padding].any()


def test_where_a_network_is_linear_both_are_exact():
    """A cell in which only an accumulation is left, in a range in which tanh is the identity."""
    model = numlstm.LSTM(2, 1, 1, dtype="float64", rng=0)
    for view in model.params.values():
        view[...] = 0
    small, weights = 1e-6, np.array([2.0, -3.0])
    model.params["bias_l0"][:] = [50, 50, 0, 50]  # all gates are open
    model.params["weight_ih_l0"][2] = small * weights
    model.params["head_weight"][0, 0] = 1 / small
    X = inputs(3, 6, 2)
    for explain in (inspection.gradient_x_input, inspection.integrated_gradients):
        found = explain(model, X, step=3)
        np.testing.assert_allclose(found.values[:, :4], X[:, :4] * weights, rtol=1e-9)
        assert not found.values[:, 4:].any()


# --- what is explained ----------------------------------------------------------------------------


def test_every_row_has_a_step_of_its_own():
    model = random_model(2, 5, 2)
    X, steps = inputs(3, 9, 2), np.array([8, -9, 4])
    found = inspection.integrated_gradients(model, X, output=0, step=steps)
    for row, step in enumerate((8, 0, 4)):
        alone = inspection.integrated_gradients(model, X[row : row + 1], output=0, step=step)
        np.testing.assert_array_equal(found.values[row], alone.values[0])
        assert found.steps[row] == step


def test_chunks_change_nothing_but_rounding(monkeypatch):
    model, X = random_model(2, 5, 1, static_size=1), inputs(3, 9, 2)
    static, lengths = inputs(3, 1, seed=3), np.array([4, 9, 2])
    asked = {"static": static, "lengths": lengths}
    whole = inspection.integrated_gradients(model, X, **asked)
    for size in (1, 2**13, 2**16):
        monkeypatch.setattr(quadrature, "TAPE", size)
        parts = inspection.integrated_gradients(model, X, **asked)
        np.testing.assert_allclose(parts.values, whole.values, rtol=0, atol=1e-14)
        np.testing.assert_allclose(parts.static, whole.static, rtol=0, atol=1e-14)


def test_a_reset_is_a_wall():
    model, X = random_model(2, 5, 1), inputs(1, 9, 2)
    reset = np.zeros((1, 9), bool)
    reset[0, 5] = True
    found = inspection.integrated_gradients(model, X, reset=reset)
    assert not found.values[:, :5].any()
    assert found.values[:, 5:].all()
    require_complete(found)


def test_probabilities_and_logits_of_classes():
    model = random_model(2, 6, 3)
    model.scaling = None
    X = inputs(4, 7, 2)
    logits = model.predict(X)[:, -1]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = inspection.integrated_gradients(model, X, output=2, of="probability")
    np.testing.assert_allclose(found.prediction, p[:, 2], rtol=1e-12)
    require_complete(found)
    parts = [
        inspection.integrated_gradients(model, X, output=k, of="probability") for k in range(3)
    ]
    np.testing.assert_allclose(sum(part.values for part in parts), 0, atol=1e-14)
    single = inspection.integrated_gradients(model, X, output=1, of="sigmoid")
    np.testing.assert_allclose(single.prediction, 1 / (1 + np.exp(-logits[:, 1])), rtol=1e-12)
    require_complete(single)
    logit = inspection.integrated_gradients(model, X, output=1, of="logit")
    np.testing.assert_array_equal(logit.prediction, logits[:, 1])
    assert logit.output == "logit of y1"


def test_the_mean_beside_a_log_variance():
    X = inputs(3, 30, 1)
    model = numlstm.fit(X, X, loss="gaussian_nll", hidden_size=4, epochs=1, rng=0).model
    found = inspection.integrated_gradients(model, X)
    np.testing.assert_array_equal(found.prediction, model.predict(X)[:, -1, 0])
    other = inspection.integrated_gradients(model, X, output=1)
    np.testing.assert_array_equal(other.prediction, model.predict(X)[:, -1, 1])


def test_a_model_of_one_target_per_sequence_also_in_both_directions():
    X = inputs(12, 6, 2)
    for options in ({}, {"bidirectional": True}):
        given = {"hidden_size": 4, "epochs": 2, "rng": 0, "output": "last"} | options
        model = numlstm.fit(X, X[:, 0, 0], **given).model
        found = inspection.integrated_gradients(model, X)
        np.testing.assert_array_equal(found.prediction, model.predict(X)[:, 0])
        require_complete(found, 1e-4)
        assert found.values.all()


def test_windows_of_a_series():
    series = np.sin(np.arange(80) / 5)
    model = numlstm.fit(series, window=10, hidden_size=4, epochs=1, rng=0).model
    found = inspection.integrated_gradients(model, series, step=40)
    assert found.values.shape == (1, 80, 1)
    np.testing.assert_array_equal(np.flatnonzero(found.values[0, :, 0]), np.arange(31, 41))
    np.testing.assert_array_equal(found.prediction, model.predict(series)[40])
    window = inspection.integrated_gradients(model, series[31:41])
    np.testing.assert_array_equal(window.values[0], found.values[0, 31:41])
    with pytest.raises(
        ValueError, match=r"reads the 10 steps up to the one.*step must be at least"
    ):
        inspection.integrated_gradients(model, series, step=4)


def test_windows_of_both_directions_end_at_any_step():
    X = inputs(5, 20, 1)
    given = {"hidden_size": 3, "epochs": 2, "window": 7, "bidirectional": True, "dtype": "float64"}
    model = numlstm.fit(X, X, rng=0, **given).model
    Y = model.predict(X)
    for step in (-1, -3, 6):
        found = inspection.integrated_gradients(model, X, step=step)
        np.testing.assert_allclose(found.prediction, Y[:, step, 0], rtol=1e-12)
        assert found.values[:, found.start[0] : found.stop[0]].all()
        require_complete(found)


def test_forecasts_of_several_steps_and_what_is_known_ahead():
    series, known = inputs(60, 2), inputs(63, 1, seed=2)
    given = {"hidden_size": 5, "epochs": 2, "dtype": "float64", "rng": 0}
    model = numlstm.fit(series, horizon=3, future=known, **given).model
    found = inspection.integrated_gradients(model, series, future=known, output=1, ahead=2)
    Y = model.forecast(series, future=known)
    np.testing.assert_allclose(found.prediction, Y[1, 1], rtol=1e-12)
    assert found.values.shape == (1, 60, 2)
    assert found.future.shape == (1, 63, 1)
    assert found.future[0, 1:].all()
    assert not found.future[0, 0].any()
    require_complete(found)
    changed = known.copy()
    changed[62] = model.scaling.x_mean[-1]  # compared with itself an input brings nothing
    again = inspection.integrated_gradients(model, series, future=changed, output=1, ahead=2)
    assert abs(again.future[0, 62, 0]) < 1e-12
    with pytest.raises(ValueError, match=r"forecasts 3 step\(s\) ahead, received ahead=4"):
        inspection.integrated_gradients(model, series, future=known, output=0, ahead=4)


def test_attributes_and_what_is_known_ahead_have_their_names():
    pd, _ = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    series, known, about = inputs(60, 1), inputs(63, 1, seed=2), inputs(1, 2, seed=3)
    about = pd.DataFrame(about, columns=["area", "height"])
    known = pd.DataFrame({"price": known[:, 0]})
    given = {"hidden_size": 3, "epochs": 1, "rng": 0}
    two = pd.concat([about, 2 * about], ignore_index=True)
    model = numlstm.fit([series, -series], static=two, **given).model
    found = inspection.gradient_x_input(model, [series, -series], static=two)
    assert found.attributes == ("area", "height")
    assert list(found.to_xarray().static.attribute.values) == ["area", "height"]
    frame = pd.DataFrame(series)
    model = numlstm.fit(frame, horizon=3, future=known, **given).model
    found = inspection.gradient_x_input(model, frame, future=known, ahead=1)
    assert found.known_ahead == ("price",)
    assert list(found.to_xarray().future.feature_ahead.values) == ["price"]
    plain = numlstm.fit(series, **given).model
    found = inspection.gradient_x_input(plain, series)
    assert found.attributes is found.known_ahead is None


# --- what it is compared with ---------------------------------------------------------------------


def test_the_baselines():
    model, X = random_model(2, 5, 1, static_size=2), inputs(3, 6, 2)
    static = inputs(3, 2, seed=4)
    explained = inspection.integrated_gradients
    mean = explained(model, X, static=static)
    np.testing.assert_array_equal(mean.baseline, np.broadcast_to(model.scaling.x_mean, X.shape))
    zeros = explained(model, X, static=static, baseline="zeros")
    by_hand = {"X": np.zeros(2), "static": [0.0, 0.0]}
    same = explained(model, X, static=static, baseline=by_hand)
    np.testing.assert_array_equal(zeros.values, same.values)
    np.testing.assert_array_equal(zeros.static, same.static)
    nothing = explained(model, X, static=static, baseline={"X": X, "static": static})
    assert not nothing.values.any()
    assert not nothing.static.any()
    np.testing.assert_array_equal(nothing.prediction, nothing.baseline_prediction)
    own = explained(model, X, static=static, baseline={"X": X})
    assert not own.values.any()
    assert own.static.all()


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("missing", ["raise", "mask"])
def test_a_baseline_of_X_asks_about_X_alone(dtype, missing):
    """Attributes and what is known ahead are the same on both sides, and bring nothing."""
    X, known, static = inputs(4, 20, 2), inputs(4, 22, 1, seed=2), inputs(4, 2, seed=3)
    if missing == "mask":
        known[1, 3:6] = X[0, 2] = np.nan
    given = {"hidden_size": 5, "epochs": 2, "dtype": dtype, "rng": 0, "missing": missing}
    beside = {"future": known, "static": static}
    model = numlstm.fit(X, horizon=2, **beside, **given).model
    asked = beside | {"output": 0, "ahead": 2}
    for explain in (inspection.integrated_gradients, inspection.gradient_x_input):
        found = explain(model, X, baseline=np.zeros(2), **asked)
        assert not found.static.any()
        assert not found.future.any()
        assert found.values[:, -1].all()
    same = inspection.integrated_gradients(model, X, baseline=X, **asked)
    np.testing.assert_array_equal(same.prediction, same.baseline_prediction)
    zeros = inspection.integrated_gradients(model, X, baseline={"X": np.zeros(2)}, **asked)
    assert zeros.static.all()  # of a mapping the mean
    assert zeros.future[:, -1].all()
    none = inspection.integrated_gradients(model, X, baseline=None, **asked)
    mean = inspection.integrated_gradients(model, X, **asked)
    np.testing.assert_array_equal(none.static, mean.static)


def test_what_is_missing_belongs_to_its_feature():
    model = random_model(4, 6, 1)
    model.filling = Imputer(np.array([0.3, -0.2]))
    model.scaling = None
    X = inputs(2, 7, 2)
    X[0, 2:5, 0] = np.nan
    found = inspection.integrated_gradients(model, X)
    assert found.values.shape == (2, 7, 2)
    assert found.values[0, 2:5, 0].all()  # that they are missing says something
    require_complete(found)
    np.testing.assert_array_equal(found.prediction, model.predict(X)[:, -1, 0])
    absent = inspection.integrated_gradients(model, X, baseline=np.where(np.isnan(X), X, 0.1))
    assert np.abs(absent.values[0, 2:5, 0]).sum() < np.abs(found.values[0, 2:5, 0]).sum()
    require_complete(absent)


def test_series_in_a_list_and_their_baselines():
    model = random_model(2, 5, 1)
    parts = [inputs(6, 2), inputs(3, 2, seed=5)]
    found = inspection.integrated_gradients(model, parts)
    assert [part.shape for part in found.like_inputs()] == [(6, 2), (3, 2)]
    alone = inspection.integrated_gradients(model, parts[1])
    np.testing.assert_array_equal(found.like_inputs()[1], alone.like_inputs())
    same = inspection.integrated_gradients(model, parts, baseline=parts)
    assert not same.values.any()


# --- what comes back ------------------------------------------------------------------------------


def test_what_is_returned_cannot_be_changed():
    model, X = random_model(2, 5, 1), inputs(3, 6, 2)
    before = X.copy()
    found = inspection.integrated_gradients(model, X)
    np.testing.assert_array_equal(X, before)
    with pytest.raises(ValueError, match="read-only"):
        found.values[0] = 1
    assert repr(found).startswith("<Attribution of y0: 3 sequence(s), 6 steps, 2 feature(s); ")


def test_importance_by_lag():
    model, X = random_model(2, 5, 1), inputs(2, 6, 2)
    found = inspection.integrated_gradients(model, X, step=np.array([5, 2]))
    lags, values, features = inspection.lag_importance(found)
    assert lags.tolist() == [0, 1, 2, 3, 4, 5]
    assert features is None
    size = np.abs(found.values)
    np.testing.assert_allclose(values[0], (size[0, 5] + size[1, 2]) / 2)
    np.testing.assert_allclose(values[2], (size[0, 3] + size[1, 0]) / 2)
    np.testing.assert_allclose(values[3:], size[0, 2::-1])
    both = random_model(2, 5, 1, bidirectional=True)
    found = inspection.integrated_gradients(both, X, step=2)
    lags, values, _ = inspection.lag_importance(found)
    assert lags.tolist() == [-3, -2, -1, 0, 1, 2]
    np.testing.assert_allclose(values[0], np.abs(found.values[:, 5]).mean(axis=0))
    with pytest.raises(TypeError, match="must be what integrated_gradients"):
        inspection.lag_importance(found.values)


def test_frames_keep_their_labels():
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    dates = pandas.date_range("2020-01-01", periods=30)
    frame = pandas.DataFrame(inputs(30, 2), index=dates, columns=["rain", "warmth"])
    flow = frame["rain"].rolling(3, min_periods=1).mean().rename("flow")
    model = numlstm.fit(frame, flow, hidden_size=4, epochs=2, rng=0).model
    found = inspection.integrated_gradients(model, frame[["warmth", "rain"]], output="flow")
    assert found.features == ("rain", "warmth")
    assert found.output == "flow"
    shown = found.like_inputs()
    assert shown.columns.tolist() == ["warmth", "rain"]  # as X has them
    assert shown.index.equals(dates)
    np.testing.assert_array_equal(shown[["rain", "warmth"]].to_numpy(), found.values[0])
    dry = inspection.integrated_gradients(model, frame, baseline=frame.assign(rain=0.0))
    by_hand = inspection.integrated_gradients(model, frame, baseline=frame.to_numpy() * [0, 1])
    np.testing.assert_array_equal(dry.values, by_hand.values)
    assert not dry.values[..., 1].any()
    with pytest.raises(ValueError, match="baseline has other labels than X"):
        inspection.integrated_gradients(model, frame[:20], baseline=frame[10:])
    dataset = found.to_xarray()
    assert dataset.attribution.dims == ("sequence", "time", "feature")
    assert dataset.time.values[0] == np.datetime64("2020-01-01")
    assert dataset.feature.values.tolist() == ["rain", "warmth"]
    grid = xarray.DataArray(
        np.stack([frame, frame + 1]),
        dims=("basin", "time", "feature"),
        coords={"basin": ["a", "b"], "time": dates, "feature": ["rain", "warmth"]},
    )
    found = inspection.integrated_gradients(model, grid)
    assert found.to_xarray().sequence.values.tolist() == ["a", "b"]
    assert found.like_inputs().dims == ("basin", "time", "target")


def test_estimators_and_their_labels():
    sklearn = pytest.importorskip("sklearn")
    assert sklearn
    X = inputs(40, 6, 1)
    y = np.where(X[:, 2, 0] > 0, "wet", "dry")
    classifier = numlstm.LSTMClassifier(hidden_size=4, epochs=3, random_state=0).fit(X, y)
    found = inspection.integrated_gradients(classifier, X, output="wet", of="probability")
    np.testing.assert_allclose(found.prediction, classifier.predict_proba(X)[:, 1], rtol=1e-6)
    assert found.output == "probability of wet"
    require_complete(found, 1e-5)
    with pytest.raises(ValueError, match=r"one of the labels \['dry', 'wet'\], received 'damp'"):
        inspection.integrated_gradients(classifier, X, output="damp")
    table = inputs(40, 5)
    regressor = numlstm.LSTMRegressor(hidden_size=4, epochs=1, random_state=0).fit(
        table, table[:, 0]
    )
    assert inspection.gradient_x_input(regressor, table).values.shape == (40, 5, 1)


def test_much_that_is_left_is_said():
    model = random_model(1, 6, 1)
    model.theta = 6 * model.theta
    X = 4 * inputs(3, 12, 1)
    told = r"of \d of 3 sequence.*more num_steps than 1; if more.* choose a nearer baseline"
    with pytest.warns(UserWarning, match=told):
        found = inspection.integrated_gradients(model, X, num_steps=1)
    assert np.abs(found.completeness_error).max() > 0.01


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, r"has 2 outputs, 'y0', 'y1': say which one is explained, output="),
        ({"output": 2}, "index below 2, the number of outputs, received 2"),
        ({"output": -3}, "output must be an integer >= -2"),
        ({"output": "flow"}, r"one of \['y0', 'y1'\], or an index, received 'flow'"),
        ({"output": 0, "step": 6}, "between -6 and 5 for a sequence of 6 steps, received 6"),
        ({"output": 0, "step": 1.5}, "integer, or one for each of the 3 sequences, received 1.5"),
        ({"output": 0, "step": [1, 2]}, "one for each of the 3 sequences"),
        ({"output": 0, "of": "probability"}, 'of="probability" is for classifiers'),
        ({"output": 0, "of": "odds"}, "of must be one of"),
        ({"output": 0, "baseline": "median"}, "baseline must be one of"),
        ({"output": 0, "baseline": np.ones(3)}, r"that broadcasts to \(3, 6, 2\).*shape \(3,\)"),
        ({"output": 0, "baseline": np.nan}, "baseline"),
        ({"output": 0, "baseline": {"x": 0}}, "has the entries.*received 'x'"),
        ({"output": 0, "ahead": 1}, "for models that were fitted with horizon="),
        ({"output": 0, "static": np.ones((3, 1))}, "static was given"),
    ],
    ids=str,
)
def test_errors_say_what_to_write(asked, message):
    model, X = random_model(2, 5, 2), inputs(3, 6, 2)
    with pytest.raises(ValueError, match=message):
        inspection.integrated_gradients(model, X, **asked)


def test_other_models_are_refused():
    X = inputs(3, 12, 1)
    result = numlstm.fit(X, X, hidden_size=2, epochs=1, rng=0)
    with pytest.raises(TypeError, match=r"not FitResult: pass its \.model"):
        inspection.integrated_gradients(result, X)
    with pytest.raises(ValueError, match="num_steps must be an integer >= 1"):
        inspection.integrated_gradients(result.model, X, num_steps=0)
    both = random_model(1, 3, 1, bidirectional=True)
    both.output = "last"
    with pytest.raises(ValueError, match="leave step= out, or cut X"):
        inspection.integrated_gradients(both, X, step=0)
    empty = [inputs(4, 1), np.empty((0, 1))]
    with pytest.raises(ValueError, match="has no step, and nothing to explain"):
        inspection.integrated_gradients(result.model, empty)


def test_attributions_have_the_columns_of_the_inputs_in_their_order():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    xarray = pytest.importorskip("xarray")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.standard_normal((9, 2)), columns=["rain", "temp"])
    model = numlstm.fit(frame, hidden_size=3, epochs=1, rng=0).model
    true = inspection.gradient_x_input(model, frame, output="rain").like_inputs()
    turned = frame[["temp", "rain"]]
    array = xarray.DataArray(turned.to_numpy(), {"feature": ["temp", "rain"]}, ("time", "feature"))

    def of(X):
        return inspection.gradient_x_input(model, X, output="rain").like_inputs()

    pandas.testing.assert_frame_equal(of(turned), true[["temp", "rain"]])
    assert of(polars.from_pandas(turned)).columns == ["temp", "rain"]
    assert of(array).target.values.tolist() == ["temp", "rain"]
    np.testing.assert_array_equal(of(array).sel(target="rain"), true["rain"])
    first, second = of([turned, frame])  # each as it is
    pandas.testing.assert_frame_equal(first, true[["temp", "rain"]])
    pandas.testing.assert_frame_equal(second, true)
    panel = pandas.concat({"a": turned, "b": turned})
    pandas.testing.assert_frame_equal(of(panel).loc["b"], true[["temp", "rain"]])
    both = array.expand_dims(site=["a", "b"])
    np.testing.assert_array_equal(of(both).sel(site="b", target="temp"), true["temp"])


def test_times_of_a_zone_are_said_to_be_in_utc():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("xarray")
    index = pandas.date_range("2020-03-28 22:00", periods=6, freq="h", tz="Europe/Berlin")
    frame = pandas.DataFrame({"rain": np.arange(6.0)}, index)
    model = numlstm.LSTM(1, 2, 1, rng=0)
    utc = index.tz_convert("UTC").tz_localize(None)
    later = frame.set_axis(index + pandas.Timedelta("1h"))
    for time in (
        inspection.gradient_x_input(model, frame).to_xarray().time,
        model.trace(frame).to_xarray().time,
        model.trace([frame, later]).to_xarray().time[0],
    ):
        np.testing.assert_array_equal(time, utc)
        assert time.attrs == {"time_zone": "UTC"}
    plain = frame.set_axis(utc)
    assert model.trace(plain).to_xarray().time.attrs == {}


def test_other_arrays_keep_their_labels():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"rain": np.arange(6.0)}, pandas.date_range("2020", periods=6))
    model = numlstm.LSTM(1, 2, 1, rng=0)
    found = inspection.gradient_x_input(model, frame)
    doubled = found._replace(values=2 * found.values).like_inputs()
    pandas.testing.assert_frame_equal(doubled, 2 * found.like_inputs())
    trace = model.trace(frame)
    other = trace._replace(f=None, c=2 * trace.c).to_xarray()
    assert "f" not in other
    np.testing.assert_array_equal(other.c, 2 * trace.c)
    np.testing.assert_array_equal(other.time, frame.index)


def labelled_sequences(kind):
    """Twelve sequences of two features with dates, their numbers, and a target for each."""
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    rng = np.random.default_rng(0)
    if kind == "list":
        X = [
            pandas.DataFrame(
                rng.standard_normal((n, 2)),
                pandas.date_range("2020", periods=n),
                columns=["rain", "temp"],
            )
            for n in (5, 8, 6, 9) * 3
        ]
        return X, np.array([part["rain"].sum() for part in X])
    coords = {
        "site": [f"s{i}" for i in range(12)],
        "time": pandas.date_range("2020", periods=7),
        "feature": ["rain", "temp"],
    }
    X = xarray.DataArray(rng.standard_normal((12, 7, 2)), coords, ("site", "time", "feature"))
    return X, X.to_numpy()[:, :, 0].sum(axis=1)


@pytest.mark.parametrize("kind", ["list", "grid"])
def test_labels_are_there_behind_an_estimator(kind):
    pytest.importorskip("sklearn")
    X, y = labelled_sequences(kind)
    estimator = numlstm.LSTMRegressor(hidden_size=3, epochs=2, random_state=0).fit(X, y)
    found = inspection.gradient_x_input(estimator, X)
    shown = found.like_inputs()
    days = inspection.time_constants(estimator, X)
    np.testing.assert_allclose(days.durations / np.timedelta64(1, "D"), days.steps)
    assert inspection.memory_paths(estimator, X).names == ("rain", "temp")
    if kind == "list":
        turned = [part[["temp", "rain"]] for part in X]
        assert [list(part.columns) for part in shown] == [["rain", "temp"]] * 12
        assert all(part.index.equals(x.index) for part, x in zip(shown, X, strict=True))
        arrays = [part.to_numpy() for part in turned]
    else:
        turned = X.isel(feature=[1, 0])
        assert shown.dims == ("site", "time", "target")
        assert found.to_xarray().sequence.values.tolist() == X.site.values.tolist()
        np.testing.assert_array_equal(found.to_xarray().time, X.time)
        arrays = turned.to_numpy()
    for baseline in (turned, X, arrays):  # an array has the order of what it stands beside
        same = inspection.gradient_x_input(estimator, turned, baseline=baseline)
        assert not same.values.any()
    if kind == "list":
        later = [part.shift(1, "D") for part in X]
    else:
        later = X.assign_coords(time=X.time + np.timedelta64(1, "D"))
    with pytest.raises(ValueError, match=r"baseline.* has other labels than X"):
        inspection.gradient_x_input(estimator, X, baseline=later)


@pytest.mark.parametrize("kind", ["array", "frame", "polars"])
def test_rows_of_a_table_of_scikit_learn_are_sequences(kind):
    pytest.importorskip("sklearn")
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    values = np.random.default_rng(0).standard_normal((20, 6))
    names = [f"hour {i}" for i in range(6)]
    frame = pandas.DataFrame(values, [f"day {i}" for i in range(20)], names)
    X = {"array": values, "frame": frame, "polars": polars.DataFrame(values, names)}[kind]
    estimator = numlstm.LSTMRegressor(hidden_size=3, epochs=2, random_state=0)
    estimator.fit(X, values[:, -1])
    found = inspection.gradient_x_input(estimator, X)
    shown = found.like_inputs()
    assert type(shown) is type(X)
    np.testing.assert_array_equal(np.asarray(shown), found.values[..., 0])
    for baseline in (X, values, X[names[::-1]] if kind == "frame" else X):
        assert not inspection.gradient_x_input(estimator, X, baseline=baseline).values.any()
    one = inspection.gradient_x_input(estimator, X, baseline=values[3])
    assert not one.values[3].any()
    assert one.values[2].any()
    if kind == "frame":
        assert list(shown.columns) == names
        assert shown.index.equals(frame.index)
        assert found.to_xarray().sequence.values.tolist() == list(frame.index)
        with pytest.raises(ValueError, match="baseline has the labels of X in another order"):
            inspection.gradient_x_input(estimator, X, baseline=frame[::-1])
