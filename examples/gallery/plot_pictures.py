"""
One fit in pictures
===================

Which input, how long ago, through which memory? A network learns the flow of a river where it snows
in winter, and :mod:`numlstm.plotting` shows how it was trained, how well it does and what it looks
at. Since the river is simulated, every answer can be held against what is true.
"""

import numpy as np
import pandas as pd

import numlstm
from numlstm import inspection, plotting

# %%
# 160 years of days. Months are dry or wet, by chance. Below 0 degrees it snows; above, the snow
# melts. What has fallen as rain or has melted runs off over some days.

rng = np.random.default_rng(0)
days = pd.date_range("1860-10-01", "2020-09-30", name="day")
season = np.cos(2 * np.pi * (days.day_of_year.to_numpy() - 20) / 365)
temperature = 5 - 11 * season + 3 * rng.standard_normal(days.size)
month = 12 * (days.year - 1860) + days.month - 10
wetness = rng.gamma(1.0, 1.0, month.max() + 1)[month]
rain = np.where(rng.random(days.size) < 0.35, wetness * rng.exponential(7, days.size), 0)


def river(precipitation):
    """Flow and lying snow of every day, in mm."""
    flows, snows, lying, ground = [], [], 0.0, 20.0
    for falls, degrees in zip(precipitation, temperature, strict=True):
        frozen, melts = falls * (degrees < 0), min(lying, 2.5 * max(degrees, 0.0))
        lying += frozen - melts
        ground += falls - frozen + melts
        flows.append(0.08 * ground)
        snows.append(lying)
        ground -= flows[-1]
    return pd.Series(flows, days, name="flow (mm per day)"), pd.Series(snows, days)


flow, snow = river(rain)
X = pd.DataFrame({"precipitation": rain, "temperature": temperature}, days)
y = flow * np.exp(0.05 * rng.standard_normal(days.size))


def years(data):
    """A list of years, each of which begins in October, when there is no snow."""
    return [part for _, part in data.groupby(days.year + (days.month > 9))]


# %%
# Training
# --------
# Each year is a sequence of its own: what melts in May fell within the same one. Forget gates that
# are open in the beginning, at 0.95, let it look back over a winter from the first epoch on. The
# last eight years are kept apart. :func:`~numlstm.plotting.learning_curve` takes the history of a
# fit.

result = numlstm.fit(
    years(X)[:-8],
    years(y)[:-8],
    hidden_size=16,
    init={"forget_bias": 3},
    batch_size=8,
    validation=0.1,
    epochs=150,
    learning_rate=0.01,
    schedule="cosine",
    rng=0,
)
model = result.model
plotting.learning_curve(result.history)

# %%
# How well it does
# ----------------
# The year of the largest flow among those that it has not seen. The band is 1.96 times the standard
# error of the years before, whatever the flow: too narrow in a flood, too wide where there is
# little.

predicted = pd.concat(model.predict(years(X)))[y.name]
past, later = slice(None, "2012-09-30"), slice("2012-10-01", None)
width = 1.96 * (y - predicted)[past].std()
year = slice("2015-10-01", "2016-09-30")
plotting.forecast(
    predicted[year],
    predicted[year] - width,
    predicted[year] + width,
    truth=y[year],
    label="network",
)
inside = (y - predicted)[later].abs().lt(width).mean()
print(f"in the band: {inside:.0%} of eight years")
print(f"Nash-Sutcliffe efficiency: {numlstm.metrics.nse(y[later], predicted[later]):.2f}")

# %%
# The residuals say so, too. Their autocorrelation is far beyond the band of white noise, so that
# there was more to be learned, and their tails are far from those of a normal distribution.

plotting.residuals(y[later], predicted[later])

# %%
# Does it know of the snow?
# -------------------------
# A good score does not say so: where all winters are alike, the date tells almost as much. So take
# the precipitation of a month away, from the river and from what the network reads, and look at the
# largest flow of a spring.


def lost(spring, month):
    """By how much a day's flow is less without the precipitation of a month: river and network."""
    dry = X.copy()
    dry.loc[month, "precipitation"] = 0
    read = dry[f"{spring.year - 1}-10-01" : spring]
    answer = model.predict(read)[y.name].iloc[-1]
    return river(dry["precipitation"])[0][spring] - flow[spring], answer - predicted[spring]


