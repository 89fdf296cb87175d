"""
Classify sequences
==================

A sequence comes in, one label goes out: which gesture, which fault, which speaker. Here the
sequences are written digits, read row by row as a scanner does, and the label is the digit.

This page needs scikit-learn and pandas: ``python -m pip install scikit-learn pandas``.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

import numlstm

# %%
# The data
# --------
# 1797 digits of 8 rows with 8 grey values each: an array of shape (B, T, I) = (1797, 8, 8),
# sequences by steps by features. The labels have shape (B,) and count from 0. A draw of 500
# digits, with a share of every class, is kept for the test.

digits = load_digits()
X, X_test, y, y_test = train_test_split(
    digits.images, digits.target, test_size=500, stratify=digits.target, random_state=0
)
print(X.shape, y.shape, y[:10])

# %%
# Train
# -----
# One label per sequence and ``loss="cross_entropy"`` make a classifier: an output for every class,
# read after the last step. A ``bidirectional`` network reads from the bottom to the top as well.
# ``validation=0.2`` draws a fifth of every class to stop by.

settings = {"loss": "cross_entropy", "validation": 0.2, "patience": 15, "rng": 0}
result = numlstm.fit(X, y, bidirectional=True, **settings)
print(result.data)
print(result.message)

# %%
# Probabilities
# -------------
# ``predict`` gives *logits* of shape (B, classes): numbers without a unit, the largest of which
# belongs to the likeliest class. Their ``softmax`` are probabilities, which sum to 1.

model = result.model
logits = model.predict(X_test)
probability = softmax(logits, axis=-1)
label = logits.argmax(axis=-1)
print(logits.shape, probability[0].round(3), "is a", label[0])

# %%
# How good is it? Two methods of scikit-learn see all 64 grey values at once.

right = {"LSTM": np.mean(label == y_test)}
flat, flat_test = X.reshape(-1, 64), X_test.reshape(-1, 64)
for method in (LinearDiscriminantAnalysis(), KNeighborsClassifier(3)):
    right[type(method).__name__] = method.fit(flat, y).score(flat_test, y_test)
print({name: f"{share:.1%}" for name, share in right.items()})
assert right["LSTM"] > 0.95

# %%
# For 64 numbers per example the neighbours do it as well, and ask for no training. A network pays
# where sequences are long, or of different lengths, or where what matters may stand anywhere.
#
# Which digits are taken for which, and what the network says where it is wrong:

figure, axes = plt.subplots(figsize=(5, 4.6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(y_test, label, cmap="Blues", colorbar=False, ax=axes)
axes.set(xlabel="label by the network", ylabel="true label")

# %%
wrong = np.flatnonzero(label != y_test)[:6]
figure, axes = plt.subplots(
    2, len(wrong), figsize=(9, 3.2), layout="constrained", height_ratios=(1.3, 1)
)
for column, i in enumerate(wrong):
    axes[0, column].imshow(X_test[i], cmap="gray_r")
    axes[0, column].set(title=f"a {y_test[i]}", xticks=[], yticks=[])
    colors = ["C2" if k == y_test[i] else "C3" for k in range(10)]
    axes[1, column].bar(range(10), probability[i], color=colors)
    axes[1, column].set(ylim=(0, 1), xticks=range(0, 10, 3), xlabel="digit")
    axes[1, column].tick_params(labelleft=column == 0)
axes[1, 0].set_ylabel("probability")

# %%
# Can the probabilities be trusted? Where the network is sure, it should be right.

sure = probability.max(axis=-1) > 0.95
print(f"{sure.mean():.0%} of the digits have a probability above 0.95:")
print(f"{np.mean(label[sure] == y_test[sure]):.1%} of them are right, of the others", end=" ")
print(f"{np.mean(label[~sure] == y_test[~sure]):.1%}")

# %%
# From a long CSV
# ---------------
# Files often have a row per sample, with the number of its recording and the label beside it. Here
# such a table is made; ``pd.read_csv`` gives yours.

rng = np.random.default_rng(0)
rows = [
    (k, t, *(np.sin((1 + k % 2) * t / 4) + rng.normal(0, 0.5, 3)), ("circle", "wave")[k % 2])
    for k in range(60)
    for t in range(rng.integers(20, 40))
]
table = pd.DataFrame(rows, columns=["recording", "sample", "ax", "ay", "az", "gesture"])
print(table.head(3))

# %%
# A list of arrays of shape (T_i, 3) and a word for each, the last 20 recordings for the test.
# :class:`numlstm.LSTMClassifier` takes words and gives probabilities, in the order of `classes_`.

groups = [group for _, group in table.sort_values(["recording", "sample"]).groupby("recording")]
recordings = [group[["ax", "ay", "az"]].to_numpy() for group in groups]
gestures = [group["gesture"].iloc[0] for group in groups]
classifier = numlstm.LSTMClassifier(8, epochs=40, random_state=0)
classifier.fit(recordings[:40], gestures[:40])
print(classifier.classes_, classifier.predict_proba(recordings[40:43]).round(3))
right_gestures = classifier.score(recordings[40:], gestures[40:])
print(f"{right_gestures:.0%} of the test recordings are right")
assert right_gestures > 0.9

# %%
# With your own data
# ------------------
# - Sequences of different lengths: a list of arrays of shape (T_i, I) and labels of shape (B,).
# - Labels that are words, for ``fit``: ``names, y = np.unique(words, return_inverse=True)``, and
#   ``names[logits.argmax(-1)]`` on the way back.
# - Labels that do not exclude each other: ``loss="binary_cross_entropy"`` with targets 0 and 1 of
#   shape (B, O), and ``scipy.special.expit`` for the probabilities.
# - Tokens such as words or amino acids go in one-hot: ``np.eye(20)[tokens]``.
# - Where sequences come in groups, as of one speaker, split by group and pass
#   ``validation=(X_other, y_other)``.
# - Gaps in the inputs: :doc:`plot_2_many_series`.
# - An answer before the sequence has ended: :doc:`/gallery/plot_digits_by_row`.
# - ``forward`` gives the logits after every row, and takes the network's units,
#   ``model.scaling.inputs(X)``. Of a network that reads in both directions use ``predict``, which
#   combines what each direction knows when it has read all rows.
#
# What to try next
# ----------------
# - :class:`numlstm.LSTMClassifier` is the same for scikit-learn, with words as labels,
#   ``class_weight`` for rare classes, pipelines and cross-validation.
# - :doc:`plot_4_label_steps` has a label for every step.
# - :func:`numlstm.fit` has all keywords, :class:`numlstm.LSTM` what a model can do.
