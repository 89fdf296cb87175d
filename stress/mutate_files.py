"""Structured mutations of model files and checkpoints, each sealed again under its checksum.

`numlstm.load` must refuse a mutant with `StorageError`, or give a model that is used: shown, its
predictions and steps compared with those of the reference backend on the same file, and saved
again. A checkpoint is refused, or a fit goes on from it. Everything happens in child processes with
3 GB of address space; one that dies, or takes five seconds of computing, is a finding with the seed
and number of its case.

    python stress/mutate_files.py --cases 100000        # half an hour on a core
    python stress/mutate_files.py --only 4711           # one case again, in this process
"""

import argparse
import collections
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import numlstm
from hostile_files import Rng, mutated
from numlstm.training import loop
from numlstm.utils import files
from sealed_files import taken_apart

MEMORY = 3 * 2**30  # bytes of address space
COMPUTING, WAITING = 5, 60  # seconds of processor time, and by the clock
BARS = {"float32": 1e-4, "float64": 1e-10}
CHECKPOINTS = 0.1  # their share of all cases

MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "double": {"dtype": "float64"},
    "no head": {"output_size": None},
    "projection": {"proj_size": 2, "dtype": "float64"},
    "peephole": {"cell": {"peephole": True, "forget_gate": "coupled"}},
    "layer norm": {"cell": {"layer_norm": True}, "dtype": "float64"},
    "gates": {"cell": {"layer_norm": "gates", "peephole": True}},
    "bidirectional": {"bidirectional": True, "num_layers": 2, "dropout": 0.2},
    "residual": {"residual": True, "num_layers": 3, "learned_state": True},
    "activations": {"cell": {"activations": ("hard_sigmoid", ("elu", 0.5), "softsign")}},
    "clipped": {"cell": {"activation_clip": 2.0, "cell_clip": 0.5, "forget_gate": "none"}},
}
RNG = np.random.default_rng(1)
SERIES = RNG.standard_normal((6, 7, 2))
INPUTS = RNG.standard_normal((2, 5, 2))
FITS: dict[str, dict[str, Any]] = {
    "adam": {"batch_size": 4, "bptt_steps": 3},
    "judged": {"validation": 0.3, "patience": 2, "method": "rmsprop", "dtype": "float64"},
    "ensemble": {"members": 3, "batch_size": 4, "bptt_steps": 3},
}


def fitted(name: str, **options: Any) -> Any:
    """The end of a small fit, or of an ensemble's."""
    chosen = {
        "hidden_size": 3,
        "rng": 0,
        "epochs": 3,
        "backend": "cpu",
        **FITS.get(name, {}),
        **options,
    }
    function = numlstm.ensemble if "members" in chosen else numlstm.fit
    return function(chosen.pop("X", SERIES), SERIES[..., :1], **chosen)


def content(model: numlstm.LSTM) -> bytes:
    """The file of a model."""
    buffer = io.BytesIO()
    model.save(buffer)
    return buffer.getvalue()


