"""Mutations of files of Keras: refused, or a model that predicts.

    python stress/mutate_keras.py --cases 5000

A mutation changes values of a model's description, or bytes of the file or of the weights in it,
one to four at once. The files are those of the tests, and read by h5py in this process: a crash of
its library would end it.
"""

import argparse
import collections
import io
import json
import sys
import traceback
import warnings
import zipfile
from pathlib import Path

import numpy as np

import numlstm
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


def use(data: bytes) -> str:
    """What comes of a file."""
    try:
        model = from_keras(io.BytesIO(data), check=False, logits=True, backend="reference")
    except numlstm.StorageError:
        return "refused"
    if model.spec.num_parameters > 10**5:
        return "large"
    try:
        model.predict(np.ones((1, 3, model.num_features)))
    except ValueError:  # of numbers that are too large
        return "used, and refused the data"
    return "used"


def main() -> int:
    """Print what came of all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    sources, outcomes = honest(), collections.Counter[str]()
    for case in range(asked.cases):
        rng = np.random.default_rng([asked.seed, case])
        data = sources[int(rng.integers(len(sources)))]
        zipped = data.startswith(b"PK") and rng.random() < 0.8
        data = described_otherwise(data, rng) if zipped else damaged(data, rng)
        try:
            outcome = use(data)
        except Exception:
            outcome = "WRONG"
            print(f"case {case}: {traceback.format_exc(limit=-2)}")
        outcomes[outcome] += 1
    print(dict(outcomes))
    return 1 if outcomes["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
