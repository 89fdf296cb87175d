"""Make keras.npz: files of Keras 3 models, and what the models make of a batch.

Needs Keras 3 and PyTorch; the tests do not. Run it: python tests/convert/make_keras.py
A file is stored as an array of its bytes, "name/keras" and "name/h5", the outputs as "name/Y".
"""

import os
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers


def sequential(*parts):
    return keras.Sequential([keras.Input((None, 3)), *parts])


def lstm(units, **options):
    return layers.LSTM(units, return_sequences=True, **options)


def functional():
    X = keras.Input((None, 3))
    Y, h, _ = lstm(4, return_state=True)(lstm(6)(X))
    return keras.Model(X, [layers.TimeDistributed(layers.Dense(2))(Y), h])


def masked():
    X = keras.Input((None, 3))
    return keras.Model(X, layers.Dense(2)(lstm(4)(lstm(4)(layers.Masking()(X)))))


def scaled():
    moments = {"mean": [1.0, 2.0, 3.0], "variance": [4.0, 9.0, 0.25]}
    first = layers.Normalization(**moments)
    last = layers.Normalization(mean=[5.0, 6.0], variance=[16.0, 0.04], invert=True)
    return sequential(first, layers.LSTM(4), layers.Dense(2), last)


def returning(take):
    """A model that returns what `take` makes of an LSTM's outputs, its states and a Dense's."""
    X = keras.Input((None, 3))
    Y, h, c = lstm(4, return_state=True)(X)
    return keras.Model(X, take(Y, h, c, layers.Dense(2)))


def units_between(*between):
    moments = {"mean": [1.0, 2.0], "variance": [4.0, 9.0]}
    first = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 0.25])
    last = layers.Normalization(**moments, invert=True)
    return sequential(first, lstm(2), *between[:1], last, *between[1:])


def scaled_alike():
    first = layers.Normalization(axis=None, mean=2.0, variance=9.0)
    last = layers.Normalization(axis=None, mean=5.0, variance=16.0, invert=True)
    return sequential(first, layers.LSTM(4), layers.Dense(2), last)


def scaled_by_step():
    first = layers.Normalization(axis=1)
    first.adapt(np.arange(54.0).reshape(3, 6, 3))
    return keras.Sequential([keras.Input((6, 3)), first, lstm(4)])


def called(make):
    X = keras.Input((None, 3))
    return keras.Model(X, make(X))


def mask_of_call(X):
    return lstm(4)(X, mask=keras.ops.any(keras.ops.not_equal(X, 0.0), -1))


def quantised():
    network = sequential(lstm(4), layers.Dense(2))
    network.layers[1].quantize("int8")
    return network


def adapted():
    network = sequential(lstm(4), layers.Dense(2))
    network.layers[1].enable_lora(1)
    return network


def every_step(layer):
    return layers.TimeDistributed(layer)


def half_bias():
    back = lstm(4, use_bias=False, go_backwards=True)
    return sequential(layers.Bidirectional(lstm(4), backward_layer=back))


def own(kind, **members):
    """A class of a user's that has the name of one of Keras."""
    members["__module__"] = "some_package.layers"
    return keras.saving.register_keras_serializable("mine")(type(kind.__name__, (kind,), members))


def unregistered(kind):
    """The same without a registration, as scripts have it."""
    return type(kind.__name__, (kind,), {"__module__": "__main__"})


def of_own_activation():
    @keras.saving.register_keras_serializable("mine")
    def tanh(x):
        return 1.7159 * keras.ops.tanh(2 / 3 * x)

    return sequential(lstm(4, activation=tanh))


