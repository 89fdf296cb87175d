"""
How chaotic is a network
========================

A network learns to say where the Lorenz system will be one step later, and nothing else. It has
then learned much of what is known of that system: how fast neighbouring paths part, and the three
points in which it would stay.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

import numlstm
from numlstm import inspection

# %%
# Lorenz (1963), sampled every 0.05 units of time, in 60 pieces of 100 steps.


def lorenz(t, s):
    """Derivatives of x, y, z by time."""
    return 10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]


DT, LARGEST = 0.05, 0.906
times = DT * np.arange(6500)
path = solve_ivp(lorenz, (0, times[-1]), [1, 1, 20], t_eval=times, rtol=1e-8, atol=1e-8).y.T
pieces = path[500:].reshape(60, 100, 3)

options = {"method": "L-BFGS-B", "epochs": 300, "options": {"maxcor": 50}}
result = numlstm.fit(pieces, hidden_size=16, dtype="float64", rng=0, **options)
model = result.model
print(f"loss: {result.fun:.1e}")

# %%
# It reads 100 steps and runs on its own forecasts. The largest exponent says how fast small
# differences grow, the second that of a shift along the path, which neither grows nor dies out.

found = inspection.lyapunov_exponents(
    model, pieces[:4], steps=5000, discard=500, num_exponents=2, dt=DT
)
for name, k, truth in (("largest", 0, LARGEST), ("second", 1, 0.0)):
    runs = found.exponents[:, k]
    print(f"{name}: {runs.mean():.3f} +- {runs.std(ddof=1) / 2:.3f}, of the Lorenz system {truth}")

# %%
# States in which it would stay, if nothing ever pushed it. The Lorenz system has three, and none is
# stable; the one at the origin no path of the data comes near.

points = inspection.fixed_points(model, pieces, num_starts=40)
side = np.sqrt(8 / 3 * 27)
truth = np.array([[0, 0, 0], [side, side, 27], [-side, -side, 27]])
for output, values, stable in zip(points.output, points.eigenvalues, points.stable, strict=True):
    print(output.round(1), f"|eigenvalue| {abs(values[0]):.3f}", "stable" if stable else "unstable")

# %%
# Left the exponent as it settles down in four runs; right one run of the network with its fixed
# points.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4), width_ratios=[1, 1.2], layout="constrained"
)
lengths = np.geomspace(200, 5000, 12).astype(int)
settling = [
    inspection.lyapunov_exponents(
        model, pieces[:4], steps=steps, discard=100, num_exponents=1, dt=DT
    ).exponents[:, 0]
    for steps in lengths
]
left.plot(DT * lengths, settling, color="tab:blue", alpha=0.7)
left.axhline(LARGEST, color="black", linestyle="--", label="Lorenz system")
left.plot([], [], color="tab:blue", label="network, four runs")
left.set(xscale="log", xlabel="time", ylabel="largest exponent", ylim=(0.5, 1.3))
left.set(title="how fast neighbours part")
left.legend()
free = model.rollout(pieces[0], 4000)
right.plot(free[:, 0], free[:, 2], color="tab:blue", linewidth=0.4)
right.plot(truth[:, 0], truth[:, 2], "o", color="black", mfc="none", ms=12, label="Lorenz system")
right.plot(points.output[:, 0], points.output[:, 2], "x", color="tab:red", ms=8, label="network")
right.set(xlabel="x", ylabel="z", title="where it would stay")
right.legend(loc="lower left", fontsize="small")
