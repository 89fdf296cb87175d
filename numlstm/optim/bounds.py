"""Limits on parameters: held still, bounds by name, constraints on the whole vector."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.architecture.spec import NetworkSpec
from numlstm.utils import checks
from numlstm.utils.nouns import Noun, option


class Limits(NamedTuple):
    """Which entries of theta are free, and their bounds; all (n,)."""

    free: np.ndarray
    lower: np.ndarray  # float64, -inf where there is no bound
    upper: np.ndarray

    @classmethod
    def none(cls, count: int) -> "Limits":
        """No limits on so many parameters."""
        return cls(np.ones(count, bool), np.full(count, -np.inf), np.full(count, np.inf))

    def repeated(self, members: int) -> "Limits":
        """The same limits on every member of an ensemble, whose parameters are one vector."""
        return Limits(*(np.tile(part, members) for part in self))

    @property
    def bounded(self) -> bool:
        """Whether there is a bound on anything."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def outside(self, theta: np.ndarray) -> float:
        """How far theta lies beyond a bound at most; 0 within all of them."""
        beyond = np.maximum(self.lower - theta, theta - self.upper)[self.free]
        return max(0.0, float(beyond.max()))

    def project(self, theta: np.ndarray) -> None:
        """Move theta, in place, to the nearest point within the bounds; what is held stays."""
        nearest = np.clip(theta, self.lower, self.upper)
        theta[self.free] = nearest[self.free]

    def hold(self, theta: np.ndarray, before: np.ndarray) -> None:
        """Bring theta, in place, back from a step to what is allowed."""
        theta[~self.free] = before[~self.free]
        self.project(theta)

    def whole(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """`theta` in float64 with x in the place of its free entries."""
        result = theta.astype(np.float64)
        result[self.free] = x
        return result


def _fixed(name: str, value: Any) -> tuple[str, ...]:
    """Names of parameters: one, or several."""
    if value is None:
        return ()
    names = (value,) if isinstance(value, str) else value
    # a dict would say values, too, but what is fixed keeps the value that it begins with
    if (
        not isinstance(names, Collection)
        or isinstance(names, dict)
        or not all(isinstance(each, str) for each in names)
    ):
        raise TypeError(
            f"{name} must hold names of parameters, received {checks.shown(value)}; what is "
            "fixed keeps its first value, that of a model= to start from"
        )
    return tuple(dict.fromkeys(checks.plain(each) for each in names))


def _bounds(name: str, value: Any) -> dict[str, Any] | None:
    """Bounds by name of parameter; None where there are none."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must be a dict from names of parameters to pairs (lower, upper), "
            f"received {type(value)}"
        )
    return {_key(key): _pair(f"{name}[{key!r}]", pair) for key, pair in value.items()} or None


def _key(name: Any) -> Any:
    """A name of a parameter; what is none is refused by the network, which knows its names."""
    return checks.plain(name) if isinstance(name, str) else name


def _pair(name: str, pair: Any) -> tuple[Any, Any]:
    """Lower and upper bound: None for no bound, a float, or a float64 array."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{name} must be a pair (lower, upper), received {checks.shown(pair)}")
    lower, upper = (_end(name, *end) for end in zip(pair, (-np.inf, np.inf), strict=True))
    return lower, upper


def _end(name: str, value: Any, none: float) -> Any:
    """One end of a pair, whose value `none` is no bound."""
    if value is None:
        return None
    if np.ndim(value) == 0 and not isinstance(value, (bool, np.bool_)):
        return None if value == none else checks.real(f"a bound of {name}", value)
    array = checks.array(name, value, "float64", finite=False)
    if (np.isnan(array) | (array == -none)).any():
        raise ValueError(
            f"{name} must hold numbers, and {none} for no bound, received {checks.shown(value)}"
        )
    return array.copy() if array.ndim else float(array)  # the caller may change theirs


def _constraints(name: str, value: Any) -> tuple[Any, ...]:
    """One of SciPy's constraint objects, or several."""
    if value is None or (isinstance(value, tuple) and not value):
        return ()
    from scipy.optimize import LinearConstraint, NonlinearConstraint

    kinds = (LinearConstraint, NonlinearConstraint)
    constraints = (value,) if isinstance(value, kinds) else value
    if not isinstance(constraints, (tuple, list)) or not all(
        isinstance(constraint, kinds) for constraint in constraints
    ):
        raise TypeError(
            f"{name} must be a scipy.optimize.LinearConstraint or NonlinearConstraint on "
            f"theta, or a list of them; received {checks.shown(value)}"
        )
    return tuple(constraints)


