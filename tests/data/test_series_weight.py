"""weight="nse": the squared errors of a series over the square of its spread, in the loss alone."""

import numpy as np
import pytest

import numlstm
from helpers.fits import batch, quick, same
from helpers.sliced import Sliced
from numlstm.data.series_weight import _deviation, series_weight


def series(B=6, O=1, seed=0):  # noqa: E741
    """Every series has a spread of its own, those of two outputs in other units."""
    X, y = batch(B, 20, O=O, seed=seed)
    return X, 7 + y * 1.5 ** np.arange(B)[:, None, None]


def weights(y):
    """By the formula of Kratzert et al. (2019)."""
    return 1 / (np.nanstd(y, axis=1) + 0.1) ** 2


def test_the_weights_are_those_of_the_paper():
    _, y = series(O=2)
    valid = np.random.default_rng(0).random(y.shape) < 0.7
    y[0, :, 1] = 1e6  # constant
    expected = weights(np.where(valid, y, np.nan))
    np.testing.assert_allclose(series_weight(y, valid), expected, rtol=1e-9)
    np.testing.assert_allclose(series_weight(y, valid)[0, 1], 100, rtol=1e-9)
    y[~valid] = np.inf  # whatever stands where there is none
    np.testing.assert_allclose(series_weight(y, valid), expected, rtol=1e-9)
    assert series_weight(y, np.zeros(y.shape, bool)).tolist() == [[pytest.approx(100)] * 2] * 6


@pytest.mark.parametrize(
    "options", [{}, {"batch_size": 4}, {"method": "L-BFGS-B"}, {"loss": "mae"}]
)
def test_a_fit_is_that_with_these_weights_by_hand_to_the_bit(options):
    X, y = series()
    by_hand = series_weight(y, np.ones(y.shape, bool))[:, 0]
    np.testing.assert_allclose(by_hand, weights(y)[:, 0], rtol=1e-12)
    options = {"standardize": False, **options}
    same(quick(X, y, weight="nse", **options), quick(X, y, sample_weight=by_hand, **options))


def test_it_multiplies_the_weights_given():
    X, y = series()
    own = np.random.default_rng(0).integers(1, 5, y.shape[:2]).astype(float)
    by_hand = own * series_weight(y, np.ones(y.shape, bool))
    options = {"standardize": False, "dtype": "float64"}
    one = quick(X, y, weight="nse", sample_weight=own, **options)
    same(one, quick(X, y, sample_weight=by_hand, **options))


def test_targets_that_are_not_there_count_nothing():
    X, y = series()
    y[:, ::3], weight = np.nan, np.ones(y.shape[:2])
    weight[:, 1::3] = 0
    there = np.where(weight[..., None] > 0, y, np.nan)
    options = {"standardize": False, "nan_policy": "omit", "dtype": "float64"}
    one = quick(X, y, weight="nse", sample_weight=weight, **options)
    other = quick(X, y, sample_weight=weight * weights(there), **options)
    np.testing.assert_allclose(one.x, other.x, rtol=1e-9)


def test_the_scaling_is_that_without_it():
    """And then the loss is that of the weights in the units of the network."""
    X, y = series()
    plain, weighted = (quick(X, y, dtype="float64", **more) for more in ({}, {"weight": "nse"}))
    for part, own in zip(plain.model.scaling, weighted.model.scaling, strict=True):
        np.testing.assert_array_equal(part, own)
    error = (weighted.model.predict(X) - y) / weighted.model.scaling.y_scale
    each = weights(y)[:, None]
    expected = np.sum(each * error**2) / np.sum(np.broadcast_to(each, y.shape))
    assert weighted.fun == pytest.approx(expected, rel=1e-9)
    assert abs(weighted.fun - plain.fun) > 0.01


