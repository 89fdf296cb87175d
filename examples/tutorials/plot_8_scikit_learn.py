"""
In scikit-learn
===============

:class:`numlstm.LSTMClassifier` and :class:`numlstm.LSTMRegressor` are estimators like any other, so
pipelines, searches, scorers and cross-validation work. With sequences the hard part is how to split
them: by persons in the first half of this page, by time in the second.

This page needs scikit-learn and pandas: ``python -m pip install scikit-learn pandas``.
"""

import tempfile
from importlib.resources import files
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

import numlstm
from numlstm import LSTMClassifier, LSTMRegressor

# %%
# Sequences with a label each
# ---------------------------
# Twelve persons wear an accelerometer. X is (samples, steps, features), here (288, 60, 3): three
# axes in m/s^2 at 20 per second. y has a word per sequence, and `person` says whose it is. Every
# person has a pace, a vigour and a way of wearing the device. Here they are simulated.

KINDS = np.array(["walk", "stairs", "run"])


def record(persons, each, rng):
    """X (B, 60, 3), y (B,), person (B,): `each` sequences of a kind and person."""
    X, y, person = [], [], []
    time = np.arange(60) / 20
    for name in persons:
        pace, vigour = rng.normal(1, 0.12), rng.lognormal(0, 0.25)
        tilt, triangle = np.linalg.qr(np.eye(3) + 0.5 * rng.standard_normal((3, 3)))
        tilt *= np.sign(np.diag(triangle))
        for kind in np.repeat(range(3), each):
            begin, hertz = (
                rng.uniform(0, 2 * np.pi),
                (1.7, 1.5, 2.5)[kind] * pace,
            )
            phase = 2 * np.pi * hertz * time + begin
            lag = (0, 1.0, 0)[kind]
            swing = (
                np.cos(phase),
                np.cos(2 * phase + lag) / 2,
                np.sin(phase + lag) / 2,
            )
            moved = 3 * vigour * (1, 1, 2)[kind] * np.stack(swing, axis=1) + [
                0,
                0,
                9.81,
            ]
            X.append(moved @ tilt.T + rng.standard_normal((60, 3)))
            y.append(KINDS[kind])
            person.append(name)
    return np.array(X), np.array(y), np.array(person)


X, y, person = record(range(12), 8, np.random.default_rng(0))

# %%
# A pipeline, and a search in it
# ------------------------------
# A step that treats every sequence by itself is a FunctionTransformer; this one removes gravity.
# Scaling is not needed, since the network standardises its inputs. (A StandardScaler reads tables,
# and refuses three dimensions.)
#
# Names reach into the pipeline as usual, and ``cell__peephole`` into the variant of the network.
# GroupKFold keeps a person's sequences together, so that each fold is judged on strangers.


def without_gravity(X):
    """Every sequence less its mean over time."""
    return X - X.mean(axis=1, keepdims=True)


pipeline = Pipeline(
    [
        ("gravity", FunctionTransformer(without_gravity)),
        ("lstm", LSTMClassifier(epochs=40, weight_decay=3e-3, random_state=0)),
    ]
)
search = GridSearchCV(
    pipeline,
    {"lstm__hidden_size": [8, 24], "lstm__cell__peephole": [False, True]},
    scoring=["accuracy", "neg_log_loss"],
    refit="neg_log_loss",
    cv=GroupKFold(4),
)
search.fit(X, y, groups=person)
columns = ["param_lstm__hidden_size", "param_lstm__cell__peephole"]
columns += ["mean_test_accuracy", "mean_test_neg_log_loss"]
print(pd.DataFrame(search.cv_results_)[columns].round(2).to_string(index=False))

# %%
# Which split tells the truth?
# ----------------------------
# A shuffled split puts a person's sequences on both sides, where recognising the person helps.
# Sixty strangers, of whom nothing was known, tell which number to believe.

best = search.best_estimator_
X_new, y_new, _ = record(range(100, 160), 8, np.random.default_rng(1))
mixed = StratifiedKFold(4, shuffle=True, random_state=0)
shuffled = cross_val_score(best, X, y, cv=mixed)
names = [f"split{n}_test_accuracy" for n in range(4)]
grouped = np.array([search.cv_results_[name][search.best_index_] for name in names])
new = best.score(X_new, y_new)
print(f"shuffled {shuffled.mean():.2f}, by persons {grouped.mean():.2f}, strangers {new:.2f}")
assert shuffled.mean() > new + 0.03
assert abs(grouped.mean() - new) < abs(shuffled.mean() - new)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for place, scores in enumerate((shuffled, grouped)):
    left.plot(np.full(4, place), scores, "o", color="C0", alpha=0.5)
    left.plot(place, scores.mean(), "_", color="C0", markersize=40, markeredgewidth=2)
