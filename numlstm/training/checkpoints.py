"""A run on disk: everything that is needed to go on as if it had never stopped."""

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from numlstm._version import __version__
from numlstm.optim.optimizers import Optimizer
from numlstm.training.progress import ARRAYS, ENDED, PLAIN, STATE, Progress, for_json
from numlstm.training.settings import Settings
from numlstm.utils import files, notices, replacing, schema
from numlstm.utils.random_streams import new_seed


class Checkpoint:
    """The file of a run. `seed` is that of the run it holds, or of a new one.

    Raises ValueError where a file would be written over, `StorageError` where it is damaged or not
    what a run has written, OSError where there is something else than a file, or no folder for it.
    """

    def __init__(self, path: str | os.PathLike[str], resume: bool, rng: Any):
        self.path = os.fspath(path)
        self._stored: tuple[dict[str, np.ndarray], dict[str, Any]] | None = None
        exists = os.path.exists(self.path)
        folder = os.path.dirname(os.path.realpath(self.path))
        if not os.path.isdir(folder):  # said now, not after the first epoch
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r}", self.path)
        replacing.require_replaceable(self.path)
        if exists and not resume:
            raise ValueError(
                f"checkpoint {self.path!r} exists: pass resume=True to go on from it, "
                "or remove it or choose another name to start anew"
            )
        if exists:
            self._stored = files.read_checkpoint(self.path)
            with files.refusing(self.path):
                self._require_version(self._stored[1].get("numlstm"))
                _require_words(self._stored[1])
        # without a seed of its own a resumed run goes on with the one it was begun with
        self.seed = self._stored[1]["seed"] if self._stored and rng is None else new_seed(rng)

    def record(
        self, fingerprint: dict[str, str], progress: Progress, optimizer: Optimizer
    ) -> "Record":
        """The writer of a run, which is put where the stored one stood, if there is one."""
        if self._stored is not None:
            arrays, meta = self._stored
            self._require_same(meta, fingerprint)
            with files.refusing(self.path):
                _restore(progress, optimizer, arrays, meta)
        found = self._stored is not None
        return Record(self.path, self.seed, fingerprint, progress, optimizer, found)

    def _require_version(self, stored: Any) -> None:
        """Refuse a run of another version, whose bits may be others."""
        if stored != __version__:
            writer = "an older numlstm" if stored is None else f"numlstm {schema.received(stored)}"
            raise files.StorageError(
                f"checkpoint {self.path!r} was written by {writer}, and "
                f"this is {__version__!r}: a run goes on to the same bits only with the version "
                "that began it; use that one, or begin anew with another file name"
            )

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


def _require_words(meta: dict[str, Any]) -> None:
    """Refuse a meta that is not one of a run, and what says of which run it is."""
    schema.mapping("meta", meta, (*PLAIN, "steps", "seed", "fingerprint", "numlstm"), (ENDED,))
    schema.whole("seed", meta["seed"])
    if not isinstance(meta["fingerprint"], dict):
        raise ValueError("fingerprint must be a dictionary")
    for name, word in meta["fingerprint"].items():
        schema.text(f"fingerprint.{name}", word)


def _restore(
    progress: Progress, optimizer: Optimizer, arrays: dict[str, np.ndarray], meta: dict[str, Any]
) -> None:
    """Put a run where the stored one stood; what is not finite in an optimiser may be so."""
    named = {f"optimizer_{name}": state for name, state in optimizer.state.items()}
    schema.mapping("the archive", arrays, (*ARRAYS, *named), STATE)
    found = {k: schema.array(arrays, k, v.shape, v.dtype.name) for k, v in named.items()}
    several = progress.best.size if isinstance(meta["steps"], list) else None
    most = schema.whole("updates", meta["updates"]) + optimizer.steps  # those it began with
    steps = schema.wholes("steps", meta["steps"], several, most)
    progress.restore(arrays, meta)
    for name, state in named.items():
        state[...] = found[name]
    optimizer.steps = steps


@dataclass
class Record:
    """A run and the file that it is written to.

    That it cannot be written at all is an error: nothing is lost yet. Later on a run is worth more
    than its file. So a full disk is a warning, and every later checkpoint tries again.
    """

    path: str
    seed: int
    fingerprint: dict[str, str]
    progress: Progress
    optimizer: Optimizer
    is_restored: bool = False  # it goes on from the file
    written_at: int | None = None  # the epoch of the newest checkpoint of this process
    fault: OSError | None = None  # why there is no newer one

    def write(self) -> None:
        """Write where the run stands."""
        arrays, meta = self.progress.stored()
        arrays |= {f"optimizer_{name}": array for name, array in self.optimizer.state.items()}
        meta |= {"steps": for_json(self.optimizer.steps)}
        meta |= {"seed": self.seed, "fingerprint": self.fingerprint, "numlstm": __version__}
        try:
            files.write_checkpoint(self.path, arrays, meta)
        except OSError as error:
            if self.written_at is None:
                raise
            if self.fault is None:
                self._warn("the run goes on without and tries again", error)
            self.fault = error
        else:
            self.written_at, self.fault = self.progress.epoch, None

    def refusing(self) -> contextlib.AbstractContextManager[None]:
        """Let what is wrong with a restored run be a `StorageError` that names the file."""
        return files.refusing(self.path)

    def close(self) -> None:
        """Say at the end of a run what its file lacks."""
        if self.fault is not None:
            self._warn("the run has ended, and its end is not stored", self.fault)

    def _warn(self, consequence: str, fault: OSError) -> None:
        notices.warn(
            f"checkpoint {self.path!r} cannot be written: {consequence}; the file has the run "
            f"after {self.written_at} epochs ({fault})",
            RuntimeWarning,
        )


def open_checkpoint(settings: Settings, rng: Any) -> Checkpoint | None:
    """The checkpoint that was asked for, if any; SciPy's methods have none."""
    run = settings.run
    if run.checkpoint is None or not settings.training.stochastic:
        return None
    return Checkpoint(run.checkpoint, run.resume, rng)
