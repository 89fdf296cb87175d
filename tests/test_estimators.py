"""The estimators in scikit-learn's hands: its own checks, and what sequences add to them."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from numlstm import Cell, LSTMClassifier, LSTMRegressor
from numlstm.architecture.parameters import Init
from numlstm.utils import nouns

# checks of scikit-learn that cannot hold, and why
BATCHES = (
    "a weight of 2 is not a row twice: rows are shuffled into batches, and the standardisation of "
    "the inputs counts every row once"
)
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": BATCHES,
}


@parametrize_with_checks(
    [
        LSTMRegressor(4, epochs=30, learning_rate=0.05, random_state=0),
        LSTMClassifier(4, epochs=30, learning_rate=0.05, random_state=0),
    ],
    expected_failed_checks=lambda estimator: EXPECTED,
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
    with pytest.raises(ValueError, match="Invalid parameter 'units'"):
        quick().set_params(units=3)
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
    with pytest.raises(ValueError, match="contains NaN"):
        quick().fit(X, y)
    assert quick(missing="mask").fit(X, y).score(X, y) > 0.8


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


def test_what_is_refused():
    X, y = data()
    model = quick(epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but LSTMRegressor is expecting 2"):
        model.predict(np.zeros((4, 6, 3)))
    with pytest.raises(ValueError, match="loss must be one of"):
        quick(loss="cross_entropy").fit(X, y)
    with pytest.raises(ValueError, match=r"one of \['cross_entropy'\], received 'mse'"):
        LSTMClassifier(4, loss="mse").fit(X, y > 0)
    with pytest.raises(ValueError, match="output must be one of"):
        quick(output="all").fit(X, y)
    with pytest.raises(ValueError, match="hidden_size must be an integer"):
        LSTMRegressor(0).fit(X, y)
