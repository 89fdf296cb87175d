"""Tensor cores and weights in registers, in Numba's simulator: run by `test_cuda.py`.

A warp is 32 threads of Python here, so sizes are tiny: one fragment, a little more than one, two.
"""

from dataclasses import replace

import numpy as np
import pytest
from numba.cuda.simulator import kernelapi

import numlstm
from helpers.harness import BARS, require_bits, require_strict, rows, run_case, run_head, run_truth
from helpers.simulator import cut, poisoned_memory  # noqa: F401
from helpers.strategies import Case, alone
from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import HeadSpec, LayerSpec, NetworkSpec
from numlstm.backends import cuda, reference
from numlstm.backends.cuda.device.memory import empty, on_device, on_host
from numlstm.backends.cuda.gemm import emulation
from numlstm.backends.cuda.layer import launch, regimes
from numlstm.backends.cuda.layer.tiles import Tile, rows_of, threads_of
from numlstm.cell.encoding import encode

# A factor is rounded by at most u of itself, half of its last place: 11 bits of significand are
# left in tf32, 8 in bf16. A product of two is off by 2 u at most; what its sums go through are
# gates, whose slopes are below 1, and their errors are independent. So 2 u is a bar for a layer.
MANTISSA = {"tf32": 10, "bf16": 7}
ROUNDED_BARS = {name: 2.0**-bits for name, bits in MANTISSA.items()}

# how a layer is cut -> (tile with the depth and units that a fragment has, blocks along the units)
CORE_CUTS = {
    "one block": (Tile(-1, 1, 1, 99, kept=-1, shared_units=False), 1),
    "one block, two lines, part of k": (Tile(-1, 2, 1, 1, kept=-1, shared_units=False), 1),
    "two blocks": (Tile(1, 1, 1, 2, kept=-1, shared_units=True), 2),
    "streamed": (Tile(1, 1, 1, 1, kept=0, shared_units=True), 3),
    "streamed rows": (Tile(1, 2, 1, 1, kept=0, shared_units=False), 1),
}


def core_cut(name):
    """In the place of `regime_of`, for tensor cores: sizes are counted in fragments above."""
    tile, columns = CORE_CUTS[name]

    def regime_of(encoded, units, batch, dtype, device, factors):
        width, whole_rows = 8 * factors, encoded.layer_norm or encoded.projected
        whole = -(-units // width) * width
        ours = tile._replace(
            units=whole if tile.units < 0 else 8 * -(-units // (8 * columns)),
            depth=min(tile.depth * width, whole),
            kept=units if tile.kept else 0,
            shared_units=tile.shared_units and not whole_rows,
            factors=factors,
        )
        if whole_rows and tile.kept:
            ours = ours._replace(units=whole)
        shared = 1 if whole_rows else columns
        size = regimes.shared_memory(ours, encoded, dtype)
        return regimes.Regime(ours, shared, rows_of(ours), size, False)

    return regime_of


@pytest.fixture(autouse=True)
def poisoned_shared_memory(monkeypatch):
    """What is not written is NaN there too."""
    made = kernelapi.FakeCUDAShared.__init__

    def init(self, size):
        made(self, size)
        self._dynshared[:] = -1

    monkeypatch.setattr(kernelapi.FakeCUDAShared, "__init__", init)


@pytest.fixture(params=CORE_CUTS)
def every_core_cut(request, monkeypatch):
    monkeypatch.setattr(launch, "regime_of", core_cut(request.param))


# --- rounding and products ------------------------------------------------------------------------


def test_the_emulation_rounds_as_the_instructions_do():
    tie, just_above = np.float32(1 + 2**-11), np.float32(1 + 2**-11 + 2**-23)
    for x, expected in ((tie, 1 + 2**-10), (-tie, -1 - 2**-10), (just_above, 1 + 2**-10)):
        assert emulation.rounded(x, x, 1) == np.float32(expected)  # ties away from zero
    assert emulation.rounded(np.nextafter(tie, 0), tie, 1) == 1
    ties = np.float32(1 + 2**-8), np.float32(1 + 3 * 2**-8)
    bits = emulation.rounded(*ties, 2).view(np.uint32)  # ties to even, the first one below
    assert [hex(bits & 0xFFFF), hex(bits >> 16)] == ["0x3f80", "0x3f82"]


@pytest.mark.parametrize("precision", MANTISSA)
@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 9, 19), (33, 41, 5), (16, 32, 16)], ids=str)
def test_a_product_of_factors_that_are_exact_is_exact(precision, shape, monkeypatch):
    (M, K, N), rng = shape, np.random.default_rng(0)
    A, B, start = (rng.integers(-99, 99, s) / 64 for s in ((M, K), (K, N), (N,)))  # 8 bits
    for parts in (4096, 16):
        monkeypatch.setattr(launch, "LONG", parts)
        for turned in (False, True):
            a = on_device(A.T, "float32").T if turned else on_device(A, "float32")
            b = on_device(B.T, "float32").T if turned else on_device(B, "float32")
            C = empty((M, N), np.dtype("float32"))
            launch.multiply(a, b, C, precision=precision)
            np.testing.assert_array_equal(on_host(C), A @ B)
        if parts == 4096:
            launch.multiply(a, b, C, on_device(start, "float32"), precision)
            np.testing.assert_array_equal(on_host(C), A @ B + start)


