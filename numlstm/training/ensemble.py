"""numlstm.ensemble: many networks on the same data, trained side by side in one call per step."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.data import labels
from numlstm.data.arrays import Arrays
from numlstm.data.batches import is_stream
from numlstm.data.preparation import DataConfig
from numlstm.data.sequences import Dataset
from numlstm.model.lstm import LSTM
from numlstm.objectives.evaluator import Evaluator
from numlstm.objectives.member_evaluator import MemberData, MemberEvaluator
from numlstm.optim.bounds import LimitsConfig
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.checkpoints import open_checkpoint
from numlstm.training.ending import bars, end
from numlstm.training.fingerprints import fingerprint_of_members
from numlstm.training.fit import (
    judging_of,
    loop_config,
    new_model,
    new_optimizer,
    read_data,
    train,
)
from numlstm.training.interrupt import SigintGuard
from numlstm.training.keywords import IN_ENSEMBLES
from numlstm.training.listeners import views_of
from numlstm.training.loop import Problem
from numlstm.training.progress import Progress, by_name
from numlstm.training.settings import (
    RunConfig,
    Settings,
    Start,
    TrainingConfig,
    settle,
)
from numlstm.training.update import MemberUpdate
from numlstm.utils import checks, interruptible, nouns
from numlstm.utils.nouns import suggesting
from numlstm.utils.random_streams import MEMBERS, RandomStreams, new_seed


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained networks, the members, and their joint prediction; made by `numlstm.ensemble`.

    Attributes
    ----------
    models : sequence of LSTM
        The members.
    history : dict of str to ndarray
        The names of `FitResult.history`, one value per epoch, the mean over members; and for each
        of "loss", "gradient_norm", "validation_loss" and the metrics those of the members,
        (epochs, M), by names such as "loss_members".
    success : bool
        Whether what was asked for happened, with `status` and `message` as in `FitResult`.
    status : int
        0 a goal was reached by all members, or none was set; else as in `FitResult`.
    message : str
        Status in words.
    data : str
        What was read, as in `FitResult`.
    per_series : dict of str to ndarray
        Metrics of every member and series, (M, S), as in `FitResult`.
    fun : ndarray, shape (M,)
        Mean training loss of every member, as in `FitResult`.
    nit : ndarray, shape (M,)
        Number of epochs that every member was trained: up to its own goal, where it reached one.
    reached : ndarray of bool, shape (M,)
        Whether a member reached a goal: that of `tol`, `patience` or the callback.
    """

    models: Sequence[LSTM]
    history: dict[str, np.ndarray]
    success: bool = True
    status: int = 0
    message: str = "All epochs were run."
    data: str = ""
    per_series: dict[str, np.ndarray] = field(default_factory=dict)
    fun: np.ndarray = field(default_factory=lambda: np.empty(0))
    nit: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    reached: np.ndarray = field(default_factory=lambda: np.empty(0, bool))

    if not TYPE_CHECKING:  # it would tell them that any attribute exists

        def __getattr__(self, name: str) -> NoReturn:
            """Refused; what its models have is pointed to."""
            message, models = f"an Ensemble has no {name!r}", vars(self).get("models")
            if models and not name.startswith("_") and hasattr(models[0], name):
                message += f", each of its models has: write ensemble.models[0].{name}"
            raise AttributeError(message)

    def __repr__(self) -> str:
        """How many members, of what kind, of what data, and how training ended."""
        said = "; ".join(filter(None, (repr(self.models[0]), self.data, self.message)))
        return f"<Ensemble of {len(self.models)}: {said}>"

    def predict(
        self,
        X: Any,
        *,
        future: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        noise_rng: Any = None,
    ) -> tuple[Any, Any]:
        """Mean and spread (standard deviation) of the members' predictions.

        Both have the form and labels of `LSTM.predict`.

        Parameters
        ----------
        X : array_like, or list of arrays
            Sequences, as for `LSTM.predict`.
        future, lengths, reset, static, noise_rng : optional
            As for `LSTM.predict`.

        Returns
        -------
        mean : ndarray, or list of ndarray
            Over the members, in the units of the data.
        spread : ndarray, or list of ndarray
            Standard deviation over the members.
        """
        first = self.models[0]
        given, lengths, reset = labels.with_rows(X, first.names, lengths, reset)
        rows = {"lengths": lengths, "reset": reset, "noise_rng": noise_rng}
        rows["future"] = first._known(given, future)
        rows["static"] = labels.attributes(given, static, first.names.static).values
        with labels.named(given):
            each = [model.predict(given.stepwise, **rows) for model in self.models]
        return _restored(given, each, first.output_names)

    def forecast(
        self, X: Any, horizon: int | None = None, *, future: Any = None, static: Any = None
    ) -> tuple[Any, Any]:
        """Mean and spread (standard deviation) of the members' forecasts.

        Both have the form and labels of `LSTM.forecast`. Where forecasts are fed back, every member
        feeds back its own.

        Parameters
        ----------
        X : array_like, or list of arrays
            What was observed, as for `LSTM.forecast`.
        horizon, future, static : optional
            As for `LSTM.forecast`.

        Returns
        -------
        mean : ndarray, or list of ndarray
            Over the members, in the units of the data.
        spread : ndarray, or list of ndarray
            Standard deviation over the members.
        """
        each = [model._after(X, horizon, future, static) for model in self.models]
        return _restored(each[0][0], [Y for _, Y in each], self.models[0].names)


