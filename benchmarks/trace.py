"""What it costs to look inside a prediction: `python benchmarks/trace.py`.

`model.trace` of one quantity, of one unit and of all, beside a forward pass that keeps a tape, as
every update of a fit makes one, in turns: the median of each, and that of the ratios of every round
with its quartiles. The trace reads and checks its inputs as `predict` does, which stands beside it.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import numba
import numpy as np
from peers import cpu_model

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
    runs = contenders(*size)
    for _ in range(4):  # it compiles, and learns how long a pass takes
        for run in runs.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * 1e3)
    row = dict(zip(("T", "B", "I", "H"), size, strict=True))
    row |= {f"{name}, ms": round(float(np.median(each)), 2) for name, each in times.items()}
    for name, each in times.items():
        if name != BASE:
            ratios = np.divide(each, times[BASE])
            quartiles = [round(float(q), 3) for q in np.quantile(ratios, (0.25, 0.5, 0.75))]
            row[f"{name} / {BASE}"] = quartiles
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round; no measurement")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    rows = [measure(size, 1 if options.quick else options.rounds) for size in SIZES]
    for row in rows:
        print(json.dumps(row))
    if not options.quick:
        about = {
            "date": str(date.today()),
            "processor": cpu_model(),
            "numlstm": numlstm.__version__,
        }
        about["threads"] = numba.get_num_threads()
        STORE.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
