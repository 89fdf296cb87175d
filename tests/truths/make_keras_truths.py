"""Make keras_truths.npz: keras.layers.LSTM in float64, outputs and gradients.

Needs Keras and PyTorch; the tests do not. Run it: python tests/truths/make_keras_truths.py

All configurations share "inputs.name": X (B, T, I), the states and the derivatives of the loss
with respect to the results, and the weights as Keras keeps them (kernel, recurrent_kernel, bias;
"backward_" before those of the second direction). A configuration stores, as
"configuration.name", the arguments of the layer as JSON, its mask (B, T), results and gradients,
and with "fresh_bias" what a new layer starts with.
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from keras.src.backend.common import dtypes

# keras.ops rounds float64 to float32 on PyTorch (keras-team/keras issue 23704): this table does
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"


def hard_sigmoid(x):
    """PyTorch's definition; the derivative of its own function has 1/6 in float32."""
    return torch.clamp(x + 3, 0, 6) / 6


x = torch.linspace(-4, 4, 81, dtype=torch.float64)
torch.testing.assert_close(hard_sigmoid(x), torch.nn.functional.hardsigmoid(x), rtol=0, atol=1e-15)
torch.nn.functional.hardsigmoid = hard_sigmoid

INPUT_SIZE, H, B, T = 3, 3, 5, 6

BEHIND = [6, 3, 1, 0, 5]  # steps before the padding; a row may be nothing but padding
MASKS = {
    "behind": np.arange(T) < np.array(BEHIND)[:, None],
    "before": np.arange(T) >= T - np.array(BEHIND)[:, None],
    "gaps": np.array([[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0], [1] * 6, [0] * 6, [0, 0, 1, 0, 1, 1]])
    == 1,
}

# name: (arguments of the layer, name of its mask, two directions)
CONFIGURATIONS = {
    "plain": ({}, None, False),
    "padding_behind": ({}, "behind", False),
    "padding_before": ({}, "before", False),
    "gaps": ({}, "gaps", False),
    "gaps_as_zeros": ({"zero_output_for_mask": True}, "gaps", False),
    "backwards": ({"go_backwards": True}, None, False),
    "backwards_padding_behind": ({"go_backwards": True}, "behind", False),
    "backwards_gaps": ({"go_backwards": True}, "gaps", False),
    "hard_sigmoid": ({"recurrent_activation": "hard_sigmoid"}, None, False),
    "hard_sigmoid_softsign": (
        {"recurrent_activation": "hard_sigmoid", "activation": "softsign"},
        "gaps",
        False,
    ),
    "relu": ({"activation": "relu"}, None, False),
    "elu": ({"activation": "elu"}, None, False),
    "leaky_relu": ({"activation": "leaky_relu"}, None, False),
    "softplus": ({"recurrent_activation": "softplus"}, None, False),
    "linear": ({"activation": "linear"}, None, False),
    "no_bias": ({"use_bias": False}, None, False),
    "no_unit_forget_bias": ({"unit_forget_bias": False}, None, False),
    "split_kernels": ({"implementation": 1, "recurrent_dropout": 0.0}, None, False),
    "unrolled": ({"unroll": True}, "gaps", False),
    "bidirectional": ({}, None, True),
    "bidirectional_padding_behind": ({}, "behind", True),
    "bidirectional_gaps": ({}, "gaps", True),
}


def inputs_of(rng):
    """For two directions; one direction takes its half of them."""
    shapes = {"X": (B, T, INPUT_SIZE), "dY": (B, T, 2 * H)}
    shapes |= dict.fromkeys(("h0", "c0", "dh", "dc"), (2, B, H))
    for direction in ("", "backward_"):
        shapes[f"{direction}kernel"] = (INPUT_SIZE, 4 * H)
        shapes[f"{direction}recurrent_kernel"] = (H, 4 * H)
        shapes[f"{direction}bias"] = (4 * H,)
    return {name: 0.8 * rng.standard_normal(shape) for name, shape in shapes.items()}


def layer_of(arguments, two_directions):
    layer = keras.layers.LSTM(H, return_sequences=True, return_state=True, **arguments)
    if two_directions:
        layer = keras.layers.Bidirectional(layer)
    layer.build((B, T, INPUT_SIZE))
    names = [variable.name for variable in layer.trainable_variables]
    if two_directions:
        half = len(names) // 2
        names = names[:half] + ["backward_" + name for name in names[half:]]
    return layer, dict(zip(names, layer.trainable_variables, strict=True))


def truths(name, inputs):
    arguments, mask, two_directions = CONFIGURATIONS[name]
    directions = 2 if two_directions else 1
    layer, variables = layer_of(arguments, two_directions)
    arrays = {"arguments": np.array(json.dumps(arguments)), "directions": np.array(directions)}
    if "bias" in variables:
        arrays["fresh_bias"] = keras.ops.convert_to_numpy(variables["bias"])
    layer.set_weights([inputs[key] for key in variables])
    X, h0, c0 = (torch.tensor(inputs[key], requires_grad=True) for key in ("X", "h0", "c0"))
    initial = [part[k] for k in range(directions) for part in (h0, c0)]
    keywords = {} if mask is None else {"mask": torch.tensor(MASKS[mask])}
    Y, *final = layer(X, initial_state=initial, **keywords)
    outputs = {"Y": Y, "h": torch.stack(final[0::2]), "c": torch.stack(final[1::2])}
    d = {"Y": inputs["dY"][..., : directions * H]}
    d |= {key: inputs[f"d{key}"][:directions] for key in ("h", "c")}
    sum((outputs[key] * torch.tensor(d[key])).sum() for key in outputs).backward()
    tensors = outputs | {f"d{key}": variable.value.grad for key, variable in variables.items()}
    tensors |= {"dX": X.grad, "dh0": h0.grad[:directions], "dc0": c0.grad[:directions]}
    arrays |= {key: tensor.detach().numpy() for key, tensor in tensors.items()}
    if mask is not None:
        arrays["mask"] = MASKS[mask]
    return {f"{name}.{key}": array for key, array in arrays.items()}


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    assert keras.backend.result_type("float64", "float64") == "float64"
    torch.set_num_threads(1)
    inputs = inputs_of(np.random.default_rng(2015))
    stored = {f"inputs.{key}": array for key, array in inputs.items()}
    stored["keras_version"] = np.array(keras.__version__)
    stored["torch_version"] = np.array(torch.__version__)
    for configuration in CONFIGURATIONS:
        stored |= truths(configuration, inputs)
    np.savez_compressed(Path(__file__).with_name("keras_truths.npz"), **stored)
