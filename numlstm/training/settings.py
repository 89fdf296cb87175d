"""The choices of a fit other than its data: keywords in nouns, and the checks between them."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import numpy as np

from numlstm import backends
from numlstm.architecture.parameters import Init
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.data.preparation import DataConfig
from numlstm.model.lstm import LSTM
from numlstm.optim import schedules
from numlstm.optim.bounds import LimitsConfig
from numlstm.optim.optimizers import OPTIMIZERS, OptimizerState
from numlstm.training.judging import Metric, read_metrics, require_sense
from numlstm.training.methods import BOUNDED, CONSTRAINED, HESSIAN, LEAST_SQUARES, METHODS
from numlstm.training.result import FitResult, state_of
from numlstm.training.scheduled_sampling import Sampling, require_able
from numlstm.utils import checks, files, notices, nouns
from numlstm.utils.nouns import Noun, option

T = TypeVar("T")
P = ParamSpec("P")


def _method(name: str, value: Any) -> str:
    """The method's name as we spell it, in whatever case it was given."""
    names = {known.lower(): known for known in (*OPTIMIZERS, *METHODS)}
    if not isinstance(value, str) or value.lower() not in names:
        raise ValueError(
            f"{name} must be one of {list(names.values())}, received {checks.shown(value)}"
        )
    return names[value.lower()]


def _schedule(name: str, value: Any) -> str | Callable[[int], float] | None:
    schedules.get(value)  # refuses an unknown one
    schedule: str | Callable[[int], float] | None = value
    return checks.plain(schedule) if isinstance(schedule, str) else schedule


def _options(name: str, value: Any) -> Mapping[str, Any] | None:
    if value is None or (isinstance(value, Mapping) and all(isinstance(k, str) for k in value)):
        return dict(value or {}) or None
    raise TypeError(f"{name} must be a dict from names to values, received {checks.shown(value)}")


_positive = partial(checks.optional, checks.real, above=0.0)


@dataclass(frozen=True)
class TrainingConfig(Noun):
    """How the parameters are found: the method, its constants, and when it ends."""

    method: str = option("adam", _method)
    learning_rate: float | None = option(None, _positive, full_batch=False)
    schedule: str | Callable[[int], float] | None = option(None, _schedule, full_batch=False)
    weight_decay: float = option(0.0, partial(checks.real, least=0.0))
    clip: float | None = option(1.0, _positive, full_batch=False)
    epochs: int = option(100, checks.size, later=True)
    patience: int | None = option(None, partial(checks.optional, checks.size), later=True)
    tol: float | None = option(None, partial(checks.optional, checks.real), later=True)
    options: Mapping[str, Any] | None = option(None, _options)
    limits: LimitsConfig = option(LimitsConfig(), partial(nouns.read, LimitsConfig))

    def __post_init__(self) -> None:
        """Check the values, and the options by the method."""
        super().__post_init__()
        constants = self.constants if self.stochastic else {}
        if constants:  # as they are used, in whatever form they were given
            object.__setattr__(self, "options", {**(self.options or {}), **constants})
        if constants.get("nesterov") and not constants.get("momentum"):
            raise ValueError("nesterov=True needs a momentum above 0")

    def require_held(self, dtype: str) -> None:
        """Refuse constants that a dtype rounds to 0, where they do nothing, or to infinity."""
        checks.held("weight_decay", self.weight_decay, dtype)
        if self.stochastic:
            checks.held("clip", self.clip, dtype)
            checks.held("learning_rate", min(self.rate, 1.0), dtype)  # a huge one ends in words
            for name in self.constants.keys() & {"eps", "momentum"}:
                checks.held(name, self.constants[name], dtype)

    @property
    def stochastic(self) -> bool:
        """Whether the method is one of ours, with batches and updates."""
        return self.method in OPTIMIZERS

    @property
    def rate(self) -> float:
        """The learning rate, or the method's own; 0 for SciPy's, which have none."""
        if self.learning_rate is not None:
            return self.learning_rate
        return OPTIMIZERS[self.method].rate if self.stochastic else 0.0

    @property
    def constants(self) -> dict[str, Any]:
        """The method's further constants; those of SciPy's methods are checked there."""
        given = dict(self.options or {})
        if not self.stochastic:
            return given
        known = OPTIMIZERS[self.method].defaults
        return {name: _constant(name, given[name]) for name in known if name in given}

    @property
    def unknown_options(self) -> list[str]:
        """Options that a method of ours does not have."""
        known = OPTIMIZERS[self.method].defaults if self.stochastic else self.options or {}
        return [str(name) for name in self.options or {} if name not in known]


