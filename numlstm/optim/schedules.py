"""Learning-rate schedules: a factor on the learning rate for every epoch."""

import math
from collections.abc import Callable
from typing import Any

from numlstm.utils import checks


def constant(epoch: int, epochs: int) -> float:
    """No schedule."""
    return 1.0


def cosine(epoch: int, epochs: int) -> float:
    """Half a cosine from 1 towards 0 (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))


def step(epoch: int, epochs: int) -> float:
    """A tenth from half of the epochs on, a hundredth in the last quarter."""
    return 1.0 if 2 * epoch < epochs else 0.1 if 4 * epoch < 3 * epochs else 0.01


SCHEDULES: dict[str, Callable[[int, int], float]] = {"cosine": cosine, "step": step}


def get(schedule: Any) -> Callable[[int, int], float]:
    """A function (epoch, epochs) -> factor from None, a name, or a user's function of the epoch."""
    if schedule is None:
        return constant
    if callable(schedule):
        return lambda epoch, epochs: _factor(schedule(epoch), epoch)
    if not isinstance(schedule, str) or schedule not in SCHEDULES:
        raise ValueError(
            f"schedule must be None, one of {list(SCHEDULES)}, or a function of the epoch, "
            f"received {checks.shown(schedule)}"
        )
    return SCHEDULES[schedule]


def _factor(value: Any, epoch: int) -> float:
    try:
        return checks.real(f"schedule({epoch})", value, least=0.0)
    except (TypeError, ValueError):
        raise ValueError(
            f"schedule({epoch}) must be a factor >= 0 on the learning rate, returned "
            f"{checks.shown(value)}"
        ) from None
