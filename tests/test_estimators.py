"""The estimators in scikit-learn's hands: its own checks, and what sequences add to them."""

import copy
import pickle
import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.optimize import OptimizeWarning
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers.processes import run_python
from numlstm import Cell, LSTMClassifier, LSTMRegressor
from numlstm.architecture.parameters import Init
from numlstm.utils import nouns

CHECKED = {"hidden_size": 4, "epochs": 30, "learning_rate": 0.05, "random_state": 0}
# checks of scikit-learn that cannot hold, and why
ROUNDING = "a weight of 2 is a row twice but for rounding, and the check wants seven digits"
EXPECTED = {
    "float32": {"check_sample_weight_equivalence_on_dense_data": ROUNDING},
    "float64": {},
}


@parametrize_with_checks(
    [
        kind(dtype=dtype, **CHECKED)
        for kind in (LSTMRegressor, LSTMClassifier)
        for dtype in EXPECTED
    ],
    expected_failed_checks=lambda estimator: EXPECTED[estimator.dtype],
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def data(B=40, T=6, seed=0):
    X = np.random.default_rng(seed).standard_normal((B, T, 2))
    return X, X[:, -1, 0] + 0.5 * X[:, -2, 0]


def quick(kind=LSTMRegressor, **options):
    return kind(6, **{"epochs": 40, "learning_rate": 0.03, "random_state": 0, **options})


def test_sequences_of_every_form():
    X, y = data()
    model = quick().fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.predict(X).shape == (40,)
    assert model.n_features_in_ == 2
    assert model.n_iter_ == 40
    listed = quick().fit(list(X), y)
    np.testing.assert_array_equal(listed.predict(list(X)), model.predict(X))
    both = quick().fit(X, np.stack([y, -y], axis=1))
    assert both.predict(X).shape == (40, 2)
    assert both.score(X, np.stack([y, -y], axis=1)) > 0.9
    ragged = [row[: 2 + i % 4] for i, row in enumerate(X)]
    ends = np.array([row[-1, 0] for row in ragged])
    assert quick().fit(ragged, ends).score(ragged, ends) > 0.9
    series = X[..., 0]
    assert quick().fit(series, y).score(series, y) > 0.8


def test_targets_per_step():
    X, _ = data()
    y = 0.5 * X[..., 0]
    y[:, 1:] += X[:, :-1, 0]
    model = quick(output="sequence").fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.9
    assert model.score(X, y, sample_weight=np.ones(40)) == pytest.approx(model.score(X, y))
    ragged, targets = [row[:4] for row in X], [row[:4] for row in y]
    listed = quick(output="sequence").fit(ragged, targets)
    assert [part.shape for part in listed.predict(ragged)] == [(4,)] * 40
    assert listed.score(ragged, targets) > 0.9


def test_classes_of_any_name():
    X, y = data()
    labels = np.array(["down", "flat", "up"])[np.digitize(y, [-0.5, 0.5])]
    model = quick(LSTMClassifier, epochs=80).fit(X, labels)
    assert model.classes_.tolist() == ["down", "flat", "up"]
    assert model.score(X, labels) > 0.85
    probability = model.predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(model.predict(X), model.classes_[probability.argmax(axis=1)])
    steps = np.where(X[..., 0] > 0, "on", "off")
    per_step = quick(LSTMClassifier, output="sequence").fit(X, steps)
    assert per_step.predict(X).shape == steps.shape
    assert per_step.predict_proba(X).shape == (40, 6, 2)
    assert per_step.score(X, steps) > 0.9
    ragged, marks = [row[:3] for row in X], [row[:3] for row in steps]
    listed = quick(LSTMClassifier, output="sequence").fit(ragged, marks)
    assert listed.score(ragged, marks) > 0.9


def test_in_scikit_learns_machinery():
    X, y = data(30)
    scores = cross_val_score(quick(epochs=20), X, y, cv=3)
    assert scores.shape == (3,)
    assert np.isfinite(cross_val_score(quick(epochs=20), list(X), y, cv=3)).all()
    search = GridSearchCV(quick(epochs=5), {"hidden_size": [2, 6], "weight_decay": [0.0]}, cv=2)
    search.fit(X, y)
    assert search.best_params_["hidden_size"] in (2, 6)
    pipeline = make_pipeline(FunctionTransformer(np.tanh), quick(epochs=20))
    assert pipeline.fit(X, y).predict(X).shape == (30,)
    copied = clone(quick(bidirectional=True))
    assert copied.get_params()["bidirectional"]
    assert "bidirectional" in repr(copied.fit(X, y).model_)
    again = pickle.loads(pickle.dumps(copied))
    np.testing.assert_array_equal(again.predict(X), copied.predict(X))


@pytest.mark.parametrize("cell", [None, {"layer_norm": True}, Cell(layer_norm=True)])
def test_parameters_within_a_noun(cell):
    given = quick(cell=cell, init={"forget_bias": 2})
    layer_norm = cell is not None
    inner = {key: value for key, value in given.get_params().items() if "__" in key}
    assert inner["cell__peephole"] is False
    assert inner["cell__layer_norm"] is layer_norm
    assert inner["init__forget_bias"] == 2
    assert inner["limits__fixed"] == ()
    assert set(given.get_params(deep=False)) == set(given.get_params()) - set(inner)
    before = copy.deepcopy(cell)
    changed = clone(given).set_params(
        cell__peephole=True, cell__cell_clip=3.0, init__forget_bias=None, init__chrono=20
    )
    assert given.cell is cell
    assert cell == before
    assert nouns.read(Cell, "cell", changed.cell) == Cell(
        peephole=True, layer_norm=layer_norm, cell_clip=3.0
    )
    assert nouns.read(Init, "init", changed.init) == Init(chrono=20.0)
    assert changed.set_params(cell=None, cell__peephole=True).cell == {"peephole": True}
    again = clone(changed)
    assert again.get_params() == changed.get_params()
    X, y = data()
    assert again.set_params(epochs=1).fit(X, y).model_.cell == Cell(peephole=True)


def test_no_bar_is_shown_on_a_terminal(monkeypatch, capsys):
    """A search makes many fits."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    quick(epochs=2).fit(*data())
    assert capsys.readouterr() == ("", "")


def test_a_search_reaches_into_a_noun():
    X, y = data(30)
    search = GridSearchCV(quick(epochs=3), {"cell__peephole": [False, True]}, cv=2).fit(X, y)
    assert search.best_estimator_.model_.cell.peephole is search.best_params_["cell__peephole"]


def test_unknown_parameters():
    with pytest.raises(TypeError, match="has no keyword 'seed': did you mean 'random_state'"):
        LSTMRegressor(seed=0)
    with pytest.raises(
        TypeError, match=r"LSTMClassifier\(\) has no keyword 'peephole': pass cell="
    ):
        LSTMClassifier(peephole=True)
    for given, meant in (
        ("units", "did you mean 'hidden_size'"), ("lr", "did you mean 'learning_rate'"),
        ("peephole", r"pass cell=\{'peephole': 3\}"), ("epoch", "did you mean 'epochs'"),
    ):  # fmt: skip
        words = rf"Invalid parameter '{given}' for estimator LSTMRegressor: {meant}.* Valid par"
        with pytest.raises(ValueError, match=words):
            quick().set_params(**{given: 3})
    with pytest.raises(ValueError, match="'cell__peepholes' for LSTMRegressor: did you mean 'peep"):
        quick().set_params(cell__peepholes=True)
    X, y = data(4)
    with pytest.raises(ValueError, match="cell has no 'peepholes': did you mean 'peephole'"):
        quick(cell={"peepholes": True}).fit(X, y)


def test_the_seed_decides():
    X, y = data()
    one = quick().fit(X, y)
    np.testing.assert_array_equal(one.predict(X), quick().fit(X, y).predict(X))
    other = quick(random_state=np.random.RandomState(1)).fit(X, y)
    assert not np.array_equal(one.predict(X), other.predict(X))


def test_missing_inputs_where_they_are_filled():
    X, y = data()
    X[::3, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"X has 14 NaN.* missing='mask'"):
        quick().fit(X, y)
    assert quick(missing="mask").fit(X, y).score(X, y) > 0.8


def test_infinite_inputs_are_called_so():
    X, y = data()
    X[3, 2, 1] = np.inf
    for series in (X, X[..., 1], list(X)):
        for kind in (LSTMRegressor, LSTMClassifier):
            with pytest.raises(ValueError, match=r"inf: replace it by a number$") as caught:
                quick(kind).fit(series, y > 0)
            assert "mask" not in str(caught.value)
    with pytest.raises(ValueError, match=r"NaN: .*missing='mask'"):
        quick(epochs=1).fit(X[:3], y[:3]).predict(X[:3] * np.nan)


def test_missing_targets_are_left_out_of_fit_and_score():
    X, y = data()
    lacking = y.copy()
    lacking[::4] = np.nan
    with pytest.raises(ValueError, match=r"y has 10 NaN .*pass nan_policy='omit'"):
        quick().fit(X, lacking)
    there = ~np.isnan(lacking)
    plain = {"standardize": False}
    model = quick(nan_policy="omit", **plain).fit(X, lacking)
    weighted = quick(**plain).fit(X, y, sample_weight=there)
    np.testing.assert_array_equal(model.predict(X), weighted.predict(X))
    # inputs without a target are standardised by, too; those without a weight are not there
    model, weighted = quick(nan_policy="omit").fit(X, lacking), quick().fit(X, y, there)
    for fitted, counted in ((model, X), (weighted, X[there])):
        scaling = fitted.model_.scaling
        np.testing.assert_allclose(scaling.x_mean, counted.mean(axis=(0, 1)), rtol=1e-12)
        np.testing.assert_allclose(scaling.x_scale, counted.std(axis=(0, 1)), rtol=1e-12)
        np.testing.assert_allclose(scaling.y_mean, y[there].mean(), rtol=1e-12)
        np.testing.assert_allclose(scaling.y_scale, y[there].std(), rtol=1e-12)
    assert model.score(X, lacking) == pytest.approx(r2_score(y[there], model.predict(X)[there]))
    both = np.stack([lacking, -y], axis=1)
    model = quick(nan_policy="omit").fit(X, both)
    given, weight = model.predict(X), np.arange(40.0)
    parts = (
        r2_score(y[there], given[there, 0], sample_weight=weight[there]),
        r2_score(-y, given[:, 1], sample_weight=weight),
    )
    assert model.score(X, both, weight) == pytest.approx(np.mean(parts))


@pytest.mark.parametrize("kind", [float, object, str])
def test_missing_labels(kind):
    X, y = data()
    labels = (y > 0).astype(int).astype(kind).astype(object)
    labels[::4] = np.nan if kind is float else None
    labels = labels.astype(float) if kind is float else labels
    with pytest.raises(ValueError, match=r"y has 10 NaN or None.*nan_policy='omit'"):
        quick(LSTMClassifier).fit(X, labels)
    model = quick(LSTMClassifier, nan_policy="omit").fit(X, labels)
    assert len(model.classes_) == 2
    there = np.arange(40) % 4 > 0
    right = model.predict(X)[there] == labels[there]
    assert model.score(X, labels) == right.mean() > 0.8
    steps = [row[: 2 + i % 3] for i, row in enumerate(X)]
    marks = [np.where(row[:, 0] > 0, 1.0, 0.0) for row in steps]
    marks[0][0] = np.nan
    per_step = quick(LSTMClassifier, output="sequence", nan_policy="omit").fit(steps, marks)
    assert per_step.classes_.tolist() == [0.0, 1.0]
    assert per_step.score(steps, marks) > 0.9


def test_a_label_that_others_ignore_is_pointed_out():
    X, y = data()
    labels = np.where(y > 0, 1, 0)
    labels[::4] = -100
    with pytest.warns(UserWarning, match=r"-100 is a label.*nan_policy='omit'") as caught:
        model = quick(LSTMClassifier, epochs=1).fit(X, labels)
    assert caught[0].filename == __file__
    assert model.classes_.tolist() == [-100, 0, 1]


# --- weights --------------------------------------------------------------------------------------


def ragged_steps():
    X, _ = data()
    X = [row[: 2 + i % 4] for i, row in enumerate(X)]
    return X, [row[:, 0] + 0.1 * row[:, 1] for row in X]


def test_ragged_weights_and_labels_per_step():
    X, y = ragged_steps()
    weight = [np.where(np.arange(len(row)) > 0, 1.0, 0.0) for row in X]
    lacking = [np.where(w > 0, part, np.nan) for w, part in zip(weight, y, strict=True)]
    options = {"output": "sequence", "standardize": False}  # the mean target counts what is there
    model = quick(**options).fit(X, y, sample_weight=weight)
    other = quick(nan_policy="omit", **options).fit(X, lacking)
    for have, want in zip(model.predict(X), other.predict(X), strict=True):
        np.testing.assert_array_equal(have, want)
    assert model.score(X, y, weight) == pytest.approx(other.score(X, lacking))
    as_lists = quick(**options).fit(X, [p.tolist() for p in y], [w.tolist() for w in weight])
    np.testing.assert_array_equal(as_lists.predict(X)[3], model.predict(X)[3])
    objects = np.empty(len(y), object)
    objects[:] = y
    as_objects = quick(**options).fit(X, objects, sample_weight=weight)
    np.testing.assert_array_equal(as_objects.predict(X)[3], model.predict(X)[3])
    labels = [np.where(part > 0, "on", "off").tolist() for part in y]
    classifier = quick(LSTMClassifier, output="sequence").fit(X, labels, weight)
    assert classifier.score(X, labels, weight) > 0.9


def test_score_takes_weights_of_steps_and_of_sequences():
    X, _ = data()
    y = X[..., 0] + 0.3 * X[..., 1]
    rng = np.random.default_rng(0)
    each, rows = rng.uniform(0, 1, y.shape), rng.uniform(0, 1, len(y))
    model = quick(output="sequence", epochs=3).fit(X, y, sample_weight=each)
    expected = r2_score(y.ravel(), model.predict(X).ravel(), sample_weight=each.ravel())
    assert model.score(X, y, each) == pytest.approx(expected)
    assert model.score(X, y, list(each)) == pytest.approx(expected)
    by_row = r2_score(y.ravel(), model.predict(X).ravel(), sample_weight=np.repeat(rows, 6))
    assert model.score(X, y, rows) == pytest.approx(by_row)
    labels = y > 0
    classifier = quick(LSTMClassifier, output="sequence", epochs=3).fit(X, labels)
    right = (classifier.predict(X) == labels).astype(float)
    assert classifier.score(X, labels, each) == pytest.approx(np.average(right, weights=each))
    for wrong in (each[:, :3], each[:3], each.ravel(), [1.0]):
        with pytest.raises(ValueError, match=r"one weight per sequence, .* for the 40 sequences"):
            model.score(X, y, wrong)


def test_weights_of_classes():
    X, y = data()
    labels = np.where(y > 0.8, "high", "low")
    counts = {name: np.sum(labels == name) for name in ("high", "low")}
    balanced = {name: 40 / (2 * count) for name, count in counts.items()}
    own = np.linspace(0.5, 1, 40)
    of_class = np.array([balanced[name] for name in labels])
    for class_weight in ("balanced", balanced):
        model = quick(LSTMClassifier, class_weight=class_weight).fit(X, labels, own)
        plain = quick(LSTMClassifier).fit(X, labels, own * of_class)
        np.testing.assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.get_params()["class_weight"] is balanced
    alone = quick(LSTMClassifier, class_weight={"high": 9.0}, epochs=5).fit(X, labels)
    nine = quick(LSTMClassifier, epochs=5).fit(X, labels, np.where(labels == "high", 9.0, 1.0))
    np.testing.assert_array_equal(alone.predict_proba(X), nine.predict_proba(X))
    steps = [np.where(row[:, 0] > 1, 1, 0) for row in X[:, :4]]
    share = np.mean(np.concatenate(steps))
    weight = [np.where(part, 0.5 / share, 0.5 / (1 - share)) for part in steps]
    listed = quick(LSTMClassifier, output="sequence", class_weight="balanced", epochs=5)
    same = quick(LSTMClassifier, output="sequence", epochs=5)
    X = list(X[:, :4])
    np.testing.assert_array_equal(
        listed.fit(X, steps).predict_proba(X)[0], same.fit(X, steps, weight).predict_proba(X)[0]
    )
    for wrong, words in (
        ({"hihg": 2}, "class_weight has .*, which is no label of y"),
        ({"high": -1}, "class_weight.* must be >= 0"),
        ("balance", "class_weight"),
    ):
        with pytest.raises(ValueError, match=words):
            quick(LSTMClassifier, class_weight=wrong).fit(data()[0], labels)


def test_logarithms_of_probabilities():
    X, y = data()
    model = quick(LSTMClassifier).fit(X, y > 0)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)))
    model.model_.params["head_bias"] = [0.0, 2000.0]  # where a probability is 0 in floats
    log = model.predict_log_proba(X)
    np.testing.assert_allclose(log[:, 0], -2000, rtol=0.02)
    assert np.isfinite(log).all()
    steps = quick(LSTMClassifier, output="sequence", epochs=1).fit(list(X), list(X[..., 0] > 0))
    assert [part.shape for part in steps.predict_log_proba(list(X))] == [(6, 2)] * 40


def test_the_loss_is_the_classs_own_unless_it_is_named():
    X, y = data()
    for kind, loss, targets in (
        (LSTMRegressor, "mse", y),
        (LSTMClassifier, "cross_entropy", y > 0),
    ):
        own, named = (kind(4, epochs=2, random_state=0, loss=name) for name in (None, loss))
        own, named = own.fit(X, targets), named.fit(X, targets)
        assert own.result_.loss == loss
        assert own.model_.theta.tobytes() == named.model_.theta.tobytes()


class Small(LSTMRegressor):
    """With a narrower constructor, as subclasses of scikit-learn's estimators have."""

    def __init__(self, *, hidden_size=4, random_state=None):
        super().__init__(hidden_size, epochs=1, random_state=random_state)


def test_a_subclass_may_have_fewer_parameters():
    X, y = data()
    assert Small().get_params() == {"hidden_size": 4, "random_state": None}
    search = GridSearchCV(Small(random_state=0), {"hidden_size": [2, 3]}, cv=2).fit(X, y)
    assert search.best_estimator_.n_iter_ == 1


def test_parameters_are_set_all_or_none():
    regressor = LSTMRegressor(cell=Cell())
    with pytest.raises(TypeError, match="peephole must be True or False"):
        regressor.set_params(hidden_size=99, cell__peephole=3)
    assert regressor.hidden_size == 32


def test_what_is_refused():
    X, y = data()
    model = quick(epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but LSTMRegressor is expecting 2"):
        model.predict(np.zeros((4, 6, 3)))
    with pytest.raises(ValueError, match="loss must be one of"):
        quick(loss="cross_entropy").fit(X, y)
    with pytest.raises(ValueError, match=r"one of \['cross_entropy'\], received 'mse'"):
        LSTMClassifier(4, loss="mse").fit(X, y > 0)
    with pytest.raises(ValueError, match=r"\[series\[:, None\] for series in X\]"):
        model.fit([row[: 2 + i % 3, 0] for i, row in enumerate(X)], y)
    with pytest.raises(ValueError, match="output must be one of"):
        quick(output="all").fit(X, y)
    with pytest.raises(ValueError, match="hidden_size must be an integer"):
        LSTMRegressor(0).fit(X, y)


# --- data to judge by -----------------------------------------------------------------------------

NAMES = {"text": np.array(["high", "low", "mid"]), "from 5 on": np.arange(5, 8), "bool": None}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("form", ["pair", "triple", "mapping", "rows"])
def test_validation_labels_are_those_of_the_classes(kind, form):
    X, y = data()
    numbers = (y > 0).astype(int) + (y > 1)
    labels = y > 0 if kind == "bool" else NAMES[kind][numbers]
    given, weight = (X[::-1], labels[::-1]), np.linspace(0, 1, 40)
    if form == "triple":
        given += (weight,)
    if form == "mapping":
        given = {"X": given[0], "y": given[1], "sample_weight": weight}
    if form == "rows":
        X, given = X[..., 0], (X[::-1, :, 0], labels[::-1])
    model = quick(LSTMClassifier, epochs=3, validation=given, dtype="float64").fit(X, labels)
    log = np.log(model.predict_proba(X))[::-1]
    place = np.searchsorted(model.classes_, labels[::-1])
    weights = weight if form in ("triple", "mapping") else None
    expected = -np.average(log[np.arange(40), place], weights=weights)
    assert model.result_.history["validation_loss"].min() == pytest.approx(expected, rel=1e-9)
    assert model.model_.spec.output_size == len(model.classes_)


def test_a_validation_label_that_is_new_is_refused():
    X, y = data()
    labels = np.where(y > 0, "on", "off")
    new = np.where(y > 1, "more", labels)
    for given in ((X, new), {"X": X, "y": new}, (X, new, np.ones(40))):
        with pytest.raises(ValueError, match=r"validation: y has the label .*more.*has not"):
            quick(LSTMClassifier, validation=given).fit(X, labels)


def test_validation_data_of_a_regressor_are_read_as_its_own():
    X, y = data()
    rows, steps = X[..., 0], [row[: 2 + i % 3] for i, row in enumerate(X)]
    one = quick(epochs=3, validation=(rows, y)).fit(rows, y)
    other = quick(epochs=3, validation=(rows[..., None], y)).fit(rows[..., None], y)
    np.testing.assert_array_equal(one.predict(rows), other.predict(rows[..., None]))
    error = (one.predict(rows) - y) / one.model_.scaling.y_scale
    assert one.result_.history["validation_loss"].min() == pytest.approx(np.mean(error**2), 1e-5)
    parts = [row[:, 0] for row in steps]
    model = quick(output="sequence", epochs=3, validation=(steps, parts)).fit(steps, parts)
    errors = np.concatenate(model.predict(steps)) - np.concatenate(parts)
    expected = np.mean((errors / model.model_.scaling.y_scale) ** 2)
    assert model.result_.history["validation_loss"].min() == pytest.approx(expected, 1e-5)


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
@pytest.mark.parametrize("output", ["seq", None, 3])
def test_an_output_that_there_is_not(kind, output):
    X, y = data()
    with pytest.raises(ValueError, match=r"output must be one of \['last', 'sequence'\], received"):
        quick(kind, output=output).fit(X, (y > 0).astype(int))


def test_warnings_point_at_the_line_that_fits():
    X, y = data()
    for kind in (LSTMRegressor, LSTMClassifier):
        with pytest.warns(OptimizeWarning, match="num_layers=1 it does nothing") as caught:
            quick(kind, dropout=0.2, epochs=1).fit(X, (y > 0).astype(int))
        assert [warning.filename for warning in caught] == [__file__]


ROWS, SUM = data()[0][..., 0], data()[0][..., 0].sum(axis=1)
FRAME = pd.DataFrame(ROWS, columns=list("abcdef"))
DAYS = pd.date_range("2001", periods=len(FRAME))
LIBRARIES = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "pyarrow": pa.table}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("column", "words"),
    [
        (DAYS, "X has a column of dates, 'day'"),
        (DAYS.tz_localize("Europe/Berlin"), "X has a column of dates, 'day'"),
        (DAYS.date, "column 'day' has the type|column of dates, 'day'"),
        (DAYS - DAYS[0], "column 'day' has the type Duration"),
        ([str(i) for i in range(len(DAYS))], "column 'day' has the type String"),
        (pd.Categorical(["x", "y"] * 20), "column 'day' has the type"),
    ],
    ids=["dates", "dates in a zone", "days", "durations", "texts", "categories"],
)
def test_columns_of_frames_are_numbers(library, column, words):
    make = LIBRARIES[library]
    wrong, right = make(FRAME.assign(day=column)), make(FRAME)
    model = quick().fit(right, SUM)
    np.testing.assert_array_equal(model.predict(right), quick().fit(ROWS, SUM).predict(ROWS))
    for call in (
        lambda: quick().fit(wrong, SUM),
        lambda: quick(LSTMClassifier).fit(wrong, SUM > 0),
        lambda: quick(validation=(wrong, SUM)).fit(right, SUM),
        lambda: model.predict(wrong),
        lambda: model.score(wrong, SUM),
    ):
        with pytest.raises(TypeError, match=words):
            call()


