"""An ensemble of 16 networks beside 16 single fits, here and in PyTorch; and of 10 with variants.

python benchmarks/ensembles.py [--variants] [--output PATH]

H = 32, T = 100, 8 features, one target per step, float32, Adam, gradients clipped to norm 1, on all
threads. What is compared does the same number of updates, in turns, each in processes of its own;
the times are medians, per member and update, with everything that a fit does besides.

--variants: 10 networks of 8 units on 2 features beside as many fits, for variants of the cell; both
take turns in one process, and the ratio is that of their shortest times. An ensemble should cost at
most 0.3 of the fits for one sequence at a time, and 0.7 for 16.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import numlstm

MEMBERS, STEPS, FEATURES, HIDDEN = 16, 100, 8, 32
BATCHES = {32: (128, 2), 2: (16, 4)}  # size: sequences and epochs
ROUNDS = 5


def peer_fit(X, y, batch, epochs, seed):
    """One training run in PyTorch's idiom."""
    import torch  # in its own process alone

    torch.manual_seed(seed)
    lstm = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)
    head = torch.nn.Linear(HIDDEN, 1)
    parameters = [*lstm.parameters(), *head.parameters()]
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(batch):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(head(lstm(X[rows])[0]), y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()


def together(X, y, batch, epochs):
    """One ensemble."""
    numlstm.ensemble(
        X, y, members=MEMBERS, epochs=epochs, rng=0, hidden_size=HIDDEN, batch_size=batch
    )


def single(X, y, batch, epochs):
    """As many fits."""
    same = {"hidden_size": HIDDEN, "batch_size": batch, "progress": False}
    for seed in range(MEMBERS):
        numlstm.fit(X, y, epochs=epochs, rng=seed, **same)


def peer(X, y, batch, epochs):
    """As many training runs in PyTorch."""
    for seed in range(MEMBERS):
        peer_fit(X, y, batch, epochs, seed)


WAYS = {"ensemble": together, "16 fits": single, "16 fits in PyTorch": peer}


def timed(name, batch):
    """Seconds of one way, in a process that does nothing else, after a short run."""
    sequences, epochs = BATCHES[batch]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((sequences, STEPS, FEATURES)).astype(np.float32)
    y = 0.1 * np.cumsum(X[..., :1], axis=1)
    WAYS[name](X, y, batch, 1)
    start = time.perf_counter()
    WAYS[name](X, y, batch, epochs)
    return time.perf_counter() - start


def measure(batch):
    """Milliseconds per member and update of each way, medians; their processes take turns."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, each in times.items():
            command = [sys.executable, __file__, "--child", name, str(batch)]
            child = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            each.append(float(child.stdout))
    sequences, epochs = BATCHES[batch]
    updates = MEMBERS * epochs * sequences // batch
    return {name: 1e3 * float(np.median(each)) / updates for name, each in times.items()}


VARIANTS = {
    "plain": {},
    "of 1997": {"forget_gate": "none"},
    "coupled": {"forget_gate": "coupled"},
    "peepholes": {"peephole": True},
    "normalised": {"layer_norm": True},
}
AT_MOST = {1: 0.3, 16: 0.7}  # of ten fits, by the size of a batch
TURNS = 5


def measure_variant(cell, batch):
    """Shortest seconds of an ensemble of ten and of ten fits, which take turns."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((max(64, 16 * batch), STEPS, 2)).astype(np.float32)
    y = 0.1 * np.cumsum(X[..., :1], axis=1)
    same = {"hidden_size": 8, "batch_size": batch, "cell": cell, "progress": False}
    times = []
    for turn in range(1 + TURNS):  # the first compiles
        start = time.perf_counter()
        numlstm.ensemble(X, y, members=10, bootstrap=False, epochs=1, rng=turn, **same)
        between = time.perf_counter()
        for seed in range(10):
            numlstm.fit(X, y, epochs=1, rng=seed, **same)
        times.append((between - start, time.perf_counter() - between))
    return np.min(times[1:], axis=0)


def variants():
    """Print and return the ratios by variant and batch size."""
    ratios: dict[str, dict[str, float]] = {}
    for name, cell in VARIANTS.items():
        of_cell = ratios.setdefault(name, {})
        for batch, most in AT_MOST.items():
            many, fits = measure_variant(cell, batch)
            ratio = of_cell[f"B = {batch}"] = many / fits
            print(f"{name}, B = {batch}: {ratio:.2f} of ten fits (at most {most})", flush=True)
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--variants", action="store_true")
    options = parser.parse_args()
    if options.child:
        name, batch = options.child
        print(timed(name, int(batch)))
        return
    results = {"processor": platform.processor() or platform.machine()}
    results |= {"ratios": variants()} if options.variants else {"milliseconds": beside_peers()}
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n")


def beside_peers():
    """Print and return the times by batch size and way."""
    every = {}
    for batch in BATCHES:
        times = every[f"B = {batch}"] = measure(batch)
        ratio = {name: times["ensemble"] / value for name, value in times.items()}
        text = "; ".join(f"{name} {times[name]:.3f} ms, {ratio[name]:.2f}" for name in times)
        print(f"B = {batch}: {text}", flush=True)
    return every


if __name__ == "__main__":
    main()
