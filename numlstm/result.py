"""What `fit` returns: SciPy's result object, with a model in it."""

from typing import NamedTuple

from scipy.optimize import OptimizeResult

NOT_FINITE, INTERRUPTED, CALLBACK = 97, 98, 99  # the last is SciPy's, none has the others


class Outcome(NamedTuple):
    """Why a run ended."""

    success: bool
    status: int
    message: str

    @classmethod
    def reached(cls, goal: str) -> "Outcome":
        """What was asked for happened."""
        return cls(True, 0, goal)

    @classmethod
    def not_finite(cls) -> "Outcome":
        """A loss that cannot be used."""
        message = "The loss became NaN or infinite; the model is that of the last finite step."
        return cls(False, NOT_FINITE, message)

    @classmethod
    def interrupted(cls) -> "Outcome":
        """The user wanted no more."""
        message = "Interrupted by Ctrl-C; the model is that of the last complete step."
        return cls(False, INTERRUPTED, message)

    @classmethod
    def stopped(cls) -> "Outcome":
        """The callback wanted no more, in SciPy's words."""
        return cls(False, CALLBACK, "`callback` raised `StopIteration`.")


class FitResult(OptimizeResult):
    """The result of `numlstm.fit`; a dictionary with attribute access, printed as SciPy does.

    Attributes
    ----------
    model : LSTM
        The trained model.
    x : ndarray, shape (n,)
        Its parameters, a copy of ``model.theta``.
    fun : float
        Mean training loss at `x`, without the penalty of `weight_decay`, in the units of the
        network: with ``standardize=True`` those of the standardised targets.
    nit : int
        Number of completed epochs, or iterations of the SciPy method.
    nfev : int
        Number of gradients evaluated.
    success : bool
        Whether what was asked for happened; see `status`.
    status : int
        0: a goal was reached, or all epochs were run and no goal (`tol`, `patience`) was set.
        1: all epochs were run without reaching the goal. 97: the loss became NaN or infinite.
        98: interrupted by Ctrl-C. 99: the callback raised StopIteration. A method of SciPy adds
        its own codes.
    message : str
        Status in words.
    history : dict of str to ndarray
        One value per epoch: "loss" (mean over the epoch's updates), "gradient_norm" (the same,
        before clipping), with validation "validation_loss", and "learning_rate".
    output : {"sequence", "last"}
        Whether the model was trained on one target per step or one per sequence.
    fixed : tuple of str
        Names of the parameters that were held still.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> result = numlstm.fit(np.sin(np.arange(100.0)), epochs=2, rng=0)
    >>> result.success, result.nit, result.history["loss"].shape
    (True, 2, (2,))
    """
