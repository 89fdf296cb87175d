"""
Inside a solver
===============

A simulation lacks a law, here that of friction, but measurements of it exist. A network learns the
law from them, and the time loop calls it like any other function: in plain Python first, then
compiled.
"""

import matplotlib.pyplot as plt
import numba
import numpy as np
from scipy.optimize import curve_fit

import numlstm

# %%
# What was measured
# -----------------
# On a test rig a contact slides to and fro while its velocity v (m/s) and the force of friction
# F (N) are logged every 0.05 s. The force has a memory: before the contact slides it yields like a
# spring (Dahl 1968). We pretend not to know the equation, ``dF = SIGMA (v - |v| F) dt``; it makes
# the data and judges the result.

DT, SIGMA, STIFFNESS, MASS = 0.05, 4.0, 1.0, 1.0  # s, N/m, N/m, kg


def rig(count, steps, rng):
    """Velocities and forces, (B, T, 1), of B masses on springs that are shaken."""
    amplitude = rng.uniform(0.5, 3.0, count)
    frequency = rng.uniform(0.3, 2.0, count)
    x, v, force = rng.uniform(-4, 4, count), np.zeros(count), np.zeros(count)
    rows = []
    for n in range(steps):
        shaken = amplitude * np.cos(frequency * DT * n)
        v = v + DT * (shaken - STIFFNESS * x - force) / MASS
        x = x + DT * v
        force = force + DT * SIGMA * (v - np.abs(v) * force)
        rows.append((v, force))
    v, force = np.array(rows).transpose(1, 2, 0)
    return v[..., None], force[..., None]


rng = np.random.default_rng(0)
v, force = rig(64, 300, rng)
measured = force + 0.02 * rng.standard_normal(force.shape)

# %%
# The fit
# -------
# Sequences of velocities, (64, 300, 1), and a force for every step, (64, 300, 1). Solvers want
# float64. A law without memory is fitted beside it: Coulomb's, smoothed.

result = numlstm.fit(
    v,
    measured,
    hidden_size=16,
    epochs=100,
    batch_size=8,
    schedule="cosine",
    dtype="float64",
    rng=0,
)
model = result.model
print(result.data)


def coulomb(v, strength, width):
    """Friction that knows the velocity of this instant alone."""
    return strength * np.tanh(v / width)


(strength, width), _ = curve_fit(coulomb, v.ravel(), measured.ravel(), p0=(1.0, 0.1))

v_new, force_new = rig(1, 300, np.random.default_rng(1))
laws = {
    "network": model.predict(v_new)[0],
    "no memory": coulomb(v_new[0], strength, width),
}
for name, law in laws.items():
    error = np.sqrt(np.mean((law - force_new[0]) ** 2))
    print(f"{name}: root mean square error {error:.3f} N")

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(
    v_new[0],
    force_new[0],
    color="black",
    linewidth=3,
    alpha=0.3,
    label="the truth",
)
axes.plot(v_new[0], laws["network"], color="C0", linewidth=1, label="network")
axes.plot(
    v_new[0],
    laws["no memory"],
    ".",
    color="C1",
    markersize=2,
    label="no memory",
)
axes.set(
    xlabel="velocity (m/s)",
    ylabel="friction (N)",
    title="A run that was not learned from",
)
axes.legend()

# %%
# In a loop of your own
# ---------------------
# `model.step` takes one time step: an input (1,), and the state that the last call gave back; None
# begins anew. It speaks the units of the network, mean 0 and variance 1. ``scaling.inputs`` brings
# m/s there, and ``scaling.outputs`` brings newtons back. (`predict` does both by itself.)


def simulate(x, steps):
    """Positions and velocities, (T, 2), of a mass that is let go at x."""
    v, friction, state = 0.0, 0.0, None
    path = np.empty((steps, 2))
    for n in range(steps):
        v = v + DT * (-STIFFNESS * x - friction) / MASS
        x = x + DT * v
        y, state = model.step(model.scaling.inputs([v]), state)
        friction = model.scaling.outputs(y)[0]
        path[n] = x, v
    return path


in_python = simulate(8.0, 600)

# %%
# The same, compiled
# ------------------
# `model.njit` gives the step to functions of Numba, in the units of the data. It works in place.
# The state is two arrays of yours, h and c: keep a pair for every mass, grid point or whatever else
# has a memory of its own.


