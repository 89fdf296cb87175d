"""
A network inside a simulation
=============================

Friction has a memory: a sliding contact is a stiff spring that yields. A network learns the force
from recorded velocities and then takes its place in a driven oscillator, in a compiled loop.
"""

import matplotlib.pyplot as plt
import numba
import numpy as np

import numlstm

# %%
# Dahl's friction, dF/dt = sigma (v - abs(v) F), in an oscillator with a drive. The loop is written
# once: with a stepper the force comes from the network, whose state (h, c) goes on in place.

DT, SIGMA = 0.05, 4.0


@numba.njit
def simulate(drive, stepper=None, h=None, c=None):
    """Position, velocity and friction force (T, 3) under a drive (T,)."""
    path, x = np.empty((len(drive), 3)), 0.0
    v, force = np.zeros(1), np.zeros(1)  # arrays, as the network takes them
    for n in range(len(drive)):
        v += DT * (drive[n] - x - force)
        x += DT * v[0]
        if stepper is None:
            force += DT * SIGMA * (v - np.abs(v) * force)
        else:
            stepper.step(v, h, c, force)
        path[n] = x, v[0], force[0]
    return path


def drive(amplitude, frequency, steps):
    """A cosine."""
    return amplitude * np.cos(frequency * DT * np.arange(steps))


# %%
# Recordings of 64 oscillators under random drives. Both the velocities and the forces were
# measured.

rng = np.random.default_rng(0)
drives = rng.uniform([0.5, 0.3], [3, 2], (64, 2))
paths = np.array([simulate(drive(*numbers, 300)) for numbers in drives])
model = numlstm.fit(
    paths[..., 1:2],
    paths[..., 2:],
    hidden_size=16,
    epochs=60,
    batch_size=8,
    learning_rate=0.01,
    schedule="cosine",
    dtype="float64",
    rng=0,
).model

# %%
# `njit` gives the step to compiled code, in the units of the data. The oscillator runs 4000 steps
# under a sum of two drives, where in training it was always one.

new = drive(1.7, 0.9, 4000) + drive(2, 2.6, 4000)
stepper = model.njit()
truth, learned = simulate(new), simulate(new, stepper, *stepper.initial_state())
error = np.sqrt(np.mean((learned - truth)[:, 0] ** 2) / np.mean(truth[:, 0] ** 2))
print(f"relative error of the position over {len(new)} steps: {error:.3f}")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4), width_ratios=[1.4, 1], layout="constrained"
)
last = slice(-400, None)
left.plot(DT * np.arange(len(new))[last], truth[last, 0], color="black", label="Dahl's friction")
left.plot(DT * np.arange(len(new))[last], learned[last, 0], "--", color="tab:red", label="network")
left.set(xlabel="time", ylabel="position", ylim=(-8, 10), title="the end of the run")
left.legend(loc="upper right")
right.plot(truth[last, 0], truth[last, 2], color="black")
right.plot(learned[last, 0], learned[last, 2], "--", color="tab:red")
right.set(xlabel="position", ylabel="friction force", title="the loop of the friction")
