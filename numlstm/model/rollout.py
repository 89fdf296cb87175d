"""Free-running forecasts of a model, and their gradients."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from numlstm import backends
from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import NetworkSpec
from numlstm.data import labels
from numlstm.model.export import Export
from numlstm.utils import checks, interruptible
from numlstm.utils.types import Array

if TYPE_CHECKING:
    from numlstm.stepping.rollout import RolloutGradients, RolloutInputs, StaticRolloutGradients
    from numlstm.stepping.stepper import Stepper


class Rollout(Export):
    """The forecasts of `numlstm.LSTM` that feed on themselves; they run on its compiled step."""

    @overload
    def rollout(
        self, X_warm: Array, steps: int, exogenous: Any = None, *, static: Any = None
    ) -> Array: ...

    @overload  # of labelled inputs with labels
    def rollout(
        self, X_warm: Any, steps: int, exogenous: Any = None, *, static: Any = None
    ) -> Any: ...

    def rollout(self, X_warm: Any, steps: int, exogenous: Any = None, *, static: Any = None) -> Any:
        """Forecast freely: read what was observed, then feed every forecast back as an input.

        For networks that forecast the next value of their own first inputs: of the I features the
        first O are what the network forecasts, the others are exogenous. All steps run in compiled
        code; what comes in and goes out is in the units of the data, and standardised in float64.

        Parameters
        ----------
        X_warm : array_like, shape (B, T, I), or (T,) or (T, I) for one series
            What was observed, T >= 1.
        steps : int
            Number of forecasts, S >= 1.
        exogenous : array_like, shape (B, S, I - O), or (S, I - O) for one series, optional
            The other features, continued from X_warm: its row s stands beside forecast s, as the
            row of a time t in training held what is known for t + 1. The last is not used. One
            feature may lack the last axis: (B, S), or (S,). Default: there are none, I = O.
        static : array_like, shape (B, A), or (A,) for one series, optional
            Attributes of the series, as in `predict`; a model that has some needs them.

        Returns
        -------
        Y : ndarray, shape (B, S, O), or (S, O) for one series
            Forecasts for the S times after X_warm, float64, or float32 where X_warm is. The first
            is the last of `predict` on X_warm. Of a frame or DataArray it is one too; its index
            goes on where that is regular.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, fewer inputs than outputs, missing
            exogenous inputs; for a model that was fitted to something else than its own next
            inputs, or whose outputs are no values (see `LSTM.forecasts`); for a network that is
            bidirectional, fills missing inputs, or predicts once per sequence; as `njit`.
        BackendError
            Where the "cpu" backend cannot run.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> model.rollout(np.sin(np.arange(50)), 1000).shape
        (1000, 1)
        """
        backends.require_numba()
        from numlstm.stepping.rollout import in_slices

        after, *arrays = self._unlabelled(X_warm, steps, exogenous, static)
        stepper, spec, inputs = self._closed_loop(*arrays)
        Y = in_slices(self.network.on_host.runner, stepper, spec, inputs)
        return after.restore(inputs.forecasts(Y), self.names)

    @overload
    def rollout_vjp(
        self, X_warm: Array, steps: int, exogenous: Any = None, *, static: Any = None
    ) -> tuple[Array, Callable[[Any], Any]]: ...

    @overload
    def rollout_vjp(
        self, X_warm: Any, steps: int, exogenous: Any = None, *, static: Any = None
    ) -> tuple[Any, Callable[[Any], Any]]: ...

    def rollout_vjp(
        self, X_warm: Any, steps: int, exogenous: Any = None, *, static: Any = None
    ) -> tuple[Any, Callable[[Any], Any]]:
        """Forecast freely, and the function that pulls gradients back through all forecasts.

        For training on the error of free runs, and for their sensitivity to what was observed.
        The gradient is exact: it goes through every forecast that was fed back.

        Parameters
        ----------
        X_warm : array_like, shape (B, T, I), or (T,) or (T, I) for one series
            What was observed, as in `rollout`.
        steps : int
            Number of forecasts.
        exogenous, static : array_like, optional
            As in `rollout`.

        Returns
        -------
        Y : ndarray, shape (B, S, O), or (S, O) for one series
            As from `rollout`.
        pullback : callable
            ``pullback(dY) -> RolloutGradients(theta, X_warm, exogenous)``: the gradient of
            ``sum(dY * Y)``, with X_warm (B, T, I) and exogenous (B, S, I - O), or without the first
            axis for one series; all in the units of the data, as arrays. Of a model with attributes
            it is ``StaticRolloutGradients(theta, X_warm, exogenous, static)``, with static (B, A).

        Raises
        ------
        ValueError, TypeError, BackendError
            As `rollout`; and `pullback` for a dY that has not the shape of Y.

        See Also
        --------
        numlstm.fit : With ``scheduled_sampling=`` it trains on the network's own forecasts.

        References
        ----------
        Back-propagation through time: Werbos (1990), Proceedings of the IEEE 78(10), over a network
        whose inputs are its outputs.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> series = np.sin(np.arange(60))
        >>> Y, pullback = model.rollout_vjp(series[:50], 10)
        >>> gradients = pullback(2 * (Y[:, 0] - series[50:])[:, None])  # of the squared error
        >>> gradients.theta.shape == model.theta.shape, gradients.X_warm.shape
        (True, (50, 1))
        """
        backends.require_numba()
        from numlstm.stepping.rollout import rollout_vjp

        after, *arrays = self._unlabelled(X_warm, steps, exogenous, static)
        given = self._closed_loop(*arrays, derivatives=True)
        Y, back = interruptible.call(rollout_vjp, *given)

        def pullback(dY: Any) -> "RolloutGradients | StaticRolloutGradients":
            gradients: RolloutGradients | StaticRolloutGradients = interruptible.call(back, dY)
            return gradients

        if type(after) is labels.Labelled:
            return Y, pullback
        width = self.spec.width
        titles = tuple(after.outputs(self.names, width)) if width > 1 else None
        named: Any = after.restore(Y, self.names)
        return named, lambda dY: pullback(labels.companion(after, "dY", dY, titles).values)

    def _unlabelled(
        self, X_warm: Any, steps: Any, exogenous: Any, static: Any
    ) -> tuple[labels.Labelled, Any, int, Any, Any]:
        """The labels of the forecasts; and the arguments of a rollout without any."""
        self._require_forecasts()
        steps, features = checks.size("steps", steps), self.names.features
        if features is not None and self.num_future:  # which are the last of its inputs
            features = (*features, *self.names.future) if self.names.future else None
        if self.num_future:
            self._require_known_beside(labels.read("X_warm", X_warm))
        given = labels.inputs("X_warm", X_warm, features)
        after = given.continued(steps)
        others = None if features is None else features[self.spec.width :]
        given_after = labels.companion(after, "exogenous", exogenous, others)
        attributes = labels.attributes(given, static, self.names.static)
        return after, given.stepwise, steps, given_after.stepwise, attributes.values

    def _require_known_beside(self, given: labels.Labelled) -> None:
        """Refuse inputs without the features known ahead of the next step, as `forecast` has."""
        own, known = self.names.features, self.names.future
        if given.features is not None and own is not None:
            lacking = set(given.features) == set(own)
        else:
            shape: Any = getattr(given.stepwise, "shape", ())
            width = shape[-1] if len(shape) > 1 else len(shape)  # 0: not known here
            lacking = width == self.num_features
        if lacking:
            listed = f"{self.num_future} feature(s)" if known is None else ", ".join(known)
            raise ValueError(
                f"X_warm lacks what is known ahead, {listed}, the future= of the fit: use "
                "model.forecast(X, steps, future=), or give it as the last features of X_warm, "
                "each row with that of the next step, and as exogenous"
            )

    def _closed_loop(
        self, X_warm: Any, steps: int, exogenous: Any, static: Any, *, derivatives: bool = False
    ) -> tuple["Stepper", NetworkSpec, "RolloutInputs"]:
        """The step that feeds on itself, in the network's units, and what it reads."""
        from numlstm.stepping.rollout import feedback, read_rollout_inputs

        scaling = self._step_scaling(True)
        inputs = read_rollout_inputs(self.spec, scaling, X_warm, steps, exogenous, static)
        units = None if scaling is None else feedback(scaling, self.spec.width)
        _compile_step(self.spec, derivatives)
        return self._required_stepper(units, derivatives), self.spec, inputs

    def _require_forecasts(self) -> None:
        """Refuse models whose outputs are not their next inputs."""
        self._require_step()
        spec, scaling = self.spec, self.scaling
        if self.horizon is not None and self.forecasts is False:
            raise ValueError(
                f"this model was fitted with horizon={self.horizon} and forecasts all of its steps "
                "at once, from what was observed: use model.forecast(X), or fit without horizon="
            )
        if spec.width > spec.input_size or self.output == "last":
            raise ValueError(
                f"this model gives {spec.width} output(s) per "
                f"{'sequence' if self.output == 'last' else 'step'} from {spec.input_size} "
                "input(s): a rollout needs a forecast of its first inputs at every step"
            )
        if self.filling is not None:
            raise ValueError(
                "this model was fitted with missing='mask', and a rollout has no masks to feed it. "
                "Fit without it to inputs that are filled, or with horizon=, the number of steps "
                "ahead, and use forecast"
            )
        if self.forecasts is False:
            raise ValueError(
                "a rollout feeds outputs back as the first inputs of the next step, and this model "
                "was fitted to something else: other targets, or a loss whose outputs are no "
                "values (log-variances, logits). Fit with y=None, or with what is to be forecast "
                "as the first features of X and y[t] = X[t + 1, :O], with loss='mse', 'mae' or "
                "'huber'; set model.forecasts = True if the targets were the next inputs after all"
            )
        if scaling is not None and (scaling.y_mean is None or scaling.y_mean.size != spec.width):
            raise ValueError("this model does not forecast values that could be inputs")


_compiled: set[tuple[Any, ...]] = set()  # kinds of steps that have run here


def _compile_step(spec: NetworkSpec, derivatives: bool) -> None:
    """Compile the step of such networks where Ctrl-C is heard, the first time."""
    from numlstm.stepping.stepper import stepper_of

    plain = spec.cell == Cell() and not spec.proj_size
    kind = spec.dtype, plain, derivatives
    if kind not in _compiled:
        theta = np.zeros(spec.num_parameters, spec.dtype)
        interruptible.call(partial(stepper_of, derivatives=derivatives), spec, theta, None)
        _compiled.add(kind)
