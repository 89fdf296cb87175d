"""
Only neighbours talk
====================

Eight sites on a ring, each pushed from outside, each passing something on to its neighbours.
Bounds on the weights tell the network so: a unit per site, and zero between sites that do not
touch.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# The ring, and what it does with pushes X (B, T, 8).

SITES = 8


def ring(X):
    """Levels of all sites at every step, (B, T, 8)."""
    level, levels = np.zeros((len(X), SITES)), []
    for push in X.swapaxes(0, 1):
        around = np.roll(level, 1, axis=1) + np.roll(level, -1, axis=1)
        level = np.tanh(0.5 * level + 0.4 * around + 0.7 * push)
        levels.append(level)
    return np.array(levels).swapaxes(0, 1)


rng = np.random.default_rng(0)
X, new = rng.standard_normal((12, 30, SITES)), rng.standard_normal((100, 30, SITES))
y = ring(X) + 0.05 * rng.standard_normal(X.shape)

# %%
# Bounds go by the names of `model.params`; arrays of lower and upper bounds have the shape of the
# parameter. The four gates lie one below the other, so the pattern comes four times. Units read the
# pushes of their own site and answer for it alone.

touching = np.eye(SITES, k=0) + np.eye(SITES, k=1) + np.eye(SITES, k=-1)
touching[0, -1] = touching[-1, 0] = 1
own = np.eye(SITES)


def only(pattern):
    """No bounds where the pattern is 1, zero elsewhere."""
    upper = np.where(pattern, np.inf, 0)
    return -upper, upper


bounds = {
    "weight_ih_l0": only(np.tile(own, (4, 1))),
    "weight_hh_l0": only(np.tile(touching, (4, 1))),
    "head_weight": only(own),
}
fits, errors = {}, {}
for name, limits in (("all talk to all", None), ("only neighbours", {"bounds": bounds})):
    fits[name] = result = numlstm.fit(
        X,
        y,
        hidden_size=SITES,
        method="L-BFGS-B",
        limits=limits,
        epochs=1000,
        dtype="float64",
        rng=0,
    )
    errors[name] = np.mean((result.model.predict(new) - ring(new)) ** 2) / ring(new).var()
    weights = np.count_nonzero(result.x)
    print(f"{name}: {weights} parameters that are not 0, error on new data {errors[name]:.3f}")

outside = np.tile(touching, (4, 1)) == 0
assert not fits["only neighbours"].model.params["weight_hh_l0"][outside].any()

# %%
# The recurrent weights, the largest of the four gates for every pair. With twelve sequences to
# learn from, what was known before is worth more than freedom.

figure, axes = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained", sharey=True)
for axis, (name, result) in zip(axes, fits.items(), strict=True):
    size = np.abs(result.model.params["weight_hh_l0"]).reshape(4, SITES, SITES).max(axis=0)
    image = axis.imshow(size, cmap="magma_r", vmin=0, vmax=4)
    axis.set(xlabel="from unit", title=f"{name}: error {errors[name]:.3f}")
axes[0].set_ylabel("to unit")
figure.colorbar(image, ax=axes, label="largest recurrent weight", extend="max")
