"""The public face of `LSTM`: theta and params, forward, vjp, step, and what it refuses.

`predict` is in test_predict.py, `save` and `load` in utils/test_files.py.
"""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given

import numlstm
from helpers.harness import require_bits, require_same, run_case
from helpers.strategies import cases, networks
from numlstm.architecture.spec import Gradients, State

X = np.random.default_rng(0).standard_normal((3, 5, 2))


@pytest.fixture(params=["float32", "float64"])
def model(request, backend):
    return numlstm.LSTM(2, 7, 3, num_layers=2, dtype=request.param, rng=1, backend=backend.name)


def model_of(case, backend):
    spec = case.spec
    model = numlstm.LSTM(
        spec.input_size,
        spec.hidden_size,
        spec.output_size,
        num_layers=spec.num_layers,
        dtype=spec.dtype,
        backend=backend.name,
    )
    model.theta = case.numbers.theta
    return model


def gradients_of(pulled):
    return pulled.theta, pulled.X, *pulled.state


def require_equal_gradients(one, other):
    for mine, yours in zip(gradients_of(one), gradients_of(other), strict=True):
        require_bits(mine, yours)


# --- theta and params -----------------------------------------------------------------------


def test_params_are_views_into_theta(model):
    assert sum(view.size for view in model.params.values()) == model.theta.size
    for view in model.params.values():
        assert np.shares_memory(view, model.theta)
        assert view.flags.writeable
    model.params["head_bias"][...] = [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(model.theta[-3:], [1.0, 2.0, 3.0])
    model.theta[...] = 0.5
    assert all((view == 0.5).all() for view in model.params.values())


def test_writing_theta_changes_the_next_forward(model):
    other = numlstm.LSTM(
        2, 7, 3, num_layers=2, dtype=model.theta.dtype, rng=2, backend=model.network.backend.name
    )
    expected, _ = other.forward(X)
    before, _ = model.forward(X)
    assert (before != expected).any()
    model.theta[...] = other.theta
    require_bits(model.forward(X)[0], expected)
    model.theta = np.zeros_like(other.theta)
    assert not model.forward(X)[0].any()
    model.theta = other.theta.astype("float64")
    require_bits(model.forward(X)[0], expected)
    assert not np.shares_memory(model.theta, other.theta)


def test_writing_params_changes_the_next_forward(model):
    before, _ = model.forward(X)
    model.params["head_bias"][...] += 1.0
    np.testing.assert_allclose(model.forward(X)[0], before + 1.0, rtol=0, atol=1e-6)
    model.params["weight_hh_l1"][...] = 0.0
    model.params["weight_ih_l1"][...] = 0.0
    model.params["bias_l1"][...] = 0.0
    flat, _ = model.forward(X)
    np.testing.assert_array_equal(flat, np.broadcast_to(model.params["head_bias"], flat.shape))


def test_assigning_to_params_changes_the_next_forward(model):
    other = numlstm.LSTM(
        2, 7, 3, num_layers=2, dtype="float64", rng=2, backend=model.network.backend.name
    )
    model.forward(X)
    for name, value in other.params.items():
        model.params[name] = value
    require_bits(model.theta, other.theta.astype(model.spec.dtype))
    changed, _ = model.forward(X)
    other.theta[...] *= 2
    model.params.update(other.params)
    require_bits(model.theta, other.theta.astype(model.spec.dtype))
    assert (model.forward(X)[0] != changed).any()
    with pytest.raises(KeyError, match="did you mean 'head_bias'"):
        model.params["head_bais"] = np.zeros(3)
    with pytest.raises(AttributeError):
        model.params = other.params


def test_what_is_made_of_theta_is_made_again_only_when_a_bit_of_it_changed(model):
    model.forward(X)
    packed = model._derived().weights
    assert model._derived().weights is packed
    model.theta[...] = model.theta.copy()
    assert model._derived().weights is packed
    for value in (0.0, -0.0, np.nan, 1.0):
        model.theta[3] = value
        again = model._derived().weights
        assert again is not packed
        assert model._derived().weights is again
        packed = again


def test_whether_theta_changed_is_seen_without_a_copy():
    model = numlstm.LSTM(1, 200, 1, rng=0, backend="cpu")
    x, X = np.zeros(1, "float32"), np.zeros((1, 1, 1), "float32")
    calls = [lambda: model.predict(X), lambda: model.step(x), model.njit]
    for call in calls:
        call()
        tracemalloc.start()
        try:
            call()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < model.theta.nbytes


def test_a_wrong_theta_is_refused_and_nothing_is_written(model):
    before = model.theta.copy()
    with pytest.raises(ValueError, match=rf"theta must have shape \({before.size},\), received"):
        model.theta = before[:-1]
    with pytest.raises(TypeError, match="complex"):
        model.theta = before.astype(complex)
    require_bits(model.theta, before)


def test_rng_is_an_integer_a_generator_or_none():
    def theta(rng):
        return numlstm.LSTM(2, 3, rng=rng, backend="reference").theta

    require_bits(theta(5), theta(np.random.default_rng(5)))
    assert (theta(None) != theta(None)).any()


@pytest.mark.parametrize(
    "through", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_model_can_be_copied_and_sent_to_another_process(model, through):
    model.forward(X)  # which packs its weights
    other = through(model)
    assert repr(other) == repr(model)
    require_bits(other.forward(X)[0], model.forward(X)[0])
    other.theta[...] = 0.0
    assert model.theta.any()
    assert not other.params["weight_ih_l0"].any()


# --- forward --------------------------------------------------------------------------------


@given(case=cases(networks, last=False))
def test_forward_and_vjp_are_those_of_the_network(backend, case):
    model, numbers = model_of(case, backend), case.numbers
    expected = run_case(backend, case)
    Y, final = model.forward(numbers.X, numbers.state, lengths=numbers.lengths)
    taped, pullback = model.vjp(numbers.X, numbers.state, lengths=numbers.lengths)
    gradients = pullback(numbers.dY, numbers.dstate)
    assert isinstance(gradients, Gradients)
    assert isinstance(gradients.state, State)
    results = {"Y": Y, "h": final.h, "c": final.c, "dtheta": gradients.theta, "dX": gradients.X}
    results |= {"dh": gradients.state.h, "dc": gradients.state.c}
    for name, value in results.items():
        require_bits(value, expected[name])
    require_bits(taped, expected["Y"])


def test_no_state_is_a_state_of_zeros(model):
    zeros = np.zeros((2, 3, 7))
    Y, final = model.forward(X)
    other, other_final = model.forward(X, State(zeros, zeros))
    require_bits(other, Y)
    for one, two in zip(final, other_final, strict=True):
        require_bits(one, two)
    require_bits(model.forward(X, (zeros, zeros))[0], Y)


def test_a_state_goes_on_where_it_was_left(model):
    Y, final = model.forward(X)
    first, state = model.forward(X[:, :2])
    second, state = model.forward(X[:, 2:], state)
    require_same(model.network.backend, Y, np.concatenate([first, second], axis=1))
    require_same(model.network.backend, final.h, state.h)
    require_same(model.network.backend, final.c, state.c)


@given(case=cases(networks, last=False, ragged=False))
def test_steps_equal_forward(backend, case):
    model, numbers = model_of(case, backend), case.numbers
    Y, final = model.forward(numbers.X, numbers.state)
    state = numbers.state
    for t in range(case.T):
        y, state = model.step(numbers.X[:, t], state)
        require_same(backend, y, Y[:, t])
    require_same(backend, state.h, final.h)
    require_same(backend, state.c, final.c)


def test_one_series_step_by_step(model):
    Y, final = model.forward(X[:1])
    state = None
    for t in range(X.shape[1]):
        y, state = model.step(X[0, t], state)
        assert y.shape == (3,)
        require_same(model.network.backend, y, Y[0, t])
    assert state.h.shape == (2, 1, 7)
    require_same(model.network.backend, state.h, final.h)


@pytest.mark.parametrize(("B", "T"), [(0, 5), (3, 0), (0, 0)])
def test_empty_batches(model, B, T):
    Y, pullback = model.vjp(np.zeros((B, T, 2)))
    assert Y.shape == (B, T, 3)
    gradients = pullback(np.zeros((B, T, 3)))
    assert gradients.X.shape == (B, T, 2)
    assert gradients.state.h.shape == (2, B, 7)
    assert not gradients.theta.any()
    assert model.step(np.zeros((0, 2)))[0].shape == (0, 3)


# --- the pullback ---------------------------------------------------------------------------


def test_the_pullback_is_the_derivative(backend):
    """Central differences of the public functions; complex steps check the reference itself."""
    model = numlstm.LSTM(2, 5, 3, num_layers=2, dtype="float64", rng=3, backend=backend.name)
    rng = np.random.default_rng(4)
    state, dstate = (State(*rng.standard_normal((2, 2, 3, 5))) for _ in range(2))
    lengths = [5, 0, 3]
    dY = rng.standard_normal((3, 5, 3))

    def functional(X, state):
        Y, final = model.forward(X, state, lengths=lengths)
        return (dY * Y).sum() + (dstate.h * final.h).sum() + (dstate.c * final.c).sum()

    gradients = model.vjp(X, state, lengths=lengths)[1](dY, dstate)
    theta, eps = model.theta.copy(), 1e-6
    dtheta, dX = rng.standard_normal(theta.shape), rng.standard_normal(X.shape)
    dh, dc = rng.standard_normal((2, *state.h.shape))
    values = []
    for sign in (1, -1):
        move = sign * eps
        model.theta = theta + move * dtheta
        values.append(functional(X + move * dX, State(state.h + move * dh, state.c + move * dc)))
    expected = (gradients.theta * dtheta).sum() + (gradients.X * dX).sum()
    expected += (gradients.state.h * dh).sum() + (gradients.state.c * dc).sum()
    np.testing.assert_allclose((values[0] - values[1]) / (2 * eps), expected, rtol=1e-7)


def test_no_dstate_is_one_of_zeros(model):
    Y, pullback = model.vjp(X)
    zeros = State(np.zeros((2, 3, 7)), np.zeros((2, 3, 7)))
    for one, other in zip(gradients_of(pullback(Y)), gradients_of(pullback(Y, zeros)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_pullbacks_can_be_called_again_and_interleaved(model):
    dY = np.random.default_rng(1).standard_normal((3, 5, 3))
    first, second = model.vjp(X)[1], model.vjp(2 * X[:2])[1]
    one, other = first(dY), second(dY[:2])
    require_equal_gradients(first(dY), one)
    require_equal_gradients(second(dY[:2]), other)
    require_equal_gradients(model.vjp(X)[1](dY), one)
    np.testing.assert_array_equal(first(2 * dY).X, 2 * one.X)  # linear, here exactly


@pytest.mark.parametrize("output_size", [None, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_pullback_belongs_to_the_moment_of_its_vjp(backend, output_size, dtype):
    """Whatever is overwritten afterwards: theta, the inputs, the output it came with."""
    model = numlstm.LSTM(2, 9, output_size, dtype=dtype, rng=1, backend=backend.name)
    mine = X.astype(dtype)
    state = State(*(np.full((1, 3, 9), value, dtype) for value in (0.5, -0.5)))
    lengths = np.array([5, 2, 4])
    Y, pullback = model.vjp(mine, state, lengths=lengths)
    dY = np.ones_like(Y)
    expected = pullback(dY)
    for array in (model.theta, mine, Y, lengths, *state):
        array[...] = 0
    require_equal_gradients(pullback(dY), expected)


def test_gradients_of_a_call_belong_to_the_caller(model):
    Y, pullback = model.vjp(X)
    expected = [array.copy() for array in gradients_of(pullback(Y))]
    for array in gradients_of(pullback(Y)):
        array[...] = np.nan
    for array, before in zip(gradients_of(pullback(Y)), expected, strict=True):
        require_bits(array, before)


# --- any array will do ----------------------------------------------------------------------


def _readonly(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


FORMS = {
    "fortran": np.asfortranarray,
    "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "transposed": lambda array: np.ascontiguousarray(array.T).T,
    "big_endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "readonly": _readonly,
    "list": lambda array: array.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_any_memory_layout_gives_the_same_bits(model, form):
    change, dtype = FORMS[form], model.theta.dtype
    rng = np.random.default_rng(2)
    x, dY = X.astype(dtype), rng.standard_normal((3, 5, 3)).astype(dtype)
    state = State(*rng.standard_normal((2, 2, 3, 7)).astype(dtype))
    changed = State(*map(change, state))
    Y, pullback = model.vjp(x, state)
    other, other_pullback = model.vjp(change(x), changed)
    require_bits(other, Y)
    require_bits(model.forward(change(x), changed)[0], Y)
    require_bits(model.step(change(x[:, 0]), changed)[0], model.step(x[:, 0], state)[0])
    require_equal_gradients(other_pullback(change(dY), changed), pullback(dY, state))


def test_memory_mapped_input(model, tmp_path):
    x = X.astype(model.theta.dtype)
    np.save(tmp_path / "X.npy", x)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    require_bits(model.forward(mapped)[0], model.forward(x)[0])
    require_bits(model.vjp(mapped)[0], model.forward(x)[0])
    require_bits(np.load(tmp_path / "X.npy"), x)


def test_integer_input(model):
    counts = np.arange(30).reshape(3, 5, 2) % 7
    expected, _ = model.forward(counts.astype(model.theta.dtype))
    for dtype in (np.int64, np.uint8, ">i2", bool):
        given_dtype = counts.astype(dtype)
        wanted = expected if dtype is not bool else model.forward(1.0 * given_dtype)[0]
        require_bits(model.forward(given_dtype)[0], wanted)


def test_results_have_the_dtype_of_the_model(model):
    Y, pullback = model.vjp(X.astype("float64"))
    assert Y.dtype == model.theta.dtype
    for array in gradients_of(pullback(np.ones(Y.shape, int))):
        assert array.dtype == model.theta.dtype


def test_arguments_are_not_changed(model):
    state = State(*np.random.default_rng(3).standard_normal((2, 2, 3, 7)))
    state = State(*(part.astype(model.theta.dtype) for part in state))
    x, dY = X.astype(model.theta.dtype), np.ones((3, 5, 3), model.theta.dtype)
    lengths = np.array([1, 5, 0])
    arrays = (x, dY, lengths, *state)
    copies = [array.copy() for array in arrays]
    model.forward(x, state, lengths=lengths)
    model.vjp(x, state, lengths=lengths)[1](dY, state)
    model.step(x[:, 0], state)
    for array, before in zip(arrays, copies, strict=True):
        require_bits(array, before)


# --- what is refused ------------------------------------------------------------------------

CALLS = {
    "forward": lambda model, *args, **options: model.forward(*args, **options),
    "vjp": lambda model, *args, **options: model.vjp(*args, **options),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@calls
@pytest.mark.parametrize("shape", [(), (2,), (5, 2), (3, 5, 4), (1, 3, 5, 2)])
def test_wrong_shapes_are_shown(model, call, shape):
    with pytest.raises(ValueError, match="X must have shape") as caught:
        call(model, np.zeros(shape))
    assert f"(B, T, 2), received {shape}" in str(caught.value)


@calls
def test_the_transpose_is_suggested(model, call):
    with pytest.raises(ValueError, match=r"received \(3, 2, 5\).*pass X\.transpose\(0, 2, 1\)"):
        call(model, X.transpose(0, 2, 1))


@calls
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_bad_value_is_located(model, call, bad):
    spoiled = X.copy()
    spoiled[2, 1, 0] = spoiled[1, 4, 1] = bad
    with pytest.raises(ValueError, match=r"2 NaN or infinite.*first at index \(1, 4, 1\)"):
        call(model, spoiled)
    with pytest.raises(ValueError, match=r"first at index \(1, 4, 1\)"):
        call(model, spoiled, lengths=[5, 5, 1])


@calls
def test_anything_may_stand_in_the_padding(model, call):
    model.params["head_bias"][...] = 1.0  # which a zero hidden state would show
    lengths = [2, 5, 0]
    spoiled = X.copy()
    spoiled[0, 2:], spoiled[2] = np.nan, np.inf
    Y = call(model, spoiled, lengths=lengths)[0]
    require_bits(Y, call(model, X, lengths=lengths)[0])
    assert not Y[0, 2:].any()
    assert not Y[2].any()


def test_anything_may_stand_in_the_padding_of_a_gradient(model):
    _, pullback = model.vjp(X, lengths=[2, 5, 0])
    dY = np.random.default_rng(1).standard_normal((3, 5, 3))
    spoiled = dY.copy()
    spoiled[0, 2:], spoiled[2] = np.nan, np.inf
    require_equal_gradients(pullback(spoiled), pullback(dY))


@calls
@pytest.mark.parametrize(
    ("value", "word"),
    [
        (np.ma.masked_array(X, X > 1), "masked"),
        (X[0].view(np.matrix), "matrix"),
        (X.astype(object), "object"),
        (X.astype(complex), "complex128"),
        (X.astype(str), "<U"),
        (None, "object"),
    ],
    ids=["masked", "matrix", "object", "complex", "string", "None"],
)
def test_other_arrays_are_refused(model, call, value, word):
    with pytest.raises(TypeError, match=f"X .*{word}"):
        call(model, value)


@calls
@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (
            np.zeros((2, 3, 8)),
            ValueError,
            r"state.h must have shape \(2, 3, 7\), received \(3, 8\)",
        ),
        (np.zeros(7), TypeError, r"must be a State\(h, c\)"),
        (3, TypeError, r"must be a State\(h, c\), received <class 'int'>"),
        (State(np.zeros((2, 3, 7)), None), TypeError, "state.c must hold real numbers"),
        (State(np.zeros((2, 3, 7)), np.zeros((1, 3, 7))), ValueError, r"state.c .*\(1, 3, 7\)"),
        (State(np.zeros((2, 3, 7)), np.full((2, 3, 7), np.nan)), ValueError, "state.c has 42 NaN"),
        (State(np.zeros((2, 3, 7), complex), np.zeros((2, 3, 7))), TypeError, "state.h .*complex"),
    ],
    ids=["array", "flat", "number", "None", "layers", "nan", "complex"],
)
def test_wrong_states_are_refused(model, call, state, error, words):
    with pytest.raises(error, match=words):
        call(model, X, state)


@calls
@pytest.mark.parametrize(
    "lengths", [[5, 5], [5, 5, 6], [-1, 5, 5], [1.0, 2.0, 3.0], 5, [[1, 2, 3]]]
)
def test_wrong_lengths_are_refused(model, call, lengths):
    with pytest.raises(ValueError, match="lengths must"):
        call(model, X, lengths=lengths)


def test_the_pullback_checks_its_arguments(model):
    Y, pullback = model.vjp(X)
    with pytest.raises(ValueError, match=r"dY must have shape \(3, 5, 3\), received \(3, 5\)"):
        pullback(Y[..., 0])
    with pytest.raises(TypeError, match=r"dY .*complex"):
        pullback(Y.astype(complex))
    with pytest.raises(ValueError, match=r"dstate.h must have shape \(2, 3, 7\), received \(7,\)"):
        pullback(Y, State(np.zeros(7), np.zeros(7)))
    with pytest.raises(TypeError, match=r"dstate must be a State\(h, c\)"):
        pullback(Y, 0.0)


def test_step_checks_its_arguments(model):
    with pytest.raises(ValueError, match=r"x must have shape \(2,\), received \(3,\)"):
        model.step(np.zeros(3))
    with pytest.raises(ValueError, match=r"x must have shape \(B, 2\), received \(1, 5, 2\)"):
        model.step(X[:1])
    with pytest.raises(ValueError, match="first at index"):
        model.step([0.0, np.nan])
    with pytest.raises(ValueError, match=r"state.h must have shape \(2, 1, 7\)"):
        model.step(np.zeros(2), model.forward(X)[1])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"input_size": 0}, ValueError, "input_size must be an integer >= 1, received 0"),
        ({"hidden_size": 2.5}, TypeError, "hidden_size must be an integer, received 2.5"),
        ({"output_size": -1}, ValueError, "output_size must be"),
        ({"num_layers": 0}, ValueError, "num_layers must be"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of"),
        (
            {"init": {"weights": "xavier"}},
            ValueError,
            "weights must be one of .* received 'xavier'",
        ),
        ({"backend": "gpu"}, ValueError, "backend must be one of .*'auto'.* received 'gpu'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_sizes_and_choices_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        numlstm.LSTM(**({"input_size": 2, "hidden_size": 3, "backend": "reference"} | options))