@pytest.mark.parametrize("library", LIBRARIES)
def test_dates_beside_samples_are_no_numbers(library):
    make = LIBRARIES[library]
    y = make(pd.DataFrame({"day": DAYS, "sum": SUM}))
    model = quick().fit(FRAME, SUM)
    for call in (
        lambda: quick().fit(FRAME, y),
        lambda: model.score(FRAME, y),
        lambda: quick(LSTMClassifier).fit(FRAME, y),
    ):
        with pytest.raises(TypeError, match="y has a column of dates, 'day'"):
            call()
    with pytest.raises(TypeError, match="sample_weight has a column of dates, 'day'"):
        quick().fit(FRAME, SUM, y)
    with pytest.raises(TypeError, match="y must hold real numbers"):
        quick().fit(FRAME, pd.Series([str(i) for i in range(len(DAYS))]))


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
@pytest.mark.parametrize("nested", [False, True])
def test_masks_are_refused_by_every_method(kind, nested):
    X, y = data()
    y = np.arange(40) % 2 if kind is LSTMClassifier else y
    estimator = kind(hidden_size=2, epochs=1, random_state=0).fit(X, y)

    def masked(array):
        array = np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) == 3)
        return list(array) if nested else array

    for method in (estimator.fit, estimator.score):
        with pytest.raises(TypeError, match=r"X (is a|has) masked"):
            method(masked(X), y)
        with pytest.raises(TypeError, match=r"y (is a|has) masked"):
            method(X, masked(y))
        with pytest.raises(TypeError, match=r"sample_weight .*masked.* fill.*0"):
            method(X, y, sample_weight=masked(np.ones(40)))
    with pytest.raises(TypeError, match=r"X (is a|has) masked"):
        estimator.predict(masked(X))
    judged = kind(hidden_size=2, epochs=1, validation=(X, masked(y)))
    with pytest.raises(TypeError, match=r"y (is a|has) masked"):
        judged.fit(X, y)


