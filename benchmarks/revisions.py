"""Two checkouts of numlstm beside each other: `python benchmarks/revisions.py OLD NEW`.

Each checkout has a process of its own, and the two take turns, row by row; a row's figure is the
median over the pairs of new over old. Passes over the sizes of peers.py, variants, single steps,
predictions of small batches, ensembles and the start of a process. Run it on an idle machine, after
both have compiled their kernels (the first run does).
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTLE = 0.005  # seconds; threads of the other process that still spin go to sleep
SAMPLE = 0.02  # seconds of calls that make a sample
SIZES = (  # T, B, I, H
    *((1, 1, 8, 16), (50, 1, 4, 16), (100, 1, 8, 64), (100, 8, 8, 32), (100, 32, 8, 64)),
    *((200, 16, 32, 128), (100, 64, 16, 128), (100, 64, 64, 256), (365, 256, 30, 128)),
    *((100, 128, 256, 512), (64, 32, 1024, 1024)),
)
VARIED = (100, 64, 64, 256)
VARIANTS: dict[str, dict[str, Any]] = {
    "peephole": {"cell": {"peephole": True}},
    "coupled": {"cell": {"forget_gate": "coupled"}},
    "cell_clip": {"cell": {"cell_clip": 3.0}},
    "layer_norm": {"cell": {"layer_norm": True}},
    "projection": {"proj_size": 128},
    "zoneout": {"dropout": {"zoneout_h": 0.1, "zoneout_c": 0.1}},
}
STEPS = ((1, 8), (1, 16), (1, 32), (8, 64), (16, 128))  # I, H
MEMBERS = ((32, "batches of 32"), (2, "batches of 2"))
IMPORT = "import numlstm"
FIT = "import numpy, numlstm; numlstm.fit(numpy.zeros((4, 8, 1)) + 0.1, epochs=1, rng=0)"


def rows() -> dict[str, Callable[[], Callable[[], Any]]]:
    """Name -> what makes the call to time; run in the process of a checkout."""
    made: dict[str, Callable[[], Callable[[], Any]]] = {}
    for size in SIZES:
        made[f"forward {size}"] = lambda size=size: forward(size)
        made[f"forward+backward {size}"] = lambda size=size: passes(size, {})
    for name, options in VARIANTS.items():
        made[f"{name} {VARIED}"] = lambda options=options: passes(VARIED, options)
    for dtype in ("float32", "float64"):
        normalised = {"cell": {"layer_norm": True}, "dtype": dtype}
        made[f"normalised forward, {dtype}"] = lambda o=normalised: forward((100, 32, 8, 64), o)
    for size in STEPS:
        made[f"njit step {size}"] = lambda size=size: compiled_steps(*size)
    made["model.step"] = python_step
    made["predict, T = 20"] = prediction
    for batch, name in MEMBERS:
        made[f"ensemble, {name}"] = lambda batch=batch: ensemble(batch)
    return made


def network(inputs: int, units: int, **options: Any):
    import numlstm

    if not hasattr(numlstm, "Cell"):  # version 0.1.0 has the fields of a cell as keywords
        options |= options.pop("cell", {})
    return numlstm.LSTM(inputs, units, rng=0, **options)


def drawn(*shape: int):
    import numpy as np

    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def forward(size: tuple[int, ...], options: dict[str, Any] | None = None) -> Callable[[], Any]:
    steps, batch, inputs, units = size
    model, X = network(inputs, units, **options or {}), drawn(batch, steps, inputs)
    return lambda: model.forward(X)


def passes(size: tuple[int, ...], options: dict[str, Any]) -> Callable[[], Any]:
    steps, batch, inputs, units = size
    model, X = network(inputs, units, **options), drawn(batch, steps, inputs)
    dY, seed = drawn(batch, steps, model.spec.width), 1 if "dropout" in options else None
    return lambda: model.vjp(X, noise_rng=seed)[1](dY)


def compiled_steps(inputs: int, units: int) -> Callable[[], Any]:
    import numba

    stepper = network(inputs, units).njit()
    (h, c), x, y = stepper.initial_state(), drawn(inputs), drawn(units)

    @numba.njit
    def steps(stepper, x, h, c, y):
        for t in range(2000):
            x[0] = 0.001 * t
            stepper.step(x, h, c, y)

    return lambda: steps(stepper, x, h, c, y)


def python_step() -> Callable[[], Any]:
    model, x = network(8, 16), drawn(8)
    state = model.step(x)[1]
    return lambda: model.step(x, state)


def prediction() -> Callable[[], Any]:
    model, X = network(4, 16, output_size=1), drawn(2, 20, 4)
    return lambda: model.predict(X)


def ensemble(batch: int) -> Callable[[], Any]:
    import numlstm

    X = drawn(64, 100, 1)
    options = {"hidden_size": 32, "batch_size": batch, "epochs": 1, "rng": 0}
    return lambda: numlstm.ensemble(X, X, members=16, **options)


def serve() -> None:
    """Time the row that is asked for on a line of standard input; print seconds a call."""
    made, calls = rows(), {}
    for line in sys.stdin:
        name = json.loads(line)
        if name not in calls:
            calls.clear()  # the arrays of one row at a time
            calls[name] = made[name]()
            calls[name]()
        time.sleep(SETTLE)
        call, count, start = calls[name], 0, time.perf_counter()
        while count == 0 or time.perf_counter() - start < SAMPLE:
            call()
            count += 1
        print((time.perf_counter() - start) / count, flush=True)


class Checkout:
    """A checkout and its process."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, **pipes)

    @property
    def environment(self) -> dict[str, str]:
        import os

        return os.environ | {"PYTHONPATH": str(self.folder)}

    def seconds(self, name: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(name), file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def start_up(self, code: str) -> float:
        start = time.perf_counter()
        command = [sys.executable, "-W", "ignore", "-c", code]
        subprocess.run(command, cwd=self.folder, env=self.environment, check=True)
        return time.perf_counter() - start


def compare(measure: list[Callable[[], float]], pairs: int) -> float:
    """The median of new over old."""
    [call() for call in measure]
    return statistics.median(measure[1]() / measure[0]() for _ in range(pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="OLD NEW")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    if len(options.checkouts) != 2:
        parser.error("two checkouts are compared, the old one and the new one")
    both, ratios = [Checkout(folder) for folder in options.checkouts], {}
    timed = {name: [lambda c=c, n=name: c.seconds(n) for c in both] for name in rows()}
    for name, code in (("import", IMPORT), ("import and first fit", FIT)):
        timed[name] = [lambda c=c, code=code: c.start_up(code) for c in both]
    for name in timed:
        if options.only in name:
            ratios[name] = compare(timed[name], options.pairs)
            print(f"{name:42}{ratios[name]:7.3f}", flush=True)
    mean = math.exp(statistics.mean(map(math.log, ratios.values())))
    print(f"{'geometric mean of new / old':42}{mean:7.3f}")
    for checkout in both:
        checkout.process.kill()
    return None


if __name__ == "__main__":
    main()
