"""Make version-1/: model files and checkpoints of version 1 of the file format, and truths.npz.

Run with numlstm 0.1.0, at commit fa4f6db, before the package was reorganised: its keywords and
modules are those of that commit, and it runs with nothing else. It is kept to say where the files
come from; never make them anew. Run it: python tests/truths/make_version_1.py

Every model file NAME.npz has in truths.npz "NAME.X", for `predict`, "NAME.inputs", for `forward`,
and what the model answers on both backends as "NAME.backend.question". Every checkpoint NAME.run
has "NAME.theta", with which the run that was never stopped ends. `save` drops precision="tf32",
which belongs to a GPU, so there is no file with it.
"""

from pathlib import Path

import numpy as np

import numlstm
from numlstm import storage, training

FOLDER = Path(__file__).with_name("version-1")
LENGTHS = [7, 4, 1, 6]
BACKENDS = ("cpu", "reference")

RATES = {
    "layers": 0.2,
    "inputs": 0.1,
    "states": 0.25,
    "recurrent": 0.3,
    "weights": 0.15,
    "zoneout_h": 0.1,
    "zoneout_c": 0.05,
}
ALL = {
    "num_layers": 2,
    "bidirectional": True,
    "residual": True,
    "learned_state": True,
    "proj_size": 2,
    "forget_gate": "coupled",
    "peephole": True,
    "layer_norm": True,
    "activation_clip": 2.0,
    "cell_clip": 0.5,
    "activations": (("hard_sigmoid", 0.3, 0.4), "softsign", ("scaled_tanh", 1.2, 0.8)),
    "dropout": RATES,
}

# name: keywords of LSTM(2, 4, 2), whose parameters are then drawn
DRAWN = {
    "plain_float32": {},
    "plain_float64": {"dtype": "float64"},
    "stack": {"num_layers": 3},
    "no_head": {"output_size": None},
    "coupled": {"forget_gate": "coupled"},
    "no_forget_gate": {"forget_gate": "none"},
    "peephole": {"peephole": True},
    "layer_norm": {"layer_norm": True},
    "activation_clip": {"activation_clip": 0.5},
    "cell_clip": {"cell_clip": 0.1},
    "activations_1": {"activations": ("hard_sigmoid", ("elu", 0.5), "softsign")},
    "activations_2": {"activations": (("affine", 0.3, 0.1), ("scaled_tanh", 1.5, 0.7), "softplus")},
    "activations_3": {"activations": ("sigmoid", ("leaky_relu", 0.1), ("thresholded_relu", 0.3))},
    "activations_4": {"activations": (("hard_sigmoid", 0.4, 0.3), "relu", "tanh")},
    "projection": {"proj_size": 2},
    "bidirectional": {"bidirectional": True},
    "residual": {"num_layers": 3, "residual": True},
    "learned_state": {"learned_state": True},
    "dropout": {"num_layers": 2, "dropout": RATES},
    "zoneout": {"dropout": {"zoneout_h": 0.25, "zoneout_c": 0.5}},
}

# name: (targets, keywords of fit)
TRAINED = {
    "scaled": ("steps", {}),
    "scaled_inputs": ("classes", {"loss": "cross_entropy"}),
    "filled": ("steps", {"missing": "mask"}),
    "last": ("ends", {"dtype": "float64"}),
    "all_float32": ("ends", {"missing": "mask", **ALL}),
    "all_float64": ("ends", {"missing": "mask", "dtype": "float64", **ALL}),
}

# name: (keywords of fit, writes after which the power goes off; None: stopped after two epochs)
CHECKPOINTS = {
    "adam": ({"batch_size": 5}, None),
    "adam_float64": (
        {
            "dtype": "float64",
            "schedule": "cosine",
            "weight_decay": 0.01,
            "clip": None,
            "validation": 0.25,
            "patience": 3,
        },
        None,
    ),
    "adamw": ({"method": "adamw", "weight_decay": 0.01, "learning_rate": 0.02}, None),
    "sgd": ({"method": "sgd", "options": {"momentum": 0.9, "nesterov": True}}, None),
    "rmsprop": ({"method": "rmsprop", "loss": "huber"}, None),
    "variant": (
        {
            "num_layers": 2,
            "peephole": True,
            "layer_norm": True,
            "forget_gate": "coupled",
            "cell_clip": 1.0,
            "activations": ("hard_sigmoid", ("elu", 0.5), "tanh"),
            "dropout": {"layers": 0.2, "states": 0.2, "weights": 0.1, "zoneout_c": 0.1},
            "batch_size": 5,
        },
        None,
    ),
    "limits": ({"fixed": "head_bias", "bounds": {"weight_hh_l0": (-0.3, 0.3)}}, None),
    "windows": ({"bptt_steps": 4, "batch_size": 5, "num_layers": 2, "dropout": 0.2}, 13),
    "stateful": ({"stateful": True, "bptt_steps": 3, "batch_size": 4}, 8),
}