NO_SCIKIT_LEARN = "sys.modules['sklearn'] = None"
OLD_SCIKIT_LEARN = "import sklearn.utils.validation as old; del old.validate_data"


@pytest.mark.parametrize("name", ["LSTMRegressor", "LSTMClassifier"])
@pytest.mark.parametrize("door", ["numlstm.{}(8)", "from numlstm import {}"])
@pytest.mark.parametrize("lack", [NO_SCIKIT_LEARN, OLD_SCIKIT_LEARN])
def test_without_scikit_learn_the_way_to_it_is_said(name, door, lack):
    done = run_python("-c", f"import sys, numlstm; {lack}; {door.format(name)}")
    assert f"ImportError: numlstm.{name} needs scikit-learn: " in done.stderr
    assert 'python -m pip install "numlstm[sklearn]"' in done.stderr


def test_what_scikit_learn_lacks_is_not_said_to_be_scikit_learn():
    code = "import sys, numlstm; sys.modules['joblib'] = None; numlstm.LSTMRegressor"
    assert "ModuleNotFoundError: import of joblib" in run_python("-c", code).stderr


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame, np.ndarray.tolist])
def test_one_sequence_is_said_by_its_own_shape(kind, form):
    X, y = data()
    estimator = quick(kind, epochs=1).fit(X, y > 0)
    one = form(X[0])
    for door in (estimator.predict, lambda X: estimator.score(X, y[:6] > 0)):
        with pytest.raises(ValueError, match=r"^X of shape \(6, 2\) has two") as caught:
            door(one)
        assert "transpose" not in str(caught.value)
        ways = re.search(r"pass (.*) if it is one sequence of 6 steps", str(caught.value)).group(1)
        for way in ways.split(" or "):
            made = eval(way, {"X": one})
            np.testing.assert_array_equal(estimator.predict(made), estimator.predict(X[:1]))


