"""Files of version 1 of the format, as numlstm 0.1.0 wrote them: models load, runs are refused.

tests/truths/make_version_1.py says how they came about.
"""

import json
import shutil

import numpy as np
import pytest

import numlstm
from helpers.harness import BARS, require_bits
from helpers.house import TRUTHS
from numlstm.utils import files

FOLDER = TRUTHS / "version-1"
MODELS = sorted(path.stem for path in FOLDER.glob("*.npz") if path.stem != "truths")
LENGTHS = [7, 4, 1, 6]

RUNS = sorted(path.stem for path in FOLDER.glob("*.run"))


@pytest.fixture(scope="module")
def stored():
    with np.load(FOLDER / "truths.npz") as file:
        return dict(file)


def ask(model, question, X, inputs):
    """What a model answers to one of the questions whose answers are stored."""
    reset = np.random.default_rng(3).random(X.shape[:2]) < 0.2
    X = X.astype(model.spec.dtype)  # as version 0.1 read the data
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


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_with_the_version_that_began_it(name, tmp_path):
    file = tmp_path / "run"
    shutil.copy(FOLDER / f"{name}.run", file)
    X = np.zeros((12, 9, 2))
    with pytest.raises(files.StorageError, match=r"was written by numlstm 0\.1, and a checkpoint"):
        numlstm.fit(X, X[..., :1], checkpoint=file, resume=True, rng=0, backend="cpu")


def test_new_files_have_today_s_version_and_names(tmp_path):
    model = numlstm.LSTM(2, 3, cell={"forget_gate": "coupled"}, rng=0, backend="reference")
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        header = json.loads(file["header"].tobytes())
    assert header["version"] == files.VERSION == 2
    assert header["meta"]["spec"]["cell"]["forget_gate"] == "coupled"
