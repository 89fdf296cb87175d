"""The face of `fit` and its relatives: nouns, hints, and one description of every keyword."""

import ast
import inspect
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import OptimizeWarning

import numlstm
from helpers.fits import batch
from numlstm.architecture.cell import Cell
from numlstm.architecture.keywords import SYNONYMS
from numlstm.architecture.parameters import Init
from numlstm.architecture.spec import NetworkSpec
from numlstm.data.preparation import DataConfig
from numlstm.optim.bounds import LimitsConfig
from numlstm.training.keywords import IN_ENSEMBLES, INSTEAD, OF_CLASSES
from numlstm.training.settings import RunConfig, TrainingConfig

NOUNS = {"cell": Cell, "init": Init, "limits": LimitsConfig}
CONFIGS = (NetworkSpec, DataConfig, TrainingConfig, RunConfig)
FACE = (
    numlstm.fit,
    numlstm.LSTM,
    numlstm.ensemble,
    numlstm.LSTMRegressor,
    numlstm.LSTMClassifier,
)
PACKAGE = Path(numlstm.__file__).parent


def defaults(function) -> dict:
    return {p.name: p.default for p in inspect.signature(function).parameters.values()}


def test_fit_has_at_most_54_arguments():
    """The last one that came is `direct_input`: what a network is, is a keyword of its own."""
    assert len(defaults(numlstm.fit)) <= 54


@pytest.mark.parametrize("function", FACE)
def test_no_keyword_passes_unnamed(function):
    kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_every_field_is_one_keyword_with_the_same_default():
    """In one noun each; what the data say, and arrays, are none."""
    asked = defaults(numlstm.fit)
    found = {}
    for config in CONFIGS:
        for field in fields(config):
            assert field.name not in found
            found[field.name] = field.default
    del found["input_size"], found["static_size"]
    assert set(found) <= set(asked)
    for name, default in found.items():
        assert asked[name] == default or (asked[name] is None and default is not MISSING), name


def test_relatives_have_the_keywords_of_fit():
    """By the same names and with the same defaults, but for those of their own."""
    asked = defaults(numlstm.fit)
    own = {
        numlstm.LSTM: {"input_size", "hidden_size", "output_size", "static_size", "dropout"},
        numlstm.ensemble: {"members", "bootstrap"},
        numlstm.LSTMRegressor: {"output", "loss", "dropout", "standardize", "random_state"},
        numlstm.LSTMClassifier: {
            *("output", "loss", "dropout", "standardize", "random_state", "class_weight")
        },
    }
    for function, names in own.items():
        taken = defaults(function)
        assert {name for name, value in taken.items() if asked.get(name, "") != value} <= names
        assert {"cell", "init"} <= set(taken)


