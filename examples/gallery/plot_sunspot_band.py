"""
A forecast and how sure it is
=============================

Twenty networks learn the same series from different first weights. Where they agree, the forecast
is worth more; where they part, it is a guess. Their own forecasts, fed back, make a fan of
futures.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm
from numlstm.demo import sunspots

# %%
# Square roots of the yearly sunspot numbers, learned from 1700 to 1979. One series has no
# resamples, so the members differ in their first weights alone.

numbers = sunspots.load()
years = 1700 + np.arange(len(numbers))
roots = np.sqrt(numbers)
past = years < 1980
many = numlstm.ensemble(
    roots[past], members=20, bootstrap=False, hidden_size=8, learning_rate=0.02, epochs=70, rng=0
)

# %%
# One year ahead: the spread between the networks is the smaller part of the error. The larger is
# what no network can know, and the errors of the training years say how large that is.

mean, spread = (values[:-1, 0] for values in many.predict(roots))
error = roots[1:] - mean
noise = error[past[1:]].std()
width = 1.645 * np.hypot(spread, noise)  # of a band that should hold 90 %
lower, upper = np.maximum(mean - width, 0) ** 2, (mean + width) ** 2
inside = (lower <= numbers[1:]) & (numbers[1:] <= upper)
held = inside[~past[1:]].mean()
print(f"noise {noise:.2f}, spread {spread.mean():.2f}")
agree = spread < np.median(spread)
print(f"mean error where they agree {np.abs(error)[agree].mean():.2f}, ", end="")
print(f"where they part {np.abs(error)[~agree].mean():.2f}")
print(f"{held:.0%} of the years 1980-2008 lie in the band of 90 %")

# %%
# Many years ahead: each network goes on alone from 1979, its forecasts in the place of
# observations. This fan is their disagreement alone, without the noise, and so it is too narrow
# for a band.

futures = np.array([model.rollout(roots[past], 50)[:, 0] for model in many.models])
fan = np.quantile(np.maximum(futures, 0) ** 2, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
ahead = 1980 + np.arange(50)
inside = (fan[0, :29] <= numbers[~past]) & (numbers[~past] <= fan[4, :29])
print(f"{inside.mean():.0%} of the years 1980-2008 lie between 5 and 95 % of the networks")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 4), sharey=True, width_ratios=[1, 1.3], layout="constrained"
)
for axes in (left, right):
    axes.plot(years, numbers, color="black", marker=".", linewidth=0.8, label="observed")
    axes.set_xlabel("year")
left.fill_between(years[1:], lower, upper, color="tab:blue", alpha=0.3, label="band of 90 %")
left.plot(years[1:], np.maximum(mean, 0) ** 2, color="tab:blue", label="one year ahead")
left.set(xlim=(1965, 2009), ylim=(0, 260), ylabel="sunspot number")
left.set_title(f"{held:.0%} of 1980-2008 in the band")
right.fill_between(ahead, fan[0], fan[4], color="tab:orange", alpha=0.2, label="5 to 95 %")
right.fill_between(ahead, fan[1], fan[3], color="tab:orange", alpha=0.4, label="25 to 75 %")
right.plot(ahead, fan[2], color="tab:red", label="median of 20 networks")
right.set(xlim=(1965, 2030), title="free runs from 1979 on")
left.legend(loc="upper left", fontsize="small")
right.legend(loc="upper right", fontsize="small", ncols=2)