NETWORKS = {
    "plain": lambda: sequential(lstm(4)),
    "hard_sigmoid": lambda: sequential(lstm(4, recurrent_activation="hard_sigmoid")),
    "softsign": lambda: sequential(lstm(4, activation="softsign", use_bias=False)),
    "last": lambda: sequential(lstm(5), layers.Dropout(0.2), layers.LSTM(3), layers.Dense(2)),
    "both": lambda: sequential(
        layers.Bidirectional(lstm(3)), layers.Bidirectional(layers.LSTM(5)), layers.Dense(2)
    ),
    "cell": lambda: sequential(layers.RNN(layers.LSTMCell(4), return_sequences=True)),
    "functional": functional,
    "scaled": scaled,
    "logits": lambda: sequential(layers.LSTM(4), layers.Dense(3, activation="softmax")),
    "backwards": lambda: sequential(lstm(4, go_backwards=True)),
    "sum": lambda: sequential(layers.Bidirectional(lstm(4), merge_mode="sum")),
    "dense_first": lambda: sequential(layers.Dense(3), lstm(4)),
    "lambda": lambda: sequential(lstm(4), layers.Lambda(lambda x: x)),
    "masking": lambda: sequential(layers.Masking(), lstm(4)),
    "gru": lambda: sequential(layers.GRU(4)),
    "masked": masked,
    "returns_h": lambda: returning(lambda Y, h, c, dense: [h, c]),
    "returns_c": lambda: returning(lambda Y, h, c, dense: c),
    "returns_before": lambda: returning(lambda Y, h, c, dense: [Y, dense(Y)]),
    "returns_both": lambda: returning(lambda Y, h, c, dense: [dense(Y), Y]),
    "returns_names": lambda: returning(lambda Y, h, c, dense: {"b": h, "a": dense(Y)}),
    "own_lstm": lambda: sequential(own(layers.LSTM)(4), layers.Dense(2)),
    "own_dense": lambda: sequential(lstm(4), own(layers.Dense)(2)),
    "own_dropout": lambda: sequential(own(layers.Dropout)(0.5), lstm(4)),
    "own_cell": lambda: sequential(layers.RNN(own(layers.LSTMCell)(4))),
    "own_inside": lambda: sequential(layers.Bidirectional(own(layers.LSTM)(4))),
    "own_activation": of_own_activation,
    "unregistered": lambda: sequential(lstm(4), unregistered(layers.Dense)(2)),
    "every_step": lambda: keras.Sequential(
        [keras.Input((4, 6, 3)), every_step(lstm(4, activation="relu"))]
    ),
    "every_step_relu": lambda: sequential(lstm(4), every_step(layers.Activation("relu"))),
    "every_step_idle": lambda: sequential(
        every_step(layers.Dropout(0.5)), lstm(4), every_step(layers.Dense(2, use_bias=False))
    ),
    "half_bias": half_bias,
    "units_between": lambda: units_between(layers.Dropout(0.1), layers.Dense(2)),
    "units_softmax": lambda: units_between(layers.Activation("softmax")),
    "always_random": lambda: called(lambda X: lstm(4)(layers.Dropout(0.5)(X, training=True))),
    "mask_of_call": lambda: called(mask_of_call),
    "quantised": quantised,
    "scaled_alike": scaled_alike,
    "scaled_by_step": scaled_by_step,
    "softmax": lambda: sequential(layers.LSTM(4), layers.Dense(3), layers.Softmax()),
    "softmax_of_steps": lambda: sequential(lstm(4), layers.Softmax(axis=1)),
    "adapted": adapted,
}

if __name__ == "__main__":
    rng = np.random.default_rng(1997)

    def drawn(weight):
        return weight if weight.dtype == "int8" else rng.normal(0, 0.5, weight.shape)

    stored = {"X": rng.standard_normal((2, 6, 3)).astype("float32")}
    for name, make in NETWORKS.items():
        network = make()
        if name != "scaled_by_step":
            network.set_weights([drawn(weight) for weight in network.get_weights()])
        X = stored["X"] if len(network.input_shape) == 3 else stored["X"][:, None].repeat(4, 1)
        Y = network(X, training=False)
        Y = keras.tree.flatten(Y)[0]
        stored[f"{name}/Y"] = Y.detach().numpy()
        for kind in ("keras", "h5"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"network.{kind}"
                network.save(path)
                stored[f"{name}/{kind}"] = np.frombuffer(path.read_bytes(), np.uint8)
    np.savez_compressed(Path(__file__).with_name("keras.npz"), **stored)
