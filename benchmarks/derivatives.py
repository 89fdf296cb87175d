"""What derivatives cost: `NUMBA_NUM_THREADS=1 python benchmarks/derivatives.py [--output PATH]`.

Hessian-vector products in gradients, derivatives along a direction in forward passes, and the
Jacobians of all T state transitions beside torch.func.jacrev, in this one run, on one thread each.
Every time is processor time, which other programs disturb least, the best of several; what is
compared alternates.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import numlstm
from numlstm.data.sequences import Dataset
from numlstm.network.network import with_tangent
from numlstm.objectives.evaluator import Evaluator
from numlstm.optim.losses import LOSSES

SIZES = [(32, 100, 8, 64), (32, 100, 8, 128), (4, 100, 8, 64)]
VARIANTS: dict[str, dict] = {
    "plain": {},
    "peephole, layer_norm": {"cell": {"peephole": True, "layer_norm": True}},
}


def best(functions: dict[str, Callable], seconds: float = 1.0) -> dict[str, float]:
    """The least time of each, in milliseconds, taken in turns."""
    for function in functions.values():
        function()
    times: dict[str, float] = dict.fromkeys(functions, np.inf)
    end = time.perf_counter() + seconds * len(functions)
    while time.perf_counter() < end:
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name] = min(times[name], 1e3 * (time.process_time() - start))
    return times


def passes(B: int, T: int, features: int, H: int, dtype: str, variant: dict) -> dict[str, float]:
    """Forward pass, gradient, and their derivatives along a direction."""
    model = numlstm.LSTM(features, H, 1, dtype=dtype, rng=0, **variant)
    rng, network = np.random.default_rng(0), model.network
    X, dX = rng.standard_normal((2, B, T, features)).astype(dtype)
    y = rng.standard_normal((B, T, 1)).astype(dtype)
    data, evaluator = Dataset(X, y, np.ones_like(y)), Evaluator(network, LOSSES["mse"].function)
    v = rng.standard_normal(model.theta.size).astype(dtype)
    moved, X_moved = with_tangent(model.theta, v), with_tangent(X, dX)
    return best(
        {
            "forward": lambda: network.forward(network.pack(model.theta), X),
            "jvp along X": lambda: network.tangents.forward(
                network.tangents.pack(model.theta), X_moved
            ),
            "jvp along X and theta": lambda: network.tangents.forward(
                network.tangents.pack(moved), X_moved
            ),
            "gradient": lambda: evaluator.gradient(model.theta, data),
            "hessp": lambda: evaluator.hessp(model.theta, v, data),
        }
    )


def transitions(T: int, features: int, H: int) -> dict[str, float]:
    """The Jacobians of all steps' states (h, c) by the states before, of one sequence, float32."""
    import torch

    torch.set_num_threads(1)
    model = numlstm.LSTM(features, H, rng=0)
    X = np.random.default_rng(0).standard_normal((1, T, features)).astype("float32")
    W_ih, W_hh, b = (torch.from_numpy(np.array(value)) for value in model.params.values())
    x = torch.from_numpy(X[0])

    def step(state, x):
        i, f, g, o = (W_ih @ x + W_hh @ state[:H] + b).split(H)
        c = f.sigmoid() * state[H:] + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c])

    def states():
        state, before = torch.zeros(2 * H), []
        for x_t in x:
            before.append(state)
            state = step(state, x_t)
        return torch.stack(before)

    def whole(state):
        for x_t in x:
            state = step(state, x_t)
        return state

    each = torch.func.jacrev(step)
    many = torch.func.vmap(each)
    error = np.abs(many(states(), x).numpy() - model.transitions(X)[0]).max()
    assert error < 1e-5, error
    return best(
        {
            "numlstm transitions": lambda: model.transitions(X),
            "torch vmap(jacrev)": lambda: many(states(), x),
            "torch jacrev, step by step": lambda: list(map(each, states(), x)),
            "numlstm jacobian of the last state": lambda: model.jacobian(X, "state", "state"),
            "torch jacrev of the last state": lambda: torch.func.jacrev(whole)(torch.zeros(2 * H)),
        }
    )


def main() -> None:
    """Measure, print, and store as JSON where a path is given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    results = {"processor": platform.processor() or platform.machine(), "milliseconds": {}}
    times = transitions(100, 8, 64)
    results["milliseconds"]["T, I, H = 100, 8, 64, float32: Jacobians"] = times
    print(*(f"{name}: {value:.2f} ms" for name, value in times.items()), sep="\n", flush=True)
    for dtype in ("float32", "float64"):
        for name, variant in VARIANTS.items():
            for size in SIZES:
                title = f"B, T, I, H = {size}, {dtype}, {name}"
                times = passes(*size, dtype, variant)
                results["milliseconds"][title] = times
                ratios = {
                    "hessp / gradient": times["hessp"] / times["gradient"],
                    "jvp along X / forward": times["jvp along X"] / times["forward"],
                    "along X and theta": times["jvp along X and theta"] / times["forward"],
                }
                print(
                    title,
                    *(f"{key} {value:.2f}" for key, value in ratios.items()),
                    sep="; ",
                    flush=True,
                )
    if output:
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
