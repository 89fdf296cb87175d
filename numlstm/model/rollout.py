"""Free-running forecasts of a model, and their gradients."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numlstm.architecture.spec import NetworkSpec
from numlstm.model.export import Export
from numlstm.utils.types import Array

if TYPE_CHECKING:
    from numlstm.stepping.rollout import RolloutGradients


class Rollout(Export):
    """The forecasts of `numlstm.LSTM` that feed on themselves; they run on its compiled step."""

    def rollout(self, X_warm: Any, steps: int, exogenous: Any = None) -> Array:
        """Forecast freely: read what was observed, then feed every forecast back as an input.

        For networks that forecast the next value of their own first inputs: of the I features the
        first O are what the network forecasts, the others are exogenous. All steps run in compiled
        code, in the units of the data.

        Parameters
        ----------
        X_warm : array_like, shape (B, T, I), or (T,) or (T, I) for one series
            What was observed, T >= 1.
        steps : int
            Number of forecasts, S >= 1.
        exogenous : array_like, shape (B, S, I - O), or (S, I - O) for one series, optional
            The other features at the times of the forecasts; the last is not used. One feature
            may lack the last axis: (B, S), or (S,). Default: there are none, I = O.

        Returns
        -------
        Y : ndarray, shape (B, S, O), or (S, O) for one series
            Forecasts for the S times after X_warm. The first is the last of `predict` on X_warm.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, fewer inputs than outputs, missing
            exogenous inputs; for a network that is bidirectional, fills missing inputs, predicts
            once per sequence, or does not forecast values (classes); as `njit`.
        BackendError
            Where the "cpu" backend cannot run.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> model.rollout(np.sin(np.arange(50)), 1000).shape
        (1000, 1)
        """
        from numlstm.stepping.rollout import read_rollout_inputs, rollout

        inputs = read_rollout_inputs(self._forecasting(), X_warm, steps, exogenous)
        return rollout(self.njit(), self.spec, inputs)

    def rollout_vjp(
        self, X_warm: Any, steps: int, exogenous: Any = None
    ) -> tuple[Array, Callable[[Any], "RolloutGradients"]]:
        """Forecast freely, and the function that pulls gradients back through all forecasts.

        For training on the error of free runs, and for their sensitivity to what was observed.
        The gradient is exact: it goes through every forecast that was fed back.

        Parameters
        ----------
        X_warm, steps, exogenous
            As in `rollout`.

        Returns
        -------
        Y : ndarray, shape (B, S, O), or (S, O) for one series
            As from `rollout`.
        pullback : callable
            ``pullback(dY) -> RolloutGradients(theta, X_warm, exogenous)``: the gradient of
            ``sum(dY * Y)``, with X_warm (B, T, I) and exogenous (B, S, I - O), or without the first
            axis for one series; all in the units of the data.

        Raises
        ------
        ValueError, TypeError, BackendError
            As `rollout`; and `pullback` for a dY that has not the shape of Y.

        See Also
        --------
        numlstm.fit : with ``scheduled_sampling=`` it trains on the network's own forecasts.

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
        from numlstm.stepping.rollout import read_rollout_inputs, rollout_vjp

        inputs = read_rollout_inputs(self._forecasting(), X_warm, steps, exogenous)
        return rollout_vjp(self.njit(derivatives=True), self.spec, inputs)

    def _forecasting(self) -> NetworkSpec:
        """The spec of a model whose outputs can be its next inputs; others are refused."""
        self._require_step()
        spec, scaling = self.spec, self.scaling
        if spec.width > spec.input_size or self.output == "last":
            raise ValueError(
                f"this model gives {spec.width} output(s) per "
                f"{'sequence' if self.output == 'last' else 'step'} from {spec.input_size} "
                "input(s): a rollout needs a forecast of its first inputs at every step"
            )
        if scaling is not None and (scaling.y_mean is None or scaling.y_mean.size != spec.width):
            raise ValueError("this model does not forecast values that could be inputs")
        return spec
