"""Mutations of files of TensorFlow Lite: refused, or a model that predicts finite numbers.

    python stress/mutate_tflite.py --cases 20000

A mutation changes a distance, a size, a number or a byte, or cuts the file off, one to four.
Whatever is raised but an error of the file or of what it holds is a finding, with its case.
"""

import io
import sys
from pathlib import Path

import numpy as np

from file_mutations import outcome, run
from hostile_files import NUMBERS, Rng
from numlstm.convert import from_tflite

STORED = Path(__file__).resolve().parents[1] / "tests" / "convert" / "tflite_files.npz"
INTEGERS = (0, 1, 2, 3, 4, 7, 8, 16, 127, 255, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def honest() -> list[bytes]:
    """Files with what LiteRT computes from them."""
    with np.load(STORED) as file:
        names = [name for name in file.files if name.endswith(".file")]
        return [file[n].tobytes() for n in names if n.replace(".file", ".Y") in file.files]


def mutated(data: bytes, rng: Rng) -> bytes:
    """A file that was changed in one to four ways."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        kind = int(rng.integers(10))
        end = len(made) if rng.random() < 0.5 else min(len(made), 4000)  # tables, and all
        if end < 8:
            break
        at = int(rng.integers(end // 4)) * 4
        if kind < 3:
            made[at : at + 4] = int(rng.choice(INTEGERS)).to_bytes(4, "little")
        elif kind < 5:
            old = int.from_bytes(made[at : at + 4], "little")
            step = int(rng.choice([-64, -8, -4, -1, 1, 4, 8, 64]))
            made[at : at + 4] = ((old + step) % 2**32).to_bytes(4, "little")
        elif kind < 6:
            with np.errstate(over="ignore"):
                made[at : at + 4] = np.array(rng.choice(NUMBERS)).astype("<f4").tobytes()
        elif kind < 9:
            made[int(rng.integers(end))] = int(rng.integers(256))
        elif rng.random() < 0.3:
            del made[int(rng.integers(len(made))) :]
    return bytes(made)


def use(data: bytes) -> str:
    """What comes of a file."""
    return outcome(lambda: from_tflite(io.BytesIO(data), check=False, backend="reference"))


if __name__ == "__main__":
    sys.exit(run(__doc__, honest(), mutated, use))
