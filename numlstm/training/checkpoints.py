"""A run on disk: everything that is needed to go on as if it had never stopped."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm.optim.optimizers import Optimizer
from numlstm.training.progress import Progress, for_json, from_json
from numlstm.training.settings import Settings
from numlstm.utils import files
from numlstm.utils.random_streams import new_seed


class Checkpoint:
    """The file of a run. `seed` is that of the run it holds, or of a new one.

    Raises ValueError where a file would be written over, `StorageError` where it is damaged.
    """

    def __init__(self, path: str | os.PathLike[str], resume: bool, rng: Any):
        self.path = os.fspath(path)
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

    def record(
        self, fingerprint: dict[str, str], progress: Progress, optimizer: Optimizer
    ) -> "Record":
        """The writer of a run, which is put where the stored one stood, if there is one."""
        if self._stored is not None:
            arrays, meta = self._stored
            self._require_same(meta, fingerprint)
            progress.restore(arrays, meta)
            for name in optimizer.state:
                optimizer.state[name][...] = arrays[f"optimizer_{name}"]
            optimizer.steps = from_json(meta["steps"])
        return Record(self.path, self.seed, fingerprint, progress, optimizer)

    def _require_same(self, meta: dict[str, Any], fingerprint: dict[str, str]) -> None:
        expected = {**fingerprint, "seed": str(self.seed)}
        stored = {**meta["fingerprint"], "seed": str(meta["seed"])}
        names = {**stored, **expected}
        if different := sorted(name for name in names if stored.get(name) != expected.get(name)):
            raise ValueError(
                f"checkpoint {self.path!r} is of another fit: it differs in "
                f"{', '.join(different)}; pass the arguments it was written with, "
                "or another file name"
            )


@dataclass(frozen=True)
class Record:
    """A run and the file that it is written to."""

    path: str
    seed: int
    fingerprint: dict[str, str]
    progress: Progress
    optimizer: Optimizer

    def write(self) -> None:
        """Write where the run stands."""
        arrays, meta = self.progress.stored()
        arrays |= {f"optimizer_{name}": array for name, array in self.optimizer.state.items()}
        meta |= {"steps": for_json(self.optimizer.steps)}
        meta |= {"seed": self.seed, "fingerprint": self.fingerprint}
        files.write_checkpoint(self.path, arrays, meta)


def open_checkpoint(settings: Settings, rng: Any) -> Checkpoint | None:
    """The checkpoint that was asked for, if any; SciPy's methods have none."""
    run = settings.run
    if run.checkpoint is None or not settings.training.stochastic:
        return None
    return Checkpoint(run.checkpoint, run.resume, rng)
