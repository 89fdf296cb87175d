"""What it costs to look inside a prediction: `python benchmarks/trace.py`.

`model.trace` of one quantity, of one unit and of all, beside a forward pass that keeps a tape, as
every update of a fit makes one, in turns: the median of each, and that of the ratios of every round
with its quartiles. The trace reads and checks its inputs as `predict` does, which stands beside it.
"""

from pathlib import Path

import numpy as np
import turns

import numlstm

STORE = Path(__file__).parent / "results" / "trace.json"
SIZES = ((365, 32, 8, 64), (365, 256, 8, 64))  # T, B, I, H
BASE = "taped forward"


def contenders(steps: int, batch: int, inputs: int, units: int) -> dict:
    """What is timed, by name."""
    X = np.random.default_rng(0).standard_normal((batch, steps, inputs), "float32")
    model = numlstm.LSTM(inputs, units, 1, rng=0)
    network = model.network
    weights = network.pack(model.theta)
    runs = {
        BASE: lambda: network.forward(weights, X, tape=True),
        "again": lambda: network.forward(weights, X, tape=True),
        "predict": lambda: model.predict(X),
        "f of one unit": lambda: model.trace(X, quantities="f", units=0),
        "all": lambda: model.trace(X),
    }
    for name in "hcifgo":
        runs[name] = lambda name=name: model.trace(X, quantities=name)
    return runs


def measure(size: tuple[int, ...], rounds: int) -> dict:
    """Medians, and ratios to the forward pass."""
    row = dict(zip(("T", "B", "I", "H"), size, strict=True))
    return row | turns.in_turns(contenders(*size), BASE, rounds)


if __name__ == "__main__":
    turns.main(__doc__, measure, SIZES, 40, STORE)
