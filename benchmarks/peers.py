"""numlstm beside PyTorch, ONNX Runtime and JAX: `python benchmarks/peers.py`.

Every library that is installed gets the same problems, with the same weights and the same number of
threads, and its results are compared with ours before it is timed. Then the calls alternate, ours,
theirs, ours, theirs, so that whatever else the machine does falls on all alike; what counts are the
medians. Training runs alternate too, each side in processes of its own: within a fit of another
library, a loop has neither the threads nor the caches that it has alone. All of it is stored as
JSON, from which `--markdown FILE` prints the tables again.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tables
from contenders import (
    INPUTS,
    PEERS,
    SEQUENCES,
    STEPS,
    UNITS,
    NumLSTM,
    Problem,
    fit_epochs,
    torch_epoch,
    training_data,
)
from suite.peak import Peak

GRID = (  # T, B, I, H
    (1, 1, 8, 16),
    (50, 1, 4, 16),
    (100, 1, 8, 64),
    (100, 8, 8, 32),
    (100, 32, 8, 64),
    (200, 16, 32, 128),
    (100, 64, 16, 128),
    (100, 64, 64, 256),
    (365, 256, 30, 128),
    (100, 128, 256, 512),
    (64, 32, 1024, 1024),
)
ONLY = {  # what the options call them, and the methods of a contender
    "forward": ("forward",),
    "backward": ("forward_backward",),
    "fit": (),  # in processes of its own
    "step": ("step", "kernel"),
}
SMALL = {"step": (1, 1, 8, 16), "kernel": (1000, 1, 8, 16)}
SETTLE = 0.005  # seconds; threads of the last contender that still spin go to sleep
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least so many pairs and seconds, each sample so long."""

    pairs: int
    seconds: float
    sample: float
    sequences: int
    epochs: int  # timed in every process of a training run, of which there are `pairs`


FULL = Effort(pairs=7, seconds=1.0, sample=0.005, sequences=SEQUENCES, epochs=5)
QUICK = Effort(pairs=2, seconds=0.02, sample=0.001, sequences=512, epochs=1)


@dataclass(frozen=True)
class Row:
    """One problem, and the median seconds of everyone who did it."""

    kind: str
    dtype: str
    threads: int
    size: tuple[int, int, int, int]
    flops: int
    pairs: int
    seconds: dict[str, float]


