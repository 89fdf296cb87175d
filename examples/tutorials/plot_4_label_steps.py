"""
Label every step
================

A machine hums, knocks or whirrs, and changes between the three without notice. A network says at
every step which it is, and how sure it is: afterwards, with the whole recording at hand, or while
the machine runs, one step at a time.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax

import numlstm

# %%
# The data
# --------
# Eighty recordings of 200 steps. The three sounds differ by their frequency alone, and much of the
# signal is noise.

FREQUENCIES = np.array([0.05, 0.11, 0.2])  # cycles per step
NAMES = ["hum", "knock", "whirr"]
rng = np.random.default_rng(0)
changes = rng.random((80, 200)) < 0.02
sound = np.zeros((80, 200), int)
for t in range(1, 200):
    sound[:, t] = np.where(changes[:, t], rng.integers(0, 3, 80), sound[:, t - 1])
phase = np.cumsum(2 * np.pi * FREQUENCIES[sound], axis=1)
X = np.sin(phase) + 0.5 * rng.standard_normal(phase.shape)
X = X[:, :, None]  # (B, T, I): 80 sequences of 200 steps of one feature
print(X.shape, sound.shape, sound[0, 60:80])

# %%
# Train
# -----
# The labels have shape (B, T), a class for every step, counted from 0. Whole recordings are set
# aside: ten to stop by, ten to judge by. A bidirectional network reads every recording from both
# ends, so that each label rests on what came before and on what came after.

learn, stop, judge = slice(0, 60), slice(60, 70), slice(70, 80)
settings = {
    "loss": "cross_entropy",
    "validation": (X[stop], sound[stop]),
    "patience": 20,
    "hidden_size": 24,
    "batch_size": 10,
    "epochs": 60,
    "rng": 0,
}
result = numlstm.fit(X[learn], sound[learn], bidirectional=True, **settings)
print(result.data)
print(result.message)

# %%
# Predict
# -------
# ``predict`` gives logits of shape (B, T, classes). The largest tells the label; the softmax of
# them are probabilities.

probability = softmax(result.model.predict(X[judge]), axis=-1)  # (10, 200, 3)
label = probability.argmax(axis=-1)  # (10, 200)
right = np.mean(label == sound[judge])

shares = np.eye(3)[sound[judge]].mean(axis=1)  # of the three sounds in every recording
one = shares.min(axis=1).argmax()  # a recording that has all of them
figure, (signal, truth, said) = plt.subplots(
    3, sharex=True, figsize=(8, 4.5), layout="constrained", height_ratios=(4, 1, 4)
)
signal.plot(X[judge][one, :, 0], color="0.4", linewidth=0.8)
signal.set(ylabel="signal", title=f"{right:.1%} of the steps of ten new recordings are right")
truth.stackplot(range(200), np.eye(3)[sound[judge][one]].T, step="mid", alpha=0.8)
truth.set(ylabel="truth", yticks=[], ylim=(0, 1))
said.stackplot(range(200), probability[one].T, labels=NAMES, step="mid", alpha=0.8)
said.set(xlabel="step", ylabel="probability", ylim=(0, 1), xlim=(0, 199))
figure.legend(loc="outside lower center", ncols=3)

# %%
# Mistakes stand at the changes, and the probabilities say so.
#
# Is that much? Somebody who *knows* the three frequencies can measure their strengths in a window
# around every step. The network was told nothing but the labels.

window = np.hanning(27)[1:-1]
waves = np.exp(2j * np.pi * np.outer(FREQUENCIES, np.arange(25))) * window
strength = [[abs(np.convolve(x[:, 0], wave, "same")) for wave in waves] for x in X[judge]]
known = np.mean(np.argmax(strength, axis=1) == sound[judge])
print(f"right: network {right:.1%}, filters that know the frequencies {known:.1%}")

# %%
# While it runs
# -------------
# Who must answer at once knows only what came before. Such a network is not bidirectional, and can
# be asked step by step. ``step`` takes a sample of shape (I,) and the state after the sample
# before, and gives logits of shape (classes,). It speaks the network's units, as ``forward`` does,
# while ``predict`` takes the signal as it was recorded; ``scaling.inputs`` converts.

online = numlstm.fit(X[learn], sound[learn], **settings).model
x, state, now = online.scaling.inputs(X[70]), None, []
for sample in x:
    logits, state = online.step(sample, state)
    now.append(logits)
assert np.allclose(now, online.predict(X[70]), atol=1e-3)

# %%
# It needs some steps to notice a change. What that costs:

right_now = online.predict(X[judge]).argmax(axis=-1) == sound[judge]  # (10, 200)
right_later = label == sound[judge]
since = np.full(sound.shape, 1000)  # steps
for t in range(1, 200):
    since[:, t] = np.where(sound[:, t] != sound[:, t - 1], 0, since[:, t - 1] + 1)
after = np.arange(30)
masks = [since[judge] == k for k in after]
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for hits, name, style in ((right_later, "both directions", "C0o-"), (right_now, "online", "C3s--")):
    shares = [np.mean(hits[mask]) for mask in masks]
    axes.plot(after, shares, style, markersize=4, label=f"{name}, {hits.mean():.0%} in all")
axes.set(xlabel="steps since the last change", ylabel="share of right labels", ylim=(0, 1.02))
axes.legend(loc="lower right")
assert right_now.mean() < right_later.mean()

# %%
# A few labels are enough to begin
# --------------------------------
# Nobody labels 12000 steps by hand. Steps without a label are NaN, and ``nan_policy="omit"`` asks
# nothing of them. Here one step in ten has a label.

some = np.where(rng.random(sound.shape) < 0.1, sound, np.nan)
few = numlstm.fit(X[learn], some[learn], nan_policy="omit", bidirectional=True, **settings)
print(few.data)
right_few = np.mean(few.model.predict(X[judge]).argmax(axis=-1) == sound[judge])
print(f"right: {right_few:.1%} with a tenth of the labels, {right:.1%} with all")
assert 0.8 < right_few < right

# %%
# With your own data
# ------------------
# - Recordings of different lengths: a list of arrays of shape (T_i, I), and a list of labels of
#   shape (T_i,).
# - One long recording: an ``X`` of shape (T, I), a ``y`` of shape (T,), and ``bptt_steps=200``,
#   with the last part set aside by ``validation=0.2``. A bidirectional network wants it cut into
#   pieces.
# - Labels that are words: ``names, y = np.unique(words, return_inverse=True)``; for a table of
#   words, ``y.reshape(words.shape)``.
# - A class that is rare but matters: ``sample_weight`` of shape (B, T).
# - Several labels at once, where events overlap: ``loss="binary_cross_entropy"``, targets 0 and 1
#   of shape (B, T, O), and ``scipy.special.expit`` for the probabilities.
#
# What to try next
# ----------------
# - :doc:`plot_3_classify` has one label per sequence, :doc:`plot_2_many_series` gaps in the
#   inputs.
# - :func:`numlstm.fit`: ``num_layers=2`` or another ``hidden_size``, judged by ``validation_loss``
#   in ``result.history``.
# - :doc:`/embedding`: ``step`` inside a compiled loop, or as a C file for a device without Python.
# - :class:`numlstm.LSTM` has all that a model can do.
