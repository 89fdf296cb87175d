"""Free-running forecasts beside a pass over as many steps: `python benchmarks/rollout.py`.

The same network and number of steps, `rollout` and `forward`, `rollout_vjp` and `vjp`, in turns.
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

STORE = Path(__file__).parent / "results" / "rollout.json"
SIZES = (  # B, H, S
    *((1, 8, 1000), (1, 32, 1000), (1, 128, 500), (8, 32, 500), (8, 128, 200)),
    *((32, 32, 200), (32, 64, 200), (128, 64, 100), (128, 128, 50)),
)


def contenders(batch: int, units: int, steps: int) -> dict:
    """What is timed, by name."""
    model = numlstm.LSTM(1, units, 1, rng=0)
    warm, X = np.ones((batch, 1, 1), "float32"), np.zeros((batch, steps, 1), "float32")
    return {
        "rollout": lambda: model.rollout(warm, steps),
        "forward": lambda: model.forward(X),
        "rollout_vjp": lambda: model.rollout_vjp(warm, steps)[1](X),
        "vjp": lambda: model.vjp(X)[1](X),
    }


def measure(size: tuple[int, int, int], repeats: int) -> dict:
    """Medians of interleaved runs in ms, and their ratios."""
    runs = contenders(*size)
    times: dict[str, list] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * 1e3)
    row = dict(zip("BHS", size, strict=True))
    row |= {name: round(float(np.median(each)), 3) for name, each in times.items()}
    row["rollout / forward"] = round(row["rollout"] / row["forward"], 2)
    row["rollout_vjp / vjp"] = round(row["rollout_vjp"] / row["vjp"], 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run; no measurement")
    options = parser.parse_args()
    rows = [measure(size, 1 if options.quick else 100) for size in SIZES]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if not options.quick:
        store = {"date": date.today().isoformat(), "cpu": cpu_model(), "numba": numba.__version__}
        STORE.write_text(json.dumps(store | {"ms": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
