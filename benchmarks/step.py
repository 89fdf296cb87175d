"""One time step inside a compiled loop: `python benchmarks/step.py` prints and stores a table.

Batch 1, float32, one core, the network without a head.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import numba
import numpy as np
from peers import cpu_model
from suite.peak import Peak

import numlstm

SIZES = (1, 8), (1, 16), (1, 32), (8, 64), (16, 128)  # inputs, units
STEPS = 2000
STORE = Path(__file__).parent / "results" / "step.json"


@numba.njit
def simulate(stepper, x, h, c, y, steps):
    """Steps with an input that changes."""
    for t in range(steps):
        x[0] = 0.001 * t
        stepper.step(x, h, c, y)


def contender(inputs: int, units: int):
    """A call that takes STEPS steps."""
    stepper = numlstm.LSTM(inputs, units, rng=0).njit()
    h, c = stepper.initial_state()
    x, y = np.ones(inputs, "float32"), np.empty(units, "float32")
    return lambda: simulate(stepper, x, h, c, y, STEPS)


def python_step(units: int = 16):
    """`model.step` from Python."""
    model = numlstm.LSTM(8, units, rng=0)
    x, state = np.ones(8, "float32"), model.step(np.ones(8))[1]

    def steps():
        y_and_state = None, state
        for _ in range(STEPS):
            y_and_state = model.step(x, y_and_state[1])

    return steps


def measure(repeats: int) -> dict:
    """Best times of interleaved runs, in ns a step."""
    contenders = {size: contender(*size) for size in SIZES} | {"python": python_step()}
    peak, best = Peak("float32", 1), dict.fromkeys(contenders, np.inf)
    for run in contenders.values():
        run()
    for _ in range(repeats):
        peak.measure(0.01)
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - start) / STEPS * 1e9)
    rows = [{"I": size[0], "H": size[1], "ns": best[size]} for size in SIZES]
    return {
        "date": date.today().isoformat(),
        "cpu": cpu_model(),
        "peak_gflops": peak.flops_per_second / 1e9,
        "numba": numba.__version__,
        "step": rows,
        "python_step_us": best["python"] / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run; no measurement")
    parser.add_argument("--output", type=Path, default=STORE)
    options = parser.parse_args()
    result = measure(1 if options.quick else 100)
    print(f"peak {result['peak_gflops']:.0f} GF/s; model.step {result['python_step_us']:.1f} us")
    for row in result["step"]:
        print("{I:4d} inputs {H:4d} units {ns:7.0f} ns".format(**row))
    if not options.quick:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
