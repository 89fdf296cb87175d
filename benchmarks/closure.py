"""An ODE with an LSTM in its right-hand side: `python benchmarks/closure.py`.

A driven pendulum whose friction an LSTM gives, from the angular velocity and a state that is held
while the solver tries its stages. The same network twice: a numlstm stepper in a `numba.njit`
right-hand side, and `torch.nn.LSTM` with a linear head in a Python one. SciPy calls both from
Python, at a cost of its own; a loop of one's own is compiled as a whole.
"""

import argparse
import json
import time
from datetime import date
from functools import partial
from pathlib import Path

import numba
import numpy as np
import torch
from peers import cpu_model
from scipy.integrate import solve_ivp

import numlstm

METHODS = "RK45", "DOP853", "LSODA"
STORE = Path(__file__).parent / "results" / "closure.json"


@numba.njit
def without(t, u):
    """The pendulum without a network: what is left of the time is SciPy's own."""
    return np.array([u[1], -np.sin(u[0]) + 0.5 * np.cos(0.7 * t)])


@numba.njit
def compiled(t, u, stepper, held, tried, xy):
    """du/dt; the state, held (2, 1, H), stays."""
    tried[:], xy[0] = held, u[1]
    stepper.step(xy[:1], tried[0], tried[1], xy[1:])
    return np.array([u[1], -np.sin(u[0]) + 0.5 * np.cos(0.7 * t) - xy[1]])


def runge_kutta(rhs, u, *args):
    """u after 2000 steps of the classical method."""
    dt = 0.01
    for n in range(2000):
        t = n * dt
        k1 = rhs(t, u, *args)
        k2 = rhs(t + dt / 2, u + dt / 2 * k1, *args)
        k3 = rhs(t + dt / 2, u + dt / 2 * k2, *args)
        k4 = rhs(t + dt, u + dt * k3, *args)
        u = u + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return u


runge_kutta_compiled = numba.njit(runge_kutta)


def in_torch(model: numlstm.LSTM):
    """The same right-hand side with a PyTorch module of the same parameters."""
    parts = {name: torch.from_numpy(value.copy()) for name, value in model.params.items()}
    units = model.spec.hidden_size
    lstm = torch.nn.LSTM(1, units, batch_first=True, dtype=torch.float64)
    head = torch.nn.Linear(units, 1, dtype=torch.float64)
    with torch.no_grad():
        lstm.weight_ih_l0[...], lstm.weight_hh_l0[...] = (
            parts["weight_ih_l0"],
            parts["weight_hh_l0"],
        )
        lstm.bias_ih_l0[...], lstm.bias_hh_l0[...] = parts["bias_l0"], 0
        head.weight[...], head.bias[...] = parts["head_weight"], parts["head_bias"]
    state = (torch.zeros(1, 1, units, dtype=torch.float64),) * 2

    def rhs(t, u):
        with torch.inference_mode():
            out, _ = lstm(torch.tensor([[[u[1]]]], dtype=torch.float64), state)
            y = head(out).item()
        return np.array([u[1], -np.sin(u[0]) + 0.5 * np.cos(0.7 * t) - y])

    return rhs


def calls(rhs, u, args) -> None:
    """A thousand calls of the right-hand side."""
    for _ in range(1000):
        rhs(0.1, u, *args)


def solve(method: str, rhs, u, args):
    """u at the end, by SciPy."""
    return solve_ivp(rhs, (0, 20), u, args=args, rtol=1e-6, method=method).y[:, -1]


def tasks(model: numlstm.LSTM) -> dict:
    """What is timed, in ms: name -> contender -> call."""
    units, u = model.spec.hidden_size, np.array([1.0, 0.0])
    state = np.zeros((2, 2, 1, units))
    contenders = {
        "numlstm": (compiled, (model.njit(), *state, np.ones(2))),
        "torch": (in_torch(model), ()),
        "no network": (without, ()),
    }
    found = {
        "1000 calls": {
            name: partial(calls, rhs, u, args) for name, (rhs, args) in contenders.items()
        }
    }
    for method in METHODS:
        found[f"solve_ivp, {method}"] = {
            name: partial(solve, method, rhs, u, args) for name, (rhs, args) in contenders.items()
        }
    found["own Runge-Kutta loop"] = {
        name: partial(runge_kutta if name == "torch" else runge_kutta_compiled, rhs, u, *args)
        for name, (rhs, args) in contenders.items()
    }
    return found


def measure(units: int, repeats: int) -> dict:
    """Best times of interleaved runs in ms, and how many times faster than PyTorch.

    "at most" is that ratio for a right-hand side whose network costs nothing.
    """
    torch.set_num_threads(1)
    model = numlstm.LSTM(1, units, 1, dtype="float64", rng=0)
    rows = {}
    for task, contenders in tasks(model).items():
        best, results = dict.fromkeys(contenders, np.inf), {}
        for _ in range(repeats):
            for name, run in contenders.items():
                start = time.perf_counter()
                results[name] = run()
                best[name] = min(best[name], (time.perf_counter() - start) * 1e3)
        if results["torch"] is not None:
            np.testing.assert_allclose(results["numlstm"], results["torch"], rtol=1e-9)
        ratios = {"ratio": best["torch"] / best["numlstm"]}
        ratios["at most"] = best["torch"] / best["no network"]
        rows[task] = {name: round(value, 3) for name, value in (best | ratios).items()}
    return {"units": units, "ms": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run; no measurement")
    options = parser.parse_args()
    results = [measure(units, 1 if options.quick else 8) for units in (8, 16, 64)]
    for row in results:
        for task, times in row["ms"].items():
            numbers = "  ".join(f"{name} {value:8.2f}" for name, value in times.items())
            print(f"H = {row['units']:3d} {task:21s} {numbers}")
    if not options.quick:
        versions = {"numba": numba.__version__, "torch": torch.__version__}
        store = {"date": date.today().isoformat(), "cpu": cpu_model(), "versions": versions}
        STORE.write_text(json.dumps(store | {"results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
