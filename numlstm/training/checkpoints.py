"""A run on disk: everything that is needed to go on as if it had never stopped."""

import dataclasses
import hashlib
import os
from typing import Any

import numpy as np

from numlstm.architecture.spec import State
from numlstm.data.preparation import Data
from numlstm.data.sequences import Dataset
from numlstm.model.lstm import LSTM
from numlstm.optim.optimizers import Optimizer
from numlstm.training.loop import Progress
from numlstm.training.settings import Settings
from numlstm.utils import files
from numlstm.utils.random_streams import new_seed

_SCALARS = ("best", "best_epoch", "epoch", "batch", "window", "updates", "sums", "history")
_THETAS = ("theta", "previous", "best_theta")


class Checkpoint:
    """The file of a run. `seed` is that of the run it holds, or of a new one.

    Raises ValueError where a file would be written over, `StorageError` where it is damaged.
    """

    def __init__(self, path: str | os.PathLike, resume: bool, rng: Any):
        self.path = os.fspath(path)
        self.fingerprint: dict[str, str] = {}
        self._stored: tuple[dict[str, np.ndarray], dict[str, Any]] | None = None
        exists = os.path.exists(self.path)
        folder = os.path.dirname(os.path.realpath(self.path))
        if not os.path.isdir(folder):  # said now, not after the first epoch
            raise ValueError(f"checkpoint {self.path!r}: there is no folder {folder!r}")
        if exists and not resume:
            raise ValueError(
                f"checkpoint {self.path!r} exists: pass resume=True to go on from it, "
                "or remove it or choose another name to start anew"
            )
        if exists:
            self._stored = files.read_checkpoint(self.path)
        # without a seed of its own a resumed run goes on with the one it was begun with
        self.seed = self._stored[1]["seed"] if self._stored and rng is None else new_seed(rng)

    def restore(self, progress: Progress, optimizer: Optimizer) -> None:
        """Put a stored run where it stood; nothing happens where there is none."""
        if self._stored is None:
            return
        arrays, meta = self._stored
        expected = {**self.fingerprint, "seed": str(self.seed)}
        stored = {**meta["fingerprint"], "seed": str(meta["seed"])}
        if different := sorted(name for name in expected if stored.get(name) != expected[name]):
            raise ValueError(
                f"checkpoint {self.path!r} is of another fit: it differs in "
                f"{', '.join(different)}; pass the arguments it was written with, "
                "or another file name"
            )
        for name in _THETAS:
            getattr(progress, name)[...] = arrays[name]
        for name in _SCALARS:
            setattr(progress, name, meta[name])
        if "state_h" in arrays:
            progress.state = State(arrays["state_h"], arrays["state_c"])
        for name in optimizer.state:
            optimizer.state[name][...] = arrays[f"optimizer_{name}"]
        optimizer.steps = meta["steps"]

    def write(self, progress: Progress, optimizer: Optimizer) -> None:
        """Write where the run stands."""
        arrays = {name: getattr(progress, name) for name in _THETAS}
        arrays |= {f"optimizer_{name}": array for name, array in optimizer.state.items()}
        if progress.state is not None:
            arrays |= {"state_h": progress.state.h, "state_c": progress.state.c}
        meta = {name: getattr(progress, name) for name in _SCALARS}
        meta |= {"steps": optimizer.steps, "seed": self.seed, "fingerprint": self.fingerprint}
        files.write_checkpoint(self.path, arrays, meta)


def fingerprint(data: Data, settings: Settings, model: LSTM) -> dict[str, str]:
    """What makes a run the one it is, by name. More epochs or patience may be asked for later."""
    prints = {
        field.name: repr(getattr(part, field.name))
        for part in (model.spec, settings.init, settings.data, settings.training)
        for field in dataclasses.fields(part)
        if not field.metadata.get("later")
    }
    schedule, epochs = settings.training.schedule, settings.training.epochs
    if callable(schedule):
        prints["schedule"] = "a function"
    elif schedule is not None:
        prints["schedule"] = f"{schedule} over {epochs} epochs"
    prints["learning_rate"] = repr(settings.training.rate)
    prints["scheduled_sampling"] = repr(settings.sampling)
    prints["backend"] = model.network.backend.name  # what "auto" stands for: bits depend on it
    prints["initial parameters"] = _digest(model.theta)
    prints["training data"] = _digest(*_arrays(data.train))
    prints["validation data"] = _digest(*_arrays(data.validation))
    return prints


def _arrays(data: Dataset | None) -> tuple:
    return () if data is None else (data.X, data.y, data.weight, data.lengths, data.reset)


def _digest(*arrays: np.ndarray | None) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
        else:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
