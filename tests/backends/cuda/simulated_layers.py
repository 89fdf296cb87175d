"""The CUDA kernels in Numba's simulator, held to the reference: run by `test_cuda.py`.

NUMBA_ENABLE_CUDASIM=1 must be set before Numba is imported, so this is a pytest run of its own. The
simulator takes a thread of Python for every thread of a block: sizes are tiny, and odd.
"""

import doctest
import importlib
from dataclasses import replace

import numpy as np
import pytest

import numlstm
from helpers.harness import BARS, require_bits, require_close, require_strict, run_case, run_head
from helpers.house import MODULES
from helpers.simulator import CUTS, cut, poisoned_memory  # noqa: F401
from helpers.strategies import Case, alone, random_family_case, random_family_network
from numlstm import backends, inspection
from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import HeadSpec, LayerSpec, NetworkSpec
from numlstm.backends import cuda, reference
from numlstm.backends.cuda.device import memory
from numlstm.backends.cuda.layer import launch, layout, regimes
from numlstm.cell.encoding import encode
from numlstm.network.network import Network


@pytest.fixture(params=CUTS)
def every_cut(request, monkeypatch):
    """The three regimes, at sizes that the table would give to the first."""
    monkeypatch.setattr(launch, "regime_of", cut(request.param))


def test_it_is_the_simulator_that_runs_and_only_when_asked():
    assert backends.get("cuda") is cuda
    assert cuda.SIMULATED
    assert backends.get("auto").name == "cpu"


@pytest.mark.parametrize("variant", alone())
def test_every_variant_alone(variant):
    case = alone(B=2, T=3, seed=1)[variant]
    require_close(case, run_case(cuda, case))


@pytest.mark.parametrize("seed", range(0, 12, 3))
def test_random_variants_in_every_regime(every_cut, seed):
    for offset in range(3):
        case = random_family_case(seed + offset, ("float32", "float64", "float32")[offset])
        require_close(case, run_case(cuda, case))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 7, 5, 2), (2, 4, 0, 3), (2, 4, 3, 0)], ids=str)
def test_plain_layers(every_cut, sizes, dtype):
    input_size, hidden_size, B, T = sizes
    for ragged in (False, True):
        case = Case(LayerSpec(input_size, hidden_size, dtype), B, T, seed=3, ragged=ragged)
        require_strict(case, run_case(cuda, case))


@pytest.mark.parametrize("given", ["dY", "dstate"])
def test_a_gradient_that_is_not_given_is_zero(given):
    absent = {"with_dY": given == "dY", "with_dstate": given == "dstate"}
    case = Case(LayerSpec(2, 3, "float64"), 2, 3, **absent)
    require_close(case, run_case(cuda, case, need_dX=False), need_dX=False)


def test_the_regimes_and_a_second_run_give_the_same_bits(monkeypatch):
    case = Case(LayerSpec(2, 5, "float32"), 3, 4, seed=7, ragged=True)
    results = []
    for name in (*CUTS, *CUTS):
        monkeypatch.setattr(launch, "regime_of", cut(name))
        results.append(run_case(cuda, case))
    for result in results[1:]:
        for name, value in result.items():
            require_bits(value, results[0][name])


@pytest.mark.parametrize("seed", [4, 11])
def test_a_row_does_not_depend_on_its_batch(every_cut, seed):
    case = replace(random_family_case(seed), B=4, noisy=(), resets=False, ragged=False)
    together, numbers = run_case(cuda, case), case.numbers
    pick = slice(2, 3)
    single = numbers._replace(
        X=numbers.X[pick],
        state=type(numbers.state)(*(part[pick] for part in numbers.state)),
        dY=numbers.dY[pick],
        dstate=type(numbers.dstate)(*(part[pick] for part in numbers.dstate)),
    )
    for name, value in run_case(cuda, case, single).items():
        if name != "dtheta":
            require_bits(value, together[name][pick])


