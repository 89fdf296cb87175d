"""The CUDA backend on a GPU: `python benchmarks/gpu.py [--only PART ...] [--output JSON]`.

correctness: every kernel against the reference in float64, also with products on tensor cores;
fits, with their graphs, against fits by the reference; arrays of PyTorch in and out. sanitizer: a
quick form of that part, under NVIDIA's compute-sanitizer. timing: forward and backward passes of
layers whose arrays are on the device, in float32, tf32 and bf16, launched one by one and as a
graph, beside torch.nn.LSTM (cuDNN), TF32 off and on. fit: updates of whole fits, beside a training
loop in PyTorch. sweep: all cuts of the regimes in the three, for the table in
`numlstm/backends/cuda/layer/regimes.py`. Times are medians, those of layers by CUDA events; what is
compared takes turns.

NUMBA_ENABLE_CUDASIM=1 runs the quick correctness part, and nothing else, without a GPU.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from harness import run_case, run_truth  # noqa: E402
from strategies import Case, alone, random_family_case  # noqa: E402

import numlstm  # noqa: E402
from numlstm import backends  # noqa: E402
from numlstm.architecture.cell import Cell  # noqa: E402
from numlstm.architecture.spec import PRECISIONS, LayerSpec  # noqa: E402
from numlstm.cell.encoding import encode  # noqa: E402

PARTS = "correctness", "sanitizer", "timing", "fit", "sweep"
# relative in L2, per array; of a precision 4 times what a factor is rounded by at most
BARS = {"float64": 1e-12, "float32": 1e-5, "tf32": 4 * 2.0**-11, "bf16": 4 * 2.0**-8}
# (T, B, I, H): the first four are the ones that a change is judged by
SIZES = [
    (1024, 16, 64, 64),
    (128, 64, 256, 256),
    (512, 1, 512, 512),
    (365, 256, 30, 256),
    (100, 1, 8, 32),
    (100, 8, 96, 96),
    (100, 8, 128, 128),
    (100, 64, 512, 512),
    (100, 64, 1024, 1024),
    (20, 64, 2048, 2048),
]
# (I, H, B, T) of the correctness part, beside every variant: all regimes, and sizes that fit none
CORRECT = [(3, 5, 2, 3), (17, 33, 3, 20), (64, 64, 70, 9), (5, 129, 9, 6), (8, 256, 64, 5)]
CORRECT += [(3, 500, 300, 3), (2, 1024, 64, 3), (2, 1500, 65, 2)]
ROUNDS = 15
# keywords of fits whose result is compared with the reference's
FITS: list[dict] = [
    {},
    {"num_layers": 2, "bidirectional": True, "dropout": {"layers": 0.2, "states": 0.2}},
    {"cell": {"peephole": True, "layer_norm": True}, "bptt_steps": 3, "method": "rmsprop"},
    {"loss": "gaussian_nll", "clip": 0.1, "limits": {"fixed": "head_bias"}},
]
# (sequences, T, I, H, batch) of fits that are timed
TRAINED = [(2048, 100, 8, 64, 64), (2048, 365, 30, 256, 256), (256, 100, 8, 32, 16)]


# --- correctness ----------------------------------------------------------------------------------


def correctness(cuda, quick: bool) -> list[dict]:
    """The largest error of every case, and whether it is within the bar."""
    many = (case for dtype in ("float64", "float32") for case in cases(dtype, quick))
    rows = [outcome(cuda, *case) for case in (*many, *rounded_cases(quick))]
    rows += [fitted(options) for options in FITS]
    return rows if cuda.SIMULATED or not has_torch() else [*rows, borrowed_and_lent()]


def cases(dtype: str, tiny: bool):
    """Every variant by itself, variants together, and plain layers of all sizes."""
    yield from alone(dtype, *((2, 2) if tiny else (7, 9))).items()
    for seed in range(3 if tiny else 100):
        yield f"random variants {seed}", random_family_case(seed, dtype)
    for inputs, units, batch, steps in CORRECT[:1] if tiny else CORRECT:
        spec = LayerSpec(inputs, units, dtype)
        for ragged in (False, True):
            yield f"{inputs, units, batch, steps}", Case(spec, batch, steps, 1, ragged=ragged)


def rounded_cases(tiny: bool):
    """Layers of all sizes in every precision: plain, normalised and projected."""
    for precision in precisions():
        for inputs, units, batch, steps in CORRECT[:1] if tiny else CORRECT:
            plain = LayerSpec(inputs, units, "float32", precision=precision)
            normalised = replace(plain, cell=Cell(layer_norm=True))
            for name, spec in {
                "plain": plain,
                "normalised": normalised,
                "projected": replace(plain, proj_size=-(-units // 2)),
            }.items():
                case = Case(spec, batch, steps, 1, ragged=True)
                yield f"{name} {inputs, units, batch, steps}", case


def precisions() -> tuple[str, ...]:
    """Those that the device has."""
    from numlstm.backends.cuda.layer import regimes

    return PRECISIONS if regimes.device().capability >= regimes.TENSOR_CORES else ()


def outcome(cuda, name: str, case: Case) -> dict:
    """Errors relative to the norm of each array; a second run must give the same bits."""
    first, second, truth = run_case(cuda, case), run_case(cuda, case), run_truth(case)
    arithmetic, errors = case.spec.precision or case.spec.dtype, []
    for key, expected in truth.items():
        norm = np.linalg.norm(expected)
        errors.append(np.linalg.norm(first[key] - expected) / (norm or 1.0))
    same = all(first[key].tobytes() == second[key].tobytes() for key in first)
    worst = float(np.max(errors))  # a NaN, if there is one
    good = bool(same and worst <= BARS[arithmetic])
    return {"case": name, "dtype": arithmetic, "error": worst, "same_bits": same, "ok": good}


def fitted(options: dict) -> dict:
    """A fit of some updates, most of them replayed, against the same fit by the reference."""
    X = np.sin(np.arange(6) + np.arange(4)[:, None])[..., None]
    options = {"hidden_size": 5, "epochs": 5, "dtype": "float64", "rng": 0} | options
    first, second, truth = (
        numlstm.fit(X, np.cumsum(X, axis=1), backend=name, progress=False, **options).x
        for name in ("cuda", "cuda", "reference")
    )
    error = float(np.linalg.norm(first - truth) / np.linalg.norm(truth))
    same = first.tobytes() == second.tobytes()
    name = f"fit {options}"
    return {"case": name, "error": error, "same_bits": same, "ok": same and error <= 1e-10}


def borrowed_and_lent() -> dict:
    """A tensor of PyTorch's goes in, and a view of the result is one, with the same numbers."""
    import torch

    model, X = numlstm.LSTM(3, 20, 2, backend="cuda", rng=0), torch.randn(4, 7, 3, device="cuda")
    Y, pullback = model.vjp(X)
    result = torch.as_tensor(pullback(2 * torch.as_tensor(Y)).X).cpu().numpy()
    expected, pullback = model.vjp(X.cpu().numpy())
    error = float(np.abs(result - pullback(2 * expected).X).max())
    return {"case": "arrays of PyTorch", "error": error, "ok": error == 0}