def test_the_loss_is_a_mean_of_what_nse_lacks_to_1():
    """For spreads far above the 0.1, up to a factor."""
    X, y = series(B=3)
    y = 1e6 * y
    result = quick(X, y, weight="nse", dtype="float64")
    Y, scale = result.model.predict(X), result.model.scaling.y_scale[0]
    nse = [numlstm.metrics.nse(*pair) for pair in zip(y, Y, strict=True)]
    assert result.fun * np.mean(weights(y)) * scale**2 == pytest.approx(
        np.mean(1 - np.array(nse)), rel=1e-5
    )


@pytest.mark.parametrize("window", [None, 5])
def test_deviations_without_a_square_are_refused(window):
    X, y = series(3)
    words = r"weight='nse'.*largest of which is [\d.]+e\+16\d, .*give y in a larger unit"
    with pytest.raises(ValueError, match=words):
        quick(X, y * 1e160, weight="nse", window=window)
    large = quick(X, y * 1e140, weight="nse", window=window, dtype="float64")
    assert np.isfinite(large.x).all()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_deviations_of_any_size(size):
    _, y = series(3)
    power = 2.0 ** np.frexp(size)[1]
    whole = np.ones(y.shape, bool)
    one, other = (_deviation(values, whole) for values in (y, y * power))
    np.testing.assert_array_equal(one * power, other)
    np.testing.assert_allclose(one, y.std(axis=1), rtol=1e-13)


def test_validation_has_the_weights_of_its_series():
    X, y = series(8)
    options = {"standardize": False, "dtype": "float64"}
    judge = X[5:], y[5:]
    one = quick(X[:5], y[:5], weight="nse", validation=judge, **options)
    by_hand = {"sample_weight": weights(y[:5])[:, 0], "validation": (*judge, weights(y[5:])[:, 0])}
    other = quick(X[:5], y[:5], **by_hand, **options)
    name = "validation_loss"
    np.testing.assert_allclose(one.history[name], other.history[name], rtol=1e-9)


def test_several_targets_count_alike_whatever_their_units():
    X, y = series(O=2)
    runs = [quick(X, y * [1e3, unit], weight="nse", dtype="float64") for unit in (1e3, 1e9)]
    # far above the 0.1 the unit is no matter, and that of one target none of the other's
    np.testing.assert_allclose(runs[0].x, runs[1].x, rtol=1e-3)


@pytest.mark.parametrize("window", [None, 6])
def test_a_series_without_a_target_takes_nothing_from_that_of_others(window):
    X, y = series(O=2)
    y[0, :, 1] = np.nan
    options = {"nan_policy": "omit", "epochs": 1, "learning_rate": 1e-30, "standardize": False}
    result = quick(X, y, weight="nse", window=window, **options)
    factor = weights(np.where(np.isnan(y), 0, y))
    factor[0, 1] = np.nan
    factor /= np.nanmean(factor, axis=0)
    skipped = 0 if window is None else window - 1
    there = np.broadcast_to(np.nan_to_num(factor)[:, None], y.shape)[:, skipped:]
    error = np.nan_to_num(result.model.predict(X) - y)[:, skipped:]
    assert result.fun == pytest.approx(np.sum(there * error**2) / there.sum(), rel=1e-5)
    assert there.sum(axis=(0, 1))[1] > 0.4 * there.sum()


@pytest.mark.parametrize("own", [1, 2])
@pytest.mark.parametrize("short", [None, 4, 5])
def test_of_a_horizon_every_step_ahead_counts_for_as_much(own, short):
    values = np.random.default_rng(2).standard_normal((5, 30, own)) * [50.0, 3.0][:own]
    listed = [part * 1.5**i for i, part in enumerate(values)]
    listed += [] if short is None else [listed[0][:short]]
    options = {"horizon": 4, "epochs": 1, "learning_rate": 1e-30, "dtype": "float64"}
    result = quick(listed, weight="nse", standardize=False, **options)
    spread = np.stack([part[1:].std(axis=0) for part in listed])  # the first is no target
    factor = 1 / (spread + 0.1) ** 2
    if own > 1:
        factor /= factor.mean(axis=0)
    error, total = 0.0, np.zeros(4)
    for part, each in zip(listed, factor, strict=True):
        Y = result.model.predict(part).reshape(len(part), 4, own)
        for k in range(1, 5):
            apart = Y[: len(part) - k, k - 1] - part[k:]
            error += np.sum(each * apart**2)
            total[k - 1] += len(apart) * each.sum()
    assert result.fun == pytest.approx(error / total.sum(), rel=1e-9)


