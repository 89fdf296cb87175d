"""What attributes of whole sequences cost: `python benchmarks/static.py`.

A forward and backward pass of the same layer without attributes, with them, and with the same
numbers repeated as features of every step, in turns; the median of the ratios of every round, with
its quartiles. Beside them a pair of two equal passes: their ratio says what the machine itself
does to such a number.
"""

from pathlib import Path

import numpy as np
import turns

import numlstm

STORE = Path(__file__).parent / "results" / "static.json"
SIZES = ((365, 256, 8, 64, 27), (365, 32, 8, 32, 27), (60, 256, 8, 128, 27))  # T, B, I, H, S


def contenders(steps: int, batch: int, inputs: int, units: int, attributes: int) -> dict:
    """A forward and backward pass, by name."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch, steps, inputs), "float32")
    static = rng.standard_normal((batch, attributes), "float32")
    tiled = np.concatenate([X, np.repeat(static[:, None], steps, axis=1)], axis=2)
    none = numlstm.LSTM(inputs, units, 1, rng=0)
    with_static = numlstm.LSTM(inputs, units, 1, static_size=attributes, rng=0)
    wide = numlstm.LSTM(inputs + attributes, units, 1, rng=0)
    dY = rng.standard_normal((batch, steps, 1), "float32")
    return {
        "none": lambda: passes(none, X, dY),
        "none again": lambda: passes(none, X, dY),
        "static": lambda: passes(with_static, X, dY, static),
        "tiled": lambda: passes(wide, tiled, dY),
    }


def passes(model: numlstm.LSTM, X: np.ndarray, dY: np.ndarray, static=None) -> None:
    """As an update of a fit: the weights packed, a forward pass, a backward pass without dX."""
    network = model.network
    weights = network.pack(model.theta)
    _, _, tape = network.forward(weights, X, tape=True, static=static)
    network.backward(weights, tape, dY)


def measure(size: tuple[int, ...], rounds: int) -> dict:
    """Medians in ms, and of the ratios of every round their quartiles."""
    row = dict(zip(("T", "B", "I", "H", "S"), size, strict=True))
    return row | turns.in_turns(contenders(*size), "none", rounds)


if __name__ == "__main__":
    turns.main(__doc__, measure, SIZES, 60, STORE)