def has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def sanitizer(cuda) -> list[dict]:
    """The correctness part, quickly, under each tool of compute-sanitizer."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return [{"tool": "compute-sanitizer", "ok": None, "output": "not installed"}]
    found = []
    for tool in ("memcheck", "racecheck", "synccheck"):
        command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, __file__]
        done = subprocess.run(
            [*command, "--quick", "--only", "correctness"], capture_output=True, text=True
        )
        found.append({"tool": tool, "ok": done.returncode == 0, "output": done.stdout[-2000:]})
    return found


# --- timing ---------------------------------------------------------------------------------------


def timing(cuda) -> list[dict]:
    """Seconds of a forward and backward pass by contender, medians of rounds in turns."""
    rows = []
    for T, B, inputs, H in SIZES:
        spec = LayerSpec(inputs, H, "float32")
        contenders = {"numlstm": timed_layer(spec, B, T)}
        contenders["numlstm graph"] = timed_layer(spec, B, T, graph=True)
        for precision in precisions():
            rounded = replace(spec, precision=precision)
            contenders[f"numlstm {precision}"] = timed_layer(rounded, B, T)
        if has_torch():
            contenders["cudnn"] = timed_torch(T, B, inputs, H, tf32=False)
            contenders["cudnn tf32"] = timed_torch(T, B, inputs, H, tf32=True)
        seconds = medians(contenders)
        rows.append({"size": [T, B, inputs, H], "seconds": seconds})
        ratios = {name: f"{value / seconds['numlstm']:.2f}" for name, value in seconds.items()}
        print(rows[-1]["size"], f"{1e6 * seconds['numlstm'] / T:.2f} us a step", ratios)
    return rows


def medians(contenders: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median time of each, taken in turns."""
    for contender in contenders.values():
        contender()
        contender()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            times[name].append(contender())
    return {name: median(values) for name, values in times.items()}