def test_of_one_series_it_changes_nothing():
    X, y = series(1)
    one, other = (quick(X, y, dtype="float64", **more) for more in ({}, {"weight": "nse"}))
    np.testing.assert_allclose(one.x, other.x, rtol=1e-9)
    pieces = {"stateful": True, "batch_size": 2, "dtype": "float64"}
    X, y = series(4)
    one, other = (quick(X, y, **pieces, **more) for more in ({}, {"weight": "nse"}))
    np.testing.assert_allclose(one.x, other.x, rtol=1e-9)


def test_members_have_it_too():
    X, y = series()
    many = [
        numlstm.ensemble(X, y, hidden_size=3, epochs=2, members=2, rng=0, standardize=False, **more)
        for more in ({"weight": "nse"}, {"sample_weight": series_weight(y, y == y)[:, 0]})
    ]
    assert [a.theta.tobytes() for a in many[0].models] == [
        b.theta.tobytes() for b in many[1].models
    ]


def test_the_estimator_has_it_too():
    X, y = series()
    options = {"output": "sequence", "epochs": 2, "random_state": 0}
    with_it, without = (
        numlstm.LSTMRegressor(4, weight=weight, **options).fit(X, y) for weight in ("nse", None)
    )
    assert with_it.result_.fun != without.result_.fun
    assert with_it.result_.weight == "nse"


def test_what_is_refused():
    X, y = series()
    with pytest.raises(ValueError, match=r"weight must be one of \['nse'\], received 'kge'"):
        quick(X, y, weight="kge")
    with pytest.raises(ValueError, match="loss='NSE' is loss='mse' with weight='nse'"):
        quick(X, y, loss="NSE")
    with pytest.raises(TypeError, match="sample_weight="):
        quick(X, y, weight=np.ones(6))
    with pytest.raises(ValueError, match="target for every step"):
        quick(X, y[:, -1], weight="nse")
    with pytest.raises(ValueError, match="has classes for targets"):
        quick(X, (y[..., 0] > 7).astype(int), loss="cross_entropy", weight="nse")


def test_units_in_which_the_constant_hides_everything_are_said():
    X, y = series()
    with pytest.warns(UserWarning, match=r"all series are below 0.1.*smaller unit"):
        quick(X, 1e-4 * y, weight="nse")


def test_a_covariance_needs_the_weights(recwarn):
    X, y = series()
    fit = {"hidden_size": 2, "method": "L-BFGS-B", "epochs": 5, "dtype": "float64", "rng": 0}
    result = numlstm.fit(X, y, weight="nse", **fit)
    with pytest.raises(ValueError, match=r"had weight='nse'.*sample_weight"):
        result.covariance(X, y, weight_decay=0.1)
    assert result.covariance(X, y, weight_decay=0.1, sample_weight=weights(y)[:, 0]).dof > 0


def test_it_is_part_of_what_a_run_is(tmp_path):
    X, y = series()
    quick(X, y, weight="nse", checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"differs in.*weight"):
        quick(X, y, checkpoint=tmp_path / "run", resume=True, epochs=5)


# --- windows --------------------------------------------------------------------------------------

WINDOW = {"window": 5, "standardize": False}


def long_series(O=1):  # noqa: E741
    rng = np.random.default_rng(4)
    X = [rng.standard_normal((steps, 2)).astype("float32") for steps in (30, 41, 22)]
    y = [3 + part[:, :1] * 1.5**i * np.arange(1, O + 1) for i, part in enumerate(X)]
    return X, y


def by_hand(y, ends):
    parts = [part[None, :end] for part, end in zip(y, ends, strict=True)]
    return np.concatenate([series_weight(part, ~np.isnan(part)) for part in parts])


