"""Extreme numbers and sizes: the definition in float64 within 1e-3, or a clear refusal.

The measure is in `helpers/extremes.py`; `stress/extremes.py` runs many more cases.
"""

import numpy as np
import pytest

import numlstm
from helpers.extremes import PLACES, VARIANTS, compared, drawn, extreme
from numlstm import LSTM, State
from numlstm.model import ranges
from numlstm.network import slices
from numlstm.stepping.kernels import step


def require_close(outcome, refusable=True):
    if isinstance(outcome, str):
        assert refusable, outcome
        assert "beyond the range of float" in outcome
    else:
        assert outcome[0] <= 1, outcome


SAMPLED = (
    "plain", "layer norm, peephole", "gates normalised", "coupled", "cell clip", "projection",
    "residual", "bidirectional", "zoneout", "relu gates", "relu output", "elu candidate",
)  # fmt: skip


@pytest.mark.parametrize("name", SAMPLED)
def test_numbers_of_any_size(name):
    model = LSTM(3, 5, 2, rng=0, backend="cpu", **VARIANTS[name])
    ordinary = drawn(model, batch=2, steps=2)
    for place, factor in [*((place, 1e30) for place in PLACES), ("X weights", 1e-41)]:
        require_close(compared(model.spec, extreme(model, ordinary, place, factor)))


@pytest.mark.parametrize("name", ["plain", "layer norm, peephole", "elu candidate"])
def test_numbers_of_any_size_in_float64(name):
    model = LSTM(3, 5, 2, dtype="float64", rng=0, backend="cpu", **VARIANTS[name])
    ordinary = drawn(model, batch=2, steps=2)
    for place in ("X weights", "X c", "gradient"):
        for factor in (1e300, 1e-310):
            require_close(compared(model.spec, extreme(model, ordinary, place, factor)))


BOUNDED_GATES = ("scaled_tanh gates", "hard_sigmoid gates", "softsign gates")


@pytest.mark.parametrize("name", [n for n in SAMPLED if "relu" not in n] + [*BOUNDED_GATES])
def test_huge_inputs_alone_are_taken(name):
    """Saturation is ordinary where gates have limits: it may not be refused."""
    model = LSTM(3, 5, 2, rng=0, backend="cpu", **VARIANTS[name])
    numbers = extreme(model, drawn(model, batch=2, steps=3), "X", 1e30)
    require_close(compared(model.spec, numbers), refusable=False)


@pytest.mark.parametrize(
    ("batch", "steps", "keywords"),
    [(0, 3, {}), (3, 0, {}), (0, 0, {}), (1, 1, {"hidden_size": 1}), (300, 2, {}), (1, 500, {}),
     (2, 2, {"num_layers": 60}), (2, 2, {"input_size": 300}), (2, 2, {"output_size": 300}),
     (2, 2, {"hidden_size": 120})],
)  # fmt: skip
def test_sizes(batch, steps, keywords):
    usual = {"input_size": 2, "hidden_size": 4, "output_size": 1}
    model = LSTM(**(usual | keywords), rng=0, backend="cpu")
    require_close(compared(model.spec, drawn(model, batch, steps)), refusable=False)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e30), ("float64", 1e300)])
