"""Call an exported C file 100,000 times with bad arguments; print how often each status came.

Run by tests/export/test_c.py as ``python -m helpers.fuzz_c model.npz``, in a process of its own.
"""

import sys
from pathlib import Path

import numpy as np

import numlstm
from helpers.compilers import Exported

CALLS = 100_000


def main(path):
    exported = Exported(numlstm.load(path), Path.cwd(), "-O1")
    rng, dtype = np.random.default_rng(0), exported.dtype
    fresh = exported.new_state()
    # one block for all: state, x, y; addresses stay inside it, however bad they are
    block = np.zeros(3 * fresh.size + 64, dtype)
    state, x = block[: fresh.size], block[2 * fresh.size :][:3]
    at = [array.ctypes.data for array in (state, x, block[2 * fresh.size + 32 :])]
    poison = np.array([np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-45, 0.0]).astype(dtype)
    poison[3:5] *= np.finfo(dtype).max
    counts = np.zeros(7, int)
    for kind, place, value, offset in zip(
        rng.integers(0, 5, CALLS).tolist(),
        rng.integers(0, 3, CALLS).tolist(),
        rng.integers(0, poison.size, CALLS).tolist(),
        rng.integers(1, dtype.itemsize, CALLS).tolist(),
        strict=True,
    ):
        state[:], x[:] = fresh, 1
        arguments = list(at)
        if kind == 0:
            arguments[place] = None
        elif kind == 1:
            arguments[place] += offset
        elif kind == 2:
            x[place] = poison[value]
        elif kind == 3:
            state[(7 * place + offset) % state.size] = poison[value]
        else:
            arguments[2] = at[0] + offset * dtype.itemsize
        counts[exported.step(*arguments)] += 1
    print(*counts)


if __name__ == "__main__":
    main(sys.argv[1])
