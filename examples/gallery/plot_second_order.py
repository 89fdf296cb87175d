"""
Adam, L-BFGS and least squares
==============================

A fit minimises a smooth function of one vector, and hands over exact derivatives. On a small
network and little data, methods that use curvature come further with as many looks at the data.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import least_squares, minimize

import numlstm

# %%
# Twenty short sequences of a nonlinear filter, and a network of four units in float64.

rng = np.random.default_rng(0)
X = rng.standard_normal((20, 40, 1))
y = np.zeros_like(X)
for t in range(1, 40):
    y[:, t] = np.tanh(0.8 * y[:, t - 1] + 0.5 * X[:, t] * X[:, t - 1])

start = numlstm.LSTM(1, 4, 1, dtype="float64", rng=0)

# %%
# Adam is `fit` itself, with all the data in every update: one look at the data per epoch.

LOOKS = 400
losses = {}
for rate in (0.003, 0.01, 0.03):
    result = numlstm.fit(
        X, y, model=start, standardize=False, epochs=LOOKS, learning_rate=rate, rng=0
    )
    losses[f"Adam, learning rate {rate}"] = result.history["loss"]

# %%
# `objective` is the function that `fit` minimises, for a method of SciPy; every value that it asks
# for is noted. `least_squares` takes residuals and their Jacobian, and a look of it costs more:
# the Jacobian has a column for each parameter.

fun = numlstm.objective(start, X, y)


def noted(name, function, loss):
    """The function, noting the loss at every call."""
    values = losses.setdefault(name, [])

    def call(theta):
        answer = function(theta)
        values.append(loss(answer))
        return answer

    return call


both = noted("L-BFGS-B", fun, lambda answer: answer[0])
options = {"maxfun": LOOKS, "maxiter": LOOKS, "maxcor": 40}
minimize(both, start.theta, jac=True, method="L-BFGS-B", options=options)
residuals = noted("least_squares", fun.residuals, lambda answer: np.mean(answer**2))
least_squares(residuals, start.theta, fun.jacobian, max_nfev=LOOKS // 4)
for name, values in losses.items():
    print(f"{name}: {min(values):.1e} after {len(values)} looks")

# %%
# The best so far, over how often the data were read. On larger networks and rugged losses the order
# may be another: :doc:`A network as a function of one vector </scipy>` has such a case.

figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
styles = {"L-BFGS-B": ("tab:blue", "-"), "least_squares": ("tab:red", "-")}
grays = iter(["0.75", "0.5", "0.25"])
for name, values in losses.items():
    color, style = styles.get(name) or (next(grays), "--")
    best = np.minimum.accumulate(values)
    axes.loglog(np.arange(1, len(best) + 1), best, style, color=color, label=name)
axes.set(xlabel="looks at the data", ylabel="mean squared error, best so far")
axes.set_title(f"{start.theta.size} parameters, {y.size} targets")
axes.legend()