class TestHuge:
    """What was wrong without a word."""

    def model(self, dtype, backend, **keywords):
        return LSTM(1, 5, dtype=dtype, rng=0, backend=backend, **keywords)

    @pytest.mark.parametrize("cell", [{"layer_norm": True}, {"layer_norm": "gates"}])
    def test_normalisation_does_not_see_the_unit(self, dtype, size, backend, cell):
        model = self.model(dtype, backend, cell=cell | {"layer_norm_epsilon": 1e-12})
        X = np.ones((1, 1, 1), dtype)
        expected, _ = model.forward(100 * X)
        Y, _ = model.forward(size * X)
        np.testing.assert_allclose(Y, expected, rtol=1e-4)

    def test_equal_numbers_are_normalised_to_zero(self, dtype, size, backend):
        model = self.model(dtype, backend, cell={"layer_norm": True})
        model.params["weight_ih_l0"] = np.ones((20, 1))
        X = np.full((1, 1, 1), size, dtype)
        Y, pullback = model.vjp(X)
        np.testing.assert_array_equal(Y, model.forward(0 * X)[0])
        assert np.isfinite(pullback(np.ones_like(Y)).theta).all()

    def test_cells_have_no_limit_that_nobody_set(self, dtype, size, backend):
        model = self.model(dtype, backend, cell={"peephole": True})
        c = np.full((1, 1, 5), 7 * size, dtype)
        model.params["peephole_l0"] = np.zeros(15)
        model.params["bias_l0"] = np.full(20, 1e3)
        _, (_, after) = model.forward(np.zeros((1, 3, 1), dtype), State(0 * c, c))
        np.testing.assert_allclose(after, c)

    def test_activations_have_no_limit_that_nobody_set(self, dtype, size, backend):
        model = self.model(dtype, backend, cell={"activations": ("sigmoid", "relu", "tanh")})
        model.theta = np.zeros(model.theta.size)
        model.params["bias_l0"] = np.repeat([1e3, -1e3, 7 * size, 1e3], 5)
        _, pullback = model.vjp(np.zeros((1, 1, 1), dtype))
        one = np.ones((1, 1, 5), dtype)
        _, (_, c) = model.forward(np.zeros((1, 1, 1), dtype))
        np.testing.assert_allclose(c, 7 * size)
        gradients = pullback(np.zeros((1, 1, 5), dtype), State(0 * one, one))
        np.testing.assert_array_equal(gradients.theta[model.theta.size - 20 :][10:15], 1)

    def test_a_shut_gate_lets_nothing_through(self, dtype, size, backend):
        model = self.model(dtype, backend)
        model.params["bias_l0"] = np.repeat([-1e4, -1e4, 0, 1e4], 5)
        c = np.full((1, 1, 5), size, dtype)
        Y, pullback = model.vjp(np.ones((1, 1, 1), dtype), State(0 * c, c))
        np.testing.assert_array_equal(Y, 0)
        np.testing.assert_array_equal(pullback(np.ones_like(Y)).theta, 0)

    def test_products_that_overflow_are_refused(self, dtype, size, backend):
        model = self.model(dtype, backend)
        model.params["weight_ih_l0"] = np.full((20, 1), size)
        X = np.full((2, 3, 1), size, dtype)
        for door in (model.forward, model.vjp, model.jvp, model.jacobian, model.transitions,
                     model.predict, lambda X: model.step(X[:, 0])):  # fmt: skip
            with pytest.raises(ValueError, match=rf"products of X and .* range of {dtype}: scale"):
                door(X)
        behind = np.where(np.arange(3)[:, None] < 1, 1, X).astype(dtype)
        model.forward(behind, lengths=[1, 1])  # what is padding is not read
        state = State(*np.full((2, 1, 2, 5), size, dtype))
        model.params["weight_hh_l0"] = np.full((20, 5), size)
        with pytest.raises(ValueError, match=r"products of state\.h"):
            model.forward(np.ones((2, 3, 1), dtype), state)

    def test_hidden_states_that_overflow_are_refused(self, dtype, size, backend):
        model = self.model(dtype, backend, proj_size=2)
        model.theta *= size
        refusal = "products of hidden states and weights|the output has values beyond the range"
        with pytest.raises(ValueError, match=refusal):
            model.forward(np.ones((1, 3, 1), dtype))

    def test_gradients_that_overflow_are_refused_and_nan_goes_through(self, dtype, size, backend):
        model = self.model(dtype, backend)
        model.params["weight_hh_l0"] *= size
        _, pullback = model.vjp(
            np.full((1, 2, 1), 1e-3, dtype), State(*np.zeros((2, 1, 1, 5), dtype))
        )
        dY = np.full((1, 2, 5), size, dtype)
        with np.errstate(all="ignore"):
            with pytest.raises(ValueError, match=f"the gradient .* range of {dtype}"):
                pullback(1e8 * dY)
            assert np.isnan(pullback(np.nan * dY).theta).any()


