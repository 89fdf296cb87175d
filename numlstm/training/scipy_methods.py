"""The bridge to scipy.optimize: minimize and least_squares on the loss of all data, in float64."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from numlstm.objectives.objective import Objective, by_free
from numlstm.optim import optimizers
from numlstm.optim.bounds import Limits, on_free
from numlstm.training.interrupt import CallBack, Interrupted
from numlstm.training.listeners import Listeners
from numlstm.training.loop import LoopConfig, NotFinite, Problem
from numlstm.training.methods import DENSE, HESSIAN, LEAST_SQUARES
from numlstm.training.outcome import Outcome
from numlstm.training.progress import Progress

_DENSE = 1e7  # multiply-adds in a step of SciPy's from which it has a thread of its own
_SLOW = 10  # in the same units, times n^3: what SLSQP and the like do


class _Ended(Exception):
    """A goal or limit of ours ends a run of SciPy's."""

    def __init__(self, outcome: Outcome):
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass(frozen=True)
class Solver:
    """A method of SciPy's and what it is told."""

    method: str
    options: Mapping[str, Any]
    constraints: tuple[Any, ...] = ()


class Minimizer:
    """Runs a method of scipy.optimize on a problem; `progress` is kept as it goes.

    SciPy's x are the free entries of theta; all of them where no limits are set.
    """

    def __init__(
        self,
        problem: Problem,
        objective: Objective,
        config: LoopConfig,
        progress: Progress,
        solver: Solver,
        listeners: Listeners,
    ):
        self.problem, self.objective, self.config = problem, objective, config
        self.progress, self.solver, self.listeners = progress, solver, listeners
        self.limits = config.limits or Limits.none(progress.theta.size)
        self._start = progress.theta.astype(np.float64)
        self._last: tuple[np.ndarray, float, float] | None = None  # theta, its loss and norm
        self._jac_at: np.ndarray | None = None  # where the last Jacobian was asked for
        self._reason: Exception | None = None

    def run(self) -> Outcome:
        """Minimise until something ends it."""
        self.progress.project(self.limits)
        x = self.progress.theta[self.limits.free].astype(np.float64)
        solve = self._least_squares if self.solver.method == LEAST_SQUARES else self._minimize
        try:
            guard, apart = self.problem.guard, self._is_dense(x.size)
            result = guard.run_solver(partial(solve, x), apart=apart)
        except Exception as error:
            return self._outcome(self._reason or error)
        end, message = self._whole(result.x), str(result.message)
        if (distance := self.limits.outside(end)) > 0:  # trust-constr keeps bounds in the limit
            message += (
                f" It ended up to {distance:.1e} outside of the bounds; the model is at the "
                "nearest point within them."
            )
        self.progress.move_to(end)
        self.progress.project(self.limits)
        return Outcome(bool(result.success), int(result.status), message)

    def _outcome(self, error: Exception) -> Outcome:
        """The outcome of an end of our own; any other exception is the user's."""
        if isinstance(error, Interrupted):
            return Outcome.interrupted()
        if isinstance(error, NotFinite):
            return Outcome.not_finite()
        if isinstance(error, _Ended):
            return error.outcome
        raise error

    def _is_dense(self, size: int) -> bool:
        """Whether SciPy's own algebra may take long; else its thread would cost more than it."""
        if self.solver.method == LEAST_SQUARES:
            return self.objective.num_residuals * size**2 >= _DENSE
        return self.solver.method in DENSE and size**3 * _SLOW >= _DENSE

    def _minimize(self, x: np.ndarray, call_back: CallBack) -> Any:
        from scipy.optimize import Bounds, minimize

        method, free = self.solver.method, self.limits.free
        given: dict[str, Any] = {}
        if method in (*HESSIAN, "trust-constr") and self.config.bptt_steps is None:
            given["hessp"] = call_back(self.hessp)
        if self.limits.bounded:
            given["bounds"] = Bounds(self.limits.lower[free], self.limits.upper[free])
        if self.solver.constraints:
            given["constraints"] = [
                _called_back(on_free(constraint, self._start, free), call_back)
                for constraint in self.solver.constraints
            ]
        # TNC knows a limit on calls only; that on iterations is kept by _close_iteration
        most = 2**31 - 1  # SLSQP's is an int of C's
        asked = min(self.config.training.epochs, most)
        limit = {"maxfun": most} if method == "TNC" else {"maxiter": asked}
        close = call_back(self._close_iteration)
        return minimize(
            call_back(self.fun),
            x,
            jac=True,
            method=method,
            callback=lambda x, *_: close(x),
            options={**limit, **self._options(call_back)},
            **given,
        )

    def _least_squares(self, x: np.ndarray, call_back: CallBack) -> Any:
        from scipy.optimize import least_squares

        options, free = self._options(call_back), self.limits.free
        if self.limits.bounded:
            options["bounds"] = self.limits.lower[free], self.limits.upper[free]
        result = least_squares(call_back(self.residuals), x, call_back(self.jacobian), **options)
        if self._jac_at is not None and not np.array_equal(result.x, self._jac_at):
            call_back(self._close_iteration)(result.x)
        return result

    def _options(self, call_back: CallBack) -> dict[str, Any]:
        """Those of the solver, its functions, such as a loss, called in the thread of the fit."""
        options = self.solver.options.items()
        return {name: call_back(value) if callable(value) else value for name, value in options}

    def fun(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss with its penalty, weight_decay / 2 * sum(theta^2), and the gradient."""
        self.progress.count_gradient()
        value, gradient = self._evaluate(x)
        return value, gradient[self.limits.free]

    def hessp(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Hessian of `fun` times v."""
        whole = np.zeros(self._start.size)
        whole[self.limits.free] = np.ravel(v)
        product: np.ndarray = self.objective.hessp(self._whole(x), whole)[self.limits.free]
        return product

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Weighted residuals, whose squares least_squares minimises."""
        self.progress.count_gradient()
        residuals: np.ndarray = self._stopping(self._residuals, x)
        return residuals

    def _residuals(self, x: np.ndarray) -> np.ndarray:
        residuals = self.objective.residuals(self._whole(x))
        if self.progress.updates == 1:
            with np.errstate(over="ignore"):  # SciPy would go on with an infinite cost
                if not np.isfinite(np.dot(residuals, residuals)):
                    raise NotFinite
        return residuals

    def jacobian(self, x: np.ndarray) -> Any:
        """Of the residuals. It is asked for at the start, then once at every new iterate."""
        if self._jac_at is not None and not np.array_equal(x, self._jac_at):
            self._stopping(self._close_iteration, x)
        self._jac_at = x.copy()
        if self.solver.options.get("tr_solver") == "lsmr":
            return self._operator(self._whole(x))
        # a copy also where all are free: its order of elements is part of what LAPACK computes
        J: np.ndarray = self._stopping(self.objective.jacobian, self._whole(x))
        return J[:, self.limits.free]

    def _operator(self, whole: np.ndarray) -> Any:
        """The Jacobian by the free entries of theta, never formed; its products are finite."""
        from scipy.sparse.linalg import LinearOperator

        operator = by_free(self.objective.linear_operator(whole), self.limits.free)

        def finite(product: Callable[[np.ndarray], np.ndarray], vector: np.ndarray) -> np.ndarray:
            if not np.all(np.isfinite(result := product(vector))):
                raise NotFinite
            return result

        return LinearOperator(
            operator.shape,
            matvec=partial(self._stopping, finite, operator.matvec),
            rmatvec=partial(self._stopping, finite, operator.rmatvec),
            dtype=np.float64,
        )

    def _whole(self, x: np.ndarray) -> np.ndarray:
        """theta of the free entries x, in float64."""
        return self.limits.whole(self._start, x)

    def _stopping(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call it; MINPACK would replace an exception by one of its own, so it is kept."""
        try:
            return function(*args)
        except Exception as error:
            self._reason = error
            raise

    def _evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        whole = self._whole(x)
        value, gradient = self.objective(whole)
        free = gradient[self.limits.free]
        decay = self.config.training.weight_decay
        norm = optimizers.norm(free - decay * x)
        loss = value - 0.5 * decay * float(np.sum(np.square(whole)))
        self._last = whole.astype(self.progress.theta.dtype), loss, norm
        if self.progress.updates == 1 and not np.isfinite(value + norm):
            raise NotFinite
        return value, gradient

    def _close_iteration(self, x: np.ndarray) -> None:
        """Called with every iterate."""
        progress, problem = self.progress, self.problem
        theta = self._whole(x).astype(progress.theta.dtype)
        if self._last is None or not np.array_equal(theta, self._last[0]):
            self._evaluate(x)
        assert self._last is not None
        _, value, norm = self._last
        if not np.isfinite(value + norm):
            raise NotFinite
        progress.move_to(theta)
        progress.project(self.limits)
        problem.judge(progress, loss=value, gradient_norm=norm)
        try:
            self.listeners.on_epoch()
        except StopIteration:  # not every method of SciPy's has a place for it
            raise _Ended(Outcome.stopped()) from None
        if (goal := self.config.goal(progress)) is not None:
            raise _Ended(goal)
        limited = self.solver.method in ("TNC", LEAST_SQUARES)
        if limited and progress.epoch >= self.config.training.epochs:
            raise _Ended(Outcome(False, 1, "Maximum number of iterations has been exceeded."))


def _called_back(constraint: Any, call_back: CallBack) -> Any:
    """A constraint of SciPy's, its functions called in the thread of the fit."""
    result = copy(constraint)
    for name in ("fun", "jac", "hess"):
        if callable(function := getattr(constraint, name, None)):
            setattr(result, name, call_back(function))
    return result
