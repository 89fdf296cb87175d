"""Other software: its name, what installs it, and which parts of a model it has."""

from dataclasses import dataclass
from typing import Any

from numlstm.model.lstm import LSTM
from numlstm.utils import notices, optional


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
    """

    name: str
    extra: str | None = None
    parts: tuple[str, ...] = ()

    def require(self, module: str, what: str) -> Any:
        """A module of the extra, which `what` needs."""
        return optional.require(module, f"numlstm[{self.extra}]", what, MissingPackage)

    def require_parts(self, model: LSTM) -> None:
        """Refuse a model that has parts beside those that the counterpart has."""
        for name, words in parts(model).items():
            if name not in self.parts:
                raise ValueError(f"{self.name} lacks a part of this model: {words}")
        if model.filling is not None:
            notices.warn(
                f"{self.name} gets the network alone, not the rule for missing inputs, "
                "model.filling: fill the inputs there as numlstm.fit's missing='mask' says, and "
                "append the mask"
            )


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
