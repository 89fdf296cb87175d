"""Mutations of RTNeural's JSON: refused, or a model that predicts finite numbers.

    python stress/mutate_rtneural.py --cases 20000

A mutation changes a value of what the file says, or a byte, one to four at once. Whatever is raised
but an error of the file or of what it holds is a finding, with its case.
"""

import argparse
import collections
import contextlib
import io
import json
import sys
import traceback
import warnings
from typing import Any

import numpy as np

import numlstm
from hostile_files import Rng
from mutate_safetensors import ERRORS, changed_value
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
            made = bytearray(data)
            made[int(rng.integers(len(made)))] = int(rng.integers(256))
            data = bytes(made[: int(rng.integers(len(made)))] if rng.random() < 0.2 else made)
    return data


def use(data: bytes) -> str:
    """What comes of a file."""
    try:
        model = from_rtneural(io.BytesIO(data), check=False, backend="reference")
        repr(model)
        Y = model.predict(np.ones((1, 3, model.num_features)))
    except ERRORS:
        return "refused"
    return "used" if np.isfinite(Y).all() else "WRONG: it predicts numbers that are not finite"


def main() -> int:
    """Print what came of all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case again")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    sources, outcomes = honest(), collections.Counter[str]()
    for case in range(asked.cases) if asked.only is None else (asked.only,):
        rng = np.random.default_rng([asked.seed, case])
        data = mutated(sources[rng.integers(len(sources))], rng)
        try:
            outcome = use(data)
        except Exception:
            outcome = f"WRONG: {traceback.format_exc(limit=-2)}"
        if outcome.startswith("WRONG"):
            print(f"case {case}: {outcome}")
        outcomes[outcome.partition(":")[0]] += 1
    print(dict(outcomes))
    return 1 if outcomes["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