BIG = [(10**9, 10**6, 1), (2**30, 2**30, 1), (1, 10**16, 1)]


@pytest.mark.parametrize("shape", BIG)
def test_sizes_that_no_memory_holds_are_refused_unread(shape):
    X = np.broadcast_to(np.float32(0.5), shape)
    model = LSTM(1, 4, 1, rng=0, backend="cpu")
    doors = [model.forward, model.vjp, model.jvp, model.jacobian, model.transitions, model.predict]
    for door in doors:
        with pytest.raises(MemoryError, match=r"X of shape .* needs at least|Unable to allocate"):
            door(X)


def test_a_step_that_no_memory_holds_is_refused_unread():
    model = LSTM(1, 4, 1, rng=0, backend="cpu")
    with pytest.raises(MemoryError, match=r"x of shape \(1000000000000000, 1\) needs at least"):
        model.step(np.broadcast_to(np.float32(0.5), (10**15, 1)))
    with pytest.raises(MemoryError, match=r"X of shape .* fewer rows or steps"):
        numlstm.fit(np.broadcast_to(np.float32(0.5), (10**9, 10**6, 1)), epochs=1)


@pytest.mark.parametrize("keywords", [{}, {"proj_size": 2}, {"num_layers": 2, "residual": True}])
def test_data_in_their_own_units_are_taken(keywords):
    """Nobody scales: data of 1e8, and inputs up to 1e30 beside weights up to 1e3."""
    X = 1e8 * np.random.default_rng(0).standard_normal((4, 6, 2))
    result = numlstm.fit(X, X[..., :1], standardize=False, hidden_size=3, epochs=2, rng=0,
                         progress=False, **keywords)  # fmt: skip
    assert np.isfinite(result.model.predict(X)).all()
    model = LSTM(2, 16, 1, rng=0, backend="cpu", **keywords)
    model.theta *= 1e3 / np.abs(model.theta).max()
    huge = (1e22 * X).astype("float32")
    Y, pullback = model.vjp(huge)
    assert np.isfinite(model.step(huge[:, 0])[0]).all()
    assert np.isfinite(Y).all()
    assert np.isfinite(pullback(0 * Y).theta).all()


@pytest.mark.parametrize("size", [3e15, 3e17])
def test_a_step_refuses_what_forward_refuses(size):
    """Inputs that a compiled step takes, whose outputs are factors of one another."""
    model = LSTM(1, 3, 1, rng=0, backend="cpu", cell={"activations": ("relu", "relu", "relu")})
    model.theta = np.full(model.theta.size, 10.0)
    x = np.full(1, size, "float32")
    with pytest.raises(ValueError, match="beyond the range of float32"):
        model.forward(np.tile(x, (1, 3, 1)))
    _, state = model.step(np.ones(1, "float32"))
    with pytest.raises(ValueError, match="beyond the range of float32"):
        model.step(x, state)


def test_a_step_of_compiled_code_is_bounded_as_the_doors_think():
    assert ranges.MODERATE == step.MODERATE


def test_hidden_states_of_long_inputs_are_seen_in_every_slice(monkeypatch):
    model = LSTM(1, 3, 1, rng=0, backend="cpu", cell={"activations": ("sigmoid", "tanh", "relu")})
    shown = []
    monkeypatch.setattr(slices, "FIRST", 1.0)
    monkeypatch.setattr(ranges.Peak, "__call__", lambda self, array: shown.append(array.shape[1]))
    model.network.short = 0
    model.forward(np.ones((1, 50, 1), "float32"))
    assert sum(shown) == 50
    assert len(shown) > 1
