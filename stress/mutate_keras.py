"""Mutations of files of Keras: refused, or a model that predicts.

    python stress/mutate_keras.py --cases 5000

A mutation changes values of a model's description, or bytes of the file or of the weights in it,
one to four at once. The files are those of the tests, and read by h5py in this process: a crash of
its library would end it.
"""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

from file_mutations import outcome, run
from hostile_files import Rng
from mutate_safetensors import changed_value
from numlstm.convert import from_keras

FILES = Path(__file__).parents[1] / "tests" / "convert" / "keras.npz"


def honest() -> list[bytes]:
    """The stored files."""
    with np.load(FILES) as stored:
        return [stored[name].tobytes() for name in stored.files if name.endswith(("/keras", "/h5"))]


def damaged(data: bytes, rng: Rng) -> bytes:
    """Some bytes are others."""
    made = bytearray(data)
    for place in rng.integers(len(made), size=int(rng.integers(1, 4))):
        made[int(place)] = int(rng.integers(256))
    return bytes(made)


def described_otherwise(data: bytes, rng: Rng) -> bytes:
    """A .keras file with another description, or with damaged weights."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                for _ in range(int(rng.integers(1, 5))):
                    changed_value(config, rng)
                content = json.dumps(config).encode()
            elif rng.random() < 0.2:
                content = damaged(content, rng)
            new.writestr(name, content)
    return buffer.getvalue()


def mutated(data: bytes, rng: Rng) -> bytes:
    """A file that was changed."""
    zipped = data.startswith(b"PK") and rng.random() < 0.8
    return described_otherwise(data, rng) if zipped else damaged(data, rng)


def use(data: bytes) -> str:
    """What comes of a file."""
    return outcome(
        lambda: from_keras(io.BytesIO(data), check=False, logits=True, backend="reference")
    )


if __name__ == "__main__":
    sys.exit(run(__doc__, honest(), mutated, use))
