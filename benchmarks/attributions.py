"""Integrated gradients here and by captum: `python benchmarks/attributions.py [--threads N]`.

The same weights, 64 points of Gauss and Legendre, the last step of 32 sequences of 365 steps of 8
features, 64 units, float32. Each side runs in a process of its own, by turns, so that neither waits
beside the other's threads, and what they say is compared; what counts are the medians, and the
median of the ratios of the turns. `--processor` takes processor time, which other programs disturb
least, and belongs to `--threads 1`: threads that wait in a loop have it, too. captum gets the size
of its inner batches at which it is fastest of those tried, which is not its default of all points
of all sequences at once. Needs captum.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

STORE = Path(__file__).parent / "results" / "attributions.json"
SIZE = (32, 365, 8, 64)  # B, T, I, H
POINTS = 64
INNER = (64, 256)  # rows of captum's inner batches


def problem(size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(theta, X)."""
    batch, steps, inputs, units = size
    rng = np.random.default_rng(0)
    count = 4 * units * (inputs + units + 1) + units + 1
    theta = rng.uniform(-0.125, 0.125, count).astype("float32")
    return theta, rng.standard_normal((batch, steps, inputs), "float32")


def ours(size: tuple[int, ...]) -> Callable[[], np.ndarray]:
    import numlstm
    from numlstm import inspection

    theta, X = problem(size)
    model = numlstm.LSTM(*size[2:], 1, rng=0, backend="cpu")
    model.theta = theta
    return lambda: inspection.integrated_gradients(model, X, num_steps=POINTS).values


def captums(size: tuple[int, ...], inner: int, threads: int) -> Callable[[], np.ndarray]:
    import torch
    from captum.attr import IntegratedGradients

    torch.set_num_threads(threads)
    theta, X = problem(size)
    inputs, units = size[2:]

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(inputs, units, batch_first=True)
            self.head = torch.nn.Linear(units, 1)

        def forward(self, X):
            return self.head(self.lstm(X)[0][:, -1])[:, 0]

    network, first = Network(), 0
    for name, value in network.named_parameters():
        value.requires_grad_(False)  # gradients of the parameters are not asked for
        if name == "lstm.bias_hh_l0":
            value.zero_()
            continue
        part = theta[first : first + value.numel()].reshape(value.shape)
        value.copy_(torch.from_numpy(part))
        first += value.numel()
    method, given = IntegratedGradients(network), torch.from_numpy(X)
    return lambda: method.attribute(
        given, n_steps=POINTS, method="gausslegendre", internal_batch_size=inner
    ).numpy()


def side(name: str, size: tuple[int, ...], threads: int) -> Callable[[], np.ndarray]:
    return ours(size) if name == "ours" else captums(size, int(name), threads)


def timed(name: str, options: argparse.Namespace) -> dict:
    """Seconds of the faster of two calls in a new process, and some of the result."""
    command = [sys.executable, __file__, "--side", name, "--threads", str(options.threads)]
    command += ["--processor"] * options.processor
    command += ["--size", *map(str, options.size)]
    threads = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), str(options.threads))
    done = subprocess.run(
        command, env=os.environ | threads, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def run_side(options: argparse.Namespace) -> None:
    clock = time.process_time if options.processor else time.perf_counter
    side(options.side, (2, *options.size[1:]), options.threads)()  # what comes once
    call, times = side(options.side, options.size, options.threads), []
    for _ in range(2):
        start = clock()
        values = call()
        times.append(clock() - start)
    print(json.dumps({"seconds": min(times), "values": values[0].ravel()[-64:].tolist()}))


def compare(options: argparse.Namespace) -> dict:
    """Medians, and the ratio turn by turn."""
    tried = {name: timed(str(name), options) for name in INNER}
    inner = min(tried, key=lambda name: tried[name]["seconds"])
    mine, theirs = [], []
    for _ in range(options.turns):
        own, other = timed("ours", options), timed(str(inner), options)
        np.testing.assert_allclose(own["values"], other["values"], rtol=1e-3, atol=1e-6)
        mine.append(own["seconds"])
        theirs.append(other["seconds"])
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    return {
        "date": date.today().isoformat(),
        "threads": options.threads,
        "clock": "processor" if options.processor else "wall",
        "B, T, I, H": options.size,
        "rows of captum's inner batches": inner,
        "ours, s": round(statistics.median(mine), 3),
        "captum, s": round(statistics.median(theirs), 3),
        "captum / ours": [round(ratio, 2) for ratio in sorted(ratios)],
        "median": round(statistics.median(ratios), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--size", type=int, nargs=4, default=SIZE, metavar=("B", "T", "I", "H"))
    parser.add_argument("--processor", action="store_true", help="processor time")
    parser.add_argument("--store", action="store_true", help="write results/attributions.json")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options)
        return
    row = compare(options)
    print(json.dumps(row, indent=1))
    if options.store:
        STORE.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
