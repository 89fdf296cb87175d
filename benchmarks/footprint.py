"""What an installation weighs, and how long an import takes, beside PyTorch and Keras.

    python benchmarks/footprint.py            # a minute

Those that are installed take turns. Sizes are those of a distribution and of all that it requires.
Imports are those of a fresh process that makes a network, less the start of Python itself.
"""

import importlib.metadata
import re
import statistics
import subprocess
import sys
import time

ROUNDS = 11
PROGRAMS = {
    "numlstm": "import numlstm; numlstm.LSTM(1, 8, 1)",
    "torch": "import torch; torch.nn.LSTM(1, 8)",
    "keras": "import keras; keras.layers.LSTM(8)",
}


def required(name: str, found: set[str]) -> set[str]:
    """A distribution and what it requires here, by normalised names."""
    name = re.sub(r"[-_.]+", "-", name).lower()
    try:
        needs = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return found
    if name not in found:
        found.add(name)
        for need in needs:
            if "extra ==" not in need:
                required(re.split(r"[^\w.-]", need, maxsplit=1)[0], found)
    return found


def size(name: str) -> int:
    """Bytes of the files of a distribution."""
    files = importlib.metadata.files(name) or []
    return sum(path.stat().st_size for file in files if (path := file.locate()).is_file())


def seconds(program: str) -> float:
    """The time of a process, to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print a row for each that is installed."""
    programs = {name: code for name, code in PROGRAMS.items() if required(name, set())}
    times: dict[str, list[float]] = {name: [] for name in ("", *programs)}
    for _ in range(ROUNDS):
        for name in times:
            times[name].append(seconds(programs.get(name, "")))
    bare = statistics.median(times[""])
    for name in programs:
        everything = required(name, set())
        megabytes = sum(map(size, everything)) / 1e6
        took = statistics.median(times[name]) - bare
        print(f"{name:8} {megabytes:6.0f} MB in {len(everything)} packages, import {took:.2f} s")


if __name__ == "__main__":
    main()
