"""Contenders in turns: the median of each, and the quartiles of the ratios of every round."""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numba
import numpy as np
from peers import cpu_model

import numlstm

WARM_UP = 4  # rounds in which kernels compile, and learn how long a pass takes


def in_turns(runs: Mapping[str, Callable[[], Any]], base: str, rounds: int) -> dict[str, Any]:
    """Medians in ms, and quartiles of the ratios to `base`; every round begins with another."""
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(WARM_UP):
        for run in runs.values():
            run()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            runs[name]()
            times[name].append((time.perf_counter() - start) * 1e3)
    row: dict[str, Any] = {
        f"{name}, ms": round(float(np.median(each)), 2) for name, each in times.items()
    }
    for name in names:
        if name != base:
            quartiles = np.quantile(np.divide(times[name], times[base]), (0.25, 0.5, 0.75))
            row[f"{name} / {base}"] = [round(float(q), 4) for q in quartiles]
    return row


def main(
    description: str | None,
    measure: Callable[[Any, int], dict[str, Any]],
    sizes: Sequence[Any],
    rounds: int,
    store: Path,
) -> None:
    """Measure, print and store a row for each size, as the command line asks."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="one round; no measurement")
    parser.add_argument("--rounds", type=int, default=rounds)
    options = parser.parse_args()
    rows = [measure(size, 1 if options.quick else options.rounds) for size in sizes]
    for row in rows:
        print(json.dumps(row))
    if not options.quick:
        about = {
            "date": str(date.today()),
            "processor": cpu_model(),
            "numlstm": numlstm.__version__,
            "threads": numba.get_num_threads(),
        }
        store.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