@pytest.mark.parametrize("precision", MANTISSA)
def test_head(precision):
    spec, rng = HeadSpec(5, 3, "float32", precision), np.random.default_rng(0)
    theta, H, dY = (rng.standard_normal(s).astype("float32") for s in ((18,), (2, 3, 5), (2, 3, 3)))
    results = run_head(cuda, spec, theta, H, dY)
    truth = run_head(reference, spec, *(a.astype("float64") for a in (theta, H, dY)))
    for name, expected in truth.items():
        error = np.linalg.norm(results[name] - expected) / np.linalg.norm(expected)
        assert error <= ROUNDED_BARS[precision], name
    np.testing.assert_allclose(results["dtheta"][15:], truth["dtheta"][15:], rtol=1e-6)  # the bias


# --- layers ---------------------------------------------------------------------------------------


class Rounding:
    """The reference with the factors of its products rounded, and how near they come to a tie."""

    def __init__(self, precision: str, monkeypatch):
        self.places, self.nearest = MANTISSA[precision], 1.0
        forward, backward = reference.gate_inputs, reference.gate_inputs_backward

        def gate_inputs(spec, weights, x, h, row_terms):
            rounded = self.matrices(weights), self.rounded(x), self.rounded(h)
            return forward(spec, *rounded, row_terms)

        def gate_inputs_backward(spec, weights, step, dz, d):
            dz = {gate: self.rounded(value) for gate, value in dz.items()}
            step = step._replace(x=self.rounded(step.x), h_prev=self.rounded(step.h_prev))
            return backward(spec, self.matrices(weights), step, dz, d)

        monkeypatch.setattr(reference, "gate_inputs", gate_inputs)
        monkeypatch.setattr(reference, "gate_inputs_backward", gate_inputs_backward)

    def matrices(self, weights):
        nearest = self.nearest
        rounded = {name: self.rounded(weights[name]) for name in ("weight_ih", "weight_hh")}
        self.nearest = nearest  # weights are the same numbers in every arithmetic
        return weights | rounded

    def rounded(self, x):
        place = 2.0 ** (np.frexp(x)[1] - 1 - self.places)
        steps = x / place
        ties = np.abs(steps - np.floor(steps) - 0.5) / np.maximum(np.abs(steps), 1)
        self.nearest = min(self.nearest, ties.min(initial=1.0))
        return np.rint(steps) * place