@dataclass(frozen=True)
class LimitsConfig(Noun):
    """The limits on the parameters of a fit, by name."""

    fixed: tuple[str, ...] = option((), _fixed)  # parameters that keep their initial value
    bounds: Mapping[str, Any] | None = option(None, _bounds)  # name -> (lower, upper)
    constraints: tuple[Any, ...] = option((), _constraints)  # SciPy's, on the whole vector

    def __post_init__(self) -> None:
        """Check the values, and that no parameter is both held and bounded."""
        super().__post_init__()
        if both := sorted(set(self.fixed) & set(self.bounds or {})):
            raise ValueError(
                f"bounds has {both}, which fixed holds at its first value: leave one of them out"
            )

    def on(self, spec: NetworkSpec) -> Limits | None:
        """The limits on a network's parameters; None where nothing is held or bounded."""
        if not self.fixed and not self.bounds:
            return None
        free = np.ones(spec.num_parameters, bool)
        views = split(spec.shapes, free)
        for name in self.fixed:
            _require_name("fixed", name, views)
            views[name][...] = False
        if not free.any():
            raise ValueError("fixed holds every parameter: there is nothing left to fit")
        lower, upper = np.full(free.size, -np.inf), np.full(free.size, np.inf)
        lower_views, upper_views = split(spec.shapes, lower), split(spec.shapes, upper)
        for name, pair in (self.bounds or {}).items():
            _require_name("bounds", name, views)
            low, high = _read_pair(name, pair, views[name].shape)
            # on the grid of the dtype, inwards: then rounding theta cannot leave the bounds
            low, high = _rounded(low, spec.dtype, np.inf), _rounded(high, spec.dtype, -np.inf)
            _require_numbers_between(name, low, high, spec.dtype)
            lower_views[name][...], upper_views[name][...] = low, high
        return Limits(free, lower, upper)


def _require_name(argument: str, name: Any, views: Mapping[str, np.ndarray]) -> None:
    if name not in views:
        raise ValueError(
            f"{argument} names {name!r}, but the parameters of this network are {list(views)}"
        )


def _read_pair(
    name: str, pair: tuple[Any, Any], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound of one parameter; None is no bound."""
    ends = []
    for end, none in zip(pair, (-np.inf, np.inf), strict=True):
        value = np.asarray(none if end is None else end)
        try:
            ends.append(np.broadcast_to(value, shape))
        except ValueError:
            raise ValueError(
                f"bounds[{name!r}] must hold numbers or arrays of shape {shape}, "
                f"received shape {value.shape}"
            ) from None
    low, high = ends
    if not (low <= high).all():
        raise ValueError(f"bounds[{name!r}]: a lower bound lies above its upper bound, or is NaN")
    return low, high


def _require_numbers_between(name: str, low: np.ndarray, high: np.ndarray, dtype: str) -> None:
    """Refuse a pair that leaves no number of the dtype."""
    if not ((low <= high) & (low < np.inf) & (high > -np.inf)).all():
        raise ValueError(
            f"bounds[{name!r}]: no number of {dtype} lies between them: choose bounds that "
            f"{dtype} can hold, or dtype='float64'"
        )


def _rounded(bound: np.ndarray, dtype: str, towards: float) -> np.ndarray:
    """The next number of the dtype in a direction, or the bound itself where it is one."""
    with np.errstate(over="ignore"):
        near = bound.astype(dtype)
    beyond = near < bound if towards > 0 else near > bound
    return np.where(beyond, np.nextafter(near, near.dtype.type(towards)), near)


def on_free(constraint: Any, theta: np.ndarray, free: np.ndarray) -> Any:
    """A constraint of SciPy's on theta as one on its free entries, the others as they stand."""
    from scipy.optimize import LinearConstraint

    if free.all():
        return constraint
    if isinstance(constraint, LinearConstraint):
        return _linear_on_free(constraint, theta, free)
    return _nonlinear_on_free(constraint, theta, free)


def _linear_on_free(constraint: Any, theta: np.ndarray, free: np.ndarray) -> Any:
    from scipy.optimize import LinearConstraint

    A = constraint.A.toarray() if hasattr(constraint.A, "toarray") else np.atleast_2d(constraint.A)
    if A.shape[1] != free.size:
        raise ValueError(
            f"the matrix of a LinearConstraint must have {free.size} columns, one per entry of "
            f"theta, received shape {A.shape}"
        )
    held = A[:, ~free] @ theta[~free].astype(np.float64)
    ends = constraint.lb - held, constraint.ub - held
    return LinearConstraint(A[:, free], *ends, constraint.keep_feasible)


def _nonlinear_on_free(constraint: Any, theta: np.ndarray, free: np.ndarray) -> Any:
    from scipy.optimize import NonlinearConstraint

    def whole(x: np.ndarray) -> np.ndarray:
        result = theta.astype(np.float64)
        result[free] = x
        return result

    def jac(x: np.ndarray) -> Any:
        return np.atleast_2d(constraint.jac(whole(x)))[:, free]

    def hess(x: np.ndarray, v: np.ndarray) -> Any:
        return constraint.hess(whole(x), v)[np.ix_(free, free)]

    return NonlinearConstraint(
        lambda x: constraint.fun(whole(x)),
        *(constraint.lb, constraint.ub),
        jac=jac if callable(constraint.jac) else constraint.jac,
        hess=hess if callable(constraint.hess) else constraint.hess,
        keep_feasible=constraint.keep_feasible,
    )
