"""Tensor cores in NumPy, for Numba's simulator, which has no warps and no such instruction.

Written from the tables of the PTX ISA ("Matrix Fragments for mma.m16n8k8 / mma.m16n8k16", and
cvt), number by number, and from nothing of the kernels, so that it checks how they use fragments.
"""

import threading
from typing import Any

import numpy as np

LANES = np.arange(32)
GROUP, PLACE = (LANES >> 2)[:, None], (LANES % 4)[:, None]

# of every number that a lane has, (32, n): (row, k) in A, (k, column) in B, (row, column) in C
_i = np.arange(4)
TF32_A = np.where(_i % 2 == 0, GROUP, GROUP + 8), np.where(_i < 2, PLACE, PLACE + 4)
TF32_B = np.where(_i[:2] == 0, PLACE, PLACE + 4), GROUP + 0 * _i[:2]
C = np.where(_i < 2, GROUP, GROUP + 8), PLACE * 2 + (_i & 1)
_i = np.arange(8)
_upper = (_i < 2) | ((_i >= 4) & (_i < 6))
BF16_A = np.where(_upper, GROUP, GROUP + 8), PLACE * 2 + (_i & 1) + np.where(_i < 4, 0, 8)
_i = np.arange(4)
BF16_B = PLACE * 2 + (_i & 1) + np.where(_i < 2, 0, 8), GROUP + 0 * _i
A, B = {1: TF32_A, 2: BF16_A}, {1: TF32_B, 2: BF16_B}

_given: dict[int, Any] = {}  # thread of the block -> its registers
_results: dict[int, np.ndarray] = {}


def tf32(x) -> np.ndarray:
    """Bits of x rounded to 10 bits of mantissa, ties away from zero: cvt.rna.tf32.f32."""
    x = np.asarray(x, np.float32)
    bits = (x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    return np.where(np.isnan(x), np.uint32(0x7FFFE000), bits)


def bf16(x) -> np.ndarray:
    """The 16 bits of x rounded to 7 bits of mantissa, ties to even: cvt.rn.bf16x2.f32."""
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32)
    bits = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint32(0x7FFF), bits)


def rounded(low, high, factors: int) -> np.float32:
    """A register of 32 bits, as a float32: `low` in tf32, or low and high in bf16."""
    bits = tf32(low) if factors == 1 else bf16(low) | bf16(high) << np.uint32(16)
    return np.float32(bits.view(np.float32))


def multiply_add(a, b, c, factors: int):
    """A B + C by the 32 threads of a warp together; all threads of a block must call it."""
    thread: Any = threading.current_thread()
    own, warp = thread.thread_id, thread.thread_id // 32 * 32
    _given[own] = a, b, c
    thread.syncthreads()
    if own == warp:
        numbers = [_given[warp + lane] for lane in range(32)]
        for lane, result in enumerate(_product(numbers, factors)):
            _results[warp + lane] = result
    thread.syncthreads()
    return tuple(_results[own])


def _product(numbers, factors: int) -> np.ndarray:
    """(32, 4): what every lane has of A B + C; sums are float64, then rounded once."""
    a, b, c = (np.array(part, np.float32) for part in zip(*numbers, strict=True))
    left, right = np.zeros((16, 8 * factors)), np.zeros((8 * factors, 8))
    with np.errstate(all="ignore"):  # rows that a batch does not have are whatever was in memory
        left[A[factors]], right[B[factors]] = _factors(a, factors), _factors(b, factors)
        return (c + (left @ right)[C]).astype(np.float32)


def _factors(registers: np.ndarray, factors: int) -> np.ndarray:
    """(32, n): the factors in the registers of every lane, the lower half of one first."""
    bits = registers.view(np.uint32)
    if factors == 2:
        bits = np.stack([bits << np.uint32(16), bits & np.uint32(0xFFFF0000)], axis=-1)
    return bits.reshape(32, -1).view(np.float32)