@pytest.mark.parametrize("more", [{}, {"predict_last": 3, "batch_size": 8}, {"loss": "mae"}])
@pytest.mark.parametrize("missing", [False, True])
def test_windows_have_the_weights_of_their_series(more, missing):
    X, y = long_series()
    if missing:
        y[1][5:9] = np.nan
    options = WINDOW | more | {"nan_policy": "omit", "dtype": "float64"}
    weight = by_hand(y, map(len, y))[:, 0]
    one, other = (
        quick(X, y, **options, **own) for own in ({"weight": "nse"}, {"sample_weight": weight})
    )
    np.testing.assert_allclose(one.x, other.x, rtol=1e-10)
    assert one.fun == pytest.approx(other.fun, rel=1e-12)
    assert one.weight == "nse"
    plain = quick(X, y, **options)
    assert abs(plain.fun - one.fun) > 1e-3 * one.fun


def test_windows_with_weights_of_steps_too():
    X, y = long_series()
    own = [np.random.default_rng(0).integers(1, 5, len(part)).astype(float) for part in X]
    factor = by_hand(y, map(len, y))[:, 0]
    both = [part * each for part, each in zip(own, factor, strict=True)]
    options = WINDOW | {"dtype": "float64"}
    one = quick(X, y, weight="nse", sample_weight=own, **options)
    np.testing.assert_allclose(one.x, quick(X, y, sample_weight=both, **options).x, rtol=1e-10)


def test_a_cut_in_time_has_the_deviations_of_what_is_learned_from():
    X, y = long_series()
    cuts = [22, 31, 16]  # of 30, 41 and 22 steps
    judge = {"X": X, "y": y, "sample_weight": by_hand(y, cuts)[:, 0]}
    one = quick(X, y, weight="nse", validation=0.25, **WINDOW)
    other = quick(X, y, sample_weight=by_hand(y, cuts)[:, 0], validation=0.25, **WINDOW)
    for name, values in one.history.items():
        np.testing.assert_allclose(values, other.history[name], rtol=1e-6)
    apart = quick(X, y, weight="nse", validation=(X, y), **WINDOW)
    judge["sample_weight"] = by_hand(y, map(len, y))[:, 0]
    own = quick(X, y, sample_weight=judge["sample_weight"], validation=judge, **WINDOW)
    np.testing.assert_allclose(
        apart.history["validation_loss"], own.history["validation_loss"], rtol=1e-6
    )


def test_several_targets_of_windows_count_alike():
    X, y = long_series(O=2)
    y[0][4, 1] = np.nan
    factor = by_hand(y, map(len, y))
    factor /= factor.mean(axis=0)
    result = quick(
        X, y, weight="nse", nan_policy="omit", window=5, epochs=1, learning_rate=1e-30
    )  # fmt: skip
    scale, error, count = result.model.scaling.y_scale, 0.0, 0.0
    for truth, Y, own in zip(y, result.model.predict(X), factor, strict=True):
        there = ~np.isnan(truth[4:]) * own
        error += np.sum(there * np.nan_to_num((Y[4:] - truth[4:]) / scale) ** 2)
        count += np.sum(there)
    assert result.fun == pytest.approx(error / count, rel=1e-5)


def test_the_moments_of_windows_are_those_without_it():
    X, y = long_series()
    plain, weighted = (quick(X, y, window=5, **more) for more in ({}, {"weight": "nse"}))
    for part, own in zip(plain.model.scaling, weighted.model.scaling, strict=True):
        np.testing.assert_array_equal(part, own)


def test_the_weights_of_windows_have_the_same_bits_from_any_source():
    X, y = long_series()
    whole = [np.stack([part[:22] for part in parts]) for parts in (X, y)]
    options = {"window": 5, "weight": "nse", "validation": 0.3}
    first = quick(*whole, **options)
    same(quick(*map(list, whole), **options), first)
    same(quick(*map(Sliced, whole), **options), first)
