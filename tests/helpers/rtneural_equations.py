"""What RTNeural computes, in plain NumPy: RTNeural/lstm/lstm.tpp and RTNeural/dense/dense.h."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def run(content, X):
    """RTNeural's layers, one after the other at every sample: gates i, f, c, o."""
    Y = X
    for layer in content["layers"]:
        weights = [np.asarray(part) for part in layer["weights"]]
        if layer["type"] != "lstm":
            Y = Y @ weights[0] + (weights[1] if len(weights) > 1 else 0)
            continue
        kernel, recurrent, bias = weights if len(weights) == 3 else [*weights, 0]
        h = c = np.zeros((len(X), recurrent.shape[0]))
        rows = []
        for x in Y.swapaxes(0, 1):
            i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, 1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            rows.append(h)
        Y = np.stack(rows, 1)
    return Y
