"""numlstm.objective: one function of the flat vector, its derivatives, and nothing else touched."""

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize

import numlstm

LOSSES = ["mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "gaussian_nll"]


def data(B=5, T=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((B, T, 2))
    return X, np.cumsum(X[..., :1], axis=1)


def case(loss="mse", **options):
    """An objective, and a theta that is not the model's."""
    X, y = data()
    outputs = {"cross_entropy": 3, "gaussian_nll": 2}.get(loss, 1)
    if loss == "cross_entropy":
        y = (np.abs(y[..., 0]) * 2).astype(int) % 3
    elif loss == "binary_cross_entropy":
        y = (y > 0).astype(float)
    model = numlstm.LSTM(2, 3, outputs, dtype="float64", rng=0)
    fun = numlstm.objective(model, X, y, loss=loss, **options)
    return fun, np.random.default_rng(1).normal(0, 0.5, model.theta.size), model


def ragged(**options):
    """Ragged lists with weights and missing targets, for a model of every kind of parameter."""
    rng = np.random.default_rng(3)
    X = [rng.standard_normal((n, 2)) for n in (6, 2, 4)]
    y = [np.cumsum(part[:, :1], axis=0) for part in X]
    y[0][2] = np.nan
    model = numlstm.LSTM(
        *(2, 3, 1), bidirectional=True, cell={"peephole": True, "layer_norm": True}, proj_size=2,
        learned_state=True, dtype="float64", rng=0, backend="reference",
    )  # fmt: skip
    weights = [rng.random(len(part)) + 0.5 for part in X]
    fun = numlstm.objective(model, X, y, sample_weight=weights, nan_policy="omit", **options)
    return fun, rng.normal(0, 0.4, model.theta.size), model


def difference(function, theta, v, h=1e-6):
    return (function(theta + h * v) - function(theta - h * v)) / (2 * h)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_gradient_and_hessian_are_the_derivatives(loss, weight_decay):
    fun, theta, _ = case(loss, weight_decay=weight_decay)
    v = np.random.default_rng(2).standard_normal(theta.size)
    value, gradient = fun(theta)
    assert fun.value(theta) == pytest.approx(value, rel=1e-13)
    np.testing.assert_array_equal(fun.gradient(theta), gradient)
    assert gradient @ v == pytest.approx(difference(fun.value, theta, v), rel=1e-6)
    np.testing.assert_allclose(
        fun.hessp(theta, v), difference(fun.gradient, theta, v), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("make", [case, ragged])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_residuals_and_their_derivatives(make, weight_decay):
    fun, theta, _ = make(weight_decay=weight_decay)
    rng = np.random.default_rng(2)
    v, u = rng.standard_normal(theta.size), rng.standard_normal(fun.num_residuals)
    r, J = fun.residuals(theta), fun.jacobian(theta)
    total = fun.data.weight.sum()
    assert r.shape == (fun.num_residuals,)
    assert J.shape == (r.size, theta.size)
    value, gradient = fun(theta)
    assert r @ r / total == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(2 / total * J.T @ r, gradient, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(J @ v, difference(fun.residuals, theta, v), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fun.jvp(theta, v), J @ v, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(fun.vjp(theta, u), J.T @ u, rtol=1e-11, atol=1e-13)
    operator = fun.linear_operator(theta)
    np.testing.assert_allclose(operator @ v, J @ v, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(operator.T @ u, J.T @ u, rtol=1e-11, atol=1e-13)


def test_the_hessian_is_symmetric():
    fun, theta, _ = ragged(weight_decay=0.1)
    rng = np.random.default_rng(0)
    for _ in range(5):
        v, w = rng.standard_normal((2, theta.size))
        forth, back = w @ fun.hessp(theta, v), v @ fun.hessp(theta, w)
        assert abs(forth - back) <= 1e-11 * np.linalg.norm(fun.hessp(theta, v)) * np.linalg.norm(w)


def test_one_target_per_sequence_and_tall_jacobians_by_either_mode():
    X, y = data(60, 4)
    for rows in (4, 60):  # fewer residuals than parameters, and more
        model = numlstm.LSTM(2, 2, 1, dtype="float64", rng=0)
        fun = numlstm.objective(model, X[:rows], y[:rows, -1])
        J = fun.jacobian(model.theta)
        units = np.eye(rows)
        rowwise = np.array([fun.vjp(model.theta, unit) for unit in units])
        np.testing.assert_allclose(J, rowwise, rtol=1e-11, atol=1e-14)


def test_nothing_is_changed_and_nothing_kept():
    X, y = data()
    model = numlstm.LSTM(2, 3, 1, dtype="float64", rng=0)
    before = X.copy(), y.copy(), model.theta.copy()
    fun = numlstm.objective(model, X, y)
    theta = np.full(model.theta.size, 0.1)
    first = fun(theta)
    theta.flags.writeable = False
    for call in (fun, fun.value, fun.gradient, fun.residuals, fun.jacobian):
        call(theta)
    fun.hessp(theta, theta)
    for one, other in zip((X, y, model.theta), before, strict=True):
        np.testing.assert_array_equal(one, other)
    X[...], y[...], model.theta = 0, 0, np.ones(model.theta.size)
    again = fun(theta)
    assert again[0] == first[0]
    np.testing.assert_array_equal(again[1], first[1])


def test_a_trained_model_lends_its_units():
    X, y = data(12)
    result = numlstm.fit(100 + 7 * X, 50 + 3 * y, hidden_size=3, epochs=3, dtype="float64", rng=0)
    fun = numlstm.objective(result.model, 100 + 7 * X, 50 + 3 * y)
    assert fun.value(result.x) == pytest.approx(result.fun, rel=1e-12)


def test_scipy_takes_it_as_it_is():
    fun, theta, _ = case(weight_decay=1e-3)
    newton = minimize(
        fun, theta, jac=True, hessp=fun.hessp, method="trust-ncg", options={"maxiter": 200}
    )
    assert newton.success
    assert np.linalg.norm(newton.jac) < 1e-4
    squares = least_squares(fun.residuals, newton.x, fun.jacobian)
    assert squares.cost * 2 / fun.data.weight.sum() <= newton.fun * (1 + 1e-9)


def test_a_float32_model_takes_and_gives_float64():
    X, y = data()
    model = numlstm.LSTM(2, 3, 1, rng=0)
    fun, theta = numlstm.objective(model, X, y), model.theta.astype(np.float64)
    exact = numlstm.LSTM(2, 3, 1, rng=0, dtype="float64")
    expected = numlstm.objective(exact, X, y)
    for name in ("gradient", "residuals", "jacobian"):
        result = getattr(fun, name)(theta)
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, getattr(expected, name)(theta), rtol=1e-3, atol=1e-5)
    assert fun.hessp(theta, theta).dtype == np.float64


def test_sizes_are_refused_by_name():
    fun, theta, _ = case()
    n, m = theta.size, fun.num_residuals
    for call in (fun, fun.value, fun.residuals, fun.jacobian, fun.linear_operator):
        with pytest.raises(
            ValueError, match=rf"theta must have {n} entries, in the order weight_ih_l0 \(12, 2\)"
        ):
            call(theta[:-1])
    with pytest.raises(ValueError, match=rf"v must have {n} entries.*received shape \(3,\)"):
        fun.hessp(theta, np.zeros(3))
    with pytest.raises(ValueError, match=rf"v must have {n} entries"):
        fun.jvp(theta, np.zeros((n, 1)))
    with pytest.raises(ValueError, match=rf"u must have {m} entries, one per residual"):
        fun.vjp(theta, np.zeros(m + 1))
    with pytest.raises(TypeError, match="theta must hold real numbers"):
        fun(theta + 1j)
    with pytest.raises(TypeError, match="v must hold real numbers"):
        fun.jvp(theta, theta + 1j)
    with pytest.raises(TypeError, match="u must hold real numbers"):
        fun.vjp(theta, np.full(m, 1j))


def test_lists_are_vectors_too():
    fun, theta, _ = case()
    v, u = theta[::-1].tolist(), np.linspace(-1, 1, fun.num_residuals).tolist()
    for name, others in (("hessp", [v]), ("jvp", [v]), ("vjp", [u]), ("residuals", [])):
        method = getattr(fun, name)
        expected = method(theta, *map(np.array, others))
        np.testing.assert_array_equal(method(theta.tolist(), *others), expected)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "mine"}, TypeError, r"model must be a numlstm\.LSTM"),
        ({"loss": "l2"}, ValueError, "loss must be one of"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be >= 0"),
        ({"output": "all"}, ValueError, "output must be one of"),
        ({"nan_policy": "drop"}, ValueError, "nan_policy must be one of"),
        ({"loss": "gaussian_nll"}, ValueError, "has 1 outputs.*need 2"),
        ({"loss": "binary_cross_entropy"}, ValueError, "needs targets between 0 and 1"),
        ({"y": np.zeros((5, 6, 2))}, ValueError, "has 1 outputs.*need 2"),
        ({"X": np.zeros((5, 6, 3))}, ValueError, r"\(B, T, 2\), received \(5, 6, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, error, words):
    X, y = data()
    given = {"model": numlstm.LSTM(2, 3, 1), "X": X, "y": y} | options
    with pytest.raises(error, match=words):
        numlstm.objective(**given)


def test_residuals_are_of_squares_alone():
    fun, theta, _ = case("huber")
    with pytest.raises(ValueError, match=r"residuals are those of loss='mse'.*loss='huber'"):
        fun.residuals(theta)
