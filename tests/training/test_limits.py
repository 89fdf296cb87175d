"""Parameters held still, bounds and constraints, for every method that fit has."""

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, minimize

import numlstm
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.methods import BOUNDED, CONSTRAINED, HESSIAN, METHODS


def data(B=10, T=8, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((B, T, 2))
    return X, np.cumsum(X[..., :1], axis=1)


def quick(**options):
    given = {"hidden_size": 2, "epochs": 4, "dtype": "float64", "rng": 0, **options}
    return numlstm.fit(*data(), **given)


def start(**options):
    """The parameters that a fit of `quick` begins with."""
    return quick(epochs=1, learning_rate=1e-300, **options).model.params


@pytest.mark.parametrize("method", [*OPTIMIZERS, *METHODS])
def test_what_is_fixed_stays(method):
    names = ["weight_hh_l0", "head_bias"]
    result = quick(method=method, limits={"fixed": names}, weight_decay=0.1)
    begin = start()
    assert result.fixed == tuple(names)
    assert len(result.history["loss"]) == result.nit > 0
    assert result.fun < result.history["loss"][0] or result.nit == 1
    for name, value in result.model.params.items():
        same = np.allclose(value, begin[name], rtol=0, atol=1e-200)
        assert same == (name in names), name


@pytest.mark.parametrize("method", [*OPTIMIZERS, *BOUNDED])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_hold_exactly(method, dtype):
    upper = np.full(8, 1.1)
    bounds = {"weight_ih_l0": (-0.1, 0.1), "bias_l0": (None, upper), "head_weight": (0, None)}
    result = quick(
        method=method, limits={"bounds": bounds}, dtype=dtype, learning_rate=None, epochs=3
    )
    params = result.model.params
    assert np.abs(params["weight_ih_l0"].astype(np.float64)).max() <= 0.1
    assert (params["bias_l0"].astype(np.float64) <= 1.1).all()
    assert (params["head_weight"] >= 0).all()
    assert result.nit > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_beyond_all_numbers_of_the_type_bind_nothing(dtype):
    wide = {"bias_l0": (-1e300, np.full(8, 1e300)), "head_bias": (np.float32(-9), np.array(9))}
    result = quick(limits={"bounds": wide}, dtype=dtype)
    assert result.x.tobytes() == quick(dtype=dtype).x.tobytes()
    tiny = quick(limits={"bounds": {"bias_l0": (1e-60, None)}}, dtype=dtype).model.params
    assert (tiny["bias_l0"] > 0).all()


def test_bounds_reach_scipy_as_bounds():
    bounded = quick(method="L-BFGS-B", limits={"bounds": {"weight_ih_l0": (-0.1, 0.1)}}, epochs=60)
    assert np.isclose(np.abs(bounded.model.params["weight_ih_l0"]), 0.1).any()
    assert bounded.fun < 0.6 * bounded.history["loss"][0]


@pytest.mark.parametrize("method", [m for m in BOUNDED if m != "trust-constr"])
def test_no_method_is_only_brought_back_to_its_bounds(method):
    """The loss that it reports is that of the model, which lies within them."""
    result = quick(method=method, limits={"bounds": {"weight_ih_l0": (-0.1, 0.1)}}, epochs=3)
    fun = numlstm.objective(result.model, *data())
    assert fun.value(result.x) == pytest.approx(result.history["loss"][-1], rel=1e-9)


def test_a_method_that_ends_outside_is_brought_back_and_says_so():
    bounds = {"weight_ih_l0": (-0.1, 0.1)}
    result = quick(method="trust-constr", limits={"bounds": bounds}, epochs=3)
    assert np.abs(result.model.params["weight_ih_l0"]).max() <= 0.1
    assert "outside of the bounds; the model is at the nearest point" in result.message
    inside = quick(method="L-BFGS-B", limits={"bounds": bounds}, epochs=3)
    assert "outside" not in inside.message


@pytest.mark.parametrize("method", CONSTRAINED)
@pytest.mark.parametrize("fixed", [None, "bias_l0"])
def test_constraints_on_the_whole_vector(method, fixed):
    n = quick(epochs=1).x.size
    tie = np.zeros((1, n))
    tie[0, :2] = 1, -1  # two input weights are to be the same
    # SLSQP has no use for a Hessian, and says so
    hess = {"hess": lambda theta, v: 2 * v[0] * np.eye(n)} if method == "trust-constr" else {}
    constraints = [
        LinearConstraint(tie, 0, 0),
        NonlinearConstraint(
            lambda theta: theta @ theta, 0, 4, jac=lambda theta: 2 * theta[None], **hess
        ),
    ]
    result = quick(method=method, limits={"constraints": constraints, "fixed": fixed}, epochs=60)
    assert abs(result.x[0] - result.x[1]) < 1e-3
    assert result.x @ result.x < 4.05
    if fixed:
        bias = start()["bias_l0"]
        np.testing.assert_allclose(result.model.params["bias_l0"], bias, rtol=0, atol=1e-200)


def test_scipys_words_and_numbers_are_kept():
    result = quick(method="least_squares", options={"max_nfev": 2})
    assert (result.success, result.status) == (False, 0)
    assert "maximum number of function evaluations" in result.message
    result = quick(method="least_squares", options={"ftol": 0.5}, epochs=30)
    assert (result.success, result.status) == (True, 2)
    assert "`ftol` termination condition is satisfied." in result.message
    result = quick(method="trust-ncg", options={"gtol": 1e3})
    assert (result.success, result.status) == (True, 0)


@pytest.mark.parametrize("how", ["trf", "dogbox", "lm"])
def test_least_squares_of_every_kind(how):
    seen = []
    result = quick(
        method="least_squares", options={"method": how}, epochs=6,
        callback=lambda intermediate_result: seen.append(intermediate_result.fun),
    )  # fmt: skip
    assert seen == result.history["loss"].tolist()
    assert result.nit == len(seen) <= 6
    assert result.nfev >= result.nit
    assert result.fun < 0.9 * seen[0]


@pytest.mark.parametrize("how", ["trf", "dogbox", "lm"])
def test_the_last_iterate_of_least_squares_is_in_the_history(how):
    result = quick(method="least_squares", options={"method": how, "ftol": 0.5}, epochs=30)
    assert result.success
    fun = numlstm.objective(result.model, *data())
    assert fun.value(result.x) == pytest.approx(result.history["loss"][-1], rel=1e-9)


def test_least_squares_without_a_matrix_is_the_same():
    dense = quick(method="least_squares", epochs=3, options={"tr_solver": "exact"})
    free = quick(
        method="least_squares", epochs=3, options={"tr_solver": "lsmr"}, limits={"fixed": "bias_l0"}
    )
    assert free.fun < dense.history["loss"][0]


@pytest.mark.parametrize("how", ["trf", "lm"])
def test_least_squares_minimises_the_penalty_too(how):
    result = quick(
        method="least_squares", options={"method": how}, weight_decay=0.3, epochs=40,
        standardize=False,
    )  # fmt: skip
    fun = numlstm.objective(result.model, *data(), weight_decay=0.3)
    best = minimize(fun, result.x, jac=True, method="L-BFGS-B")
    assert fun.value(result.x) <= 1.001 * best.fun


def test_callbacks_may_end_least_squares():
    def stop(result):
        if result.nit == 2:
            raise StopIteration

    for how in ("trf", "dogbox", "lm"):
        result = quick(method="least_squares", options={"method": how}, callback=stop)
        assert (result.nit, result.status) == (2, 99)

    def fail(result):
        raise RuntimeError("mine")

    for how in ("trf", "lm"):
        with pytest.raises(RuntimeError, match="mine"):
            quick(method="least_squares", options={"method": how}, callback=fail)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"limits": {"fixed": {"head_bias": 0.7}}}, TypeError, "what is fixed keeps its"),
        ({"limits": {"fixed": "head_bias", "bounds": {"head_bias": (0, 1)}}}, ValueError,
         "leave one of them out"),
        ({"limits": {"fixed": "weights"}}, ValueError,
         r"fixed names 'weights', but the parameters.*'bias_l0'"),
        ({"limits": {"fixed": [3]}}, TypeError, "fixed must hold names"),
        ({"limits": {"fixed": numlstm.LSTM(2, 2, 1).params}}, ValueError, "nothing left to fit"),
        ({"limits": {"bounds": Bounds(0, 1)}}, TypeError, "bounds must be a dict"),
        ({"limits": {"bounds": {"b": (0, 1)}}}, ValueError, "bounds names 'b'"),
        ({"limits": {"bounds": {"bias_l0": 1}}}, ValueError, r"must be a pair \(lower, upper\)"),
        ({"limits": {"bounds": {"bias_l0": (1, 0)}}}, ValueError, "lies above its upper bound"),
        ({"limits": {"bounds": {"bias_l0": (np.zeros(3), 1)}}}, ValueError,
         r"arrays of shape \(8,\)"),
        ({"limits": {"bounds": {"bias_l0": (0, 1)}}, "method": "BFGS"}, ValueError,
         "'BFGS' knows no bounds; these do: adam.*L-BFGS-B"),
        ({"limits": {"constraints": LinearConstraint(np.eye(3))}, "method": "L-BFGS-B"}, ValueError,
         "knows no constraints; these do: SLSQP, trust-constr"),
        ({"limits": {"constraints": [1]}, "method": "SLSQP"}, TypeError,
         "constraints must be a scipy"),
        *(({"limits": {"constraints": given}, "method": "SLSQP"}, TypeError,
           "constraints must be a scipy.optimize.LinearConstraint or NonlinearConstraint on theta")
          for given in (np.eye(3), np.zeros(0), 3, "x", [np.eye(43)], {"type": "eq"})),
        *(({"limits": {"bounds": {"bias_l0": pair}}}, error,
           r"a bound of bounds\['bias_l0'\] must be " + words)
          for pair, error, words in (
              ((None, "0.5"), TypeError, "a number, received '0.5'"),
              ((None, 1j), TypeError, "a number, received 1j"),
              ((np.nan, None), ValueError, "a finite number, received nan"),
              ((np.inf, None), ValueError, "a finite number, received inf"),
              ((None, -np.inf), ValueError, "a finite number, received -inf"),
              ((None, 10**400), ValueError, "below 1.8e308"),
          )),
        *(({"limits": {"bounds": {"bias_l0": pair}}}, ValueError,
           r"bounds\['bias_l0'\] must hold numbers, and -?inf for no bound, received")
          for pair in ((np.full(8, np.inf), None),
                       (None, np.full(8, -np.inf)), (np.full(8, np.nan), None))),
        *(({"limits": {"bounds": {"bias_l0": pair}}, "dtype": "float32"}, ValueError,
           r"bounds\['bias_l0'\]: no number of float32 lies between them: choose bounds that")
          for pair in ((1e300, None), (None, -1e300), (1e-60, 1e-50), (0.1, 0.1))),
        ({"limits": {"constraints": LinearConstraint(np.ones((1, 3))), "fixed": "bias_l0"},
          "method": "SLSQP"},
         ValueError, "must have 43 columns"),
        ({"method": "least_squares", "loss": "huber"}, ValueError, "needs loss='mse'"),
        ({"method": "least_squares", "bptt_steps": 4}, ValueError, "whole sequences"),
        *(({"method": method, "bptt_steps": 4}, ValueError, "whole sequences")
          for method in HESSIAN),
        ({"method": "least_squares", "options": {"nonsense": 1}}, TypeError, "nonsense"),
    ],
)  # fmt: skip
def test_limits_that_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        quick(**options)
