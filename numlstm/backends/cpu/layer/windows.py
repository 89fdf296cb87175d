"""Windows that are cut out of many series and standardised on the way, in shards of windows."""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from numlstm.backends.cpu.codegen.compile import entry, kernel
from numlstm.backends.cpu.codegen.packing import blocks
from numlstm.backends.cpu.codegen.parallel import call, for_shards
from numlstm.utils.types import Array

ROWS = 8  # windows of a shard
WORK = 8  # multiply-adds that take as long as one number here


class Sizes(NamedTuple):
    """Windows, and numbers in each."""

    rows: int
    width: int


@intrinsic
def numbers_at(typingctx, address, like):
    """The numbers that lie at an address, of the type of those in an array."""
    result = types.CPointer(like.dtype)

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(result))

    return result(address, like), codegen


@kernel
def standardise_shard(shard, sizes, addresses, like, mean, scale, result):
    """result (B, n) = (x - mean) / scale in float64, x (n,) at the addresses (B,)."""
    for row in range(shard * ROWS, min(sizes.rows, (shard + 1) * ROWS)):
        source = numbers_at(addresses[row], like)
        target = result[row]
        for i in range(sizes.width):
            target[i] = (np.float64(source[i]) - mean[i]) / scale[i]


@entry
def standardise(driver, shards, sizes, addresses, like, mean, scale, result):
    """All shards."""
    arguments = Sizes(*sizes), addresses, like, mean, scale, result
    for_shards(standardise_shard, driver, shards, arguments)


def standardised(addresses: Array, source: str, mean: Array, scale: Array, result: Array) -> None:
    """Fill result (B, T, I) with windows that lie at addresses (B,), of numbers of a type.

    Parameters
    ----------
    addresses : ndarray of int64, shape (B,)
        Where the first step of each window lies; its steps follow one another.
    source : str
        Type of the numbers there.
    mean, scale : ndarray, shape (I,)
        Those of the features, float64.
    result : ndarray, shape (B, T, I)
        Filled with (x - mean) / scale, computed in float64.
    """
    rows, steps, width = result.shape
    sizes = rows, steps * width
    tiled = np.tile(mean, steps), np.tile(scale, steps)
    given = sizes, addresses, np.empty(0, source), *tiled, result.reshape(sizes)
    shards = blocks(rows, ROWS)
    call(standardise, shards, WORK * result.size, shards, *given)
