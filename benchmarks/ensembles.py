"""An ensemble of 16 networks beside 16 single fits, here and in PyTorch.

python benchmarks/ensembles.py [--output PATH]

H = 32, T = 100, 8 features, one target per step, float32, Adam, gradients clipped to norm 1, on all
threads. What is compared does the same number of updates and alternates within this one run; the
times are medians, per member and update, with everything that a fit does besides.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

import numlstm

MEMBERS, STEPS, FEATURES, HIDDEN = 16, 100, 8, 32
BATCHES = {32: (128, 2), 2: (16, 4)}  # size: sequences and epochs
ROUNDS = 5


class Peer(torch.nn.Module):
    """The same network in PyTorch."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, 1)

    def forward(self, X):
        return self.head(self.lstm(X)[0])


def peer_fit(X, y, batch, epochs, seed):
    """One training run in PyTorch's idiom."""
    torch.manual_seed(seed)
    model, X, y = Peer(), torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(batch):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(X[rows]), y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


def measure(batch, sequences, epochs):
    """Milliseconds per member and update of each way, medians."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((sequences, STEPS, FEATURES)).astype(np.float32)
    y = 0.1 * np.cumsum(X[..., :1], axis=1)
    same = {"hidden_size": HIDDEN, "batch_size": batch}

    def together(epochs):
        numlstm.ensemble(X, y, members=MEMBERS, epochs=epochs, rng=0, **same)

    def single(epochs):
        for seed in range(MEMBERS):
            numlstm.fit(X, y, epochs=epochs, rng=seed, progress=False, **same)

    def peer(epochs):
        for seed in range(MEMBERS):
            peer_fit(X, y, batch, epochs, seed)

    ways = {"ensemble": together, "16 fits": single, "16 fits in PyTorch": peer}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(1)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            way(epochs)
            times[name].append(time.perf_counter() - start)
    updates = MEMBERS * epochs * sequences // batch
    return {name: 1e3 * float(np.median(each)) / updates for name, each in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    results = {"processor": platform.processor() or platform.machine(), "milliseconds": {}}
    for batch, size in BATCHES.items():
        times = measure(batch, *size)
        results["milliseconds"][f"B = {batch}"] = times
        ratio = {name: times["ensemble"] / value for name, value in times.items()}
        text = "; ".join(f"{name} {times[name]:.3f} ms, {ratio[name]:.2f}" for name in times)
        print(f"B = {batch}: {text}", flush=True)
    if output:
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