def timed_layer(
    spec: LayerSpec, batch: int, steps: int, *, graph: bool = False
) -> Callable[[], float]:
    """A forward and backward pass over arrays that are on the device; returns its seconds."""
    from numlstm.backends.cuda.device import memory
    from numlstm.backends.cuda.device.target import cuda
    from numlstm.backends.cuda.layer import launch
    from numlstm.backends.cuda.layer.cells import State

    numbers = Case(spec, batch, steps).numbers
    theta, X, dY = (
        memory.on_device(array, spec.dtype) for array in (numbers.theta, numbers.X, numbers.dY)
    )
    packed = launch.pack(spec, theta)
    masks = launch.masks_of(spec, batch, steps, None, None, None)
    start, end, stream = cuda.event(), cuda.event(), memory.stream()

    state, dstate = (
        State(*(memory.on_device(part, spec.dtype) for part in parts))
        for parts in (numbers.state, numbers.dstate)
    )
    arena = memory.Arena()

    def both_ways() -> None:
        with memory.inside(arena):
            _, tape = launch.forward(spec, packed, X, state, masks)
            launch.backward(spec, packed, tape, masks, dY, dstate, True)

    if graph:
        both_ways()  # compiles, and fills the arena
        both_ways = memory.driver.Graph(both_ways, stream).launch

    def run() -> float:
        start.record(stream)
        both_ways()
        end.record(stream)
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    return run


def timed_torch(T: int, B: int, inputs: int, H: int, *, tf32: bool) -> Callable[[], float]:
    """The same pass by cuDNN."""
    import torch

    layer = torch.nn.LSTM(inputs, H, batch_first=True, device="cuda")
    X = torch.randn(B, T, inputs, device="cuda", requires_grad=True)
    dY = torch.randn(B, T, H, device="cuda")
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def run() -> float:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        start.record()
        Y, _ = layer(X)
        Y.backward(dY)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3

    return run


def fit(cuda) -> list[dict]:
    """Milliseconds of an update in a whole fit, of both."""
    rows = []
    for size in TRAINED:
        contenders = {"numlstm": timed_fit(*size)}
        if has_torch():
            contenders["torch"] = timed_peer(*size)
        seconds = medians(contenders, rounds=3)
        rows.append({"size": list(size), "milliseconds": {k: 1e3 * v for k, v in seconds.items()}})
        print(rows[-1])
    return rows


def training_data(sequences: int, T: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).standard_normal((sequences, T, inputs)).astype("float32")
    return X, 0.1 * np.cumsum(X[..., :1], axis=1)


