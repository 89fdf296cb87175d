"""Where the time of a training step goes: `python benchmarks/profile_fit.py`.

Profiles `numlstm.fit` on the training run of `peers.py` and sums the time by what it is spent on.
"""

import argparse
import cProfile
import pstats
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from typing import Any

from contenders import SEQUENCES, fit_epochs, training_data

from numlstm.backends import cpu
from numlstm.data.sequences import Dataset
from numlstm.network.network import Network
from numlstm.optim import losses, optimizers
from numlstm.training.batches import OfData
from numlstm.training.loop import Trainer

PARTS = {  # functions of the package that together make a step
    "kernels forward": [cpu.layer_forward],
    "kernels backward": [cpu.layer_backward],
    "head": [cpu.head_forward, cpu.head_backward],
    "packing of weights": [Network.pack],
    "loss": [losses.mse],
    "clipping": [optimizers.norm, optimizers.clip],
    "optimiser": [optimizers.Adam.update],
    "batching": [OfData.begin, Dataset.cut],
}
STEP, EPOCH = Trainer._run_window, Trainer._run_epoch


def profile(sequences: int, epochs: int) -> pstats.Stats:
    """The profile of some epochs; not of the first, before which kernels are loaded."""
    profiler = cProfile.Profile()
    switches = chain([profiler.enable], repeat(lambda: None, epochs - 1), [profiler.disable])
    data = training_data(sequences, "float32")
    fit_epochs(*data, epochs=epochs, between=lambda: next(switches)())
    return pstats.Stats(profiler)


def seconds(stats: pstats.Stats, function: Callable[..., Any]) -> tuple[int, float]:
    """Calls of a function, and the time from its beginnings to its ends."""
    code = function.__code__
    place = code.co_filename, code.co_firstlineno, code.co_name
    if place not in stats.stats:
        raise LookupError(f"{function.__qualname__} was not called")
    _, calls, _, cumulative, _ = stats.stats[place]
    return calls, cumulative


def report(stats: pstats.Stats) -> None:
    """Print microseconds per step and shares."""
    steps, _ = seconds(stats, STEP)
    _, whole = seconds(stats, EPOCH)
    spent = {
        part: sum(seconds(stats, function)[1] for function in functions)
        for part, functions in PARTS.items()
    }
    spent["rest"] = whole - sum(spent.values())
    for part, total in [*spent.items(), ("a step", whole)]:
        print(f"{part:20s} {total / steps * 1e6:10.0f} us {total / whole:7.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps; no measurement")
    quick = parser.parse_args().quick
    # outside the main thread, where fit leaves Ctrl-C alone, it runs in one thread from end to end
    with ThreadPoolExecutor(1) as worker:
        stats = worker.submit(profile, 512 if quick else SEQUENCES, 1 if quick else 5).result()
    report(stats)


if __name__ == "__main__":
    main()