def test_padding_is_never_read():
    cell = Cell("coupled", peephole=True, layer_norm=True, proj_clip=0.2)
    for spec in (LayerSpec(2, 3, "float64"), LayerSpec(2, 3, "float64", 2, cell)):
        case = Case(spec, 3, 4, seed=2)
        numbers = case.numbers._replace(lengths=np.array([4, 0, 2]))
        padding = (np.arange(4) >= numbers.lengths[:, None])[..., None]
        X, dY = (np.where(padding, np.nan, array) for array in (numbers.X, numbers.dY))
        clean = run_case(cuda, case, numbers)
        for name, value in run_case(cuda, case, numbers._replace(X=X, dY=dY)).items():
            require_bits(value, clean[name])


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed):
    case = random_family_network(seed, ("float64", "float32")[seed % 2])
    require_close(case, run_case(cuda, case))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_direct_connections(last, ragged):
    spec = NetworkSpec(2, 3, 2, 1, "float64", bidirectional=True, direct_input=True)
    case = Case(spec, 3, 4, seed=5, ragged=ragged, last=last)
    numbers = case.numbers
    if ragged:
        numbers = numbers._replace(lengths=np.array([4, 0, 2]))
    truth = run_case(reference, case, numbers)
    if ragged:  # nor is the padding read
        outside = (np.arange(4) >= numbers.lengths[:, None])[..., None]
        numbers = numbers._replace(X=np.where(outside, np.nan, numbers.X))
    for name, value in run_case(cuda, case, numbers).items():
        np.testing.assert_allclose(value, truth[name], rtol=1e-12, atol=1e-13, err_msg=name)


ATTRIBUTES = {
    "plain": {},
    "coupled": {"cell": Cell("coupled", layer_norm=True, peephole=True)},
    "no forget gate": {"cell": Cell("none"), "proj_size": 2, "dtype": "float32"},
    "both ways": {"bidirectional": True, "num_layers": 2, "learned_state": True},
}


@pytest.mark.parametrize("seed", range(6))
def test_traces(every_cut, seed):
    """Gates and the carried cell off the tape, of all steps and units, and of some."""
    case, rng = random_family_case(seed, "float64"), np.random.default_rng(seed)
    numbers, H = case.numbers, case.spec.hidden_size
    steps = rng.integers(0, max(1, case.T), (case.B, 3 if case.T else 0))
    units = rng.integers(0, H, 2)
    found = []
    for backend in (cuda, reference):
        move = backend.arrays.asarray
        weights = backend.pack_layer(case.spec, move(numbers.theta))
        state = tuple(map(move, numbers.state))
        lengths, reset = (a if a is None else move(a) for a in (numbers.lengths, numbers.reset))
        noise = numbers.noise and type(numbers.noise)(
            *(a if a is None else move(a) for a in numbers.noise)
        )
        options = {"tape": True, "reset": reset, "noise": noise}
        _, _, tape = backend.layer_forward(
            case.spec, weights, move(numbers.X), state, lengths, **options
        )
        traced = [
            backend.arrays.to_numpy(backend.layer_trace(case.spec, tape, name, *asked))
            for name in "ifgoc"
            for asked in ((), (steps, None), (None, units), (steps, units))
        ]
        found.append(traced)
    for have, want in zip(*found, strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-12)


def test_a_model_is_traced_on_the_device():
    X, lengths = np.random.default_rng(0).standard_normal((2, 4, 2)), [4, 3]
    asked = {"lengths": lengths, "steps": [3, 0], "units": [2, 0]}
    kind = {"bidirectional": True, "num_layers": 2, "dtype": "float64", "rng": 0}
    model, truth = (numlstm.LSTM(2, 3, 1, backend=name, **kind) for name in ("cuda", "reference"))
    for have, want in zip(model.trace(X, **asked), truth.trace(X, **asked), strict=True):
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-12, equal_nan=True)


def test_a_trace_goes_on_on_the_device():
    X = np.random.default_rng(0).standard_normal((2, 4, 1))
    model = numlstm.LSTM(1, 3, 1, backend="cuda", rng=0)
    _, state = model.predict(X[:, :2], return_state=True)
    for have, want in zip(model.trace(X[:, 2:], state), model.trace(X), strict=True):
        require_bits(have, want[:, :, 2:])


