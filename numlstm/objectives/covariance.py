"""How sure a fit is: the covariance of its parameters, and bands around its predictions.

Gauss-Newton: near the least squares the Hessian of half the sum of squares is J'J, J the Jacobian
of the residuals, so that the parameters' covariance is s^2 (J'J)^-1 (Seber & Wild 1989, "Nonlinear
regression", ch. 2). A prediction's variance follows by the delta method: j' C j, j its gradient.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.parameters import split
from numlstm.data import labels, sequences
from numlstm.data.attributes import read_static, static_for_network
from numlstm.data.missing import network_inputs
from numlstm.data.sequences import Dataset, mask
from numlstm.model.lstm import LSTM
from numlstm.objectives.directions import Directions, Jacobian
from numlstm.objectives.evaluator import Evaluator
from numlstm.objectives.objective import Objective, objective
from numlstm.optim.losses import LOSSES
from numlstm.utils import bars, checks, interruptible, notices
from numlstm.utils.interruptible import Runner, own
from numlstm.utils.lazy import cached_property

_NEGLIGIBLE = 1e-8  # share of trace(J'J) that may count as certain without a word
_ROWS = 64  # sequences whose Jacobian is held at once


class Band(NamedTuple):
    """Predictions and how sure they are, each in the form of `LSTM.predict`, with its labels.

    Attributes
    ----------
    mean : ndarray, or list of ndarray
        The predictions.
    lower, upper : ndarray, or list of ndarray
        The ends of the band.
    std : ndarray, or list of ndarray
        Standard error, half the band's width over the quantile.
    """

    mean: Any
    lower: Any
    upper: Any
    std: Any


@dataclass(frozen=True, eq=False)
class Covariance:
    """The covariance of a fit's parameters, as a factor; made by `FitResult.covariance`.

    Attributes
    ----------
    factor : ndarray, shape (n, r)
        The covariance is ``factor @ factor.T``, but for `rest`; its columns are orthogonal, rows of
        parameters held still are zero.
    sigma : float
        Standard deviation of the residuals (with ``absolute_sigma`` 1), for targets in the
        network's units.
    dof : float
        Residuals less parameters that they determine; infinite with ``absolute_sigma``.
    rest : ndarray, shape (n,)
        Standard deviation of every parameter in the directions outside of the columns of `factor`:
        that of the prior which `weight_decay` is; zero without one, and where there are none.
    matrix : ndarray, shape (n, n)
        The covariance, formed on first use.
    stderr : dict of str to ndarray
        Standard error of every parameter, by name.
    """

    model: LSTM  # of its own, in float64
    factor: np.ndarray
    sigma: float
    dof: float
    rest: np.ndarray

    @cached_property
    def _axes(self) -> np.ndarray:
        """The columns of the factor as unit vectors."""
        axes: np.ndarray = self.factor / np.linalg.norm(self.factor, axis=0)
        return axes

    def _spread(self, J: np.ndarray) -> np.ndarray:
        """The variance of quantities with these gradients (m, n) by the parameters, (m,)."""
        variance: np.ndarray = np.sum(np.square(J @ self.factor), axis=1)
        if self.rest.any():
            outside = J - (J @ self._axes) @ self._axes.T
            variance += np.sum(np.square(outside * self.rest), axis=1)
        return variance

    def __repr__(self) -> str:
        """Sizes and spread; the numbers are in `factor`, `matrix` and `stderr`."""
        parameters, directions = self.factor.shape
        return (
            f"<Covariance of {parameters} parameters in {directions} directions: "
            f"sigma {self.sigma:.4g}, dof {self.dof:.6g}>"
        )

    @cached_property
    def matrix(self) -> np.ndarray:
        """The covariance, (n, n)."""
        matrix: np.ndarray = interruptible.call(self._formed)
        return matrix

    def _formed(self) -> np.ndarray:
        matrix: np.ndarray = self.factor @ self.factor.T
        if self.rest.any():
            scaled = self.rest[:, None] * self._axes
            matrix += np.diag(np.square(self.rest)) - scaled @ scaled.T
        return matrix

    @cached_property
    def stderr(self) -> dict[str, np.ndarray]:
        """Standard error of every parameter, by name."""
        variance = np.sum(np.square(self.factor), axis=1)
        if self.rest.any():
            inside = np.minimum(np.sum(np.square(self._axes), axis=1), 1.0)
            variance += np.square(self.rest) * (1 - inside)
        return split(self.model.spec.shapes, np.sqrt(variance))

    def predict(
        self,
        X: Any,
        *,
        level: float = 0.95,
        noise: bool = False,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
    ) -> Band:
        """Predict with a band by the delta method.

        Parameters
        ----------
        X : array_like, or list of arrays
            Sequences, as for `LSTM.predict`.
        level : float, optional
            Probability that the band covers the true mean at a point, between 0 and 1.
        noise : bool, optional
            Cover a new observation, with the spread of the residuals, instead of the mean.
        lengths, reset, static : optional
            As for `LSTM.predict`.

        Returns
        -------
        band : Band
            ``mean``, ``lower``, ``upper`` and ``std`` in the units of the data.

        Raises
        ------
        ValueError, TypeError
            As `LSTM.predict`, and for ``noise=True`` with ``absolute_sigma``, where the fit does
            not estimate the noise.
        """
        level = checks.real("level", level, above=0.0, below=1.0)
        if checks.flag("noise", noise) and not np.isfinite(self.dof):
            raise ValueError(
                "noise=True needs the spread of the residuals, which absolute_sigma=True does not "
                "estimate: add your own to std"
            )
        names = self.model.names
        given, lengths, reset = labels.with_rows(X, names, lengths, reset)
        rows = {"lengths": lengths, "reset": reset}
        rows["static"] = labels.attributes(given, static, names.static).values
        band = self._band(given.stepwise, rows, level, noise)
        return Band(*(given.restore(part, self.model.output_names) for part in band))

    def _band(self, X: Any, rows: dict[str, Any], level: float, noise: bool) -> Band:
        """The band for arrays without labels."""
        from scipy.special import ndtri, stdtrit

        mean = self.model.predict(X, **rows)
        std = self._standard_error(X, **rows, noise=self.sigma if noise else 0.0)
        tail = 0.5 + 0.5 * level
        wide = float(ndtri(tail) if np.isinf(self.dof) else stdtrit(self.dof, tail))
        if isinstance(mean, list):
            pairs = list(zip(mean, std, strict=True))
            lower, upper = ([m + sign * wide * s for m, s in pairs] for sign in (-1, 1))
            return Band(mean, lower, upper, std)
        return Band(mean, mean - wide * std, mean + wide * std, std)

    def _standard_error(self, X: Any, lengths: Any, reset: Any, static: Any, noise: float) -> Any:
        """Of every prediction, in the form of X and the units of the data."""
        model, spec = self.model, self.model.spec
        X, lengths, form = sequences.read_inputs(
            X, model.num_features, lengths=lengths, missing=model.filling is not None
        )
        dtype, reset = X.dtype, sequences.read_reset(reset, form, X.shape[1])
        X = own(network_inputs(X, model.filling, model.scaling, spec.dtype, reset), X)
        static = static_for_network(read_static(static, form), model.scaling, spec.dtype)
        last = model.output == "last"
        weight = np.ones((len(X), spec.width) if last else (*X.shape[:2], spec.width))
        if lengths is not None and not last:
            weight *= mask(lengths, X.shape[1])[..., None]
        data = Dataset(X, np.zeros(weight.shape), weight, lengths, last, reset, static=static)
        variance = interruptible.call(self._variance, data, noise)
        return form.restore((np.sqrt(variance) * _target_scale(model)).astype(dtype))

    def _variance(self, data: Dataset, noise: float) -> np.ndarray:
        """Of every output that has a weight, in the network's units."""
        variance = np.zeros(data.weight.shape)
        for start in range(0, len(data.X), _ROWS):
            rows = slice(start, start + _ROWS)
            part = data.cut(0, data.X.shape[1], rows)
            spread = self._spread(_outputs(self.model, part).jacobian(self.model.theta))
            variance[rows][part.weight > 0] = spread + noise**2
        return variance


