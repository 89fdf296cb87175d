"""
Time constants of a trained network
===================================

How long does a network remember, and what does it ring with? Linearised at a point, a network is a
linear system, and the eigenvalues of its step answer as those of any other.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import lfilter

import numlstm
from numlstm import inspection, plotting

# %%
# The teacher is known: a resonance that rings with a period of 12 steps and decays within 20, and a
# slow drift that decays within 40, driven by the same noise.

ringing = np.exp(-1 / 20 + 2j * np.pi / 12)
drift = np.exp(-1 / 40)
rng = np.random.default_rng(0)
X = rng.standard_normal((40, 200))


def response(X):
    """What the teacher makes of inputs (B, T)."""
    rings = lfilter([1], [1, -2 * ringing.real, abs(ringing) ** 2], X)
    return rings + lfilter([1], [1, -drift], X)


y = response(X)

result = numlstm.fit(
    X[..., None],
    y[..., None],
    hidden_size=4,
    method="L-BFGS-B",
    epochs=800,
    options={"maxcor": 50},
    dtype="float64",
    rng=0,
)
print(f"error: {result.fun:.1e} of the variance, {result.message}")

# %%
# `fixed_points` finds where the network comes to rest on an input of zeros, with the eigenvalues of
# a step there (filled circles). `transitions` has the Jacobian of every step's state (h, c) by the
# state before: here at every step of a sequence of the data (dots), where the eigenvalues hardly
# move. On these data the network is nearly linear.

model = result.model
rest = inspection.fixed_points(model, X[..., None], x=[0.0], num_starts=8)
eigenvalues = rest.eigenvalues[0]
moving = model.transitions(model.scaling.inputs(X[:1, :, None]))[0]
cloud = np.linalg.eigvals(moving).ravel()
for name, truth in (("ringing", ringing), ("drift", drift)):
    near = eigenvalues[np.abs(eigenvalues - truth).argmin()]
    print(
        f"{name}: {near:.3f}, truth {truth:.3f}; decays within {-1 / np.log(abs(near)):.1f} steps"
    )
largest = np.abs(cloud).reshape(200, -1).max(axis=1)
print(f"largest modulus: {np.abs(eigenvalues).max():.3f} at rest, ", end="")
print(f"{largest.min():.3f} to {largest.max():.3f} along the data")

# %%
# An eigenvalue on the unit circle would last for ever, one at 0 is forgotten at once. Eight numbers
# are the state, three of them are the teacher's.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4.2), width_ratios=[1, 1.2], layout="constrained"
)
teacher = np.array([ringing, ringing.conjugate(), drift])
plotting.eigenvalues(cloud, ax=left, marker=".", markersize=3, alpha=0.15)
plotting.eigenvalues(eigenvalues, ax=left, label="network at rest")
style = {"marker": "x", "markersize": 10, "color": "tab:red"}
plotting.eigenvalues(teacher, ax=left, label="teacher", **style)
left.set_title("eigenvalues of the step")
left.legend(loc="lower left", fontsize="small")

pulse = np.zeros((1, 180, 1))
pulse[0, 100] = 2  # after a hundred steps of rest
answer = model.predict(pulse)[0, 100:, 0]
truth = response(pulse[..., 0])[0, 100:]
right.plot(truth, color="tab:red", label="teacher")
right.plot(answer, color="tab:blue", linestyle="--", label="network")
right.set(xlabel="steps after the pulse", ylabel="output", title="answer to one pulse")
right.legend()
