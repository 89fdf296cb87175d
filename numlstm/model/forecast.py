"""What comes after a series: by the outputs for all steps ahead, or by a rollout."""

from typing import Any

import numpy as np

from numlstm import backends
from numlstm.data import labels, sequences
from numlstm.data.ahead import inputs, refuse_form, steps
from numlstm.data.attributes import read_static
from numlstm.data.sequences import Form, read_inputs
from numlstm.model.continuation import Request, Rows
from numlstm.model.prediction import Prediction
from numlstm.model.rollout import Rollout
from numlstm.model.windows import last_steps
from numlstm.utils import checks
from numlstm.utils.types import Array


class Forecast(Prediction, Rollout):
    """The forecasts of `numlstm.LSTM` after the end of its inputs."""

    def forecast(
        self, X: Any, horizon: int | None = None, *, future: Any = None, static: Any = None
    ) -> Any:
        """Forecast what comes after the series that were observed.

        A model fitted with a `horizon` gives all of it in one pass; one fitted without y feeds its
        forecasts back, as `rollout` does, with the features that are known of each step. Of a model
        trained on windows the last `LSTM.window` steps of X are read, from the initial state: in
        one pass for all steps, or to warm up, after which the state is carried on from step to
        step.

        Parameters
        ----------
        X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
            What was observed, up to now.
        horizon : int, optional
            Number of steps, h. Default, and at most: that of the fit, where it had one.
        future : array_like, shape (B, T + h, F), or (T + h, F) for one series, or list, optional
            Features that are known ahead, for a model that was fitted with some, of the steps of X
            and of the h after; for a model with a `horizon` h is that one. Of a frame or DataArray
            the rows are those that its labels say.
        static : array_like, optional
            Attributes of the series, as in `predict`, of a model that has some.

        Returns
        -------
        Y : ndarray, shape (B, h, O), or (h, O) for one series, or a list of (h, O) for a list
            Forecasts for the h steps after X, in the units of the data; for the loss "gaussian_nll"
            the means, then the log-variances, 2 O. Of a frame or DataArray it is one too; its index
            goes on where that is regular, or as that of `future` does.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, a `future` that is too short or has other
            labels, a `horizon` beyond that of the fit; and as `rollout`.
        BackendError
            Where a rollout is needed and the "cpu" backend cannot run.

        See Also
        --------
        numlstm.fit : With ``horizon=`` and ``future=``.
        numlstm.backtest : How good forecasts are, at several times.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> series, small = np.sin(np.arange(200) / 5), {"hidden_size": 4, "epochs": 5, "rng": 0}
        >>> direct = numlstm.fit(series, horizon=3, **small).model
        >>> direct.forecast(series).shape
        (3, 1)
        >>> stepwise = numlstm.fit(series, **small).model
        >>> stepwise.forecast(series, 10).shape
        (10, 1)
        """
        after, Y = self._after(X, horizon, future, static)
        return after.restore(Y, self.names)

    def _after(self, X: Any, horizon: Any, future: Any, static: Any) -> tuple[labels.Labelled, Any]:
        """The labels of the forecasts, and their values."""
        trained = self.horizon
        if horizon is None and trained is None:
            raise ValueError(
                "forecast needs horizon=, the number of steps: this model was fitted without one"
            )
        count = trained if horizon is None else checks.size("horizon", horizon)
        assert count is not None
        if trained is not None and count > trained:
            raise ValueError(
                f"this model forecasts {trained} step(s) at once, as it was fitted, received "
                f"horizon={count}: fit with horizon={count}, or without, and it feeds its "
                "forecasts back"
            )
        if trained is None:
            self._require_values_of_inputs()
            self._require_forecasts()
        given = labels.inputs("X", X, self.names.features)
        known = self._known(given, future, f"{trained or count}")
        own = labels.attributes(given, static, self.names.static).values
        after = given.continued(count, labels.times_ahead(given, future))
        values = given.stepwise
        if trained:
            Y = self._at_once(values, known, own)
        else:
            Y = self._fed_back(values, count, known, own)
        Y = [part[:count] for part in Y] if isinstance(Y, list) else Y[..., :count, :]
        return after, Y

    def _require_values_of_inputs(self) -> None:
        """Refuse a model of other targets, or of another loss, where forecasts are fed back."""
        if self.forecasts is False and self.output != "last" and self.filling is None:
            raise ValueError(
                "forecast feeds forecasts back as inputs, and this model was fitted to something "
                "else than the next values of X: other targets, or a loss whose outputs are no "
                "values. Fit with horizon=, the number of steps, and it forecasts y for all of "
                "them at once, with what is known ahead as future=; or fit X with y=None; set "
                "model.forecasts = True if the targets were the next inputs after all"
            )

    def _at_once(self, X: Any, future: Any, static: Any) -> Any:
        """The last outputs for arrays without labels, by step: (B, h, O), (h, O) or a list."""
        asked = Request(output="last", future=future, static=static, end=self.window)
        Y, _ = self._continued(X, None, None, asked, None)
        assert self.ahead is not None
        Y = self.ahead.by_step(Y)
        return list(Y) if sequences.is_list(X) else Y

    def _fed_back(self, X: Any, count: int, future: Any, static: Any) -> Any:
        """A rollout for arrays without labels, of a list series by series."""
        if not sequences.is_list(X):
            return self._rolled_out(X, count, future, static)
        form = Form("list", tuple(map(len, X)))
        parts = [None] * len(X) if future is None else future
        if len(parts) != len(X):
            refuse_form(future, len(X))
        own: Any = [None] * len(X) if static is None else read_static(static, form)
        rows = zip(X, parts, own, strict=True)
        return [self._rolled_out(series, count, *beside) for series, *beside in rows]

    def _rolled_out(self, X: Any, count: int, future: Any, static: Any) -> Array:
        """The same of one series, or of sequences of one length."""
        backends.require_numba()
        from numlstm.stepping.rollout import in_slices

        array, _, form = read_inputs(X, self.num_features)
        exogenous = None
        if future is not None:
            array, exogenous = self._laid_out(array, form, count, future)
        if self.window is not None:
            array = last_steps(Rows(array, None, None, None), self.window).X
        observed = array[0] if form.kind == "series" else array
        stepper, spec, given = self._closed_loop(observed, count, exogenous, static)
        return given.forecasts(in_slices(self.network.on_host.runner, stepper, spec, given))

    def _laid_out(self, X: Array, form: Form, count: int, future: Any) -> tuple[Array, Array]:
        """Inputs (B, T, I) beside what is known of the next step, and how that goes on.

        Beside forecast s stands what is known of the step after it; that of the last is not read.
        """
        rows, total, _ = X.shape
        known = self._future(future, form, np.full(rows, total), count)
        later = steps(known, total + 1, total + 1 + count)
        return inputs(X, known, 1, 0, total), later[0] if form.kind == "series" else later
