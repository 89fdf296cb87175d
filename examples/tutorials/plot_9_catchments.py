"""
Many catchments, one network
============================

A hundred catchments have weather and streamflow for every day, and a few attributes: how high they
lie, how much water their soil holds. One network learns all of them, and is asked for streamflow in
catchments that it has never seen. It reads *windows* of 270 days, and the attributes once for each.

This page needs pandas: ``python -m pip install pandas``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import numlstm
from numlstm.metrics import kge, nse

# %%
# The data
# --------
# Where you have a table, there is a simulation here: snow falls below 0 degC and melts above, soil
# fills and drains, and what drains runs off at once or as slowly as the groundwater lets it.


def simulate(count=100, years=5, rng=0):
    """Weather (count, days, 3), attributes (count, 4) and streamflow (count, days) in mm/day."""
    rng = np.random.default_rng(rng)
    days, shape = np.arange(365 * years), (count, 365 * years)
    height, soil, forest, slow = rng.uniform((0.1, 40, 0, 10), (2.5, 250, 1, 80), (count, 4)).T
    season = np.cos(2 * np.pi * (days - 200) / 365)
    temperature = 14 - 6 * height[:, None] + 9 * season + rng.normal(0, 3, shape)
    rain = (rng.random(shape) < 0.35) * rng.gamma(0.7, 9 + 3 * height[:, None], shape)
    sun = 150 + 100 * season + rng.normal(0, 20, shape)
    snow, water, ground = np.zeros((3, count))
    flow = np.zeros(shape)
    for t in days:
        freezes = temperature[:, t] < 0
        melt = np.minimum(snow, 3 * np.maximum(0, temperature[:, t]))
        snow += np.where(freezes, rain[:, t], 0) - melt
        water += np.where(freezes, 0, rain[:, t]) + melt
        thirst = 5e-4 * (0.5 + forest) * np.maximum(0, temperature[:, t]) * sun[:, t]
        water -= np.minimum(water, thirst * np.minimum(1, 2 * water / soil))
        drained = 0.3 * water * np.minimum(1, water / soil) ** 3
        water -= drained
        ground += drained / 2
        flow[:, t] = drained / 2 + ground / slow
        ground -= ground / slow
    weather = np.stack([rain, temperature, sun], axis=-1)
    return weather, np.stack([height, soil, forest, slow], axis=-1), flow


weather, attributes, flow = simulate()
days = pd.date_range("2015-01-01", periods=weather.shape[1])
basins = [f"basin {i:02d}" for i in range(len(weather))]
table = pd.concat(
    {
        name: pd.DataFrame(x, days, ["rain", "temperature", "sun"]).assign(flow=y)
        for name, x, y in zip(basins, weather, flow, strict=True)
    },
    names=["basin", "day"],
)
about = pd.DataFrame(attributes, basins, ["height", "soil", "forest", "slow"])
print(table.head(3).round(1))
print(about.head(3).round(1))

# %%
# Train
# -----
# Ten catchments are kept for the test. Of the others the network sees windows of 270 days, one from
# each 30 days on, and learns the last 30 days of each: ``window=``, ``stride=``, ``predict_last=``.
# They are cut when their turn comes; nothing is laid out 270 times. ``static=`` takes the
# attributes, a row per catchment. ``validation=0.2`` is the last year of each, and ``metrics=``
# follows the Nash-Sutcliffe efficiency, 1 where all is right and 0 for the mean of the flow:
# of many catchments their median.

learned, unseen = basins[:90], basins[90:]
inputs = ["rain", "temperature", "sun"]
settings = {
    "window": 270,
    "stride": 30,
    "predict_last": 30,
    "validation": 0.2,
    "metrics": ["nse"],
    "hidden_size": 16,
    "batch_size": 64,
    "epochs": 12,
    "rng": 0,
}
train = table.loc[learned]
result = numlstm.fit(train[inputs], train["flow"], static=about.loc[learned], **settings)
print(result.data)
print("NSE of the last year, every epoch:", np.round(result.history["validation_nse"], 2))

# %%
# Catchments that it has never seen
# ---------------------------------
# ``predict`` takes the same table of other catchments. Each day is predicted from the 270 days up
# to it, the first 269 therefore by none; ``window=None`` carries the state from day to day instead,
# which is faster and does here as well.

test = table.loc[unseen]
predicted = result.model.predict(test[inputs], static=about.loc[unseen], window=None)
print(predicted.head(3).round(2))

# %%
# How good is it? :mod:`numlstm.metrics` has what hydrologists ask for. The first 270 days of
# each are left out: there the network has no past.

warm = slice(270, None)
true = [test.loc[name, "flow"].to_numpy()[warm] for name in unseen]
pred = [predicted.loc[name, "flow"].to_numpy()[warm] for name in unseen]
score = pd.DataFrame(
    {
        "NSE": list(map(nse, true, pred)),
        "KGE": list(map(kge, true, pred)),
    },
    index=unseen,
)
print(score.round(2))
print("median:", score.median().round(2).to_dict())
assert score["NSE"].median() > 0.7

# %%
# Do the attributes help? The same without them, on the same catchments. Where there are few (30),
# attributes help those that are learned from, and may mislead in others: always look at both.

plain = numlstm.fit(train[inputs], train["flow"], **settings).model
blind = plain.predict(test[inputs], window=None)
guess = [blind.loc[name, "flow"].to_numpy()[warm] for name in unseen]
without = list(map(nse, true, guess))
print(f"median NSE with {score['NSE'].median():.2f}, without {np.median(without):.2f}")
assert score["NSE"].median() > np.median(without)

# %%
# One of them, in its snowiest corner: the flow of spring is the snow of winter.

name = about.loc[unseen, "height"].idxmax()
figure, axes = plt.subplots(2, 1, sharex=True, figsize=(8.5, 5), layout="constrained")
one = test.loc[name]
axes[0].bar(one.index, one["rain"], width=1, color="0.6", label="rain and snow, mm/day")
axes[0].plot(
    one["temperature"].rolling(30).mean(), "C3", label="temperature, mean of 30 days, degC"
)
axes[0].legend(loc="upper right", fontsize=8)
axes[0].set_title(f"{name}, {about.loc[name, 'height']:.1f} km high, never seen in training")
axes[1].plot(one["flow"], "k", lw=1, label="simulated")
axes[1].plot(predicted.loc[name, "flow"], "C0", lw=1, label="network")
axes[1].axvspan(days[0], days[269], color="0.9", label="no full window yet")
axes[1].set(ylabel="streamflow, mm/day", xlim=(days[0], days[-1]))
axes[1].legend(loc="upper right", fontsize=8)

# %%
# Day by day
# ----------
# In operation the weather of a day comes, and its flow is asked for. ``return_state=True`` gives
# the state at the end beside the predictions, and ``state=`` goes on from it: a day costs one step.

day = test.index.get_level_values("day")
past, today = test[inputs][day < days[-1]], test[inputs][day == days[-1]]
about_unseen = about.loc[unseen]
_, state = result.model.predict(past, static=about_unseen, window=None, return_state=True)
flow_today = result.model.predict(today, static=about_unseen, window=None, state=state)
assert np.array_equal(flow_today, predicted[day == days[-1]])  # to the bit
print(flow_today.head(2).round(2))

# %%
# What to try next
# ----------------
# - ``window=None`` in ``fit`` trains on whole series: of five years each that is a tape of 1825
#   steps, and 90 samples to an epoch instead of 3,600.
# - ``weight="nse"`` counts dry catchments as much as wet ones; it needs more epochs.
# - Files that do not fit into memory: HDF5 by h5py, netCDF by xarray, zarr, dask or a memmap go in
#   as they are, see :doc:`/data`. Series of a dataset (S, T, I) that are not to be learned from
#   have ``sample_weight`` 0, and ``lengths=`` leaves out the last years of all.
# - Catchments without streamflow on some days: NaN in y and ``nan_policy="omit"``.
# - Ten days ahead, with a weather forecast: :doc:`/forecasting`.
