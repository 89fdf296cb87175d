"""Other software: its name, what installs it, and which parts of a model it has."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.model.lstm import LSTM
from numlstm.utils import checks, notices, optional

_SHOWN = 12  # names in a message
_LARGEST_STEP = 1e-3  # to which data may be rounded, in their spread


class MissingPackage(ImportError):
    """A package of a counterpart that is not there."""


@dataclass(frozen=True)
class Counterpart:
    """Software that networks come from or go to.

    Parameters
    ----------
    name : str
        Its name, in messages.
    extra : str, optional
        The extra of numlstm that installs it.
    parts : tuple of str
        The parts of a model that it has, by the keys of `parts`: names of a spec, of a cell (with a
        value that is a text, as in "forget_gate=coupled"), "square projection", "zoneout_h",
        "head", "scaling".
    last : bool
        Whether it can give the last output alone, as a model with output="last" does.
    doubles : bool
        Whether it takes data in float64 for a network in float32, or its writer refuses what needs
        that.
    """

    name: str
    extra: str | None = None
    parts: tuple[str, ...] = ()
    last: bool = True
    doubles: bool = False

    def require(self, module: str, what: str) -> Any:
        """A module of the extra, which `what` needs."""
        return optional.require(module, f"numlstm[{self.extra}]", what, MissingPackage)

    def require_parts(self, model: LSTM) -> None:
        """Refuse a model that has parts beside those of the counterpart; warn of what is no part.

        `forecasts` is not among that: it says what the outputs are, and changes none.
        """
        require_model(model)
        for name, words in parts(model).items():
            if name not in self.parts:
                raise ValueError(f"{self.name} lacks a part of this model: {words}")
        lost = [*_ways(model), *_meanings(model)]
        if not self.doubles:
            lost += _digits(model)
        if model.output == "last" and not self.last:
            lost.append('output="last": it gives the output of every step, of which take the last')
        if lost:
            notices.warn(
                f"{self.name} gets the network alone, and not what the model does around it: "
                + "; ".join(lost)
            )


def require_model(model: Any) -> None:
    """Refuse what is no model, such as an estimator around one."""
    if isinstance(model, str | bytes | os.PathLike):
        raise TypeError(
            "the first argument is the model, received "
            f"{checks.shown(model)}: a path comes behind it"
        )
    if not isinstance(model, LSTM):
        raise TypeError(
            f"model must be a numlstm.LSTM, received {type(model).__name__}: pass the one in it, "
            "result.model of numlstm.fit, or estimator.model_, without the classes"
        )


def _ways(model: LSTM) -> Iterator[str]:
    """The work of `predict` before and after the network, and how to do it elsewhere."""
    if model.filling is not None:
        yield (
            "model.filling, the rule for missing inputs: fill the inputs there as numlstm.fit's "
            "missing='mask' says, and append the mask"
        )
    if model.window is not None:
        yield (
            f"window={model.window}: the output of a step is that of the {model.window} steps up "
            "to it, so give it these alone, from the initial state, and take the last output"
        )


def _meanings(model: LSTM) -> Iterator[str]:
    """The meaning of inputs and outputs, in their order."""
    ahead, names = model.ahead, model.names
    if ahead is not None and ahead.future:
        yield (
            f"future=: behind the other features it reads the {ahead.future} known ahead, of each "
            f"of the next {ahead.steps} step(s)"
        )
    if model.horizon is not None:
        yield (
            f"horizon={model.horizon}: the outputs of a step are those of the next "
            f"{model.horizon}, by step and then by target"
        )
    for what, own in ("features", names.features), ("targets", names.targets):
        if own is not None and len(own) > 1:
            yield f"the names of {what}: their order is {_listed(own)}"


def _digits(model: LSTM) -> Iterator[str]:
    """Which data lie so far from 0 that float32 does not have their digits."""
    scaling = model.scaling
    if scaling is None or model.spec.dtype != "float32":
        return
    pairs = (
        ("inputs", scaling.x_mean, scaling.x_scale),
        ("outputs", scaling.y_mean, scaling.y_scale),
    )
    for what, mean, scale in pairs:
        ratio = 0.0 if mean is None or scale is None else float(np.abs(mean / scale).max())
        step = ratio * float(np.finfo(np.float32).eps)
        if step > _LARGEST_STEP:
            yield (
                f"{what} in float64, which predict has: float32 rounds them there to {step:.1g} of "
                "their spread, so take a constant off the data before it gets them"
            )


def _listed(names: Sequence[str]) -> str:
    """The first names."""
    return ", ".join(map(repr, names[:_SHOWN])) + ", ..." * (len(names) > _SHOWN)


_OF_SPEC = (
    *("bidirectional", "residual", "learned_state"),
    *("direct_input", "proj_size", "static_size"),
)


def parts(model: LSTM) -> dict[str, str]:
    """The parts of a model beside plain layers: names, and how they were asked for."""
    spec = model.spec
    found = {name: f"{name}={getattr(spec, name)}" for name in _OF_SPEC if getattr(spec, name)}
    if spec.proj_size == spec.hidden_size:
        found["square projection"] = f"proj_size={spec.proj_size}, as large as hidden_size"
    for name, value in spec.cell.changed().items():
        key = f"{name}={value}" if isinstance(value, str) else name
        found[key] = f"cell={{{name!r}: {_plain(value)}}}"
    for name in ("zoneout_h", "zoneout_c"):  # predictions use the mean
        if rate := getattr(spec.dropout, name):
            found[name] = f"dropout={{{name!r}: {rate}}}"
    if spec.num_layers > 1:
        found["num_layers"] = f"num_layers={spec.num_layers}"
    if spec.head is not None:
        found["head"] = f"output_size={spec.output_size}"
    if model.scaling is not None:
        found["scaling"] = "model.scaling, the units of the data"
    return found


def _plain(value: Any) -> Any:
    """A value as an argument has it."""
    return tuple(map(str, value)) if isinstance(value, tuple) else repr(value)