def test_one_sequence_to_judge_by_is_said_by_its_own_shape():
    X, y = data()
    with pytest.raises(ValueError, match=r"X of shape \(6, 2\) .* pass \[X\] or X\[None\]"):
        quick(validation=(X[0], y[:6])).fit(X, y)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist])
def test_a_vector_is_said_by_its_shape(table, form):
    X, y = data()
    X = X[..., 0] if table else X[..., :1]
    estimator, one = quick(epochs=1).fit(X, y), form(X[0].ravel())
    for door in (estimator.predict, lambda X: quick(epochs=1).fit(X, y[:1])):
        with pytest.raises(ValueError, match=r"X of shape \(6,\). Reshape your data") as caught:
            door(one)
        made = eval(re.search("pass (.*) if", str(caught.value)).group(1), {"X": one, "np": np})
        assert door(made) is not None
    np.testing.assert_array_equal(estimator.fit(X, y).predict(X[:1]).shape, (1,))


def drawn(*shape):
    return np.random.default_rng(shape).standard_normal(shape)


def pass_by_pass(estimator, X, y, count, **first):
    for number in range(count):
        estimator.partial_fit(X, y, **(first if number == 0 else {}))
    return estimator


FULL = {"hidden_size": 4, "batch_size": 100, "random_state": 0}  # in which nothing is drawn


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
@pytest.mark.parametrize("standardize", [True, False])
def test_passes_one_by_one_are_the_epochs_of_a_fit(kind, standardize):
    X, y = drawn(30, 6, 2), drawn(30, 6, 2)[:, -1, 0]
    first = {}
    if kind is LSTMClassifier:
        y = np.where(y > 0, "up", "down")
        first = {"classes": ["up", "down"]}
    options = FULL | {"standardize": standardize}
    whole = kind(epochs=5, **options).fit(X, y)
    parts = pass_by_pass(kind(epochs=77, **options), X, y, 5, **first)
    np.testing.assert_array_equal(parts.result_.x, whole.result_.x)
    np.testing.assert_array_equal(parts.predict(X), whole.predict(X))
    assert parts.n_iter_ == whole.n_iter_ == 5
    assert parts.model_ is parts.result_.model
    assert set(vars(parts)) == set(vars(whole))
    # and after a fit it goes on
    six = kind(epochs=6, **options).fit(X, y).result_.x
    np.testing.assert_array_equal(whole.partial_fit(X, y).result_.x, six)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(parts)).partial_fit(X, y).result_.x, six
    )
    assert whole.n_iter_ == 6


