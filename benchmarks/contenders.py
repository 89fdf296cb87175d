"""The libraries that `peers.py` compares, each with the same problems in its own idiom.

A contender is made for one problem and holds its data and weights. Its methods do the work that is
timed; one that it lacks is one that it does not compete in. What a method returns is compared with
ours before anything is timed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import count
from typing import Any

import numpy as np

import numlstm

SEQUENCES, STEPS, INPUTS, UNITS, BATCH = 4096, 100, 8, 64, 64  # of the training run


@dataclass(frozen=True)
class Problem:
    """Sizes of a layer and of its input: T, B, I and H."""

    steps: int
    batch: int
    inputs: int
    units: int
    dtype: str
    threads: int

    @property
    def flops(self) -> int:
        """Of the matrix products of a forward pass; a backward pass has twice as many."""
        return 8 * self.steps * self.batch * self.units * (self.inputs + self.units)

    @cached_property
    def model(self) -> numlstm.LSTM:
        """The weights that all contenders use."""
        return numlstm.LSTM(
            self.inputs, self.units, init={"weights": "uniform"}, dtype=self.dtype, rng=0
        )

    def random(self, seed: int, *shape: int) -> np.ndarray:
        """Normally distributed data."""
        return np.random.default_rng(seed).standard_normal(shape).astype(self.dtype)

    @cached_property
    def X(self) -> np.ndarray:
        """The input, (B, T, I)."""
        return self.random(1, self.batch, self.steps, self.inputs)

    @cached_property
    def dY(self) -> np.ndarray:
        """The gradient of the output, (B, T, H)."""
        return self.random(2, self.batch, self.steps, self.units)


class Contender:
    """One library; `forward`, `forward_backward`, `step` and `kernel` are what may be timed."""

    packages: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "float64")

    def __init__(self, problem: Problem):
        raise NotImplementedError

    @classmethod
    def missing(cls) -> list[str]:
        """The packages that it needs and that are not installed."""
        return [name for name in cls.packages if find_spec(name) is None]


class NumLSTM(Contender):
    """This package, through its public face."""

    def __init__(self, problem: Problem):
        self.problem, self.model, self.state = problem, problem.model, None
        self.x = problem.X[:, 0].copy()
        self.weights = self.model.network.pack(self.model.theta)
        self.zero_state = self.model.network.zero_state(problem.batch)

    def forward(self):
        return [self.model.forward(self.problem.X)[0]]

    def forward_backward(self):
        # as in training, where every gradient is one at new weights, which are packed anew
        self.model.theta[-1] = 1e-6 - self.model.theta[-1]
        Y, pullback = self.model.vjp(self.problem.X)
        return [Y, pullback(self.problem.dY).X]

    def step(self):
        y, self.state = self.model.step(self.x, self.state)
        return [y]

    def kernel(self):
        """The whole sequence without the checks and without packing the weights."""
        return [self.model.network.forward(self.weights, self.problem.X, self.zero_state)[0]]


class PyTorch(Contender):
    """torch.nn.LSTM."""

    packages = ("torch",)

    def __init__(self, problem: Problem):
        import torch

        torch.set_num_threads(problem.threads)
        self.torch, self.state = torch, None
        self.lstm = torch.nn.LSTM(
            problem.inputs, problem.units, batch_first=True, dtype=getattr(torch, problem.dtype)
        )
        params = problem.model.params
        values = (params["weight_ih_l0"], params["weight_hh_l0"], params["bias_l0"], 0)
        with torch.no_grad():
            for parameter, value in zip(self.lstm.parameters(), values, strict=True):
                parameter.copy_(torch.as_tensor(value))
        self.x, self.dY = torch.from_numpy(problem.X), torch.from_numpy(problem.dY)
        self.x_with_gradient = self.x.clone().requires_grad_()

    def forward(self):
        with self.torch.no_grad():
            return [self.lstm(self.x)[0]]

    kernel = forward

    def forward_backward(self):
        self.lstm.zero_grad(set_to_none=True)
        self.x_with_gradient.grad = None
        Y, _ = self.lstm(self.x_with_gradient)
        Y.backward(self.dY)
        return [Y.detach(), self.x_with_gradient.grad]

    def step(self):
        with self.torch.no_grad():
            Y, self.state = self.lstm(self.x, self.state)
        return [Y]


class ONNXRuntime(Contender):
    """One LSTM node; it has no gradients."""

    packages = ("onnx", "onnxruntime")
    dtypes = ("float32",)

    def __init__(self, problem: Problem):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # threads that wait in a loop after the call would slow down whoever comes next
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.intra_op_num_threads = problem.threads
        self.session = onnxruntime.InferenceSession(
            self._model(problem), options, providers=["CPUExecutionProvider"]
        )
        state = np.zeros((1, problem.batch, problem.units), problem.dtype)
        self.feed = {"X": problem.X.swapaxes(0, 1).copy(), "h": state, "c": state}

    @staticmethod
    def _model(problem: Problem) -> bytes:
        from onnx import TensorProto, helper, numpy_helper

        units, params = problem.units, problem.model.params
        bias = np.concatenate([params["bias_l0"], np.zeros_like(params["bias_l0"])])
        iofc = np.arange(4 * units).reshape(4, units)[[0, 3, 1, 2]].ravel()  # its order of gates
        weights = {
            "W": params["weight_ih_l0"][iofc],
            "R": params["weight_hh_l0"][iofc],
            "B": bias[np.concatenate([iofc, 4 * units + iofc])],
        }
        inputs, outputs = [*"Xhc"], ["Y", "h_T", "c_T"]
        node = helper.make_node("LSTM", [*"XWRB", "", *"hc"], outputs, hidden_size=units)
        values = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in inputs + outputs
        }
        graph = helper.make_graph(
            [node],
            "lstm",
            [values[name] for name in inputs],
            [values[name] for name in outputs],
            [numpy_helper.from_array(part[None].copy(), name) for name, part in weights.items()],
        )
        opset = helper.make_opsetid("", 17)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()

    def forward(self):
        return [self.session.run(["Y"], self.feed)[0][:, 0].swapaxes(0, 1)]

    kernel = forward

    def step(self):
        Y, self.feed["h"], self.feed["c"] = self.session.run(["Y", "h_T", "c_T"], self.feed)
        return [Y]


class JAX(Contender):
    """A scan over the steps, the input's share of all of them in one product before it."""

    packages = ("jax",)

    def __init__(self, problem: Problem):
        import jax

        jax.config.update("jax_enable_x64", problem.dtype == "float64")
        self.jax, self.x, self.dY = jax, jax.numpy.asarray(problem.X), jax.numpy.asarray(problem.dY)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_l0")
        self.theta = [jax.numpy.asarray(problem.model.params[name]) for name in names]
        zeros = jax.numpy.zeros((problem.batch, problem.units), problem.dtype)
        self.zero = self.state = (zeros, zeros)
        self.run, self.run_and_pull = jax.jit(self._lstm), jax.jit(self._gradients)

    def _lstm(self, theta, x, state):
        W_ih, W_hh, b = theta
        nn, lax, numpy = self.jax.nn, self.jax.lax, self.jax.numpy

        def cell(carry, z_x):
            h, c = carry
            i, f, g, o = numpy.split(z_x + h @ W_hh.T, 4, axis=-1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * numpy.tanh(g)
            h = nn.sigmoid(o) * numpy.tanh(c)
            return (h, c), h

        state, Y = lax.scan(cell, state, (x @ W_ih.T + b).swapaxes(0, 1))
        return Y.swapaxes(0, 1), state

    def _gradients(self, theta, x, dY):
        Y, pullback = self.jax.vjp(lambda theta, x: self._lstm(theta, x, self.zero)[0], theta, x)
        dtheta, dX = pullback(dY)
        return Y, dX, dtheta

    def forward(self):
        return [self.run(self.theta, self.x, self.zero)[0].block_until_ready()]

    kernel = forward

    def forward_backward(self):
        Y, dX, _ = self.jax.block_until_ready(self.run_and_pull(self.theta, self.x, self.dY))
        return [Y, dX]

    def step(self):
        Y, self.state = self.jax.block_until_ready(self.run(self.theta, self.x, self.state))
        return [Y]


PEERS = {"torch": PyTorch, "onnxruntime": ONNXRuntime, "jax": JAX}


def training_data(sequences: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """X (N, T, I), and y (N, T, 1): the running mean of its first feature."""
    X = np.random.default_rng(0).standard_normal((sequences, STEPS, INPUTS)).astype(dtype)
    mean = np.cumsum(X[..., :1], axis=1) / np.arange(1, STEPS + 1)[:, None]
    return X, mean.astype(dtype)


def torch_epoch(X: np.ndarray, y: np.ndarray, threads: int) -> Callable[[], Any]:
    """A function that trains for one epoch, as one writes it in PyTorch."""
    import torch

    torch.set_num_threads(threads)
    dtype = getattr(torch, X.dtype.name)
    lstm = torch.nn.LSTM(INPUTS, UNITS, batch_first=True, dtype=dtype)
    head = torch.nn.Linear(UNITS, 1, dtype=dtype)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def epoch():
        total = 0.0
        for rows in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.mse_loss(head(lstm(X[rows])[0]), y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            total += loss.item()
        return total

    return epoch


def fit_epochs(
    X: np.ndarray, y: np.ndarray, epochs: int, between: Callable[[], Any] = lambda: None
) -> list[float]:
    """Seconds of every epoch of `numlstm.fit` but the first; `between` runs after each.

    Nothing of another library belongs there: it would be timed in the midst of ours.
    """
    numbers = count()
    seconds: list[float] = []
    start = 0.0

    def pause(intermediate_result):
        nonlocal start
        if next(numbers) > 0:
            seconds.append(time.perf_counter() - start)
        between()
        start = time.perf_counter()

    options = {"hidden_size": UNITS, "batch_size": BATCH, "epochs": epochs + 1, "clip": 1.0}
    numlstm.fit(X, y, method="adam", callback=pause, progress=False, rng=0, **options)
    return seconds
