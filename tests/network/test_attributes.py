"""Attributes of whole sequences: the network is the one whose further inputs they are.

Against that on the reference, against complex steps, and on the CPU against the reference.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.harness import BARS, STEP, require_bits, rows
from helpers.strategies import Case, alone, mapped, promote, random_family_network, seeds
from helpers.tiling import drawn, run_static, run_tiled
from numlstm.architecture.cell import Cell
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import NetworkSpec
from numlstm.backends import cpu, reference
from numlstm.backends.cpu.layer import shards
from numlstm.network import slices
from numlstm.network.network import Network

SIZES = st.sampled_from([1, 2, 3, 27])
# (I, H, S, B, T): vectors that are full and not, one row, more rows than a shard
SHAPES = [(1, 1, 1, 1, 1), (3, 7, 2, 5, 6), (2, 16, 27, 9, 5), (8, 33, 3, 40, 4), (1, 65, 9, 2, 9)]


def with_static(case: Case, size: int) -> Case:
    return replace(case, spec=replace(case.spec, static_size=size))


def require_near(results, truth, bar):
    for name, expected in truth.items():
        assert results[name].shape == expected.shape, name
        error = np.linalg.norm(results[name] - expected)
        assert error <= bar * max(1.0, np.linalg.norm(expected)), (name, error)


@given(seed=seeds, size=SIZES)
def test_reference_is_the_network_with_further_inputs(seed, size):
    case = with_static(random_family_network(seed), size)
    static = drawn(case.spec, case.B, seed)
    given = case.spec, case.numbers, static
    results = run_static(reference, *given, last=case.last)
    require_near(results, run_tiled(reference, *given, last=case.last), 1e-12)


@pytest.mark.parametrize("block", range(4))
def test_gradients_are_complex_step_derivatives(block):
    for seed in range(25 * block, 25 * (block + 1)):
        case = with_static(random_family_network(seed), 1 + seed % 4)
        static, numbers = drawn(case.spec, case.B, seed), case.numbers
        results = run_static(reference, case.spec, numbers, static, last=case.last)
        rng = np.random.default_rng(seed)
        along = rng.standard_normal(static.shape)
        moved = functional(case, numbers, static + 1j * STEP * along)
        gradient = results["dstatic"]
        assert abs(moved.imag / STEP - (gradient * along).sum()) <= 1e-11 * np.linalg.norm(gradient)
        weights = np.zeros_like(numbers.theta)
        for name, view in split(case.spec.shapes, weights).items():
            if "weight_is" in name:
                view[...] = rng.standard_normal(view.shape)
        theta = numbers._replace(theta=numbers.theta + 1j * STEP * weights)
        gradient = results["dtheta"]
        error = functional(case, theta, static).imag / STEP - gradient @ weights
        assert abs(error) <= 1e-11 * np.linalg.norm(gradient)


def functional(case, numbers, static):
    """The real functional of Y and the final state whose gradient `backward` returns."""
    theta, X, state, lengths, dY, dstate, reset, noise = numbers
    network = Network(case.spec, reference)
    weights = network.pack(theta, noise)
    options = {"last": case.last, "reset": reset, "noise": noise, "static": static}
    Y, final, _ = network.forward(weights, X, state, lengths, **options)
    return (dY * Y).sum() + sum((d * p).sum() for d, p in zip(dstate, final, strict=True))


# --- the backend "cpu" ----------------------------------------------------------------------------


@given(seed=seeds, size=SIZES)
def test_cpu_is_the_reference(seed, size):
    case = with_static(random_family_network(seed), size)
    static = drawn(case.spec, case.B, seed)
    given = case.spec, case.numbers, static
    results = run_static(cpu, *given, last=case.last)
    require_near(results, run_static(reference, *given, last=case.last), 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", [Cell(), Cell(peephole=True)], ids=["plain", "peephole"])
def test_cpu_at_fixed_sizes(shape, ragged, dtype, cell):
    inputs, hidden, size, B, T = shape
    spec = NetworkSpec(inputs, hidden, 2, 1, dtype, cell=cell, static_size=size)
    require_reference(Case(spec, B, T, seed=5, ragged=ragged))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", alone())
def test_every_variant_alone(variant, dtype):
    layer = alone(dtype)[variant].spec
    spec = NetworkSpec(
        *(3, 5, 2, 1, dtype),
        proj_size=layer.proj_size,
        cell=layer.cell,
        learned_state=layer.learned_state,
        static_size=4,
    )
    require_reference(Case(spec, 4, 6, seed=8, ragged=True, resets="reset" in variant))


def require_reference(case):
    static = drawn(case.spec, case.B, case.seed)
    wide = promote(case.numbers), static.astype(np.float64)
    truth = run_static(reference, case.promoted.spec, *wide)
    results = run_static(cpu, case.spec, case.numbers, static)
    for name, result in results.items():
        assert result.dtype == case.spec.dtype, name
    require_near(results, truth, BARS[case.spec.dtype])


@pytest.fixture(params=[1, 128])
def by_units(request, monkeypatch):
    """The kernels for large weights, a step at a time and several."""
    monkeypatch.setattr(shards, "is_by_units", lambda spec, batch: True)
    monkeypatch.setattr(shards, "CHUNK_LINES", request.param)
    shards.uniform.cache_clear()
    yield
    shards.uniform.cache_clear()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shards_of_units(by_units, shape, dtype):
    inputs, hidden, size, B, T = shape
    spec = NetworkSpec(inputs, hidden, 2, 2, dtype, static_size=size)
    require_reference(Case(spec, B, T, seed=6, ragged=True))


@pytest.mark.parametrize("cell", [Cell(), Cell(layer_norm=True)], ids=["plain", "layer_norm"])
def test_a_row_does_not_depend_on_the_others(cell):
    spec = NetworkSpec(3, 9, 5, 1, "float32", cell=cell, static_size=6)
    case = Case(spec, 37, 7, seed=2, ragged=True)
    numbers, static = case.numbers, drawn(spec, 37, 2)
    whole = run_static(cpu, spec, numbers, static)
    for row in (0, 11, 36):
        own = stacked(rows(numbers._replace(state=None, dstate=None), [row]), numbers, row)
        alone = run_static(cpu, spec, own, static[[row]])
        for name in ("Y", "dX", "dstatic"):
            require_bits(alone[name], whole[name][[row]])
        for name in ("h", "c", "dh", "dc"):
            require_bits(alone[name], whole[name][:, [row]])


def stacked(own, numbers, row):
    """With a row's states, whose first axis is that of the layers."""
    cut = {name: mapped(lambda a: a[:, [row]], getattr(numbers, name)) for name in OF_LAYERS}
    return own._replace(**cut)


