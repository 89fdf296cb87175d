"""Windows over series that are cut as they are drawn: `python benchmarks/windows.py`.

100 series of 14,600 days with 8 features, 365-day windows at every day, 64 units, batches of 256.
Every number comes from a process of its own, by turns, and what counts are medians:

- memory: the peak of a fit beyond what the process has before it, the data included, against the
  size of the data; then of data in a file, and of ten times as much (`--memory`);
- speed: updates per second, against the same updates on batches that were laid out beforehand, and
  against a plain PyTorch loop, a Dataset that slices the series and a DataLoader (`--speed`).

Memory is what is the process's own (RssAnon of Linux): pages of a file that is mapped are the
system's.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

WINDOW, UNITS, BATCH, FEATURES = 365, 64, 256, 8
SERIES, DAYS = 100, 14_600
MEBI = 2**20


def data(series: int) -> np.ndarray:
    """Series (S, T, I), float32."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((series, DAYS, FEATURES), dtype=np.float32)


def targets(X: np.ndarray) -> np.ndarray:
    """A target for every day."""
    return np.ascontiguousarray(X[..., 0] + 0.5 * X[..., 1])[..., None]


# --- memory ---------------------------------------------------------------------------------------


class Watch(threading.Thread):
    """The largest memory of its own that the process has while it is watched, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before, self.peak, self._ended = own_memory(), 0, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.005):
            self.peak = max(self.peak, own_memory())

    def stop(self) -> int:
        """The peak beyond what there was at first."""
        self._ended.set()
        self.join()
        return self.peak - self.before


def own_memory() -> int:
    """What is the process's own, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    raise SystemExit("this needs /proc, as Linux has it")


def fit_for(X: Any, y: Any, seconds: float) -> None:
    """A fit that is ended by Ctrl-C after some seconds of training."""
    import numlstm
    from numlstm.training.loop import Trainer

    run = Trainer.run

    def run_for(trainer: Trainer) -> Any:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
        return run(trainer)

    setattr(Trainer, "run", run_for)  # noqa: B010  # for type checkers
    numlstm.fit(X, y, window=WINDOW, hidden_size=UNITS, batch_size=BATCH, epochs=1, rng=0)


def warm_up() -> None:
    """Compile, or read what was compiled, before anything is measured."""
    import numlstm

    X = data(1)[:, : WINDOW + 5]  # little, so that its memory does not stand in for a batch's
    numlstm.fit(X, targets(X), window=WINDOW, hidden_size=UNITS, batch_size=2, epochs=1, rng=0)


def tape_of_a_batch() -> int:
    """What one update on one batch takes beyond the batch."""
    from numlstm import LSTM

    warm_up()
    X = np.zeros((BATCH, WINDOW, FEATURES), np.float32)
    model = LSTM(FEATURES, UNITS, 1, rng=0)
    model.vjp(X[:2])[1](np.zeros((2, WINDOW, 1)))
    watch = Watch()
    watch.start()
    for _ in range(3):
        Y, pullback = model.vjp(X)
        pullback(Y)
        del Y, pullback
    return watch.stop()


def memory(seconds: float, path: str | None) -> dict[str, float]:
    """Peaks of a fit on arrays in memory, or of a file that is mapped."""
    warm_up()
    if path is None:
        X: Any = data(SERIES)
        y: Any = targets(X)
    else:
        X, y = (np.load(f"{path}/{name}.npy", mmap_mode="r") for name in "Xy")
    watch = Watch()
    watch.start()
    fit_for(X, y, seconds)
    peak = watch.stop()
    return {"peak": peak / MEBI, "data": (X.nbytes + y.nbytes) / MEBI}


def write(path: str, times: int) -> None:
    """Data of so many times the size, in files."""
    shape = times * SERIES, DAYS
    files = {
        name: np.lib.format.open_memmap(f"{path}/{name}.npy", "w+", np.float32, (*shape, width))
        for name, width in (("X", FEATURES), ("y", 1))
    }
    part = data(SERIES)
    for start in range(0, times * SERIES, SERIES):
        files["X"][start : start + SERIES] = part
        files["y"][start : start + SERIES] = targets(part)


# --- speed ----------------------------------------------------------------------------------------


def timed(update: Any, updates: int) -> float:
    """Updates per second, after one that is not counted."""
    update(0)
    begun = time.perf_counter()
    for number in range(1, updates + 1):
        update(number)
    return updates / (time.perf_counter() - begun)


