"""Mutations of RTNeural's JSON: refused, or a model that predicts finite numbers.

    python stress/mutate_rtneural.py --cases 20000

A mutation changes a value of what the file says, or a byte, one to four at once. Whatever is raised
but an error of the file or of what it holds is a finding, with its case.
"""

import contextlib
import io
import json
import sys
from typing import Any

import numlstm
from file_mutations import outcome, run, some_bytes
from hostile_files import Rng
from mutate_safetensors import changed_value
from numlstm.convert import from_rtneural, to_rtneural

MODELS: tuple[dict[str, Any], ...] = (
    {"output_size": 2},
    {"output_size": None, "num_layers": 2, "dtype": "float64"},
)
HEADER = {"unit_type": "LSTM", "input_size": 2, "hidden_size": 4, "num_layers": 1, "skip": 1}


def honest() -> list[bytes]:
    """Files of numlstm, and a state dict."""
    found = []
    for options in MODELS:
        buffer = io.BytesIO()
        to_rtneural(numlstm.LSTM(2, 4, rng=0, backend="reference", **options), buffer)
        found.append(buffer.getvalue())
    own = numlstm.LSTM(2, 4, 1, rng=0, backend="reference").params
    names = {"rec.weight_ih_l0": "weight_ih_l0", "rec.weight_hh_l0": "weight_hh_l0"}
    names |= {"rec.bias_ih_l0": "bias_l0", "lin.weight": "head_weight", "lin.bias": "head_bias"}
    state_dict = {name: own[key].tolist() for name, key in names.items()}
    return [*found, json.dumps({"model_data": HEADER, "state_dict": state_dict}).encode()]


def mutated(data: bytes, rng: Rng) -> bytes:
    """A file that was changed in one to four ways."""
    for _ in range(int(rng.integers(1, 5))):
        if rng.random() < 0.7:
            with contextlib.suppress(ValueError, RecursionError):  # of files that are none any more
                content = json.loads(data)
                changed_value(content, rng)
                data = json.dumps(content).encode()
        elif data:
            data = some_bytes(data, rng)
    return data


def use(data: bytes) -> str:
    """What comes of a file."""
    return outcome(lambda: from_rtneural(io.BytesIO(data), check=False, backend="reference"))


if __name__ == "__main__":
    sys.exit(run(__doc__, honest(), mutated, use))
