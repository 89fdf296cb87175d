"""
The adding problem
==================

The task that the LSTM was published with (Hochreiter & Schmidhuber 1997): of a long sequence of
random numbers, two are marked. What is their sum? All the others are noise, and the two may be far
from the end.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# Every step has a number between 0 and 1 and a mark. One mark is in the first half, one in the
# second.


def adding_problem(count, length, rng):
    """Sequences (count, length, 2) and the sums of their marked numbers (count,)."""
    X = np.zeros((count, length, 2))
    X[..., 0] = rng.random((count, length))
    for half in (0, 1):
        place = half * length // 2 + rng.integers(0, length // 2, count)
        X[np.arange(count), place, 1] = 1
    return X, np.sum(X[..., 0] * X[..., 1], axis=1)


# %%
# A target per sequence: `fit` learns from the output at the last step. With the default first
# weights the forget gates are at sigmoid(1) = 0.73, which is a memory of a few steps. "chrono"
# draws their biases such that the units remember between 1 and as many steps as it says (Tallec &
# Ollivier 2018).

losses = {}
for length in (30, 100):
    X, y = adding_problem(1500, length, np.random.default_rng(0))
    test = adding_problem(300, length, np.random.default_rng(1))
    for name, init in (("default", None), ("chrono", {"chrono": length})):
        result = numlstm.fit(X, y, hidden_size=16, init=init, epochs=40, validation=test, rng=0)
        losses[length, name] = result.history["validation_loss"]
        print(f"{length} steps, {name}: {result.history['validation_loss'].min():.4f}")

# %%
# Losses are in units of the variance of the targets: who forgets the numbers and always says their
# mean has an error of 1.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), sharey=True, layout="constrained")
for axis, length in zip(axes, (30, 100), strict=True):
    for name, style in (("default", "--"), ("chrono", "-")):
        axis.semilogy(np.arange(1, 41), losses[length, name], style, label=f"first weights: {name}")
    axis.axhline(1, color="0.5", linestyle=":", label="always the mean")
    axis.set(xlabel="epoch", ylim=(1e-4, 20), title=f"{length} steps")
axes[0].set_ylabel("squared error on new sequences / variance")
axes[0].legend(loc="upper right")