def run_with_attributes(backend, spec, lengths):
    """All results of a pass over three sequences, forward and back."""
    network, rng = Network(spec, backend), np.random.default_rng(0)
    arrays = backend.arrays
    shapes = (spec.num_parameters,), (3, 5, 2), (3, 4), (3, 5, 2)
    theta, X, static, dY = (
        arrays.asarray(rng.standard_normal(shape).astype(spec.dtype)) for shape in shapes
    )
    lengths = None if lengths is None else arrays.asarray(lengths)
    weights = network.pack(theta)
    Y, state, tape = network.forward(weights, X, None, lengths, tape=True, static=static)
    dtheta, dX, dstate, dstatic = network.backward(weights, tape, dY, None, need_dX=True)
    results = {"Y": Y, "h": state.h, "c": state.c, "dtheta": dtheta, "dX": dX, "dh": dstate.h}
    return {name: arrays.to_numpy(value) for name, value in (results | {"dS": dstatic}).items()}


@pytest.mark.parametrize("lengths", [None, np.array([5, 0, 3])], ids=["full", "ragged"])
@pytest.mark.parametrize("variant", ATTRIBUTES)
def test_attributes_of_whole_sequences(every_cut, variant, lengths):
    spec = NetworkSpec(2, 3, 2, static_size=4, **{"dtype": "float64", **ATTRIBUTES[variant]})
    truth = run_with_attributes(reference, replace(spec, dtype="float64"), lengths)
    for name, value in run_with_attributes(cuda, spec, lengths).items():
        assert value.dtype == spec.dtype
        error = np.linalg.norm(value - truth[name])
        assert error <= BARS[spec.dtype] * np.linalg.norm(truth[name]), name


@pytest.mark.parametrize("variant", ATTRIBUTES)
def test_gradients_without_that_of_theta_have_the_same_bits(variant):
    spec = NetworkSpec(2, 3, 2, static_size=4, **{"dtype": "float64", **ATTRIBUTES[variant]})
    network, arrays, rng = Network(spec, cuda), cuda.arrays, np.random.default_rng(0)
    theta = rng.standard_normal(spec.num_parameters).astype(spec.dtype)
    weights = network.pack(arrays.asarray(theta))
    X, dY, static = (
        arrays.asarray(rng.standard_normal(shape).astype(spec.dtype))
        for shape in ((3, 4, 2), (3, 4, 2), (3, 4))
    )
    _, _, tape = network.forward(weights, X, tape=True, static=static)
    every, others = (
        network.backward(weights, tape, dY, need_dX=True, need_dtheta=wanted)
        for wanted in (True, False)
    )
    assert others.theta is None
    for one, other in (
        (every.X, others.X),
        (every.static, others.static),
        *zip(every.state, others.state, strict=True),
    ):
        require_bits(arrays.to_numpy(other), arrays.to_numpy(one))


def test_attributions_are_those_of_the_cpu():
    X, found = np.random.default_rng(0).standard_normal((2, 3, 2)), {}
    for backend in ("cuda", "cpu"):
        model = numlstm.LSTM(2, 3, 1, dtype="float64", rng=0, backend=backend)
        found[backend] = inspection.integrated_gradients(model, X, num_steps=3).values
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=1e-11, atol=1e-15)


def test_a_layer_without_steps_gives_row_terms_no_gradient():
    spec = LayerSpec(2, 3, "float64", static_size=4)
    weights = cuda.pack_layer(spec, cuda.arrays.zeros(12 * 10, "float64"))
    X, terms = cuda.arrays.zeros((2, 0, 2), "float64"), cuda.arrays.full((2, 12), 1.0, "float64")
    state = (cuda.arrays.zeros((2, 3), "float64"),) * 2
    _, _, tape = cuda.layer_forward(spec, weights, X, state, tape=True, row_terms=terms)
    dtheta, _, _, dterms = cuda.layer_backward(spec, weights, tape, None, None)
    assert not cuda.arrays.to_numpy(dterms).any()
    assert not cuda.arrays.to_numpy(dtheta).any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("leading", [(0,), (7,), (2, 3)])
