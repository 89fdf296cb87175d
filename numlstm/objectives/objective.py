"""numlstm.objective: a model and data as one function of the flat vector, with its derivatives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.data.attributes import require_static
from numlstm.data.fill_values import remedy_of, warn_of_fill_values
from numlstm.data.sequences import Dataset
from numlstm.data.targets import (
    Reading,
    for_network,
    needed_outputs,
    read_dataset,
    require_outputs,
    require_probabilities,
    require_weights,
)
from numlstm.model.lstm import LSTM
from numlstm.network.network import Weights, constant, with_tangent
from numlstm.objectives.evaluator import Evaluator, run_here
from numlstm.optim.losses import LOSSES
from numlstm.utils import checks
from numlstm.utils.lazy import cached_property

_LARGE = 2.0**60  # what is pulled back and exceeds it has a unit of its own, and fits in float32


def objective(
    model: LSTM,
    X: Any,
    y: Any = None,
    *,
    loss: str = "mse",
    weight_decay: float = 0.0,
    sample_weight: Any = None,
    lengths: Any = None,
    reset: Any = None,
    static: Any = None,
    output: str | None = None,
    nan_policy: str = "raise",
    future: Any = None,
) -> "Objective":
    """The loss of a network on data as a function of its parameters, for `scipy.optimize`.

    Parameters
    ----------
    model : LSTM
        The network, and the units of the data; its own parameters are not used, and it is left
        as it is.
    X, y : array_like
        Inputs and targets in any of the forms that `fit` takes; ``y=None`` means the next value
        of X. They are copied.
    loss : str, optional
        As in `fit`.
    weight_decay : float, optional
        L2 penalty, ``weight_decay / 2 * sum(theta**2)``, part of everything below.
    sample_weight, lengths, reset, static, output, nan_policy : optional
        As in `fit`.
    future : array_like, optional
        As in `fit`, for a model that was fitted with it; the horizon is that of the model.

    Returns
    -------
    fun : Objective
        ``fun(theta) -> (loss, gradient)``, with the methods `value`, `gradient`, `hessp`,
        `residuals`, `jacobian`, `jvp`, `vjp` and `linear_operator`. The order of theta is that of
        ``model.params``; results are float64.

    Raises
    ------
    ValueError, TypeError
        As `fit`, for data that do not fit together or do not fit the model.

    See Also
    --------
    numlstm.fit : With ``method="L-BFGS-B"`` and others it does all of this by itself.

    References
    ----------
    Hessian-vector products forward over reverse: Pearlmutter (1994), "Fast exact multiplication by
    the Hessian", Neural Computation 6(1).

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> from scipy.optimize import minimize
    >>> X = np.sin(np.arange(120) / 4).reshape(4, 30, 1)
    >>> model = numlstm.LSTM(1, 4, 1, dtype="float64", rng=0)
    >>> fun = numlstm.objective(model, X)  # y=None: forecast the next value
    >>> result = minimize(fun, model.theta, jac=True, method="L-BFGS-B", options={"maxiter": 30})
    >>> bool(result.fun < 0.2 * fun.value(model.theta))
    True
    >>> model.theta = result.x
    """
    if not isinstance(model, LSTM):
        raise TypeError(f"model must be a numlstm.LSTM, received {type(model)}")
    checks.choice("loss", loss, tuple(LOSSES))
    weight_decay = checks.real("weight_decay", weight_decay, least=0.0)
    checks.held("weight_decay", weight_decay, model.spec.dtype)
    checks.choice("nan_policy", nan_policy, ("raise", "omit"))
    if output is not None:
        checks.choice("output", output, ("sequence", "last"))
    criterion, missing = LOSSES[loss], model.filling is not None
    reading = Reading(
        *(model.num_features, nan_policy, criterion, output, missing, model.names),
        horizon=model.horizon,
        future=None if model.ahead is None else model.num_future,
    )
    rows = {"sample_weight": sample_weight, "lengths": lengths, "reset": reset}
    data = read_dataset(X, y, reading, **rows, future=future, static=static)
    _require_windows(model, data.X.shape[1])
    require_static(data.static, model.spec.static_size)
    one_step = data if data.ahead is None else data.ahead.one_step(data)
    warn_of_fill_values(one_step, remedy=remedy_of(model.filling))
    require_outputs(model.spec.width, needed_outputs(data, criterion), loss)
    if loss == "binary_cross_entropy":
        require_probabilities(data.y)
    require_weights(data.weight, model.spec.dtype)
    data = for_network(data, model.filling, model.scaling, model.spec.dtype)
    evaluator = Evaluator(model.network, criterion.function)
    return Objective(evaluator, data, loss, weight_decay)


def _require_windows(model: LSTM, steps: int) -> None:
    """Refuse whole sequences for a model that is to read windows."""
    if model.window is not None and steps != model.window:
        raise ValueError(
            f"this model was trained on windows of {model.window} steps, and an objective reads "
            f"whole sequences, here of {steps}: pass windows that are laid out, X of shape "
            f"(N, {model.window}, {model.num_features}), or set model.window = None before"
        )


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss as a function of theta; made by `numlstm.objective`. Calls change nothing.

    All take a `theta` of shape (n,) and give float64; with a float32 model the arithmetic between
    is float32. m is the number of residuals: targets with a weight above 0, in C order, then with
    `weight_decay` one per parameter.

    ``fun(theta)``, ``fun.value(theta)``, ``fun.gradient(theta)``
        The mean loss with its penalty, a float; its gradient (n,); both of them.
    ``fun.hessp(theta, v)``
        The exact Hessian times v (n,), forward over reverse.
    ``fun.residuals(theta)``
        For "mse": (prediction - target) times the root of its weight, (m,), in the network's
        (standardised) units. Their squares sum to `value` times the sum of the weights.
    ``fun.jacobian(theta)``
        Of the residuals, (m, n).
    ``fun.jvp(theta, v)``, ``fun.vjp(theta, u)``
        Jacobian times v (n,), a vector (m,); its transpose times u (m,), a vector (n,).
    ``fun.linear_operator(theta)``
        The Jacobian as a `scipy.sparse.linalg.LinearOperator`, never formed.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> model = numlstm.LSTM(1, 2, 1, dtype="float64", rng=0)
    >>> fun = numlstm.objective(model, np.sin(np.arange(20)))
    >>> theta, v = model.theta, np.ones(model.theta.size)
    >>> loss, gradient = fun(theta)
    >>> loss == fun.value(theta), bool((gradient == fun.gradient(theta)).all())
    (True, True)
    >>> fun.hessp(theta, v).shape, fun.residuals(theta).shape, fun.jacobian(theta).shape
    ((35,), (19,), (19, 35))
    >>> u = fun.jvp(theta, v)
    >>> bool(np.isclose(u @ u, v @ fun.vjp(theta, u))), fun.linear_operator(theta).shape
    (True, (19, 35))
    """

    evaluator: Evaluator
    data: Dataset
    loss: str
    weight_decay: float
    bptt_steps: int | None = None  # truncates the gradient
    run: Callable[..., Any] = run_here
    resident: Any = None  # the data in the backend's memory, where they are there already

    def __call__(self, theta: Any) -> tuple[float, np.ndarray]:
        """(loss, gradient), for ``minimize(fun, theta0, jac=True)``."""
        theta = self._checked("theta", theta)
        value, gradient = self.evaluator.gradient(
            self._cast(theta), self._resident, self.bptt_steps, self.run
        )
        return value + self._penalty(theta), gradient + self.weight_decay * theta

    def value(self, theta: Any) -> float:
        """The loss alone, in about a third of the time.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.

        Returns
        -------
        loss : float
            The mean loss with its penalty.
        """
        theta = self._checked("theta", theta)
        value = self.evaluator.value(self._cast(theta), self._resident, self.run)
        return value + self._penalty(theta)

    def gradient(self, theta: Any) -> np.ndarray:
        """The gradient alone.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.

        Returns
        -------
        gradient : ndarray, shape (n,)
            Of the mean loss with its penalty.
        """
        _, gradient = self(theta)
        return gradient

    def hessp(self, theta: Any, v: Any) -> np.ndarray:
        """The exact Hessian times v, forward over reverse.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.
        v : array_like, shape (n,)
            A direction of the parameters.

        Returns
        -------
        product : ndarray, shape (n,)
            The derivative of the gradient along v.
        """
        theta, v = self._checked("theta", theta), self._checked("v", v)
        product = self.evaluator.hessp(self._cast(theta), v, self._balanced, self.run)
        product += self.weight_decay * v
        return product

    def residuals(self, theta: Any) -> np.ndarray:
        """Weighted residuals: `fun` of `scipy.optimize.least_squares`.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.

        Returns
        -------
        residuals : ndarray, shape (m,)
            In the network's units; their squares sum to `value` times the sum of the weights.
        """
        theta = self._checked("theta", theta)
        return self._with_penalty(
            self._on_targets(self.run(self._forward, theta)[0] - self.data.y), theta
        )

    def jacobian(self, theta: Any) -> np.ndarray:
        """Jacobian of the residuals: `jac` of `scipy.optimize.least_squares`.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.

        Returns
        -------
        J : ndarray, shape (m, n)
            The derivative of every residual by every parameter.
        """
        operator = self.linear_operator(theta)
        rows, columns = operator.shape
        count = rows - columns if self.weight_decay else rows
        return formed(operator, by_columns=columns <= count)

    def jvp(self, theta: Any, v: Any) -> np.ndarray:
        """The Jacobian of the residuals times v.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.
        v : array_like, shape (n,)
            A direction of the parameters.

        Returns
        -------
        product : ndarray, shape (m,)
            The derivative of the residuals along v.
        """
        v = self._checked("v", v)
        product: np.ndarray = self.linear_operator(theta).matvec(v)
        return product

    def vjp(self, theta: Any, u: Any) -> np.ndarray:
        """The transposed Jacobian of the residuals times u.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.
        u : array_like, shape (m,)
            A weight of every residual.

        Returns
        -------
        product : ndarray, shape (n,)
            The gradient of ``u @ residuals``.
        """
        operator = self.linear_operator(theta)
        u = checks.array("u", u, "float64", finite=False)
        if u.shape != operator.shape[:1]:
            raise ValueError(
                f"u must have {operator.shape[0]} entries, one per residual; "
                f"received shape {u.shape}"
            )
        product: np.ndarray = operator.rmatvec(u)
        return product

    def linear_operator(self, theta: Any) -> Any:
        """The Jacobian of the residuals, matrix-free; one forward pass serves all products.

        Parameters
        ----------
        theta : array_like, shape (n,)
            The parameters.

        Returns
        -------
        J : scipy.sparse.linalg.LinearOperator, shape (m, n)
            For SciPy's solvers, such as `scipy.sparse.linalg.lsqr`.
        """
        from scipy.sparse.linalg import LinearOperator

        theta = self._checked("theta", theta)
        backward = self._pullback(theta)
        return LinearOperator(
            (self.num_residuals, theta.size),
            matvec=lambda v: self.run(self._pushed, theta, np.ravel(v)),
            rmatvec=lambda u: backward(np.ravel(u)),
            dtype=np.float64,
        )

    @cached_property
    def num_residuals(self) -> int:
        """How many entries `residuals` has, m."""
        count = int(self._valid.sum())
        return count + (self.evaluator.network.spec.num_parameters if self.weight_decay else 0)

    # --- what stands behind them ------------------------------------------------------------------

    @cached_property
    def _balanced(self) -> Dataset:
        """The data for means, in which weights have only their ratios: none leaves the dtype."""
        return self.data.balanced()

    @cached_property
    def _resident(self) -> Any:
        """The same in the backend's memory."""
        return self.evaluator.resident(self._balanced) if self.resident is None else self.resident

    @cached_property
    def _valid(self) -> np.ndarray:
        """True at every target with a weight, in the shape of y."""
        if self.loss != "mse":
            raise ValueError(
                f"residuals are those of loss='mse', this objective has loss={self.loss!r}; for a "
                "robust fit pass least_squares its own loss='huber' or 'soft_l1'"
            )
        return self.data.weight > 0

    @cached_property
    def _root(self) -> np.ndarray:
        """The root of every target's weight."""
        root: np.ndarray = np.sqrt(self.data.weight[self._valid].astype(np.float64))
        return root

    @cached_property
    def _decay_root(self) -> float:
        """The factor on theta whose squares are the penalty, in the units of the residuals."""
        return float(np.sqrt(0.5 * self.weight_decay * self.data.total_weight()))

    def _checked(self, name: str, value: Any) -> np.ndarray:
        """A vector of the size of theta, in float64."""
        shapes = self.evaluator.network.spec.shapes
        count = self.evaluator.network.spec.num_parameters
        vector: np.ndarray = checks.array(name, value, "float64", finite=False)
        if vector.shape != (count,):
            order = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
            raise ValueError(
                f"{name} must have {count} entries, in the order {order}; "
                f"received shape {vector.shape}"
            )
        return vector

    def _cast(self, theta: np.ndarray) -> np.ndarray:
        return theta.astype(self.evaluator.network.spec.dtype)

    def _penalty(self, theta: np.ndarray) -> float:
        return 0.5 * self.weight_decay * float(np.sum(np.square(theta)))

    def _forward(self, theta: np.ndarray, tape: bool = False) -> tuple[np.ndarray, Weights, Any]:
        """(Y, packed weights, tape or None)."""
        data, network = self._resident, self.evaluator.network
        weights = network.pack(self._cast(theta))
        with np.errstate(all="ignore"):  # whoever asked sees what is not finite
            Y, _, kept = network.forward(
                *(weights, data.X, None, data.lengths),
                tape=tape,
                last=data.last,
                reset=data.reset,
                static=data.static,
            )
        return network.backend.arrays.to_numpy(Y), weights, kept

    def _on_targets(self, Y: np.ndarray) -> np.ndarray:
        """Values at the targets, weighted: (m,) without the rows of the penalty."""
        values: np.ndarray = Y[self._valid].astype(np.float64) * self._root
        return values

    def _with_penalty(self, residuals: np.ndarray, theta: np.ndarray) -> np.ndarray:
        if self.weight_decay == 0:
            return residuals
        return np.concatenate([residuals, self._decay_root * theta])

    def _pushed(self, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Jacobian times v."""
        data, network = self.data, self.evaluator.network.tangents
        weights = network.pack(with_tangent(self._cast(theta), v))
        with np.errstate(all="ignore"):
            Y, _, _ = network.forward(
                *(weights, with_tangent(data.X, None), None, data.lengths),
                last=data.last,
                reset=data.reset,
                static=constant(data.static),
            )
        return self._with_penalty(self._on_targets(Y.imag), v)

    def _pullback(self, theta: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The transposed Jacobian as a function, over one forward pass."""
        network, arrays = self.evaluator.network, self.evaluator.network.backend.arrays
        _, weights, tape = self.run(self._forward, theta, True)
        count = self._root.size

        def pull(u: np.ndarray) -> np.ndarray:
            dY = np.zeros(self.data.y.shape, network.spec.dtype)
            weighted = u[:count] * self._root
            largest = float(np.max(np.abs(weighted), initial=0.0))
            unit = largest if largest > _LARGE else 1.0
            dY[self._valid] = weighted / unit
            dtheta = self.run(network.backward, weights, tape, arrays.asarray(dY)).theta
            gradient: np.ndarray = arrays.to_numpy(dtheta).astype(np.float64) * unit
            return gradient + self._decay_root * u[count:] if self.weight_decay else gradient

        return pull


def formed(operator: Any, *, by_columns: bool) -> np.ndarray:
    """A linear operator as a matrix, from its products with the unit vectors of one side."""
    result, product = np.zeros(operator.shape), operator.matvec if by_columns else operator.rmatvec
    target = result.T if by_columns else result
    unit = np.zeros(len(target))
    for index, line in enumerate(target):
        unit[index] = 1.0
        line[...] = product(unit)
        unit[index] = 0.0
    return result


def by_free(operator: Any, free: np.ndarray) -> Any:
    """The columns of a linear operator that belong to free parameters, (n,) of bool."""
    from scipy.sparse.linalg import LinearOperator

    def matvec(v: np.ndarray) -> Any:
        padded = np.zeros(free.size)
        padded[free] = np.ravel(v)
        return operator.matvec(padded)

    return LinearOperator(
        (operator.shape[0], int(free.sum())),
        matvec=matvec,
        rmatvec=lambda u: operator.rmatvec(u)[free],
        dtype=np.float64,
    )