class PowerCut(Exception):
    """The machine goes off."""


def uniform(seed, *shape):
    return np.random.default_rng(seed).uniform(-2, 2, shape)


def training_data():
    """12 sequences of 9 steps, and targets that depend on the last two of them."""
    X = uniform(0, 12, 9, 2)
    y = X[..., :1].copy()
    y[:, 1:] += 0.5 * X[:, :-1, :1]
    return X, y


def targets(kind):
    X, y = training_data()
    return {"steps": y, "ends": X.sum(axis=1), "classes": (X[..., 0] > 0).astype(int)}[kind]


def gappy(X):
    return np.where(np.random.default_rng(1).random(X.shape) < 0.2, np.nan, X)


def drawn(name):
    sizes = {"input_size": 2, "hidden_size": 4, "output_size": 2, "backend": "cpu"}
    model = numlstm.LSTM(**sizes | DRAWN[name])
    model.theta = uniform(2, model.theta.size) / 2
    return model


def trained(name):
    X, kind, options = training_data()[0], *TRAINED[name]
    X = gappy(X) if options.get("missing") else X
    common = {"hidden_size": 4, "epochs": 4, "learning_rate": 0.1, "batch_size": 4, "rng": 0}
    return numlstm.fit(X, targets(kind), backend="cpu", **common, **options).model


def member():
    options = {"hidden_size": 3, "epochs": 3, "batch_size": 4, "rng": 0, "backend": "cpu"}
    return numlstm.ensemble(*training_data(), members=3, **options).models[1]


def answers(model, X, inputs):
    reset = np.random.default_rng(3).random(X.shape[:2]) < 0.2
    Y, (h, c) = model.forward(inputs, lengths=LENGTHS, reset=reset)
    ragged = [x[:length] for x, length in zip(X, LENGTHS, strict=True)]
    found = {
        "predict": model.predict(X, reset=reset),
        "predict_ragged": np.concatenate(model.predict(ragged)),
        "forward": Y,
        "state": np.concatenate([h.ravel(), c.ravel()]),
    }
    if any(vars(model.spec.dropout).values()):
        found["predict_noisy"] = model.predict(X, noise_rng=4)
    return found


def store_model(name, model):
    """Its file; what it is asked and what it answers."""
    model.save(FOLDER / f"{name}.npz")
    X, inputs = uniform(5, 4, 7, 2), uniform(6, 4, 7, model.spec.input_size)
    X = X if model.filling is None else gappy(X)
    truths = {f"{name}.X": X, f"{name}.inputs": inputs}
    for backend in BACKENDS:
        copy = numlstm.load(FOLDER / f"{name}.npz", backend=backend)
        found = answers(copy, X, inputs)
        truths |= {f"{name}.{backend}.{key}": array for key, array in found.items()}
    return truths


def stop(intermediate_result):
    if intermediate_result.nit == 2:
        raise StopIteration


def cut_off(path, writes, options):
    """A run whose power goes off after so many checkpoints, one after every update."""
    write, between, written = storage.write_checkpoint, training._BETWEEN_CHECKPOINTS, []

    def write_and_fail(*arguments):
        write(*arguments)
        written.append(arguments)
        if len(written) == writes:
            raise PowerCut

    storage.write_checkpoint, training._BETWEEN_CHECKPOINTS = write_and_fail, -1.0
    try:
        numlstm.fit(*training_data(), checkpoint=path, **options)
    except PowerCut:
        pass
    finally:
        storage.write_checkpoint, training._BETWEEN_CHECKPOINTS = write, between
    assert "state_h" in storage.read_checkpoint(path)[0]  # in the middle of sequences


def store_checkpoint(name):
    """Its file; what the run ends with that is never stopped."""
    options, writes = CHECKPOINTS[name]
    options = {"hidden_size": 4, "epochs": 5, "rng": 0, "backend": "cpu"} | options
    path = FOLDER / f"{name}.run"
    if writes is None:
        numlstm.fit(*training_data(), checkpoint=path, callback=stop, **options)
    else:
        cut_off(path, writes, options)
    return {f"{name}.theta": numlstm.fit(*training_data(), **options).x}


if __name__ == "__main__":
    FOLDER.mkdir()
    truths = {"numlstm_version": np.array(numlstm.__version__)}
    for name in DRAWN:
        truths |= store_model(name, drawn(name))
    for name in TRAINED:
        truths |= store_model(name, trained(name))
    truths |= store_model("member", member())
    for name in CHECKPOINTS:
        truths |= store_checkpoint(name)
    np.savez_compressed(FOLDER / "truths.npz", **truths)
