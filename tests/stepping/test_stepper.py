"""The step inside the user's own compiled loop: `LSTM.njit`, `LSTM.cfunc`, and `LSTM.step`."""

import contextlib
import copy
import ctypes
import gc
import importlib
import pickle
import platform
import sys
import weakref

import numba
import numpy as np
import pytest
import scipy
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys
from numba.experimental import jitclass
from numba.typed import Dict, List

import numlstm
from helpers.harness import require_bits
from helpers.processes import run_python
from helpers.stepping import DTYPES, VARIANTS, a_model, inputs, require_steps_in_parallel


@numba.njit
def simulate(stepper, X, h, c, Y):
    """Every step of X (T, I) or (T, B, I); the sum of what the steps returned."""
    status = 0
    for t in range(len(X)):
        status += stepper.step(X[t], h, c, Y[t])
    return status


def simulated(model, X, **options):
    """Y, h and c after all of X (T, I) or (T, B, I)."""
    stepper = model.njit(**options)
    h, c = stepper.initial_state(*X.shape[1:-1])
    Y = np.full((*X.shape[:-1], model.spec.width), np.nan, model.spec.dtype)
    assert simulate(stepper, X, h, c, Y) == 0
    return Y, h, c


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_a_compiled_loop_is_step_bit_for_bit(name, dtype):
    model = a_model(dtype, **VARIANTS[name])
    X, state = inputs(model, 10_000), None
    Y, h, c = simulated(model, X)
    for t in range(len(X)):
        y, state = model.step(X[t], state)
        if t < 10 or t == len(X) - 1:
            require_bits(Y[t], y)
    require_bits(h, state.h[:, 0])
    require_bits(c, state.c[:, 0])
    if name != "everything":
        reference = numlstm.LSTM.from_spec(model.spec, "reference", model.theta)
        expected, _ = reference.forward(X[None, :500])
        limit = {"float64": 1e-12, "float32": 2e-5}[dtype]
        assert np.linalg.norm(Y[:500] - expected[0]) <= limit * np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["plain", "projection", "everything"])
@pytest.mark.parametrize("hidden_size", [8, 16, 29, 64])
def test_a_batch_is_forward_bit_for_bit(name, dtype, hidden_size):
    model = a_model(dtype, hidden_size, **VARIANTS[name])
    X = inputs(model, 5, 29)
    Y, h, c = simulated(model, X)
    expected, final = model.forward(X.transpose(1, 0, 2))
    require_bits(Y, expected.transpose(1, 0, 2))
    require_bits(h, final.h)
    require_bits(c, final.c)


def test_no_rows_and_one_row():
    model = a_model()
    assert simulated(model, inputs(model, 3, 0))[0].shape == (3, 0, 2)
    X = inputs(model, 3)
    require_bits(simulated(model, X[:, None])[0][:, 0], simulated(model, X)[0])


def test_units_of_the_data():
    rng = np.random.default_rng(0)
    X = 50 + 20 * rng.standard_normal((8, 30, 2))
    model = numlstm.fit(X, X.sum(axis=-1, keepdims=True), hidden_size=5, epochs=2, rng=0).model
    Y, _, _ = simulated(model, X[0].astype("float32"))
    require_bits(Y, model.predict(X[0].astype("float32")))
    scaled = model.scaling.inputs(X[0].astype("float32"))
    Y, _, _ = simulated(model, scaled, standardize=False)
    require_bits(Y, model.forward(scaled[None])[0][0])


def test_a_change_of_the_scaling_is_in_the_next_stepper():
    model = numlstm.fit(np.sin(np.arange(50.0)), hidden_size=3, epochs=1, rng=0).model
    X = np.linspace(3, 4, 5, dtype="float32")[:, None]
    first, _, _ = simulated(model, X)
    assert model.njit() is model.njit()
    model.scaling.y_mean[...] += 1
    moved, _, _ = simulated(model, X)
    np.testing.assert_allclose(moved, first + 1, rtol=1e-6)
    np.testing.assert_allclose(moved, model.predict(X), rtol=1e-6)