def ours(updates: int, laid_out: bool) -> float:
    """Updates per second on windows that are cut, or on batches that are there."""
    import numlstm
    from numlstm.data.arrays import Arrays
    from numlstm.data.preparation import DataConfig
    from numlstm.data.window_preparation import prepare_windows
    from numlstm.objectives.evaluator import Evaluator
    from numlstm.optim.losses import LOSSES
    from numlstm.optim.optimizers import OPTIMIZERS
    from numlstm.training.update import Update, UpdateConfig, UpdateContext, UpdateState, Window
    from numlstm.utils.random_streams import RandomStreams

    warm_up()
    X, draws = data(SERIES), RandomStreams(0)
    config = DataConfig(window=WINDOW, batch_size=BATCH)
    read = prepare_windows(Arrays(X, targets(X)), config, "float32", draws)
    model = numlstm.LSTM(FEATURES, UNITS, 1, rng=0)
    evaluator = Evaluator(model.network, LOSSES["mse"].function)
    train = evaluator.resident(read.train)
    order = train.order(np.random.default_rng(0))
    rows = [order[i * BATCH : (i + 1) * BATCH] for i in range(updates + 1)]
    batches = [train.cut(0, WINDOW, part) for part in rows] if laid_out else []
    optimizer = OPTIMIZERS["adam"](model.theta.size, "float32", 0.0, {})
    state = UpdateState(theta=model.theta.copy(), previous=model.theta.copy())

    def update(number: int) -> None:
        data, part = (batches[number], slice(0, BATCH)) if laid_out else (train, rows[number])
        one = Update(evaluator, data, state, optimizer, UpdateConfig(1.0, None), draws)
        window = Window(0, WINDOW, part, float(BATCH))
        context = UpdateContext(window, float(BATCH), 0, number, 0.01)
        one.apply(one.evaluate(context), context)
        state.carried = None

    return timed(update, updates)


def theirs(updates: int) -> float:
    """Updates per second of PyTorch's own LSTM and a Dataset that slices the series."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    X, y = (torch.from_numpy(part) for part in (data(SERIES), targets(data(SERIES))))
    each = DAYS - WINDOW + 1

    class Windows(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return SERIES * each

        def __getitem__(self, number: int) -> Any:
            series, start = divmod(number, each)
            return X[series, start : start + WINDOW], y[series, start + WINDOW - 1]

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(FEATURES, UNITS, batch_first=True)
            self.head = torch.nn.Linear(UNITS, 1)

        def forward(self, batch: Any) -> Any:
            return self.head(self.lstm(batch)[0][:, -1])

    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    loader = iter(DataLoader(Windows(), BATCH, shuffle=True, num_workers=0))

    def update(number: int) -> None:
        batch, target = next(loader)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(batch), target).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return timed(update, updates)


SIDES = {
    "windows": lambda updates: ours(updates, False),
    "laid out": lambda updates: ours(updates, True),
    "torch": theirs,
}


# --- processes ------------------------------------------------------------------------------------


def apart(*options: str) -> Any:
    """What this program prints with other options, in a process of its own."""
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true", help="only memory")
    parser.add_argument("--speed", action="store_true", help="only updates per second")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="of a fit whose memory counts")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--tape", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs="?", const="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.updates)))
        return
    if options.tape:
        print(json.dumps(tape_of_a_batch() / MEBI))
        return
    if options.peak is not None:
        print(json.dumps(memory(options.seconds, options.peak or None)))
        return
    if not options.speed:
        show_memory(options.seconds)
    if not options.memory:
        show_speed(options.updates, options.turns)


def show_memory(seconds: float) -> None:
    """Peaks, of data in memory and of ten times as much in a file."""
    found, tape = apart("--peak", "--seconds", str(seconds)), apart("--tape")
    print(
        f"data {found['data']:.0f} MiB, a batch's tape {tape:.0f} MiB: a fit takes "
        f"{found['peak']:.0f} MiB beyond the data (bar {1.5 * found['data'] + tape:.0f})"
    )
    for times in (1, 10):
        with tempfile.TemporaryDirectory() as folder:
            write(folder, times)
            mapped = apart("--peak", folder, "--seconds", str(seconds))
        print(f"a file of {mapped['data']:.0f} MiB: {mapped['peak']:.0f} MiB")


def show_speed(updates: int, turns: int) -> None:
    """Medians of updates per second, and their ratios."""
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(turns):
        for side, rates in found.items():
            rates.append(apart("--side", side, "--updates", str(updates)))
    rate = {side: statistics.median(rates) for side, rates in found.items()}
    print(", ".join(f"{side} {value:.2f}/s" for side, value in rate.items()))
    print(f"windows : laid out = {rate['windows'] / rate['laid out']:.3f} (bar 0.95)")
    print(f"windows : torch = {rate['windows'] / rate['torch']:.2f} (bar 2.5)")


if __name__ == "__main__":
    main()
