"""Training, and a trained network called step by step."""

import numpy as np

import numlstm

from .common import BACKENDS, DTYPES, training_data


class Fit:
    """Epochs of `numlstm.fit`, everything it does included."""

    params = ("adam", "sgd", "L-BFGS-B")
    param_names = ("method",)

    def setup(self, method):
        self.X, self.y = training_data(512)
        self.fit(method)

    def fit(self, method):
        options = {"hidden_size": 64, "batch_size": 64, "epochs": 2, "progress": False, "rng": 0}
        clip = {} if method != "L-BFGS-B" else {"clip": None}
        numlstm.fit(self.X, self.y, method=method, **options, **clip)

    def time_two_epochs(self, method):
        self.fit(method)

    def peakmem_two_epochs(self, method):
        self.fit(method)


class Step:
    """`model.step`, one sequence."""

    params = (BACKENDS, DTYPES, (16, 128))
    param_names = ("backend", "dtype", "hidden_size")

    def setup(self, backend, dtype, hidden_size):
        self.model = numlstm.LSTM(8, hidden_size, dtype=dtype, rng=0, backend=backend)
        self.x = np.ones(8, dtype)
        _, self.state = self.model.step(self.x)

    def time_step(self, backend, dtype, hidden_size):
        self.model.step(self.x, self.state)
