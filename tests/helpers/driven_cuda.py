"""The CUDA backend over the stand-in for a driver, `driver.c`: run by `backends/cuda/test_cuda.py`.

Kernels are compiled and launched, but do nothing: what is looked at is how the driver is used.
With NOTHING_NEW=1 no kernel may be compiled: all are on disk.
"""

import os

import numpy as np

import numlstm
from numlstm.backends.cuda.device.target import cuda


def refuse(*arguments, **options):
    raise AssertionError("a kernel is compiled again")


if os.environ.get("NOTHING_NEW"):
    cuda.dispatcher._Kernel.__init__ = refuse


class Foreign:
    """An array of another library's, by one of the two protocols."""

    def __init__(self, array, *names):
        for name in names:
            setattr(type(self), name, property(lambda self, name=name: getattr(array, name)))


class ByInterface(Foreign):
    pass


class ByDLPack(Foreign):
    pass


X = np.random.default_rng(0).standard_normal((4, 6, 2)).astype("float32")
y = np.cumsum(X[..., :1], axis=1)

# an update is launched by itself, then in memory of its own, and from the third time on as a graph
dropout = {"layers": 0.1, "states": 0.1, "weights": 0.1}
options = {"hidden_size": 4, "num_layers": 2, "epochs": 5, "dropout": dropout, "rng": 0}
static = np.linspace(0, 1, 12, dtype="float32").reshape(4, 3)
result = numlstm.fit(X, y, static=static, backend="cuda", progress=False, **options)
assert result.message == "All epochs were run.", result.message
assert result.nfev == 5

# windows are gathered from series that are brought over once
gaps = np.where(X > 1, np.nan, X)
options = {"window": 3, "missing": "mask", "hidden_size": 4, "epochs": 5, "rng": 0}
windows = numlstm.fit(gaps, y, static=static, backend="cuda", progress=False, **options)
assert windows.nfev == 5

# 128 units want more shared memory than every kernel may have
model = numlstm.LSTM(2, 128, 1, backend="cuda", rng=0)
there = cuda.to_device(X)
Y, state = model.forward(there)
assert Y.shape == (4, 6, 1)
assert Y.__cuda_array_interface__["shape"] == (4, 6, 1)
gradients = model.vjp(there)[1](Y, state)
assert gradients.X.shape == X.shape

one = numlstm.LSTM(1, 4, 1, backend="cuda", rng=0)
for foreign in (
    ByInterface(Y, "__cuda_array_interface__"),
    ByDLPack(Y, "__dlpack__", "__dlpack_device__"),
):
    Z, _ = one.forward(foreign)
    assert Z.shape == Y.shape
    assert one.step(cuda.to_device(X[:, 0, :1].copy()))[0].shape == (4, 1)
assert one.predict(X[..., :1]).shape == (4, 6, 1)

many = numlstm.LSTM(2, 4, 1, static_size=3, backend="cuda", rng=0)
given = cuda.to_device(static)
assert many.vjp(there, static=given)[1](many.forward(there, static=given)[0]).static.shape == (4, 3)
for attributes in (given, cuda.to_device(static[0])):
    assert many.step(cuda.to_device(X[:, 0].copy()), static=attributes)[0].shape == (4, 1)