springs = [y[f"{n}-02" : f"{n}-05"].idxmax() for n in range(2013, 2021)]
months = [
    [f"{n - 1}-11", f"{n - 1}-12", f"{n}-01", f"{n}-02", f"{n}-03"] for n in range(2013, 2021)
]
losses = np.array([
    [lost(spring, one) for one in these] for spring, these in zip(springs, months, strict=True)
])  # fmt: skip
flood = springs[3]
print(f"less flow on {flood:%d %B %Y}, in mm, without the precipitation of")
for one, (truth, answer) in zip(months[3], losses[3], strict=True):
    print(f"  {one}: river {truth:6.2f}, network {answer:6.2f}")
both = np.corrcoef(losses.reshape(-1, 2).T)[0, 1]
print(f"all eight springs: correlation {both:.2f}, the network's are ", end="")
print(f"{losses[..., 1].sum() / losses[..., 0].sum():.0%} of the river's")

# %%
# It does know, though not exactly: what it says of a single month may be half or twice of what is
# true. An attribution says what the network uses, and not what nature does; it is an answer about
# the river only as far as this comparison holds.
#
# Which input, how long ago?
# --------------------------
# The same question in one picture, by integrated gradients: what the precipitation of every day
# brought to the flow of that day. What it is compared with is a year as warm, but dry.

before = X["2015-10-01":flood]
found = inspection.integrated_gradients(model, before, baseline=before.assign(precipitation=0))
print(f"{found.prediction[0]:.1f} mm; as warm, but dry: {found.baseline_prediction[0]:.1f} mm")
plotting.attribution(found)

# %%
# What of one day is luck is gone in the mean over the largest flows of forty springs, by how long
# ago it was.

parts = [X[f"{n - 1}-10-01" : y[f"{n}-02" : f"{n}-05"].idxmax()] for n in range(1981, 2021)]
dry = [part.assign(precipitation=0) for part in parts]
many = inspection.integrated_gradients(model, parts, baseline=dry)
plotting.lag_importance(inspection.lag_importance(many))

# %%
# Gates and cells
# ---------------
# :meth:`numlstm.LSTM.trace` has what the gates and cells did. Is there a cell that is the snow? All
# that goes with the seasons goes with it: a correlation is worth something once the mean year is
# taken from both. The sign of a cell is of no meaning.

# sphinx_gallery_thumbnail_number = 6
trace = model.trace(years(X), quantities="cf")
lengths = [len(part) for part in years(X)]


def by_day(values):
    """A frame of (B, S, U), without what lies behind the end of a year."""
    parts = [part[:length] for part, length in zip(values, lengths, strict=True)]
    return pd.DataFrame(np.concatenate(parts), days)


def anomaly(data):
    """What is not the mean year."""
    return data - data.groupby(days.day_of_year).transform("mean")


cells, forget = by_day(trace.c[0]), by_day(trace.f[0])
like = anomaly(cells).corrwith(anomaly(snow))
store = like.abs().idxmax()
print(f"cell {store}: correlation {like[store]:.2f} with the snow that lies")

warmth = X["temperature"].rolling(30, min_periods=1).mean()
print(f"with the temperature of the last 30 days {anomaly(cells[store]).corr(anomaly(warmth)):.2f}")

# %%
# Each unit by the largest value that it has in this year, with the precipitation and temperature
# above.

plotting.states(cells[year], X[year], scale="unit")

# %%
# The forget gates say how long: at 1 a cell keeps all that it has.

plotting.gates(forget[year], X[year])

# %%
# That of the snow is open in winter and closes when it melts. So a mean over the year, as that of
# :func:`numlstm.inspection.time_constants`, says little of it; here is that of the winters.

mean_year, winter = (
    -1 / np.log(gate).mean() for gate in (forget, forget[(days.month == 12) | (days.month < 3)])
)
print(
    f"cell {store} keeps for {winter[store]:.0f} days in winter, {mean_year[store]:.0f} on average"
)
plotting.time_constants(winter)

# %%
# Through which memory?
# ---------------------
# What a day's precipitation changed has come to the largest flow of a spring through the cells
# alone, or through the hidden state, which the gates read: the mean over the forty springs. Of what
# fell months before, the snow, most was in a hidden state at least once.

paths = inspection.memory_paths(model, parts)
plotting.memory(paths, feature="precipitation")

# %%
# Linearised, the network is a linear system for every step. Eigenvalues near the unit circle are
# what it remembers for long.

steps = model.transitions(model.scaling.inputs(before.to_numpy()[None]))[0]
plotting.eigenvalues(np.linalg.eigvals(steps))
