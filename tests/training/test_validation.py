"""What a fit is judged by: its lengths, resets and weights, its state, and all of its classes."""

import numpy as np
import pytest

import numlstm
from helpers.fits import SINE, batch, quick, same, stop_after

ONE_STEP = {"epochs": 1, "dtype": "float64"}


def loss_of(result):
    """The validation losses, standardisation undone."""
    scale = result.model.scaling.y_scale
    return result.history["validation_loss"] * scale[0] ** 2


def mean_squares(model, X, y, weight=None, **arrays):
    Y = model.predict(X, **arrays)
    return np.average((Y - y) ** 2, weights=weight)


# --- data of their own ----------------------------------------------------------------------------


def padded(seed=1):
    """Rows with lengths, behind which there is garbage."""
    X, y = batch(seed=seed)
    lengths = np.array([9, 3, 5, 9, 1, 2, 7, 8, 4, 6, 9, 3])
    behind = np.arange(9) >= lengths[:, None]
    X[behind], y[behind] = 1e3, -1e3
    return X, y, lengths, ~behind


def test_a_padded_tuple_beside_sequences_of_several_lengths_is_refused():
    """Its padding would be judged: a list has lengths as an array with `lengths` has."""
    X, y, lengths, _ = padded()
    rows = [x[:n] for x, n in zip(X, lengths, strict=True)]
    targets = [x[:n] for x, n in zip(y, lengths, strict=True)]
    words = r'cannot say its lengths.*"lengths": lengths}.*or pass lists'
    for given in ((X, y), (X, y, np.ones(12)), (X.tolist(), y.tolist())):
        with pytest.raises(ValueError, match=words):
            quick(rows, targets, validation=given)
    pieces = {"stateful": True, "bptt_steps": 3}
    with pytest.raises(ValueError, match=words):
        quick(rows, targets, validation=(X, y), **pieces)
    regressor = numlstm.LSTMRegressor(hidden_size=3, epochs=1, output="sequence")
    with pytest.raises(ValueError, match=words):
        regressor.set_params(validation=(X, y)).fit(rows, [part[:, 0] for part in targets])
    given = {"X": X, "y": y, "lengths": lengths}
    right = quick(rows, targets, validation=(rows, targets), **ONE_STEP)
    same(quick(rows, targets, validation=given, **ONE_STEP), right)
    Y = right.model.predict(rows)
    errors = np.concatenate([(a - b)[:, 0] ** 2 for a, b in zip(Y, targets, strict=True)])
    assert loss_of(right)[0] == pytest.approx(errors.mean(), rel=1e-12)
    # those of one length have no padding, nor has one series
    quick(rows, targets, validation={"X": X, "y": y})
    quick([X[0], X[1]], [y[0], y[1]], validation=(X, y))
    quick(rows, targets, validation=(X[0], y[0]))


def test_lengths_resets_and_weights_of_a_mapping_are_used():
    X, y, lengths, valid = padded()
    rng = np.random.default_rng(3)
    reset, weight = rng.random((12, 9)) < 0.3, rng.random((12, 9))
    given = {"X": X, "y": y, "lengths": lengths, "reset": reset, "sample_weight": weight}
    result = quick(*batch(), validation=given, **ONE_STEP)
    Y = result.model.predict(X, lengths=lengths, reset=reset)
    expected = np.average(((Y - y)[valid] ** 2)[:, 0], weights=weight[valid])
    assert loss_of(result)[0] == pytest.approx(expected, rel=1e-12)
    assert result.data == (
        "12 sequences of 9 steps, 2 features, a target per step; "
        "validation: 12 sequences of 1 to 9 steps"
    )


def test_padding_decides_nothing():
    """The best epoch is that of the rows cut to their lengths."""
    X, y, lengths, _ = padded()
    training = {"epochs": 20, "learning_rate": 0.1}
    rows = [x[:n] for x, n in zip(X, lengths, strict=True)]
    targets = [x[:n] for x, n in zip(y, lengths, strict=True)]
    one = quick(*batch(), validation={"X": X, "y": y, "lengths": lengths}, **training)
    other = quick(*batch(), validation=(rows, targets), **training)
    same(one, other)


def test_a_triple_has_weights_as_in_keras():
    X, y = batch(seed=1)
    for shape in ((12,), (12, 9)):
        weight = np.random.default_rng(0).random(shape)
        result = quick(*batch(), validation=(X, y, weight), **ONE_STEP)
        each = np.broadcast_to(weight.reshape(*shape, *(1,) * (3 - len(shape))), y.shape)
        assert loss_of(result)[0] == pytest.approx(mean_squares(result.model, X, y, each))


