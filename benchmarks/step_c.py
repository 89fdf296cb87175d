"""Time of one step of exported C files, batch 1, one core, beside the machine's peak.

python benchmarks/step_c.py [results.json]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from peers import cpu_model
from suite.peak import Peak

import numlstm

SIZES = (1, 8), (1, 16), (1, 32), (8, 64), (16, 128)  # inputs, units
NUMBERS = {"float32": "float", "float64": "double"}
ROUNDS = 5  # of everything, so that a neighbour's burst does not hit one row only
FLAGS = ("-O3", "-march=native")


def build(folder: Path, compiler: str, dtype: str, sizes: tuple[int, int]) -> Path:
    """A program that times the step of a network of these sizes with one output."""
    numlstm.LSTM(*sizes, 1, dtype=dtype, rng=0).export_c(folder / "net.c")
    program = folder / f"{compiler}-{dtype}-{sizes[0]}-{sizes[1]}"
    driver = Path(__file__).with_suffix(".c")
    command = [compiler, *FLAGS, f"-DNUMBER={NUMBERS[dtype]}", f"-I{folder}"]
    subprocess.run([*command, folder / "net.c", driver, "-o", program, "-lm"], check=True)
    return program


def measure(programs: dict, peak: Peak) -> dict:
    """The best time of every program in ns, and the peak, measured in between."""
    best = dict.fromkeys(programs, float("inf"))
    for _ in range(ROUNDS):
        for key, program in programs.items():
            done = subprocess.run([program], capture_output=True, text=True, check=True)
            best[key] = min(best[key], float(done.stdout))
        peak.measure()
    return best


def main(path: str | None = None) -> None:
    """Build, measure, print, store."""
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    with tempfile.TemporaryDirectory() as folder:
        programs = {
            (compiler, dtype, sizes): build(Path(folder), compiler, dtype, sizes)
            for dtype in NUMBERS
            for sizes in SIZES
            for compiler in compilers
        }
        peak = Peak("float32", 1)
        best = measure(programs, peak)
    print(f"peak {peak.flops_per_second / 1e9:.0f} GF/s; ns per step")
    rows = []
    for (compiler, dtype, (inputs, units)), time in best.items():
        row = {"compiler": compiler, "dtype": dtype, "inputs": inputs, "units": units, "ns": time}
        rows.append(row)
        print("  ".join(f"{value!s:>8}" for value in row.values()))
    if path:
        found = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "cpu": cpu_model(),
            "load": round(os.getloadavg()[0], 2),
            "compilers": {name: version(name) for name in compilers},
            "flags": FLAGS,
            "peak_gflops": round(peak.flops_per_second / 1e9, 1),
            "steps": rows,
        }
        Path(path).write_text(json.dumps(found, indent=1) + "\n")


def version(compiler: str) -> str:
    """The first line of what a compiler says of itself."""
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