left.axhline(new, color="C1", label="sixty strangers")
left.set(xticks=(0, 1), xticklabels=("shuffled", "by persons"), xlim=(-0.6, 1.6))
left.set(ylabel="accuracy of the four folds", ylim=(0.5, 1))
left.legend(loc="lower left")
ConfusionMatrixDisplay.from_predictions(
    y_new,
    best.predict(X_new),
    normalize="true",
    values_format=".0%",
    ax=right,
    colorbar=False,
    cmap="Blues",
)
right.set(title="strangers")

# %%
# Keep it
# -------
# `joblib` or `pickle` keep the whole pipeline, for the same versions of everything. The network
# inside, ``model_``, has a file of its own, in which there is no code. Loaded, it gives logits,
# (B, 3), for what the pipeline hands to it. The words are in ``classes_``: keep them, too.

with tempfile.TemporaryDirectory() as folder:
    best["lstm"].model_.save(Path(folder) / "activity.npz")
    model = numlstm.load(Path(folder) / "activity.npz")
logits = model.predict(without_gravity(X_new))
words = best["lstm"].classes_[logits.argmax(axis=1)]
assert (words == best.predict(X_new)).all()

# %%
# Values in time
# --------------
# The sunspot numbers of 309 years, as windows of eleven years and the year that follows: X is
# (298, 11), y (298,). To the estimators, as everywhere in scikit-learn, a row is a sample, here
# eleven steps of one feature. :func:`numlstm.fit` reads the same array as *one* series with eleven
# features, and warns; ``X[..., None]`` is the same to both.

table = pd.read_csv(files("numlstm.demo") / "sunspots.csv", comment="#", index_col=0)
numbers = table.iloc[:, 0].to_numpy(float)
windows = np.lib.stride_tricks.sliding_window_view(numbers, 12)
X, y, year = windows[:, :-1], windows[:, -1], table.index.to_numpy()[11:]

# %%
# TimeSeriesSplit judges by what comes later, as a forecaster is judged. Numbers like these spread
# with their size, so inputs and targets go through a square root, in a pipeline that undoes it.


def forecaster(regressor):
    """The regressor on square roots."""
    on_roots = make_pipeline(FunctionTransformer(np.sqrt), regressor)
    return TransformedTargetRegressor(on_roots, func=np.sqrt, inverse_func=np.square)


models = {
    "LSTM": forecaster(LSTMRegressor(8, epochs=60, random_state=0)),
    "linear": forecaster(LinearRegression()),
}
split = TimeSeriesSplit(4, test_size=40)
errors = {
    name: -cross_val_score(m, X, y, cv=split, scoring="neg_root_mean_squared_error")
    for name, m in models.items()
}
errors["the last year again"] = [
    np.sqrt(np.mean((X[test, -1] - y[test]) ** 2)) for _, test in split.split(X)
]
folds = [f"{year[test[0]]}-{year[test[-1]]}" for _, test in split.split(X)]
errors = pd.DataFrame(errors, index=folds)
print(errors.round(1))
assert errors["LSTM"].mean() < errors["linear"].mean() < errors["the last year again"].mean()

figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
axes.plot(year, y, color="0.6", linewidth=2.5, label="observed")
for place, (train, test) in enumerate(split.split(X)):
    for color, (name, m) in zip(("C0", "C1"), models.items(), strict=True):
        predicted = m.fit(X[train], y[train]).predict(X[test])
        label = f"{name}, a year ahead" if place == 0 else None
        axes.plot(year[test], predicted, color, label=label, linewidth=1)
    axes.axvline(year[test[0]], color="0.8", linestyle=":", zorder=0)
axes.set(xlabel="year", ylabel="sunspot number", xlim=(1840, 2008), ylim=(0, 260))
axes.legend(ncols=3, loc="upper left")

# %%
# The network is the better one in three of the four times, and not where a cycle was stronger than
# any that it had seen. Dotted lines are where a fold begins. For one long series windows are a
# detour: without them the network reads all that came before, as in :doc:`plot_1_forecast`.
#
# With your data
# --------------
# - Sequences of different lengths: a list of arrays (steps, features). A target per step:
#   ``output="sequence"``.
# - What must stay together (a person, a river, a batch, a day) is a group. If in doubt, group.
# - Windows that overlap are near copies: never shuffle them.
# - NaN in X: ``missing="mask"``, instead of an imputer before it.
# - ``validation=0.2, patience=10`` in the estimator stops a fit early. It takes its share from the
#   training part of each fold, but knows nothing of groups.
#
# What to try next
# ----------------
# - :class:`numlstm.LSTMClassifier` and :class:`numlstm.LSTMRegressor` list all parameters, such as
#   `class_weight`.
# - :doc:`plot_6_uncertainty` puts bands around predictions; ``result_`` is what
#   :func:`numlstm.fit` returned.
# - :func:`numlstm.load` reads the file of a model.
