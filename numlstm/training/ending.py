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
from numlstm.training.outcome import CALLBACK, INTERRUPTED, NOT_FINITE, Outcome
from numlstm.training.progress import Progress, as_numbers
from numlstm.training.update import Numbers
from numlstm.utils import notices


class Ending(NamedTuple):
    """The result of a run, of one network or of the members of an ensemble."""

    x: np.ndarray  # (n,), or (M, n)
    fun: Numbers  # mean training loss at x, or (M,)
    outcome: Outcome
    per_series: dict[str, np.ndarray]  # metrics at x, of every series; NaN where Ctrl-C ended it


def bars(loss: Loss, data: Data, members: MemberData | None = None) -> Numbers:
    """The losses above which a run is no success: by the best constants for its data.

    A resample of few different targets has a constant that is hard to beat; so members have the bar
    of all data where that is higher.
    """
    worst = partial(worst_loss, loss, scaling=data.scaling)
    bar = worst(data.train)
    return bar if members is None else np.asarray(np.maximum(bar, members.each(worst)))


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
        return Ending(progress.x, progress.loss, outcome, problem.per_series(None))
    judged = problem.validation is not None or config.training.patience is not None
    x = progress.best_x() if judged else progress.x
    try:
        fun = problem.value(x, problem.train)
        if outcome.status != CALLBACK and not np.all(np.isfinite(fun)):
            x, fun, known = _finite(problem, progress)
            outcome = Outcome.not_finite(known)
        if outcome.success and not config.met(progress):
            outcome = _without_goal(problem, progress, outcome, fun, problem.run(worst))
        per_series = problem.per_series(x)
    except Interrupted:
        interrupted = Outcome.interrupted(), problem.per_series(None)
        return Ending(progress.x, progress.loss, *interrupted)
    if problem.fresh is not None and outcome.status != NOT_FINITE:
        fun = _of_batches(progress, judged, fun)
    if problem.judging is not None and outcome.status != NOT_FINITE:
        problem.judging.warn_of_undefined(per_series)
    return Ending(x, fun, outcome, per_series)


def warn_of_worse(
    problem: Problem, progress: Progress, outcome: Outcome, start: np.ndarray
) -> None:
    """Say where no epoch of a run was as good as the model that it began with."""
    if outcome.status in (INTERRUPTED, NOT_FINITE):
        return
    try:
        before = float(problem.value(start, problem.validation))
    except Interrupted:
        return
    if (best := float(progress.best)) > before:
        notices.warn(
            f"no epoch was better than the model given: its validation loss is {before:.3g}, that "
            f"of the best epoch {best:.3g}. The model given is as it was; try a smaller "
            "learning_rate"
        )


def _of_batches(progress: Progress, judged: bool, of_first: Numbers) -> Numbers:
    """The mean loss over the fresh batches of the epoch whose parameters are returned.

    It is taken while they are learned from: they are gone then, but for the first one, on which it
    is tried whether the fit is a success.
    """
    mean = np.array(progress.loss, np.float64)
    if judged and np.any(known := (progress.best_epoch > 0) & (progress.ended == 0)):
        of_best = np.take_along_axis(
            np.array(progress.history["loss"]), np.maximum(progress.best_epoch - 1, 0)[None], 0
        )[0]
        mean = np.where(known, of_best, mean)
    return as_numbers(np.where(np.isfinite(mean), mean, of_first))


def _finite(problem: Problem, progress: Progress) -> tuple[np.ndarray, Numbers, str]:
    """Parameters whose loss is finite, that, and which they are.

    The mean loss by which an epoch was the best one says nothing of its last update.
    """
    x = progress.best_theta.reshape(progress.x.shape).copy()
    fun = problem.value(x, problem.train)
    known = "best epoch" if progress.best_epoch.any() else "start"
    others = {"last step with a finite loss": progress.arrays.previous, "start": progress.first}
    for name, theta in others.items():
        if (lost := ~np.isfinite(fun)).any():
            x[lost], known = theta.reshape(x.shape)[lost], name
            fun = problem.value(x, problem.train)
    return x, fun, known


def _without_goal(
    problem: Problem, progress: Progress, outcome: Outcome, fun: Numbers, worst: Numbers
) -> Outcome:
    """The outcome of a run that was to be as good as it could."""
    if problem.validation is not None and not np.all(np.isfinite(progress.best)):
        return Outcome.never_finite()
    above = _first_above(fun, worst)
    return outcome if above is None else Outcome.worse_than_constant(*above)


def _first_above(losses: Numbers, bars: Numbers) -> tuple[float, float] | None:
    """The first loss that is above its bar, and that; None where there is none."""
    pairs = zip(*map(np.ravel, np.broadcast_arrays(losses, bars)), strict=True)
    return next(((float(loss), float(bar)) for loss, bar in pairs if loss > bar), None)
