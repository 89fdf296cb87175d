"""
Forecast a series
=================

A month ahead, for a series of which nothing is known but itself.
"""

import matplotlib.pyplot as plt
import numpy as np

import numlstm

# %%
# One long series is enough: without a `y`, :func:`numlstm.fit` learns to forecast the next value.

series = np.sin(np.arange(300) / 9)
result = numlstm.fit(series[:200], hidden_size=8, epochs=20, rng=0)
print(result.data)
plt.plot(series[201:])
plt.plot(result.model.predict(series[200:])[:-1])
