"""System identification of a nonlinear oscillator: SciPy's methods against Adam, by time.

python benchmarks/oscillator.py [--seconds 10] [--output docs/oscillator.png]

A forced Duffing oscillator x'' + 0.5 x' + x + x^3 = u(t) is simulated with solve_ivp: 20 sequences
of 100 steps, each with a random force u and start. The network reads u and the first x, and gives
x at every step. Every method begins with the same weights and has the same time on one thread:
processor time, which is wall time where nothing else runs. The clock stands still while a loss is
looked at. Adam is given a sweep of learning rates, with all sequences
in a batch and with 5, and its best run is what counts.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

import numlstm

SEQUENCES, STEPS, HIDDEN = 20, 100, 8
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
BATCHES = (5, SEQUENCES)


def simulate(rng):
    """Inputs (T, 2): the force, and where the oscillator began; output (T, 1): its position."""
    t = np.linspace(0, 20, STEPS)
    amplitude, frequency, phase = rng.uniform(0.1, 0.6, 3), rng.uniform(0.3, 1.5, 3), rng.random(3)

    def force(s):
        return np.sum(amplitude * np.sin(frequency * s + 2 * np.pi * phase))

    start = rng.uniform(-1.5, 1.5, 2)
    path = solve_ivp(
        lambda s, z: (z[1], force(s) - 0.5 * z[1] - z[0] - z[0] ** 3),
        *((0, t[-1]), start),
        t_eval=t,
        rtol=1e-8,
    )
    u = np.array([force(s) for s in t])
    began = np.zeros((STEPS, 2))
    began[0] = start
    return np.column_stack([u, began]), path.y[:1].T


class Clock:
    """A callback that notes the loss on all data over time, and ends the fit."""

    def __init__(self, fun, seconds):
        self.fun, self.seconds = fun, seconds
        self.times, self.losses = [], []
        self.paused, self.start = 0.0, time.process_time()

    def __call__(self, intermediate_result):
        now = time.process_time()
        self.times.append(now - self.start - self.paused)
        self.losses.append(self.fun.value(intermediate_result.x))
        self.paused += time.process_time() - now
        if self.times[-1] > self.seconds:
            raise StopIteration


def run(X, y, seconds, **options):
    """Loss over time of one method, after a short run that compiles whatever it needs."""
    given = {"hidden_size": HIDDEN, "dtype": "float64", "rng": 0, "clip": None, **options}
    first = numlstm.fit(X, y, epochs=2, **given)
    clock = Clock(numlstm.objective(first.model, X, y), seconds)
    result = numlstm.fit(X, y, epochs=10**7, callback=clock, **given)
    return {"times": clock.times, "losses": clock.losses, "message": result.message}


def measure(seconds):
    """Every method's run by its name."""
    rng = np.random.default_rng(0)
    X, y = (np.stack(part) for part in zip(*(simulate(rng) for _ in range(SEQUENCES)), strict=True))
    runs = {}
    for batch in BATCHES:
        for rate in RATES:
            name = f"Adam, rate {rate:g}, batch {batch}"
            runs[name] = run(X, y, seconds, learning_rate=rate, batch_size=batch)
    for method in ("L-BFGS-B", "trust-ncg", "least_squares"):
        options = {} if method == "trust-ncg" else {"ftol": 1e-15, "gtol": 1e-12}
        runs[method] = run(X, y, seconds, method=method, options=options)
    return runs


def lowest(one):
    return min(one["losses"])


def table(runs, seconds):
    """The losses as a table in Markdown."""
    lines = [f"| Method | Lowest training loss in {seconds:g} s |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {lowest(one):.2e} |" for name, one in runs.items()])


def plot(runs, path):
    """The lowest loss so far over time; of Adam's runs the best one in colour."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    adams = [name for name in runs if name.startswith("Adam")]
    best = min(adams, key=lambda name: lowest(runs[name]))
    for name, one in runs.items():
        so_far = np.minimum.accumulate(one["losses"])
        if name in adams and name != best:
            axes.loglog(one["times"], so_far, color="0.85", zorder=0)
        else:
            axes.loglog(one["times"], so_far, label=name)
    axes.plot([], [], color="0.85", label="Adam, other rates and batches")
    axes.set(xlabel="processor time, one thread [s]", ylabel="training loss (lowest so far)")
    axes.legend()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="time of every run")
    parser.add_argument("--output", type=Path, default=Path("oscillator.png"))
    parser.add_argument("--json", type=Path, help="also store every curve")
    arguments = parser.parse_args()
    runs = measure(arguments.seconds)
    print(table(runs, arguments.seconds))
    plot(runs, arguments.output)
    if arguments.json:
        arguments.json.write_text(json.dumps(runs))


if __name__ == "__main__":
    main()