def test_scaling_and_names_are_those_of_the_first_pass():
    X = drawn(30, 6)
    frame, y = pd.DataFrame(X, columns=[f"lag {n}" for n in range(6)]), X.sum(axis=1)
    regressor = LSTMRegressor(**FULL).partial_fit(frame, y)
    scaling = regressor.model_.scaling
    regressor.partial_fit(3 + 2 * frame, 4 * y)
    np.testing.assert_equal(regressor.model_.scaling, scaling)
    assert list(regressor.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        regressor.partial_fit(frame[frame.columns[::-1]], y)
    with pytest.raises(ValueError, match="has 5 features"):
        LSTMRegressor(**FULL).partial_fit(X, y).partial_fit(X[:, :5], y)
    fresh = clone(regressor)
    assert not hasattr(fresh, "result_")
    assert fresh.fit(frame, y).n_iter_ == 100


def test_every_pass_has_an_order_and_masks_of_its_own():
    X, y = drawn(30, 6, 1), drawn(30, 6, 1)[:, -1, 0]
    options = {"hidden_size": 4, "num_layers": 2, "dropout": 0.5, "random_state": 3}
    one, two = (pass_by_pass(LSTMRegressor(**options), X, y, 3) for _ in range(2))
    np.testing.assert_array_equal(one.result_.x, two.result_.x)
    seeds = [one._source.randint(2**31 - 1) for _ in range(2)]
    assert seeds[0] != seeds[1]
    losses = [LSTMRegressor(**options).partial_fit(X, y).result_.fun for _ in range(2)]
    assert losses[0] == losses[1]


def test_chunks_need_not_have_all_classes():
    X, y = drawn(60, 6, 1), np.repeat(["a", "b", "c"], 20)
    X += np.repeat([0.0, 2.0, 4.0], 20)[:, None, None]
    classifier = LSTMClassifier(8, random_state=0, learning_rate=0.05)
    rng = np.random.default_rng(0)
    classifier.partial_fit(X, y, classes=["c", "a", "b"])  # which has the scaling
    for _ in range(40):
        rows = rng.permutation(40) + 20 * rng.integers(2)  # a and b, or b and c
        classifier.partial_fit(X[rows], y[rows])
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    assert classifier.predict_proba(X).shape == (60, 3)
    assert classifier.score(X, y) > 0.9
    one_class = LSTMClassifier(4).partial_fit(X[:20], y[:20], classes=["a", "b", "c"])
    assert one_class.predict_proba(X).shape == (60, 3)


def test_weights_of_a_pass():
    X, y = drawn(30, 6, 1), (drawn(30, 6, 1)[:, -1, 0] > 0).astype(int)
    weights = np.where(y == 1, 3.0, 1.0)
    by_class = LSTMClassifier(class_weight={1: 3.0}, **FULL)
    by_sample = LSTMClassifier(**FULL)
    by_class.partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    for _ in range(2):
        by_sample.partial_fit(X, y, classes=[0, 1], sample_weight=weights)
    np.testing.assert_array_equal(by_class.result_.x, by_sample.result_.x)


REFUSED_PASSES = {
    "SciPy": ({"method": "L-BFGS-B"}, "method must be one of"),
    "validation": ({"validation": 0.2}, "and validation is for the epochs of fit"),
    "patience": ({"patience": 3}, "and patience is for the epochs of fit"),
    "tol": ({"tol": 0.1}, "and tol is for the epochs of fit"),
    "schedule": ({"schedule": "cosine"}, "and schedule is for the epochs of fit"),
    "balanced": ({"class_weight": "balanced"}, "'balanced' needs all labels"),
}


@pytest.mark.parametrize("name", REFUSED_PASSES)
def test_what_a_pass_cannot_do(name):
    options, message = REFUSED_PASSES[name]
    X, y = drawn(10, 6, 1), np.arange(10) % 2
    with pytest.raises(ValueError, match=message):
        LSTMClassifier(**options).partial_fit(X, y, classes=[0, 1])
    if "class_weight" not in options:
        with pytest.raises(ValueError, match=message):
            LSTMRegressor(**options).partial_fit(X, y)


def test_classes_are_named_once_and_for_all():
    X, y = drawn(10, 6, 1), np.arange(10) % 2
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        LSTMClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match=r"y has the label 1, which is not in classes, \[0, 2\]"):
        LSTMClassifier().partial_fit(X, y, classes=[0, 2])
    classifier = LSTMClassifier(**FULL).partial_fit(X, y, classes=[1, 0])
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\] is not the same as before, \[0, 1"):
        classifier.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="hidden_size=5 does not go with the model given"):
        classifier.set_params(hidden_size=5).partial_fit(X, y)
