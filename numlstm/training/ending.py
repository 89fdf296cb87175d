"""What a run ends with: the parameters that are returned, their loss, and whether it succeeded."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numlstm.training.interrupt import Interrupted
from numlstm.training.loop import LoopConfig, Problem
from numlstm.training.outcome import CALLBACK, INTERRUPTED, Outcome
from numlstm.training.progress import Progress
from numlstm.training.update import Numbers


class Ending(NamedTuple):
    """The result of a run, of one network or of the members of an ensemble."""

    x: np.ndarray  # (n,), or (M, n)
    fun: Numbers  # mean training loss at x, or (M,)
    outcome: Outcome


def end(
    problem: Problem,
    config: LoopConfig,
    progress: Progress,
    outcome: Outcome,
    worst: Callable[[], Numbers],
) -> Ending:
    """End a run; a success has finite losses, none above `worst()` unless `tol` allows it.

    Whatever ended it, an infinite loss is what there is to say, unless the user ended it.
    """
    if outcome.status == INTERRUPTED:
        return Ending(progress.x, progress.loss, outcome)
    judged = problem.validation is not None or config.training.patience is not None
    x = progress.best_x() if judged else progress.x
    try:
        fun = problem.value(x, problem.train)
        if outcome.status != CALLBACK and not np.all(np.isfinite(fun)):
            x = progress.best_theta.reshape(x.shape).copy()
            known = "best epoch" if progress.best_epoch.any() else "start"
            fun, outcome = problem.value(x, problem.train), Outcome.not_finite(known)
    except Interrupted:
        return Ending(progress.x, progress.loss, Outcome.interrupted())
    if outcome.success and not config.met(progress):
        outcome = _without_goal(progress, outcome, fun, worst())
    return Ending(x, fun, outcome)


def _without_goal(progress: Progress, outcome: Outcome, fun: Numbers, worst: Numbers) -> Outcome:
    """The outcome of a run that was to be as good as it could."""
    if "validation_loss" in progress.history and not np.all(np.isfinite(progress.best)):
        return Outcome.never_finite()
    if np.any(above := np.greater(fun, worst)):
        first = np.argmax(above)
        loss, limit = (float(np.ravel(numbers)[first]) for numbers in (fun, worst))
        return Outcome.worse_than_constant(loss, limit)
    return outcome
