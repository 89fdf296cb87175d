"""
Through which memory
====================

An LSTM remembers in its cells, and in the hidden state that its gates read. Which of them does it
use? Two tasks, two answers.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import lfilter

import numlstm
from numlstm import inspection

# %%
# The same noise drives two teachers. A reservoir drains: what falls in is forgotten exponentially,
# as by a forget gate. A resonance rings, and changes its sign every six steps: that takes two
# numbers that turn into each other, and a cell alone only fades.

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 200, 1))
pole = np.exp(-1 / 20 + 2j * np.pi / 12)
teachers = {
    "a reservoir": ([1], [1, -np.exp(-1 / 20)]),
    "a resonance": ([1], [1, -2 * pole.real, abs(pole) ** 2]),
}

# %%
# `memory_paths` takes the derivative of the last output by the inputs of every step before apart,
# into what was kept in cells alone and what passed a hidden state. It is exact: the parts add up.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharex=True)
for ax, (name, teacher) in zip(axes, teachers.items(), strict=True):
    y = lfilter(*teacher, X, axis=1)
    options = {"method": "L-BFGS-B", "epochs": 300, "dtype": "float64", "rng": 0}
    result = numlstm.fit(X, y, hidden_size=4, **options)
    paths = inspection.memory_paths(result.model, X)
    impulse = np.zeros(60)
    impulse[0] = 1
    total, cell, hidden = (part[:, :60, 0].mean(axis=0) for part in paths[:3])
    ax.plot(lfilter(*teacher, impulse), color="0.8", linewidth=6, label="teacher")
    ax.plot(total, color="black", label="network")
    ax.plot(cell, color="tab:blue", label="through cells alone")
    ax.plot(hidden, color="tab:red", linestyle="--", label="through hidden states")
    ax.set(title=f"{name}: error {result.fun:.0e}", xlabel="lag (steps)")
    length = np.median(inspection.memory_length(result.model, X))
    print(f"{name}: 90 % of the sensitivity are in the last {length:.0f} steps")
axes[0].set_ylabel("d output / d input")
axes[1].legend()
