"""Optimisers on the flat parameter vector, with the formulas (and letters) of PyTorch.

An optimiser keeps its arrays in `state`, by name, so that a checkpoint can hold them. An update
changes theta in place and allocates nothing: it works in one array of scratch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np


class Optimizer:
    """Base class of the optimisers: constants and arrays by name, one array of scratch.

    Parameters
    ----------
    size : int
        Length of theta.
    dtype : str
        Its type.
    weight_decay : float
        Strength of the decay towards zero.
    options : mapping
        Values for some of the constants named in `defaults`.
    """

    rate = 0.01  # default learning rate
    defaults: Mapping[str, Any] = MappingProxyType({})
    arrays: tuple[str, ...] = ()

    def __init__(
        self,
        size: int,
        dtype: str,
        weight_decay: float = 0.0,
        options: Mapping[str, Any] = MappingProxyType({}),
    ):
        self.constants = {**self.defaults, **options}
        self.weight_decay = weight_decay
        self.steps: Any = 0  # or (M,), of each of M vectors that theta holds one behind the other
        self.state = {name: np.zeros(size, dtype) for name in self.arrays}
        self.scratch = np.empty((2, size), dtype)

    def update(self, theta: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        """One step on theta, in place; `gradient` is left as it was."""
        raise NotImplementedError


class Adam(Optimizer):
    """Kingma & Ba (2015), algorithm 1, with the epsilon outside the root as the paper has it.

    Weight decay is the gradient of weight_decay / 2 * sum(theta^2), added to the gradient.
    """

    defaults = MappingProxyType({"betas": (0.9, 0.999), "eps": 1e-8})
    arrays = ("m", "v")
    decoupled = False

    def update(self, theta: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        """One step on theta, in place; `gradient` is left as it was."""
        (beta1, beta2), eps = self.constants["betas"], self.constants["eps"]
        m, v, (a, b) = self.state["m"], self.state["v"], self.scratch
        self.steps += 1
        if self.decoupled:
            theta *= 1 - rate * self.weight_decay
        else:
            gradient = decayed(gradient, theta, self.weight_decay, b)
        np.subtract(gradient, m, out=a)
        a *= 1 - beta1
        m += a
        np.multiply(gradient, gradient, out=a)
        a *= 1 - beta2
        v *= beta2
        v += a
        np.sqrt(v, out=a)
        parts = a.reshape(np.size(self.steps), -1)  # a view
        parts /= self._of_steps(lambda steps: (1 - beta2**steps) ** 0.5)
        a += eps
        np.divide(m, a, out=a)
        parts *= self._of_steps(lambda steps: rate / (1 - beta1**steps))
        theta -= a

    def _of_steps(self, function: Callable[[int], float]) -> Any:
        """A number that depends on how many steps were made, or a column (M, 1) of them."""
        if np.ndim(self.steps) == 0:
            return function(self.steps)
        return np.array([[function(int(n))] for n in self.steps], self.scratch.dtype)


class AdamW(Adam):
    """Adam with decoupled weight decay: Loshchilov & Hutter (2019), algorithm 2."""

    decoupled = True


class SGD(Optimizer):
    """Gradient descent with momentum, or Nesterov's (Sutskever et al. 2013) in PyTorch's form."""

    defaults = MappingProxyType({"momentum": 0.0, "nesterov": False})
    arrays = ("velocity",)

    def update(self, theta: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        """One step on theta, in place; `gradient` is left as it was."""
        momentum = self.constants["momentum"]
        velocity, (a, b) = self.state["velocity"], self.scratch
        self.steps += 1
        gradient = decayed(gradient, theta, self.weight_decay, b)
        velocity *= momentum
        velocity += gradient
        if self.constants["nesterov"]:
            np.multiply(velocity, momentum, out=a)
            a += gradient
            a *= rate
        else:
            np.multiply(velocity, rate, out=a)
        theta -= a


class RMSprop(Optimizer):
    """Tieleman & Hinton (2012), lecture 6.5 of "Neural networks for machine learning"."""

    rate = 0.001
    defaults = MappingProxyType({"alpha": 0.99, "eps": 1e-8, "momentum": 0.0})
    arrays = ("v", "velocity")

    def update(self, theta: np.ndarray, gradient: np.ndarray, rate: float) -> None:
        """One step on theta, in place; `gradient` is left as it was."""
        alpha, eps, momentum = (self.constants[name] for name in self.defaults)
        v, velocity, (a, b) = self.state["v"], self.state["velocity"], self.scratch
        self.steps += 1
        gradient = decayed(gradient, theta, self.weight_decay, b)
        np.multiply(gradient, gradient, out=a)
        a *= 1 - alpha
        v *= alpha
        v += a
        np.sqrt(v, out=a)
        a += eps
        np.divide(gradient, a, out=a)
        velocity *= momentum
        velocity += a
        np.multiply(velocity, rate, out=a)
        theta -= a


def decayed(
    gradient: np.ndarray, theta: np.ndarray, weight_decay: float, out: np.ndarray
) -> np.ndarray:
    """The gradient with that of weight_decay / 2 * sum(theta^2) added."""
    if weight_decay == 0:
        return gradient
    np.multiply(theta, weight_decay, out=out)
    out += gradient
    return out


def norm(gradient: np.ndarray) -> float:
    """Euclidean norm, accumulated in float64; inf where its square is beyond that."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum(np.square(gradient, dtype=np.float64))))


def clip(gradient: np.ndarray, length: float, limit: float | None) -> np.ndarray:
    """The gradient, shortened to the norm `limit` where it is longer (Pascanu et al. 2013)."""
    if limit is None or length <= limit:
        return gradient
    shortened: np.ndarray = gradient * gradient.dtype.type(limit / length)
    return shortened


@dataclass(frozen=True, eq=False)
class OptimizerState:
    """What a method has gathered in its updates, for another run to go on with."""

    method: str
    steps: int
    arrays: Mapping[str, np.ndarray]

    def fits(self, theta: np.ndarray) -> bool:
        """Whether it is of as many parameters of this type, and finite."""
        return all(
            array.shape == theta.shape and array.dtype == theta.dtype and np.isfinite(array).all()
            for array in self.arrays.values()
        )

    def restore(self, optimizer: Optimizer) -> None:
        """Let an optimiser of the same method go on from here."""
        optimizer.steps = self.steps
        for name, array in optimizer.state.items():
            array[...] = self.arrays[name]


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "sgd": SGD,
    "rmsprop": RMSprop,
}