def test_forecasts_need_no_targets():
    series = np.cos(np.arange(50) / 4)
    results = [
        quick(SINE, validation=given, **ONE_STEP)
        for given in (
            {"X": series},
            {"X": series, "y": None},
            (series, None),
            (series[:-1], series[1:]),
        )
    ]
    expected = np.mean((results[0].model.predict(series)[:-1, 0] - series[1:]) ** 2)
    for result in results:
        assert loss_of(result)[0] == pytest.approx(expected)
    lists = quick([SINE, SINE], validation={"X": [series, series[:20]]}, **ONE_STEP)
    assert lists.data.endswith("validation: 2 sequences of 20 to 50 steps")


def test_a_tuple_that_cannot_say_it_is_refused():
    X, y, lengths, _ = padded()
    reset = np.zeros((12, 9), bool)
    for given in ((X, y), [X, y], (X, y, np.ones(12)), (X.tolist(), y.tolist())):
        with pytest.raises(ValueError, match=r'cannot say its lengths.*"lengths": lengths}, where'):
            quick(X, y, lengths=lengths, validation=given)
        with pytest.raises(ValueError, match=r'cannot say its reset.*"reset": reset}'):
            quick(X, y, reset=reset, validation=given)
    rows = [x[:n] for x, n in zip(X, lengths, strict=True)]
    targets = [x[:n] for x, n in zip(y, lengths, strict=True)]
    quick(X, y, lengths=lengths, validation=(rows, targets))  # a list has its own
    quick(X, y, lengths=lengths, validation=(X[0, :5], y[0, :5]))  # a series has no padding
    with pytest.raises(ValueError, match="cannot say its reset"):
        quick(X, y, reset=reset, validation=(rows, targets))
    none = {"X": X, "y": y, "lengths": None, "reset": None}
    quick(X, y, lengths=lengths, reset=reset, validation=none)
    with pytest.raises(ValueError, match="cannot say its lengths"):
        numlstm.ensemble(X, y, members=2, lengths=lengths, validation=(X, y))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"x": 1, "y": 2}, ValueError, r"validation has no 'x'; it has \['X', 'y', 'sample_w"),
        ({"X": 1, "length": 2}, ValueError, "has no 'length': did you mean 'lengths'"),
        ({"X": 1, "sample_weights": 2}, ValueError, "did you mean 'sample_weight'"),
        ({"y": 1}, ValueError, 'needs "X"'),
        ({}, ValueError, 'needs "X"'),
        ({"X": batch()[0]}, ValueError, "needs targets as the fit has them"),
        ((batch()[0], None), ValueError, "needs targets as the fit has them"),
        ({"X": batch()[0], "y": np.ones(3)}, ValueError, "validation: y must have one entry per"),
        ({"X": batch()[0], "y": batch()[1], "lengths": [3]}, ValueError, "validation: lengths"),
        (batch()[0], TypeError, r"must be a fraction, a tuple.*; sequences without y are \{"),
        (np.ones(1), TypeError, r"must be a fraction, a tuple.*; sequences without y are \{"),
        ("a fifth", TypeError, r'"reset", "future", "static"; received \'a fifth\'$'),
        (2, ValueError, "must lie between 0 and 1, received 2"),
    ],
)
def test_what_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        quick(*batch(), validation=given)


def test_a_list_of_series_is_not_taken_for_a_pair():
    with pytest.raises(TypeError, match="can mean a list of series or the pair"):
        quick([SINE, SINE[3:]], validation=[SINE, SINE])


# --- the end of a series, in its state ------------------------------------------------------------

STREAMS = {"stateful": True, "batch_size": 4, "epochs": 3, "dtype": "float64"}


@pytest.mark.parametrize("options", [{"bptt_steps": 5}, {"bptt_steps": 40, "batch_size": 1}])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.6])
def test_the_end_is_judged_in_the_state_that_the_training_part_leaves(fraction, options):
    result = quick(SINE, validation=fraction, learning_rate=0.1, **{**STREAMS, **options})
    at = 119 - round(fraction * 119)
    error = result.model.predict(SINE)[:-1, 0] - SINE[1:]
    losses = loss_of(result)
    assert losses.min() == pytest.approx(np.mean(error[at:] ** 2), rel=1e-12)
    assert result.data.endswith(f"validation: the last {100 * fraction:g} %")