def _restored(x: labels.Labelled, each: list[Any], names: labels.Names) -> tuple[Any, Any]:
    """Mean and spread of what the members have, with labels."""
    mean, spread = _mean_and_spread(each)
    return x.restore(mean, names), x.restore(spread, names)


def _mean_and_spread(each: list[Any]) -> tuple[Any, Any]:
    """Mean and spread of arrays, or of lists of arrays."""
    if isinstance(each[0], list):
        parts = [np.stack(part) for part in zip(*each, strict=True)]
        return [part.mean(axis=0) for part in parts], [_spread(part) for part in parts]
    return np.mean(each, axis=0), _spread(np.stack(each))


def _spread(each: np.ndarray) -> np.ndarray:
    """Standard deviation over members, with squares that stay in range."""
    _, exponent = np.frexp(np.max(np.abs(each), initial=0.0))
    spread: np.ndarray = np.ldexp(np.ldexp(each, -exponent).std(axis=0), exponent)
    return spread


@suggesting({"cell": Cell, "init": Init, "limits": LimitsConfig}, SYNONYMS, IN_ENSEMBLES)
def ensemble(
    X: Any,
    y: Any = None,
    *,
    members: int = 16,
    bootstrap: bool | None = None,
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
    dtype: Any = "float32",
    backend: str = "auto",
    precision: str | None = None,
    options: Mapping[str, Any] | None = None,
    limits: LimitsConfig | Mapping[str, Any] | None = None,
) -> Ensemble:
    """Train several networks on the same data at once; their spread says how sure they are.

    All members see the same batches. They differ in their initial weights and, with `bootstrap`, in
    how often every sequence counts.

    Parameters
    ----------
    X, y : array_like, or X an iterable or callable
        As in `fit`; of batches that X yields all members learn from each.
    members : int, optional
        How many networks.
    bootstrap : bool, optional
        Every member has a resample of the sequences of its own, drawn with replacement, as weights
        (Efron & Tibshirani 1993, "An introduction to the bootstrap"). A resample without any target
        that has a weight is drawn again: the bootstrap is conditional on at least one. False, as
        one series alone needs: they differ in their initial weights alone (Lakshminarayanan et al.
        2017, "Deep ensembles"). Default: True, but for batches that X yields, which are never
        resampled.
    hidden_size, num_layers, bidirectional, residual : optional
        As in `fit`, for every member.
    learned_state, proj_size, direct_input, cell, init, output_size : optional
        As in `fit`, for every member.
    output, loss, sample_weight, weight, lengths, reset, future, horizon, static : optional
        As in `fit`.
    method : {"adam", "adamw", "sgd", "rmsprop"}, optional
        One of the stochastic methods.
    learning_rate, schedule, weight_decay : optional
        As in `fit`.
    dropout : optional
        Refused, as `scheduled_sampling` is: what one network at a time can do; for them call `fit`
        for each member.
    clip : float, optional
        Largest norm of a member's gradient.
    batch_size, epochs : int, optional
        As in `fit`.
    bptt_steps, stateful : optional
        As in `fit`; every member carries its own state. With `bootstrap` and `stateful`, the
        parallel parts of the series are what is resampled.
    scheduled_sampling : optional
        Refused.
    validation : float, tuple or dict, optional
        As in `fit`, the same data for all members; each keeps the parameters of its own best epoch.
    patience, tol : optional
        As in `fit`, for every member: one that reaches a goal changes no more, its losses stay as
        they are, and training ends when all have reached one.
    metrics : optional
        As in `fit`, of every member; on the training data those of the sequences that it has drawn.
    standardize, nan_policy, missing : optional
        As in `fit`. All members have one scaling, that of the data and not of a resample.
    rng : None, int, or numpy.random.Generator, optional
        Source of all randomness.
    callback : callable, optional
        As in `fit`: `x` is (M, n), `fun` the mean of the members' losses, every name of the
        history is there, and `models` are the members as they stand. True ends the training; an
        array of truth values, (M,), ends that of the members where it is True, which then change
        no more, while the others go on.
    progress : bool, optional
        As in `fit`.
    checkpoint, resume : optional
        As in `fit`. A resumed ensemble may have more epochs, but not another `patience` or `tol`.
    dtype, backend, precision, options, limits : optional
        As in `fit`. Constraints are for SciPy's methods.

    Returns
    -------
    ensemble : Ensemble
        With ``models``, ``history``, ``predict(X) -> (mean, spread)``, and ``success``,
        ``status``, ``message`` and ``data`` as those of a fit. Ctrl-C ends it the same way, and so
        does a loss that becomes NaN or infinite in any member.

    Raises
    ------
    ValueError, TypeError
        As `fit`; for dropout, scheduled sampling and SciPy's methods; and for a single sequence
        with ``bootstrap=True``, of which there is no resample.

    Notes
    -----
    On the backend "cpu" layers train all members in one call of the kernels per layer and step, or,
    where their tapes would not fit the processor's caches, as many as do, with any variant of the
    cell. With `proj_size`, `learned_state`, `bidirectional` or `residual`, with `reset` or
    `static`, and on other backends, the members take turns within a step. The
    numbers of a member do not depend on which way it is. A member that drew no target of a batch,
    or window, makes no update there: but for the scaling it learns what `fit` does with its counts
    as weights. Of fresh batches it learns what ``fit`` from its initial weights does with the same
    `rng`: all members see the one stream that this draws.

    Examples
    --------
    >>> import numpy as np, numlstm
    >>> X = np.random.default_rng(0).standard_normal((20, 10, 1))
    >>> many = numlstm.ensemble(X, np.cumsum(X, axis=1), members=4, epochs=5, rng=0)
    >>> mean, spread = many.predict(X)
    >>> mean.shape, spread.shape, bool((spread > 0).all())
    ((20, 10, 1), (20, 10, 1), True)

    Which of four starts learn to add, from sequences that never come again:

    >>> def sums(rng, n):
    ...     X = rng.uniform(0, 1, (n, 5, 1))
    ...     return X, X.sum(axis=1)
    >>> def done(intermediate_result):
    ...     return intermediate_result.loss_members < 0.3
    >>> many = numlstm.ensemble(sums, members=4, hidden_size=4, epochs=200, callback=done, rng=0)
    >>> many.message, many.reached.tolist(), bool((many.nit < 200).all())
    ('`callback` returned True.', [True, True, True, True], True)
    """
    members = checks.size("members", members)
    checks.optional(checks.flag, "bootstrap", bootstrap)
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
    _require_able(network, reading, training)
    start = Start(nouns.read(Init, "init", init), backend=backend)
    settings = settle(network, start, reading, training, run)
    arrays = Arrays(X, y, sample_weight, lengths, reset, future, static, validation)
    bootstrap = not is_stream(X) if bootstrap is None else bootstrap
    if bootstrap and is_stream(X):
        raise ValueError(
            "bootstrap=True resamples sequences that are all there, and X yields batches, of which "
            "every one is fresh: leave it out, and the members differ in their initial weights"
        )
    return _trained(arrays, settings, members, bootstrap, rng)


