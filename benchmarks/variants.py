"""What a variant costs beside the plain layer: `python benchmarks/variants.py`.

Forward and backward passes of one layer, the plain one and a variant taking turns; the ratio is the
median over the pairs. The last row is a ragged batch with a mean length of half the longest.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import circumstances

import numlstm

VARIANTS: dict[str, dict[str, Any]] = {
    "peephole": {"cell": {"peephole": True}},
    "coupled forget gate": {"cell": {"forget_gate": "coupled"}},
    "activation_clip": {"cell": {"activation_clip": 3.0}},
    "cell_clip": {"cell": {"cell_clip": 3.0}},
    "zoneout": {"dropout": {"zoneout_h": 0.1, "zoneout_c": 0.1}},
    "recurrent dropout": {"dropout": {"recurrent": 0.2}},
    "variational dropout": {"dropout": {"inputs": 0.2, "states": 0.2}},
    "DropConnect": {"dropout": {"weights": 0.2}},
    "layer normalisation": {"cell": {"layer_norm": True}},
    "projection to half": {"proj_size": 128},
    "resets": {},
    "ragged, nearly full": {},
    "ragged, half full": {},
}


def pass_of(name: str, sizes: tuple[int, ...]) -> Callable[[], None]:
    """A forward and backward pass of a variant, its masks drawn anew every time."""
    T, B, inputs, units = sizes
    rng = np.random.default_rng(0)
    options = {"init": {"weights": "uniform"}, "rng": 0} | VARIANTS.get(name, {})
    model = numlstm.LSTM(inputs, units, **options)
    X = rng.standard_normal((B, T, inputs)).astype("float32")
    dY = np.ones((B, T, model.spec.width), "float32")
    lengths, reset = None, None
    if name == "resets":
        reset = rng.random((B, T)) < 0.05
    if name.startswith("ragged"):
        lengths = np.linspace(1 if "half" in name else T - 2, T, B).round().astype(int)
    noisy = "dropout" in options

    def run() -> None:
        noise = np.random.default_rng(1) if noisy else None
        _, pullback = model.vjp(X, lengths=lengths, reset=reset, noise_rng=noise)
        pullback(dY)

    return run


def measure(name: str, sizes: tuple[int, ...], pairs: int) -> float:
    """The median of the variant's time over the plain one's."""
    plain, variant = pass_of("plain", sizes), pass_of(name, sizes)
    ratios = []
    for pair in range(pairs + 1):
        seconds = [timed(call) for call in (plain, variant)]
        if pair > 0:  # the first one compiles
            ratios.append(seconds[1] / seconds[0])
    return statistics.median(ratios)


def timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs=4, type=int, default=(100, 64, 64, 256), metavar="TBIH")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--output", type=Path, help="store the ratios as JSON")
    options = parser.parse_args()
    ratios = {}
    for name in VARIANTS:
        ratios[name] = round(measure(name, tuple(options.sizes), options.pairs), 3)
        print(f"{name:24}{ratios[name]:6.2f}", flush=True)
    if options.output:
        report = circumstances() | {"sizes": list(options.sizes), "ratios": ratios}
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
