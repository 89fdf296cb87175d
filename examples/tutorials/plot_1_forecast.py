"""
Forecast a series
=================

You have a file with dates and numbers, and want to know what comes next. This page goes from the
file to forecasts of years that the network has not seen, and compares them with two forecasts that
cost nothing.
"""

import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import numlstm
from numlstm import plotting

# %%
# Your file
# ---------
# Any CSV file with a column of dates and a column of values will do. To have one, we write one:
# the yearly sunspot numbers, which ship with numlstm.

path = Path(tempfile.mkdtemp()) / "sunspots.csv"
with files("numlstm.demo").joinpath("sunspots.csv").open() as source:
    table = pd.read_csv(source, comment="#")
dates = [f"{year}-07-01" for year in table["year"]]
pd.DataFrame({"date": dates, "sunspots": table["sunspots"]}).to_csv(path, index=False)

# %%
# Yours begins here: put your path and your two names of columns. The dates become the index, and
# the values a pandas Series of shape (309,).

series = pd.read_csv(path, parse_dates=["date"], index_col="date")["sunspots"]
print(series.head(3))

# %%
# Keep the end for the test
# -------------------------
# A series is split in time, never at random: the network learns from the past and is judged by the
# years after it.

past, future = series[:"1959"], series["1960":]
print(len(past), "years to learn from,", len(future), "years to judge by")

# %%
# Train
# -----
# Without a ``y``, :func:`numlstm.fit` learns to forecast the next value. ``validation=0.2`` sets
# the last fifth of ``past`` aside. After every epoch, which is one pass over the data, the network
# is tried on that fifth; after 50 epochs without progress the training stops, and the best network
# is returned. ``rng=0`` makes the result the same in every run. ``result.data`` says what was
# read.

settings = {"hidden_size": 8, "validation": 0.2, "patience": 50, "epochs": 300}
result = numlstm.fit(past, **settings, rng=0)
print(result.data)
print(result.message)

# %%
# The learning curve shows why a validation is needed. The error on what is learned from falls to
# the end, but on the years set aside it is least at the dashed line: what is learned later is of
# no use for other years. The loss is the mean squared error of standardised values: 1 is what
# their mean would score. The years set aside have higher peaks than those before, and so a higher
# loss.

plotting.learning_curve(result.history)

# %%
# One year ahead
# --------------
# ``predict`` takes and gives sunspot numbers. Row t of its answer is the forecast for t + 1, made
# when t is known, so ``shift(1)`` puts it beside what came. A network starts without a memory and
# needs some values to find its place in a cycle: let it read the past, too, and look at the end.

model = result.model
forecast = model.predict(series).shift(1).loc[future.index, "sunspots"]

# %%
# What would be easier? *Persistence* says that next year is like this year. A *linear
# autoregression*, AR(9), is a weighted sum of the last nine years, by NumPy's ``lstsq``.


def last_nine_years(values):
    """A row for every year that has nine years before it, and for the year after the last."""
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values), 9)
    return np.column_stack([np.ones(len(windows)), windows])


def rmse(forecast):
    """Root mean squared error in the years to judge by, in sunspot numbers."""
    return float(np.sqrt(np.mean((np.asarray(forecast) - future.to_numpy()) ** 2)))


weights = np.linalg.lstsq(last_nine_years(past)[:-1], past[9:], rcond=None)[0]
linear = (last_nine_years(series) @ weights)[-len(future) - 1 : -1]
persistence = series.shift(1)[future.index]
print(f"LSTM {rmse(forecast):.1f}, AR(9) {rmse(linear):.1f}, persistence {rmse(persistence):.1f}")

# %%
# How much of this is luck? Other starting weights give other networks, so train ten.

others = [numlstm.fit(past, **settings, rng=seed).model for seed in range(10)]
errors = [rmse(other.predict(series)["sunspots"].shift(1)[future.index]) for other in others]
print("LSTM, ten starts:", *(f"{error:.1f}" for error in sorted(errors)))
assert min(errors) < rmse(linear) < max(errors) < rmse(persistence)

# %%
# All ten are better than persistence, and AR(9) stands in their midst: on 260 values a network
# need not be better than a weighted sum. Always compare.
#
# Many years ahead
# ----------------
# ``rollout`` reads the past once and then feeds every forecast back as if it had been observed.
# Its index goes on where the past ended. The linear model does the same in a loop.

free = model.rollout(past, len(future))["sunspots"]
values = past.to_list()
for _ in future:
    values.append((last_nine_years(values[-9:]) @ weights).item())

