"""Variants of a cell and of a model by keyword."""

from dataclasses import fields
from typing import Any

from numlstm.architecture.cell import Cell


def example_cells() -> dict[str, dict[str, Any]]:
    """Every example of every field of `Cell`, with all that it needs, as keywords; by name."""
    examples = {}
    for field in fields(Cell):
        needs = field.metadata["needs"].items()
        own = {name: value for name, value in needs if hasattr(Cell, name)}
        others = {name: value for name, value in needs if name not in own}
        for value in field.metadata["examples"]:
            cell = {**own, field.name: value}
            examples[f"{field.name}={_in_words(value)}"] = {"cell": cell, **others}
    both = {"cell": {"layer_norm": "gates", "peephole": True}}
    return examples | {"layer_norm=gates, peephole": both}


def _in_words(value: Any) -> str:
    return value[0].name if isinstance(value, tuple) else str(value)


def first_examples() -> dict[str, dict[str, Any]]:
    """All examples of fields of few values, the first one of others but activations, by name."""
    examples, seen = {}, {"activations"}
    for name, keywords in example_cells().items():
        field = name.partition("=")[0]
        if field not in seen:
            examples[name] = keywords
        if not Cell.__dataclass_fields__[field].metadata["options"]:
            seen.add(field)
    return examples


KEYWORDS = {
    "bidirectional": {"bidirectional": True},
    "residual": {"residual": True, "num_layers": 3},
    "learned_state": {"learned_state": True},
    "proj_size": {"proj_size": 3},
    "direct_input": {"direct_input": True},
    **first_examples(),
    "activations": {"cell": {"activations": ("hard_sigmoid", ("elu", 0.5), "softsign")}},
    "zoneout": {"dropout": {"zoneout_h": 0.25, "zoneout_c": 0.5}},
    "several": {
        "num_layers": 2,
        "proj_size": 3,
        "cell": {"forget_gate": "coupled", "peephole": True, "layer_norm": True},
        "learned_state": True,
        "direct_input": True,
        "dropout": {"inputs": 0.2, "zoneout_h": 0.1},
    },
}
