"""
Rainfall and runoff
===================

Rain fills a catchment, which lets water out the faster the fuller it is. Nobody measures how full
it is. A network that learns the discharge from rain and evaporation has to keep count, in its
cells.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# Eight years of days, simulated: showers, evaporation with the seasons, and a bucket.

rng = np.random.default_rng(0)
day = np.arange(8 * 365)
rain = np.where(rng.random(day.size) < 0.3, rng.exponential(8, day.size), 0)  # mm per day
evaporation = 2.5 - 2 * np.cos(2 * np.pi * day / 365)
storage, runoff = np.zeros(day.size), np.zeros(day.size)
full = 60.0
for t in day:
    full += rain[t]
    runoff[t] = full * (full / 300) ** 2
    full -= runoff[t] + evaporation[t] * full / (full + 40)
    storage[t] = full
measured = runoff * np.exp(0.1 * rng.standard_normal(day.size))

# %%
# Six years to learn from, in parallel streams whose state goes on from one window of 60 days to the
# next.

X, train = np.column_stack([rain, evaporation]), day < 6 * 365
result = numlstm.fit(
    X[train],
    measured[train],
    hidden_size=16,
    bptt_steps=60,
    epochs=100,
    batch_size=8,
    stateful=True,
    schedule="cosine",
    rng=0,
)
simulated = result.model.predict(X)[:, 0]


def efficiency(simulated):
    """Nash & Sutcliffe (1970) against the runoff without noise: 1 is perfect, 0 is the mean."""
    error = simulated[~train] - runoff[~train]
    return 1 - np.mean(error**2) / runoff[~train].var()


# %%
# Beside it, a unit hydrograph: linear in the rain of the last 60 days.

past = np.lib.stride_tricks.sliding_window_view(np.r_[np.zeros(59), rain], 60)
design = np.column_stack([np.ones(day.size), evaporation, past])
linear = design @ np.linalg.lstsq(design[train], measured[train], rcond=None)[0]
print(f"efficiency: network {efficiency(simulated):.2f}, unit hydrograph {efficiency(linear):.2f}")

# %%
# Storms larger than any trained on are underpredicted by such a network, and nothing warns of it.
# With gaps in the rain and ``missing="mask"`` the last value is carried forward, and flagged.
#
# How full is the catchment? The network was never told, but a linear combination of its cells,
# fitted on the years of training, knows.

trace = result.model.trace(X, quantities="c")  # (layers, sequences, steps, units)
cells = np.column_stack([np.ones(day.size), trace.c[0, 0]])
seen = cells @ np.linalg.lstsq(cells[train], storage[train], rcond=None)[0]
correlation = np.corrcoef(seen[~train], storage[~train])[0, 1]
print(f"correlation of the cells with the storage, years 7 and 8: {correlation:.3f}")

figure, (above, middle, below) = plt.subplots(
    3, sharex=True, figsize=(8, 5.5), height_ratios=[1, 2.2, 1.6], layout="constrained"
)
year = day / 365
above.bar(year, rain, width=1 / 365, color="tab:blue")
above.set(ylabel="rain\n(mm/day)", ylim=(50, 0))
middle.plot(year, linear, color="0.6", label=f"unit hydrograph, NSE {efficiency(linear):.2f}")
middle.plot(year, runoff, color="black", label="bucket")
label = f"network, NSE {efficiency(simulated):.2f}"
middle.plot(year, simulated, color="tab:red", linestyle="--", label=label)
middle.set(ylabel="runoff (mm/day)", ylim=(-1, 8))
middle.legend(loc="upper right")
below.plot(year, storage, color="black", label="storage of the bucket")
below.plot(year, seen, color="tab:red", linestyle="--", label="read from the network's cells")
below.set(xlabel="year", ylabel="storage (mm)", xlim=(6.5, 7.7))
below.legend(loc="upper right", ncols=2, fontsize="small")