def test_the_state_at_the_end_is_that_of_a_long_memory():
    """The target is the first value of the series, which only the carried state still knows."""
    rng = np.random.default_rng(0)
    X = np.zeros((200, 2))
    X[:, 0] = rng.standard_normal(200)
    X[::100, 1] = [1.0, -1.0]
    y = np.repeat([1.0, -1.0], 100)
    reset = np.arange(200) == 100
    for options in ({}, {"reset": reset}):
        result = quick(X, y, validation=0.25, bptt_steps=10, **STREAMS, **options)
        Y = result.model.predict(X, **options)[:, 0]
        assert loss_of(result).min() == pytest.approx(np.mean((Y - y)[150:] ** 2), rel=1e-12)


def test_the_end_of_pieces_with_weights():
    X, y = batch()
    weight = np.random.default_rng(0).random((12, 9))
    asked = {"validation": 0.25, "sample_weight": weight, **STREAMS}
    result = quick(X, y, **asked)
    flat, targets, weights = X.reshape(-1, 2), y.reshape(-1, 1), weight.ravel()
    error = (result.model.predict(flat) - targets)[:, 0] ** 2
    at = 108 - 27
    expected = np.average(error[at:], weights=weights[at:])
    assert loss_of(result).min() == pytest.approx(expected, rel=1e-12)


def test_data_of_their_own_begin_anew_as_one_series():
    X, y = batch(seed=2)
    result = quick(*batch(), validation=(X, y), **STREAMS)
    expected = mean_squares(result.model, X.reshape(-1, 2), y.reshape(-1, 1))
    assert loss_of(result).min() == pytest.approx(expected, rel=1e-12)


def test_the_members_of_an_ensemble_are_judged_in_it_too():
    options = {"members": 3, "hidden_size": 4, "rng": 0, "bptt_steps": 5, **STREAMS}
    many = numlstm.ensemble(SINE, validation=0.25, **options)
    at = 119 - round(0.25 * 119)
    for model, losses in zip(many.models, many.history["validation_loss_members"].T, strict=True):
        error = (model.predict(SINE)[:-1, 0] - SINE[1:]) / model.scaling.y_scale
        assert losses.min() == pytest.approx(np.mean(error[at:] ** 2), rel=1e-12)


# --- classes --------------------------------------------------------------------------------------


def split(y, fraction=0.2, seed=0, **options):
    """Rows learned from and rows judged by, of sequences that hold their number."""
    B = len(y)
    X = np.broadcast_to(np.arange(B, dtype=float)[:, None, None], (B, 3, 1))
    learned, judged = [], []

    def record(train, judge):
        learned.extend(train.X[:, 0, 0].round().astype(int))
        judged.extend(judge.X[:, 0, 0].round().astype(int))

    asked = {"loss": "cross_entropy", "standardize": False, "rng": seed, "epochs": 1, **options}
    with pytest.MonkeyPatch.context() as patch:
        from numlstm.data import preparation

        original = preparation.with_validation

        def with_validation(*arguments):
            parts = original(*arguments)
            record(parts.train, parts.judge)
            return parts

        patch.setattr(preparation, "with_validation", with_validation)
        result = quick(X, y, validation=fraction, **asked)
    assert sorted(learned + judged) == list(range(B))
    return learned, judged, result


def test_every_class_has_its_share_of_sorted_sequences():
    y = np.repeat([0, 1, 2], [50, 20, 10])
    learned, judged, result = split(y)
    np.testing.assert_array_equal(np.bincount(y[judged]), [10, 4, 2])
    assert learned == sorted(learned)
    assert result.data == (
        "80 sequences of 3 steps, one feature, one target per sequence of 3 classes; "
        "validation: 20 % drawn by class, 16 of 80 sequences"
    )
    assert split(y)[1] == judged
    assert split(y, seed=1)[1] != judged
    assert split(y, 0.29)[1] != judged


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.35, 0.5, 0.9, 0.99])
def test_the_last_of_a_class_is_learned_from(fraction):
    y = np.repeat(np.arange(6), [1, 2, 3, 1, 30, 40])
    learned, judged, _ = split(y, fraction)
    assert set(y[learned]) == set(range(6))
    assert not {0, 3} & set(y[judged])
    assert len(judged) == max(1, min(round(fraction * len(y)), len(y) - 6))
    if fraction >= 0.1:
        assert set(y[judged]) == {1, 2, 4, 5}


