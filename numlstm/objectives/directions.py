"""The directions in which data determine parameters: singular vectors of the residuals' Jacobian.

For many parameters only the leading ones are computed, without the Jacobian, and what they leave
out of trace(J'J) is estimated from products with random vectors behind them, as in Hutch++ (Meyer,
Musco, Musco & Woodruff 2021, "Hutch++: optimal stochastic trace estimation", SOSA).
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from numlstm.objectives.objective import Objective, by_free, formed
from numlstm.utils.lazy import cached_property
from numlstm.utils.types import Array

_FULL = 1000  # parameters up to which all directions are computed
_LEADING = 100  # directions to begin with, else
_LARGEST = 2**27  # entries of a Jacobian that is still formed: a gigabyte
_SHARE = 1e-4  # of trace(J'J) that may be left out
_FLAT = 0.02  # of the precision that was there before, which data may add unseen: 1 % of an error
_PROBES = 20


class Directions(NamedTuple):
    """Singular values and right singular vectors of a Jacobian, the largest first."""

    values: Array  # (r,)
    vectors: Array  # (n, r)
    left: float = 0.0  # part of trace(J'J) that is in no direction

    @property
    def share(self) -> float:
        """The same as a fraction."""
        return self.left / (self.left + float(np.sum(np.square(self.values))) or 1.0)

    def enough(self, prior: float) -> bool:
        """Whether what is left out changes little; `prior` is the precision without data."""
        if prior > 0 and self.left > 0:
            return bool(self.values[-1] ** 2 <= _FLAT * prior)
        return self.share <= _SHARE


@dataclass(frozen=True)
class Jacobian:
    """Of an objective's residuals, each times its unit, by the parameters that are free."""

    fun: Objective
    theta: Array
    free: Array  # (n,) of bool
    units: Array  # (m,)
    bar: Any = None  # tqdm's, over products with a vector

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Number of residuals, and of free parameters."""
        return self.units.size, int(self.free.sum())

    @cached_property
    def operator(self) -> Any:
        """The products with a vector, for which it is never formed."""
        from scipy.sparse.linalg import LinearOperator

        whole = by_free(self.fun.linear_operator(self.theta), self.free)

        def matvec(v: Array) -> Any:
            self._count()
            return whole.matvec(np.ravel(v)) * self.units

        def rmatvec(u: Array) -> Any:
            self._count()
            return whole.rmatvec(np.ravel(u) * self.units)

        return LinearOperator(self.shape, matvec=matvec, rmatvec=rmatvec, dtype=np.float64)

    def _count(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def directions(self, rank: int | None, prior: float) -> Directions:
        """So many, or all, or of more than 1000 as many as are `enough`.

        Without a prior every direction that the data determine has as large a part in a band as the
        first: all of them are needed, unless the Jacobian is too large for that.
        """
        size, formed = min(self.shape), math.prod(self.shape) <= _LARGEST
        if rank is not None and rank < size:
            return self._leading(rank)
        if rank is None and self.shape[1] > _FULL and (prior > 0 or not formed):
            rank = _LEADING
            while 4 * rank < size:
                found = self._leading(rank)
                if found.enough(prior) or (not formed and 8 * rank >= size):
                    return found
                rank *= 2
        return self._all(prior)

    def _dense(self) -> Array:
        rows, columns = self.shape
        if self.bar is not None:
            self.bar.reset(min(self.shape))
        return formed(self.operator, by_columns=columns <= rows)

    def _all(self, prior: float) -> Directions:
        """All that the data determine; with a prior of few parameters also those of value zero."""
        everywhere = prior > 0 and self.shape[1] <= _FULL
        _, values, vectors = np.linalg.svd(self._dense(), full_matrices=everywhere)
        if prior > 0:
            return Directions(np.pad(values, (0, len(vectors) - values.size)), vectors.T)
        # as in scipy.optimize.curve_fit: what the data do not determine has no part in it
        kept = values > np.finfo(np.float64).eps * max(self.shape) * values[0]
        return Directions(values[kept], vectors[kept].T)

    def _leading(self, rank: int) -> Directions:
        """The largest ones; the Jacobian is never formed."""
        from scipy.sparse.linalg import svds

        start = np.ones(min(self.shape))  # the same result every time
        _, values, vectors = svds(self.operator, k=rank, v0=start, return_singular_vectors="vh")
        order = np.argsort(-values)
        found = Directions(values[order], vectors[order].T)
        return found._replace(left=self._left(found.vectors))

    def _left(self, vectors: Array) -> float:
        """What trace(J'J) is beside these directions, from random vectors without them."""
        signs, total = np.random.default_rng(0), 0.0
        for _ in range(_PROBES):
            probe = signs.choice([-1.0, 1.0], self.shape[1])
            probe -= vectors @ (vectors.T @ probe)
            total += float(np.sum(np.square(self.operator.matvec(probe))))
        return total / _PROBES
