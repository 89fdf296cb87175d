"""Traces: the numbers of the kernels that predict, and the definition's."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numlstm
from helpers.processes import run_python
from helpers.strategies import alone, random_family_network
from numlstm.architecture.spec import Dropout, NetworkSpec, State

NAMES = ("h", "c", "i", "f", "g", "o")


def require_equal_bits(have, want):
    assert have.dtype == want.dtype
    np.testing.assert_array_equal(have, want)


def by_definition(model, X, lengths=None, reset=None, static=None, state=None):
    """The same trace of the backend that is the definition, in float64."""
    spec = replace(model.spec, dtype="float64")
    other = numlstm.LSTM.from_spec(spec, "reference", model.theta.astype(float))
    if state is not None:
        state = State(*(part.astype(float) for part in state))
    return other.trace(X, state, lengths=lengths, reset=reset, static=static)


def stepwise(model, X):
    """The plain cell and its gates by hand, in NumPy, of one layer, (B, T, H) each."""
    p, (B, T, _), H = model.params, X.shape, model.spec.hidden_size
    h = c = np.zeros((B, H))
    found = {name: np.zeros((B, T, H)) for name in NAMES}
    for t in range(T):
        z = X[:, t] @ p["weight_ih_l0"].T + h @ p["weight_hh_l0"].T + p["bias_l0"]
        i, f, o = (1 / (1 + np.exp(-z[:, k * H : (k + 1) * H])) for k in (0, 1, 3))
        g = np.tanh(z[:, 2 * H : 3 * H])
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, value in zip(NAMES, (h, c, i, f, g, o), strict=True):
            found[name][:, t] = value
    return found


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# --- the definition's numbers ---------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_the_equations_by_hand(backend):
    model, X = numlstm.LSTM(2, 5, 1, dtype="float64", rng=0, backend=backend), drawn(3, 6, 2)
    trace = model.trace(X)
    for name, want in stepwise(model, X).items():
        np.testing.assert_allclose(getattr(trace, name)[0], want, rtol=0, atol=1e-14)


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_random_networks_have_the_values_of_the_definition(seed):
    """Layers, directions, projections, every variant, zoneout, ragged rows, resets, states."""
    case = random_family_network(seed)
    spec, numbers = case.spec, case.numbers
    model = numlstm.LSTM.from_spec(spec, "cpu", numbers.theta)
    state = None if spec.bidirectional else numbers.state
    given_ = {"lengths": numbers.lengths, "reset": numbers.reset, "state": state}
    trace, want = model.trace(numbers.X, **given_), by_definition(model, numbers.X, **given_)
    for name, have, truth in zip(NAMES, trace, want, strict=True):
        if truth is None:
            assert have is None
            assert (name, spec.cell.forget_gate) == ("f", "none")
            continue
        scale = max(1.0, np.nanmax(np.abs(truth), initial=0))
        np.testing.assert_allclose(have, truth, rtol=0, atol=1e-12 * scale, equal_nan=True)


@pytest.mark.parametrize("variant", alone())
def test_every_variant_alone(variant):
    case = alone(B=3, T=5, seed=2)[variant]
    layer, own = case.spec, {}
    spec = NetworkSpec(
        layer.input_size,
        layer.hidden_size,
        dtype="float64",
        proj_size=layer.proj_size,
        cell=layer.cell,
        learned_state=layer.learned_state,
        dropout=Dropout(zoneout_c=0.25, zoneout_h=0.5),
    )
    theta = drawn(spec.num_parameters)
    model = numlstm.LSTM.from_spec(spec, "cpu", theta)
    trace, want = model.trace(case.numbers.X, **own), by_definition(model, case.numbers.X)
    for have, truth in zip(trace, want, strict=True):
        assert (have is None) == (truth is None)
        if have is not None:
            np.testing.assert_allclose(have, truth, rtol=1e-12, atol=1e-12)


def test_float32_stays_near_the_definition():
    model, X = numlstm.LSTM(3, 17, 1, num_layers=2, rng=0), drawn(9, 30, 3)
    for have, truth in zip(model.trace(X), by_definition(model, X), strict=True):
        assert have.dtype == np.float32
        np.testing.assert_allclose(have, truth, rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_shards_of_units_have_the_same_tape(batch):
    """Large weights and few rows: `recurrence_by_units`."""
    model, X = numlstm.LSTM(2, 150, dtype="float64", rng=0), drawn(batch, 9, 2)
    for have, truth in zip(model.trace(X), by_definition(model, X), strict=True):
        np.testing.assert_allclose(have, truth, rtol=0, atol=1e-12)


def test_a_coupled_gate_forgets_what_the_input_gate_lets_in():
    model = numlstm.LSTM(1, 4, cell={"forget_gate": "coupled"}, dtype="float64", rng=0)
    trace = model.trace(drawn(1, 8, 1))
    np.testing.assert_allclose(trace.f, 1 - trace.i, rtol=0, atol=1e-15)


def test_a_reset_begins_anew():
    model, X = numlstm.LSTM(1, 4, rng=0), drawn(2, 8, 1)
    reset = np.zeros((2, 8), bool)
    reset[:, 5] = True
    whole, later = model.trace(X, reset=reset), model.trace(X[:, 5:])
    for have, want in zip(whole, later, strict=True):
        require_equal_bits(have[:, :, 5:], want)


# --- the predictions' own numbers -----------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"num_layers": 2, "residual": False},
        {"bidirectional": True, "num_layers": 2},
        {"proj_size": 3},
        {"cell": {"layer_norm": True, "peephole": True}, "dropout": {"zoneout_h": 0.2}},
        {"dtype": "float64"},
    ],
    ids=str,
)
def test_the_head_makes_the_predictions_of_the_last_h(kind):
    model, X = numlstm.LSTM(2, 8, 3, rng=0, **kind), drawn(5, 20, 2)
    lengths = [20, 3, 0, 11, 20]
    trace, ways = model.trace(X, lengths=lengths), model.spec.num_directions
    hidden = np.nan_to_num(np.concatenate(trace.h[-ways:], axis=-1))
    network = model.network
    Y = network.backend.head_forward(model.spec.head, network.pack(model.theta).head, hidden)
    there = ~np.isnan(trace.h[-1, :, :, 0])
    require_equal_bits(Y.astype(float)[there], model.predict(X, lengths=lengths)[there])


def test_ends_are_the_final_state_of_forward():
    model, X = numlstm.LSTM(2, 8, 3, num_layers=2, proj_size=5, rng=0), drawn(5, 20, 2)
    lengths = np.array([20, 3, 1, 11, 20])
    _, state = model.forward(X, lengths=lengths)
    trace = model.trace(X, lengths=lengths)
    for have, want in zip((trace.h, trace.c), state, strict=True):
        require_equal_bits(have[:, np.arange(5), lengths - 1], want)


def test_what_comes_in_parts_is_traced_in_parts():
    model, X = numlstm.LSTM(1, 6, 1, num_layers=2, rng=0), drawn(3, 30, 1)
    _, state = model.predict(X[:, :13], return_state=True)
    whole = model.trace(X)
    first, second = model.trace(X[:, :13]), model.trace(X[:, 13:], state)
    for parts in zip(whole, first, second, strict=True):
        require_equal_bits(np.concatenate(parts[1:], axis=2), parts[0])


def test_long_series_go_in_slices_with_the_bits_of_the_whole(monkeypatch):
    model, X = numlstm.LSTM(1, 6, 1, num_layers=2, rng=0), drawn(2, 300, 1)
    lengths, reset = [300, 77], np.zeros((2, 300), bool)
    reset[:, 64] = True
    asked = {"lengths": lengths, "reset": reset, "steps": [250, 3, 64, 63, 250]}
    want = model.trace(X, lengths=lengths, reset=reset)
    monkeypatch.setattr("numlstm.network.trace.FIRST", 1.0)
    monkeypatch.setattr(type(model.network.runner), "is_short", lambda *_: False)
    for have, whole in zip(model.trace(X, lengths=lengths, reset=reset), want, strict=True):
        require_equal_bits(have, whole)
    for have, whole in zip(model.trace(X, **asked), want, strict=True):
        require_equal_bits(have, whole[:, :, asked["steps"]])


def test_threads_change_nothing():
    code = (
        "import hashlib, numpy as np, numlstm\n"
        "X = np.random.default_rng(0).standard_normal((64, 50, 3))\n"
        "model = numlstm.LSTM(3, 40, 1, num_layers=2, rng=0)\n"
        "trace = model.trace(X, lengths=np.arange(64) % 51)\n"
        "print(hashlib.sha256(b''.join(part.tobytes() for part in trace)).hexdigest())\n"
    )
    results = [run_python("-c", code, NUMBA_NUM_THREADS=str(count)) for count in (1, 2)]
    assert all(done.returncode == 0 for done in results), results
    assert results[0].stdout == results[1].stdout


# --- what is asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_a_part_is_what_the_whole_has_there(bidirectional, ragged):
    model = numlstm.LSTM(2, 11, 1, num_layers=2, bidirectional=bidirectional, rng=0)
    X, lengths = drawn(4, 9, 2), [9, 2, 0, 5] if ragged else None
    whole = model.trace(X, lengths=lengths)
    part = model.trace(X, lengths=lengths, layers=[-1, 0], units=[10, 3], steps=slice(-2, None, -3))
    for have, want in zip(part, whole, strict=True):
        require_equal_bits(have, want[[-1, 0]][:, :, -2::-3][..., [10, 3]])


def test_one_index_keeps_its_axis():
    model = numlstm.LSTM(2, 5, num_layers=2, rng=0)
    trace = model.trace(drawn(3, 7, 2), quantities="f", layers=1, units=2, steps=-1)
    assert trace.f.shape == (1, 3, 1, 1)
    assert [name for name in NAMES if getattr(trace, name) is not None] == ["f"]


@pytest.mark.parametrize("names", ["fc", ("c", "f"), ["f", "c", "f"], {"f", "c"}])
def test_quantities_are_named_in_any_order(names):
    trace = numlstm.LSTM(2, 5, rng=0).trace(drawn(3, 7, 2), quantities=names)
    assert [name for name in NAMES if getattr(trace, name) is not None] == ["c", "f"]


def test_a_projected_h_is_given_as_a_whole():
    model, X = numlstm.LSTM(2, 5, proj_size=2, rng=0), drawn(3, 7, 2)
    trace = model.trace(X, units=[4], quantities=("c", "h"))
    assert trace.h.shape == (1, 3, 7, 2)
    assert trace.c.shape == (1, 3, 7, 1)


def test_layers_above_are_not_computed(monkeypatch):
    model, levels = numlstm.LSTM(2, 5, num_layers=3, rng=0), []
    passed = type(model.network).level_forward

    def counting(self, place, *rest):
        levels.append(place)
        return passed(self, place, *rest)

    monkeypatch.setattr(type(model.network), "level_forward", counting)
    model.trace(drawn(3, 1, 2), layers=[1])
    assert levels == [0, 1]


@pytest.mark.parametrize("steps", [[], slice(3, 3)])
def test_nothing_may_be_asked_for(steps):
    assert numlstm.LSTM(1, 3, rng=0).trace(np.ones(4), steps=steps).c.shape == (1, 1, 0, 3)


@pytest.mark.parametrize("X", [np.ones((0, 4, 1)), np.ones((2, 0, 1))], ids=str)
def test_empty_inputs(X):
    assert numlstm.LSTM(1, 3, rng=0).trace(X).o.shape == (1, *X.shape[:2], 3)


def test_the_arrays_cannot_be_written_to_and_X_is_left_alone():
    X = drawn(2, 4, 1)
    kept = X.copy()
    trace = numlstm.LSTM(1, 3, rng=0).trace(X)
    for part in trace:
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0
    require_equal_bits(X, kept)


def test_it_can_be_pickled():
    trace = numlstm.LSTM(1, 3, rng=0).trace(drawn(2, 4, 1))
    again = pickle.loads(pickle.dumps(trace))
    require_equal_bits(again.c, trace.c)
    assert again.to_xarray().equals(trace.to_xarray())


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"quantities": "k"}, ValueError, "quantities must be one of .* received 'k'"),
        ({"quantities": ""}, ValueError, "quantities names none of"),
        ({"quantities": 3}, TypeError, "quantities must be some of 'h', 'c'"),
        ({"layers": 2}, ValueError, "layers must be from -2 to 1, received 2"),
        ({"units": [0, 9]}, ValueError, "units must be from -4 to 3"),
        ({"steps": -9}, ValueError, "steps must be from -6 to 5"),
        ({"steps": 1.5}, TypeError, "steps must be an integer, a slice or a list of integers"),
        ({"units": [True] * 4}, TypeError, "units must be an integer, a slice"),
        ({"layers": "all"}, TypeError, "layers must be an integer"),
        ({"lengths": [9, 9, 9]}, ValueError, "lengths"),
    ],
)
def test_what_there_is_not_is_refused(asked, error, words):
    model = numlstm.LSTM(1, 4, num_layers=2, rng=0)
    with pytest.raises(error, match=words):
        model.trace(np.ones((3, 6, 1)), **asked)


def test_a_cell_without_a_forget_gate_says_so():
    model = numlstm.LSTM(1, 4, cell={"forget_gate": "none"}, rng=0)
    assert model.trace(np.ones(5)).f is None
    with pytest.raises(ValueError, match="no forget gate"):
        model.trace(np.ones(5), quantities=("f", "c"))


def test_what_leaves_the_range_is_refused():
    model = numlstm.LSTM(1, 2, cell={"activations": ("sigmoid", "relu", "relu")}, rng=0)
    model.theta[...] = 1e18
    with pytest.raises(ValueError, match="beyond the range"):
        model.trace(np.full((1, 30, 1), 1e10))
