"""
Label every step
================

A machine hums, knocks or whirrs, and changes between the three without notice. A bidirectional
network says at every step which it is, and how sure it is.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax

import numlstm

# %%
# Sixty recordings of 200 steps. The three sounds differ by their frequency alone, and the noise is
# as loud as they are.

FREQUENCIES = np.array([0.05, 0.11, 0.2])  # cycles per step
rng = np.random.default_rng(0)
changes = rng.random((60, 200)) < 0.02
sound = np.zeros((60, 200), int)
for t in range(1, 200):
    sound[:, t] = np.where(changes[:, t], rng.integers(0, 3, 60), sound[:, t - 1])
phase = np.cumsum(2 * np.pi * FREQUENCIES[sound], axis=1)
X = np.sin(phase) + 0.7 * rng.standard_normal(phase.shape)

# %%
# A label per step, so the loss is "cross_entropy" over steps. The last ten recordings judge.

result = numlstm.fit(
    X[:50, :, None],
    sound[:50],
    loss="cross_entropy",
    hidden_size=24,
    bidirectional=True,
    validation=(X[50:, :, None], sound[50:]),
    epochs=60,
    learning_rate=0.01,
    rng=0,
)
print(result.message)

# %%
# `predict` gives logits; the softmax of them are probabilities.

probability = softmax(result.model.predict(X[50:, :, None]), axis=-1)
right = (probability.argmax(-1) == sound[50:]).mean()

figure, (above, below) = plt.subplots(2, sharex=True, figsize=(8, 4), layout="constrained")
above.plot(X[50], color="0.4", linewidth=0.8)
above.set(ylabel="signal", title=f"{right:.0%} of the steps of ten new recordings are right")
below.stackplot(range(200), probability[0].T, labels=["hum", "knock", "whirr"], alpha=0.8)
below.step(range(200), (sound[50] + 0.5) / 3, color="black", where="mid", label="the truth")
below.set(xlabel="step", ylabel="probability", ylim=(0, 1), xlim=(0, 199))
below.legend(loc="upper right", ncols=4)
