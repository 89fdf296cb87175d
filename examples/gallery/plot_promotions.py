"""
A promotion that is known
=========================

What a shop sells in the next four weeks depends on what it plans: on a day of a promotion it sells
more, and after it less. Promotions, weekdays and the time of year are known ahead. A network that
is told of them forecasts the days of promotions as well as the others. :doc:`/forecasting` says
how it reads what is known.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import DateFormatter, WeekdayLocator

import numlstm

# %%
# Sales of five years, 20 % more in spring than on average and less in autumn. A promotion lasts two
# to five days and brings 60 % more; some of that is missing in the days after, since customers have
# bought ahead. The noise is 10 a day.


def shop(dates, rng):
    """Sales, and whether there is a promotion, of every date."""
    promotion = np.zeros(len(dates))
    start = 10
    while start < len(dates):
        stop = start + rng.integers(2, 6)
        promotion[start:stop] = 1
        start = stop + rng.integers(6, 20)
    weekday = dates.day_of_week.to_numpy()
    usual = 100 + 25 * np.sin(2 * np.pi * weekday / 7) + 30 * (weekday == 5)
    usual *= 1 + 0.2 * np.sin(2 * np.pi * dates.day_of_year.to_numpy() / 365.25)
    more, stored = 0.6 * promotion * usual, np.zeros(len(dates))
    for day in range(1, len(dates)):
        stored[day] = 0.8 * stored[day - 1] + 0.3 * more[day - 1]
    sales = usual + more - 0.6 * stored + rng.normal(0, 10, len(dates))
    return pd.DataFrame({"sales": sales, "promotion": promotion}, dates)


table = shop(pd.date_range("2020-01-01", "2025-01-28", name="day"), np.random.default_rng(0))

# %%
# A forecaster has two tables: what was, and what is planned.

past = table[:"2024-12-31"]
ahead = table.loc["2025-01-01":, ["promotion"]]
h = len(ahead)
print(past.tail(3), ahead.head(3), sep="\n")

# %%
# What is known is one table of all days, those of the past and those to come, so join the two. A
# weekday is no number, Sunday is not six times Tuesday: it gets a column for each of the seven
# ("one-hot"). The time of year is a point on a circle, which December leaves where January enters.

calendar = pd.concat([past[["promotion"]], ahead])
weekdays = pd.get_dummies(calendar.index.day_name(), dtype=float).set_axis(calendar.index)
angle = 2 * np.pi * calendar.index.day_of_year / 365.25
known = calendar.join(weekdays).assign(year_sin=np.sin(angle), year_cos=np.cos(angle))

# %%
# The forecast takes two lines. ``sales`` is without the promotions, which are in ``known``.

sales = past["sales"]
options = {"hidden_size": 16, "bptt_steps": 60, "epochs": 40, "rng": 0}

model = numlstm.fit(sales, future=known, **options).model
forecast = model.forecast(sales, h, future=known)["sales"]

# %%
# How good would it have been?
# ----------------------------
# :func:`numlstm.backtest` goes back to six days in the past, fits to what was known then and
# forecasts four weeks, as above by feeding every forecast back (``recursive=True``). Beside it are
# a network that is not told, and a forecast that costs nothing: the last week again and again, a
# day like the same weekday of the last week known.

told = numlstm.backtest(sales, h, 6, future=known, recursive=True, **options)
untold = numlstm.backtest(sales, h, 6, recursive=True, **options)

forecasts = pd.DataFrame({
    "told": pd.concat(told.forecasts)["sales"],
    "not told": pd.concat(untold.forecasts)["sales"],
    "last week": np.concatenate([np.tile(sales[:cut][-7:], h // 7) for cut in told.cuts]),
})  # fmt: skip
error = forecasts.sub(sales[forecasts.index], axis=0)

# %%
# Days of promotions are few: in the error of all days they hardly show. So judge them apart.

kind = past["promotion"][error.index].map({0: "other days", 1: "promotions"})
rmse = (error**2).groupby(kind).mean() ** 0.5
print(rmse.round(1).T)
ratio = rmse.loc["promotions", "told"] / rmse.loc["other days", "told"]
print(f"told, promotions / other days: {ratio:.2f}")
assert ratio < 1.2
assert (rmse["told"] < 0.7 * rmse[["not told", "last week"]].min(axis=1)).all()

# %%
# The error of the backtest is also what to expect of the forecast. The noise is in it, which the
# spread of an ensemble would not have. If errors are normal, nine days of ten are within 1.64 times
# that; nobody could be better than the noise, 10.

band = 1.64 * told.rmse[0]
inside = (error["told"].abs() < band).mean()
print(f"within {band:.0f} of what was sold: {inside:.0%} of the forecasts of the backtest")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), width_ratios=[2.8, 1], layout="constrained"
)
shown = table["2024-11-20":]
left.fill_between(
    shown.index, 0, 1, where=shown["promotion"] > 0, step="mid", color="tab:green", alpha=0.15,
    transform=left.get_xaxis_transform(), linewidth=0, label="promotion",
)  # fmt: skip
left.plot(sales[shown.index[0] :], color="0.3", linewidth=1.2, label="sold")
left.plot(table["sales"]["2024-12-31":], ".:", color="0.3", linewidth=1, label="came later")
left.plot(forecast, color="tab:blue", linewidth=2, label="forecast")
left.fill_between(
    forecast.index, forecast - band, forecast + band, color="tab:blue", alpha=0.2, linewidth=0,
    label="90 %, by the backtest",
)  # fmt: skip
left.axvline(past.index[-1], color="0.5", linestyle="--", linewidth=1)
left.set(ylabel="sales", title="Four weeks ahead", xlim=shown.index[[0, -1]])
left.set_ylim(top=1.3 * shown["sales"].max())
left.legend(ncols=3, fontsize="small", loc="upper left")
left.xaxis.set_major_locator(WeekdayLocator(byweekday=0, interval=2))
left.xaxis.set_major_formatter(DateFormatter("%d %b"))
rmse.plot.bar(ax=right, color=["tab:blue", "tab:orange", "0.7"], width=0.8, rot=0)
right.axhline(10, color="0.3", linestyle=":", label="noise")
right.set(xlabel="", ylabel="root mean squared error", title="Backtest, 6 times 4 weeks")
right.legend(fontsize="small")
