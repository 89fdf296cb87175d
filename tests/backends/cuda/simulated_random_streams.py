"""Masks drawn by the CUDA kernels in Numba's simulator, bit for bit those of the host."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.harness import require_bits
from helpers.simulator import poisoned_memory  # noqa: F401
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.backends import numpy_arrays as numpy_arrays
from numlstm.backends.cuda.device import memory
from numlstm.backends.cuda.training import masks
from numlstm.network.dropout import draw_noise
from numlstm.utils.random_streams import LAYERS, WEIGHTS, ZONEOUT_C, RandomStreams

WORDS = 2**64


def mask(source, shape, dtype, purpose, part, index, threshold, value=1.0):
    """`draw_mask` on memory of its own."""
    out = memory.empty(shape, dtype)
    where = memory.on_device(np.array([index], np.int64))
    key = source.key
    masks.draw_mask(out, key, purpose, part, where, threshold, value)
    return memory.on_host(out)


def expected(source, shape, dtype, purpose, part, index, threshold, value=1.0):
    """The same of the host's bits."""
    bits = source.bits(purpose, index, part, shape[0], int(np.prod(shape[1:])))
    bits = np.concatenate([*bits]).reshape(shape)
    return np.where(bits >= threshold, np.dtype(dtype).type(value), np.dtype(dtype).type(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 16), (2, 17), (1, 3, 11), (5, 1, 1, 2)])
def test_masks_are_the_hosts(shape, dtype):
    given = RandomStreams(7), shape, dtype, LAYERS, 1, 4, 30_000, 1 / 0.7
    require_bits(mask(*given), expected(*given))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**63 - 1),
    purpose=st.sampled_from([LAYERS, WEIGHTS, ZONEOUT_C]),
    part=st.integers(0, 2**40),
    index=st.integers(0, 2**63 - 1),
    rows=st.integers(1, 3),
    count=st.integers(1, 35),
    threshold=st.integers(0, 2**16),
)
def test_masks_of_any_stream_are_the_hosts(seed, purpose, part, index, rows, count, threshold):
    given = RandomStreams(seed), (rows, count), "float32", purpose, part, index, threshold
    require_bits(mask(*given), expected(*given))


@pytest.mark.parametrize("threshold", [0, 1, 2**16 - 1, 2**16])
def test_thresholds_at_the_ends(threshold):
    given = RandomStreams(1), (3, 9), "float64", WEIGHTS, 0, 2**40, threshold, 2.0
    require_bits(mask(*given), expected(*given))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,), (2, 0, 4)])
def test_masks_without_numbers(shape):
    assert mask(RandomStreams(0), shape, "float32", LAYERS, 0, 0, 9).shape == shape


def test_a_mask_of_the_network_is_drawn_from_its_rate_alone():
    spec = NetworkSpec(3, 4, None, 2, dropout=Dropout(layers=0.3))
    noise = draw_noise(spec, numpy_arrays, RandomStreams(3), 5, 2, 3).between[1]
    threshold = round(0.3 * 2**16)
    value = 1 / (1 - threshold / 2**16)
    ours = mask(RandomStreams(3), noise.shape, "float32", LAYERS, 1, 5, threshold, value)
    require_bits(ours, noise)


@given(a=st.integers(0, WORDS - 1), b=st.integers(0, WORDS - 1))
def test_products_and_sums_of_words(a, b):
    for x, y in ((a, b), (WORDS - 1, b), (WORDS - 1, WORDS - 1)):
        high, low = masks.product(np.uint64(x), np.uint64(y))
        assert int(high) * WORDS + int(low) == x * y
        assert int(masks.wrapped_sum(np.uint64(x), np.uint64(y))) == (x + y) % WORDS
