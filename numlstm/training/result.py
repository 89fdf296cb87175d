"""The result of `fit`: SciPy's result object, with a model in it."""

from typing import Any

from scipy.optimize import OptimizeResult

from numlstm.model.lstm import LSTM
from numlstm.objectives.covariance import Covariance, covariance
from numlstm.optim.optimizers import OptimizerState
from numlstm.training.display import as_html
from numlstm.utils.types import Array


class FitResult(OptimizeResult):  # type: ignore[misc]  # SciPy has no types
    """The result of `numlstm.fit`; a dictionary with attribute access, printed as SciPy does.

    ``fit(X, y, model=result)`` goes on from it. For that it keeps, beside its entries, the state of
    the optimiser, in pickles and copies too: at most twice the size of `x`.

    Attributes
    ----------
    model : LSTM
        The trained model.
    x : ndarray, shape (n,)
        Its parameters, a copy of ``model.theta``.
    fun : float
        Mean training loss at `x`, without the penalty of `weight_decay`, in the units of the
        network: with ``standardize=True`` those of the standardised targets. With ``stateful=True``
        that of the parallel parts of the series, each from the initial state. Of fresh batches the
        mean over those of the epoch that `x` is from, each before its update.
    nit : int
        Number of completed epochs, or iterations of the SciPy method.
    nfev : int
        Number of gradients evaluated.
    success : bool
        Whether what was asked for happened; see `status`.
    status : int
        0: a goal was reached, or all epochs were run and no goal (`tol`, `patience`, or that of a
        callback, which then returned True) was set.
        1: all epochs were run without reaching the goal. 96: the loss is more than twice that of
        the best constant prediction (of log-likelihoods: more than 1 above it), so that the fit
        diverged or was too short. 97: the loss became NaN or infinite. 98: interrupted by Ctrl-C.
        99: the callback raised StopIteration. A method of SciPy adds its own codes.
    message : str
        Status in words.
    history : dict of str to ndarray
        One value per epoch: "loss" (mean over the epoch's updates), "gradient_norm" (the same,
        before clipping), "learning_rate", with validation "validation_loss"; without, where `tol`
        or `patience` is set, "training_loss", that of the parameters at the end of the epoch; NaN
        for epochs before a resumed run that had neither. With `metrics` theirs, as
        "validation_rmse", or "training_rmse" where there is no validation.
    output : {"sequence", "last"}
        Whether the model was trained on one target per step or one per sequence.
    data : str
        What was read, as "one series of 240 steps, 12 features, a target per step; validation: the
        last 20 %".
    fixed : tuple of str
        Names of the parameters that were held still.
    loss : str
        What was minimised, as given to `fit`.
    forecast : bool
        Whether the fit had no `y`: its targets were the next values of X.
    per_series : dict of str to ndarray, shape (S,)
        Where `metrics` were asked for: those of every series at `x`, by the names of the history.
        With one target per sequence all are one series. NaN where undefined, and after Ctrl-C.
    weight : str
        The rule of the weights of series, where one was asked for.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> result = numlstm.fit(np.sin(np.arange(100.0)), epochs=2, rng=0)
    >>> result.success, result.nit, result.history["loss"].shape
    (True, 2, (2,))
    """

    model: LSTM
    x: Array
    fun: float
    nit: int
    nfev: int
    success: bool
    status: int
    message: str
    history: dict[str, Array]
    output: str
    data: str
    fixed: tuple[str, ...]
    loss: str
    forecast: bool
    per_series: dict[str, Array]
    weight: str

    def __getattr__(self, name: str) -> Any:
        """An entry by its name; what only the model has is found there."""
        if name not in self and not name.startswith("_") and hasattr(self.get("model"), name):
            raise AttributeError(
                f"a FitResult has no {name!r}, its model has: write result.model.{name}"
            )
        return super().__getattr__(name)

    def __repr__(self) -> str:
        """As SciPy prints it, with the model on one line."""
        models = {"model": repr(self.model)} if "model" in self else {}
        text: str = OptimizeResult.__repr__(FitResult({**self, **models}))
        return text

    def _repr_html_(self) -> str:
        """How the fit ended and how its losses fell, for notebooks."""
        return as_html(self)

    def covariance(
        self,
        X: Any,
        y: Any = None,
        *,
        absolute_sigma: bool = False,
        weight_decay: float = 0.0,
        rank: int | None = None,
        progress: bool | None = None,
        sample_weight: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        nan_policy: str = "raise",
    ) -> Covariance:
        """How sure the parameters are, by Gauss-Newton; for a fit of the loss "mse".

        Parameters
        ----------
        X, y : array_like
            The data of the fit, which the result does not keep.
        absolute_sigma : bool, optional
            As in `scipy.optimize.curve_fit`. False: the noise is estimated from the residuals,
            and `sample_weight` counts relatively. True: ``sample_weight`` is 1 / sigma**2 of every
            sequence or step, in the units of the data.
        weight_decay : float, optional
            That of the fit: it then counts as what was known before, a normal prior around zero,
            and directions that the data do not determine have its variance.
        rank : int, optional
            Compute only so many directions of the parameters, those which the data determine best,
            without forming a Jacobian J; the others then have the variance of `weight_decay`, or
            without one count as certain. Default: all of them up to 1000 free parameters. Beyond,
            with `weight_decay`, 100 and twice as many until the data add less than 2 % to its
            precision in the others; without it all, since every direction has an equal part in a
            band, but where J has more than 2**27 entries as many as leave out 1e-4 of trace(J'J):
            that is exact for the directions, and estimated for what is left (Hutchinson, 20
            products).
        progress : bool, optional
            Show a bar that counts products with the Jacobian. Default: on a terminal and in
            notebooks.
        sample_weight, lengths, reset, static, nan_policy : optional
            What else the fit was told of the data.

        Returns
        -------
        covariance : Covariance
            With ``factor`` (n, r), ``rest`` (n,), ``matrix`` (n, n), ``stderr`` by name, ``sigma``
            and ``dof``;
            its ``predict(X, level=0.95)`` gives predictions with a band. All is computed in
            float64. Parameters held `fixed` are certain. Directions that the data do not
            determine are left out, as in `curve_fit`, unless `weight_decay` is given.

        Raises
        ------
        ValueError, TypeError
            As `fit` for the data; where y is left out and the fit had one; for a fit with `future`,
            and for one on windows; where as many parameters as residuals leave no noise to
            estimate; and for a fit of another loss than "mse", of which the sum of squares is not
            least.

        Warns
        -----
        scipy.optimize.OptimizeWarning
            Where directions that were not computed have a part that is not negligible; it says
            which share of trace(J'J) they hold, and what they count as.

        References
        ----------
        Seber & Wild (1989), "Nonlinear regression", chapters 2 and 5.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> series = np.sin(np.arange(200) / 5) + np.random.default_rng(0).normal(0, 0.1, 200)
        >>> options = {"hidden_size": 3, "weight_decay": 0.01, "dtype": "float64", "rng": 0}
        >>> result = numlstm.fit(series, method="L-BFGS-B", epochs=50, **options)
        >>> covariance = result.covariance(series, weight_decay=0.01)
        >>> band = covariance.predict(series)
        >>> band.mean.shape, bool((band.lower < band.upper).all())
        ((200, 1), True)
        """
        if self.loss != "mse":
            raise ValueError(
                "covariance is that of least squares, loss='mse'; this fit minimised "
                f"loss={self.loss!r}, where the sum of squares is not least: fit with loss='mse', "
                "or ask numlstm.ensemble for the spread of several fits"
            )
        if self.get("weight") is not None and sample_weight is None:
            raise ValueError(
                f"this fit had weight={self.get('weight')!r}, and the covariance is that of its "
                "weighted squares: pass these weights, times those that the fit was given, as "
                "sample_weight: 1 / (y.std(axis=1) + 0.1)**2 for y (B, T)"
            )
        if y is None and not self.get("forecast", True):
            raise ValueError(
                "this fit had a y, and without one its targets would be the next values of X: pass "
                "the y of the fit"
            )
        if self.model.window is not None:
            raise ValueError(
                f"this fit was on windows of {self.model.window} steps, and covariance reads whole "
                "sequences: lay out windows, X of shape (N, window, I) and y of shape (N, O), and "
                "ask for that of a fit on them"
            )
        return covariance(
            *(self.model, self.x, X, y, self.fixed),
            absolute_sigma=absolute_sigma,
            weight_decay=weight_decay,
            rank=rank,
            progress=progress,
            **{"sample_weight": sample_weight, "lengths": lengths, "reset": reset},
            static=static,
            nan_policy=nan_policy,
        )


def with_state(result: FitResult, state: OptimizerState | None) -> FitResult:
    """The result, which keeps the state of its optimiser beside its entries."""
    object.__setattr__(result, "_optimizer_state", state)
    return result


def state_of(result: FitResult) -> OptimizerState | None:
    """What `with_state` was given; None in a result made of the entries alone."""
    state: OptimizerState | None = vars(result).get("_optimizer_state")
    return state