OF_LAYERS = ("state", "dstate")


def test_a_long_pass_in_slices_has_the_same_bits(monkeypatch):
    monkeypatch.setattr(slices, "FIRST", 1.0)
    spec = NetworkSpec(2, 5, 1, 2, "float32", static_size=3)
    case = Case(spec, 4, 23, seed=3, ragged=True)
    numbers, static = case.numbers, drawn(spec, 4, 3)
    network = Network(spec, cpu)
    given = network.pack(numbers.theta), numbers.X, numbers.state, numbers.lengths
    whole, sliced = (
        forward(*given, static=static)
        for forward in (network.forward, lambda *args, **kw: slices.forward(network, *args, **kw))
    )
    require_bits(sliced[0], whole[0])
    for part, other in zip(sliced[1], whole[1], strict=True):
        require_bits(part, other)


def test_tangents_of_the_cpu_are_those_of_the_reference():
    for seed in range(12):
        case = with_static(random_family_network(seed), 3)
        numbers, rng = case.numbers, np.random.default_rng(seed)
        static = drawn(case.spec, case.B, seed) + 1j * rng.standard_normal((case.B, 3))
        theta = numbers.theta + 1j * rng.standard_normal(numbers.theta.size)
        moved = numbers._replace(theta=theta, X=numbers.X + 0j, dY=numbers.dY + 0j)
        both = [
            run_static(backend.tangents(), case.spec, moved, static, last=case.last)
            for backend in (cpu, reference)
        ]
        require_near(*both, 1e-10)
