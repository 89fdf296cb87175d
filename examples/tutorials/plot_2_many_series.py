"""
Many series, with gaps
======================

Thirty fields have a rain gauge and a thermometer, and somebody measures the water in the soil now
and then. The records differ in length, the instruments fail, and most days have no measurement. One
network learns from all of it and tells the soil water of every day, in fields it has never seen.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.signal import lfilter

import numlstm

# %%
# The data
# --------
# The fields are simulated, so that the truth is known. A field is a bucket: rain fills it up to
# 120 mm, warm days empty it, the faster the fuller it is.

rng = np.random.default_rng(0)


def simulate_field():
    """Rain in mm, temperature in degrees C and water in the soil in mm on 200 to 400 days."""
    start = pd.Timestamp("2020-01-01") + pd.Timedelta(days=int(rng.integers(365)))
    days = pd.date_range(start, periods=rng.integers(200, 400), name="day")
    rain = rng.gamma(3, 5, len(days)) * (rng.random(len(days)) < 0.25)
    warmth = 12 + 10 * np.sin(2 * np.pi * (days.day_of_year - 110) / 365)
    warmth = warmth + 3 * rng.standard_normal(len(days))
    water, level = [], 70.0
    for fallen, degrees in zip(rain, warmth, strict=True):
        level = min(level + fallen, 120.0)
        level -= 0.35 * max(degrees, 0) * (level / 120) ** 1.5
        water.append(level)
    return pd.DataFrame({"rain": rain, "temperature": warmth, "water": water}, index=days)


truth = [simulate_field() for _ in range(30)]

# %%
# What is known of a field: the gauge is out of order for 15 days, the thermometer on one day in
# twenty, and the water is measured on one day in five, to about 2 mm. All that is missing is NaN.

X, y = [], []
for field in truth:
    inputs, length = field[["rain", "temperature"]].copy(), len(field)
    failure = rng.integers(length - 15)
    inputs.iloc[failure : failure + 15, 0] = np.nan
    inputs.loc[rng.random(length) < 0.05, "temperature"] = np.nan
    measured = field["water"] + 2 * rng.standard_normal(length)
    X.append(inputs)
    y.append(measured.where(rng.random(length) < 0.2))

# %%
# ``X`` is a list of frames of shape (T_i, 2), ``y`` a list of series of shape (T_i,), each with
# the days of its frame as the index. Of the first field:

print(X[0].assign(water=y[0]).head())

# %%
# Train
# -----
# Whole fields are set aside: four to stop by, six to judge by. Days of one field are too much
# alike to be split at random. Each kind of gap is allowed by a word of its own, because a NaN that
# nobody expected is better an error:
#
# - ``missing="mask"`` for inputs: the last value observed is taken in its place, so that the last
#   day's rain is repeated, and the network is told beside every value whether it was observed;
# - ``nan_policy="omit"`` for targets: on such a day nothing is asked.

settings = {
    "missing": "mask",
    "nan_policy": "omit",
    "validation": (X[20:24], y[20:24]),
    "patience": 30,
    "epochs": 150,
    "hidden_size": 16,
    "batch_size": 4,
    "rng": 0,
}
result = numlstm.fit(X[:20], y[:20], **settings)
print(result.data)
print(result.message)

# %%
# Predict
# -------
# A list gives a list: of every field a frame with the same days, in mm. It is a value for every
# day, no matter what was observed on it.

model = result.model
predicted = model.predict(X[24:])
print(predicted[0].head(3))

# %%
# The straight way to the same is a linear regression on running means of rain and temperature,
# which start at the mean of all fields. Gaps are filled by that mean.

means = pd.concat(X[:20]).mean()


def running_means(inputs):
    """Regressors of shape (T, 9): a constant, and four running means of both inputs."""
    departures = (inputs - means).fillna(0).to_numpy()
    decays = [0.5 ** (1 / halflife) for halflife in (1, 3, 10, 30)]
    columns = [lfilter([1 - decay], [1, -decay], departures, axis=0) for decay in decays]
    return np.column_stack([np.ones(len(inputs)), *columns])


known = [target.notna() for target in y[:24]]
rows = np.concatenate([running_means(f)[k] for f, k in zip(X[:24], known, strict=True)])
values = np.concatenate([target.dropna() for target in y[:24]])
weights = np.linalg.lstsq(rows, values, rcond=None)[0]
linear = [running_means(inputs) @ weights for inputs in X[24:]]

# %%
# Here the truth is known on all days, so the errors are those of all days of the six fields.

days = pd.concat(truth[24:])
days["LSTM"] = np.concatenate([p["water"] for p in predicted])
days["linear"] = np.concatenate(linear)
gauge_out = pd.concat(X[24:])["rain"].isna().to_numpy()
for name in ("LSTM", "linear"):
    squares = (days[name] - days["water"]) ** 2
    all_days, out = np.sqrt(squares.mean()), np.sqrt(squares[gauge_out].mean())
    print(f"{name}: RMSE {all_days:.1f} mm on all days, {out:.1f} mm with the gauge out of order")
print("standard deviation of the water:", round(days["water"].std(), 1), "mm")

# %%
# One of these fields. While the gauge is out of order (grey), nobody knows how much rain falls,
# and the network is no better than the regression. Once it works again, the error is soon
# forgotten. The regression does not know that the soil holds 120 mm at most; the network has
# learned it.

field, inputs, target = truth[24], X[24], y[24]
figure, (above, below) = plt.subplots(
    2, figsize=(8, 5), sharex=True, height_ratios=(1, 2), layout="constrained"
)
above.bar(field.index, inputs["rain"], color="C0", width=1)
above.set(ylabel="rain (mm per day)", title="A field that the network has not seen")
below.plot(field["water"], color="0.6", linewidth=3, label="truth")
below.plot(target, "ko", markersize=3, label="measured, not shown to the network")
below.plot(field.index, linear[0], "C0--", linewidth=1, label="linear regression")
below.plot(predicted[0], color="C3", label="LSTM")
below.set(ylabel="water in the soil (mm)")
for axes in (above, below):
    gap = inputs.index[inputs["rain"].isna()]
    axes.axvspan(gap[0], gap[-1], color="0.9")
figure.legend(loc="outside lower center", ncols=4)

# %%
# One table instead of a list
# ---------------------------
# Often all series stand below each other in one table. Make the name of the series and the time
# the index, and it is a list of series, told apart by their names. Fields are set aside by name.
# The result is the same to the bit.

table = pd.concat({i: X[i].assign(water=y[i]) for i in range(24)}, names=["field"])
table = table.reset_index()  # as it comes from a CSV file
print(table.head(3))
table = table.set_index(["field", "day"])
columns = ["rain", "temperature"]
aside = table.index.isin([20, 21, 22, 23], level="field")
settings["validation"] = table.loc[aside, columns], table.loc[aside, "water"]
again = numlstm.fit(table.loc[~aside, columns], table.loc[~aside, "water"], **settings)
assert np.array_equal(again.x, result.x)

# %%
# Units
# -----
# ``predict`` fills gaps as ``fit`` did and gives mm. ``forward`` and ``step`` speak the network's
# own units and take no NaN: under ``missing="mask"`` they read four channels, the two standardised
# inputs and for each 1 where it was observed and 0 where it was not. The network starts every
# series with the same empty memory.
#
# With your own data
# ------------------
# - Arrays do as well as frames: a list of arrays of shape (T_i, I) and a list of targets (T_i,).
#   If they are padded to one array of shape (B, T, I), with targets of shape (B, T, 1), pass their
#   true ``lengths``, shape (B,).
# - One target per series, as a yield per field, is a ``y`` of shape (B,): :doc:`plot_3_classify`.
# - Without a ``y`` the network learns to forecast the next value of every column.
# - A constant of a series, as its kind of soil, is a column with the same value on all days.
# - Storms larger than any trained on are underpredicted: outputs hardly leave the range learned.
# - Days that are missing as rows are answered with a ``UserWarning``. ``frame.asfreq("D")`` puts
#   them in, with NaN.
#
# What to try next
# ----------------
# - :func:`numlstm.fit`: ``sample_weight`` for series that count more, ``bptt_steps`` for long
#   ones, ``bidirectional=True`` where later days are known as well.
# - :func:`numlstm.ensemble` for a spread beside the mean.
# - :doc:`/data` for polars, pyarrow and xarray, and for the rules by which labels are matched.
