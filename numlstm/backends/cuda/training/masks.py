"""Masks drawn on the device: the bits of `numlstm.utils.random_streams`, by Philox 4x64-10.

Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3". A value of the counter makes
four 64-bit words, and so 16 numbers of 16 bits, the lowest bits first. Sums and products of words
are put together from halves: no step of that overflows, and so it is the same in Python.
"""

import math

import numpy as np

from numlstm.backends.cuda.device.compile import kernel
from numlstm.backends.cuda.device.memory import flat, over_elements
from numlstm.backends.cuda.device.target import cuda
from numlstm.cell.elementary import compilable, like

# words stay unsigned only among themselves: each constant is one
WORD = np.uint64
MULTIPLIERS = WORD(0xD2E7470EE14C6C93), WORD(0xCA5A826395121157)
WEYL = WORD(0x9E3779B97F4A7C15), WORD(0xBB67AE8584CAA73B)  # what the key grows by in every round
HALF, LOW_HALF = WORD(32), WORD(0xFFFFFFFF)
QUARTER, LOW_QUARTER = WORD(16), WORD(0xFFFF)
ROUNDS, NUMBERS = 10, 16  # of a value of the counter


def draw_mask(out, key, purpose, part, index, threshold, value) -> None:
    """Fill out (rows, ...) with `value` where the draw is at least `threshold`, else with 0.

    The draws are those of `RandomStreams.bits(purpose, index, part, rows, count)`, where `key` has
    the two words of the generator; index (1,) is read on the device, from int64.
    """
    rows, *rest = out.shape
    count = math.prod(rest)
    blocks = -(-count // NUMBERS)
    words, value = map(WORD, (*key, purpose, part, threshold)), out.dtype.type(value)
    over_elements(fill, rows * blocks, flat(out), blocks, count, *words, index, value)


@kernel
def fill(out, blocks, count, key_0, key_1, purpose, part, threshold, index, value):
    """out = value where the draw is >= threshold, else 0. out (rows count,), index (1,)."""
    total = out.shape[0] // count * blocks
    for i in range(cuda.grid(1), total, cuda.gridsize(1)):
        first, place = i // blocks * count, i % blocks * NUMBERS
        # the counter is raised before it is used
        a, b, c, d = philox(WORD(i + 1), part, WORD(index[0]), purpose, key_0, key_1)
        put(out, first, place, count, a, threshold, value)
        put(out, first, place + 4, count, b, threshold, value)
        put(out, first, place + 8, count, c, threshold, value)
        put(out, first, place + 12, count, d, threshold, value)


@compilable()
def put(out, first, place, count, word, threshold, value):
    """Mask values from the four numbers of a word, as far as the row goes."""
    for column in range(place, min(place + 4, count)):
        out[first + column] = value if (word & LOW_QUARTER) >= threshold else like(value, 0.0)
        word = word >> QUARTER


@compilable()
def philox(a, b, c, d, key_0, key_1):
    """The four words that Philox 4x64-10 makes of a counter and a key."""
    for _ in range(ROUNDS):
        high_a, low_a = product(MULTIPLIERS[0], a)
        high_c, low_c = product(MULTIPLIERS[1], c)
        a, b, c, d = high_c ^ b ^ key_0, low_c, high_a ^ d ^ key_1, low_a
        key_0, key_1 = wrapped_sum(key_0, WEYL[0]), wrapped_sum(key_1, WEYL[1])
    return a, b, c, d


@compilable()
def product(a, b):
    """(high, low) words of a b."""
    low, high = (a & LOW_HALF) * (b & LOW_HALF), (a >> HALF) * (b >> HALF)
    one, other = (a >> HALF) * (b & LOW_HALF), (a & LOW_HALF) * (b >> HALF)
    middle = (low >> HALF) + (one & LOW_HALF) + (other & LOW_HALF)
    high = high + (one >> HALF) + (other >> HALF) + (middle >> HALF)
    return high, (middle << HALF) | (low & LOW_HALF)


@compilable()
def wrapped_sum(a, b):
    """a + b, without what does not fit into a word."""
    low = (a & LOW_HALF) + (b & LOW_HALF)
    high = (a >> HALF) + (b >> HALF) + (low >> HALF)
    return (high << HALF) | (low & LOW_HALF)
