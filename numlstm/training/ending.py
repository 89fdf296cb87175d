"""What a run ends with: the parameters that are returned, their loss, and whether it succeeded."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from numlstm.data.preparation import Data
from numlstm.objectives.constant import worst_loss
from numlstm.objectives.member_evaluator import MemberData
from numlstm.optim.losses import Loss
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


class Bars(NamedTuple):
    """The losses above which a run is no success; the second one where there is a validation."""

    train: Callable[[], Numbers]
    validation: Callable[[], Numbers] | None

    @classmethod
    def of(cls, loss: Loss, data: Data, members: MemberData | None = None) -> "Bars":
        """By the best constants for the data of a run, or for what each member learns from."""
        worst = partial(worst_loss, loss, scaling=data.scaling)
        train = partial(worst, data.train) if members is None else partial(members.each, worst)
        judged_by = data.validation
        return cls(train, None if judged_by is None else partial(worst, judged_by))


def end(
    problem: Problem, config: LoopConfig, progress: Progress, outcome: Outcome, bars: Bars
) -> Ending:
    """End a run; a success has finite losses, none above its bar unless `tol` allows it.

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
        outcome = _without_goal(progress, outcome, fun, bars)
    return Ending(x, fun, outcome)


def _without_goal(progress: Progress, outcome: Outcome, fun: Numbers, bars: Bars) -> Outcome:
    """The outcome of a run that was to be as good as it could."""
    validation = bars.validation
    if validation and not np.all(np.isfinite(progress.best)):
        return Outcome.never_finite()
    train = bars.train()
    if (above := _first_above(fun, train)) is not None:
        return Outcome.worse_than_constant(*above)
    if validation:
        # data to judge by may be a quiet part, with a constant that is hard to beat
        bar = np.maximum(train, validation())
        if (above := _first_above(progress.best, bar)) is not None:
            return Outcome.worse_on_validation(*above)
    return outcome


def _first_above(losses: Numbers, bars: Numbers) -> tuple[float, float] | None:
    """The first loss that is above its bar, and that; None where there is none."""
    pairs = zip(*map(np.ravel, np.broadcast_arrays(losses, bars)), strict=True)
    return next(((float(loss), float(bar)) for loss, bar in pairs if loss > bar), None)