def test_the_package_passes_no_locals():
    """Nor has a function of these rooms more arguments than a reader can follow."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert "locals" not in {call.id for call in calls if isinstance(call, ast.Name)}, path
        if path.parent.name not in ("architecture", "data", "optim", "training", "utils"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name not in ("fit", "ensemble"):
                names = [arg.arg for arg in (*node.args.args, *node.args.kwonlyargs)]
                most = 11 if node.name == "covariance" else 10  # five of them say what X is
                assert len([name for name in names if name != "self"]) <= most, node.name


# --- hints ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        *(("lr", "learning_rate"), ("verbose", "progress"), ("n_epochs", "epochs")),
        *(("max_iter", "epochs"), ("seed", "rng"), ("random_state", "rng")),
        *(("units", "hidden_size"), ("hiden_size", "hidden_size"), ("optimizer", "method")),
        *(("device", "backend"), ("bidirectionnal", "bidirectional")),
    ],
)
def test_fit_suggests_the_keyword_that_was_meant(given, meant):
    with pytest.raises(
        TypeError, match=rf"^fit\(\) has no keyword '{given}': did you mean '{meant}'"
    ):
        numlstm.fit(*batch(), **{given: 3})


@pytest.mark.parametrize("noun", NOUNS)
def test_names_within_a_noun_are_answered_with_it(noun):
    for field in fields(NOUNS[noun]):
        for name in {field.name, field.name + "s"} - set(defaults(numlstm.fit)):
            words = rf"has no keyword '{name}': pass {noun}=\{{'{field.name}': 3\}}"
            with pytest.raises(TypeError, match=words):
                numlstm.fit(*batch(), **{name: 3})
            if noun != "limits":
                with pytest.raises(TypeError, match=words):
                    numlstm.LSTM(2, 3, **{name: 3})


def test_relatives_suggest_their_own_names():
    with pytest.raises(TypeError, match=r"^LSTM\(\) has no keyword 'units': did you mean 'hidden"):
        numlstm.LSTM(input_size=1, units=3)
    with pytest.raises(TypeError, match=r"^ensemble\(\) has no keyword 'n_estimators'.*'members'"):
        numlstm.ensemble(*batch(), n_estimators=3)
    with pytest.raises(TypeError, match=r"^LSTMRegressor\(\) has no keyword 'rng'.*'random_state'"):
        numlstm.LSTMRegressor(rng=0)


class Bare(numlstm.LSTMClassifier):
    """With the constructor of its parent."""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: numlstm.LSTMRegressor(8, 2), r"^LSTMRegressor\(\) takes hidden_size by"),
        (lambda: numlstm.LSTMClassifier(8, 2), r"^LSTMClassifier\(\) takes hidden_size by place"),
        (
            lambda: Bare(8, 2),
            r"^Bare\(\) takes hidden_size by.*num_layers=.*received 2",
        ),
        (
            lambda: numlstm.LSTMRegressor(8, hidden_size=8),
            r"^LSTMRegressor\(\).*hidden_size twice",
        ),
        (
            lambda: numlstm.fit(*batch(), 32),
            r"^fit\(\) takes X, y by place.*hidden_size=",
        ),
        (lambda: numlstm.fit(*batch(), X=1), r"^fit\(\) received X twice, by place and by name"),
        (lambda: numlstm.LSTM(1, 2, 3, 4), r"^LSTM\(\) takes input_size, hidden_size, ou"),
        (
            lambda: Cell(peephol=True),
            r"^Cell\(\) .* 'peephol': did you mean 'peephole'",
        ),
        (lambda: Cell(clip=3), r"^Cell\(\) has no keyword 'clip'"),
    ],
)
def test_calls_that_no_function_understands_name_the_public_one(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_synonyms_are_of_keywords_and_no_keywords_themselves():
    known = {name for function in FACE for name in defaults(function)}
    for first, *others in SYNONYMS:
        assert first in known
        assert not set(others) & (known - {"random_state"})


# --- nouns ----------------------------------------------------------------------------------------


def test_a_dict_and_a_noun_are_the_same():
    X, y = batch()
    options = {"hidden_size": 3, "epochs": 2, "rng": 0}
    given = {
        "cell": {"cell_clip": 1.0},
        "init": {"forget_bias": 2.0},
        "limits": {"fixed": "bias_l0"},
    }
    dicts = numlstm.fit(X, y, **options, **given)
    same = numlstm.fit(
        X, y, **options, **{name: NOUNS[name](**value) for name, value in given.items()}
    )
    assert dicts.x.tobytes() == same.x.tobytes()
    assert dicts.model.cell == Cell(cell_clip=1.0)
    np.testing.assert_array_equal(dicts.model.params["bias_l0"][3:6], 2.0)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"cell": "lstm"}, TypeError, r"cell must be a dict with some of \['forget_gate', "),
        (
            {"cell": {"peepholes": 1}},
            ValueError,
            "cell has no 'peepholes': did you mean 'peephole'",
        ),
        (
            {"init": "uniform"},
            TypeError,
            r"init must be a dict with some of \['weights', 'forget_b",
        ),
        ({"init": "uniform"}, TypeError, r"pass init=\{'weights': 'uniform'\}"),
        ({"cell": "peephole"}, TypeError, r"pass cell=\{'peephole': \.\.\.\}"),
        ({"cell": Cell}, TypeError, r"or None, or Cell\(\.\.\.\); received <class"),
        ({"cell": {"layer_norm_epsilon": 1e-3}}, ValueError, "no effect without layer_norm"),
        ({"network": {"residual": True}}, TypeError, "pass its entries, residual, as keywords of"),
        ({"init": {"weights": "normal"}}, ValueError, r"weights must be one of \['orthogonal', "),
        ({"init": {"forget_bias": "big"}}, TypeError, "forget_bias must be a number"),
    ],
)
def test_a_noun_that_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        numlstm.LSTM(2, 3, **options)
    with pytest.raises(error, match=words):
        numlstm.fit(*batch(), **options)


def test_fit_draws_uniform_weights_too():
    weights = {"weights": "uniform"}
    result = numlstm.fit(
        *batch(), hidden_size=4, epochs=1, learning_rate=1e-30, init=weights, rng=0
    )
    assert 0.4 < np.abs(result.x[: 4 * 4 * 6]).max() <= 0.5
    with pytest.raises(
        ValueError, match=r"init=\{'weights': 'uniform'\} does not go with the model"
    ):
        numlstm.fit(*batch(), model=result.model, init=weights)


@pytest.mark.parametrize("method", ["adam", "L-BFGS-B"])
def test_a_warm_start_may_say_again_what_the_model_is(method):
    X, y = batch()
    asked = {"hidden_size": 4, "num_layers": 2, "cell": {"layer_norm": True}, "dtype": "float64"}
    model = numlstm.LSTM(2, output_size=1, dropout=0.2, rng=0, **asked)
    again = numlstm.fit(X, y, model=model, method=method, epochs=2, rng=0, **asked)
    short = numlstm.fit(X, y, model=model, method=method, epochs=2, rng=0)
    assert again.x.tobytes() == short.x.tobytes()
    assert again.model.spec == model.spec
    with pytest.raises(ValueError, match=r"cell=\{'layer_norm': True\} does not go with the model"):
        numlstm.fit(X, y, model=numlstm.LSTM(2, 4, 1), cell={"layer_norm": True})
    with pytest.raises(ValueError, match="backend='cpu' does not go with the model given"):
        numlstm.fit(X, y, model=numlstm.LSTM(2, 4, 1, backend="reference"), backend="cpu")


def test_what_scipys_methods_do_not_use_is_known_by_the_fields(tmp_path):
    options = {
        "learning_rate": 0.1, "schedule": "step", "clip": 2.0, "batch_size": 3, "resume": True,
        "dropout": {"states": 0.1}, "checkpoint": tmp_path / "run",
    }  # fmt: skip
    with pytest.warns(OptimizeWarning) as caught:
        numlstm.fit(*batch(), hidden_size=3, epochs=1, method="CG", **options)
    said = [str(warning.message) for warning in caught]
    assert said == [f"Method CG does not use {name}." for name in sorted(options)]
    assert {warning.filename for warning in caught} == {__file__}
    series = np.sin(np.arange(60) / 4)
    options = {"stateful": True, "batch_size": 3, "bptt_steps": 5}
    numlstm.fit(series, hidden_size=3, epochs=1, method="CG", **options)  # streams are batches


@pytest.mark.parametrize("name", INSTEAD)
def test_what_there_is_no_keyword_for_is_answered(name):
    assert name not in inspect.signature(numlstm.fit).parameters
    for function in (numlstm.fit, numlstm.ensemble):
        with pytest.raises(TypeError) as error:
            function(np.zeros(9), **{name: 3})
        assert str(error.value).endswith(INSTEAD[name])


@pytest.mark.parametrize("name", ["window", "stride", "predict_last", "shuffle"])
def test_windows_are_refused_where_there_are_none(name):
    with pytest.raises(TypeError, match="call fit for each member") as error:
        numlstm.ensemble(np.zeros(9), **{name: 3})
    assert str(error.value).endswith(IN_ENSEMBLES[name])
    with pytest.raises(TypeError, match="no class to predict") as error:
        numlstm.LSTMClassifier(**{name: 3})
    assert str(error.value).endswith(OF_CLASSES[name])
