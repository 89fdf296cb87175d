"""Layers and networks of every variant: cells, directions, learned states, resets, noise.

Against complex steps on the reference, against small networks put together by hand, and on every
backend that has them against the reference.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers.harness import (
    by_complex_step,
    require_bits,
    require_close,
    require_same,
    run,
    run_case,
)
from helpers.strategies import (
    FAMILIAR,
    Case,
    Numbers,
    alone,
    random_family_case,
    random_family_network,
)
from numlstm.architecture.cell import Cell
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import Dropout, NetworkSpec, State
from numlstm.backends import reference
from numlstm.backends.numpy_arrays import flip, flip_reset
from numlstm.network.network import Network

BAR = 1e-11


def functional(case, numbers):
    """The real functional of Y, h_T and c_T whose gradient `backward` returns."""
    theta, X, state, lengths, dY, dstate, reset, noise = numbers
    network = Network(case.spec, reference)
    weights = network.pack(theta, noise)
    Y, final, _ = network.forward(
        weights, X, state, lengths, last=case.last, reset=reset, noise=noise
    )
    return (dY * Y).sum() + sum((d * p).sum() for d, p in zip(dstate, final, strict=True))


@pytest.mark.parametrize("block", range(8))
def test_gradients_are_complex_step_derivatives(block):
    for seed in range(25 * block, 25 * (block + 1)):
        case, rng = random_family_network(seed), np.random.default_rng(seed)
        results = run_case(reference, case)
        for name in ("theta", "X") if case.begins else ("theta", "X", "h", "c"):
            gradient = results[f"d{name}"]
            directions = list(rng.standard_normal((2, *gradient.shape)))
            parts = split(case.spec.shapes, np.arange(gradient.size)) if name == "theta" else {}
            for places in parts.values():  # every parameter by itself
                directions.append(np.isin(np.arange(gradient.size), places) * directions[0])
            for direction in directions:
                error = abs(
                    by_complex_step(functional, case, name, direction)
                    - (gradient * direction).sum()
                )
                assert error <= BAR * np.linalg.norm(gradient), (seed, name, error)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", alone())
def test_every_variant_of_a_layer_alone(family_backend, variant, dtype):
    for B, T, seed in ((3, 4, 0), (7, 9, 1), (1, 1, 2), (0, 3, 3), (2, 0, 4)):
        case = alone(dtype, B, T, seed)[variant]
        require_close(case, run_case(family_backend, case))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("block", range(5))
def test_random_layers(family_backend, block, dtype):
    for seed in range(40 * block, 40 * (block + 1)):
        case = random_family_case(seed, dtype)
        require_close(case, run_case(family_backend, case))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("block", range(4))
def test_random_networks(family_backend, block, dtype):
    for seed in range(25 * block, 25 * (block + 1)):
        case = random_family_network(seed, dtype)
        require_close(case, run_case(family_backend, case))


# --- directions ---------------------------------------------------------------------------------

LENGTHS = np.array([5, 3, 0])


def test_flip_is_its_own_inverse_and_leaves_the_padding():
    array = np.arange(30).reshape(3, 5, 2)
    flipped = flip(array, LENGTHS)
    np.testing.assert_array_equal(flipped[0], array[0, ::-1])
    np.testing.assert_array_equal(flipped[1], array[1, [2, 1, 0, 3, 4]])
    np.testing.assert_array_equal(flipped[2], array[2])
    np.testing.assert_array_equal(flip(flipped, LENGTHS), array)
    np.testing.assert_array_equal(flip(array, None), array[:, ::-1])


def test_a_reset_parts_the_same_steps_in_both_directions():
    """Before step 2 of 5: between steps 1 and 2, so before step 3 from the end."""
    reset = np.zeros((3, 5), bool)
    reset[:, 2] = reset[:, 0] = True
    flipped = flip_reset(reset, np.array([5, 3, 2]))
    assert [np.flatnonzero(row).tolist() for row in flipped] == [[3], [1], []]
    assert np.flatnonzero(flip_reset(reset, None)[0]).tolist() == [3]


def two_ways(spec, numbers):
    """A bidirectional layer, and its two directions as networks of their own."""
    single = replace(spec, bidirectional=False)
    forward, backward = np.split(numbers.theta, 2)
    both = run(reference, spec, numbers)
    parts = []
    for index, theta in enumerate((forward, backward)):
        state = State(*(part[index : index + 1] for part in numbers.state))
        part = numbers._replace(theta=theta, state=state)
        if index:
            part = part._replace(X=flip(numbers.X, numbers.lengths))
        width = single.width
        dY = numbers.dY[..., index * width : (index + 1) * width]
        dY = flip(dY, numbers.lengths) if index else dY
        dstate = State(*(d[index : index + 1] for d in numbers.dstate))
        parts.append(run(reference, single, part._replace(dY=dY, dstate=dstate)))
    return both, *parts


def test_a_bidirectional_layer_is_two_layers_one_of_them_from_the_end():
    spec = NetworkSpec(3, 4, None, 1, "float64", bidirectional=True)
    numbers = Case(spec, 3, 5, seed=1).numbers._replace(lengths=LENGTHS)
    both, forward, backward = two_ways(spec, numbers)
    expected = [forward["Y"], flip(backward["Y"], LENGTHS)]
    np.testing.assert_array_equal(both["Y"], np.concatenate(expected, axis=-1))
    for name in ("h", "c", "dh", "dc"):
        np.testing.assert_array_equal(both[name], np.concatenate([forward[name], backward[name]]))
    dthetas = np.concatenate([forward["dtheta"], backward["dtheta"]])
    np.testing.assert_array_equal(both["dtheta"], dthetas)
    np.testing.assert_array_equal(both["dX"], forward["dX"] + flip(backward["dX"], LENGTHS))


@pytest.mark.parametrize("learned", [False, True])
def test_a_reset_makes_two_sequences_of_one(family_backend, learned):
    """In both directions, outputs and gradients are those of the two parts by themselves."""
    spec = NetworkSpec(2, 4, 3, 2, "float64", bidirectional=True, learned_state=learned)
    case = Case(spec, 2, 6, seed=5, with_dstate=False)
    numbers = case.numbers._replace(state=None)
    reset = np.zeros((2, 6), bool)
    reset[:, 4] = True
    whole = run_case(family_backend, case, numbers._replace(reset=reset))
    parts = [
        run_case(family_backend, case, numbers._replace(X=numbers.X[:, cut], dY=numbers.dY[:, cut]))
        for cut in (slice(4), slice(4, None))
    ]
    for name in ("Y", "dX"):
        joined = np.concatenate([part[name] for part in parts], axis=1)
        np.testing.assert_allclose(whole[name], joined, rtol=1e-13, atol=1e-14)
    dtheta = parts[0]["dtheta"] + parts[1]["dtheta"]
    np.testing.assert_allclose(whole["dtheta"], dtheta, rtol=1e-12, atol=1e-13)


# --- padding, rows, ends ------------------------------------------------------------------------

VARIED = NetworkSpec(
    *(3, 5, 2, 2, "float64"),
    bidirectional=True,
    residual=True,
    proj_size=3,
    cell=Cell(
        "coupled", peephole=True, layer_norm=True, activation_clip=2.0, cell_clip=1.5, proj_clip=0.2
    ),
    learned_state=True,
    dropout=Dropout(0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2),
)


@pytest.mark.parametrize("noisy", [False, True])
def test_padding_is_never_read(family_backend, noisy):
    case = Case(VARIED, 4, 6, seed=2, resets=True, noisy=noisy)
    numbers = case.numbers._replace(lengths=np.array([6, 0, 2, 5]))
    clean = run_case(family_backend, case, numbers)
    padding = np.arange(6) >= numbers.lengths[:, None]
    assert not clean["Y"][padding].any()
    assert not clean["dX"][padding].any()
    X, dY = (np.where(padding[..., None], np.nan, array) for array in (numbers.X, numbers.dY))
    poisoned = numbers._replace(X=X, dY=dY, reset=numbers.reset | padding)
    for name, value in run_case(family_backend, case, poisoned).items():
        require_bits(value, clean[name])


def test_a_row_does_not_depend_on_its_batch(family_backend):
    case = Case(VARIED, 5, 6, seed=4, ragged=True, resets=True)
    numbers, together = case.numbers, run_case(family_backend, case)
    for i in range(5):
        row = slice(i, i + 1)
        state, dstate = (State(*(p[:, row] for p in s)) for s in (numbers.state, numbers.dstate))
        alone = Numbers(
            *(numbers.theta, numbers.X[row], state, numbers.lengths[row], numbers.dY[row]),
            *(dstate, numbers.reset[row]),
        )
        results = run_case(family_backend, case, alone)
        for name in ("Y", "dX"):
            require_same(family_backend, results[name], together[name][row])
        for name in ("h", "c", "dh", "dc"):
            require_same(family_backend, results[name], together[name][:, row])


@pytest.mark.parametrize("residual", [False, True])
def test_last_joins_the_ends_of_both_directions(family_backend, residual):
    spec = replace(VARIED, output_size=None, residual=residual)
    case = Case(spec, 3, 5, seed=6)
    numbers = case.numbers._replace(lengths=np.array([5, 3, 1]))
    Y = run_case(family_backend, case, numbers)["Y"]
    last = run_case(family_backend, replace(case, last=True), numbers._replace(dY=numbers.dY[:, 0]))
    forward = Y[np.arange(3), numbers.lengths - 1, :3]
    np.testing.assert_allclose(
        last["Y"], np.concatenate([forward, Y[:, 0, 3:]], axis=1), rtol=1e-14
    )


def test_residual_layers_add_to_what_they_read(family_backend):
    spec = NetworkSpec(2, 4, None, 2, "float64", residual=True)
    case = Case(spec, 2, 5, seed=8)
    numbers = case.numbers
    first, second = (replace(spec, num_layers=1, residual=False, input_size=n) for n in (2, 4))
    half = first.num_parameters
    states = [State(*(part[i : i + 1] for part in numbers.state)) for i in range(2)]
    lower = run(family_backend, first, numbers._replace(theta=numbers.theta[:half], state=states[0],
                dstate=None))["Y"]  # fmt: skip
    upper = run(family_backend, second, numbers._replace(theta=numbers.theta[half:], X=lower,
                state=states[1], dstate=None))["Y"]  # fmt: skip
    np.testing.assert_array_equal(run_case(family_backend, case)["Y"], lower + upper)


def test_windows_with_the_state_carried_equal_the_whole(family_backend):
    spec = replace(VARIED, bidirectional=False, dropout=Dropout(zoneout_h=0.3, zoneout_c=0.2))
    case = Case(spec, 3, 7, seed=9, resets=True)
    numbers, network = case.numbers, Network(spec, family_backend)
    weights = network.pack(numbers.theta)
    whole, final, _ = network.forward(weights, numbers.X, reset=numbers.reset)
    outputs, state = [], None
    for t in range(0, 7, 2):
        cut = slice(t, t + 2)
        Y, state, _ = network.forward(
            weights, numbers.X[:, cut], state, reset=numbers.reset[:, cut]
        )
        outputs.append(Y)
    require_same(family_backend, np.concatenate(outputs, axis=1), whole)
    require_same(family_backend, tuple_of(state), tuple_of(final))


def tuple_of(state):
    return dict(state._asdict())


def test_no_state_is_the_learned_one_and_its_gradient_is_summed_into_theta(family_backend):
    spec = NetworkSpec(2, 4, None, 2, "float64", learned_state=True)
    case = Case(spec, 3, 4, seed=10)
    numbers = case.numbers
    views = split(spec.shapes, numbers.theta)
    parts = [[views[f"initial_{k}_l{i}"] for i in range(2)] for k in "hc"]
    given = State(*(np.repeat(np.stack(part)[:, None], 3, axis=1) for part in parts))
    named = run_case(family_backend, case, numbers._replace(state=given))
    learned = run_case(family_backend, case, numbers._replace(state=None))
    for name in ("Y", "h", "c", "dX", "dh", "dc"):
        np.testing.assert_array_equal(learned[name], named[name])
    dlearned, dnamed = (split(spec.shapes, r["dtheta"]) for r in (learned, named))
    for name in spec.shapes:
        if not name.startswith("initial"):
            np.testing.assert_array_equal(dlearned[name], dnamed[name])
            continue
        assert not dnamed[name].any()
        part = named["dh" if name.startswith("initial_h") else "dc"]
        np.testing.assert_allclose(dlearned[name], part[int(name[-1])].sum(axis=0), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("H", [7, 16, 17, 33, 65])
def test_random_layers_of_odd_sizes(family_backend, H, dtype):
    """Sizes that fill no vector, no panel and no tile, and more rows than one shard has."""
    for seed in range(8):
        rng, case = np.random.default_rng([H, seed]), random_family_case(seed, dtype)
        cell = replace(case.spec.cell, activations=FAMILIAR)  # others may grow without bound
        proj_size = int(rng.integers(1, H + 1)) if case.spec.proj_size else None
        spec = replace(
            case.spec, input_size=1 + seed, hidden_size=H, proj_size=proj_size, cell=cell
        )
        case = replace(case, spec=spec, B=int(rng.integers(1, 40)), T=int(rng.integers(1, 9)))
        require_close(case, run_case(family_backend, case))
