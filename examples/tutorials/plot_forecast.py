"""
Forecast a series
=================

A month ahead, for a series of which nothing is known but itself.
"""

import numpy as np

import numlstm

# %%
# One long series is enough: without a `y`, :func:`numlstm.fit` learns to forecast the next value.

t = np.arange(600)
print(t.shape, numlstm.__version__)
