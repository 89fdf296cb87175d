"""Scheduled sampling: in training, some inputs are the network's own forecasts.

Bengio, Vinyals, Jaitly & Shazeer (2015), "Scheduled sampling for sequence prediction with recurrent
neural networks", NeurIPS 28. Their forecasts are drawn words, and no gradient goes through them;
here they are numbers, and the gradient of the whole run is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from numlstm import backends
from numlstm.architecture.spec import Dropout, NetworkSpec, State
from numlstm.data.sequences import Dataset, mask
from numlstm.network.network import Network
from numlstm.objectives.evaluator import Evaluator
from numlstm.optim.losses import Loss
from numlstm.utils import checks
from numlstm.utils.random_streams import SAMPLING, RandomStreams

if TYPE_CHECKING:  # else loaded on first use: it imports Numba
    from numlstm.stepping.stepper import Stepper

_LEVELS = 2**16  # a probability is rounded to a multiple of 1 / _LEVELS


@dataclass(frozen=True)
class Sampling:
    """How probable it is, in an epoch, that a step reads the forecast of the step before."""

    asked: float | Callable[[int], float]  # reached linearly in the last epoch, or by the epoch
    epochs: int

    def __repr__(self) -> str:
        """The part of a run's fingerprint: see `numlstm.training.fingerprints`."""
        return "a function" if callable(self.asked) else f"{self.asked:g} in {self.epochs} epochs"

    def probability(self, epoch: int) -> float:
        """In an epoch, from 0 on."""
        if callable(self.asked):
            return checks.probability(f"scheduled_sampling({epoch})", self.asked(epoch))
        return self.asked if self.epochs == 1 else self.asked * epoch / (self.epochs - 1)

    def at(self, epoch: int) -> "Sampling":
        """That of an epoch alone, which asks nobody."""
        return Sampling(self.probability(epoch), 1)

    def draw(
        self, draws: RandomStreams, epoch: int, update: int, window: Dataset
    ) -> np.ndarray | None:
        """Mask of the steps of a window that are fed, (B, T), never its first; None for none."""
        level = round(_LEVELS * self.probability(epoch))
        if level == 0:
            return None
        rows, steps = window.X.shape[:2]
        fed = np.concatenate(list(draws.bits(SAMPLING, update, 0, rows, steps))) < level
        fed[:, :1] = False
        return fed if window.lengths is None else fed & mask(window.lengths, steps)


def require_able(spec: NetworkSpec, loss: Loss, stochastic: bool, missing: bool) -> None:
    """Refuse what cannot be trained on its own forecasts."""
    needs = {
        "a method of batches, such as 'adam'; SciPy's want the same function at every call": (
            stochastic
        ),
        "a loss of one output per target: 'mse', 'mae' or 'huber'": (
            loss.regression and loss.outputs == 1
        ),
        "a network that reads sequences forward only": not spec.bidirectional,
        "a network without dropout": spec.dropout == Dropout(),
        "inputs without missing values": not missing,
    }
    for need, holds in needs.items():
        if not holds:
            raise ValueError(f"scheduled_sampling needs {need}")


def require_step(network: Network, theta: np.ndarray) -> None:
    """Refuse a network whose steps cannot go back in compiled code; that compiles them, if not."""
    backends.require_numba()
    from numlstm.stepping.stepper import stepper_of

    if network.backend.name != "cpu":
        raise ValueError(
            f"scheduled_sampling runs on the backend 'cpu', received {network.backend.name!r}"
        )
    if stepper_of(network.spec, theta, None, derivatives=True) is None:
        raise ValueError(
            f"scheduled_sampling takes steps of {network.spec.hidden_size} units, which need more "
            "scratch than a thread's stack has room for; use fewer units"
        )


def sampled_step(
    evaluator: Evaluator,
    theta: np.ndarray,
    window: Dataset,
    state: State | None,
    scale: float,
    fed: np.ndarray,
) -> tuple[float, np.ndarray, State]:
    """(loss, gradient, state after the window), as `Evaluator.step`, where some steps are fed."""
    from numlstm.stepping import rollout

    spec, first = evaluator.network.spec, state is None
    with np.errstate(all="ignore"):  # what is not finite is reported by the caller
        stepper = _stepper(spec, theta)
        Y, state, tape = rollout.forward(stepper, spec, window.X, fed, state, True, window.static)
        weight = window.weight * window.weight.dtype.type(scale)
        value, dY = evaluator.loss(Y, window.y, weight)
        gradients = rollout.backward(stepper, spec, tape, dY)
        if first:
            rollout.add_initial(spec, gradients.theta, gradients.state)
    return value, gradients.theta, state


def sampled_advance(
    evaluator: Evaluator, theta: np.ndarray, window: Dataset, state: State | None, fed: np.ndarray
) -> State:
    """The state after a window, as `Evaluator.advance`, where some steps are fed."""
    from numlstm.stepping import rollout

    spec = evaluator.network.spec
    with np.errstate(all="ignore"):
        stepper = _stepper(spec, theta)
        return rollout.forward(stepper, spec, window.X, fed, state, False, window.static)[1]


def _stepper(spec: NetworkSpec, theta: np.ndarray) -> "Stepper":
    from numlstm.stepping.stepper import stepper_of

    stepper = stepper_of(spec, theta, None, derivatives=True)
    assert stepper is not None, "require_step refuses such networks"
    return stepper
