"""
The gates through a sunspot cycle
=================================

A network that forecasts sunspots has valves that open and close: the gates. Their values, sorted by
the phase of the cycle, say when it takes something in, when it forgets and when it speaks.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import find_peaks

import numlstm
from numlstm.demo import sunspots

# %%
# The yearly numbers 1700-2008 come with the package. The network reads their square roots, whose
# ups and downs are of similar size in weak and strong cycles, and forecasts the next year.

numbers = sunspots.load()
years = 1700 + np.arange(len(numbers))
model = numlstm.fit(np.sqrt(numbers), hidden_size=8, learning_rate=0.02, epochs=80, rng=0).model

# %%
# `trace` has what the gates did at every step while the network forecast: the arrays are of layers,
# series, steps and units.

trace = model.trace(np.sqrt(numbers), quantities="ifo")
gates = {"input": trace.i[0, 0], "forget": trace.f[0, 0], "output": trace.o[0, 0]}

# %%
# The phase is 0 at a minimum and 1 at the next. All cycles together, the gates have a mean course,
# and most of what a gate does is this course: the rest is about single cycles.

smooth = np.convolve(numbers, [0.25, 0.5, 0.25], "same")
minima, _ = find_peaks(-smooth, distance=7)
inside = slice(minima[0], minima[-1])
phase = np.interp(years, years[minima], np.arange(len(minima)))[inside] % 1
bins = np.minimum((phase * 12).astype(int), 11)


def course(values):
    """Mean in each twelfth of the cycle."""
    return np.array([values[inside][bins == b].mean(axis=0) for b in range(12)])


for name, gate in gates.items():
    explained = course(gate)[bins].var(axis=0).sum() / gate[inside].var(axis=0).sum()
    print(f"{name} gates: the phase explains {explained:.0%} of their variance")

# %%
# Each row of the picture below is one gate, those of a kind sorted by when they are most open.

figure, (above, below) = plt.subplots(
    2, figsize=(8, 6), height_ratios=[1, 2.6], sharex=True, layout="constrained"
)
for first, last in pairwise(minima):
    cycle = np.arange(first, last + 1)
    above.plot((cycle - first) / (last - first), numbers[cycle], color="tab:orange", alpha=0.35)
above.plot((np.arange(12) + 0.5) / 12, course(numbers), color="black", label="mean")
above.set(ylabel="sunspot number", title=f"{len(minima) - 1} cycles, from minimum to minimum")
above.legend()
rows = [course(gate).T for gate in gates.values()]
rows = np.concatenate([kind[kind.argmax(axis=1).argsort()] for kind in rows])
image = below.imshow(rows, aspect="auto", extent=(0, 1, 24, 0), cmap="viridis", vmin=0, vmax=1)
below.hlines([8, 16], 0, 1, color="white", linewidth=3)
below.set(xlabel="phase of the cycle", yticks=[4, 12, 20])
below.set_yticklabels(gates, rotation=90, va="center")
figure.colorbar(image, ax=below, label="open (1) or closed (0)", location="bottom", aspect=50)
