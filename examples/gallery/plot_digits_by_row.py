"""
When does it know?
==================

A handwritten digit, read row by row from the top. A network says after every row which digit it is
going to be, and so one sees at which row it makes up its mind.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_digits

import numlstm

# %%
# The 1797 digits of scikit-learn have 8 rows of 8 pixels: sequences of 8 steps with 8 features. The
# label stands at every step, as the network shall answer at every step.

digits = load_digits()
X, y = digits.images, np.repeat(digits.target[:, None], 8, axis=1)
order = np.random.default_rng(0).permutation(len(X))
train, test = order[:1400], order[1400:]
result = numlstm.fit(
    X[train],
    y[train],
    loss="cross_entropy",
    hidden_size=48,
    epochs=30,
    weight_decay=1e-4,
    schedule="cosine",
    rng=0,
)
probability = softmax(result.model.predict(X[test]), axis=-1)  # (397, 8, 10)
right = (probability.argmax(axis=-1) == y[test]).mean(axis=0)
for row, share in enumerate(right, start=1):
    print(f"after {row} rows: {share:.0%} of the {len(test)} new digits are right")

# %%
# Six digits that it changed its mind about most often, and what it believed meanwhile.

guess = probability.argmax(axis=-1)
changes = (guess[:, 1:] != guess[:, :-1]).sum(axis=1)
changes[guess[:, -1] != y[test, -1]] = 0
chosen = np.argsort(-changes, kind="stable")[:6]

figure, axes = plt.subplots(2, 6, figsize=(9, 4), layout="constrained")
for (above, below), k in zip(axes.T, chosen, strict=True):
    above.imshow(X[test[k]], cmap="gray_r")
    above.set(xticks=[], yticks=[], title=f"a {y[test[k], 0]}")
    image = below.pcolormesh(
        np.arange(10), np.arange(1, 9), probability[k], cmap="Blues", vmin=0, vmax=1
    )
    below.set(xticks=[0, 3, 6, 9], yticks=[2, 4, 6, 8], ylim=(8.5, 0.5), xlabel="digit")
    below.label_outer(remove_inner_ticks=False)
axes[1, 0].set_ylabel("rows read")
figure.colorbar(image, ax=axes[1], label="probability")