def covariance(
    model: LSTM,
    theta: np.ndarray,
    X: Any,
    y: Any,
    fixed: tuple[str, ...],
    *,
    absolute_sigma: bool,
    weight_decay: float,
    rank: int | None,
    progress: bool | None,
    **rows: Any,
) -> Covariance:
    """The covariance of the parameters of a fitted model; the arguments of `FitResult`'s method."""
    if model.num_future:
        raise ValueError(
            "covariance has no future=, and this model was fitted with features known ahead: for "
            "the spread of its forecasts take numlstm.ensemble, or fit with loss='gaussian_nll'"
        )
    checks.flag("absolute_sigma", absolute_sigma)
    checks.optional(checks.size, "rank", rank)
    checks.optional(checks.flag, "progress", progress)
    weight_decay = checks.real("weight_decay", weight_decay, least=0.0)
    model = model.astype("float64")  # the rounding of float32 hides small directions
    model.theta = theta
    fun = replace(objective(model, X, y, output=model.output, **rows), run=Runner().run)
    free = np.ones(model.spec.num_parameters, bool)
    for name in fixed:
        split(model.spec.shapes, free)[name][...] = False
    units = _units(model, fun, absolute_sigma)
    prior = 0.5 * weight_decay * fun.data.total_weight() * float(np.mean(np.square(units)))
    with _bar(progress) as bar:
        J = Jacobian(fun, model.theta, free, units, bar)
        found = interruptible.call(J.directions, rank, prior)
    count, computed = int(free.sum()), found.values.size
    _warn_of_rest(found, count, prior)
    precision = np.square(found.values) + prior
    determined = float(np.sum(np.square(found.values) / precision))
    if prior > 0:
        determined += min(found.left / prior, count - computed)
    sigma, dof = (1.0, np.inf) if absolute_sigma else _noise(fun, model.theta, determined)
    factor = np.zeros((free.size, computed))
    factor[free] = found.vectors * (sigma / np.sqrt(precision))
    rest = np.zeros(free.size)
    if prior > 0 and computed < count:
        rest[free] = sigma / np.sqrt(prior)
    return Covariance(model, factor, sigma, dof, rest)


