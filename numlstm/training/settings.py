"""The choices of a fit other than its data, checked once; unused ones are warned about."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numlstm.architecture.keywords import (
    Start,
    describe,
    read_dropout,
    read_precision,
    read_start,
    read_variant,
    require_sense,
)
from numlstm.architecture.spec import Dropout, NetworkSpec
from numlstm.data.preparation import DataConfig
from numlstm.model.lstm import LSTM
from numlstm.optim import schedules
from numlstm.optim.bounds import read_bounds, read_constraints, read_fixed
from numlstm.optim.losses import LOSSES, Loss
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.methods import BOUNDED, CONSTRAINED, HESSIAN, LEAST_SQUARES, METHODS
from numlstm.training.scheduled_sampling import Sampling, read_sampling, require_able
from numlstm.utils import checks


@dataclass(frozen=True)
class Settings:
    """Arguments of `fit` by the same names, checked and with their defaults filled in."""

    spec: NetworkSpec  # but for the sizes of input and output, which the data say
    start: Start
    output: str | None
    loss: str
    method: str
    learning_rate: float
    schedule: Any
    weight_decay: float
    clip: float | None
    batch_size: int
    epochs: int
    bptt_steps: int | None
    stateful: bool
    sampling: Sampling | None
    patience: int | None
    tol: float | None
    standardize: bool | None
    nan_policy: str
    missing: str
    backend: str
    options: Mapping[str, Any]
    fixed: tuple[str, ...]
    bounds: Mapping[str, Any]
    constraints: tuple[Any, ...]

    @property
    def dtype(self) -> str:
        """Type of parameters and arithmetic."""
        return self.spec.dtype

    @property
    def data(self) -> DataConfig:
        """What concerns the data."""
        return DataConfig(
            loss=self.loss,
            dtype=self.dtype,
            output=self.output,
            nan_policy=self.nan_policy,
            missing=self.missing,
            standardize=self.standardize,
            stateful=self.stateful,
            bptt_steps=self.bptt_steps,
            batch_size=self.batch_size,
            scheduled_sampling=self.sampling is not None,
        )

    @property
    def stochastic(self) -> bool:
        """Whether the method is one of ours, with batches and updates."""
        return self.method in OPTIMIZERS

    @property
    def criterion(self) -> Loss:
        """The loss as a function."""
        return LOSSES[self.loss]


def read_settings(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Settings:
    """Settings from the arguments of `fit`; `defaults` are those of its signature."""
    method = _method(given["method"])
    checks.choice("loss", given["loss"], tuple(LOSSES))
    checks.choice("nan_policy", given["nan_policy"], ("raise", "omit"))
    checks.choice("missing", given["missing"], ("raise", "mask"))
    if given["output"] is not None:
        checks.choice("output", given["output"], ("sequence", "last"))
    checks.flag("stateful", given["stateful"])
    schedules.get(given["schedule"])
    numbers = _numbers(given, method)
    settings = Settings(
        **{name: given[name] for name in ("output", "loss", "schedule", "stateful", "nan_policy")},
        **numbers,
        **_of_the_network(given, defaults, method in OPTIMIZERS),
        method=method,
        standardize=given["standardize"],
        options=_options(method, given["options"]),
        sampling=read_sampling(given["scheduled_sampling"], numbers["epochs"]),
        fixed=read_fixed(given["fixed"]),
        bounds=read_bounds(given["bounds"]),
        constraints=read_constraints(given["constraints"]),
    )
    changed = {name for name in defaults if _differs(given[name], defaults[name])}
    _require_whole_sequences(settings)
    _require_able(settings)
    if settings.sampling is not None:
        missing = settings.missing == "mask"
        require_able(settings.spec, settings.criterion, settings.stochastic, missing)
    _warn_unused(settings, changed)
    return settings


def _require_whole_sequences(settings: Settings) -> None:
    """The reverse direction of a bidirectional network begins at the end of a sequence."""
    if not settings.spec.bidirectional:
        return
    for name in ("bptt_steps", "stateful"):
        if getattr(settings, name):
            raise ValueError(
                f"{name} cuts sequences into windows and carries the state from one to the next; "
                "a bidirectional network reads them from the end too, and needs them whole: leave "
                f"{name} out, or cut the series into sequences of their own"
            )


def _require_able(settings: Settings) -> None:
    """Refuse what a method of SciPy's cannot do."""
    method = settings.method
    for name, able in (("bounds", (*OPTIMIZERS, *BOUNDED)), ("constraints", CONSTRAINED)):
        if getattr(settings, name) and method not in able:
            raise ValueError(f"method {method!r} knows no {name}; these do: {', '.join(able)}")
    if method == LEAST_SQUARES and settings.loss != "mse":
        raise ValueError(
            f"method 'least_squares' needs loss='mse', received {settings.loss!r}; for a robust "
            "fit pass options={'loss': 'huber'} or 'soft_l1'"
        )
    if method in (*HESSIAN, LEAST_SQUARES) and settings.bptt_steps is not None:
        raise ValueError(
            f"method {method!r} needs exact derivatives of whole sequences, and bptt_steps "
            "truncates them: leave it out, or use a method of gradients alone"
        )


