"""Stacked layers and head over every backend: against the reference, and cut into windows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.harness import (
    require_bits,
    require_close,
    require_same,
    require_strict,
    rows,
    run_case,
)
from helpers.strategies import Case, cases, mapped, networks
from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import Dropout, NetworkSpec, State
from numlstm.network.dropout import no_noise
from numlstm.network.network import Network

ROW_RESULTS = ("Y", "h", "c", "dX", "dh", "dc")
# (I, H, O, num_layers, B, T)
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (3, 7, 2, 2, 5, 6),
    (2, 17, None, 3, 3, 9),
    (9, 33, 5, 2, 13, 5),
    (1, 16, 17, 1, 64, 12),
    (5, 65, 1, 3, 7, 20),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_network_of_fixed_sizes(backend, sizes, last, dtype):
    input_size, hidden_size, output_size, num_layers, B, T = sizes
    spec = NetworkSpec(input_size, hidden_size, output_size, num_layers, dtype)
    case = Case(spec, B, T, seed=3, ragged=True, last=last)
    require_strict(case, run_case(backend, case))


@given(case=cases(networks), need_dX=st.booleans())
def test_network(backend, case, need_dX):
    require_close(case, run_case(backend, case, need_dX=need_dX), need_dX=need_dX)


@given(case=cases(networks))
def test_without_the_gradient_of_theta_the_others_have_the_same_bits(backend, case):
    require_same_without_dtheta(backend, case)


def require_same_without_dtheta(backend, case):
    theta, X, state, lengths, dY, dstate, reset, noise = mapped(
        backend.arrays.asarray, case.numbers
    )
    network = Network(case.spec, backend)
    weights, options = network.pack(theta, noise), {"last": case.last, "reset": reset}
    static = None
    if case.spec.static_size:
        shape = case.B, case.spec.static_size
        static = np.linspace(-1, 1, case.B * shape[1]).reshape(shape).astype(case.spec.dtype)
        static = backend.arrays.asarray(static)
    given = weights, X, state, lengths
    _, _, tape = network.forward(*given, tape=True, noise=noise, static=static, **options)
    every, others = (
        network.backward(weights, tape, dY, dstate, need_dX=True, need_dtheta=wanted)
        for wanted in (True, False)
    )
    assert others.theta is None
    assert type(others) is type(every)
    pairs = [(every.X, others.X), *zip(every.state, others.state, strict=True)]
    if static is not None:
        pairs.append((every.static, others.static))
    for one, other in pairs:
        require_bits(backend.arrays.to_numpy(other), backend.arrays.to_numpy(one))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((3, 20, 2), {"static_size": 3}),
        ((3, 20, 2), {"static_size": 2, "bidirectional": True, "num_layers": 2}),
        ((3, 20, 2), {"static_size": 2, "cell": {"layer_norm": True, "forget_gate": "coupled"}}),
        ((3, 20, 2), {"proj_size": 7, "learned_state": True, "cell": {"peephole": True}}),
        ((3, 520, 1), {"static_size": 2}),
    ],
    ids=str,
)
def test_without_the_gradient_of_theta_those_of_attributes_too(backend, sizes, options, dtype):
    given = {"num_layers": 1} | options
    cell = Cell(**given.pop("cell", {}))
    case = Case(NetworkSpec(*sizes, dtype=dtype, cell=cell, **given), 3, 7, seed=4, ragged=True)
    require_same_without_dtheta(backend, case)


@given(case=cases(networks), rate=st.sampled_from([0.1, 0.5, 0.9]))
def test_dropout_between_layers(backend, case, rate):
    case = replace(case, spec=replace(case.spec, dropout=Dropout(layers=rate)), noisy=True)
    require_close(case, run_case(backend, case))


def test_a_mask_of_ones_changes_nothing(backend):
    case = Case(NetworkSpec(2, 9, 3, 3, "float64"), 5, 6, seed=2)
    noise = no_noise(case.spec)._replace(between=(None, np.ones((5, 6, 9)), None))
    plain = run_case(backend, case)
    masked = run_case(backend, case, case.numbers._replace(noise=noise))
    for name in plain:
        require_bits(masked[name], plain[name])


@given(case=cases(networks), data=st.data())
def test_a_row_does_not_depend_on_its_batch(backend, case, data):
    if case.B == 0:
        case = replace(case, B=1)
    i = data.draw(st.integers(0, case.B - 1))
    numbers = case.numbers
    part = State(*(array[:, i : i + 1] for array in numbers.state))
    dpart = numbers.dstate and State(*(array[:, i : i + 1] for array in numbers.dstate))
    single = rows(numbers._replace(state=None, dstate=None), slice(i, i + 1))
    alone = run_case(backend, case, single._replace(state=part, dstate=dpart))
    together = run_case(backend, case)
    for name in ROW_RESULTS:
        batch = together[name]
        take = batch[i : i + 1] if name in ("Y", "dX") else batch[:, i : i + 1]
        require_same(backend, alone[name], take)


@given(case=cases(networks, last=False, ragged=True))
def test_padding_is_zero_and_never_read(backend, case):
    numbers, clean = case.numbers, run_case(backend, case)
    padding = np.arange(case.T) >= numbers.lengths[:, None]
    assert not clean["Y"][padding].any()
    assert not clean["dX"][padding].any()
    X, dY = (np.where(padding[..., None], np.nan, array) for array in (numbers.X, numbers.dY))
    poisoned = numbers._replace(X=X.astype(case.spec.dtype), dY=dY.astype(case.spec.dtype))
    for name, value in run_case(backend, case, poisoned).items():
        require_bits(value, clean[name])


@pytest.mark.parametrize("output_size", [None, 3])
def test_padding_adds_nothing_to_a_gradient(backend, output_size):
    """A padded batch has the gradient of its rows, each cut to its own length."""
    case = Case(NetworkSpec(2, 9, output_size, 2, "float64"), 3, 6, seed=4, ragged=True)
    numbers = case.numbers._replace(lengths=np.array([6, 2, 0]), dstate=None)
    whole, dtheta = run_case(backend, case, numbers), 0
    for i, length in enumerate(numbers.lengths):
        row = rows(numbers._replace(state=None, lengths=None), slice(i, i + 1))
        state = State(*(array[:, i : i + 1] for array in numbers.state))
        row = row._replace(state=state, X=row.X[:, :length], dY=row.dY[:, :length])
        alone = run_case(backend, case, row)
        require_same(backend, whole["Y"][i : i + 1, :length], alone["Y"])
        dtheta = dtheta + alone["dtheta"]
    np.testing.assert_allclose(whole["dtheta"], dtheta, rtol=1e-12, atol=1e-13)


@given(case=cases(networks, last=True))
def test_last_is_the_last_step_of_the_sequence(backend, case):
    last = run_case(backend, case)
    numbers = case.numbers
    dY = np.zeros((case.B, case.T, case.spec.width), case.spec.dtype)
    ends = np.full(case.B, case.T) if numbers.lengths is None else numbers.lengths
    for i, end in enumerate(ends):
        if end:
            dY[i, end - 1] = numbers.dY[i]
    sequence = run_case(backend, replace(case, last=False), numbers._replace(dY=dY))
    for i, end in enumerate(ends):
        if end:
            require_same(backend, sequence["Y"][i, end - 1], last["Y"][i])
    if all(ends):  # the head of an empty row reads its initial state: not a step of the sequence
        check_gradients_agree(case, sequence, last)


def check_gradients_agree(case, one, other):
    """Equal but for the order of a few sums: the head adds its rows in another grouping."""
    eps = np.finfo(case.spec.dtype).eps
    for name in ("dtheta", "dX", "dh", "dc"):
        scale = max(np.abs(one[name]).max(initial=0), 1e-3)
        np.testing.assert_allclose(other[name], one[name], rtol=0, atol=256 * eps * scale)


@given(case=cases(networks, last=False, ragged=False), k=st.integers(1, 7))
def test_windows_with_the_state_carried_equal_the_whole(backend, case, k):
    """Forward bit for bit; backward too, for rows, where the state's gradient is carried back."""
    whole = run_case(backend, case)
    numbers, network = case.numbers, Network(case.spec, backend)
    weights, state = network.pack(numbers.theta), numbers.state
    cuts = [slice(start, start + k) for start in range(0, case.T, k)]
    outputs, tapes = [], []
    for cut in cuts:
        Y, state, tape = network.forward(weights, numbers.X[:, cut], state, tape=True)
        outputs.append(Y)
        tapes.append(tape)
    dstate, dtheta, dXs = numbers.dstate, np.zeros_like(numbers.theta, "float64"), []
    for cut, tape in zip(reversed(cuts), reversed(tapes), strict=True):
        gradients = network.backward(weights, tape, numbers.dY[:, cut], dstate, need_dX=True)
        dstate, dtheta = gradients.state, dtheta + gradients.theta
        dXs.insert(0, gradients.X)
    if not cuts:
        return
    results = {"Y": np.concatenate(outputs, axis=1), "dX": np.concatenate(dXs, axis=1)}
    results |= {"h": state.h, "c": state.c, "dh": dstate.h, "dc": dstate.c}
    for name in ROW_RESULTS:
        require_same(backend, results[name], whole[name])
    scale = max(np.abs(dtheta).max(), 1e-3)
    atol = 64 * np.finfo(case.spec.dtype).eps * scale * np.sqrt(1 + case.B * case.T)
    np.testing.assert_allclose(whole["dtheta"], dtheta, rtol=0, atol=atol)


@pytest.mark.parametrize("B", [0, 1, 3])
def test_zero_state(backend, B):
    network = Network(NetworkSpec(2, 5, None, 3, "float32"), backend)
    for part in network.zero_state(B):
        assert part.shape == (3, B, 5)
        assert part.dtype == np.float32
        assert not np.any(backend.arrays.to_numpy(part))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("B", "T"), [(0, 4), (3, 0), (0, 0)])
def test_nothing_in_gives_nothing_out(backend, B, T, last):
    """No rows or no steps: empty results, the state passes through, only the head has a word."""
    case = Case(NetworkSpec(2, 5, 3, 2, "float64"), B, T, seed=1, last=last)
    numbers, results = case.numbers, run_case(backend, case)
    require_strict(case, results)
    if T == 0:
        require_bits(results["h"], numbers.state.h)
        require_bits(results["c"], numbers.state.c)
    head = 3 * 5 + 3
    assert not results["dtheta"][:-head].any()
