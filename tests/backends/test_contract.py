"""Every backend is held to the reference, layer by layer, and to the contract's promises.

The bars: 1e-12 in float64 and 2e-6 in float32, relative in L2 per array, against the reference in
float64 on the same numbers. See `harness.require_close` for cancelling sums.
"""

import inspect
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.harness import (
    SIZES,
    require_bits,
    require_close,
    require_same,
    require_strict,
    rows,
    run_case,
    run_head,
)
from helpers.processes import run_python
from helpers.strategies import Case, Numbers, cases, extreme_cases, heads, layers, seeds
from numlstm import backends
from numlstm.architecture.spec import HeadSpec, LayerSpec, State
from numlstm.backends import reference

# --- the contract ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_what_needs_only_numba_and_numpy_runs_everywhere(name):
    assert backends.get(name).name == name


def test_auto_is_the_best_that_runs():
    runnable = [name for name in backends.PREFERENCE if runs(name)]
    assert backends.get("auto").name == runnable[0]
    assert set(backends.PREFERENCE) <= set(backends.REGISTRY)


def runs(name):
    try:
        return backends.get(name).name == name
    except backends.BackendError:
        return False


def test_every_backend_has_the_same_names_and_arguments(backend):
    assert backend.name in backends.REGISTRY
    for name in backends.CONTRACT:
        ours, theirs = getattr(backend, name), getattr(reference, name)
        assert callable(ours) == callable(theirs), name
        if callable(ours):
            assert arguments_of(ours) == arguments_of(theirs), name
            assert ours.__doc__, name


def arguments_of(function):
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


def test_an_unknown_backend_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="'tpu'") as caught:
        backends.get("tpu")
    for name in ("auto", "reference", "cpu"):
        assert name in str(caught.value)


def test_a_backend_that_cannot_be_imported_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(backends.REGISTRY, "broken", "numlstm.backends.no_such_backend")
    with pytest.raises(backends.BackendError, match="no_such_backend"):
        backends.get("broken")


def test_auto_falls_back_to_the_reference(monkeypatch):
    for name in ("cuda", "cpu"):
        monkeypatch.setitem(backends.REGISTRY, name, "numlstm.backends.no_such_backend")
    assert backends.get("auto") is sys.modules["numlstm.backends.reference"]
    monkeypatch.setitem(backends.REGISTRY, "reference", "numlstm.backends.no_such_backend")
    with pytest.raises(backends.BackendError, match="no backend can run here"):
        backends.get("auto")


# as in Pyodide: there is no Numba, and no thread can be started
WITHOUT_NUMBA = """
import sys, threading
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite", "numba_cuda"):
            raise FAULT(f"No module named {name!r}")
sys.meta_path.insert(0, Absent())
def no_thread(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = no_thread
"""

WITHOUT_A_COMPILER = """
import io, warnings
import numpy as np
import numlstm
from numlstm import BackendError, backends

def refusal(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except BackendError as error:
        return str(error)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    X = np.ones((4, 3, 1))
    model = numlstm.fit(X, X, hidden_size=2, epochs=1, progress=False).model
    numlstm.LSTM(1, 2)
[warning] = caught
assert warning.filename == "<string>", warning.filename
message = refusal(numlstm.LSTM, 1, 2, backend="cpu")
assert str(warning.message) == message + "; the next best backend takes its place"
assert "reference backend" in repr(model)
model.predict(X), model.vjp(X), model.step(X[:, 0].astype("float32")), model.transitions(X)
free = dict(scheduled_sampling=0.5, hidden_size=2, epochs=1, backend="reference", progress=False)
series = lambda **options: numlstm.fit(X[:, :, 0].ravel(), **options)
for compiled in (model.njit, model.cfunc, lambda: model.rollout(X, 2), lambda: series(**free)):
    assert refusal(compiled) == message, refusal(compiled)
print(message)
"""

BY_THE_REFERENCE = """
named = dict(backend="reference", rng=0)
model = numlstm.LSTM(1, 2, 1, dtype="float64", **named)
fun = numlstm.objective(model, X, X)
assert fun(model.theta)[1].shape == fun.hessp(model.theta, model.theta).shape == model.theta.shape
options = dict(hidden_size=2, epochs=1, progress=False, validation=0.5)
for method in ("adam", "L-BFGS-B"):
    model = numlstm.fit(X, X, method=method, **options, **named).model
file = io.BytesIO()
model.save(file)
file.seek(0)
again = numlstm.load(file, backend="reference")
assert again.predict(X).tobytes() == model.predict(X).tobytes()
numlstm.ensemble(X, X, members=2, **options, **named).predict(X)
"""