def _constant(name: str, value: Any) -> Any:
    if name == "nesterov":
        return checks.flag(name, value)
    if name == "betas":
        if not isinstance(value, (tuple, list, np.ndarray)) or len(value) != 2:
            raise ValueError(f"betas must be two numbers, received {checks.shown(value)}")
        return tuple(checks.real("betas", beta, least=0.0, below=1.0) for beta in value)
    if name == "alpha":
        return checks.real(name, value, least=0.0, below=1.0)
    return checks.real(name, value, least=0.0)


def _callback(name: str, value: Any) -> Callable[..., Any] | None:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable, received {type(value)}")
    callback: Callable[..., Any] | None = value
    return callback


def _path(name: str, value: Any) -> str | None:
    return None if value is None else files.path_of(value, name)


@dataclass(frozen=True)
class RunConfig(Noun):
    """How a run is watched and stored; its numbers do not depend on it."""

    callback: Callable[..., Any] | None = option(None, _callback)
    progress: bool | None = option(None, partial(checks.optional, checks.flag))
    checkpoint: str | os.PathLike[str] | None = option(None, _path, full_batch=False)
    resume: bool = option(False, checks.flag, full_batch=False)
    metrics: tuple[Metric, ...] | None = option(None, read_metrics)

    def __post_init__(self) -> None:
        """Check the values, and that there is a file to resume from."""
        super().__post_init__()
        if self.resume and self.checkpoint is None:
            raise ValueError("resume=True needs checkpoint=, the file to go on from")


class Start(NamedTuple):
    """First values of the parameters of a fit, and the backend."""

    init: Init = Init()
    model: LSTM | None = None  # to start from
    backend: str = "auto"
    keeps_dropout: bool = True  # whether the rates of a model given stay
    optimizer: OptimizerState | None = None  # to go on with, of a result given


@dataclass(frozen=True)
class Settings:
    """All choices of a fit, checked against each other."""

    network: NetworkSpec  # but for the sizes of input and output, which the data say
    start: Start  # with the backend of the model, where one is given
    data: DataConfig
    training: TrainingConfig
    run: RunConfig
    takes_window: bool = False  # whether it is that of the model given, of which the call says none

    @contextmanager
    def naming_window(self) -> Iterator[None]:
        """Say in errors that name windows where a call has one that it does not say."""
        try:
            yield
        except (TypeError, ValueError) as error:
            if not self.takes_window or "window" not in str(error):
                raise
            raise type(error)(
                f"{error} (window= is not said, and so is {self.data.window}, that of the model "
                "given: for a fit on whole sequences set model.window = None before)"
            ) from error

    @property
    def dtype(self) -> str:
        """Type of parameters and arithmetic."""
        return self.network.dtype

    @property
    def sampling(self) -> Sampling | None:
        """Scheduled sampling over the epochs of the fit."""
        asked = self.data.scheduled_sampling
        return None if asked is None else Sampling(asked, self.training.epochs)


def settle(
    network: NetworkSpec,
    start: Start,
    data: DataConfig,
    training: TrainingConfig,
    run: RunConfig = RunConfig(),
) -> Settings:
    """The settings of a fit: what was asked for, or what a given model has."""
    asked = network, data, training, run
    if start.model is not None:
        _require_units(start.model, data)
        network, data = _of_the_model(network, start.model, start, data)
        start = start._replace(backend=start.model.network.backend.name)
    else:
        # the data will say how many outputs there are
        headed = network.direct_input and network.output_size is None
        (replace(network, output_size=1) if headed else network).require_sense()
        start.init.require_sense(network.cell, network.hidden_size, network.dtype)
        if not training.stochastic:
            network = replace(network, dropout=Dropout())
    training.require_held(network.dtype)
    own = asked[1].window is None and data.window is not None
    settings = Settings(network, start, data, training, run, takes_window=own)
    with settings.naming_window():
        _require_whole_sequences(settings)
        _require_windows(settings)
    _require_able(settings)
    _warn_unused(settings, asked)
    return settings


def agreeing(function: Callable[P, T]) -> Callable[P, T]:
    """Refuse what a call says of the network beside `model=` and is not true of the model.

    What is said counts, not what differs from a default: only the call knows it.
    """

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if kwargs.get("model") is not None:
            _require_agreement(_model_of(kwargs["model"]), kwargs)
        return function(*args, **kwargs)

    return checked


def _model_of(given: Any) -> Any:
    """The model of a result, or what else was given as one."""
    return given.get("model") if isinstance(given, FitResult) else given


