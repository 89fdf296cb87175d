"""What is known of series that are cut into windows is what is known of them as they are."""

import numpy as np
import pytest

from numlstm.data.arrays import Arrays
from numlstm.data.next_inputs import NextInputs
from numlstm.data.preparation import DataConfig, prepare
from numlstm.data.window_preparation import prepare_windows
from numlstm.utils.random_streams import RandomStreams

rng = np.random.default_rng(0)
SERIES = [rng.standard_normal((steps, 2)) * [3, 0.1] + [5, -1] for steps in (40, 25, 61)]
RESETS = [rng.random(len(series)) < 0.15 for series in SERIES]
RESETS[0][[4, 8, 20]] = True  # on the borders of slices, too
STATIC = np.array([[1.0], [3.0], [10.0]])
WEIGHTS = {
    "none": None,
    "series": np.array([1.0, 3.0, 0.5]),
    "steps": [rng.integers(0, 9, len(series)).astype(float) for series in SERIES],
    "halves": [np.where(np.arange(len(series)) < 20, 1.0, 3.0) for series in SERIES],
    "even": [np.full(len(series), value) for series, value in zip(SERIES, (2, 2, 5), strict=True)],
}


@pytest.fixture(autouse=True)
def _slices_of_four_steps(monkeypatch):
    monkeypatch.setattr("numlstm.data.window_scan._BLOCK", 4)
    monkeypatch.setattr("numlstm.data.sources._AT_ONCE", 1)


def both(X, y=None, **options):
    """The data of a fit as they are, and in windows."""
    beside = {name: options.pop(name, None) for name in Arrays._fields[2:]}
    draws, arrays = RandomStreams(0), Arrays(X, y, **beside)
    plain = prepare(arrays, DataConfig(**options), "float64", draws)
    return plain, prepare_windows(arrays, DataConfig(window=5, **options), "float64", draws)