def _bar(shown: bool | None) -> Any:
    """A context with a bar over products with the Jacobian, or None where it is not shown."""
    bar = bars.bar(shown, desc="covariance", unit="product", leave=False)
    return nullcontext() if bar is None else bar


def _target_scale(model: LSTM) -> np.ndarray:
    """The network's unit of every target in the units of the data, (O,) or (1,)."""
    scaling = model.scaling
    return np.ones(1) if scaling is None or scaling.y_scale is None else scaling.y_scale


def _units(model: LSTM, fun: Objective, absolute_sigma: bool) -> np.ndarray:
    """Factor on every residual: known sigmas are in the units of the data."""
    scale = _target_scale(model) if absolute_sigma else np.ones(1)
    return np.broadcast_to(scale, fun.data.y.shape)[fun.data.weight > 0].astype(np.float64)


def _noise(fun: Objective, theta: np.ndarray, determined: float) -> tuple[float, float]:
    """Standard deviation of the residuals, of which so many parameters fit some; its dof."""
    residuals = fun.residuals(theta)
    dof = residuals.size - determined
    if dof <= 0:
        raise ValueError(
            f"{residuals.size} residuals leave nothing to estimate the noise from, "
            f"{determined:.0f} parameters fit them: pass absolute_sigma=True, the "
            "weight_decay of the fit, fewer parameters or more data"
        )
    return float(np.sqrt(np.sum(np.square(residuals)) / dof)), dof


def _warn_of_rest(found: Directions, count: int, prior: float) -> None:
    """Say what the directions that were not computed count as, where that is not their part."""
    if found.enough(prior) if prior > 0 else found.share <= _NEGLIGIBLE:
        return
    counted = (
        "have the variance of the weight_decay alone, which makes bands too wide"
        if prior > 0
        else "count as certain, which makes bands too narrow: pass the weight_decay of the fit, by "
        f"which they have a variance, or rank={count} for all of them, or numlstm.ensemble"
    )
    message = (
        f"of the {count} free parameters' directions {found.values.size} were computed; the "
        f"others, with a share of {found.share:.2g} of trace(J'J), {counted}"
    )
    notices.warn_optimize(message)


def _outputs(model: LSTM, data: Dataset) -> Objective:
    """An objective whose residuals are the network's outputs."""
    evaluator = Evaluator(model.network, LOSSES["mse"].function)
    return Objective(evaluator, data, "mse", 0.0, run=Runner().run)
