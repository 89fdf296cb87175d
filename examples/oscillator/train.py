"""Learn Dahl's friction force from velocities, and write it as Fortran.

The force F of a sliding contact depends on its past: dF/dt = sigma (v - |v| F), a stiff spring that
yields. Here it is known; in a measurement only v and F would be. `main.f90` runs the network.
"""

import numpy as np

import numlstm

DT, STIFFNESS, SIGMA = 0.05, 1.0, 4.0


def trajectories(count, steps, rng):
    """Velocities and friction forces (count, steps, 1) of oscillators under random drives."""
    amplitude, frequency, phase = rng.uniform(
        [[0.5], [0.3], [0.0]], [[3.0], [2.0], [6.3]], (3, count)
    )
    x = v = force = np.zeros(count)
    rows = []
    for n in range(steps):
        drive = amplitude * np.cos(frequency * DT * n + phase)
        v = v + DT * (drive - STIFFNESS * x - force)
        x = x + DT * v
        force = force + DT * SIGMA * (v - np.abs(v) * force)
        rows.append((v, force))
    v, force = np.array(rows).transpose(1, 2, 0)
    return v[..., None], force[..., None]


v, force = trajectories(64, 300, np.random.default_rng(0))
result = numlstm.fit(
    v, force, hidden_size=16, epochs=60, batch_size=8, learning_rate=0.01, dtype="float64", rng=0
)
print(f"mean squared error of the force, in units of its variance: {result.fun:.1e}")
result.model.export_fortran("friction.f90")
