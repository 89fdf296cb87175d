"""The harness of the scripts that change files of one format: cases by number, each by a seed."""

import argparse
import collections
import traceback
import warnings
from collections.abc import Callable, Sequence

import numpy as np

import numlstm
from hostile_files import Rng

ERRORS = (numlstm.StorageError, ValueError, TypeError)  # the last two of what a file holds


def outcome(read: Callable[[], numlstm.LSTM]) -> str:
    """What comes of a file: it is refused, or a model that predicts, if it is not large."""
    try:
        return _predicted(read())
    except ERRORS:
        return "refused"


def _predicted(model: numlstm.LSTM) -> str:
    repr(model)
    if model.spec.num_parameters > 10**5:
        return "large"
    static = None if model.spec.static_size is None else np.ones((1, model.spec.static_size))
    Y = model.predict(np.ones((1, 3, model.num_features)), static=static)
    return "used" if np.isfinite(Y).all() else "WRONG: it predicts numbers that are not finite"


def some_bytes(data: bytes, rng: Rng) -> bytes:
    """Another byte, and sometimes an earlier end."""
    made = bytearray(data)
    made[int(rng.integers(len(made)))] = int(rng.integers(256))
    return bytes(made[: int(rng.integers(len(made)))] if rng.random() < 0.2 else made)


def run(
    description: str | None,
    sources: Sequence[bytes],
    mutated: Callable[[bytes, Rng], bytes],
    use: Callable[[bytes], str],
) -> int:
    """Print what came of all cases that the command line asks for; 1 where one went wrong."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one case again")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    outcomes = collections.Counter[str]()
    for case in range(asked.cases) if asked.only is None else (asked.only,):
        rng = np.random.default_rng([asked.seed, case])
        found = _without_errors(mutated(sources[int(rng.integers(len(sources)))], rng), use)
        if found.startswith("WRONG"):
            print(f"case {case}: {found}")
        outcomes[found.partition(":")[0]] += 1
    print(dict(outcomes))
    return 1 if outcomes["WRONG"] else 0


def _without_errors(data: bytes, use: Callable[[bytes], str]) -> str:
    try:
        return use(data)
    except Exception:
        return f"WRONG: {traceback.format_exc(limit=-2)}"
