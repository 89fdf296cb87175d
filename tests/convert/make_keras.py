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
}

if __name__ == "__main__":
    rng = np.random.default_rng(1997)
    stored = {"X": rng.standard_normal((2, 6, 3)).astype("float32")}
    for name, make in NETWORKS.items():
        network = make()
        network.set_weights([rng.normal(0, 0.5, w.shape) for w in network.get_weights()])
        Y = network(stored["X"], training=False)
        Y = keras.tree.flatten(Y)[0]
        stored[f"{name}/Y"] = Y.detach().numpy()
        for kind in ("keras", "h5"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"network.{kind}"
                network.save(path)
                stored[f"{name}/{kind}"] = np.frombuffer(path.read_bytes(), np.uint8)
    np.savez_compressed(Path(__file__).with_name("keras.npz"), **stored)
