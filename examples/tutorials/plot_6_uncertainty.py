"""
How sure is it?
===============

A prediction without an error bar is half an answer. Four ways to get one, on the same data, and a
count of how often new observations fall inside.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import numlstm

# %%
# The data
# --------
# A drug is given once, and its concentration in the blood is measured every hour of a day. The body
# clears large doses more slowly. The error of the assay is 0.05 mg/l and a tenth of the value.
#
# Two things are uncertain, and they are not the same. *Noise* is what the next measurement adds; no
# amount of data removes it. *Ignorance* is what the network does not know of the curve itself.
# Doses of 50 to 90 mg were not tried, nor any beyond 110 mg, so there should be more of it there.

HOURS = 24
rng = np.random.default_rng(0)


def trial(count, *ranges):
    """Doses in mg, (B, 24, 1), concentrations in mg/l, and measurements of them."""
    low, high = np.array(ranges)[rng.integers(0, len(ranges), count)].T
    return follow(rng.uniform(low, high), rng.integers(0, 8, count))


def follow(dose, hour):
    """The same for given doses (B,), each at its hour (B,)."""
    X = np.zeros((len(dose), HOURS, 1))  # given in every hour, mostly nothing
    X[np.arange(len(dose)), hour, 0] = dose
    amount, clean = np.zeros(len(dose)), np.empty_like(X)
    for t in range(HOURS):
        amount = amount + X[:, t, 0]
        for _ in range(4):
            amount = amount - 0.075 * amount / (1 + (amount / 65) ** 4)
        clean[:, t, 0] = amount / 10
    noise = (0.05 + 0.1 * clean) * rng.standard_normal(clean.shape)
    return X, clean, clean + noise


X, _, y = trial(120, (20, 50), (90, 110))  # to learn from
X_noise, _, y_noise = trial(30, (20, 50), (90, 110))  # to measure the noise by

# %%
# 1. The covariance of the parameters
# -----------------------------------
# As `scipy.optimize.curve_fit` does it: how much could the parameters move before the fit gets
# noticeably worse, and how much would the predictions move with them? It asks for a fit that has
# arrived at a minimum, so take a second-order method and float64, and give the same `weight_decay`
# to both. Of one fit and one Jacobian you get ``band.mean``, ``lower``, ``upper`` and ``std``, each
# (B, T, 1) and in mg/l; with ``noise=True`` for a new measurement in the place of the curve.

decay = 1e-4
result = numlstm.fit(
    X,
    y,
    hidden_size=8,
    method="L-BFGS-B",
    epochs=200,
    weight_decay=decay,
    dtype="float64",
    rng=0,
)
covariance = result.covariance(X, y, weight_decay=decay)


def by_covariance(X):
    """Mean, and standard deviations of the curve and of a new measurement, each (B, T, 1)."""
    band = covariance.predict(X)
    return band.mean, band.std, covariance.predict(X, noise=True).std


# %%
# 2. An ensemble
# --------------
# Eight networks, each from initial weights of its own and, by default, from a resample of the
# trials. Where the data decide they agree; where they do not they part. The spread holds no noise:
# that is measured by trials set aside, and added in squares.

settings = {"epochs": 150, "schedule": "cosine", "rng": 0}
ensemble = numlstm.ensemble(X, y, members=8, hidden_size=16, **settings)
ensemble_noise = np.sqrt(np.mean((y_noise - ensemble.predict(X_noise)[0]) ** 2))


def by_ensemble(X):
    """Mean and standard deviations, as above."""
    mean, spread = ensemble.predict(X)
    return mean, spread, np.hypot(spread, ensemble_noise)


# %%
# 3. Monte-Carlo dropout
# ----------------------
# One network, trained while a tenth of its states is set to zero at random. With `noise_rng` that
# goes on in `predict`, and the spread of fifty such predictions is the answer. The rate is yours to
# choose, and so, to a degree, is the width of the band.

dropout = numlstm.fit(X, y, hidden_size=32, dropout={"states": 0.1}, **settings).model


def draws(X):
    """Fifty predictions, (50, B, T, 1)."""
    return np.array([dropout.predict(X, noise_rng=seed) for seed in range(50)])


dropout_noise = np.sqrt(np.mean((y_noise - draws(X_noise).mean(axis=0)) ** 2))


def by_dropout(X):
    """Mean and standard deviations, as above."""
    each = draws(X)
    mean, spread = each.mean(axis=0), each.std(axis=0)
    return mean, spread, np.hypot(spread, dropout_noise)


# %%
# 4. A network that predicts its own noise
# ----------------------------------------
# With the loss "gaussian_nll" there are two outputs, the mean and the logarithm of the variance, in
# mg/l and log (mg/l)^2. So the noise may differ from hour to hour, as it does here. By itself it
# says nothing of ignorance: that is why eight of them are trained, on all trials each, which is
# known as a *deep ensemble*.

settings["epochs"] = 300
deep = numlstm.ensemble(
    X, y, members=8, hidden_size=16, loss="gaussian_nll", bootstrap=False, **settings
)


def by_likelihood(X):
    """Mean and standard deviations, as above."""
    each = np.array([model.predict(X) for model in deep.models])  # (8, B, T, 2)
    mean, variance = each[..., :1], np.exp(each[..., 1:])
    spread = mean.std(axis=0)
    return (
        mean.mean(axis=0),
        spread,
        np.sqrt(spread**2 + variance.mean(axis=0)),
    )


# %%
# Count
# -----
# What is called a band of 95 % should hold 95 % of new measurements. A hundred new trials of
# each kind say whether it does; the first kind also apart for low and high concentrations.

ways = {
    "covariance": by_covariance,
    "ensemble": by_ensemble,
    "dropout": by_dropout,
    "deep ensemble": by_likelihood,
}
kinds = {
    "seen doses": trial(100, (20, 50), (90, 110)),
    "50-90 mg": trial(100, (50, 90)),
    "110-140 mg": trial(100, (110, 140)),
}
rows = {}
for name, way in ways.items():
    inside = {}
    for kind, (X_new, clean, y_new) in kinds.items():
        mean, _, std = way(X_new)
        inside[kind] = np.abs(y_new - mean) < 1.96 * std
        if kind == "seen doses":
            inside["below 1 mg/l"] = inside[kind][clean < 1]
            inside["above 3 mg/l"] = inside[kind][clean > 3]
    rows[name] = {kind: part.mean() for kind, part in inside.items()}
coverage = pd.DataFrame(rows).T
print(coverage.map("{:.1%}".format))

# %%
# Look
# ----
# The concentration six hours after the dose, by all four. Dark is the band of 95 % for the curve,
# light that for a new measurement.

dose = np.linspace(10, 140, 66)
X_dose, clean, _ = follow(dose, np.zeros(66, int))
figure, panels = plt.subplots(
    2, 2, sharex=True, sharey=True, figsize=(9, 6.5), layout="constrained"
)
for panel, (name, way) in zip(panels.flat, ways.items(), strict=True):
    mean, spread, std = (part[:, 6, 0] for part in way(X_dose))
    for width, alpha, label in (
        (std, 0.2, "new measurement"),
        (spread, 0.5, "curve"),
    ):
        low, high = mean - 1.96 * width, mean + 1.96 * width
        panel.fill_between(dose, low, high, color="C0", alpha=alpha, linewidth=0, label=label)
    panel.plot(dose, mean, color="C0", label="prediction")
    panel.plot(dose, clean[:, 6, 0], "k--", linewidth=1.2, label="the truth")
    for start, end in ((20, 50), (90, 110)):
        label = "doses seen" if end == 50 else None
        panel.axvspan(start, end, ymax=0.03, color="C2", label=label)
    beyond = coverage.loc[name, "110-140 mg"]
    panel.set(title=f"{name}: beyond 110 mg {beyond:.0%} inside")
panels[0, 0].legend(loc="upper left")
panels[0, 0].set(xlim=(10, 140), ylim=(-1, 15))
figure.supxlabel("dose (mg)")
figure.supylabel("concentration after six hours (mg/l)")

# %%
# What came of it
# ---------------
# Over all seen doses every way is honest: 95 % is about 95 %. Apart, three of them are not: they
# take the noise for equally large everywhere, so their bands are too wide where concentrations are
# low and too narrow where they are high. The network that predicts its own noise is right in both.
# Between the doses seen all of them bridge the gap well enough. Beyond 110 mg every one is too
# sure, dropout most of all: a band speaks of what was seen, and no method knows what was not.

assert coverage["seen doses"].between(0.92, 0.98).all()
assert coverage["50-90 mg"].gt(0.92).all()
assert coverage["110-140 mg"].lt(0.92).all()
same_noise, own_noise = coverage.iloc[:3], coverage.iloc[3]
assert same_noise["below 1 mg/l"].gt(0.99).all()
assert same_noise["above 3 mg/l"].lt(own_noise["above 3 mg/l"] - 0.1).all()

# %%
# .. list-table::
#    :header-rows: 1
#
#    * - Way
#      - Costs
#      - Take it where
#    * - covariance
#      - one fit; the Jacobian of every prediction
#      - the network is small (a thousand parameters) and the fit arrived; loss "mse"
#    * - ensemble
#      - as many fits and predictions as members
#      - the size and the loss are any, and time allows
#    * - dropout
#      - one fit; as many predictions as draws
#      - the network is large, and dropout helps it anyway
#    * - "gaussian_nll"
#      - one fit, one prediction; needs more epochs
#      - the noise is not the same everywhere; with an ensemble around it for ignorance
#
# With your data
# --------------
# - X is (B, T, I) and y (B, T, O), or one series (T, I) and (T, O). Units are yours: `predict`,
#   bands and spreads come in those of y, log-variances in the logarithm of their square.
# - Set data aside that nothing was fitted to, and count as above. It costs ten lines.
# - One long series: let `validation` be its end, and count there.
#
# What to try next
# ----------------
# - :func:`numlstm.ensemble` of one long series: with ``bootstrap=False``, or cut by `stateful`.
# - :doc:`/scipy` derives the covariance and says what `weight_decay` means in it.
# - :class:`numlstm.LSTM` lists the seven kinds of dropout and zoneout.
# - :doc:`plot_5_system_identification` fits one long series, whose end can be counted on.
