"""The bridge to scipy.optimize.minimize: the loss of all data and its gradient, in float64."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numlstm import optimizers
from numlstm.interrupt import Interrupted
from numlstm.result import Outcome
from numlstm.training import NotFinite, Plan, Problem, Progress

METHODS = ("CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "SLSQP", "trust-constr")


class _Ended(Exception):
    """A goal or limit of ours ends a run of SciPy's."""

    def __init__(self, outcome: Outcome):
        super().__init__(outcome.message)
        self.outcome = outcome


class Minimizer:
    """Runs a method of scipy.optimize.minimize on a problem; `progress` is kept as it goes."""

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        progress: Progress,
        method: str,
        options: Mapping[str, Any],
    ):
        self.problem, self.plan, self.progress = problem, plan, progress
        self.method, self.options = method, options
        self.on_epoch: list[Callable[[], None]] = []  # called after each iteration, in order
        self._last: tuple[np.ndarray, float, float] | None = None  # theta, its loss and norm

    def run(self) -> Outcome:
        """Minimise until something ends it."""
        from scipy.optimize import minimize

        # TNC knows a limit on calls only; that on iterations is kept by _close_iteration
        limit = {"maxiter": self.plan.epochs} if self.method != "TNC" else {"maxfun": 2**31 - 1}
        try:
            result = minimize(
                self.fun,
                self.progress.theta.astype(np.float64),
                jac=True,
                method=self.method,
                callback=lambda x, *_: self._close_iteration(x),
                options={**limit, **self.options},
            )
        except Interrupted:
            return Outcome.interrupted()
        except NotFinite:
            return Outcome.not_finite()
        except _Ended as end:
            return end.outcome
        self.progress.theta[...] = result.x
        return Outcome(bool(result.success), int(result.status), str(result.message))

    def fun(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """What is minimised, and its gradient: loss, and weight_decay / 2 * sum(x^2)."""
        theta = x.astype(self.progress.theta.dtype)
        value, gradient = self.problem.evaluator.gradient(
            theta, self.problem.train, self.plan.bptt_steps, self.problem.run
        )
        self.progress.updates += 1
        norm = optimizers.norm(gradient)
        self._last = theta, value, norm
        if self.progress.updates == 1 and not np.isfinite(value + norm):
            raise NotFinite
        decay = 0.5 * self.plan.weight_decay * float(np.sum(np.square(x)))
        return value + decay, gradient + self.plan.weight_decay * x

    def _close_iteration(self, x: np.ndarray) -> None:
        """Called by SciPy with every iterate."""
        progress, problem = self.progress, self.problem
        theta = x.astype(progress.theta.dtype)
        if self._last is None or not np.array_equal(theta, self._last[0]):
            self.fun(x)
        assert self._last is not None
        _, value, norm = self._last
        if not np.isfinite(value + norm):
            raise NotFinite
        progress.theta[...] = theta
        problem.judge(progress, loss=value, gradient_norm=norm)
        try:
            for call in self.on_epoch:
                call()
        except StopIteration:  # not every method of SciPy's has a place for it
            raise _Ended(Outcome.stopped()) from None
        if (goal := self.plan.goal(progress)) is not None:
            raise _Ended(Outcome.reached(goal))
        if self.method == "TNC" and progress.epoch >= self.plan.epochs:
            raise _Ended(Outcome(False, 1, "Maximum number of iterations has been exceeded."))
