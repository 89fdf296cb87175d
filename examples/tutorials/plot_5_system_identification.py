"""
Identify a system
=================

A pump fills a tank, the tank runs out into a second one, and only the level of the second is
measured. From the voltage of the pump, u(t), and that level, y(t), a network learns to simulate
the tanks: given voltages alone, it says what the level will be.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# The data
# --------
# Two arrays of the same length: u in V and y in cm, a value every 4 s. Here they are simulated.
# Outflow goes with the square root of the level, and a tank overflows at 10 cm: nothing about it
# is linear. The sensor adds noise of 0.05 cm. With data of your own read them in place of this,
# for instance ``u, y = np.loadtxt("log.csv", delimiter=",", unpack=True)``.

rng = np.random.default_rng(0)


def measure(u):
    """Level of the lower tank after every step of u (T,)."""
    upper = lower = 4.0
    y = np.empty(len(u))
    for t, volt in enumerate(u):
        for _ in range(4):  # seconds
            flow = 0.13 * np.sqrt(upper)  # from one into the other
            lower = np.clip(lower + flow - 0.12 * np.sqrt(lower), 0, 10)
            upper = np.clip(upper + 0.11 * volt - flow, 0, 10)
        y[t] = lower
    return y + 0.05 * rng.standard_normal(len(u))


# steps of random height and length to learn from
u = np.repeat(rng.uniform(0.5, 4.5, 300), rng.integers(5, 30, 300))[:4000]
y = measure(u)
time = np.arange(1000)
frequency, phase = rng.uniform(1 / 300, 1 / 25, (12, 1)), rng.uniform(0, 2 * np.pi, (12, 1))
u_test = 2.3 + 0.55 * np.cos(2 * np.pi * frequency * time + phase).sum(axis=0)
u_test = np.clip(u_test, 0, 5)  # a signal of another kind: twelve sines
y_test = measure(u_test)

# %%
# Choose the time step
# --------------------
# The slowest time constant, in which y goes 63 % of its way after a step of u, should be some 10 to
# 30 steps. Here it is about 10. Loggers are often faster: a network must then remember over
# hundreds of steps in which little happens, which is hard to learn. Average q values
# (``array[::q]`` thins):
#
# .. code-block:: python
#
#     q = 8  # from 0.5 s to 4 s
#     u, y = (a[: len(a) // q * q].reshape(-1, q).mean(axis=1) for a in (u, y))
#
# The fit
# -------
# ``fit(u, y)`` reads one series with one feature and a target per step. The network never sees y as
# an input, so what is minimised is the error of a simulation, not of forecasts one step ahead. What
# it knows of the past is in its state. With ``bptt_steps=100`` a gradient goes back through 100
# steps at most: take a few times the slowest time constant. The last fifth judges every epoch; the
# best epoch's parameters are returned. Run three seeds and keep the best by the validation loss.
#
# ``stateful=True`` cuts the series into `batch_size` parallel streams: fewer updates, here a tenth
# of the time. But each stream begins in the state 0, at a level that the network cannot know. It
# hurts where streams are few and short, so compare the validation loss with and without it.

settings = {"hidden_size": 16, "bptt_steps": 100, "epochs": 200}
settings |= {"schedule": "cosine", "validation": 0.2}
streams = [
    numlstm.fit(u, y, stateful=True, batch_size=8, rng=seed, **settings) for seed in range(3)
]
whole = numlstm.fit(u, y, rng=0, **settings)
print(whole.data)
for fitted in (*streams, whole):
    print(f"validation loss {min(fitted.history['validation_loss']):.5f}")
model = min((*streams, whole), key=lambda fitted: min(fitted.history["validation_loss"])).model

# %%
# Losses are mean squared errors in units of the variance of y. What cannot be foreseen, the noise
# of the sensor, is the dotted line. Without streams one fit does; three seeds tell more.

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for seed, fitted in enumerate(streams):
    label = "stateful, three seeds" if seed == 0 else None
    axes.semilogy(fitted.history["validation_loss"], "C1", linewidth=1, label=label)
axes.semilogy(whole.history["validation_loss"], "C0", label="one stream")
axes.axhline((0.05 / y.std()) ** 2, color="0.4", linestyle=":", label="noise of the sensor")
axes.set(xlabel="epoch", ylabel="validation loss", xlim=(0, 199))
axes.legend()

# %%
# A linear model to compare with
# ------------------------------
# ARX is the usual first model: y(t) by least squares from the last n levels and voltages. The order
# n is chosen by free runs over the last fifth, too. In a free run the model reads its own levels.


def lagged(u, y, n):
    """The regressors of y[n:], n levels, n + 1 voltages and a constant."""
    columns = [y[n - k : len(y) - k] for k in range(1, n + 1)]
    columns += [u[n - k : len(u) - k] for k in range(n + 1)]
    return np.column_stack([*columns, np.ones(len(y) - n)])


def free_run(coefficients, u, y, n):
    """Levels (T,); the first n are those measured."""
    levels = y.copy()
    for t in range(n, len(u)):
        past = levels[t - n : t][::-1], u[t - n : t + 1][::-1], [1.0]
        levels[t] = np.concatenate(past) @ coefficients
    return levels


def fit_percentage(y, simulated):
    """100 (1 - NRMSE), without 100 steps that feel the unknown initial state."""
    y, simulated = y[100:], simulated[100:]
    return 100 * (1 - np.linalg.norm(y - simulated) / np.linalg.norm(y - y.mean()))


arx, quality = {}, {}
for n in (1, 2, 4, 8):
    arx[n] = np.linalg.lstsq(lagged(u[:3200], y[:3200], n), y[n:3200])[0]
    quality[n] = fit_percentage(y[3200:], free_run(arx[n], u[3200:], y[3200:], n))
n = max(quality, key=quality.get)
one_step = np.append(y_test[:n], lagged(u_test, y_test, n) @ arx[n])
linear = free_run(arx[n], u_test, y_test, n)

# %%
# The test
# --------
# `predict` reads V and gives cm, (1000, 1) for a series of 1000 steps; the network begins in the
# state 0.

simulated = model.predict(u_test)[:, 0]
table = {
    f"ARX of order {n}, one step ahead": one_step,
    f"ARX of order {n}, free run": linear,
    "LSTM, free run": simulated,
}
for name, levels in table.items():
    print(f"{name:30} {fit_percentage(y_test, levels):5.1f} %")
assert fit_percentage(y_test, simulated) > fit_percentage(y_test, linear) + 10

minutes = time * 4 / 60
figure, (top, middle, bottom) = plt.subplots(
    3, sharex=True, figsize=(8, 6), height_ratios=(1, 2, 1), layout="constrained"
)
top.plot(minutes, u_test, color="0.3", linewidth=1)
top.set(ylabel="voltage (V)", title="A signal of a kind that was not learned from")
middle.plot(minutes, y_test, color="black", linewidth=2.5, alpha=0.3, label="measured")
middle.plot(minutes, linear, color="C1", linewidth=1, label="ARX, free run")
middle.plot(minutes, simulated, color="C0", linewidth=1, label="LSTM, free run")
middle.set(ylabel="level (cm)")
middle.legend(ncols=3, loc="upper right")
middle.set_ylim(top=12.5)
bottom.plot(minutes, y_test - linear, color="C1", linewidth=1)
bottom.plot(minutes, y_test - simulated, color="C0", linewidth=1)
bottom.set(xlabel="time (min)", ylabel="error (cm)", xlim=(0, minutes[-1]))

# %%
# Forecasts one step ahead flatter a model: the level an instant ago is nearly the answer. For a
# controller or a digital twin the free run is what counts.
#
# With your data
# --------------
# - Several inputs are columns: u (T, I); several outputs y (T, O).
# - Several experiments are lists, ``fit([u1, u2], [y1, y2], ...)``, without `stateful`.
# - Excite what will be asked for: a network knows the range of u and y that it has seen.
# - Where all experiments begin in the same state, ``learned_state=True`` learns it.
#
# What to try next
# ----------------
# - :doc:`plot_6_uncertainty` puts a band around such predictions.
# - :doc:`plot_7_inside_a_solver` calls the network step by step in a loop of your own.
# - :doc:`/scipy` has second-order methods, which reach a lower loss on smooth problems.
# - :func:`numlstm.fit` describes `stateful`, `bptt_steps` and `validation` to the letter.