def interleave(calls: dict[str, Callable[[], Any]], effort: Effort) -> dict[str, list[float]]:
    """Seconds per call in every sample, the contenders taking turns."""
    repeats = {name: repeats_for(call, effort.sample) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    end, pairs = time.perf_counter() + effort.seconds, 0
    while pairs < effort.pairs or time.perf_counter() < end:
        for name, call in calls.items():
            time.sleep(SETTLE)
            seconds[name].append(timed(call, repeats[name]) / repeats[name])
        pairs += 1
    return seconds


def repeats_for(call: Callable[[], Any], sample: float) -> int:
    """How many calls fill a sample; finding out warms everything up."""
    repeats = 1
    timed(call, 1)
    while timed(call, repeats) < sample:
        repeats *= 2
    return repeats


def timed(call: Callable[[], Any], repeats: int) -> float:
    """Seconds for so many calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start


def measure(kind: str, problem: Problem, peers: list[str], effort: Effort) -> Row:
    """Time one kind of work on one problem."""
    contenders = {"numlstm": NumLSTM(problem)} | {name: PEERS[name](problem) for name in peers}
    calls = {
        name: getattr(contender, kind)
        for name, contender in contenders.items()
        if hasattr(contender, kind)
    }
    require_equal({name: call() for name, call in calls.items()})
    flops = problem.flops * (3 if kind == "forward_backward" else 1)
    return row(kind, problem, flops, interleave(calls, effort))


def require_equal(results: dict[str, list]) -> None:
    """Refuse to time a contender that computes something else."""
    for name, arrays in results.items():
        for ours, theirs in zip(results["numlstm"], arrays, strict=True):
            error = np.linalg.norm(ours - np.asarray(theirs).reshape(ours.shape)) / np.linalg.norm(
                ours
            )
            if error > 1e-4:
                raise RuntimeError(f"{name} and numlstm differ by {error:.1e}")


def measure_fit(options: argparse.Namespace, threads: int, dtype: str) -> Row:
    """Epochs of `numlstm.fit` and of PyTorch's loop, in processes that take turns."""
    effort = QUICK if options.quick else FULL
    problem = Problem(STEPS, effort.sequences, INPUTS, UNITS, dtype, threads)
    sides = ["numlstm"] + ["torch"] * (not PEERS["torch"].missing())
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(effort.pairs):
        for name in sides:
            seconds[name] += in_a_process(threads, dtype, name)
    return row("fit", problem, 3 * problem.flops, seconds)


def epochs_of(side: str, threads: int, dtype: str, effort: Effort) -> list[float]:
    """Seconds of every epoch of one side, in a process that does nothing else."""
    X, y = training_data(effort.sequences, dtype)
    if side == "numlstm":
        return fit_epochs(X, y, effort.epochs)
    epoch = torch_epoch(X, y, threads)
    timed(epoch, 1)
    return [timed(epoch, 1) for _ in range(effort.epochs)]


def row(kind: str, problem: Problem, flops: int, seconds: dict[str, list[float]]) -> Row:
    size = (problem.steps, problem.batch, problem.inputs, problem.units)
    medians = {name: statistics.median(samples) for name, samples in seconds.items()}
    pairs = len(seconds["numlstm"])
    result = Row(kind, problem.dtype, problem.threads, size, flops, pairs, medians)
    shown = ", ".join(f"{name} {tables.duration(value)}" for name, value in medians.items())
    print(f"{problem.dtype}, {problem.threads} thread(s), {kind} {size}: {shown}", file=sys.stderr)
    return result


def measure_all(options: argparse.Namespace, threads: int, dtype: str) -> dict:
    """All rows of one dtype and the peak, with the number of threads that this process has."""
    effort, peak = QUICK if options.quick else FULL, Peak(dtype, threads)
    peers = [name for name, peer in PEERS.items() if dtype in peer.dtypes and not peer.missing()]
    rows = []
    for kind, size in problems(options):
        peak.measure(effort.seconds / 4)
        rows.append(measure(kind, Problem(*size, dtype, threads), peers, effort))
    peak.measure(effort.seconds / 4)
    reached = {"dtype": dtype, "threads": threads, "flops_per_second": peak.flops_per_second}
    return {"rows": [asdict(row) for row in rows], "peaks": [reached]}


def problems(options: argparse.Namespace) -> Iterator[tuple[str, tuple[int, ...]]]:
    for chosen in options.only:
        for kind in ONLY[chosen]:
            if kind in SMALL:
                yield kind, SMALL[kind]
            else:
                yield from ((kind, size) for size in options.sizes)


def in_a_process(threads: int, dtype: str, side: str = "all") -> Any:
    """The measurements of a child process that has so many threads from its start.

    Of one `side` of a training run, or of everything else.
    """
    number = str(threads)
    names = ("NUMBA", "OMP", "MKL", "OPENBLAS")
    limits = {f"{name}_NUM_THREADS": number for name in names} | {"NPROC": number}  # NPROC: JAX
    if threads == 1:
        limits["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    command = [sys.executable, *sys.argv, "--child", side, number, dtype]
    child = subprocess.run(command, env=os.environ | limits, stdout=subprocess.PIPE, check=True)
    return json.loads(child.stdout)


def circumstances() -> dict:
    """When, where and with what."""
    versions = {"python": platform.python_version()}
    for name in ("numlstm", "numpy", "numba", *PEERS):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions,
        "commit": commit,
    }


def cpu_model() -> str:
    """The processor's name as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cpu_count() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def size(text: str) -> tuple[int, ...]:
    """T,B,I,H."""
    numbers = tuple(int(part) for part in text.split(","))
    if len(numbers) != 4:
        raise ValueError(text)
    return numbers


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="see that it works; no measurement")
    parser.add_argument("--only", nargs="+", choices=ONLY, default=list(ONLY))
    parser.add_argument("--sizes", nargs="+", type=size, default=GRID, metavar="T,B,I,H")
    parser.add_argument("--dtype", nargs="+", choices=("float32", "float64"), default=["float32"])
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, cpu_count()}))
    parser.add_argument("--output", type=Path, default=HERE / "results.json", metavar="JSON")
    parser.add_argument("--markdown", type=Path, metavar="JSON", help="print what a run has stored")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = read_options()
    if options.child:
        side, threads, dtype = options.child
        if side == "all":
            measured: Any = measure_all(options, int(threads), dtype)
        else:
            effort = QUICK if options.quick else FULL
            measured = epochs_of(side, int(threads), dtype, effort)
        print(json.dumps(measured))
        return
    if options.markdown:
        print(tables.markdown(json.loads(options.markdown.read_text())))
        return
    for name, peer in PEERS.items():
        if missing := peer.missing():
            print(f"without {name}: {' and '.join(missing)} not installed", file=sys.stderr)
    report = circumstances() | {"quick": options.quick, "rows": [], "peaks": []}
    for dtype in options.dtype:
        for threads in options.threads:
            part = in_a_process(threads, dtype)
            report["rows"] += part["rows"]
            report["peaks"] += part["peaks"]
            if "fit" in options.only:
                report["rows"].append(asdict(measure_fit(options, threads, dtype)))
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(tables.markdown(report))


if __name__ == "__main__":
    main()
