"""
A network that is chaotic
=========================

A network reads the Lorenz system and learns to say where it will be one step later. Then it runs on
its own forecasts. No forecast of chaos is right for long, but the network stays on the attractor:
it has learned the climate, not only the weather.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

import numlstm

# %%
# Lorenz (1963), sampled every 0.02 units of time. Neighbouring paths part by a factor of e in about
# 1.1 units.


def lorenz(t, s):
    """Derivatives of x, y, z by time."""
    return 10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]


DT, LYAPUNOV_TIME = 0.02, 1 / 0.906
times = DT * np.arange(12000)
path = solve_ivp(lorenz, (0, times[-1]), [1, 1, 20], t_eval=times, rtol=1e-8, atol=1e-8).y.T
training, test = path[500:8000], path[8000:]

# %%
# 75 pieces of 100 steps. The loss is in units of the variance.

result = numlstm.fit(
    training.reshape(75, 100, 3),
    hidden_size=32,
    epochs=200,
    schedule="cosine",
    batch_size=4,
    rng=0,
)
print(f"loss: {result.fun:.1e}")

# %%
# `rollout` reads 100 steps and goes on alone. From 15 places it is right for some time, here until
# the distance is half a standard deviation.

begins = test[: 15 * 200].reshape(15, 200, 3)[:, :100]
truth = np.array([test[100 + 200 * k :][:600] for k in range(15)])
distance = np.linalg.norm(result.model.rollout(begins, 600) - truth, axis=2)
wrong = distance > 0.5 * np.sqrt(test.var(axis=0).sum())
valid = DT * np.where(wrong.any(axis=1), wrong.argmax(axis=1), 600) / LYAPUNOV_TIME
print(f"right for {np.median(valid):.1f} Lyapunov times (median)")

# %%
# One run of 10000 steps. It has left the truth long ago, but not the attractor.

free = result.model.rollout(test[:100], 10000)
print("standard deviation of x, y, z:", free.std(axis=0).round(1), test.std(axis=0).round(1))

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4), width_ratios=[1.2, 1], layout="constrained"
)
left.plot(free[:, 0], free[:, 2], linewidth=0.3, color="tab:blue")
left.set(xlabel="x", ylabel="z", title="the network, 10000 steps alone")
t = DT * np.arange(600) / LYAPUNOV_TIME
right.plot(t, test[100:700, 0], color="black", label="Lorenz system")
right.plot(t, free[:600, 0], color="tab:blue", linestyle="--", label="network, alone from 0 on")
right.set(xlabel="time / Lyapunov time", ylabel="x", ylim=(-20, 30))
right.set_title(f"right for {np.median(valid):.1f} Lyapunov times")
right.legend(loc="upper left")