def timed_fit(sequences: int, T: int, inputs: int, H: int, batch: int) -> Callable[[], float]:
    """Adam with gradients clipped to norm 1; the time of what two more epochs take."""
    X, y = training_data(sequences, T, inputs)

    def seconds(epochs: int) -> float:
        begin = time.perf_counter()
        numlstm.fit(
            *(X, y),
            hidden_size=H,
            batch_size=batch,
            epochs=epochs,
            rng=0,
            backend="cuda",
            progress=False,
        )
        return time.perf_counter() - begin

    return lambda: (seconds(5) - seconds(3)) / (2 * -(-sequences // batch))


def timed_peer(sequences: int, T: int, inputs: int, H: int, batch: int) -> Callable[[], float]:
    """The same in PyTorch's idiom, the data on the GPU from the start."""
    import torch

    X, y = (torch.from_numpy(array).cuda() for array in training_data(sequences, T, inputs))
    layer, head = torch.nn.LSTM(inputs, H, batch_first=True).cuda(), torch.nn.Linear(H, 1).cuda()
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01, fused=True)

    def run() -> float:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.cuda.synchronize()
        begin, updates = time.perf_counter(), 0
        for rows in torch.randperm(sequences, device="cuda").split(batch):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(head(layer(X[rows])[0]), y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            updates += 1
        torch.cuda.synchronize()
        return (time.perf_counter() - begin) / updates

    return run


def sweep(cuda) -> list[dict]:
    """Every cut that the device has room for, beside the one that the table chooses: the first."""
    from numlstm.backends.cuda.layer import launch, regimes

    rows, chosen = [], launch.regime_of
    for (T, B, inputs, H), precision in product(SIZES, (None, *precisions())):
        spec, steps = LayerSpec(inputs, H, "float32", precision=precision), min(T, 100)
        device, encoded = regimes.device(), encode(spec)
        factors = regimes.factors_of(precision, device)
        for regime in list(regimes.candidates(encoded, H, B, spec.dtype, device, factors)):
            launch.regime_of = lambda *arguments, found=regime: found
            seconds = medians({"numlstm": timed_layer(spec, B, steps)})["numlstm"]
            row = {"size": [steps, B, inputs, H], "tile": regime.tile._asdict()}
            rows.append(row | {"blocks": regime.columns, "seconds": seconds})
            print(rows[-1])
    launch.regime_of = chosen
    return rows


# --- the report -----------------------------------------------------------------------------------


def circumstances(cuda) -> dict:
    """Where and with what this was measured."""
    from numlstm.backends.cuda.device.target import cuda as driver

    names = ("numlstm", "numba", "numba-cuda", "numpy", "torch")
    versions = {name: version_of(name) for name in names}
    device = {"name": "simulator"}
    if not cuda.SIMULATED:
        current = driver.get_current_device()
        name = current.name.decode() if isinstance(current.name, bytes) else str(current.name)
        device = {"name": name, "capability": list(current.compute_capability)}
    system = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    return {"date": date.today().isoformat(), "device": device, "versions": versions} | system


def version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--quick", action="store_true", help="few, small cases of correctness")
    parser.add_argument("--output", type=Path, metavar="JSON")
    options = parser.parse_args()
    cuda = backends.get("cuda")
    wanted = ("correctness",) if cuda.SIMULATED else options.only
    report = circumstances(cuda)
    parts = {"sanitizer": sanitizer, "timing": timing, "fit": fit, "sweep": sweep}
    parts["correctness"] = partial(correctness, quick=options.quick or cuda.SIMULATED)
    for name in wanted:
        report[name] = parts[name](cuda)
        if name in ("correctness", "sanitizer"):
            wrong = [row for row in report[name] if row["ok"] is False]
            print(f"{name}: {len(report[name])} runs, {len(wrong)} wrong", *wrong, sep="\n")
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(any(row["ok"] is False for name in PARTS[:2] for row in report.get(name, [])))


if __name__ == "__main__":
    main()
