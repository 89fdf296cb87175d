"""Models to export, and how near what was exported must come to them."""

import numpy as np

import numlstm

BARS = {"float64": 1e-13, "float32": 1e-6}  # relative in L2, per array
EVERYTHING = {
    "num_layers": 3,
    "residual": True,
    "learned_state": True,
    "proj_size": 5,
    "direct_input": True,
    "cell": {
        "forget_gate": "coupled",
        "peephole": True,
        "layer_norm": True,
        "activation_clip": 3.0,
        "cell_clip": 2.0,
        "proj_clip": 1.0,
        "activations": [("hard_sigmoid", 0.3), "softsign", ("scaled_tanh", 1.2, 0.7)],
    },
    "dropout": {"layers": 0.1, "inputs": 0.2, "zoneout_h": 0.1, "zoneout_c": 0.2},
}


def model_of(dtype="float64", seed=0, sizes=(3, 7), gain=1.0, **variant):
    """A model whose every parameter has a value of its own."""
    model = numlstm.LSTM(*sizes, dtype=dtype, rng=seed, **{"output_size": 2, **variant})
    model.theta += 0.1 * np.random.default_rng(seed).standard_normal(model.theta.size)
    model.theta *= gain
    return model


def inputs(model, steps, seed=1):
    X = np.random.default_rng(seed).standard_normal((steps, model.spec.input_size))
    return X.astype(model.spec.dtype)


def require_near(value, expected, bar):
    assert np.linalg.norm(value - expected) <= bar * np.linalg.norm(expected)