def clear(case, precision, monkeypatch):
    """(case, truth): the next seed with which no factor is so near a tie that float32 decides."""
    for seed in range(case.seed, case.seed + 500):
        with monkeypatch.context() as patch:
            rounding, ours = Rounding(precision, patch), replace(case, seed=seed)
            truth = run_truth(ours)
        if rounding.nearest > 1e-6:
            return ours, truth
    raise AssertionError("every seed has a factor near a tie")


def require_rounded(case, monkeypatch):
    """Hold a layer to the reference with rounded factors, at the bar of float32."""
    case, truth = clear(case, case.spec.precision, monkeypatch)
    results = run_case(cuda, case)
    for name, expected in truth.items():
        error = np.linalg.norm(results[name] - expected)
        assert error <= BARS["float32"] * np.linalg.norm(expected), (name, error)
    return case, results


def require_near(case, results):
    """Hold a layer or a network to the reference itself, at the bar of its precision."""
    for name, expected in run_truth(case).items():
        error = np.linalg.norm(results[name] - expected)
        assert error <= ROUNDED_BARS[case.spec.precision] * np.linalg.norm(expected), (name, error)


@pytest.mark.parametrize("precision", MANTISSA)
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 9, 2, 3), (2, 7, 17, 2)], ids=str)
def test_plain_layers(sizes, precision, monkeypatch):
    inputs, units, batch, steps = sizes
    spec = LayerSpec(inputs, units, "float32", precision=precision)
    case = Case(spec, batch, steps, seed=3, ragged=batch == 2)
    require_near(*require_rounded(case, monkeypatch))


@pytest.mark.parametrize("precision", MANTISSA)
def test_every_cut_gives_the_same_bits_and_so_does_a_second_run(precision, monkeypatch):
    spec = LayerSpec(2, 17, "float32", precision=precision)
    case, results = Case(spec, 3, 2, seed=5, ragged=True), []
    for name in (*CORE_CUTS, "one block"):
        monkeypatch.setattr(launch, "regime_of", core_cut(name))
        results.append(run_case(cuda, case))
    for result in results[1:]:
        for name, value in result.items():
            require_bits(value, results[0][name])
    monkeypatch.setattr(launch, "regime_of", core_cut("two blocks"))
    require_rounded(case, monkeypatch)


@pytest.mark.parametrize("precision", MANTISSA)
def test_a_row_does_not_depend_on_its_batch(precision):
    case = Case(LayerSpec(2, 3, "float32", precision=precision), 18, 2, seed=1)
    together, pick = run_case(cuda, case), slice(17, 18)
    for name, value in run_case(cuda, case, rows(case.numbers, pick)).items():
        if name != "dtheta":
            require_bits(value, together[name][pick])


@pytest.mark.parametrize("variant", alone())
def test_every_variant_alone(variant, monkeypatch):
    case = alone("float32", B=2, T=2, seed=1)[variant]
    case = replace(case, spec=replace(case.spec, precision="tf32"))
    encoded = encode(case.spec)
    if encoded.layer_norm or encoded.projected:  # other products, and gradients that are normalised
        require_near(case, run_case(cuda, case))
    else:
        require_rounded(case, monkeypatch)


@pytest.mark.parametrize("precision", MANTISSA)
@pytest.mark.parametrize("cell", [Cell(), Cell(layer_norm=True)], ids=["plain", "normalised"])
def test_whole_rows_in_every_regime(every_core_cut, cell, precision):
    case = Case(LayerSpec(2, 9, "float32", 3, cell, precision=precision), 2, 2, seed=4, ragged=True)
    require_near(case, run_case(cuda, case))


@pytest.mark.parametrize("precision", MANTISSA)
def test_networks(precision):
    spec = NetworkSpec(2, 3, 2, 2, "float32", bidirectional=True, precision=precision)
    case = Case(spec, 2, 2, seed=2)
    require_near(case, run_case(cuda, case))


