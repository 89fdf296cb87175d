"""What the benchmarks of the suite share: parameters, data, a warm start."""

import numpy as np

import numlstm

BACKENDS = ["cpu", "reference"]
DTYPES = ["float32", "float64"]
SIZES = [(50, 1, 4, 16), (100, 32, 8, 64), (100, 64, 64, 256)]  # T, B, I, H


class Layer:
    """One layer and its data, after a first call of `work`; parameters are backend, dtype, size."""

    params = (BACKENDS, DTYPES, SIZES)
    param_names = ("backend", "dtype", "size")

    def setup(self, backend, dtype, size):
        steps, batch, inputs, units = size
        rng = np.random.default_rng(0)
        self.model = numlstm.LSTM(inputs, units, dtype=dtype, rng=0, backend=backend)
        self.X = rng.standard_normal((batch, steps, inputs)).astype(dtype)
        self.dY = rng.standard_normal((batch, steps, units)).astype(dtype)
        self.flops = 8 * steps * batch * units * (inputs + units)
        self.work()

    def work(self):
        """What is measured."""
        raise NotImplementedError


def training_data(sequences, steps=100, inputs=8):
    """X (N, T, I), and as y the next value of every feature, (N, T, I)."""
    rng = np.random.default_rng(0)
    series = rng.standard_normal((sequences, steps + 1, inputs)).astype("float32")
    return series[:, :-1].copy(), series[:, 1:].copy()
