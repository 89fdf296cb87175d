"""
One fit in pictures
===================

Which input, how long ago, through which memory? A network learns the flow of a river where it snows
in winter, and :mod:`numlstm.plotting` shows how it was trained, how well it does and what it has
learned of the snow that nobody told it about.
"""

import numpy as np
import pandas as pd

import numlstm
from numlstm import inspection, plotting

# %%
# Thirty years of days, simulated: below 0 degrees it snows; above, the snow melts. What has fallen
# as rain or has melted runs off over some days.

rng = np.random.default_rng(0)
days = pd.date_range("1990-10-01", "2020-09-30", name="day")
season = np.cos(2 * np.pi * (days.day_of_year.to_numpy() - 20) / 365)
temperature = 5 - 11 * season + 3 * rng.standard_normal(days.size)
precipitation = np.where(rng.random(days.size) < 0.35, rng.exponential(7, days.size), 0)
snow, flow = np.zeros(days.size), np.zeros(days.size)
lying, ground = 0.0, 20.0
for t in range(days.size):
    falls = precipitation[t] if temperature[t] < 0 else 0.0
    melts = min(lying, 2.5 * max(temperature[t], 0.0))
    lying += falls - melts
    ground += precipitation[t] - falls + melts
    flow[t] = 0.08 * ground
    ground -= flow[t]
    snow[t] = lying
measured = flow * np.exp(0.05 * rng.standard_normal(days.size))

X = pd.DataFrame({"precipitation": precipitation, "temperature": temperature}, days)
y = pd.Series(measured, days, name="flow (mm per day)")
past, later = slice(None, "2018-09-30"), slice("2018-10-01", None)

# %%
# Training
# --------
# :func:`~numlstm.plotting.learning_curve` takes the history of a fit.

result = numlstm.fit(
    X[past],
    y[past],
    hidden_size=8,
    bptt_steps=180,
    batch_size=8,
    stateful=True,
    validation=0.2,
    epochs=150,
    learning_rate=0.02,
    schedule="cosine",
    rng=0,
)
model = result.model
plotting.learning_curve(result.history)

# %%
# How well it does
# ----------------
# The flow of the last two years, which it has not seen. The band is 1.96 times the standard error
# of the years before, whatever the flow: too narrow in a flood, too wide where there is little.

predicted = model.predict(X)[y.name]
width = 1.96 * (y - predicted)[past].std()
year = slice("2019-10-01", "2020-09-30")
plotting.forecast(
    predicted[year],
    predicted[year] - width,
    predicted[year] + width,
    truth=y[year],
    label="network",
)
inside = (y - predicted)[later].abs().lt(width).mean()
print(f"in the band: {inside:.0%} of the two years")

# %%
# The residuals say so, too. Their autocorrelation is far beyond the band of white noise, so that
# there was more to be learned, and their tails are far from those of a normal distribution.

plotting.residuals(y[later], predicted[later])

# %%
# Gates and cells
# ---------------
# :meth:`numlstm.LSTM.trace` has what the gates and cells did. As a frame with the dates of the
# data, a part of it is chosen by date. The cells fill and empty with the seasons: among them are
# those that keep count of the snow.

# sphinx_gallery_thumbnail_number = 4
trace = model.trace(X)
cells = pd.DataFrame(trace.c[0, 0], days)
plotting.states(cells[year], X[year])
known = cells.corrwith(pd.Series(snow, days)).abs()
print(f"cell {known.argmax()}: correlation {known.max():.2f} with the snow that lies")

# %%
# The forget gates say how long: at 1 a cell keeps all that it has.

plotting.gates(pd.DataFrame(trace.f[0, 0], days)[year], X[year])

# %%
# Which input, how long ago?
# --------------------------
# The day of the largest flow in that year, explained by integrated gradients: how much every day's
# precipitation and temperature raised it, against the same days of the mean year. What came before
# the middle of February does not show.

usual = X.groupby(days.day_of_year).transform("mean")


def half_year(data, day):
    """The days up to this one."""
    return data[day - pd.Timedelta(days=180) : day]


flood = y[year].idxmax()
before = half_year(X, flood)
found = inspection.integrated_gradients(model, before, baseline=half_year(usual, flood).to_numpy())
print(f"{flood:%d %B}: {found.prediction[0]:.1f} mm, ", end="")
print(f"in the mean year {found.baseline_prediction[0]:.1f} mm")
plotting.attribution(found.like_inputs()["2020-02-15":])

# %%
# What of one day is luck is gone in the mean over many, by how long ago it was.

floods = y[later].nlargest(50).index
every, as_usual = (np.stack([half_year(data, day) for day in floods]) for data in (X, usual))
many = inspection.integrated_gradients(model, every, baseline=as_usual)
plotting.lag_importance(inspection.lag_importance(many), names=list(X))

# %%
# Through which memory?
# ---------------------
# What a day's precipitation changed has come to the flow of that flood through the cells alone, or
# through the hidden state, which the gates read.

paths = inspection.memory_paths(model, before)
plotting.memory(paths, feature="precipitation")

# %%
# Linearised, the network is a linear system for every step. Eigenvalues near the unit circle are
# what it remembers for long.

steps = model.transitions(model.scaling.inputs(before.to_numpy()[None]))[0]
plotting.eigenvalues(np.linalg.eigvals(steps), marker=".", markersize=4, alpha=0.3)
