"""Kill fits with checkpoints at random moments: each must resume, to the bits of one left alone.

``python stress/kill_fits.py --kills 200`` takes some minutes on two cores. It trains with `fit` and
`ensemble` in turns, in processes that SIGKILL ends at seeded random moments of the training, and
that are started anew with ``resume=True`` until one reaches the end; then a new run begins. In
every other pair of runs two processes train the same and write to one checkpoint at the same time.
What is checked:

- whoever reaches the end has the parameters, message and history of the run that was left alone, by
  their SHA-256;
- after every kill the checkpoint is whole, or not there yet;
- alone with its file, a process never trains an epoch again that was reported;
- the next save leaves no temporary file of those that were killed.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("NUMBA_NUM_THREADS", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np
from tqdm import tqdm

import numlstm
from helpers.digests import digest
from numlstm.utils import files, replacing

KINDS: dict[str, dict[str, Any]] = {"fit": {"dropout": 0.1}, "ensemble": {"members": 3}}
EPOCHS = 40
# a process starts with everything imported and nothing run
PROCESSES = multiprocessing.get_context("forkserver")
PRELOAD = ["__main__", "numlstm.training.ensemble", "numlstm.backends.cpu"]


class Job(NamedTuple):
    """What is trained, by which backend, to which checkpoint."""

    kind: str
    backend: str
    checkpoint: str


def train(job: Job, talk: Connection) -> None:
    """A fit or an ensemble in a process of its own; tells when it begins, its epochs, the end."""
    tqdm.set_lock(threading.RLock())  # not its semaphores, which outlive who is killed
    series = np.sin(np.arange(360) / 7).reshape(3, 120)[..., None]
    settings: dict[str, Any] = {
        **{"hidden_size": 12, "num_layers": 2, "bptt_steps": 25, "batch_size": 2},
        **{"validation": 0.4, "patience": 35, "rng": 3, "backend": job.backend, "progress": False},
        **KINDS[job.kind],
    }
    run = getattr(numlstm, job.kind)
    run(series, epochs=1, **settings)  # loads the kernels, so that kills fall into the training
    talk.send("ready")
    result = run(
        series,
        epochs=EPOCHS,
        callback=lambda intermediate_result: talk.send(intermediate_result.nit),
        checkpoint=job.checkpoint,
        resume=True,
        **settings,
    )
    models = result.models if job.kind == "ensemble" else [result.model]
    thetas = (model.theta for model in models)
    talk.send(digest(result.message, *thetas, *map(result.history.get, result.history)))


class Attempt:
    """A process that trains from wherever its checkpoint stands."""

    def __init__(self, job: Job):
        self.ear, mouth = PROCESSES.Pipe(duplex=False)
        self.process = PROCESSES.Process(target=train, args=(job, mouth), daemon=True)
        self.process.start()
        mouth.close()

    def begin(self) -> None:
        """Wait until it trains."""
        assert self.ear.recv() == "ready"

    def end(self) -> tuple[list[int], str | None]:
        """Wait until it ended: the epochs it reported, and what it found unless it was killed."""
        epochs, found = [], None
        try:
            while True:
                said = self.ear.recv()
                if isinstance(said, int):
                    epochs.append(said)
                else:
                    found = said
        except EOFError:
            self.process.join()
        if self.process.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"a fit ended with {self.process.exitcode}")
        return epochs, found


@dataclass
class Run:
    """A training that many processes take on, one after another or two at a time."""

    job: Job
    writers: int
    expected: str
    epochs: list[int] = field(default_factory=list)  # as reported
    kills: int = 0
    leavings: int = 0  # kills in the middle of a write

    @property
    def folder(self) -> Path:
        """That of the checkpoint, which has nothing else."""
        return Path(self.job.checkpoint).parent

    def attempt(self, moments: list[float]) -> bool:
        """Start or resume, and kill at these moments of the training; whether one reached the end.

        A process beyond the number of moments is left alone.
        """
        before = self._temporaries()
        attempts = [Attempt(self.job) for _ in range(self.writers)]
        for attempt in attempts:
            attempt.begin()
        start = time.monotonic()
        for moment, attempt in sorted(zip(moments, attempts, strict=False), key=lambda p: p[0]):
            time.sleep(max(0.0, start + moment - time.monotonic()))
            attempt.process.kill()
        ends = [attempt.end() for attempt in attempts]
        for epochs, found in ends:
            assert found in (None, self.expected), "not the bits of the run that was left alone"
            assert self.writers > 1 or epochs == sorted(set(epochs) - set(self.epochs))
            self.epochs += epochs
        if os.path.exists(self.job.checkpoint):
            files.read_checkpoint(self.job.checkpoint)
        self.kills += [found for _, found in ends].count(None)
        self.leavings += len(self._temporaries() - before)
        return any(found for _, found in ends)

    def finish(self) -> None:
        """Save once more, as whoever comes next; nothing else may be left."""
        replacing.replace({self.job.checkpoint: Path(self.job.checkpoint).read_bytes()})
        assert not self._temporaries(), f"left behind: {self._temporaries()}"

    def _temporaries(self) -> set[Path]:
        return set(self.folder.iterdir()) - {Path(self.job.checkpoint)}


def left_alone(kind: str, backend: str) -> tuple[str, float]:
    """What a run that nobody kills finds, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        alone = Attempt(Job(kind, backend, os.path.join(folder, "run")))
        alone.begin()
        start = time.monotonic()
        _, found = alone.end()
        assert found is not None
        return found, time.monotonic() - start


def survive(kills: int, seed: int, backend: str) -> None:
    """Kill so many processes."""
    alone = {kind: left_alone(kind, backend) for kind in KINDS}
    moments, killed, leavings, both = random.Random(seed), 0, 0, 0
    for number in count():
        kind, writers = list(KINDS)[number % 2], 2 - number // 2 % 2
        expected, seconds = alone[kind]
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Job(kind, backend, os.path.join(folder, "run")), writers, expected)
            latest, finished = writers * seconds / 3, False  # some attempts to the end
            while not finished:
                rest = min(writers, max(0, kills - killed - run.kills))
                finished = run.attempt([moments.uniform(0, latest) for _ in range(rest)])
            run.finish()
        killed, leavings = killed + run.kills, leavings + run.leavings
        both += run.kills * (writers == 2)
        print(f"{killed} kills, {both} of two writers, {leavings} within a write: {kind}, "
              f"{writers} writing, {len(run.epochs)} epochs reported", flush=True)  # fmt: skip
        if killed >= kills:
            return


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="auto")
    options = parser.parse_args()
    PROCESSES.set_forkserver_preload(PRELOAD)
    survive(options.kills, options.seed, options.backend)


if __name__ == "__main__":
    main()
