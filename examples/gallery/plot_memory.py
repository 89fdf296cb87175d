"""
Where the network looks
=======================

A sequence of random numbers, one of them marked: repeat it at the end. The exact derivatives of the
answer by every number that was read show what the network takes it from.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# Two features per step, the number and the mark; one target per sequence.

rng = np.random.default_rng(0)
marked = rng.integers(0, 60, 2000)
X = np.zeros((2000, 60, 2))
X[..., 0] = rng.standard_normal((2000, 60))
X[np.arange(2000), marked, 1] = 1
y = X[np.arange(2000), marked, 0]
init = {"chrono": 60}  # units that remember up to 60 steps
result = numlstm.fit(X[:1800], y[:1800], hidden_size=16, init=init, epochs=60, rng=0)
new, marked = X[1800:], marked[1800:]
error = np.mean((result.model.predict(new)[:, 0] - y[1800:]) ** 2)
print(f"squared error on 200 new sequences, where guessing has 1: {error:.4f}")

# %%
# `vjp` runs the network and gives a function that takes derivatives by the outputs back to those by
# the inputs. It speaks the network's units, and so a scaling stands on either side; the answer is
# the output at the last step.

model = result.model
Y, pullback = model.vjp(model.scaling.inputs(new))
answer = np.zeros_like(Y)
answer[:, -1] = 1
slope = pullback(answer).X[..., 0] * model.scaling.y_scale / model.scaling.x_scale[0]
found = np.abs(slope).argmax(axis=1) == marked
at_mark = slope[np.arange(200), marked]
print(f"the largest derivative is at the mark in {found.mean():.0%} of the sequences,")
print(f"{at_mark.mean():.2f} +- {at_mark.std():.2f} there, where 1 would be exact")

# %%
# All sequences, sorted by where their mark is.

order = marked.argsort()
one = order[100]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
image = left.imshow(slope[order], aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1)
left.set(xlabel="step that was read", ylabel="sequence, sorted by its mark")
left.set_title(f"largest at the mark in {found.mean():.0%}")
figure.colorbar(image, ax=left, label="d answer / d number read")
right.vlines(np.arange(60), 0, new[one, :, 0], color="0.7", linewidth=2, label="number read")
right.plot(slope[one], color="tab:red", label="derivative of the answer by it")
right.axvline(marked[one], color="black", linestyle=":", label="the mark")
right.set(xlabel="step", title="one sequence", ylim=(-3, 5), xlim=(-1, 60))
right.legend(loc="upper right")