def _require_able(network: NetworkSpec, data: DataConfig, training: TrainingConfig) -> None:
    """Refuse what the members cannot do side by side."""
    alone = "call fit for each member"
    if not training.stochastic:
        raise ValueError(
            f"ensemble trains with one of {', '.join(OPTIMIZERS)}, which take a step with all "
            f"members at once; method={training.method!r} minimises one function: {alone}"
        )
    if network.dropout != Dropout():
        raise ValueError(
            "ensemble trains without dropout: the members' kernels draw no masks, and seeds and "
            f"resamples already make them differ; leave it out, or {alone}"
        )
    if data.scheduled_sampling is not None:
        raise ValueError(
            "ensemble does not take scheduled_sampling, whose steps run one network at a time: "
            f"{alone}"
        )


def _resamples(data: Dataset, stream: np.random.Generator, members: int) -> np.ndarray:
    """How often every member has each sequence, (M, B); all have a target with a weight."""
    count = len(data.X)
    counts = np.zeros((members, count), np.int64)
    while (empty := MemberData(data, counts).total_weight() == 0).any():
        counts[empty] = stream.multinomial(count, np.full(count, 1 / count), empty.sum())
    return counts


def _trained(
    arrays: Arrays, settings: Settings, members: int, bootstrap: bool, rng: Any
) -> Ensemble:
    checkpoint = open_checkpoint(settings, rng)
    draws = RandomStreams(new_seed(rng) if checkpoint is None else checkpoint.seed)
    data, fresh = read_data(arrays, settings, draws)
    count = len(data.train.X)
    if bootstrap and count == 1:
        raise ValueError(
            "every member learns from a resample of the sequences (bootstrap=True, the default), "
            "which needs several, and X is one: pass bootstrap=False, and the members differ in "
            "their initial weights alone"
        )
    stream = draws.stream(MEMBERS)
    counts = np.ones((members, count), np.int64)  # first: no memory holds members without limit
    models = [new_model(data, settings, RandomStreams(new_seed(stream))) for _ in range(members)]
    if bootstrap:
        counts = _resamples(data.train, stream, members)
    record = None
    if checkpoint is not None:
        prints = interruptible.call(fingerprint_of_members, data, settings, models, counts)
        prints |= {} if fresh is None else fresh.fingerprint
        record = partial(checkpoint.record, prints)
    progress = Progress.start(np.concatenate([model.theta for model in models]), members)
    config = loop_config(settings, data, models[0].spec)
    if config.limits is not None:
        config = replace(config, limits=config.limits.repeated(members))
    with SigintGuard() as guard:
        evaluator = MemberEvaluator(
            Evaluator(models[0].network, settings.data.criterion.function), members
        )
        judge = data.validation and evaluator.resident(data.validation)
        train_data = MemberData(data.train, counts)
        judging = judging_of(settings, data, members)
        given = evaluator, train_data, judge, guard, MemberUpdate, data.words, judging, fresh
        problem = Problem(*given, views=views_of(models, progress))
        optimizer = new_optimizer(progress, settings)
        outcome = train(problem, config, progress, optimizer, settings, draws, record)
        worst = partial(bars, settings.data.criterion, data, train_data)
        ending = end(problem, config, progress, outcome, worst)
    for model, theta in zip(models, ending.x, strict=True):
        model.theta = theta
    return Ensemble(
        *(models, by_name(progress.history), *ending.outcome),
        data=data.words,
        per_series=ending.per_series,
        fun=np.asarray(ending.fun),
        nit=config.ends(progress),
        reached=np.array(config.finished(progress)),
    )