def begun_with(
    init: Init,
    given: LSTM | FitResult | None,
    backend: str,
    training: TrainingConfig,
    *,
    keeps_dropout: bool,
) -> Start:
    """The start that `model=` asks for; of a result with the state of its optimiser."""
    model = _model_of(given)
    state = _state_of(given, training.method) if isinstance(given, FitResult) else None
    return Start(init, model, backend, keeps_dropout, state)


def _state_of(result: FitResult, method: str) -> OptimizerState | None:
    """What a result's optimiser can go on with; a warning where there is nothing of that kind."""
    state = state_of(result)
    if method not in OPTIMIZERS:
        why = f"method {method!r} keeps no state of the updates before"
    elif state is None:
        why = "the result given has no state of an optimiser: its method was one of SciPy's"
    elif state.method != method:
        why = f"the result given is of method {state.method!r}, whose state {method!r} cannot use"
    elif not state.fits(result.model.theta):
        why = "the state of the result's optimiser is not finite, or not of its model's parameters"
    else:
        return state
    notices.warn_optimize(
        f"{why}: {method!r} begins anew from the parameters, as with model=result.model"
    )
    return None


# what None says something of; all else it leaves to the model
_NONE_SAYS = ("proj_size", "precision")


def _require_agreement(model: Any, said: Mapping[str, Any]) -> None:
    if not isinstance(model, LSTM):
        raise TypeError(
            f"model must be a numlstm.LSTM or a FitResult, received {type(model)}: of a file pass "
            "numlstm.load(path)"
        )
    said = {k: value for k, value in said.items() if value is not None or k in _NONE_SAYS}
    if "init" in said:
        _refuse_init(said["init"])
    meaning = {f.name: f.metadata["check"] for f in (*fields(NetworkSpec), *fields(DataConfig))}
    meaning["backend"] = lambda _, name: backends.get(name).name  # what "auto" is here
    for name, has in _keywords_of(model).items():
        if name == "missing" and _may_mask(model):  # the data say whether they fit
            continue
        if name in said and meaning[name](name, said[name]) != has:
            raise ValueError(
                f"{name}={_in_short(said[name])!r} does not go with the model given, which has "
                f"{_in_short(has)!r}: leave {name} out, or start without model="
                + f", or pass model.astype({said[name]!r})"
                * (name == "dtype")
            )


def _refuse_init(value: Any) -> NoReturn:
    init = nouns.read(Init, "init", value)
    names = value if isinstance(value, Mapping) else init.changed()
    shown = {name: getattr(init, name) for name in names}
    raise ValueError(
        f"init={shown} does not go with the model given, whose parameters are there: "
        "leave init out, or start without model="
    )


def _keywords_of(model: LSTM) -> dict[str, Any]:
    """What a model has by the names of keywords, but for the rates of dropout: they may change."""
    has = {option.name: getattr(model.spec, option.name) for option in fields(NetworkSpec)}
    del has["dropout"]
    return has | {"missing": _missing(model)} | {"backend": model.network.backend.name}


def _missing(model: LSTM) -> str:
    return "raise" if model.filling is None else "mask"


def _in_short(value: Any) -> Any:
    return value.changed() if isinstance(value, Noun) else value


def _may_mask(model: LSTM) -> bool:
    """Whether inputs of a model may become mask channels: those of a new one are nothing yet."""
    return model.is_new and model.filling is None


def _require_units(model: LSTM, data: DataConfig) -> None:
    """Refuse a model of which nobody says what units its parameters are for."""
    if data.standardize is None and model.scaling is None and not model.is_new:
        raise ValueError(
            "the model given has no scaling, and its parameters are not those that it was drawn "
            "with: pass standardize=True to shift and scale the data as for a new model, or "
            "standardize=False where they are in the network's units"
        )


def _of_the_model(
    network: NetworkSpec, model: LSTM, start: Start, data: DataConfig
) -> tuple[NetworkSpec, DataConfig]:
    """The network and the rule for missing inputs of a model given; its window if none is said."""
    dropout = model.spec.dropout if start.keeps_dropout else network.dropout
    missing = data.missing if _may_mask(model) else _missing(model)
    window = model.window if data.window is None else data.window
    return replace(model.spec, dropout=dropout), replace(data, missing=missing, window=window)


