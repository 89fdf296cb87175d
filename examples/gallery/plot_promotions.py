"""
A promotion that is known
=========================

What a shop sells in the next two weeks depends on what it plans: on a day of a promotion it sells
more, and after it less. Weekdays and promotions are known ahead. A network that is told of them
forecasts the days of promotions nearly as well as the others.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# Sales of some five years. A promotion lasts two to five days and brings 60 % more; some of that is
# missing in the days after, since customers have bought ahead. The noise is 10 a day.


def shop(days, rng):
    """Sales, whether there is a promotion, and the weekday, each (days,)."""
    weekday, promoted = np.arange(days) % 7, np.zeros(days, bool)
    start = 10
    while start < days:
        stop = start + rng.integers(2, 6)
        promoted[start:stop] = True
        start = stop + rng.integers(6, 20)
    usual = 100 + 25 * np.sin(2 * np.pi * weekday / 7) + 30 * (weekday == 5)
    more, stored = 0.6 * promoted * usual, np.zeros(days)
    for day in range(1, days):
        stored[day] = 0.8 * stored[day - 1] + 0.3 * more[day - 1]
    return usual + more - 0.6 * stored + rng.normal(0, 10, days), promoted, weekday


sales, promoted, weekday = shop(2000, np.random.default_rng(0))
known = np.column_stack([promoted, np.eye(7)[weekday]])  # of every day, those to come too
options = {"hidden_size": 8, "bptt_steps": 60, "epochs": 150, "validation": 0.1, "rng": 0}

# %%
# The three lines: what was sold until today, what is known, and the next two weeks.

today = 1500
model = numlstm.fit(sales[:today], future=known, **options).model
forecast = model.forecast(sales[:today], 14, future=known)

# %%
# The same two weeks by a network that is not told. Then both again and again, every two weeks until
# the end, without being fitted anew.

blind = numlstm.fit(sales[:today], **options).model


def two_weeks(day):
    """Forecasts made at a day: of who is told, and who is not."""
    past = sales[:day]
    return model.forecast(past, 14, future=known)[:, 0], blind.forecast(past, 14)[:, 0]


days = np.arange(today, len(sales) - 14, 14)
told, untold = (np.concatenate(part) for part in zip(*map(two_weeks, days), strict=True))
came, special = sales[today : today + told.size], promoted[today : today + told.size]
rmse = {
    name: [np.sqrt(np.mean((part - came)[which] ** 2)) for which in (~special, special)]
    for name, part in (("told", told), ("not told", untold))
}
for name, (other, on_promotion) in rmse.items():
    print(f"{name}: other days {other:.1f}, promotion {on_promotion:.1f}")
print(f"told, promotion / other days: {rmse['told'][1] / rmse['told'][0]:.2f}")
assert rmse["told"][1] < 1.2 * rmse["told"][0]

# %%
# Nobody could be better than the noise, 10.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), width_ratios=[2.6, 1], layout="constrained"
)
shown = slice(0, 70)
place = np.arange(told.size)[shown]
left.fill_between(
    place, 0, 1, where=special[shown], step="mid", transform=left.get_xaxis_transform(),
    color="tab:green", alpha=0.15, linewidth=0, label="promotion",
)  # fmt: skip
left.plot(place, came[shown], color="0.3", linewidth=1, label="sold")
left.plot(place, told[shown], color="tab:blue", label="told of promotions")
left.plot(place, untold[shown], color="tab:orange", linestyle="--", label="not told")
left.set(xlabel="day", ylabel="sales", title="Forecasts of 14 days each", xlim=(0, 69))
left.legend(ncols=2, fontsize="small", loc="upper center")
left.set_ylim(top=1.25 * came[shown].max())
for offset, (name, color) in zip((-0.2, 0.2), (("told", "tab:blue"), ("not told", "tab:orange")),
                                 strict=True):  # fmt: skip
    right.bar(np.arange(2) + offset, rmse[name], 0.38, color=color, label=name)
right.axhline(10, color="0.3", linestyle=":", label="noise")
right.set_xticks([0, 1], ["other days", "promotions"])
right.set(ylabel="root mean squared error", title="Error")
right.legend(fontsize="small")