def test_mean_and_log_variance_in_the_units_of_the_data():
    X = 5 + np.random.default_rng(0).standard_normal((4, 20, 1))
    model = numlstm.fit(X, 3 * X, loss="gaussian_nll", hidden_size=4, epochs=1, rng=0).model
    X = X[0].astype("float32")
    require_bits(simulated(model, X)[0], model.predict(X))


def test_it_allocates_nothing():
    model = a_model(num_layers=2)
    X, stepper = inputs(model, 1000), model.njit()
    (h, c), Y = stepper.initial_state(), np.empty((1000, 2))
    simulate(stepper, X, h, c, Y)
    _nrt_python.memsys_enable_stats()
    try:
        counts = []
        for loop, steps in ((simulate, 10), (simulate, 1000), (simulate_with_copies, 1000)):
            before = rtsys.get_allocation_stats().alloc
            loop(stepper, X[:steps], h, c, Y)
            counts.append(rtsys.get_allocation_stats().alloc - before)
    finally:
        _nrt_python.memsys_disable_stats()
    assert counts[0] == counts[1]  # what it takes to hand arrays from Python to compiled code
    assert counts[2] == counts[1] + 1000  # the counter counts


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="reads x86 registers by glibc"
)
@pytest.mark.parametrize("rounding", [0x000, 0x400, 0x800, 0xC00])
@pytest.mark.parametrize("flushed", [0x0000, 0x8040])
def test_it_leaves_the_settings_of_the_processor_alone(rounding, flushed):
    """Rounding mode, flushing of subnormal numbers, masks of exceptions: as the host set them."""
    model, libm = a_model(num_layers=2), ctypes.CDLL(None)
    X, stepper, given, found = inputs(model, 10), model.njit(), *np.zeros((2, 16), np.uint32)
    (h, c), Y = stepper.initial_state(), np.empty((10, 2))
    simulate(stepper, X, h, c, Y)
    host = np.zeros(16, np.uint32)
    libm.fegetenv(ctypes.c_void_p(host.ctypes.data))
    given[:] = host
    given[0] = host[0] & 0xFFFFF3FF | rounding  # of the x87, then of SSE
    given[7] = host[7] & 0xFFFF1FBF | rounding << 3 | flushed
    libm.fesetenv(ctypes.c_void_p(given.ctypes.data))
    simulate(stepper, X, h, c, Y)
    libm.fegetenv(ctypes.c_void_p(found.ctypes.data))
    libm.fesetenv(ctypes.c_void_p(host.ctypes.data))
    settings = np.array([0xFFFF, 0xFFC0])  # without the exceptions raised so far
    np.testing.assert_array_equal(found[[0, 7]] & settings, given[[0, 7]] & settings)
    assert np.isfinite(Y).all()


@numba.njit
def simulate_with_copies(stepper, X, h, c, Y):
    """As `simulate`, with an allocation per step."""
    for t in range(len(X)):
        stepper.step(X[t].copy(), h, c, Y[t])


def test_in_a_parallel_loop_of_the_user():
    require_steps_in_parallel()


def test_wrong_sizes_are_a_status_and_nothing_is_written():
    model = a_model()
    stepper = model.njit()
    good = {"x": np.ones(3), "h": np.ones((1, 11)), "c": np.ones((1, 11)), "y": np.ones(2)}
    call = numba.njit(lambda stepper, x, h, c, y: stepper.step(x, h, c, y))
    assert call(stepper, *copy.deepcopy(good).values()) == 0
    for name, value in good.items():
        changed = copy.deepcopy(good | {name: np.ones((*value.shape[:-1], value.shape[-1] + 1))})
        assert call(stepper, *changed.values()) == 2, name
        assert all((part == 1).all() for part in changed.values())


