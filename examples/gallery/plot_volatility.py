"""
Calm and stormy times
=====================

Returns of a price cannot be forecast, but their size can: storms come in clusters. With the loss
"gaussian_nll" the network gives a mean and a variance for every step, and learns both from nothing
but the returns.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# Returns of a GARCH(1, 1) process (Bollerslev 1986), 220 series of 250 days. The variance of today
# follows from the return and the variance of yesterday.

rng = np.random.default_rng(0)
variance, returns = np.ones((220, 250)), np.zeros((220, 250))
for t in range(250):
    if t > 0:
        variance[:, t] = 0.03 + 0.15 * returns[:, t - 1] ** 2 + 0.82 * variance[:, t - 1]
    returns[:, t] = np.sqrt(variance[:, t]) * rng.standard_normal(220)

# %%
# Without a `y`, the target is the next value. The outputs are means, then logarithms of variances.

result = numlstm.fit(
    returns[:200, :, None],
    loss="gaussian_nll",
    hidden_size=8,
    epochs=40,
    schedule="cosine",
    rng=0,
)
mean, log_variance = np.moveaxis(result.model.predict(returns[200:, :, None]), -1, 0)
sigma = np.exp(log_variance[:, :-1] / 2)  # of the day after
truth, after = np.sqrt(variance[200:, 1:]), returns[200:, 1:]
correlation = np.corrcoef(np.log(sigma[:, 20:]).ravel(), np.log(truth[:, 20:]).ravel())[0, 1]
inside = np.abs(after - mean[:, :-1]) < 1.96 * sigma
print(f"correlation with the logarithm of the true volatility: {correlation:.2f}")
print(f"{inside.mean():.1%} of the new returns lie in the band of 95 %")
for name, width in (("truth", truth), ("network", sigma), ("a constant", returns[:200].std())):
    print(
        f"negative log-likelihood, {name}: {np.mean(np.log(width) + after**2 / width**2 / 2):.3f}"
    )

# %%
# The stormiest of the twenty new series. In the worst of it the network is too calm: it has hardly
# seen such days.

rare = (variance[:200] > 3**2).mean()
print(f"{rare:.1%} of the days of training have a volatility above 3 %")

series = truth.max(axis=1).argmax()
days = np.arange(1, 250)
figure, (above, below) = plt.subplots(
    2, sharex=True, figsize=(8, 5), height_ratios=[1.5, 1], layout="constrained"
)
band = mean[series, :-1] - 1.96 * sigma[series], mean[series, :-1] + 1.96 * sigma[series]
above.fill_between(days, *band, color="tab:blue", alpha=0.3, label="95 % of the network")
above.plot(days, after[series], ".", color="black", markersize=4, label="return")
above.set(ylabel="return / %", title=f"{inside.mean():.1%} of all new returns are in the band")
above.legend(loc="upper left", ncols=2)
below.plot(days, truth[series], color="black", label="truth")
below.plot(days, sigma[series], color="tab:blue", linestyle="--", label="network, a day ahead")
below.set(xlabel="day", ylabel="volatility / %", xlim=(0, 250))
below.legend(loc="upper left", ncols=2)
