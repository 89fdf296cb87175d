"""The keywords that say what a network is, read once: `LSTM` and `fit` take the same."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import PRECISIONS, Dropout, NetworkSpec
from numlstm.utils import checks, nouns

FLAGS = ("bidirectional", "residual", "learned_state")

# keyword -> its default; a description of a network has them all, see `describe`
DEFAULTS: dict[str, Any] = {
    "bidirectional": False,
    "residual": False,
    "learned_state": False,
    "proj_size": None,
    **{f.name: f.default for f in fields(Cell) if f.name != "layer_norm_epsilon"},
}


class Start(NamedTuple):
    """How a new network's biases begin."""

    forget_bias: float = 1.0
    chrono: float | None = None


def read_variant(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `NetworkSpec` that are not its sizes, from the keywords of `DEFAULTS`."""
    flags = {name: checks.flag(name, given[name]) for name in FLAGS}
    cell = Cell(**{name: given[name] for name in nouns.names(Cell) if name in given})
    return {**flags, "proj_size": checks.optional(checks.size, "proj_size", given["proj_size"]),
            "cell": cell}  # fmt: skip


def require_sense(spec: NetworkSpec) -> None:
    """Refuse what could be built but would not be what its name says."""
    if spec.proj_size is not None and spec.proj_size >= spec.hidden_size:
        raise ValueError(
            f"proj_size must be below hidden_size = {spec.hidden_size}, received {spec.proj_size}: "
            "a projection makes the hidden state smaller than the cell"
        )
    if spec.residual and spec.num_layers == 1:
        raise ValueError(
            "residual=True needs num_layers >= 2: the second and every further layer adds its "
            "output to its input"
        )
    if spec.cell.layer_norm and spec.hidden_size == 1:
        raise ValueError(
            "layer_norm=True needs hidden_size >= 2: one number alone is always normalised to 0"
        )


def read_precision(value: Any, dtype: str) -> str | None:
    """How the factors of a product are rounded; None: not at all."""
    if value is None:
        return None
    checks.choice("precision", value, PRECISIONS)
    if dtype != "float32":
        raise ValueError(
            f"precision={value!r} rounds the factors of float32 products: it needs "
            f"dtype='float32', received {dtype!r}"
        )
    return value


def read_start(forget_bias: Any, chrono: Any, cell: Cell) -> Start:
    """The initial biases of gates; `forget_bias` is 1 unless it is said."""
    for name, value in (("forget_bias", forget_bias), ("chrono", chrono)):
        if value is not None and cell.forget_gate != "gate":
            raise ValueError(
                f"{name} sets the bias of a forget gate, and forget_gate={cell.forget_gate!r} has "
                f"none of its own: leave {name} out"
            )
    if chrono is None:
        return Start() if forget_bias is None else Start(checks.real("forget_bias", forget_bias))
    if forget_bias is not None:
        raise ValueError("chrono draws the biases of the forget gate: leave forget_bias out")
    return Start(chrono=checks.real("chrono", chrono, above=2.0))


def read_dropout(value: Any) -> Dropout:
    """Rates by name; a number alone is the rate between layers."""
    if not isinstance(value, Mapping):
        value = {"layers": value}
    known = [field.name for field in fields(Dropout)]
    if unknown := [name for name in value if name not in known]:
        raise ValueError(f"dropout has the rates {known}, received {unknown}")
    rates = {
        name: checks.real(f"dropout {name}" if name != "layers" else "dropout", rate, least=0.0,
                          below=1.0)
        for name, rate in value.items()
    }  # fmt: skip
    return Dropout(**rates)


def describe(spec: NetworkSpec) -> dict[str, Any]:
    """The keywords with which a network was built, those of `DEFAULTS`."""
    return {
        "bidirectional": spec.bidirectional,
        "residual": spec.residual,
        "learned_state": spec.learned_state,
        "proj_size": spec.proj_size,
        **{name: getattr(spec.cell, name) for name in nouns.names(Cell) if name in DEFAULTS},
    }


def in_words(spec: NetworkSpec) -> str:
    """What is not plain about a network, for people; nothing for a plain one."""
    words = []
    for name, value in describe(spec).items():
        if value != DEFAULTS[name]:
            shown = f"({', '.join(map(str, value))})" if name == "activations" else value
            words.append(name if value is True else f"{name}={shown}")
    words += [f"precision={spec.precision}"] if spec.precision else []
    rates = {f.name: getattr(spec.dropout, f.name) for f in fields(Dropout)}
    words += [f"dropout {name}={rate:g}" for name, rate in rates.items() if rate]
    return ", ".join(words)