def test_head(leading, dtype):
    spec, rng = HeadSpec(5, 3, dtype), np.random.default_rng(0)
    shapes = (18,), (*leading, 5), (*leading, 3)
    theta, H, dY = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    results = run_head(cuda, spec, theta, H, dY)
    truth = run_head(
        reference, replace(spec, dtype="float64"), *(a.astype("float64") for a in (theta, H, dY))
    )
    for name, expected in truth.items():
        assert results[name].dtype == dtype
        error = np.linalg.norm(results[name] - expected)
        assert error <= BARS[dtype] * np.linalg.norm(expected), name


def test_long_sums_are_cut_into_parts(monkeypatch):
    monkeypatch.setattr(launch, "LONG", 3)
    case = Case(LayerSpec(2, 3, "float64"), 2, 4)
    require_strict(case, run_case(cuda, case))


def test_derivatives_along_a_direction_are_those_of_the_cpu():
    model = numlstm.LSTM(2, 3, 1, dtype="float64", rng=0, backend="cuda")
    X, v = np.ones((2, 3, 2)), np.ones(model.theta.size)
    Y, _ = model.jvp(X, dtheta=v)[1]
    numlstm_cpu = numlstm.LSTM(2, 3, 1, dtype="float64", rng=0, backend="cpu")
    np.testing.assert_allclose(Y, numlstm_cpu.jvp(X, dtheta=v)[1][0], rtol=1e-12)


def test_fit_agrees_with_the_cpu():
    t = np.arange(12.0)
    X = np.sin(t + np.arange(3)[:, None])[..., None]
    options = {"hidden_size": 3, "epochs": 2, "bptt_steps": 7, "rng": 0, "dtype": "float64"}
    ours, theirs = (
        numlstm.fit(X, np.cumsum(X, axis=1), backend=name, progress=False, **options)
        for name in ("cuda", "cpu")
    )
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-9, atol=1e-12)


def test_too_little_memory_is_said_in_words(monkeypatch):
    def new_block(size, stream):
        raise RuntimeError("CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr(memory.driver, "new_block", new_block)
    with pytest.raises(numlstm.BackendError, match="smaller batches"):
        memory.empty((2, 3), "float32")


# what drives a GPU has its place taken by the simulator's
OURS = [
    name
    for name in MODULES
    if name.startswith(cuda.__name__) and name != f"{cuda.__name__}.device.driver"
]


@pytest.mark.parametrize("module", OURS)
def test_docstring_examples_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


# --- the table and the layout ---------------------------------------------------------------------


@pytest.mark.parametrize("spec", [case.spec for case in alone().values()], ids=list(alone()))
def test_every_parameter_has_one_place(spec):
    source = layout.layout_of(spec).source
    count = sum(int(np.prod(shape)) for shape in spec.shapes.values())
    np.testing.assert_array_equal(np.sort(source[source >= 0]), np.arange(count))


@pytest.mark.parametrize("kilobytes", [64, 99, 163, 227])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_table_keeps_within_the_device(kilobytes, dtype):
    device = regimes.Device(kilobytes * 1024, 40)
    for cell in (Cell(), Cell(layer_norm=True)):
        encoded = encode(LayerSpec(1, 1, dtype, cell=cell))
        for units in (1, 2, 33, 64, 96, 127, 128, 129, 256, 500, 1024, 3000):
            for batch in (1, 7, 64, 5000):
                regime = regimes.regime_of(encoded, units, batch, dtype, device)
                tile, groups = regime.tile, -(-batch // regime.rows)
                assert regime.shared_memory <= device.shared_memory
                assert 1 <= tile.units * tile.lines <= regimes.MAX_THREADS
                assert regime.columns == 1 or tile.shared_units
                waits = tile.shared_units and not regime.step_by_step
                assert not waits or regime.columns * groups <= device.processors
                assert tile.kept + tile.held in (0, units)
                assert not tile.held or tile.depth == units
