"""
Fresh data for every update
===========================

A simulator never runs out of data: why learn twice from the same? Here the sequences of the adding
problem (Hochreiter & Schmidhuber 1997) are drawn as they are needed. A network that sees none of
them twice cannot learn them by heart.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# Two numbers of a sequence are marked, and their sum is asked for at its end. `fit` calls the
# function for every update, with a Generator of its own and the batch size.


def adding_problem(rng, count, length=20):
    """Sequences (count, length, 2) and the sums of their marked numbers (count,)."""
    X = np.zeros((count, length, 2))
    X[..., 0] = rng.random((count, length))
    for half in (0, 1):
        place = half * length // 2 + rng.integers(0, length // 2, count)
        X[np.arange(count), place, 1] = 1
    return X, np.sum(X[..., 0] * X[..., 1], axis=1)


# %%
# As many updates from 64 sequences that stay the same, two batches of them, and from new ones. What
# was learned is tried on 500 others.

updates = 1500
test = adding_problem(np.random.default_rng(1), 500)
options = {"hidden_size": 16, "init": {"chrono": 20}, "learning_rate": 0.02, "rng": 0}
kept = numlstm.fit(
    *adding_problem(np.random.default_rng(0), 64),
    epochs=updates // 2,
    validation=test,
    **options,
)
fresh = numlstm.fit(adding_problem, epochs=updates, **options)
for name, result in (("64 sequences", kept), ("new ones", fresh)):
    error = np.mean((result.model.predict(test[0])[:, 0] - test[1]) ** 2) / np.var(test[1])
    print(f"{name}: {result.fun:.4f} on what was learned from, {error:.4f} on others")

# %%
# The result goes on where it ended, with what Adam knows by then and, for another `rng`, with other
# sequences; here for a smaller learning rate.

further = numlstm.fit(adding_problem, epochs=400, model=fresh, learning_rate=0.002, rng=1)
error = np.mean((further.model.predict(test[0])[:, 0] - test[1]) ** 2) / np.var(test[1])
print(f"and 400 updates more: {error:.4f}")

# %%
# Every loss of new sequences is one on sequences that were not seen before.

losses = np.concatenate([fresh.history["loss"], further.history["loss"]])
smooth = np.convolve(losses, np.ones(25) / 25, mode="valid")

figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
axis.semilogy(np.arange(25, losses.size + 1), smooth, label="new sequences, never seen before")
steps = np.arange(2, updates + 1, 2)
axis.semilogy(steps, kept.history["loss"], "--", label="64 sequences, on these")
axis.semilogy(steps, kept.history["validation_loss"], label="64 sequences, on others")
axis.axvline(updates, color="0.5", linestyle=":")
axis.set(xlabel="update", ylabel="squared error / variance")
axis.legend()
