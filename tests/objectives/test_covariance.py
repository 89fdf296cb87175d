"""Covariances against scipy.optimize.curve_fit, bands against what they promise."""

import re

import numpy as np
import pytest
from scipy.optimize import OptimizeWarning, curve_fit

import numlstm
from numlstm.objectives import directions


def data(B=12, T=10, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((B, T, 1))
    y = np.zeros_like(X)
    for t in range(1, T):
        y[:, t] = np.tanh(0.6 * y[:, t - 1] + 0.5 * X[:, t])
    return X, y + noise * rng.standard_normal(X.shape)


def fitted(X, y=None, **options):
    given = {"hidden_size": 2, "dtype": "float64", "rng": 0, "epochs": 60, "method": "L-BFGS-B"}
    return numlstm.fit(X, y, **given | options)


@pytest.mark.parametrize("absolute_sigma", [False, True])
def test_it_is_what_curve_fit_says(absolute_sigma):
    X, _ = data()
    sigma = np.linspace(0.05, 0.2, len(X))
    model = numlstm.LSTM(1, 2, 1, init={"weights": "uniform"}, dtype="float64", rng=2)
    model.theta *= 2
    y = model.predict(X) + sigma[:, None, None] * np.random.default_rng(1).standard_normal(X.shape)
    result = fitted(
        *(X, y), method="least_squares", limits={"fixed": ["weight_hh_l0", "bias_l0"]}, epochs=100,
        sample_weight=1 / sigma**2, model=model, hidden_size=2, standardize=False,
    )  # fmt: skip
    assert result.success
    model, free = result.model, np.ones(35, bool)
    free[8 : 8 + 16 + 8] = False

    def predict(_, *values):
        theta = result.x.copy()
        theta[free] = values
        model.theta = theta
        return model.predict(X).ravel()

    every = np.repeat(sigma, X.shape[1])
    _, expected = curve_fit(
        predict, np.arange(y.size), y.ravel(), p0=result.x[free], sigma=every,
        absolute_sigma=absolute_sigma,
    )  # fmt: skip
    covariance = result.covariance(X, y, absolute_sigma=absolute_sigma, sample_weight=1 / sigma**2)
    C = covariance.matrix
    assert C.shape == (35, 35)
    assert not C[~free].any()
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(C[np.ix_(free, free)] / scale, expected / scale, atol=0.02)
    errors = np.concatenate([part.ravel() for part in covariance.stderr.values()])
    np.testing.assert_allclose(errors, np.sqrt(np.diag(C)), rtol=1e-12)
    np.testing.assert_array_equal(covariance.model.theta, result.x)


def test_it_is_shown_in_short():
    X, y = data()
    with pytest.warns(UserWarning, match="count as certain"):
        covariance = fitted(X, y, epochs=5).covariance(X, y, rank=7)
    words = r"^<Covariance of 35 parameters in 7 directions: sigma [\d.e-]+, dof [\d.]+>$"
    assert re.match(words, repr(covariance))
    assert f"{covariance.sigma:.4g}" in repr(covariance)


def test_bands_are_the_delta_method_in_the_units_of_the_data():
    X, y = data()
    result = fitted(X, 100 + 20 * y, weight_decay=1e-3)
    covariance = result.covariance(X, 100 + 20 * y, weight_decay=1e-3)
    band = covariance.predict(X, level=0.9)
    np.testing.assert_allclose(band.mean, result.model.predict(X), rtol=1e-12)
    gradient = np.zeros(result.x.size)
    model, h = covariance.model, 1e-6
    for i in range(gradient.size):
        ends = []
        for sign in (1, -1):
            model.theta[i] += sign * h
            ends.append(model.predict(X[2:3])[0, 7, 0])
            model.theta[i] -= sign * h
        gradient[i] = (ends[0] - ends[1]) / (2 * h)
    expected = np.sqrt(gradient @ covariance.matrix @ gradient)
    assert band.std[2, 7, 0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(band.upper - band.mean, band.mean - band.lower, rtol=1e-9)
    assert 1.6 < ((band.upper - band.mean) / band.std).mean() < 1.8  # of 90 %
    wider = covariance.predict(X, noise=True)
    spread = np.sqrt(wider.std**2 - band.std**2) / result.model.scaling.y_scale
    np.testing.assert_allclose(spread, covariance.sigma, rtol=1e-6)


def test_bands_cover_what_they_promise():
    X, truth = data(40, 12, noise=0.0, seed=1)
    inside = []
    for seed in range(4):
        y = truth + 0.2 * np.random.default_rng(10 + seed).standard_normal(truth.shape)
        result = fitted(X, y, weight_decay=1e-4, epochs=200)
        covariance = result.covariance(X, y, weight_decay=1e-4)
        band = covariance.predict(X)
        inside.append(((band.lower < truth) & (truth < band.upper)).mean())
        new = covariance.predict(X, noise=True)
        fresh = truth + 0.2 * np.random.default_rng(100 + seed).standard_normal(truth.shape)
        assert 0.9 < ((new.lower < fresh) & (fresh < new.upper)).mean() < 0.99
    assert 0.8 < np.mean(inside) <= 1


def test_bands_take_every_form_of_input():
    X, y = data()
    result = fitted(X, y, weight_decay=1e-2, epochs=20)
    covariance = result.covariance(X, y, weight_decay=1e-2)
    whole = covariance.predict(X)
    single = covariance.predict(X[3])
    assert single.std.shape == (10, 1)
    np.testing.assert_allclose(single.std, whole.std[3], rtol=1e-9)
    listed = covariance.predict([X[3], X[4, :6]])
    for part, expected in zip(listed.upper, (whole.upper[3], whole.upper[4, :6]), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-9)
    last = fitted(X, y[:, -1], weight_decay=1e-2, epochs=20)
    band = last.covariance(X, y[:, -1], weight_decay=1e-2).predict(X)
    assert band.std.shape == (12, 1)
    assert (band.std > 0).all()


def test_low_rank_is_the_best_determined_part():
    X, y = data()
    result = fitted(X, y, epochs=20)
    whole = result.covariance(X, y, absolute_sigma=True)
    with pytest.warns(OptimizeWarning, match=r"of the 35 free .* 5 were computed") as caught:
        part = result.covariance(X, y, absolute_sigma=True, rank=5)
    assert [warning.filename for warning in caught] == [__file__]
    values = 1 / np.linalg.norm(whole.factor, axis=0) ** 2
    share = float(re.search(r"a share of (\S+) of trace", str(caught[0].message))[1])
    assert share == pytest.approx(values[5:].sum() / values.sum(), rel=0.5)
    assert part.factor.shape == (result.x.size, 5)
    np.testing.assert_allclose(
        part.matrix, whole.factor[:, :5] @ whole.factor[:, :5].T, rtol=1e-6, atol=1e-12
    )


def test_above_1000_parameters_bands_are_those_of_all_directions(monkeypatch):
    """With weight_decay from the leading ones and the prior, without from all."""
    X, y = data(25, 24)
    result = fitted(X, y, hidden_size=16, weight_decay=1e-2, epochs=10, limits={"fixed": "bias_l0"})
    assert result.x.size == 1169
    few = result.covariance(X, y, weight_decay=1e-2)
    assert few.factor.shape == (1169, 100)
    known = {"absolute_sigma": True}
    exact = result.covariance(X, y, **known)  # all that 600 residuals determine
    with monkeypatch.context() as patch:
        patch.setattr(directions, "_FULL", 2000)
        whole = result.covariance(X, y, weight_decay=1e-2)
        np.testing.assert_array_equal(result.covariance(X, y, **known).factor, exact.factor)
    assert whole.factor.shape == (1169, 1105)
    assert few.sigma == pytest.approx(whole.sigma, rel=1e-3)
    assert few.dof == pytest.approx(whole.dof, rel=1e-3)
    fresh = np.random.default_rng(5).standard_normal((3, 24, 1))
    band, expected = few.predict(fresh), whole.predict(fresh)
    np.testing.assert_allclose(band.std, expected.std, rtol=0.01)
    scale = np.abs(whole.matrix).max()
    np.testing.assert_allclose(few.matrix, whole.matrix, atol=0.02 * scale)
    for name, errors in few.stderr.items():
        np.testing.assert_allclose(errors, whole.stderr[name], rtol=0.02)
    assert not few.stderr["bias_l0"].any()
    assert not few.matrix[few.rest == 0].any()


@pytest.mark.parametrize("decay", [0.0, 1e-6, 1e-3, 1.0])
@pytest.mark.parametrize(("hidden_size", "fixed"), [(16, ()), (17, ("bias_l0", "head_weight"))])
def test_above_1000_parameters_it_is_that_of_the_whole_jacobian(decay, hidden_size, fixed):
    """As the formula says, from `objective.jacobian` and NumPy alone."""
    X, y = data(20, 12)
    options = {"hidden_size": hidden_size, "limits": {"fixed": list(fixed)}, "epochs": 10}
    result = fitted(X, y, standardize=False, weight_decay=decay, **options)
    held = numlstm.LSTM.from_spec(result.model.spec, "cpu", np.zeros(result.x.size))
    for name in fixed:
        held.params[name] = np.ones_like(held.params[name])
    free = held.theta == 0
    assert free.sum() > 1000
    J = numlstm.objective(result.model, X, y).jacobian(result.x)[:, free]
    _, values, vectors = np.linalg.svd(J)
    values = np.pad(values, (0, len(vectors) - values.size))
    kept = np.ones(values.size, bool)
    if decay == 0:
        kept = values > np.finfo(float).eps * len(vectors) * values[0]
    variance = 1 / (np.square(values[kept]) + 0.5 * decay * y.size)
    expected = (vectors[kept].T * variance) @ vectors[kept]
    covariance = result.covariance(X, y, weight_decay=decay, absolute_sigma=True)
    assert not covariance.matrix[~free].any()
    scale = np.abs(expected).max()
    if decay > 0:  # of what is hardly determined rounding decides
        matrix = covariance.matrix[np.ix_(free, free)]
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=0.02 * scale)
        errors = np.concatenate([part.ravel() for part in covariance.stderr.values()])
        np.testing.assert_allclose(errors[free], np.sqrt(np.diag(expected)), rtol=0.02)
    band = np.linalg.norm(J @ vectors[kept].T * np.sqrt(variance), axis=1)
    np.testing.assert_allclose(covariance.predict(X).std.ravel(), band, rtol=0.02)


@pytest.mark.parametrize("decay", [1e-4, 1e-2, 1.0])
def test_low_rank_takes_the_prior_for_the_others(monkeypatch, decay):
    X, y = data(30, 10)
    result = fitted(X, y, hidden_size=4, weight_decay=decay, epochs=30)
    whole = result.covariance(X, y, weight_decay=decay)
    monkeypatch.setattr(directions, "_FULL", 20)
    monkeypatch.setattr(directions, "_LEADING", 4)
    few = result.covariance(X, y, weight_decay=decay)
    np.testing.assert_allclose(few.predict(X).std, whole.predict(X).std, rtol=0.011)
    with pytest.warns(OptimizeWarning, match="weight_decay alone, which makes bands too wide"):
        wide = result.covariance(X, y, weight_decay=decay, rank=1)
    assert (wide.predict(X).std / wide.sigma >= 0.999 * whole.predict(X).std / whole.sigma).all()


def test_what_directions_that_are_left_out_fit_is_no_noise():
    X, y = data(30, 10)
    result = fitted(X, y, hidden_size=4, weight_decay=3e-3, epochs=30)
    whole = result.covariance(X, y, weight_decay=3e-3)
    with pytest.warns(OptimizeWarning, match="have the variance of the weight_decay alone"):
        few = result.covariance(X, y, weight_decay=3e-3, rank=20)
    assert few.dof == pytest.approx(whole.dof, abs=0.2)  # 0.6 of a parameter is in the others


def test_directions_that_count_as_certain_are_said(monkeypatch):
    """Where the Jacobian is too large to be formed, and nothing was known before."""
    X, y = data(30, 10)
    result = fitted(X, y, hidden_size=4, epochs=30)
    whole = result.covariance(X, y, absolute_sigma=True)
    monkeypatch.setattr(directions, "_FULL", 20)
    monkeypatch.setattr(directions, "_LEADING", 4)
    monkeypatch.setattr(directions, "_LARGEST", 1000)
    with pytest.warns(OptimizeWarning, match="count as certain, which makes bands too nar") as seen:
        part = result.covariance(X, y, absolute_sigma=True)
    computed = part.factor.shape[1]
    assert 4 < computed < 101 / 4  # doubled, until a quarter would not do
    assert not part.rest.any()
    values = 1 / np.linalg.norm(whole.factor, axis=0) ** 2
    share = float(re.search(r"a share of (\S+) of trace", str(seen[0].message))[1])
    assert share == pytest.approx(values[computed:].sum() / values.sum(), rel=0.7)
    narrow, band = part.predict(X).std, whole.predict(X).std
    assert (narrow < band).all()


def test_the_trace_that_is_left_out_is_estimated():
    X, y = data(30, 10)
    result = fitted(X, y, hidden_size=4, epochs=30)
    fun = numlstm.objective(result.model, X, y)
    J = fun.jacobian(result.x)
    jacobian = directions.Jacobian(fun, result.x, np.ones(101, bool), np.ones(300))
    for rank in (1, 5, 30):
        found = jacobian.directions(rank, 0.0)
        left = np.square(J).sum() - np.square(found.values).sum()
        assert found.left == pytest.approx(left, rel=0.7)
        assert found.share == pytest.approx(left / np.square(J).sum(), rel=0.7)
    assert jacobian.directions(None, 0.0).share == 0


def test_products_in_units_are_those_of_the_matrix():
    X, y = data(4, 5)
    model = numlstm.LSTM(1, 2, 1, dtype="float64", rng=0)
    fun, rng = numlstm.objective(model, X, y), np.random.default_rng(1)
    free, units = np.arange(35) % 3 > 0, rng.uniform(0.5, 20, 20)
    J = units[:, None] * fun.jacobian(model.theta)[:, free]
    operator = directions.Jacobian(fun, model.theta, free, units).operator
    for product, matrix in ((operator.matvec, J), (operator.rmatvec, J.T)):
        vector = rng.standard_normal(matrix.shape[1])
        np.testing.assert_allclose(product(vector), matrix @ vector, rtol=1e-9)


def test_a_bar_counts_products_with_the_jacobian(capsys):
    X, y = data()
    result = fitted(X, y, epochs=5)
    result.covariance(X, y, absolute_sigma=True)
    assert capsys.readouterr().err == ""  # no terminal
    result.covariance(X, y, absolute_sigma=True, progress=True)
    shown = capsys.readouterr().err
    assert "covariance" in shown
    assert "/35" in shown
    with pytest.raises(TypeError, match="progress must be True or False"):
        result.covariance(X, y, progress="yes")


def test_a_covariance_without_the_targets_of_the_fit_is_refused():
    X, y = data()
    result = fitted(X, y, epochs=2)
    assert not result.forecast
    with pytest.raises(ValueError, match=r"this fit had a y, .* pass the y of the fit"):
        result.covariance(X, absolute_sigma=True)
    forecast = fitted(X, epochs=2)
    assert forecast.forecast
    given = X[:, :-1], X[:, 1:]
    one = forecast.covariance(X, absolute_sigma=True).matrix
    other = forecast.covariance(*given, absolute_sigma=True).matrix
    np.testing.assert_array_equal(one, other)
    same = fitted(*given, epochs=2)  # the next inputs, but said
    with pytest.raises(ValueError, match="this fit had a y"):
        same.covariance(X, absolute_sigma=True)


def test_float32_fits_are_judged_in_float64():
    X, y = data()
    result = fitted(X, y, dtype="float32", weight_decay=1e-2, epochs=20)
    covariance = result.covariance(X, y, weight_decay=1e-2)
    assert covariance.factor.dtype == covariance.predict(X).std.dtype == np.float64
    assert result.model.spec.dtype == "float32"


def test_what_cannot_be_judged_is_refused():
    X, y = data(2, 4)
    result = fitted(X, y, epochs=2)
    with pytest.raises(ValueError, match="8 residuals leave nothing to estimate the noise from"):
        result.covariance(X, y)
    covariance = result.covariance(X, y, absolute_sigma=True)
    with pytest.raises(ValueError, match="noise=True needs the spread"):
        covariance.predict(X, noise=True)
    with pytest.raises(ValueError, match="level must be > 0 and < 1"):
        covariance.predict(X, level=95)
    with pytest.raises(ValueError, match="rank must be an integer >= 1"):
        result.covariance(X, y, rank=0)
    with pytest.raises(ValueError, match="weight_decay must be >= 0"):
        result.covariance(X, y, weight_decay=-0.5)


@pytest.mark.parametrize("loss", ["mae", "huber", "gaussian_nll"])
def test_other_losses_than_squares_are_refused(loss):
    X, y = data(2, 4)
    result = fitted(X, y, loss=loss, epochs=2)
    assert result.loss == loss
    with pytest.raises(ValueError, match=f"this fit minimised loss='{loss}'"):
        result.covariance(X, y, absolute_sigma=True)


def test_the_spread_of_low_rank_has_the_part_of_the_other_directions():
    X, y = data()
    with pytest.warns(OptimizeWarning, match="the variance of the weight_decay alone"):
        covariance = fitted(X, y).covariance(X, y, weight_decay=0.1, rank=5)
    assert covariance.rest.any()
    J = np.random.default_rng(0).standard_normal((4, covariance.matrix.shape[0]))
    expected = np.einsum("mi,ij,mj->m", J, covariance.matrix, J)
    np.testing.assert_allclose(covariance._spread(J), expected, rtol=1e-10)
