"""Variants of a cell and of a model by keyword."""

from dataclasses import fields
from typing import Any

from numlstm.architecture.cell import Cell


def example_cells() -> dict[str, dict[str, Any]]:
    """Every example of every field of `Cell`, with the fields that it needs; by name."""
    cells = {
        f"{field.name}={_in_words(value)}": {**field.metadata["needs"], field.name: value}
        for field in fields(Cell)
        for value in field.metadata["examples"]
    }
    return cells | {"layer_norm=gates, peephole": {"layer_norm": "gates", "peephole": True}}


def _in_words(value: Any) -> str:
    return value[0].name if isinstance(value, tuple) else str(value)


def first_examples() -> dict[str, dict[str, Any]]:
    """All examples of fields of few values, the first one of others but activations, by name."""
    cells, seen = {}, {"activations"}
    for name, cell in example_cells().items():
        field = name.partition("=")[0]
        if field not in seen:
            cells[name] = cell
        if not Cell.__dataclass_fields__[field].metadata["options"]:
            seen.add(field)
    return cells


KEYWORDS = {
    "bidirectional": {"bidirectional": True},
    "residual": {"residual": True, "num_layers": 3},
    "learned_state": {"learned_state": True},
    "proj_size": {"proj_size": 3},
    **{name: {"cell": cell} for name, cell in first_examples().items()},
    "activations": {"cell": {"activations": ("hard_sigmoid", ("elu", 0.5), "softsign")}},
    "zoneout": {"dropout": {"zoneout_h": 0.25, "zoneout_c": 0.5}},
    "several": {
        "num_layers": 2,
        "proj_size": 3,
        "cell": {"forget_gate": "coupled", "peephole": True, "layer_norm": True},
        "learned_state": True,
        "dropout": {"inputs": 0.2, "zoneout_h": 0.1},
    },
}