# sphinx_gallery_thumbnail_number = 2
figure, (above, below) = plt.subplots(2, figsize=(8, 5.5), sharex=True, layout="constrained")
above.set_title("One year ahead: every year is known before the next is forecast")
below.set(title="Free run: nothing after 1959 is known", xlabel="year")
panels = ((above, forecast, linear), (below, free, values[len(past) :]))
for axes, of_lstm, of_ar in panels:
    axes.plot(series["1940":], color="0.3", marker=".", linewidth=1, label="observed")
    axes.plot(future.index, of_ar, "C0--", label=f"AR(9), RMSE {rmse(of_ar):.1f}")
    axes.plot(future.index, of_lstm, "C3", label=f"LSTM, RMSE {rmse(of_lstm):.1f}")
    axes.axvline(past.index[-1], color="0.7", linestyle=":")
    axes.set(ylabel="sunspot number", ylim=(-25, 260))
    axes.legend(loc="upper left", ncols=3)

# %%
# Nobody can say from these years alone how the cycles go on, and free runs depend on the start
# even more than forecasts one year ahead. The mean of all past years is the forecast to beat.

free_errors = [rmse(other.rollout(past, len(future))["sunspots"]) for other in others]
print("LSTM, ten free runs:", *(f"{error:.0f}" for error in sorted(free_errors)))
print(f"AR(9) {rmse(values[len(past) :]):.0f}, the mean {rmse(past.mean()):.0f}")

# %%
# Three years ahead
# -----------------
# For a fixed distance there is another way: let the targets be the values ``h`` steps later, so
# that the network learns nothing else. Both are cut at the end of the past, or the training would
# know the years that judge it. Row t of ``predict`` is now the forecast for t + h.

h = 3
targets = past.shift(-h)[:-h]
direct = numlstm.fit(past[:-h], targets, **settings, rng=0).model
direct = direct.predict(series)["sunspots"].shift(h)[future.index]
ends = range(len(past) - h + 1, len(series) - h + 1)
fed_back = [model.rollout(series[:end], h)["sunspots"].iloc[-1] for end in ends]
print(f"three years ahead: direct {rmse(direct):.1f}, fed back {rmse(fed_back):.1f}")

# %%
# Try both on data of your own: on these years the forecasts that were fed back are better.

# %%
# What comes next
# ---------------
# Now that you know how far to trust it, train once more on all years, and ask for those after the
# last. A model is saved to a file and read again in another program.

final = numlstm.fit(series, **settings, rng=0).model
final.save(path.with_suffix(".npz"))
print(numlstm.load(path.with_suffix(".npz")).rollout(series, 3))

# %%
# Units
# -----
# ``predict`` and ``rollout`` speak the units of your data. ``forward``, ``vjp`` and ``step`` speak
# the network's: standardised numbers in arrays of shape (sequences, steps, features), for ``step``
# (sequences, features). ``model.scaling`` leads from one to the other.

x = model.scaling.inputs(series.to_numpy()[None, :, None])  # (1, 309, 1), standardised
y, state = model.forward(x)  # (1, 309, 1), and the memory after the last year
assert np.allclose(model.scaling.outputs(y)[0], model.predict(series), rtol=1e-4, atol=0.1)

# %%
# With your own data
# ------------------
# - Several columns, such as a temperature beside the flow of a river: select them all. A frame of
#   shape (T, I) is one series with I features, and all of them are forecast. To forecast one
#   column from all, pass it as ``y``: ``numlstm.fit(frame[:-1], frame["flow"].shift(-1)[:-1])``.
# - A time that is a number, such as the year alone, must be the index (``index_col="year"``): left
#   among the columns it is read as one more feature. ``result.data`` then says "2 features".
# - A series that grows, as prices or carbon dioxide do: fit its changes, ``series.diff()[1:]``, and
#   add the forecasts to the last value. A network does not go beyond what it was trained on.
# - The steps should be equally long, as days or months are; a ``UserWarning`` says where they are
#   not.
# - What is known ahead, as weekdays, holidays or promotions, goes into ``future=`` of ``fit`` and
#   ``forecast``; and :func:`numlstm.backtest` judges forecasts of several steps as if they had been
#   made at several times in the past: :doc:`/forecasting`, and :doc:`/gallery/plot_promotions`.
# - Missing values are an error at first; :doc:`plot_2_many_series` says what to do.
# - A long series, of more than some hundred steps: ``bptt_steps=50`` makes an update after every
#   50 steps and carries the memory on. That needs fewer epochs.
# - Try ``hidden_size`` 4, 16 and 32, and take the one with the least ``validation_loss``. The
#   years to judge by are for the end.
#
# What to try next
# ----------------
# - :func:`numlstm.ensemble` trains many networks at once and gives a mean and a spread.
# - :func:`numlstm.fit` has all keywords, and :class:`numlstm.LSTM` all that a model can do.
# - :doc:`/data` says how frames are read, and how to forecast with covariates.
