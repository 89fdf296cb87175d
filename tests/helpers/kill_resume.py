"""Kill a checkpointed fit at random moments; every time it must resume, to the same bits.

``python tests/helpers/kill_resume.py 50`` kills fifty times, with ``ensemble`` as the last argument
an ensemble; training/test_killed_fit.py a few.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = """
import sys
from pathlib import Path
import numpy as np
import numlstm

def report(intermediate_result):
    print(intermediate_result.nit, flush=True)

backend, checkpoint, answer, kind = sys.argv[1:]
series = np.sin(np.arange(600) / 7).reshape(3, 200)[..., None]
settings = dict(
    hidden_size=24, num_layers=2, bptt_steps=25, batch_size=2, validation=0.4, patience=35, rng=3,
    backend=backend, **{"fit": {"dropout": 0.1}, "ensemble": {"members": 3}}[kind],
)
train = getattr(numlstm, kind)
train(series, epochs=1, **settings)  # compiles, so that the kills fall into the training
print("ready", flush=True)
result = train(
    series, epochs=40, callback=report, checkpoint=checkpoint, resume=True, **settings
)
models = [result.model] if kind == "fit" else result.models
Path(answer).write_bytes(
    b"".join(model.theta.tobytes() for model in models) + result.message.encode()
    + b"".join(result.history[key].tobytes() for key in sorted(result.history))
)
"""


class Run:
    """One checkpointed fit or ensemble, in as many processes as it takes."""

    environment = os.environ | {"NUMBA_NUM_THREADS": "2"}

    def __init__(self, folder: Path, backend: str, kind: str):
        folder.mkdir()
        self.answer = folder / "answer"
        places = folder / "checkpoint", self.answer
        self.command = [sys.executable, "-c", RUN, backend, *places, kind]
        self.epochs: list[int] = []  # as reported, by all processes

    def attempt(self, patience: float | None = None) -> bool:
        """Start or resume, kill after `patience` seconds of training; whether it ended itself."""
        process = subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        start = time.monotonic()
        if patience is not None:
            time.sleep(patience)
            process.kill()
        reported = [int(line) for line in process.stdout if line.endswith("\n")]
        self.seconds = time.monotonic() - start
        process.stdout.close()
        if process.wait() not in (0, -signal.SIGKILL):
            raise RuntimeError("the fit failed")
        # an epoch is reported after it was saved, so that it is never trained again
        assert self.epochs + reported == sorted({*self.epochs, *reported})
        self.epochs += reported
        return process.returncode == 0


def survive(kills: int, folder: Path, backend: str = "auto", kind: str = "fit") -> None:
    """Kill a run `kills` times, a new one whenever it ends; compare with one left alone."""
    alone = Run(folder / "alone", backend, kind)
    assert alone.attempt()
    moments, killed, number = random.Random(0), 0, 0
    while killed < kills:
        run, number = Run(folder / f"{number}", backend, kind), number + 1
        while not run.attempt(moments.uniform(0, alone.seconds) if killed < kills else None):
            killed += 1
        assert run.answer.read_bytes() == alone.answer.read_bytes(), "not the bits of the other run"
        print(f"{killed} kills; this run reported {len(run.epochs)} epochs", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        survive(int(sys.argv[1]) if len(sys.argv) > 1 else 50, Path(name), *sys.argv[2:4])