def test_an_empty_input_with_an_axis_whose_size_overflows_is_a_wrong_size():
    """2**60 rows of 16 are 0 modulo 2**64, as many elements as such an array has."""
    stepper = numlstm.LSTM(16, 16, 16, rng=0).njit()
    call = numba.njit(lambda stepper, x, h, c, y: stepper.step(x, h, c, y))
    rows, state = np.empty((2**60, 0), "float32"), np.empty((1, 2**59, 0), "float32")
    assert call(stepper, rows, state, state, rows) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones(3, "float32")}, "x must be a C-contiguous array of float64"),
        ({"h": np.ones((1, 22))[:, ::2]}, "h must be a C-contiguous array of float64"),
        ({"y": 1.0}, "y must be a C-contiguous array of float64"),
        ({"x": np.ones((1, 1, 3))}, "x must be"),
    ],
)
def test_wrong_types_are_refused_when_the_caller_is_compiled(change, message):
    arrays = {"x": np.ones(3), "h": np.ones((1, 11)), "c": np.ones((1, 11)), "y": np.ones(2)}
    call = numba.njit(lambda stepper, x, h, c, y: stepper.step(x, h, c, y))
    with pytest.raises(TypingError, match=message):
        call(a_model().njit(), *(arrays | change).values())


THREADED = """
import numba, numpy as np
import numlstm
from helpers.stepping import a_model, inputs, many_adjoints, simulate_many
from helpers.stepping import require_adjoints_in_parallel, require_steps_in_parallel

model = a_model("float32", 16, num_layers=2)
X, stepper = inputs(model, 40, 25), model.njit(derivatives=True)
h, c = (np.stack([part] * 40) for part in stepper.initial_state())
Y = np.empty((40, 25, 2), "float32")
simulate_many(stepper, X, h, c, Y)
expected, pullback = model.vjp(X)
assert (Y == expected).all()
H, C = (np.zeros((40, 1, 2, 16), "float32") for _ in "hc")
dX, dtheta = np.empty((40, 1, 3), "float32"), np.zeros((40, model.theta.size), "float32")
many_adjoints(stepper, X[:, :1].copy(), H, C, Y[:, :1].copy(), 0 * h, 0 * c, dX, dtheta)
gradients = model.vjp(X[:, :1])[1](Y[:, :1])
np.testing.assert_allclose(dX, gradients.X, rtol=1e-4, atol=1e-6)
np.testing.assert_allclose(dtheta.sum(axis=0), gradients.theta, rtol=1e-4, atol=1e-5)
require_steps_in_parallel()
require_adjoints_in_parallel()
assert numba.get_num_threads() == 4
print(numba.threading_layer())
"""


def threading_layers():
    """Those that Numba can load here."""
    modules = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}
    found = []
    for layer, module in modules.items():
        with contextlib.suppress(ImportError):
            importlib.import_module(f"numba.np.ufunc.{module}")
            found.append(layer)
    return found