@numba.njit
def simulate_compiled(stepper, x, h, c, path):
    """Fill path (T, 2) with positions and velocities; h, c go on in place."""
    v, inputs, friction = 0.0, np.empty(1), np.zeros(1)
    for n in range(len(path)):
        v = v + DT * (-STIFFNESS * x - friction[0]) / MASS
        x = x + DT * v
        inputs[0] = v
        stepper.step(inputs, h, c, friction)
        path[n] = x, v


stepper, compiled = model.njit(), np.empty((600, 2))
simulate_compiled(stepper, 8.0, *stepper.initial_state(), compiled)
difference = np.abs(compiled - in_python).max()
print(f"largest difference between the loops: {difference:g}")
assert np.allclose(compiled, in_python, rtol=0, atol=1e-10)

# %%
# Against the truth
# -----------------
# The mass swings, and friction takes its energy. Neither law has seen a motion without shaking.


@numba.njit
def simulate_known(x, path, dahl):
    """The same with Dahl's law, or with the one without memory."""
    v, friction = 0.0, 0.0
    for n in range(len(path)):
        v = v + DT * (-STIFFNESS * x - friction) / MASS
        x = x + DT * v
        if dahl:
            friction = friction + DT * SIGMA * (v - abs(v) * friction)
        else:
            friction = strength * np.tanh(v / width)
        path[n] = x, v


truth, memoryless = np.empty((600, 2)), np.empty((600, 2))
simulate_known(8.0, truth, True)
simulate_known(8.0, memoryless, False)
time = DT * np.arange(1, 601)
figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(8, 5.5), layout="constrained")
for path, style, label in (
    (truth, {"color": "black", "linewidth": 3, "alpha": 0.3}, "the truth"),
    (compiled, {"color": "C0", "linewidth": 1}, "network"),
    (memoryless, {"color": "C1", "linewidth": 1}, "no memory"),
):
    energy = STIFFNESS / 2 * path[:, 0] ** 2 + MASS / 2 * path[:, 1] ** 2
    top.plot(time, path[:, 0], label=label, **style)
    bottom.semilogy(time, energy, **style)
top.set(ylabel="position (m)", xlim=(0, 30))
top.legend(ncols=3)
bottom.set(xlabel="time (s)", ylabel="energy (J)")

paths = {"network": compiled, "no memory": memoryless}
error = {}
for name, path in paths.items():
    error[name] = np.sqrt(np.mean((path - truth)[:, 0] ** 2))
    print(f"{name}: root mean square error {error[name]:.3f} m")
assert error["network"] < error["no memory"] / 3
assert np.abs(compiled[500:]).max() > 30 * np.abs(memoryless[500:]).max()

# %%
# Without memory a law cannot hold: the mass comes to rest in the middle and its energy goes to
# nothing. The real contact holds it as a stiff spring would, on which it trembles on. The network
# has learned that from the rig.
#
# With your own law
# -----------------
# - x has as many entries as your law has inputs, (I,), and y as many as it has outputs, (O,). Many
#   masses at once are a batch: x (B, I), h (layers, B, H), from ``stepper.initial_state(batch=B)``.
# - Train on the time step that the solver has: a network counts steps, not seconds.
# - In the solver the network reads velocities that its own forces have made. Judge it there, as
#   above, and not by its error on the rig alone; and let the rig cover the velocities to come.
# - A solver that repeats a step, such as Runge-Kutta, must begin each attempt with a copy of the
#   state from before it.
# - A program without Python: ``model.export_c("friction.c")`` writes this step as C source with the
#   numbers in it, ``model.export_fortran("friction.f90")`` with a Fortran module over it. Both need
#   nothing of numlstm: :doc:`/embedding`.
#
# What to try next
# ----------------
# - :doc:`/embedding` compares the ways in (`step`, `njit`, `cfunc`, C, Fortran), with times.
# - :doc:`/scipy` trains a network through `solve_ivp` where the force itself was never measured.
# - ``model.njit(derivatives=True)`` has the derivatives of a step, for adjoint solvers.
# - :doc:`plot_6_uncertainty` says how sure a law is; :class:`numlstm.LSTM` lists what a model does.
