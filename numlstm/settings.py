"""The choices of a fit other than its data, checked once; unused ones are warned about."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm import checks, schedules
from numlstm.losses import LOSSES, Loss
from numlstm.minimize import METHODS
from numlstm.model import LSTM
from numlstm.optimizers import OPTIMIZERS


@dataclass(frozen=True)
class Settings:
    """Arguments of `fit` by the same names, checked and with their defaults filled in."""

    hidden_size: int
    num_layers: int
    output: str | None
    loss: str
    method: str
    learning_rate: float
    schedule: Any
    weight_decay: float
    dropout: float
    clip: float | None
    batch_size: int
    epochs: int
    bptt_steps: int | None
    stateful: bool
    patience: int | None
    tol: float | None
    standardize: bool | None
    nan_policy: str
    dtype: str
    backend: str
    options: Mapping[str, Any]

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
    if given["output"] is not None:
        checks.choice("output", given["output"], ("sequence", "last"))
    if not isinstance(given["stateful"], (bool, np.bool_)):
        raise TypeError(f"stateful must be True or False, received {given['stateful']!r}")
    schedules.get(given["schedule"])
    settings = Settings(
        **{name: given[name] for name in ("output", "loss", "schedule", "stateful", "nan_policy")},
        **_numbers(given, method),
        **_of_the_network(given, defaults),
        method=method,
        standardize=given["standardize"],
        options=_options(method, given["options"]),
    )
    changed = {name for name in defaults if _differs(given[name], defaults[name])}
    _warn_unused(settings, changed)
    return settings


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
        rate = _real("learning_rate", rate, above=0.0)
    return {
        "learning_rate": rate,
        "weight_decay": _real("weight_decay", given["weight_decay"], least=0.0),
        "dropout": _real("dropout", given["dropout"], least=0.0, below=1.0),
        "clip": None if given["clip"] is None else _real("clip", given["clip"], above=0.0),
        "tol": None if given["tol"] is None else _real("tol", given["tol"]),
        **{name: checks.size(name, given[name]) for name in ("batch_size", "epochs")},
        **{
            name: None if given[name] is None else checks.size(name, given[name])
            for name in ("bptt_steps", "patience")
        },
    }


def _of_the_network(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes, dtype and backend: the arguments, or what a given model has."""
    model = given["model"]
    asked: dict[str, Any] = {
        name: checks.size(name, given[name]) for name in ("hidden_size", "num_layers")
    }
    asked |= {"dtype": checks.dtype(given["dtype"]), "backend": given["backend"]}
    if model is None:
        return asked
    if not isinstance(model, LSTM):
        raise TypeError(f"model must be a numlstm.LSTM, received {type(model)}")
    spec, backend = model.spec, model.network.backend.name
    has = {
        "hidden_size": spec.hidden_size,
        "num_layers": spec.num_layers,
        "dtype": spec.dtype,
        "backend": backend,
    }
    for name, value in asked.items():
        if value not in (has[name], defaults[name]):
            raise ValueError(
                f"{name}={value!r} does not go with the model given, which has {has[name]!r}: "
                f"leave {name} out, or start without model="
            )
    return has


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
        return tuple(_real("betas", beta, least=0.0, below=1.0) for beta in value)
    if name == "alpha":
        return _real(name, value, least=0.0, below=1.0)
    return _real(name, value, least=0.0)


def _real(
    name: str,
    value: Any,
    *,
    least: float = -np.inf,
    above: float = -np.inf,
    below: float = np.inf,
) -> float:
    """`value` as a finite float in the range."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, received {value!r}") from None
    if least <= number < below and number > above and np.isfinite(number):
        return number
    bounds = [f">= {least:g}"] * (least > -np.inf) + [f"> {above:g}"] * (above > -np.inf)
    bounds += [f"< {below:g}"] * (below < np.inf)
    raise ValueError(
        f"{name} must be {' and '.join(bounds) or 'a finite number'}, received {value!r}"
    )


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
    if settings.stochastic and settings.num_layers == 1 and settings.dropout > 0:
        _warn("dropout lies between layers: with num_layers=1 it does nothing.")


def _warn(message: str) -> None:
    from scipy.optimize import OptimizeWarning

    warnings.warn(message, OptimizeWarning, stacklevel=5)


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The default of every argument that has one."""
    import inspect

    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
