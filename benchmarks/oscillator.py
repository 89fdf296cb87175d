"""System identification of nonlinear oscillators: SciPy's methods against Adam, by time.

python benchmarks/oscillator.py [--seconds 10] [--output docs/oscillator.png]

Forced Duffing oscillators x'' + 0.5 x' + k x + x^3 = u(t), with one well (k = 1) and with two
(k = -1), are simulated with solve_ivp: of each 20 sequences of 100 steps, with a random force u and
start. The network reads u and where x began, and gives x at every step. Every method begins with
the same weights and has the same wall time on one thread, of a machine that does nothing else. The
clock stands still while a loss is looked at. Adam is given a sweep of learning rates, with all
sequences in a batch and with 5, and its best run is what counts.
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
STIFFNESS = {"one well": 1, "two wells": -1}
EXACT = {"ftol": 1e-15, "gtol": 1e-12}  # nothing but the time ends a run
METHODS = {
    "L-BFGS-B": ("L-BFGS-B", EXACT),
    "L-BFGS-B, maxcor 50": ("L-BFGS-B", EXACT | {"maxcor": 50}),
    "trust-ncg": ("trust-ncg", {}),
    "least_squares": ("least_squares", EXACT),
}


def simulate(rng, stiffness):
    """Inputs (T, 2): the force, and where the oscillator began; output (T, 1): its position."""
    t = np.linspace(0, 20, STEPS)
    amplitude, frequency, phase = rng.uniform(0.1, 0.6, 3), rng.uniform(0.3, 1.5, 3), rng.random(3)

    def force(s):
        return np.sum(amplitude * np.sin(frequency * s + 2 * np.pi * phase))

    start = rng.uniform(-1.5, 1.5, 2)
    path = solve_ivp(
        lambda s, z: (z[1], force(s) - 0.5 * z[1] - stiffness * z[0] - z[0] ** 3),
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
        self.paused, self.start = 0.0, time.perf_counter()

    def __call__(self, intermediate_result):
        now = time.perf_counter()
        self.times.append(now - self.start - self.paused)
        self.losses.append(self.fun.value(intermediate_result.x))
        self.paused += time.perf_counter() - now
        if self.times[-1] > self.seconds:
            raise StopIteration


def run(X, y, seconds, **options):
    """Loss over time of one method, after a short run that compiles whatever it needs."""
    given = {"hidden_size": HIDDEN, "dtype": "float64", "rng": 0, "clip": None, **options}
    first = numlstm.fit(X, y, epochs=2, **given)
    clock = Clock(numlstm.objective(first.model, X, y), seconds)
    result = numlstm.fit(X, y, epochs=10**7, callback=clock, **given)
    return {"times": clock.times, "losses": clock.losses, "message": result.message}


def measure(stiffness, seconds):
    """Every method's run by its name."""
    rng = np.random.default_rng(0)
    each = (simulate(rng, stiffness) for _ in range(SEQUENCES))
    X, y = (np.stack(part) for part in zip(*each, strict=True))
    runs = {}
    for batch in BATCHES:
        for rate in RATES:
            name = f"Adam, rate {rate:g}, batch {batch}"
            runs[name] = run(X, y, seconds, learning_rate=rate, batch_size=batch)
    for name, (method, options) in METHODS.items():
        runs[name] = run(X, y, seconds, method=method, options=options)
    return runs


def lowest(one):
    return min(one["losses"])


def table(tasks, seconds):
    """The losses as a table in Markdown."""
    lines = [f"| Lowest training loss in {seconds:g} s | " + " | ".join(tasks) + " |"]
    lines.append("|---" * (len(tasks) + 1) + "|")
    for name in next(iter(tasks.values())):
        losses = " | ".join(f"{lowest(runs[name]):.2e}" for runs in tasks.values())
        lines.append(f"| {name} | {losses} |")
    return "\n".join(lines)


def best_adam(runs):
    return min((name for name in runs if name.startswith("Adam")), key=lambda n: lowest(runs[n]))


def plot(tasks, path):
    """The lowest loss so far over time; of Adam's runs the best one in colour."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(tasks), figsize=(11, 4), layout="constrained")
    for axes, (task, runs) in zip(panels, tasks.items(), strict=True):
        for name, one in runs.items():
            so_far = np.minimum.accumulate(one["losses"])
            if name.startswith("Adam") and name != best_adam(runs):
                axes.loglog(one["times"], so_far, color="0.85", zorder=0)
            else:
                axes.loglog(one["times"], so_far, label=name)
        axes.plot([], [], color="0.85", label="Adam, other rates and batches")
        axes.set(title=task, xlabel="wall time, one thread [s]")
        axes.legend(fontsize="small")
    panels[0].set_ylabel("training loss (lowest so far)")
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="time of every run")
    parser.add_argument("--output", type=Path, default=Path("oscillator.png"))
    parser.add_argument("--json", type=Path, help="also store every curve")
    arguments = parser.parse_args()
    tasks = {task: measure(k, arguments.seconds) for task, k in STIFFNESS.items()}
    print(table(tasks, arguments.seconds))
    for task, runs in tasks.items():
        ratio = lowest(runs[best_adam(runs)]) / min(lowest(runs[name]) for name in METHODS)
        print(f"{task}: the best of {best_adam(runs)} over the best of SciPy's: {ratio:.2f}")
    plot(tasks, arguments.output)
    if arguments.json:
        arguments.json.write_text(json.dumps(tasks))


if __name__ == "__main__":
    main()
