"""solve_ivp with an LSTM in the right-hand side: `python benchmarks/closure.py`.

A driven pendulum whose friction an LSTM gives, from the angular velocity and a state that is held
while the solver tries its stages. The same network twice: a numlstm stepper in a `numba.njit`
right-hand side, and `torch.nn.LSTM` with a linear head in a Python one.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import numba
import numpy as np
import torch
from scipy.integrate import solve_ivp

import numlstm

STORE = Path(__file__).parent / "results" / "closure.json"


@numba.njit
def compiled(t, u, stepper, h, c, h_try, c_try, x, y):
    """du/dt; the state h, c stays."""
    h_try[:], c_try[:], x[0] = h, c, u[1]
    stepper.step(x, h_try, c_try, y)
    return np.array([u[1], -np.sin(u[0]) + 0.5 * np.cos(0.7 * t) - y[0]])


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


def measure(units: int, repeats: int) -> dict:
    """Best times of interleaved runs, of the right-hand side alone and of the whole solution."""
    torch.set_num_threads(1)
    model = numlstm.LSTM(1, units, 1, dtype="float64", rng=0)
    stepper = model.njit()
    arguments = (
        stepper,
        *stepper.initial_state(),
        *stepper.initial_state(),
        np.ones(1),
        np.ones(1),
    )
    u = np.array([1.0, 0.0])
    contenders = {"numlstm": (compiled, arguments), "torch": (in_torch(model), ())}
    best = {name: [np.inf, np.inf] for name in contenders}
    solutions = {}
    for _ in range(repeats):
        for name, (rhs, args) in contenders.items():
            start = time.perf_counter()
            for _ in range(1000):
                rhs(0.1, u, *args)
            middle = time.perf_counter()
            solutions[name] = solve_ivp(rhs, (0, 20), u, args=args, rtol=1e-6).y[:, -1]
            end = time.perf_counter()
            times = (middle - start) / 1000 * 1e6, (end - middle) * 1e3
            best[name] = [min(pair) for pair in zip(best[name], times, strict=True)]
    np.testing.assert_allclose(solutions["numlstm"], solutions["torch"], rtol=1e-9)
    ours, theirs = best["numlstm"], best["torch"]
    return {
        "units": units,
        "rhs_us": {"numlstm": ours[0], "torch": theirs[0], "ratio": theirs[0] / ours[0]},
        "solve_ivp_ms": {"numlstm": ours[1], "torch": theirs[1], "ratio": theirs[1] / ours[1]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run; no measurement")
    options = parser.parse_args()
    results = [measure(units, 1 if options.quick else 10) for units in (8, 16, 64)]
    for row in results:
        for what in ("rhs_us", "solve_ivp_ms"):
            print("H = {:3d} {:13s}".format(row["units"], what), end="")
            print(
                "  numlstm {numlstm:8.2f}  torch {torch:8.2f}  ratio {ratio:5.1f}".format(
                    **row[what]
                )
            )
    if not options.quick:
        versions = {"numba": numba.__version__, "torch": torch.__version__}
        store = {"date": date.today().isoformat(), "versions": versions, "results": results}
        STORE.write_text(json.dumps(store, indent=1) + "\n")


if __name__ == "__main__":
    main()
