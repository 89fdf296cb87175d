"""
One network for many systems
============================

Heaters, tanks, catchments: systems of one kind answer alike, each with a gain and a time constant
of its own. What is known of each goes into `static`, a row of attributes for each sequence, and one
network serves all of them, those too that it has never seen.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import lfilter

import numlstm

# %%
# A system of first order follows its input with a gain K and a time constant tau, in steps. The
# input is a valve that jumps now and then to another level.


def valve(systems, steps, rng):
    """Inputs (B, T) that are constant for some ten steps at a time."""
    jumps = rng.random((systems, steps)) < 0.1
    levels = rng.uniform(0, 1, (systems, steps))
    places = np.maximum.accumulate(np.where(jumps, np.arange(steps), 0), axis=1)
    return np.take_along_axis(levels, places, axis=1)


def response(inputs, gains, constants):
    """What the systems make of their inputs (B, T)."""
    kept = np.exp(-1 / constants)
    return np.stack(
        [
            lfilter([gain * (1 - keep)], [1, -keep], part)
            for part, gain, keep in zip(inputs, gains, kept, strict=True)
        ]
    )


rng = np.random.default_rng(0)
count, known = 200, 120  # the last 80 systems are never seen
gains = rng.uniform(0.5, 3, count)
constants = np.exp(rng.uniform(np.log(2), np.log(30), count))
inputs = valve(count, 100, rng)
outputs = response(inputs, gains, constants)
attributes = np.column_stack([gains, np.log(constants)])

# %%
# The network is the same with attributes and without. They are standardised as features are.

X, y = inputs[..., None], outputs[..., None]
options = {"hidden_size": 16, "batch_size": 20, "epochs": 120, "schedule": "cosine", "rng": 0}
blind = numlstm.fit(X[:known], y[:known], **options).model
told = numlstm.fit(X[:known], y[:known], static=attributes[:known], **options).model

new = slice(known, None)
predicted = {
    "without attributes": blind.predict(X[new])[..., 0],
    "with attributes": told.predict(X[new], static=attributes[new])[..., 0],
}
errors = {
    name: np.sqrt(np.mean((part - outputs[new]) ** 2, axis=1)) for name, part in predicted.items()
}
for name, error in errors.items():
    print(f"{name}: {np.sqrt(np.mean(error**2)):.3f} on systems that were not learned from")

# %%
# Attributes are inputs, so that the network may be asked about any system: the answers to one step,
# of a gain of 2 and time constants that were chosen.

chosen = np.array([3.0, 8.0, 20.0])
step = np.repeat(np.r_[np.zeros(10), np.ones(60)][None], 3, axis=0)
asked = told.predict(step[..., None], static=np.column_stack([np.full(3, 2.0), np.log(chosen)]))[
    ..., 0
]
truth = response(step, np.full(3, 2.0), chosen)

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(12, 4), width_ratios=[1.5, 1, 1.2], layout="constrained"
)
colors = {"without attributes": "tab:orange", "with attributes": "tab:blue"}
slow, quick = np.argmax((gains * constants)[new]), np.argmin((gains * constants)[new])
for number in (slow, quick):
    left.plot(outputs[new][number], color="0.7", linewidth=4)
    for name, part in predicted.items():
        left.plot(part[number], color=colors[name], linestyle="--")
left.plot([], [], color="0.7", linewidth=4, label="two new systems")
for name, color in colors.items():
    left.plot([], [], color=color, linestyle="--", label=name)
left.set(xlabel="step", ylabel="output", title="a strong slow system and a weak quick one")
left.legend(fontsize="small")

for name, error in errors.items():
    middle.plot(gains[new], error, "o", markersize=4, color=colors[name], label=name)
middle.set(xlabel="gain", ylabel="root mean squared error", yscale="log", title="80 new systems")
middle.set_ylim(top=4)
middle.legend(fontsize="small")

for part, answer, constant, color in zip(truth, asked, chosen, ("C2", "C3", "C4"), strict=True):
    right.plot(part, color="0.7", linewidth=4)
    right.plot(answer, color=color, linestyle="--", label=f"time constant {constant:.0f}")
right.set(xlabel="step", title="one step, a gain of 2")
right.legend(fontsize="small")
