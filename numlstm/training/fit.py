"""numlstm.fit: arrays in, a trained model and a SciPy-style result out."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.data.arrays import Arrays
from numlstm.data.attributes import size_of
from numlstm.data.batches import FreshBatches, is_stream, prepare_batches
from numlstm.data.preparation import Data, DataConfig, GivenModel, prepare
from numlstm.data.window_preparation import prepare_windows
from numlstm.model.base import drawn
from numlstm.model.lstm import LSTM
from numlstm.objectives.evaluator import Evaluator
from numlstm.objectives.objective import Objective
from numlstm.optim.bounds import LimitsConfig
from numlstm.optim.optimizers import OPTIMIZERS, Optimizer, OptimizerState
from numlstm.training.batches import require_streamable
from numlstm.training.checkpoints import Record, open_checkpoint
from numlstm.training.ending import Ending, bars, end, warn_of_worse
from numlstm.training.fingerprints import fingerprint, fingerprint_of_state
from numlstm.training.interrupt import SigintGuard
from numlstm.training.judging import Judging
from numlstm.training.keywords import INSTEAD
from numlstm.training.listeners import Bar, Listeners, views_of
from numlstm.training.loop import LoopConfig, Problem, Trainer
from numlstm.training.outcome import Outcome
from numlstm.training.progress import Progress, by_name
from numlstm.training.result import FitResult, with_state
from numlstm.training.scheduled_sampling import require_step
from numlstm.training.scipy_methods import Minimizer, Solver
from numlstm.training.settings import (
    RunConfig,
    Settings,
    TrainingConfig,
    agreeing,
    begun_with,
    require_forward,
    settle,
)
from numlstm.training.update import Update
from numlstm.utils import interruptible, nouns
from numlstm.utils.nouns import suggesting
from numlstm.utils.random_streams import INITIAL, RandomStreams, new_seed


@suggesting({"cell": Cell, "init": Init, "limits": LimitsConfig}, SYNONYMS, INSTEAD)
@agreeing
def fit(
    X: Any,
    y: Any = None,
    *,
    hidden_size: int = 32,
    num_layers: int = 1,
    bidirectional: bool = False,
    residual: bool = False,
    learned_state: bool = False,
    proj_size: int | None = None,
    direct_input: bool = False,
    cell: Cell | Mapping[str, Any] | None = None,
    init: Init | Mapping[str, Any] | None = None,
    output_size: int | None = None,
    output: str | None = None,
    loss: str = "mse",
    sample_weight: Any = None,
    weight: str | None = None,
    lengths: Any = None,
    reset: Any = None,
    future: Any = None,
    horizon: int | None = None,
    static: Any = None,
    method: str = "adam",
    learning_rate: float | None = None,
    schedule: str | Callable[[int], float] | None = None,
    weight_decay: float = 0.0,
    dropout: float | Mapping[str, float] | Dropout | None = None,
    clip: float | None = 1.0,
    batch_size: int = 32,
    epochs: int = 100,
    bptt_steps: int | None = None,
    stateful: bool = False,
    window: int | None = None,
    stride: int = 1,
    predict_last: int = 1,
    shuffle: str = "samples",
    scheduled_sampling: float | Callable[[int], float] | None = None,
    validation: Any = None,
    patience: int | None = None,
    tol: float | None = None,
    metrics: Any = None,
    standardize: bool | None = None,
    nan_policy: str = "raise",
    missing: str = "raise",
    rng: Any = None,
    callback: Callable[..., Any] | None = None,
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    model: LSTM | FitResult | None = None,
    dtype: Any = "float32",
    backend: str = "auto",
    precision: str | None = None,
    options: Mapping[str, Any] | None = None,
    limits: LimitsConfig | Mapping[str, Any] | None = None,
) -> FitResult:
    """Train an LSTM network on sequences.

    Parameters
    ----------
    X : array_like, shape (B, T, I), (T,) or (T, I), or list of arrays, or iterable, or callable
        Input sequences: a batch, one series, or series of different lengths. A two-dimensional
        array is one series of T steps and I features here; to `LSTMRegressor` and
        `LSTMClassifier` its rows are sequences of one feature, which is ``X[..., None]``. Frames
        (pandas, polars, pyarrow) and DataArrays too: their features are known by name, their
        labels must agree with those of what stands beside them, and their times must go forward.
        An index of pandas with several levels is a list of series. Data that look as if something
        else was meant, such as rows that are windows over one series, or features before time, are
        a warning with both readings. Integers that are tokens belong one-hot.
    y : array_like or list of arrays, optional
        Targets, one per step, (B, T, O), or one per sequence, (B, O) or (B,); for one series (T,)
        or (T, O); for a list of series a list. Integers from 0 on for the loss "cross_entropy", a
        label per step as (B, T); numbers of the shape (B, T) could be either, which `output` then
        says. None: forecast the next value of X; row t of `predict` is then that of
        t + 1, with the label of t.
    hidden_size, num_layers : int, optional
        Units per layer, and stacked layers, of a new model.
    bidirectional, residual, learned_state, proj_size : optional
        Of the layers of a new model: as in `LSTM`. A bidirectional network needs whole
        sequences: not with `bptt_steps` or `stateful`.
    direct_input : bool, optional
        The outputs of a new model read the inputs of their step directly too, beside the hidden
        state: as in `LSTM`. For what depends on the current input as it is.
    cell : Cell or dict, optional
        The variant of the cells of a new model: a `Cell`, or a dict with some of its names, as in
        ``{"forget_gate": "coupled", "layer_norm": True}``.
    init : dict, optional
        The first values of a new model's parameters. "weights": "orthogonal", the default, input
        weights uniform (Glorot & Bengio 2010, eq. 16) and recurrent weights orthogonal per gate
        (Saxe et al. 2014), or "uniform", all weights uniform in +-1/sqrt(H). "forget_bias": bias of
        the forget gate, by default 1 (Jozefowicz et al. 2015). "chrono": in its place, the longest
        dependency expected, in steps, above 2, by which the biases of forget and input gates are
        drawn (Tallec & Ollivier 2018). "input_bias", "output_bias": those of the two other gates,
        by default 0, as is the candidate's. A bias is a number, or an array (H,) with one for every
        unit; all layers have the same.
    output_size : int, optional
        Number of outputs of a new model. Default: what the targets need. More of them make sense
        for classes alone, which the data may not all show.
    output : {"sequence", "last"}, optional
        One target per step, or one per sequence. Default: what the shape of `y` says.
    loss : str, optional
        "mse", "mae", "huber", "cross_entropy" (classes), "binary_cross_entropy" (on logits), or
        "gaussian_nll" (the network gives each target's mean and log-variance). The mean over all
        valid targets is minimised.
    sample_weight : array_like, shape (B,) or (B, T), optional
        Weight of every sequence or step, >= 0; for a list of series also a list. A sequence of
        weight 2 is that sequence twice, one of weight 0 is not there: in the loss, and in the
        moments of `standardize` and the means of `missing`. A step of weight 0 is read, but is
        asked for nothing: with weights of steps all inputs of a sequence count alike in those
        moments, by the mean of its weights. The ratios of weights count alone, whatever their size.
    weight : {"nse"}, optional
        Weight of every series in the loss, beside `sample_weight`. "nse": 1 / (sigma + 0.1)^2,
        sigma the standard deviation of its targets in the units of the data, so that a dry
        catchment counts as a wet one (Kratzert et al. 2019, eq. 1; the 0.1 is meant for mm per
        day). With a target per step, for losses of regression; series of validation are weighted
        by their own sigma, with `window` and a fraction by that of the steps before the cut;
        `standardize` has the moments that it has without. Of one series it changes nothing.
    lengths : array_like of int, shape (B,), optional
        Length of each row of an X of shape (B, T, I); what lies behind it is never read. Rows that
        are padded in front are refused.
    reset : array_like of bool, shape (B, T), or (T,) for one series, or list of arrays, optional
        Where True, a sequence begins anew before that step: its state becomes the initial one. To
        forecast across a reset is then not asked for.
    future : array_like, shape of X with T + n steps and F features, or list, optional
        Features that are known ahead, such as a calendar or promotions: row t stands beside step t
        of X, and what lies beyond X is the future of its end. Without `horizon` a step reads those
        of the next step, beside its own features. Labels of frames must go on from those of X.
    horizon : int, optional
        Forecast so many steps ahead at once: the outputs at step t are those of t + 1 to
        t + `horizon`, by step and then by feature, of X or, where it is given, of `y`. With
        `future` a step reads the features of all these steps; one of which they are not all there
        is left out. Of targets those count that there are. For losses of numbers. Default: y as it
        is, or the next value, from which `LSTM.forecast` goes on step by step. With `window` both
        are laid out window by window.
    static : array_like, shape (B, S), or (B,) for one attribute, or (S,) for one series, optional
        Attributes of whole sequences, such as the area of a catchment: inputs that are the same at
        all steps of a sequence, whose product with the weights ``weight_is`` is computed once for
        it. To the network it is what repeating them as features of every step would be. A frame
        has a row for each series, by its name where X has names of series. They are standardised
        as features are, each sequence counted once, and are then needed in `predict`. With
        `stateful` they are those of the one series.
    method : str, optional
        "adam", "adamw", "sgd", "rmsprop"; or one of `scipy.optimize`, which see all data in every
        iteration: of `minimize` with gradients "L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", with
        exact Hessian-vector products "Newton-CG", "trust-ncg", "trust-krylov", "trust-constr";
        or "least_squares", for the loss "mse", with ``options={"method": "trf"}``, "dogbox" or
        "lm". Use ``dtype="float64"`` with them.
    learning_rate : float, optional
        Default: 0.01, for "rmsprop" 0.001.
    schedule : {"cosine", "step"} or callable, optional
        Factor on the learning rate in every epoch; a callable gets the epoch, from 0 on.
    weight_decay : float, optional
        L2 penalty, ``weight_decay / 2 * sum(x**2)``; for "adamw" the decoupled decay.
    dropout : float or mapping of str to float, optional
        Rates in [0, 1): a number is the probability of zeroing an output of a layer on its way to
        the next layer; a mapping has any of "layers" (the same), "inputs", "states", "recurrent",
        "weights", "zoneout_h" and "zoneout_c", see `LSTM`. Masks are drawn anew at every update;
        with `bptt_steps`, that is in every window. Default: none, or those of a `model` given,
        which 0 turns off. The result's model keeps the rates. Not for SciPy's methods.
    clip : float, optional
        Largest norm of the gradient; a longer one is scaled down. None: as it is.
    batch_size : int, optional
        Sequences per update; with `stateful` the number of parallel streams. An update divides the
        losses of its batch, or window, by the mean weight of the epoch's updates, not by its own:
        so the mean gradient of an epoch is that of `loss` on all data, whatever a batch holds. A
        short last batch therefore counts less than in a loop that takes the mean of each batch.
        Fresh batches are not known before: an update divides by the weight of its own one. A
        callable gets this number as its n; an iterable yields what it does.
    epochs : int, optional
        Passes over the data; for a SciPy method the largest number of iterations. On one series
        without `bptt_steps` a pass is a single update, and so is the call of a callable.
    bptt_steps : int, optional
        Truncated back-propagation through time: one update per window of so many steps, the
        state carried from window to window, the gradient not. Default: whole sequences. Beside
        `window` each of those windows is cut so, from its first step on, and the gradient of a
        target goes back to the last cut before it: with 4 of a window of 10, through two steps.
    stateful : bool, optional
        X is one long series, its rows (if any) consecutive pieces, the end of each followed by the
        beginning of the next: train `batch_size` contiguous parts of it in parallel (fewer, where
        they were shorter than a window), each with its state carried along, from the initial one in
        every epoch: so are `fun` and, without `validation`, the loss of `tol` and `patience`. In
        `predict` the series has the initial state once, and its loss may differ: much where the
        parts are not many times as long as the network remembers. `batch_size=1` has one part. The
        windows are `bptt_steps` long, by default as long as the rows of X.
    window : int, optional
        Train on windows of so many steps over long series, which begin in the initial state, in
        random order. Nothing is laid out: they are cut, and standardised, as a batch is drawn, of
        arrays in memory or of what has shape, dtype and slicing, as `numpy.memmap` and the arrays
        of h5py, zarr and dask, X and y alike. X is (T, I), a list of such, or (S, T, I); y has a
        target for every step, a window's is that of its last. No window reaches across the start
        of a series; those without a target are left out. The model remembers it, `LSTM.window`,
        and predicts every step from a window of its own. Where none is said it is that of a `model`
        given; set ``model.window = None`` for whole sequences. Not with `stateful`,
        `scheduled_sampling`, ``output="last"``, "least_squares" or batches that X yields.
    stride : int, optional
        Steps from the end of one window to the end of the next.
    predict_last : int, optional
        So many steps at the end of a window have targets; 1 in a bidirectional network.
    shuffle : {"samples", "blocks"}, optional
        Order of windows: any, or for stores that keep the chunks that they read last, of which a
        random order reads each again and again, blocks of 1024 consecutive ones, eight of them
        shuffled together.
    scheduled_sampling : float or callable, optional
        Train on free runs: the probability that a step of the training data reads the network's own
        last forecast in the place of the observation (Bengio et al. 2015). A number is reached in
        the last epoch, linearly from 0 in the first; a callable gets the epoch, from 0 on, and
        ``lambda epoch: 1.0`` trains on the error of free runs alone. The gradient goes through the
        forecasts. For forecasts: ``y=None``, or a y that is the next value of the first features
        of X, the others exogenous. The first step of a window is always observed; the validation
        loss and `fun` are those of forecasts one step ahead. On the backend "cpu", for losses of
        one output per target, without dropout, `reset` and ``missing="mask"``.
    validation : float, tuple or dict, optional
        Data to judge the model on after each epoch; the best epoch's parameters are returned.
        A number in (0, 1) sets aside that fraction: of one series the end, which is predicted with
        the state that its beginning leaves, with `stateful` too; of sequences with one class each
        a draw by `rng` with a share of every class, the last of a class being learned from; else
        the last sequences. Data of their own are ``(X, y)``, ``(X, y, sample_weight)``, or a dict
        with some of "X", "y", "sample_weight", "lengths", "reset", "future" and "static", as the
        arguments of these names; they need a dict where the fit has one of the last four, or series
        of different lengths and they are padded. With `stateful` they are one series that begins in
        the initial state. With `window` a fraction cuts every series in time: windows that end
        before the cut are learned from, those that end behind it judge; data of their own are other
        series.
    patience : int, optional
        Stop after so many epochs without a better validation loss and return the best parameters.
        Without `validation` it is the loss of the epoch's last parameters on the training data,
        which costs a forward pass per epoch.
    tol : float, optional
        Stop once the loss that `patience` speaks of is at or below this goal.
    metrics : list of str and callables, or dict of them by name, optional
        Measures in the history of every epoch, of the validation data where there are some, as
        "validation_rmse", else of the training data, as "training_rmse", which takes a forward pass
        per epoch. Names: "rmse", "mae", "r2", "nse", "kge" and "mase", and "accuracy" for classes:
        see `numlstm.metrics`. Functions are called as ``metric(y_true, y_pred)``, as those of
        scikit-learn, with the targets that there are, (N,), or (N, O) of steps that have all
        targets. All are in the units of the data: of a loss with a variance the means, of
        "cross_entropy" class numbers, of "binary_cross_entropy" probabilities. Every target with a
        weight above zero counts alike. Of several series "nse" and "kge" are the median over the
        series, all others those of all targets together; ``result.per_series`` has them apart. The
        scale of "mase" is the mean change from step to step in the training data. With `window` a
        target counts once in each window that has it, which may be several with `predict_last`; the
        changes are those of the series.
    standardize : bool, optional
        Shift and scale every input feature, and every target of a regression loss, to mean 0 and
        variance 1 over the training data, each counted by its `sample_weight`; an input without a
        target counts too. Of forecasts with weights of steps, targets and the inputs that they
        become have the moments of the targets, so that values of weight 0 may be anything. The
        model keeps the scaling and undoes it in `predict`. Default: True for a new model, also one
        given with the parameters that it was drawn with. A model given keeps the scaling that it
        has: False is refused beside it, and True where the data have another one. A model without,
        whose parameters are its own, needs one of them.
    nan_policy : {"raise", "omit"}, optional
        "omit": a NaN in `y` means that there is no target.
    missing : {"raise", "mask"}, optional
        "mask": a NaN in `X` is a missing input. It is replaced by the feature's last value observed
        in that sequence, before the first one by the mean of the training data, and a channel per
        feature is appended that is 1 where a value was observed and 0 where it was not. Without
        `y`, a missing value is no target. `predict` does the same; `forward`, `vjp` and `step`
        read the 2 I channels, which a new `model` given must have inputs for: ``LSTM(2 * I, ...)``.
    rng : None, int, or numpy.random.Generator, optional
        Source of initial weights, order and dropout, as in Scientific Python's SPEC 7.
    callback : callable, optional
        ``callback(intermediate_result)`` after each epoch, an OptimizeResult with nit, fun, x, the
        latest values of the history, and `model`, the model as it stands: nothing is copied, so
        that it changes with the next update; it cannot be written to. Returning True ends the fit
        as a success, with the parameters that the callback saw; a callback that returns False has
        set such a goal. Raising StopIteration ends it without success; what else is returned says
        nothing.
    progress : bool, optional
        Show a progress bar, with the losses and the time left. Default: on a terminal and in
        notebooks, where it is a widget if ipywidgets is installed.
    checkpoint : path-like, optional
        File for everything needed to go on, written after each epoch, every few seconds in long
        ones, and where Ctrl-C ends the training, in such a way that a crash leaves the last whole
        one. That it cannot be written
        the first time is an error; later, as on a full disk, a warning, and the fit goes on and
        tries again. Not for SciPy's methods.
    resume : bool, optional
        Go on from `checkpoint`, or begin where there is none. The result has the same bits as
        that of a run that was never stopped. A `patience` or `tol` that is set only on resuming
        knows the training losses from there on; those of earlier epochs are NaN in the history.
    model : LSTM or FitResult, optional
        Start from this model's parameters; it is left as it is. What is said of the network beside
        it must be true of it, defaults too where they are written out; but `dropout` is set anew. A
        result goes on: from its model, with the state of its optimiser (moments, and the number of
        updates) where `method` is the same; else a warning says that it begins anew. Epochs are
        counted from 0 again, and so is what is random: with the same `rng`, a callable X draws what
        it drew before.
    dtype : {"float32", "float64"}, optional
        Type of parameters and arithmetic. Data keep the precision that they have, float32 or else
        float64, until they are standardised: a small variation about a large mean survives.
    backend : {"auto", "cpu", "cuda", "reference"}, optional
        Where the arithmetic runs. On "cuda" the stochastic methods keep data, parameters and their
        own arrays on the GPU.
    precision : {"tf32", "bf16"}, optional
        Products on the tensor cores of a GPU: as in `LSTM`.
    options : dict, optional
        Further constants of the method: ``betas`` and ``eps`` of "adam" and "adamw"; ``momentum``
        and ``nesterov`` of "sgd"; ``alpha``, ``eps`` and ``momentum`` of "rmsprop"; the options of
        SciPy's method, or the arguments of `least_squares` (with ``tr_solver="lsmr"`` the Jacobian
        is never formed).
    limits : dict, optional
        Limits on the parameters. "fixed": names of parameters, as in `LSTM.params`, one or a
        sequence, that keep their initial value. "bounds": a dict of pairs (lower, upper) by name of
        parameter, numbers or arrays of its shape, None for no bound; for "L-BFGS-B", "TNC",
        "SLSQP", "trust-constr", "least_squares" ("trf", "dogbox"), while "adam" and its like
        project onto them after every update; the start is projected too. "constraints": SciPy's
        LinearConstraint, NonlinearConstraint or a list of them on the whole vector theta, for
        "trust-constr" and "SLSQP". All are limits on the numbers in `LSTM.params`, of a network
        that reads and gives standardised data: not in the units of the data.

    Returns
    -------
    result : FitResult
        With the trained `model`, its parameters `x`, the training loss `fun`, `success`,
        `status`, `message`, `nit`, `nfev`, `history`, `output`, and in `data` what was read, in
        words. Losses are those of the network's units: with `standardize`, those of targets of
        variance 1. Not converging is ``success=False``, never an exception. Ctrl-C ends the
        training the same way, after the last whole step; while the data are still read, and pressed
        once more, it is a KeyboardInterrupt.

    Raises
    ------
    ValueError, TypeError
        For arrays of a wrong shape or kind, NaN or infinite values, sizes or labels that do not
        match, unknown names, a `checkpoint` that is there already or is of another fit.
    StorageError
        For a checkpoint that is damaged, or holds what a run on these data does not come to.
    OSError
        For a checkpoint that cannot be written.
    BackendError
        For a backend that cannot run here.

    Warns
    -----
    scipy.optimize.OptimizeWarning
        For an argument or option that the method does not use.
    RuntimeWarning
        For a checkpoint that can no longer be written.
    UserWarning
        For targets of validation that are in other units than those of training, by all signs;
        where no epoch is better, by `validation`, than the model given;
        for steps of unequal length in the index of X; for numbers that files write for what is
        missing: documented ones (netCDF: 9.97e36, CMIP: 1e20, and others) whatever their share, or
        one huge number, far from all others of its column, that at most half of it has.

    Notes
    -----
    Batches may come one by one, so that data are never all in memory. As X pass an iterable that
    begins anew whenever it is iterated over, as a list of batches or an object of a class with
    ``__iter__``, of which an epoch is one pass; or a callable ``(rng, n)``, of which an epoch is
    one call: rng is a `numpy.random.Generator` that only `fit`'s `rng` and the number of the call
    decide, n is `batch_size`. A batch is ``(X, y)``, ``(X, y, sample_weight)``, or a dict with some
    of "X", "y", "sample_weight", "lengths", "reset" and "static"; its sequences begin in the
    initial state.
    Kinds, sizes and the moments of `standardize` and `missing` are those of the first batch, which
    all others must be like; a class that it lacks needs `output_size`. All passes must have the
    same number of batches. What the iterable or callable raises goes through. `fun` is then the
    mean loss over the batches of the epoch whose parameters are returned, each before its update;
    whether it is a success is tried on the first batch. `validation` is data of their own, and
    `patience`, `tol` and `metrics` need it. What needs data that are all there is refused: the page
    "Data" of the documentation has the list, under "Fresh data: streams".
    A resumed run passes over the batches that were done, of an iterable those of all passes before,
    too: it has the same bits where these are the same again. Of a callable the checkpoint is
    written every few seconds and at the end.

    References
    ----------
    Hochreiter & Schmidhuber (1997), Neural Computation 9(8); Gers, Schmidhuber & Cummins (2000),
    Neural Computation 12(10). Truncation: Williams & Peng (1990), Neural Computation 2(4).
    Scheduled sampling: Bengio et al. (2015), NeurIPS 28. Weights of series: Kratzert et al. (2019),
    Hydrology and Earth System Sciences 23.
    Dropout between layers: Zaremba, Sutskever & Vinyals (2014), arXiv:1409.2329, eqs. 7-9. The
    variants: the docstring of `LSTM`. Mask channels: Lipton, Kale & Wetzel (2016), "Directly
    modeling missing data in sequences with RNNs", MLHC.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> series = np.sin(np.arange(300) / 5)
    >>> result = numlstm.fit(series, hidden_size=8, bptt_steps=50, epochs=20, rng=0)
    >>> result.success, bool(result.fun < 0.1)
    (True, True)
    >>> result.model.predict(series).shape
    (300, 1)

    Twenty epochs more, and a fit to waves that never come again:

    >>> further = numlstm.fit(series, model=result, bptt_steps=50, epochs=20, rng=1)
    >>> bool(further.fun < result.fun)
    True
    >>> def waves(rng, n):
    ...     return {"X": np.sin(rng.uniform(0, 6, (n, 1, 1)) + np.arange(30)[:, None] / 5)}
    >>> numlstm.fit(waves, hidden_size=8, epochs=3, rng=0).data.partition(",")[0]
    'a stream of batches from a callable'

    Windows over the series:

    >>> result = numlstm.fit(series, window=20, hidden_size=8, epochs=5, rng=0)
    >>> result.data
    'one series of 300 steps, one feature, the next value as target, 280 windows of 20 steps'
    """
    network = NetworkSpec(
        input_size=1,  # the data say how many
        hidden_size=hidden_size,
        output_size=output_size,
        num_layers=num_layers,
        dtype=dtype,
        bidirectional=bidirectional,
        residual=residual,
        proj_size=proj_size,
        cell=nouns.read(Cell, "cell", cell),
        learned_state=learned_state,
        dropout=Dropout.read("dropout", dropout),
        precision=precision,
        direct_input=direct_input,
    )
    reading = DataConfig(
        loss=loss,
        output=output,
        nan_policy=nan_policy,
        missing=missing,
        standardize=standardize,
        batch_size=batch_size,
        bptt_steps=bptt_steps,
        stateful=stateful,
        window=window,
        stride=stride,
        predict_last=predict_last,
        shuffle=shuffle,
        scheduled_sampling=scheduled_sampling,
        horizon=horizon,
        weight=weight,
    )
    training = TrainingConfig(
        method=method,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        clip=clip,
        epochs=epochs,
        patience=patience,
        tol=tol,
        options=options,
        limits=nouns.read(LimitsConfig, "limits", limits),
    )
    run = RunConfig(callback, progress, checkpoint, resume, metrics)
    start = begun_with(
        nouns.read(Init, "init", init), model, backend, training, keeps_dropout=dropout is None
    )
    settings = settle(network, start, reading, training, run)
    arrays = Arrays(X, y, sample_weight, lengths, reset, future, static, validation)
    return _run(arrays, settings, rng)


def _run(arrays: Arrays, settings: Settings, rng: Any) -> FitResult:
    checkpoint = open_checkpoint(settings, rng)
    draws = RandomStreams(new_seed(rng) if checkpoint is None else checkpoint.seed)
    data, fresh = read_data(arrays, settings, draws)
    trained = new_model(data, settings, draws)
    if settings.sampling is not None:
        interruptible.call(require_step, trained.network, trained.theta)  # it compiles
    progress, config = Progress.start(trained.theta), loop_config(settings, data, trained.spec)
    record: Any = None
    if checkpoint is not None:
        prints = interruptible.call(fingerprint, data, settings, trained)
        prints |= {} if fresh is None else fresh.fingerprint
        prints |= fingerprint_of_state(settings.start.optimizer)
        record = partial(checkpoint.record, prints)
    state: OptimizerState | None = None
    with SigintGuard() as guard:
        evaluator = Evaluator(trained.network, settings.data.criterion.function)
        judge = data.validation and evaluator.resident(data.validation)
        update = trained.network.backend.update() or Update
        train_data = evaluator.resident(data.train)
        judging = judging_of(settings, data)
        given = evaluator, train_data, judge, guard, update, data.words, judging, fresh
        problem = Problem(*given, views=views_of([trained], progress))
        if settings.training.stochastic:
            optimizer = new_optimizer(progress, settings)
            outcome = train(problem, config, progress, optimizer, settings, draws, record)
            state = OptimizerState(settings.training.method, optimizer.steps, optimizer.state)
        else:
            objective = Objective(
                *(evaluator, data.train, settings.data.loss, settings.training.weight_decay),
                bptt_steps=config.bptt_steps,
                run=guard.run,
                resident=problem.train,
            )
            outcome = _minimize(objective, problem, config, progress, settings)
        worst = partial(bars, settings.data.criterion, data)
        ending = end(problem, config, progress, outcome, worst)
        begun = settings.start.model
        if judge is not None and begun is not None and not begun.is_new:
            warn_of_worse(problem, progress, ending.outcome, begun.theta)
    forecast = arrays.y is None if fresh is None else fresh.forecast
    read: dict[str, Any] = {"forecast": forecast, "data": data.words}
    if ending.per_series:
        read["per_series"] = ending.per_series
    if settings.data.weight is not None:
        read["weight"] = settings.data.weight
    return with_state(_result(trained, progress, ending, settings, read), state)


def read_data(
    arrays: Arrays, settings: Settings, draws: RandomStreams
) -> tuple[Data, FreshBatches | None]:
    """The data of a fit; of fresh batches those of the first one."""
    start, outputs = _given(settings.start.model), settings.network.output_size
    given = settings.data, settings.dtype, draws, start, outputs
    if not is_stream(arrays.X):
        require_forward(settings, arrays.forecasts or settings.data.horizon is not None)
        read = prepare if settings.data.window is None else prepare_windows
        with settings.naming_window():
            return read(arrays, *given), None
    with settings.naming_window():
        require_streamable(settings, arrays)
    fresh = prepare_batches(arrays, *given)
    require_forward(settings, fresh.forecast)
    return fresh.data, fresh


def judging_of(settings: Settings, data: Data, members: int | None = None) -> Judging | None:
    """The metrics of a fit, if any were asked for."""
    stateful = settings.data.stateful
    metrics, loss = settings.run.metrics, settings.data.criterion
    return Judging.of(metrics, data, loss, stateful=stateful, members=members)


def _given(model: LSTM | None) -> GivenModel | None:
    if model is None:
        return None
    return GivenModel(
        *(model.num_features, model.spec.width, model.scaling, model.filling, model.names),
        ahead=model.ahead,
        static_size=model.spec.static_size,
    )


def new_model(data: Data, settings: Settings, draws: RandomStreams) -> LSTM:
    """A model of its own for the result: fresh, or a copy of the one given."""
    start, given = settings.start, settings.start.model
    has_head = given is None or given.spec.output_size is not None
    spec = replace(
        settings.network,
        input_size=data.train.num_inputs,
        output_size=data.output_size if has_head else None,
        static_size=size_of(data.train.static),
    )
    theta = drawn(spec, draws.stream(INITIAL), start.init) if given is None else given.theta.copy()
    model = LSTM.from_spec(spec, start.backend, theta)
    model.scaling, model.filling, model.names = data.scaling, data.filling, data.names
    model.window = settings.data.window
    # of a window the last output is that of the step; only the reverse half has to begin there
    each_step = model.window is not None and not spec.bidirectional
    model.output = "last" if data.train.last and not each_step else "sequence"
    model.forecasts, model.ahead = data.forecasts, data.ahead
    return model


def loop_config(settings: Settings, data: Data, spec: NetworkSpec) -> LoopConfig:
    """What a run of these settings on these data needs."""
    return LoopConfig(
        training=settings.training,
        batch_size=settings.data.batch_size,
        bptt_steps=data.bptt_steps,
        limits=settings.training.limits.on(spec),
        sampling=settings.sampling,
    )


def new_optimizer(progress: Progress, settings: Settings) -> Optimizer:
    """The method of a run, as it begins, or goes on from that of a result given."""
    training = settings.training
    optimizer = OPTIMIZERS[training.method](
        progress.theta.size, settings.dtype, training.weight_decay, training.constants
    )
    if settings.start.optimizer is not None:
        settings.start.optimizer.restore(optimizer)
    return optimizer


def train(
    problem: Problem,
    config: LoopConfig,
    progress: Progress,
    optimizer: Optimizer,
    settings: Settings,
    draws: RandomStreams,
    record: Callable[[Progress, Optimizer], Record] | None = None,
) -> Outcome:
    """Run a stochastic method; `record` puts it where a stored run stood, and gives its writer."""
    if config.limits is not None:
        progress.project(config.limits)
    writer = record and record(progress, optimizer)
    with _listeners(progress, settings, problem, writer) as listeners:
        return Trainer(problem, config, progress, optimizer, draws, listeners).run()


def _minimize(
    objective: Objective,
    problem: Problem,
    config: LoopConfig,
    progress: Progress,
    settings: Settings,
) -> Outcome:
    """Run a method of SciPy's."""
    training = settings.training
    solver = Solver(training.method, training.constants, training.limits.constraints)
    with _listeners(progress, settings, problem) as listeners:
        return Minimizer(problem, objective, config, progress, solver, listeners).run()


def _listeners(
    progress: Progress, settings: Settings, problem: Problem, record: Record | None = None
) -> Listeners:
    run = settings.run
    bar = Bar(run.progress, settings.training.epochs, progress, problem.words)
    return Listeners(progress, bar, callback=run.callback, record=record, views=problem.views)


def _result(
    model: LSTM, progress: Progress, ending: Ending, settings: Settings, read: dict[str, Any]
) -> FitResult:
    """The result at the best parameters where a fit is judged, else at the last ones."""
    model.theta = ending.x
    return FitResult(
        model=model,
        x=ending.x,
        fun=ending.fun,
        nit=progress.epoch,
        nfev=progress.updates,
        success=ending.outcome.success,
        status=ending.outcome.status,
        message=ending.outcome.message,
        history=by_name(progress.history),
        output=model.output,
        fixed=settings.training.limits.fixed,
        loss=settings.data.loss,
        **read,
    )
