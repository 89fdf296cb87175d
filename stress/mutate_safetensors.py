"""Mutations of files of safetensors: refused, or a model that predicts finite numbers.

    python stress/mutate_safetensors.py --cases 20000

A mutation changes values of the header, places of the tensors, numbers or bytes, one to four at
once. Whatever is raised but an error of the file or of what it holds is a finding, with its case.
"""

import contextlib
import copy
import io
import json
import sys
from typing import Any

import numpy as np

import numlstm
from file_mutations import outcome, run, some_bytes
from hostile_files import HOSTILE, NUMBERS, Rng
from numlstm.convert import from_safetensors, to_safetensors

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both": {"bidirectional": True, "num_layers": 2, "dtype": "float64", "proj_size": 2},
    "peephole": {"cell": {"peephole": True, "forget_gate": "coupled"}, "learned_state": True},
    "layer norm": {"cell": {"layer_norm": True}, "static_size": 2},
}


QUIET: dict[str, Any] = {"check": False, "backend": "reference"}


def honest() -> list[bytes]:
    """Files of numlstm, and one of others."""
    found = []
    for options in MODELS.values():
        model = numlstm.LSTM(2, 4, 3, rng=0, backend="reference", **options)
        model.set_scaling((1.0, 2.0), (3.0, 4.0))
        buffer = io.BytesIO()
        to_safetensors(model, buffer)
        found.append(buffer.getvalue())
    header, numbers = parts(found[0])
    del header["__metadata__"]
    return [*found, joined(header, numbers)]


def parts(data: bytes) -> tuple[Any, bytes]:
    """The header and the numbers."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: Any, numbers: bytes) -> bytes:
    """A file."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def changed_value(header: Any, rng: Rng) -> None:
    """Another value somewhere in the header, one less, or one under another name."""
    tree, key = header, None
    while isinstance(tree, (dict, list)) and tree:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        parent, key = tree, keys[rng.integers(len(keys))]
        tree = tree[key]
        if rng.random() < 0.3:
            break
    if key is None:
        return
    kind = int(rng.integers(4))
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[str(rng.choice(["lstm.x", "a", "head.bias", "scaling.x_mean"]))] = parent.pop(key)
    elif kind == 2 and type(tree) is int:
        parent[key] = tree + int(rng.choice([-4, -1, 1, 4, 8, 2**40]))
    elif key == "numlstm" and isinstance(tree, str):
        with contextlib.suppress(ValueError):
            inner = json.loads(tree)
            changed_value(inner, rng)
            parent[key] = json.dumps(inner)
    else:
        parent[key] = copy.deepcopy(HOSTILE[rng.integers(len(HOSTILE))])


def mutated(data: bytes, rng: Rng) -> bytes:
    """A file that was changed in one to four ways."""
    for _ in range(int(rng.integers(1, 5))):
        kind = int(rng.integers(4))
        try:
            header, numbers = parts(data)
        except (ValueError, RecursionError):
            kind = 3
        if kind <= 1:
            changed_value(header, rng)
            with contextlib.suppress(ValueError, RecursionError):  # of lone surrogates
                data = joined(header, numbers)
        elif kind == 2 and len(numbers) >= 8:
            start = int(rng.integers(len(numbers) // 8)) * 8
            with np.errstate(over="ignore"):
                number = np.array(rng.choice(NUMBERS)).astype(rng.choice(["<f4", "<f8"]))
            stop = start + number.itemsize
            data = joined(header, numbers[:start] + number.tobytes() + numbers[stop:])
        elif data:
            data = some_bytes(data, rng)
    return data


def use(data: bytes) -> str:
    """What comes of a file."""
    return outcome(lambda: _written(from_safetensors(io.BytesIO(data), **QUIET)))


def _written(model: numlstm.LSTM) -> numlstm.LSTM:
    """A model that can be written again."""
    _ = model.is_new
    to_safetensors(model, io.BytesIO())
    return model


if __name__ == "__main__":
    sys.exit(run(__doc__, honest(), mutated, use))