@pytest.mark.parametrize(
    ("counts", "fraction", "judged"),
    [
        ([50, 20, 10], 0.2, [10, 4, 2]),
        ([10, 20, 50], 0.1, [1, 2, 5]),
        ([40, 1, 40], 0.25, [10, 0, 10]),
        ([4, 4, 4, 6], 0.5, [2, 2, 2, 3]),
        ([6, 18], 1 / 3, [2, 6]),
    ],
)
@pytest.mark.parametrize("by", ["fit", "ensemble", "SciPy"])
def test_a_validation_loss_has_the_share_of_every_class(counts, fraction, judged, by):
    """Sequences that are all alike: the probabilities are, and only the labels tell them apart."""
    X, y = np.zeros((sum(counts), 2, 1)), np.repeat(np.arange(len(counts)), counts)
    asked = {"loss": "cross_entropy", "validation": fraction, "dtype": "float64", "rng": 0}
    asked |= {"hidden_size": 2, "epochs": 1}
    if by == "ensemble":
        many = numlstm.ensemble(X, y, members=2, **asked)
        models, losses = many.models, many.history["validation_loss_members"][0]
    else:
        result = numlstm.fit(X, y, **asked | ({"method": "BFGS"} if by == "SciPy" else {}))
        models, losses = [result.model], result.history["validation_loss"]
    for model, loss in zip(models, losses, strict=True):
        logits = model.predict(X[:1])[0]
        surprise = np.log(np.exp(logits).sum()) - logits
        assert loss == pytest.approx(np.average(surprise, weights=judged), rel=1e-9)


def test_sequences_without_a_class_or_weight_are_not_drawn():
    y = np.repeat([0.0, 1.0], 20)
    y[:15] = np.nan
    weight = np.ones(40)
    weight[20:35] = 0
    learned, judged, _ = split(y, 0.4, nan_policy="omit", sample_weight=weight)
    assert set(range(15)) | set(range(20, 35)) <= set(learned)
    assert len(judged) == 4
    assert sorted(y[judged]) == [0, 0, 1, 1]


def test_one_class_in_two_is_a_class_too():
    y = np.repeat([0.0, 1.0], [30, 10])
    for targets in (y, y[:, None]):
        _, judged, result = split(targets, loss="binary_cross_entropy")
        np.testing.assert_array_equal(np.bincount(y[judged].astype(int)), [6, 2])
        assert result.data.endswith("20 % drawn by class, 8 of 40 sequences")
    _, judged, result = split(np.linspace(0, 1, 40), loss="binary_cross_entropy")
    assert judged == list(range(32, 40))
    assert result.data.endswith("the last 20 %, 8 of 40 sequences")


def test_regression_and_labels_of_steps_keep_the_end():
    _, judged, result = split(np.repeat([0.0, 1.0], 20), loss="mse")
    assert judged == list(range(32, 40))
    assert result.data.endswith(
        "one target per sequence; validation: the last 20 %, 8 of 40 sequences"
    )
    _, judged, result = split(np.repeat([[0, 1, 2]], 20, axis=0))
    assert judged == list(range(16, 20))
    assert result.data.endswith(
        "a target per step of 3 classes; validation: the last 20 %, 4 of 20 sequences"
    )


def test_classes_of_one_each_cannot_be_drawn():
    with pytest.raises(ValueError, match="every class has one sequence"):
        split(np.arange(5))


def test_a_resumed_fit_judges_by_the_same_sequences(tmp_path):
    X, y = batch()
    options = {"loss": "cross_entropy", "validation": 0.25, "epochs": 6}
    y = np.repeat([0, 1], 6)
    unbroken = quick(X, y, **options)
    path = tmp_path / "run"
    quick(X, y, checkpoint=path, callback=stop_after(3), **options)
    same(quick(X, y, checkpoint=path, resume=True, **options), unbroken)
    path = tmp_path / "of no seed"
    first = quick(X, y, checkpoint=path, **options | {"rng": None, "epochs": 3})
    rest = quick(X, y, checkpoint=path, resume=True, **options | {"rng": None})
    np.testing.assert_array_equal(
        rest.history["validation_loss"][:3], first.history["validation_loss"]
    )


def test_an_ensemble_draws_its_classes_once_for_all():
    X, _ = batch()
    y = np.repeat([0, 1, 2], 4)
    options = {"loss": "cross_entropy", "validation": 0.25, "epochs": 2, "rng": 0}
    many = numlstm.ensemble(X, y, members=2, hidden_size=3, **options)
    assert many.data.endswith(
        "sequence of 3 classes; validation: 25 % drawn by class, 3 of 12 sequences"
    )
    assert many.data in repr(many)
