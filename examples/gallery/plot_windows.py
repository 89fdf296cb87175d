"""
How much of the past is needed
==============================

One long series of a river, learned in windows that are cut out of it when a batch is drawn: nothing
is laid out, and the same lines read a file that is larger than memory. Windows of different
lengths show how far back the network has to look.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# Rain falls into two reservoirs, one that empties in days and one in months. The river has what
# leaves both.

rng = np.random.default_rng(0)
days = 6000
rain = (rng.gamma(0.25, 8.0, days) * (1 + np.sin(np.arange(days) / 58))).astype("float32")
fast, slow = np.zeros((2, days), "float32")
for t in range(1, days):
    fast[t] = 0.7 * fast[t - 1] + 0.15 * rain[t]
    slow[t] = 0.98 * slow[t - 1] + 0.01 * rain[t]
flow = fast + slow

# %%
# Every third day is the end of a sample, and the last fifth of the days judges: no window that is
# learned from has a day in common with it. The model remembers its window, and predicts every day
# from the days up to it alone.

errors, last = {}, slice(-days // 5, None)
for window in (5, 20, 60, 180):
    result = numlstm.fit(
        rain,
        flow,
        window=window,
        stride=3,
        validation=0.2,
        hidden_size=8,
        batch_size=64,
        epochs=6,
        rng=0,
    )
    predicted = result.model.predict(rain)[:, 0]
    errors[window] = np.mean((predicted - flow)[last] ** 2) / np.var(flow[last])
    print(f"{window:4} days: {errors[window]:.3f} of the variance is left")
print(result.data)

# %%
# A short window sees the fast reservoir only. `window=None` carries the state from day to day.

carried = result.model.predict(rain, window=None)[:, 0]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(list(errors), list(errors.values()), "o-")
left.set(xscale="log", yscale="log", xlabel="days in a window", ylabel="share of variance left")
left.set_title("on the days that were not learned from")
year = slice(-365, None)
right.plot(flow[year], color="0.6", linewidth=3, label="river")
right.plot(predicted[year], label="180 days, anew for every day")
right.plot(carried[year], "--", label="state carried on")
right.set(xlabel="day of the last year", title="the longest window")
right.legend()