def run_script(script, *arguments, **environment):
    """What a Python script prints, run in a process of its own."""
    done = run_python(script, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("layer", threading_layers())
def test_on_every_threading_layer(layer, tmp_path):
    script = tmp_path / "threaded.py"
    script.write_text(THREADED)
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4"}
    assert run_script(script, **environment) == [layer]


CACHED = """
import numba, numpy as np, sys
import numlstm

@numba.njit(cache=True)
def simulate(stepper, X, h, c, Y):
    for t in range(len(X)):
        stepper.step(X[t], h, c, Y[t])

def main(seed):
    model = numlstm.LSTM(2, 4, 1, rng=seed)
    stepper, X, Y = model.njit(), np.ones((9, 2), "float32"), np.empty((9, 1), "float32")
    simulate(stepper, X, *stepper.initial_state(), Y)
    assert (Y == model.forward(X[None])[0][0]).all()
    print(sum(simulate.stats.cache_hits.values()), sum(simulate.stats.cache_misses.values()))

main(int(sys.argv[1]))
"""


def test_a_cached_caller_is_not_compiled_again(tmp_path):
    script = tmp_path / "caller.py"
    script.write_text(CACHED)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    hits_and_misses = [run_script(script, seed, **cache) for seed in ("0", "1")]
    assert hits_and_misses == [["0", "1"], ["1", "0"]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_c_function(dtype):
    model = a_model(dtype, num_layers=2)
    function, X = model.cfunc(), inputs(model, 4, 3)
    h, c = (np.zeros((2, 3, 11), dtype) for _ in "hc")
    y = np.empty((3, 2), dtype)
    for x in X:
        assert function.ctypes(function.net, *(a.ctypes.data for a in (x, h, c, y)), 3) == 0
    require_bits(y, model.forward(X.transpose(1, 0, 2))[0][:, -1])
    good = [function.net, *(a.ctypes.data for a in (X[0], h, c, y))]
    for n in range(5):
        assert function.ctypes(*(None if i == n else good[i] for i in range(5)), 3) == 1
    assert function.ctypes(*good, -1) == 2
    assert function.ctypes(*good, 0) == 0


def test_step_leaves_its_arguments_and_its_model_alone():
    model = a_model(num_layers=2)
    x, state = inputs(model, 3), model.forward(inputs(model, 3, 5))[1]
    given = copy.deepcopy((x, state))
    y, after = model.step(x, state)
    for one, other in zip((x, *state), (given[0], *given[1]), strict=True):
        require_bits(one, other)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        require_bits(twin.step(x, state)[0], y)
    model.theta[0] += 1
    assert (model.step(x, state)[0] != y).any()
    strided = numlstm.State(*(np.asfortranarray(part) for part in after))
    require_bits(model.step(x, strided)[0], model.step(x, after)[0])


def test_a_stepper_keeps_the_parameters_it_was_made_with():
    model = a_model()
    X, stepper = inputs(model, 5), model.njit()
    expected, Y = model.forward(X[None])[0][0], np.empty((5, 2))
    model.theta[...] = 0
    simulate(stepper, X, *stepper.initial_state(), Y)
    require_bits(Y, expected)


# --- where compiled code keeps steppers -----------------------------------------------------------


def released(*kept):
    """What was to be kept, after all memory that nobody keeps was given to others."""
    gc.collect()
    for seed in range(50):
        numlstm.LSTM(3, 11, 2, dtype="float64", rng=seed).njit()
    gc.collect()
    return kept


@numba.njit
def simulate_each(steppers, X, h, c, Y):
    """Every stepper of a list or tuple, from a state of its own."""
    for n, stepper in enumerate(steppers):
        for t in range(len(X)):
            stepper.step(X[t], h[n], c[n], Y[n, t])


@numba.njit
def chosen(steppers, key):
    """The stepper itself, through compiled code."""
    return steppers[key]


def three_models():
    """Models of equal sizes, what they give for X, and X."""
    models = [numlstm.LSTM(3, 11, 2, dtype="float64", rng=seed) for seed in range(3)]
    X = inputs(models[0], 6)
    return models, np.stack([model.forward(X[None])[0][0] for model in models]), X


@pytest.mark.parametrize("container", [List, tuple])
def test_containers_keep_their_steppers(container):
    models, expected, X = three_models()
    steppers = container([model.njit() for model in models])
    for model in models:  # not through the model either, which keeps the last it made
        model.theta[...] = 0
        model.njit()
    del models, model
    (steppers,) = released(steppers)
    Y = np.empty_like(expected)
    simulate_each(steppers, X, np.zeros((3, 1, 11)), np.zeros((3, 1, 11)), Y)
    require_bits(Y, expected)


def test_what_compiled_code_gives_back_is_a_stepper():
    models, expected, X = three_models()
    kind = numba.typeof(models[0].njit())
    by_name, several = Dict.empty(numba.types.int64, kind), List()
    for key, model in enumerate(models):
        by_name[key] = model.njit()
        several.append(model.njit())
    del models, model
    found = [(chosen(by_name, key), chosen(several, key), by_name[key]) for key in range(3)]
    (found,) = released(found)
    for steppers, one in zip(found, expected, strict=True):
        for stepper in steppers:
            Y = np.empty_like(one)
            simulate(stepper, X, *stepper.initial_state(), Y)
            require_bits(Y, one)


def test_fields_keep_their_steppers():
    models, expected, X = three_models()

    @jitclass([("stepper", numba.typeof(models[0].njit()))])
    class River:
        def __init__(self, stepper):
            self.stepper = stepper

        def simulate(self, X, h, c, Y):
            for t in range(len(X)):
                self.stepper.step(X[t], h, c, Y[t])

    rivers = [River(model.njit()) for model in models]
    rivers[0].stepper = models[2].njit()  # and the field can be set anew
    rivers[0].stepper = models[0].njit()
    del models
    (rivers,) = released(rivers)
    for river, one in zip(rivers, expected, strict=True):
        Y = np.empty_like(one)
        river.simulate(X, np.zeros((1, 11)), np.zeros((1, 11)), Y)
        require_bits(Y, one)
        Y = np.empty_like(one)
        simulate(river.stepper, X, np.zeros((1, 11)), np.zeros((1, 11)), Y)
        require_bits(Y, one)


def test_closures_and_globals_keep_their_steppers():
    """As constants of compiled code, also after the name means another stepper."""
    models, expected, X = three_models()

    def closed_over(stepper):
        @numba.njit
        def run(X, h, c, Y):
            for t in range(len(X)):
                stepper.step(X[t], h, c, Y[t])

        return run

    runs = [closed_over(model.njit()) for model in models[:2]]
    space = {"numba": numba, "stepper": models[2].njit()}
    exec("@numba.njit\ndef run(X, h, c, Y):\n    for t in range(len(X)):\n"
         "        stepper.step(X[t], h, c, Y[t])", space)  # fmt: skip
    runs.append(space["run"])
    for attempt in range(2):
        for run, one in zip(runs, expected, strict=True):
            Y = np.empty_like(one)
            run(X, np.zeros((1, 11)), np.zeros((1, 11)), Y)
            require_bits(Y, one)
        if attempt == 0:
            models[2].theta[...] = 0
            space["stepper"] = models[2].njit()
            del models
            (runs,) = released(runs)


@pytest.mark.parametrize("derivatives", [False, True])
def test_a_stepper_goes_when_nothing_keeps_it(derivatives):
    kept, X = List(), inputs(a_model(), 2)
    stepper = a_model().njit(derivatives=derivatives)
    alive = weakref.ref(stepper)
    simulate(stepper, X, *stepper.initial_state(), np.empty((2, 2)))
    kept.append(stepper)
    del stepper
    gc.collect()
    assert alive() is not None
    kept.clear()
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("name", ["step", "step_jvp", "step_vjp"])
def test_python_is_told_where_a_step_is(name):
    words = rf"stepper\.{name} is for compiled code: .* under numba\.njit"
    for derivatives in (False, True):
        stepper = a_model().njit(derivatives=derivatives)
        with pytest.raises(AttributeError, match=words):
            getattr(stepper, name)(np.ones(3))
    with pytest.raises(AttributeError, match="has no attribute 'steps'"):
        stepper.steps  # noqa: B018


def test_a_callback_of_scipy_as_cfuncs_note_says():
    model = numlstm.LSTM(1, 4, 1, dtype="float64", rng=0)
    stepper = model.njit()

    @numba.cfunc("float64(float64)")
    def response(u):
        x, h, c, y = np.full(1, u), np.zeros((1, 4)), np.zeros((1, 4)), np.empty(1)
        stepper.step(x, h, c, y)
        return y[0]

    given = np.linspace(-2, 2, 9)
    expected = model.forward(given[:, None, None])[0][:, 0, 0]
    require_bits(np.array([response.ctypes(u) for u in given]), expected)
    function = scipy.LowLevelCallable(response.ctypes)
    assert scipy.integrate.quad(function, 0, 1)[0] == pytest.approx(
        scipy.integrate.quad(lambda u: model.forward([[[u]]])[0][0, 0, 0], 0, 1)[0], rel=1e-12
    )


def test_what_is_refused():
    with pytest.raises(ValueError, match="bidirectional network has no step"):
        numlstm.LSTM(2, 3, bidirectional=True).njit()
    wide = numlstm.LSTM(200_000, 1, rng=0)
    with pytest.raises(ValueError, match="stack"):
        wide.njit()
    assert wide.step(np.ones(200_000))[0].shape == (1,)
    X = np.random.default_rng(0).standard_normal((4, 20, 1))
    X[:, 3] = np.nan
    filling = numlstm.fit(X, np.zeros((4, 20, 1)), missing="mask", epochs=1, rng=0).model
    with pytest.raises(ValueError, match="standardize=False"):
        filling.njit()
    assert filling.njit(standardize=False).input_size == 2
    with pytest.raises(TypeError, match="addresses of this process"):
        pickle.dumps(a_model().njit())
    with pytest.raises(TypeError, match="True or False"):
        a_model().njit(standardize=1)