def honest() -> dict[str, bytes]:
    """Files of all kinds, by name; those of checkpoints are called as their fits."""
    models = {name: numlstm.LSTM(2, 4, **{"output_size": 3} | k) for name, k in MODELS.items()}
    gappy = np.where(RNG.random(SERIES.shape) < 0.2, np.nan, SERIES)
    models["scaled"] = fitted("scaled").model
    models["filled"] = fitted("filled", X=gappy, missing="mask").model
    models["variance"] = fitted("variance", loss="gaussian_nll", dtype="float64").model
    models["forecast"] = numlstm.fit(SERIES, hidden_size=3, epochs=1, backend="cpu").model
    models["forecast"].names = numlstm.data.labels.Names(("a", "b"), ("a", "b"))
    result = {name: content(model) for name, model in models.items()}
    loop._BETWEEN_CHECKPOINTS = -1.0  # one after every window
    write = files.write_checkpoint
    for name in FITS:
        written: list[bytes] = []

        def keep(path: Any, arrays: Any, meta: Any, written: list[bytes] = written) -> None:
            write(path, arrays, meta)
            written.append(Path(path).read_bytes())

        files.write_checkpoint = keep
        with tempfile.TemporaryDirectory() as folder:
            fitted(name, checkpoint=os.path.join(folder, "run"))
        result[name] = written[len(written) // 2]
    files.write_checkpoint = write
    loop._BETWEEN_CHECKPOINTS = 1e9
    return result


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, by the largest number; infinite where NaN stand elsewhere."""
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return np.inf
    size = np.max(np.abs(other), where=np.isfinite(other), initial=1e-300)
    with np.errstate(all="ignore"):
        same = np.where(one == other, 0.0, np.abs(one / size - other / size))
    return float(np.max(same, where=np.isfinite(other), initial=0.0))


def compared(answer: Any, model: numlstm.LSTM, reference: numlstm.LSTM) -> str:
    """Whether two models give the same, as far as rounding lets the parameters say what that is."""
    expected, bar = answer(reference), BARS[model.spec.dtype]
    difference = apart(answer(model), expected)
    if difference <= bar:
        return "used"
    largest = float(np.abs(reference.theta).max()) * reference.theta.size * 1e6
    if largest > np.sqrt(float(np.finfo(model.spec.dtype).max)):
        return "used, too large to compare"
    theta, moved = reference.theta.copy(), 0.0
    for seed in range(4):  # by some ulps
        noise = np.random.default_rng(seed).uniform(-4, 4, theta.size)
        reference.theta = theta * (1 + noise * np.finfo(theta.dtype).eps)
        moved = max(moved, apart(answer(reference), expected))
    if difference <= 100 * moved:
        return "used, ill-conditioned"
    return f"WRONG: {difference:.1e} from the reference"


def use(data: bytes) -> str:
    """What comes of a model's file."""
    try:
        model = numlstm.load(io.BytesIO(data), backend="cpu")
    except numlstm.StorageError:
        return "refused"
    reference = numlstm.load(io.BytesIO(data), backend="reference")
    repr(model), repr(model.params), model.feature_names_in_, model.is_new
    if content(model) != content(numlstm.load(io.BytesIO(content(model)))):
        return "WRONG: not the same when saved again"
    X = np.resize(INPUTS, (2, 5, model.num_features))
    if model.filling is not None:
        X[0, 2] = np.nan
    if X.size * model.spec.hidden_size > 1e6:
        return "used, large"
    try:
        found = compared(lambda one: one.predict(X), model, reference)
    except ValueError as error:
        if "beyond the range of" not in str(error):
            raise
        return "used, and refused the data"
    if found.startswith("used") and not model.spec.bidirectional:
        x = np.resize(INPUTS, (model.spec.input_size,))
        found = max(found, compared(lambda one: one.step(x)[0], model, reference))
    return found


def go_on(name: str, data: bytes) -> str:
    """What comes of the file of a run."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as f:
        path = Path(f) / "run"
        path.write_bytes(data)
        try:
            result = fitted(name, checkpoint=path, resume=True)
        except numlstm.StorageError:
            return "refused"
        except ValueError as error:
            if "is of another fit" not in str(error):
                raise
            return "of another fit"
        epochs = {len(values) for values in result.history.values()}
        return "gone on" if len(epochs) == 1 else f"WRONG: a history of {epochs} epochs"


def run(case: int, seed: int, sources: dict[str, bytes]) -> str:
    """What comes of a case."""
    rng: Rng = np.random.default_rng([seed, case])
    models = [name for name in sources if name not in FITS]
    names = list(FITS) if rng.random() < CHECKPOINTS else models
    name = names[rng.integers(len(names))]
    data = mutated(taken_apart(sources[name]), rng)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return go_on(name, data) if name in FITS else use(data)
    except Exception as error:
        return f"WRONG: {name}: {type(error).__name__}: {str(error)[:200]}"


def work(first: int, last: int, seed: int) -> None:
    """Some cases, in a child; a line for each, before which nothing is known of it."""
    sources = honest()
    for name, data in sources.items():  # everything that is compiled is there before the limits are
        assert (go_on(name, data) if name in FITS else use(data)) in ("used", "gone on"), name
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for case in range(first, last):
        signal.setitimer(signal.ITIMER_PROF, COMPUTING)
        signal.setitimer(signal.ITIMER_REAL, WAITING)
        os.write(1, json.dumps([case, run(case, seed, sources)]).encode() + b"\n")


def survey(cases: int, seed: int, script: str, at_once: int = 5000) -> dict[str, list[int]]:
    """The cases by what came of them; a child that dies is begun again behind its last one."""
    found: dict[str, list[int]] = collections.defaultdict(list)
    case, threads = 0, {f"{name}_NUM_THREADS": "1" for name in ("NUMBA", "OMP", "OPENBLAS")}
    while case < cases:
        last = min(cases, case + at_once)
        command = [sys.executable, script, "--work", str(case), str(last), "--seed", str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | threads) as child:
            assert child.stdout is not None
            for line in child.stdout:
                number, outcome = json.loads(line)
                found[outcome].append(number)
                case = number + 1
        if child.returncode > 0:
            raise SystemExit(f"the child of case {case} ended with {child.returncode}")
        if child.returncode < 0:
            found[f"WRONG: ended by {signal.Signals(-child.returncode).name}"].append(case)
            case += 1
        counts = {outcome: len(numbers) for outcome, numbers in found.items()}
        print(f"{case} cases", counts, file=sys.stderr, flush=True)
    return found


def command(
    description: str,
    cases: int,
    work: Callable[[int, int, int], None],
    again: Callable[[int, int], str],
    script: str,
) -> int:
    """Run the cases that the command line asks for; 1 where one of them went wrong.

    `work` runs some cases in a child of the `script`, and `again` one of them in this process.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=cases)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="a case to run in this process")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        first, last = chosen.work
        work(first, last, chosen.seed)
        return 0
    if chosen.only is not None:
        print(again(chosen.only, chosen.seed))
        return 0
    return report(survey(chosen.cases, chosen.seed, script))


def main() -> int:
    """The cases of model files and checkpoints."""
    return command(
        __doc__ or "", 100_000, work, lambda case, seed: run(case, seed, honest()), __file__
    )


def report(found: dict[str, list[int]]) -> int:
    """Print what came of the cases; 1 where one of them went wrong."""
    for outcome, numbers in sorted(found.items(), key=lambda pair: -len(pair[1])):
        print(f"{len(numbers):7d}  {outcome}   first: {numbers[:5]}")
    return int(any(outcome.startswith("WRONG") for outcome in found))


if __name__ == "__main__":
    sys.exit(main())