def test_without_a_compiler_auto_is_the_reference():
    hidden = {"CUDA_VISIBLE_DEVICES": "", "NUMBA_ENABLE_CUDASIM": "0"}
    done = run_python("-W", "error", "-c", WITHOUT_A_COMPILER, NUMBA_DISABLE_JIT="1", **hidden)
    assert done.returncode == 0, done.stderr
    for part in ('"cpu" cannot run', "NUMBA_DISABLE_JIT", "Unset it", 'backend="reference"'):
        assert part in done.stdout


@pytest.mark.parametrize("fault", ["ModuleNotFoundError", "OSError", "AttributeError"])
def test_without_numba_auto_is_the_reference(fault):
    """It may be there, and a library of its own not, or a NumPy that it does not know."""
    code = f"FAULT = {fault}" + WITHOUT_NUMBA + WITHOUT_A_COMPILER + BY_THE_REFERENCE
    code += "assert refusal(model.export_c, 'model.c') == message"
    done = run_python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    for part in ("No module named 'numba'", "pip install --upgrade numba", 'backend="reference"'):
        assert part in done.stdout


def test_memory_goes_there_and_back(backend):
    array = np.arange(6.0).reshape(2, 3)
    require_bits(backend.arrays.to_numpy(backend.arrays.asarray(array)), array)


# --- the same numbers as the reference ------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_layer_of_fixed_sizes(backend, sizes, ragged, dtype):
    input_size, hidden_size, B, T = sizes
    case = Case(LayerSpec(input_size, hidden_size, dtype), B, T, seed=11, ragged=ragged)
    require_strict(case, run_case(backend, case))


@given(case=cases(layers), need_dX=st.booleans())
def test_layer(backend, case, need_dX):
    require_close(case, run_case(backend, case, need_dX=need_dX), need_dX=need_dX)


@given(case=extreme_cases(layers))
def test_layer_at_extreme_magnitudes(backend, case):
    results = run_case(backend, case)
    for name, value in results.items():
        assert np.isfinite(value).all(), name
    c = case.numbers.state.c
    one = 1 + 4 * np.finfo(case.spec.dtype).eps
    assert np.abs(results["Y"]).max(initial=0) <= one
    assert (np.abs(results["c"]) <= (np.abs(c) + case.T) * one).all()


@given(case=extreme_cases(layers).filter(lambda case: case.gain <= 1.0 and case.loud <= 1.0))
def test_layer_at_small_magnitudes(backend, case):
    """From denormal to ordinary nothing is ill-conditioned, so the bars hold."""
    require_close(case, run_case(backend, case))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30, "largest"])
