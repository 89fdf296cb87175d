"""Philox of the CUDA backend as compiled code: in the simulator, integers are NumPy's."""

import numpy as np
import pytest
from numba import njit

pytest.importorskip("numba_cuda", reason="numba-cuda is only there on Linux")
from numlstm.backends.cuda.training import masks


def test_compiled_words_are_numpys():
    rng, philox = np.random.default_rng(0), njit(masks.philox)
    for counter in rng.integers(2**64, size=(50, 4), dtype=np.uint64):
        key = rng.integers(2**64, size=2, dtype=np.uint64)
        expected = np.random.Philox(key=key, counter=counter).random_raw(4)
        counter[0] += np.uint64(1)  # NumPy raises the counter before it uses it
        assert philox(*counter, *key) == tuple(expected)
