"""
Which input, how long ago
=========================

A river rises after rain, and in spring without any: the snow of the winter melts. A network that
has seen precipitation, temperature and flow alone is asked what brought the water of a day. The
answer is known, since the catchments are simulated: the snow lies in a store that the network was
never shown.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm
from numlstm import inspection

# %%
# Half years from midwinter to summer, dry ones and wet ones. Precipitation falls as snow below 0
# degrees; above, the snow melts by the degree, as long as there is some. What is liquid runs
# through a store that forgets its water within some days.

COUNT, DAYS = 400, 150
rng = np.random.default_rng(0)
day = np.arange(DAYS)
spring = rng.uniform(60, 100, (COUNT, 1))  # when it becomes warm
warmth = 9 * np.tanh((day - spring) / 30) + 1.5 * rng.standard_normal((COUNT, DAYS))
wetness = rng.uniform(1, 10, (COUNT, 1))
rain = np.where(rng.random((COUNT, DAYS)) < 0.3, wetness * rng.exponential(1, (COUNT, DAYS)), 0)


def catchments(rain, warmth):
    """Flow and snow of every day, in mm."""
    snow, water, flows, snows = np.zeros(COUNT), np.zeros(COUNT), [], []
    for fallen, degrees in zip(rain.T, warmth.T, strict=True):
        snow += np.where(degrees < 0, fallen, 0)
        melt = np.minimum(snow, 3 * np.maximum(degrees, 0))
        snow = snow - melt
        water = 0.75 * (water + melt + np.where(degrees < 0, 0, fallen))
        flows.append(water / 3)
        snows.append(snow)
    return np.array(flows).T, np.array(snows).T


flow, snow = catchments(rain, warmth)
X = np.stack([rain, warmth], axis=-1)

# %%
# The network learns from 300 of them, and is asked about the other 100.

result = numlstm.fit(
    X[:300],
    flow[:300, :, None],
    hidden_size=24,
    epochs=60,
    learning_rate=0.01,
    schedule="cosine",
    rng=0,
)
model = result.model
X, flow, snow, warmth = X[300:], flow[300:], snow[300:], warmth[300:]
nse = numlstm.metrics.nse(flow.ravel(), model.predict(X).ravel())
print(f"Nash-Sutcliffe efficiency of new half years: {nse:.2f}")

# %%
# Of each one the day with most flow while snow melts, and the one with most flow when there is
# none left. Integrated gradients compare the days before with days as warm, but dry: they say what
# the precipitation of every day brought, in the units of the flow, and add up to what there is more
# than without.

dry = X * [0, 1]
melting = np.argmax(np.where((snow > 0) & (warmth > 0), flow, -1), axis=1)
bare = np.argmax(np.where((snow == 0) & (day > 110), flow, -1), axis=1)
found = {
    name: inspection.integrated_gradients(model, X, step=steps, baseline=dry)
    for name, steps in (("snow melts", melting), ("no snow is left", bare))
}
lags = {name: inspection.lag_importance(one) for name, one in found.items()}
for name, (_, values, _) in lags.items():
    share = values[20:, 0].sum() / values[:, 0].sum()
    print(
        f"{name}: precipitation of 20 days ago and more has {100 * share:.0f} % of the importance"
    )

# %%
# Where snow melts, the precipitation of the whole winter counts, which fell in frost; where none is
# left, mostly that of the last days. Nobody told the network that there is snow.

figure, axes = plt.subplots(2, 1, figsize=(8, 6), layout="constrained")
row = int(np.argmax(found["snow melts"].values[:, :60, 0].sum(axis=1)))
for name, color in (("snow melts", "tab:blue"), ("no snow is left", "tab:orange")):
    one = found[name]
    label = f"of day {one.steps[row]}, when {name}: {one.prediction[row]:.0f} mm"
    axes[0].bar(day, one.values[row, :, 0], width=1.0, color=color, label=label)
    axes[1].plot(lags[name].lags, lags[name].values[:, 0], color=color, label=name)
frost = axes[0].get_xaxis_transform()
axes[0].fill_between(day, 0, 1, where=warmth[row] < 0, color="0.9", transform=frost, lw=0)
axes[0].set(title="one half year; grey: frost", xlabel="day", ylabel="brought to the flow / mm")
axes[1].set(title="all 100", xlabel="days ago", ylabel="mean absolute attribution / mm")
axes[1].set(xlim=(0, 100), yscale="log", ylim=(1e-3, None))
for ax in axes:
    ax.legend()