def test_float32_does_not_know_of_tensor_cores(monkeypatch):
    case = Case(LayerSpec(3, 5, "float32"), 2, 3, seed=7)
    rounded = replace(case, spec=replace(case.spec, precision="tf32"))
    before, other = run_case(cuda, case), run_case(cuda, rounded)

    def multiply_add(*arguments):
        raise AssertionError("tensor cores")

    monkeypatch.setattr(emulation, "multiply_add", multiply_add)
    for name, value in run_case(cuda, case).items():
        require_bits(value, before[name])
        assert (value != other[name]).any()


# --- weights in registers -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("units", [1, 2, 7, 11, 13, 18])
def test_held_weights_change_no_bit(units, dtype, monkeypatch):
    case, results = Case(LayerSpec(3, units, dtype), 3, 3, seed=7, ragged=True), []
    monkeypatch.setattr(launch, "device", lambda: regimes.Device(2**16, 9))
    for held in [held for held in (0, 4, 8, 16) if held < units]:
        monkeypatch.setitem(regimes.ROOM, (dtype, False), regimes.Room(1, (held,)[: held > 0]))
        regime = regimes.regime_of(encode(case.spec), units, 3, dtype, launch.device())
        assert (regime.tile.held, regime.columns) == (held, 1)
        results.append(run_case(cuda, case))
    monkeypatch.setattr(launch, "regime_of", cut("two blocks"))
    results.append(run_case(cuda, case))
    require_strict(case, results[0])
    for result in results[1:]:
        for name, value in result.items():
            require_bits(value, results[0][name])


# units of a layer whose blocks wait for no other, whatever the batch, by KiB of shared memory
ALONE = {
    "float32": {64: 75, 99: 91, 163: 113, 227: 128},
    "float64": {64: 49, 99: 60, 163: 77, 227: 90},
}


@pytest.mark.parametrize("kilobytes", [64, 99, 163, 227])
@pytest.mark.parametrize("dtype", ALONE)
def test_registers_and_shared_memory_hold_the_weights_of_so_many_units(kilobytes, dtype):
    device, encoded = regimes.Device(kilobytes * 1024, 40), encode(LayerSpec(1, 1, dtype))
    for batch in (1, 40, 5000):
        for units in range(1, ALONE[dtype][kilobytes] + 1):
            assert regimes.regime_of(encoded, units, batch, dtype, device).columns == 1


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kilobytes", [99, 163, 227])
@pytest.mark.parametrize("factors", [1, 2])
def test_the_table_keeps_within_the_device(kilobytes, factors):
    device = regimes.Device(kilobytes * 1024, 40)
    for cell in (Cell(), Cell(layer_norm=True)):
        encoded = encode(LayerSpec(1, 1, "float32", cell=cell))
        for units in (1, 7, 33, 64, 65, 128, 256, 500, 1024, 3000):
            for batch in (1, 17, 64, 5000):
                regime = regimes.regime_of(encoded, units, batch, "float32", device, factors)
                tile, groups = regime.tile, -(-batch // regime.rows)
                assert regime.shared_memory <= device.shared_memory
                assert threads_of(tile) <= regimes.MAX_THREADS
                assert tile.units * regime.columns >= units or not tile.shared_units
                assert tile.units % 8 == regime.rows % 16 == tile.depth % (8 * factors) == 0
                waits = tile.shared_units and not regime.step_by_step
                assert not waits or regime.columns * groups <= device.processors
                assert (tile.factors, tile.held) == (factors, 0)


@pytest.mark.parametrize("precision", MANTISSA)
def test_a_device_without_such_tensor_cores_is_named(precision, monkeypatch):
    monkeypatch.setattr(launch, "device", lambda: regimes.Device(2**16, 40, (7, 5)))
    plain = Case(LayerSpec(1, 1, "float32"), 1, 1)
    run_case(cuda, plain)
    case = replace(plain, spec=replace(plain.spec, precision=precision))
    message = f"precision='{precision}' needs tensor cores.* 8.0 or newer.* has 7.5: leave"
    with pytest.raises(numlstm.BackendError, match=message):
        run_case(cuda, case)
