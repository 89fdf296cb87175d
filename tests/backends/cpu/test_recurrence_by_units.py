"""Layers with large weights, whose shards are units: the same results as in shards of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.harness import SIZES, require_bits, require_close, require_strict, run_case
from helpers.strategies import Case, cases, layers
from numlstm.architecture.spec import LayerSpec
from numlstm.backends import cpu
from numlstm.backends.cpu.layer import shards


@pytest.fixture
def every_layer_is_by_units(monkeypatch):
    """The kernels for large weights, at the sizes of the other tests."""
    monkeypatch.setattr(shards, "is_by_units", lambda spec, batch: True)
    shards.uniform.cache_clear()
    yield
    shards.uniform.cache_clear()


@pytest.fixture(params=["one", "many"])
def chunks(request, monkeypatch):
    """Few or many steps whose inputs are multiplied at once."""
    monkeypatch.setattr(shards, "CHUNK_LINES", 1 if request.param == "one" else 128)


pytestmark = pytest.mark.usefixtures("every_layer_is_by_units", "chunks")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_layer_of_fixed_sizes(sizes, ragged, dtype):
    input_size, hidden_size, B, T = sizes
    case = Case(LayerSpec(input_size, hidden_size, dtype), B, T, seed=11, ragged=ragged)
    require_strict(case, run_case(cpu, case))


@given(case=cases(layers), need_dX=st.booleans())
def test_layer(case, need_dX):
    require_close(case, run_case(cpu, case, need_dX=need_dX), need_dX=need_dX)


@given(case=cases(layers))
def test_forward_is_the_same_with_and_without_a_tape(case):
    numbers, results = case.numbers, run_case(cpu, case)
    weights = cpu.pack_layer(case.spec, numbers.theta)
    Y, (h, c), _ = cpu.layer_forward(
        case.spec, weights, numbers.X, tuple(numbers.state), numbers.lengths
    )
    for name, array in (("Y", Y), ("h", h), ("c", c)):
        require_bits(array, results[name])


def test_shards_of_units_give_the_bits_of_shards_of_rows(monkeypatch):
    spec = LayerSpec(40, 33, "float32")
    case = Case(spec, 9, 12, seed=3, ragged=True)
    by_units = run_case(cpu, case)
    monkeypatch.setattr(shards, "is_by_units", lambda spec, batch: False)
    by_rows = run_case(cpu, case)
    for name in ("Y", "h", "c", "dX", "dh", "dc"):
        require_bits(by_units[name], by_rows[name])
    assert np.allclose(by_units["dtheta"], by_rows["dtheta"], rtol=1e-4, atol=1e-6)