def _method(method: Any) -> str:
    """The method's name as we spell it, in whatever case it was given."""
    names = {name.lower(): name for name in (*OPTIMIZERS, *METHODS)}
    if not isinstance(method, str) or method.lower() not in names:
        raise ValueError(f"method must be one of {list(names.values())}, received {method!r}")
    return names[method.lower()]


def _numbers(given: Mapping[str, Any], method: str) -> dict[str, Any]:
    rate = given["learning_rate"]
    if rate is None:
        rate = OPTIMIZERS[method].rate if method in OPTIMIZERS else 0.0
    else:
        rate = checks.real("learning_rate", rate, above=0.0)
    return {
        "learning_rate": rate,
        "weight_decay": checks.real("weight_decay", given["weight_decay"], least=0.0),
        "clip": checks.optional(checks.real, "clip", given["clip"], above=0.0),
        "tol": checks.optional(checks.real, "tol", given["tol"]),
        **{name: checks.size(name, given[name]) for name in ("batch_size", "epochs")},
        **{
            name: checks.optional(checks.size, name, given[name])
            for name in ("bptt_steps", "patience")
        },
    }


def _of_the_network(
    given: Mapping[str, Any], defaults: Mapping[str, Any], stochastic: bool
) -> dict[str, Any]:
    """What the network is and how it begins: the arguments, or what a given model has."""
    sizes: dict[str, Any] = {
        name: checks.size(name, given[name]) for name in ("hidden_size", "num_layers")
    }
    dtype = checks.dtype(given["dtype"])
    precision = read_precision(given["precision"], dtype)
    asked = NetworkSpec(1, **sizes, dtype=dtype, **read_variant(given), precision=precision)
    dropout = read_dropout(given["dropout"]) if stochastic else Dropout()
    model = given["model"]
    if model is None:
        require_sense(asked)
        return {
            "spec": replace(asked, dropout=dropout),
            "start": read_start(given["forget_bias"], given["chrono"], asked.cell),
            **{name: given[name] for name in ("backend", "missing")},
        }
    if not isinstance(model, LSTM):
        raise TypeError(f"model must be a numlstm.LSTM, received {type(model)}")
    has = _described(model.spec, model.network.backend.name, model.filling is not None)
    mine = _described(asked, given["backend"], given["missing"] == "mask")
    mine |= {name: given[name] for name in ("forget_bias", "chrono")}
    for name, value in mine.items():
        if value not in (has.get(name), defaults[name]):
            raise ValueError(
                f"{name}={value!r} does not go with the model given, which has {has.get(name)!r}: "
                f"leave {name} out, or start without model="
            )
    changed = stochastic and _differs(given["dropout"], defaults["dropout"])
    spec = replace(model.spec, dropout=dropout) if changed else model.spec
    return {"spec": spec, "start": Start(), "backend": has["backend"], "missing": has["missing"]}


def _described(spec: NetworkSpec, backend: str, masked: bool) -> dict[str, Any]:
    """The keywords that must agree with those of a model that is given."""
    names = ("hidden_size", "num_layers", "dtype", "precision")
    missing = "mask" if masked else "raise"
    sizes = {name: getattr(spec, name) for name in names}
    return {**sizes, **describe(spec), "backend": backend, "missing": missing}


def _options(method: str, options: Any) -> Mapping[str, Any]:
    """The method's further constants, those of ours checked."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a dict, received {type(options)}")
    if method not in OPTIMIZERS:
        return dict(options)  # SciPy checks its own
    known = OPTIMIZERS[method].defaults
    if unknown := [name for name in options if name not in known]:
        _warn(f"Unknown solver options of {method!r}: {', '.join(map(str, unknown))}; "
              f"it has {', '.join(known)}")  # fmt: skip
    values = {name: _constant(name, options[name]) for name in known if name in options}
    if values.get("nesterov") and not values.get("momentum"):
        raise ValueError("nesterov=True needs a momentum above 0")
    return values


def _constant(name: str, value: Any) -> Any:
    if name == "nesterov":
        return bool(value)
    if name == "betas":
        if np.shape(value) != (2,):
            raise ValueError(f"betas must be two numbers, received {value!r}")
        return tuple(checks.real("betas", beta, least=0.0, below=1.0) for beta in value)
    if name == "alpha":
        return checks.real(name, value, least=0.0, below=1.0)
    return checks.real(name, value, least=0.0)


def _differs(value: Any, default: Any) -> bool:
    """Whether an argument was set to something of its own; None asks for nothing."""
    return value is not None and (type(value) is not type(default) or value != default)


def _warn_unused(settings: Settings, changed: set[str]) -> None:
    """SciPy's manners: what is asked for and cannot be done is said."""
    unused: set[str] = set()
    if not settings.stochastic:
        unused = {"learning_rate", "schedule", "dropout", "clip", "checkpoint", "resume"}
        unused |= set() if settings.stateful else {"batch_size"}
    for name in sorted(unused & changed):
        _warn(f"Method {settings.method} does not use {name}.")
    if settings.spec.num_layers == 1 and settings.spec.dropout.layers > 0:
        _warn("dropout lies between layers: with num_layers=1 it does nothing.")


def _warn(message: str) -> None:
    from scipy.optimize import OptimizeWarning

    warnings.warn(message, OptimizeWarning, stacklevel=5)


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The default of every argument that has one."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