def _require_whole_sequences(settings: Settings) -> None:
    """The reverse direction of a bidirectional network begins at the end of a sequence."""
    if not settings.network.bidirectional:
        return
    for name in ("bptt_steps", "stateful"):
        if getattr(settings.data, name):
            raise ValueError(
                f"{name} cuts sequences into windows and carries the state from one to the next; "
                "a bidirectional network reads them from the end too, and needs them whole: leave "
                f"{name} out, or cut the series into sequences of their own"
            )


def require_forward(settings: Settings, forecasts: bool) -> None:
    """Refuse forecasts of networks that read what is to be forecast; a window ends before it."""
    if settings.network.bidirectional and forecasts and settings.data.window is None:
        raise ValueError(
            "a bidirectional network reads a sequence from its end too, so that it would see the "
            "values that it is to forecast: leave bidirectional out, pass targets as y, or pass "
            "window=, windows that end before what is forecast"
        )


def _require_windows(settings: Settings) -> None:
    """Refuse what does not go with windows, and what goes with windows alone."""
    data, network = settings.data, settings.network
    if data.window is None:
        for name in ("stride", "predict_last", "shuffle"):
            if name in data.changed():
                raise ValueError(
                    f"{name}={getattr(data, name)!r} is of windows over series: pass window= too, "
                    "the number of steps of each"
                )
        return
    if data.predict_last > data.window:
        raise ValueError(
            f"predict_last={data.predict_last} is more than the steps of a window, {data.window}"
        )
    if data.output == "last":
        raise ValueError(
            "window= cuts samples out of series that have a target for every step, and "
            "output='last' means one target for each sequence: say output='sequence' and give y "
            "a target per step; a sample's is that of its last step"
        )
    if data.stateful:
        raise ValueError(
            "window= and stateful=True are two ways to train on long series: windows begin in the "
            "initial state, in any order, streams carry it on from one to the next; leave one out"
        )
    if data.scheduled_sampling is not None:
        raise ValueError(
            "scheduled_sampling runs freely over whole sequences, and window= asks for the end of "
            "each window alone: leave one out"
        )
    if network.bidirectional and data.predict_last > 1:
        raise ValueError(
            "predict_last needs outputs of several steps of a window, and those of a bidirectional "
            "network before the last have read what comes after them: leave it out"
        )
    if settings.training.method == LEAST_SQUARES:
        raise ValueError(
            "method 'least_squares' needs the residuals of all windows at once: pass another "
            "method, as 'L-BFGS-B', or windows that are laid out"
        )


def _require_able(settings: Settings) -> None:
    """Refuse what the method cannot do."""
    method, data = settings.training.method, settings.data
    require_sense(settings.run.metrics or (), data.criterion, data.loss)
    if data.weight is not None and not data.criterion.regression:
        raise ValueError(
            f"weight={data.weight!r} divides by the spread of a series' targets, and "
            f"loss={data.loss!r} has classes for targets: weights of sequences or steps are "
            "sample_weight="
        )
    for name, able in (("bounds", (*OPTIMIZERS, *BOUNDED)), ("constraints", CONSTRAINED)):
        if getattr(settings.training.limits, name) and method not in able:
            raise ValueError(f"method {method!r} knows no {name}; these do: {', '.join(able)}")
    if method == LEAST_SQUARES and data.loss != "mse":
        raise ValueError(
            f"method 'least_squares' needs loss='mse', received {data.loss!r}; for a robust "
            "fit pass options={'loss': 'huber'} or 'soft_l1'"
        )
    if method in (*HESSIAN, LEAST_SQUARES) and data.bptt_steps is not None:
        raise ValueError(
            f"method {method!r} needs exact derivatives of whole sequences, and bptt_steps "
            "truncates them: leave it out, or use a method of gradients alone"
        )
    if data.scheduled_sampling is not None:
        stochastic, missing = settings.training.stochastic, data.missing == "mask"
        require_able(settings.network, data.criterion, stochastic, missing)


def _warn_unused(settings: Settings, asked: tuple[Noun, ...]) -> None:
    """SciPy's manners: what is asked for and cannot be done is said."""
    training = settings.training
    if not training.stochastic:
        for name in sorted(name for noun in asked for name in noun.unused_on_full_batches()):
            notices.warn_optimize(f"Method {training.method} does not use {name}.")
    if unknown := training.unknown_options:
        known = ", ".join(OPTIMIZERS[training.method].defaults)
        said = f"Unknown solver options of {training.method!r}: {', '.join(unknown)}"
        notices.warn_optimize(f"{said}; it has {known}")
    if settings.network.num_layers == 1 and settings.network.dropout.layers > 0:
        notices.warn_optimize("dropout lies between layers: with num_layers=1 it does nothing.")
