"""
When inputs are missing
=======================

A sensor drops out more and more often. Carrying its last value forward hides how old that value is.
With ``missing="mask"`` the network sees for itself what was observed, and leans on it as long as it
is fresh.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# A quantity wanders about its mean and forgets where it was within ten steps; a sensor measures it
# with some noise. What is the quantity now?

DECAY = np.exp(-1 / 10)


def recordings(count, rng):
    """Measurements and the truth (count, 100)."""
    truth = np.zeros((count, 100))
    truth[:, 0] = rng.standard_normal(count)
    for t in range(1, 100):
        kick = np.sqrt(1 - DECAY**2) * rng.standard_normal(count)
        truth[:, t] = DECAY * truth[:, t - 1] + kick
    return truth + 0.3 * rng.standard_normal(truth.shape), truth


def carried_forward(X):
    """Every missing value replaced by the last one before, at the beginning by the mean, 0."""
    last = np.maximum.accumulate(np.where(np.isnan(X), -1, np.arange(X.shape[1])), axis=1)
    return np.where(last < 0, 0, np.take_along_axis(X, np.maximum(last, 0), axis=1))


def kalman(X):
    """The best estimate there is, by someone who knows how the data were made."""
    mean, variance, estimates = np.zeros(len(X)), np.ones(len(X)), []
    for measured in X.T:
        gain = np.where(np.isnan(measured), 0, variance / (variance + 0.3**2))
        mean = mean + gain * np.nan_to_num(measured - mean)
        variance = (1 - gain) * variance
        estimates.append(mean)
        mean, variance = DECAY * mean, DECAY**2 * variance + 1 - DECAY**2
    return np.array(estimates).T


# %%
# A share of the measurements is lost, one by one and at random. Both networks get the same.

rng = np.random.default_rng(0)
clean, truth = recordings(300, rng)
shares = [0, 0.2, 0.4, 0.6, 0.8, 0.9]
estimates = {}
for share in shares:
    X = np.where(rng.random(clean.shape) < share, np.nan, clean)
    ways = {"carried forward": (carried_forward(X), "raise"), 'missing="mask"': (X, "mask")}
    for name, (data, missing) in ways.items():
        result = numlstm.fit(
            data[:200, :, None],
            truth[:200, :, None],
            missing=missing,
            hidden_size=8,
            epochs=40,
            learning_rate=0.02,
            schedule="cosine",
            rng=0,
        )
        estimates[name, share] = result.model.predict(data[200:, :, None])[..., 0]
    estimates["Kalman filter", share] = kalman(X[200:])

# %%
# The filter was told everything, so its error is the least possible; the networks had 200 examples.

error = {key: np.mean((values - truth[200:]) ** 2) for key, values in estimates.items()}
excess = {
    name: [100 * (error[name, share] / error["Kalman filter", share] - 1) for share in shares]
    for name in ways
}
for name, values in excess.items():
    print(f"{name}: above the least possible error by", np.round(values, 1), "%")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.plot(truth[204], color="black", label="truth")
left.plot(X[204], "o", color="tab:orange", label="measured, 90 % missing")
left.plot(estimates["carried forward", 0.9][4], color="tab:gray", label="carried forward")
left.plot(estimates['missing="mask"', 0.9][4], color="tab:blue", label='missing="mask"')
left.set(xlabel="step", ylabel="quantity / its standard deviation")
left.set_title("one of them")
left.legend(fontsize="small")
for (name, values), color in zip(excess.items(), ("tab:gray", "tab:blue"), strict=True):
    right.plot(100 * np.array(shares), values, "o-", color=color, label=name)
right.axhline(0, color="black", linestyle=":", label="Kalman filter, the least possible")
right.set(xlabel="share of the inputs missing / %", ylabel="error above the least possible / %")
right.set(ylim=(-1, 15), title="100 new sequences")
right.legend(loc="upper left", fontsize="small")
