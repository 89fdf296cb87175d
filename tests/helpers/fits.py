"""Small fits, ended early and compared."""

import numpy as np

import numlstm
from numlstm.training import loop
from numlstm.utils import files

SINE = np.sin(np.arange(120) / 4)


def batch(B=12, T=9, I=2, O=1, seed=0):  # noqa: E741
    """Inputs, and targets that depend on the last two of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((B, T, I))
    y = X[..., :1] * np.arange(1, O + 1)
    y[:, 1:] += 0.5 * X[:, :-1, :1]
    return X, y


def quick(X, y=None, **options):
    return numlstm.fit(X, y, **{"hidden_size": 4, "epochs": 3, "rng": 0, **options})


def same(one, other):
    assert one.x.tobytes() == other.x.tobytes()
    assert one.fun == other.fun
    assert (one.nit, one.nfev, one.status, one.message) == (
        other.nit,
        other.nfev,
        other.status,
        other.message,
    )
    assert one.history.keys() == other.history.keys()
    for name, values in one.history.items():
        assert values.tobytes() == other.history[name].tobytes(), name


def stop_after(epochs):
    def callback(intermediate_result):
        if intermediate_result.nit == epochs:
            raise StopIteration

    return callback


class PowerCut(Exception):
    """The machine goes off."""


def cut_the_power(monkeypatch, writes):
    """Write a checkpoint after every window, and raise `PowerCut` after so many."""
    write, written = files.write_checkpoint, []

    def write_and_fail(*arguments):
        write(*arguments)
        written.append(arguments)
        if len(written) == writes:
            raise PowerCut

    monkeypatch.setattr(loop, "_BETWEEN_CHECKPOINTS", -1.0)
    monkeypatch.setattr(files, "write_checkpoint", write_and_fail)
