"""Files of version 1 of the format, as numlstm 0.1.0 wrote them: models load, runs go on.

tests/truths/make_version_1.py says how they came about.
"""

import shutil

import numpy as np
import pytest

import numlstm
from helpers.harness import BARS, require_bits
from helpers.house import TRUTHS

FOLDER = TRUTHS / "version-1"
MODELS = sorted(path.stem for path in FOLDER.glob("*.npz") if path.stem != "truths")
LENGTHS = [7, 4, 1, 6]

# the arguments of `fit` by which every run was begun, in today's keywords
COMMON = {"hidden_size": 4, "epochs": 5, "rng": 0, "backend": "cpu"}
RUNS = {
    "adam": {"batch_size": 5},
    "adam_float64": {
        "dtype": "float64",
        "schedule": "cosine",
        "weight_decay": 0.01,
        "clip": None,
        "validation": 0.25,
        "patience": 3,
    },
    "adamw": {"method": "adamw", "weight_decay": 0.01, "learning_rate": 0.02},
    "sgd": {"method": "sgd", "options": {"momentum": 0.9, "nesterov": True}},
    "rmsprop": {"method": "rmsprop", "loss": "huber"},
    "variant": {
        "num_layers": 2,
        "cell": {
            "peephole": True,
            "layer_norm": True,
            "forget_gate": "coupled",
            "cell_clip": 1.0,
            "activations": ("hard_sigmoid", ("elu", 0.5), "tanh"),
        },
        "dropout": {"layers": 0.2, "states": 0.2, "weights": 0.1, "zoneout_c": 0.1},
        "batch_size": 5,
    },
    "limits": {"limits": {"fixed": "head_bias", "bounds": {"weight_hh_l0": (-0.3, 0.3)}}},
    "windows": {"bptt_steps": 4, "batch_size": 5, "num_layers": 2, "dropout": 0.2},
    "stateful": {"stateful": True, "bptt_steps": 3, "batch_size": 4},
}


@pytest.fixture(scope="module")
def stored():
    with np.load(FOLDER / "truths.npz") as file:
        return dict(file)


def ask(model, question, X, inputs):
    """What a model answers to one of the questions whose answers are stored."""
    reset = np.random.default_rng(3).random(X.shape[:2]) < 0.2
    if question == "predict":
        return model.predict(X, reset=reset)
    if question == "predict_ragged":
        ragged = [x[:length] for x, length in zip(X, LENGTHS, strict=True)]
        return np.concatenate(model.predict(ragged))
    if question == "predict_noisy":
        return model.predict(X, noise_rng=4)
    Y, state = model.forward(inputs, lengths=LENGTHS, reset=reset)
    return Y if question == "forward" else np.concatenate([part.ravel() for part in state])


def answers(stored, name, backend):
    """Question -> (what a model answers, what is stored)."""
    model = numlstm.load(FOLDER / f"{name}.npz", backend=backend)
    asked = stored[f"{name}.X"], stored[f"{name}.inputs"]
    prefix = f"{name}.{backend}."
    expected = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
    assert {"predict", "predict_ragged", "forward", "state"} <= set(expected)
    return {question: (ask(model, question, *asked), v) for question, v in expected.items()}


def test_every_file_is_asked(stored):
    assert {key.split(".")[0] for key in stored} == {"numlstm_version", *MODELS, *RUNS}
    assert sorted(path.stem for path in FOLDER.glob("*.run")) == sorted(RUNS)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_its_bits_on_the_cpu(stored, name):
    for result, expected in answers(stored, name, "cpu").values():
        require_bits(result, expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_the_reference_did(stored, name):
    for question, (result, expected) in answers(stored, name, "reference").items():
        assert result.dtype == expected.dtype
        assert result.shape == expected.shape
        error = np.linalg.norm(result - expected)
        assert error <= BARS[str(expected.dtype)] * np.linalg.norm(expected), (question, error)


def training_data():
    """12 sequences of 9 steps, and targets that depend on the last two of them."""
    X = np.random.default_rng(0).uniform(-2, 2, (12, 9, 2))
    y = X[..., :1].copy()
    y[:, 1:] += 0.5 * X[:, :-1, :1]
    return X, y


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_to_the_same_bits(stored, name, tmp_path):
    file = tmp_path / "run"
    shutil.copy(FOLDER / f"{name}.run", file)
    result = numlstm.fit(*training_data(), checkpoint=file, resume=True, **COMMON | RUNS[name])
    assert result.nit == COMMON["epochs"]
    require_bits(result.x, stored[f"{name}.theta"])