def test_saturated_gates_are_exact(backend, dtype, size):
    """All gates wide open: c = c0 + t and h = tanh(c), whatever the magnitude of z."""
    size = float(np.finfo(dtype).max) / 8 if size == "largest" else size
    spec = LayerSpec(1, 3, dtype)
    theta = np.concatenate([np.full(12, size), np.zeros(36), np.zeros(12)]).astype(dtype)
    X = np.ones((2, 2, 1), dtype)
    state = State(np.zeros((2, 3), dtype), np.full((2, 3), 0.25, dtype))
    dY = np.ones((2, 2, 3), dtype)
    results = run_case(backend, Case(spec, 2, 2), Numbers(theta, X, state, None, dY, None))
    np.testing.assert_array_equal(results["c"], 2.25)
    np.testing.assert_allclose(results["h"], np.tanh(2.25), rtol=4 * np.finfo(dtype).eps)
    slopes = 1 - np.tanh([1.25, 2.25]) ** 2
    np.testing.assert_allclose(results["dc"], slopes.sum(), rtol=16 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(results["dh"], 0.0)
    np.testing.assert_array_equal(results["dtheta"], 0.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gates_are_accurate_in_their_tails(backend, dtype):
    """One step without weights, so that c = f or c = g, and dc = f: a few units in the last place.

    A gate that is nearly shut is small, not zero; below the smallest normal numbers a result may be
    flushed to zero or stop at one of them.
    """
    largest = 86.0 if dtype == "float32" else 707.0
    small = np.geomspace(1e-12, 1.0, 40)
    z = np.concatenate([np.linspace(-largest, largest, 301), small, -small]).astype(dtype)
    exact = reference.sigmoid(z.astype("float64"))
    shut, opened = np.full_like(z, -2000.0), np.full_like(z, 2000.0)
    forget = step_of_biases(backend, shut, z, 0 * z, opened)
    require_ulps(forget["c"], exact, dtype)
    require_ulps(forget["dc"], exact, dtype)
    candidate = step_of_biases(backend, opened, shut, z, opened)
    require_ulps(candidate["c"], np.tanh(z.astype("float64")), dtype)
    output = step_of_biases(backend, shut, opened, 0 * z, z)  # c = 1
    require_ulps(output["h"], exact * np.tanh(1.0), dtype)


def step_of_biases(backend, *biases):
    """One step of one row from h = 0, c = 1 with zero weights, and the gradient of c."""
    H, dtype = len(biases[0]), biases[0].dtype
    theta = np.concatenate([np.zeros(4 * H * (1 + H), dtype), *biases])
    zero, one = np.zeros((1, H), dtype), np.ones((1, H), dtype)
    numbers = Numbers(
        theta, np.zeros((1, 1, 1), dtype), State(zero, one), None, None, State(zero, one)
    )
    return run_case(backend, Case(LayerSpec(1, H, dtype.name), 1, 1), numbers)


def require_ulps(result, exact, dtype):
    info = np.finfo(dtype)
    error = np.abs(result.ravel() - exact)
    assert (error <= np.maximum(8 * info.eps * np.abs(exact), 2 * info.tiny)).all(), (
        error / np.maximum(np.abs(exact), info.tiny)
    ).max()


@given(spec=heads, leading=st.sampled_from([(0,), (1,), (7,), (2, 3), (5, 0), (40, 9)]), seed=seeds)
def test_head(backend, spec, leading, seed):
    rng = np.random.default_rng(seed)
    shapes = [(sum(int(np.prod(shape)) for shape in spec.shapes.values()),)]
    shapes += [(*leading, spec.input_size), (*leading, spec.output_size)]
    theta, H, dY = (rng.standard_normal(shape).astype(spec.dtype) for shape in shapes)
    results = run_head(backend, spec, theta, H, dY)
    wide = (np.asarray(a, "float64") for a in (theta, H, dY))
    truth = run_head(reference, replace(spec, dtype="float64"), *wide)
    sums = run_head(reference, spec, *map(np.abs, (theta, H, dY)))  # of the terms' magnitudes
    eps = np.finfo(spec.dtype).eps
    for name, expected in truth.items():
        assert results[name].dtype == spec.dtype
        error = np.linalg.norm(results[name] - expected)
        bar = (1e-12 if spec.dtype == "float64" else 2e-6) * np.linalg.norm(expected)
        assert error <= max(bar, 4 * eps * np.linalg.norm(sums[name])), name


# --- promises -------------------------------------------------------------------------------


@given(case=cases(layers, ragged=True))
def test_padding_is_zero_and_never_read(backend, case):
    numbers = case.numbers
    padding = np.arange(case.T) >= numbers.lengths[:, None]
    clean = run_case(backend, case)
    assert not clean["Y"][padding].any()
    assert not clean["dX"][padding].any()
    poisoned = numbers._replace(X=np.where(padding[..., None], np.nan, numbers.X))
    if numbers.dY is not None:
        poisoned = poisoned._replace(dY=np.where(padding[..., None], np.nan, numbers.dY))
    for name, value in run_case(backend, case, poisoned).items():
        require_bits(value, clean[name])


@given(case=cases(layers))
def test_arguments_are_never_changed(backend, case):
    numbers, untouched = case.numbers, case.numbers
    for array in arrays(numbers):
        array.flags.writeable = False  # and read-only arrays are accepted
    run_case(backend, case, numbers)
    for array, before in zip(arrays(numbers), arrays(untouched), strict=True):
        require_bits(array, before)


def arrays(numbers):
    for value in numbers:
        if isinstance(value, State):
            yield from value
        elif value is not None:
            yield value


@given(case=cases(layers))
def test_results_share_no_memory_with_arguments(backend, case):
    numbers = case.numbers
    results = run_case(backend, case, numbers)
    for name, value in results.items():
        for array in arrays(numbers):
            assert not np.shares_memory(value, array), name


@given(case=cases(layers), data=st.data())
def test_a_row_does_not_depend_on_its_batch(backend, case, data):
    if case.B == 0:
        case = replace(case, B=1)
    i = data.draw(st.integers(0, case.B - 1))
    together = run_case(backend, case)
    alone = run_case(backend, case, rows(case.numbers, slice(i, i + 1)))
    for name in ("Y", "h", "c", "dX", "dh", "dc"):
        require_same(backend, alone[name], together[name][i : i + 1])


@given(case=cases(layers, ragged=True))
def test_a_ragged_row_equals_its_own_truncated_run(backend, case):
    numbers = case.numbers
    together = run_case(backend, case)
    for i, length in list(enumerate(numbers.lengths))[:5]:
        single = rows(numbers, slice(i, i + 1))
        single = single._replace(X=single.X[:, :length], lengths=None)
        if single.dY is not None:
            single = single._replace(dY=single.dY[:, :length])
        alone = run_case(backend, replace(case, T=int(length), ragged=False), single)
        for name in ("Y", "dX"):
            require_same(backend, alone[name], together[name][i : i + 1, :length])
        for name in ("h", "c", "dh", "dc"):
            require_same(backend, alone[name], together[name][i : i + 1])


@given(case=cases(layers))
def test_steps_one_by_one_equal_the_whole(backend, case):
    theta, X, state, lengths, *_ = case.numbers
    weights = backend.pack_layer(case.spec, backend.arrays.asarray(theta))
    whole, final, tape = backend.layer_forward(
        case.spec, weights, backend.arrays.asarray(X), tuple(state), lengths
    )
    assert tape is None
    state = tuple(map(backend.arrays.asarray, state))
    for t in range(case.T):
        active = None if lengths is None else (t < lengths).astype(np.int64)
        x = backend.arrays.asarray(np.ascontiguousarray(X[:, t : t + 1]))
        Y, state, _ = backend.layer_forward(case.spec, weights, x, state, active)
        require_same(
            backend, backend.arrays.to_numpy(Y), backend.arrays.to_numpy(whole)[:, t : t + 1]
        )
    for one, other in zip(state, final, strict=True):
        require_same(backend, backend.arrays.to_numpy(one), backend.arrays.to_numpy(other))


@given(case=cases(layers))
def test_the_final_state_is_that_of_each_rows_own_last_step(backend, case):
    numbers, results = case.numbers, run_case(backend, case)
    ends = np.full(case.B, case.T) if numbers.lengths is None else numbers.lengths
    for i, end in enumerate(ends):
        last = results["Y"][i, end - 1] if end else numbers.state.h[i]
        require_bits(results["h"][i], last)
        if not end:
            require_bits(results["c"][i], numbers.state.c[i])


@given(case=cases(layers))
def test_forward_is_the_same_with_and_without_a_tape(backend, case):
    theta, X, state, lengths, *_ = case.numbers
    weights = backend.pack_layer(case.spec, backend.arrays.asarray(theta))
    state = tuple(map(backend.arrays.asarray, state))
    Y, (h, c), _ = backend.layer_forward(
        case.spec, weights, backend.arrays.asarray(X), state, lengths
    )
    taped = run_case(backend, case)
    for name, value in (("Y", Y), ("h", h), ("c", c)):
        require_bits(backend.arrays.to_numpy(value), taped[name])


@given(case=cases(layers), other=cases(layers))
def test_a_second_run_gives_the_same_bits(backend, case, other):
    first = run_case(backend, case)
    poison_freed_memory(backend, other)
    second = run_case(backend, case)
    for name in first:
        require_bits(second[name], first[name])


def poison_freed_memory(backend, case):
    """Leave NaN and the results of another problem where the next run may find its memory."""
    run_case(backend, case)
    junk = [np.full(size, np.nan) for size in (1, 10, 100, 1000, 10_000, 100_000)]
    del junk


@given(case=cases(layers))
def test_a_tape_can_be_read_twice(backend, case):
    theta, X, state, lengths, dY, dstate, *_ = case.numbers
    weights = backend.pack_layer(case.spec, backend.arrays.asarray(theta))
    _, _, tape = backend.layer_forward(
        case.spec, weights, backend.arrays.asarray(X), tuple(state), lengths, tape=True
    )
    dstate = None if dstate is None else tuple(dstate)
    once, twice = (backend.layer_backward(case.spec, weights, tape, dY, dstate) for _ in range(2))
    for one, other in zip(
        (once[0], once[1], *once[2]), (twice[0], twice[1], *twice[2]), strict=True
    ):
        require_bits(backend.arrays.to_numpy(one), backend.arrays.to_numpy(other))


@pytest.mark.parametrize("spec", [LayerSpec(3, 5, "float32"), LayerSpec(1, 17, "float64")], ids=str)
def test_packed_weights_do_not_follow_theta(backend, spec):
    """pack reads theta and keeps nothing: an update in place cannot reach into an old tape."""
    case = Case(spec, 2, 4, seed=5)
    numbers = case.numbers
    weights = backend.pack_layer(spec, numbers.theta)
    state = tuple(numbers.state)
    before, _, _ = backend.layer_forward(spec, weights, numbers.X, state)
    numbers.theta[...] = 0.0
    after, _, _ = backend.layer_forward(spec, weights, numbers.X, state)
    require_bits(backend.arrays.to_numpy(after), backend.arrays.to_numpy(before))


def test_packed_head_does_not_follow_theta(backend):
    spec = HeadSpec(3, 2, "float64")
    theta, H = np.arange(8.0), np.ones((4, 3))
    weights = backend.pack_head(spec, theta)
    before = backend.arrays.to_numpy(backend.head_forward(spec, weights, H)).copy()
    theta[...] = 0.0
    require_bits(backend.arrays.to_numpy(backend.head_forward(spec, weights, H)), before)