def alike(X, y=None, **options):
    plain, windowed = both(X, y, **options)
    assert plain.forecasts == windowed.forecasts
    assert windowed.words.startswith(plain.words.replace("sequences of", "series of") + ", ")
    for name, one in plain.scaling._asdict().items():
        other = getattr(windowed.scaling, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(other, one, rtol=1e-11)
    return windowed


def following(resets, other=99.0):
    """The next values of the first feature, but where a sequence ends."""
    y = [np.append(series[1:, 0], other)[:, None] for series in SERIES]
    for own, begins in zip(y, resets or [], strict=resets is not None):
        own[:-1][begins[1:]] = other
    return y


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("resets", [None, RESETS])
@pytest.mark.parametrize("kind", ["forecast", "targets", "following", "horizon", "ahead"])
def test_units_and_forecasts_are_those_of_the_series_as_they_are(kind, resets, weights):
    y = {
        "targets": [2 * series[:, :1] + 1 for series in SERIES],
        "following": following(resets),
        "ahead": [series[:, :1] for series in SERIES],
    }.get(kind)
    more = {"horizon": {"horizon": 3, "ahead": 1}[kind]} if kind in ("horizon", "ahead") else {}
    weighted = {"sample_weight": WEIGHTS[weights], "reset": resets, "static": STATIC}
    found = alike(SERIES, y, **weighted, **more)
    assert found.forecasts == (kind in ("forecast", "following", "ahead"))


def test_a_reset_begins_a_sequence_of_its_own_weight():
    X, weight = np.arange(100.0)[:, None], np.repeat([1.0, 3.0], 50)
    given = {"sample_weight": weight, "reset": np.arange(100) == 50}
    for data in both(X, 2 * X, **given):
        np.testing.assert_allclose(data.scaling.x_mean, (24.5 + 3 * 74.5) / 4, rtol=1e-14)


def test_targets_after_a_reset_are_not_the_next_inputs():
    without, flags = following(RESETS), [part.copy() for part in RESETS]
    assert alike(SERIES, without, reset=flags).forecasts
    flags[0][8] = False  # its target is read in the slice before
    assert not alike(SERIES, without, reset=flags).forecasts


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_next_values_may_be_rounded(dtype):
    rounded = [part.astype(dtype).astype(float) for part in following(None)]
    assert alike(SERIES, rounded).forecasts
    rounded[2][-2] += 1
    assert not alike(SERIES, rounded).forecasts
    assert not alike(SERIES, [np.zeros((len(part), 1)) for part in rounded]).forecasts


def test_nothing_counts_that_is_missing():
    y = following(None)
    y[1][7] = np.nan
    assert alike(SERIES, y, nan_policy="omit").forecasts
    y[1][8] += 1
    weight = [np.ones(len(part)) for part in y]
    assert not alike(SERIES, y, nan_policy="omit", sample_weight=weight).forecasts
    weight[1][8] = 0
    assert alike(SERIES, y, nan_policy="omit", sample_weight=weight).forecasts


@pytest.mark.parametrize("of_y", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("of_X", [np.float16, np.float32, np.float64])
def test_pieces_say_what_the_whole_says(of_X, of_y):
    for size, off in ((1, 0), (1, 1e-2), (1e-9, 0), (1e-9, 1e-9)):
        given = size * rng.standard_normal(60)
        inputs, targets = given.astype(of_X), given.astype(of_y)
        targets[41] += of_y(off)
        whole, pieces = NextInputs(), NextInputs()
        whole.add(targets, inputs)
        for start in range(0, 60, 7):
            pieces.add(targets[start : start + 7], inputs[start : start + 7])
        assert whole.same == pieces.same
        assert pieces.count == 60
        if size == 1:
            assert whole.same == (off == 0)


# --- words ----------------------------------------------------------------------------------------


def words(y, **options):
    """What is said of the data but for their size, which is the same with windows."""
    return alike(SERIES, y, **options).words.partition("steps, ")[2]


def test_nothing_is_forgotten_of_the_data():
    y = [series[:, :1] * [1, 2] for series in SERIES]
    y[0][:3] = np.nan
    found = words(
        y,
        nan_policy="omit",
        sample_weight=WEIGHTS["even"],
        reset=[np.arange(len(part)) == 3 for part in SERIES],
        static=STATIC,
    )
    assert found.startswith(
        "2 features, 2 targets per step, one attribute of each, 6 of 252 targets missing, "
        "weighted, 3 resets, "
    )
    weights = [np.ones(len(part)) for part in SERIES]
    weights[1][4] = 0
    assert ", 8 of 252 targets without weight, weighted, " in words(
        y, nan_policy="omit", sample_weight=weights
    )


def test_classes_of_no_target_are_said():
    y = [np.arange(len(part)) % 2 * 3 for part in SERIES]
    found = words(y, loss="cross_entropy")
    assert found.startswith("2 features, a target per step of 4 classes (1, 2 in none), ")


def test_padding_has_no_weight():
    """Of shorter series there is a weight for every step that they have."""
    y = [np.where(np.arange(len(part)) == 7, np.nan, part[:, 0]) for part in SERIES]
    ones = [np.ones(len(part)) for part in SERIES]
    assert "3 of 126 targets missing" in words(y, nan_policy="omit", sample_weight=ones)


@pytest.mark.parametrize("change", [0.0, 0.5])
def test_what_judges_does_not_decide_whether_targets_are_the_next_values(change):
    X = np.random.default_rng(0).standard_normal((10, 40, 2))
    y = np.concatenate([X[:, 1:, :1], np.zeros((10, 1, 1))], axis=1)
    of_ends, of_rows = y.copy(), y.copy()
    of_ends[:, 32:] += change
    of_rows[8:] += change
    options = {"validation": 0.2}
    one = both(X[0], of_ends[0], **options)
    for data in (*one, both(X, of_rows, **options)[0], both(X, of_ends, **options)[1]):
        assert data.forecasts
        np.testing.assert_array_equal(data.scaling.y_mean, data.scaling.x_mean[:1])
    of_ends[0, 20] += 1
    for data in both(X[0], of_ends[0], **options):
        assert not data.forecasts
