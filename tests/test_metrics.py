"""Measures of predictions, held to their formulae, to HydroEval and to scikit-learn."""

import itertools
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pytest
import sklearn.metrics
import xarray
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from numlstm import metrics
from numlstm.objectives.scores import NAMES, Sums, measured

TRUTHS = np.load(Path(__file__).parent / "truths" / "metric_truths.npz")
VALUES = [name for name in TRUTHS.files if name.split(".")[0] not in ("true", "pred", "weight")]
LEARNED = {
    "rmse": sklearn.metrics.root_mean_squared_error,
    "mae": sklearn.metrics.mean_absolute_error,
    "r2": sklearn.metrics.r2_score,
}


def test_the_module_has_every_name():
    assert set(metrics.__all__) == set(NAMES)
    assert numlstm.metrics is metrics


def test_it_is_loaded_on_first_use():
    code = "import sys, numlstm; print('numlstm.metrics' in sys.modules)"
    code += (
        "; numlstm.metrics.rmse; print('numlstm.metrics' in sys.modules, 'numba' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True", "False"]


@pytest.mark.parametrize("name", VALUES)
def test_the_values_of_hydroeval_and_scikit_learn(name):
    case, measure, *weighted = name.split(".")
    options = {"sample_weight": TRUTHS[f"weight.{case}"]} if weighted else {}
    value = getattr(metrics, measure)(TRUTHS[f"true.{case}"], TRUTHS[f"pred.{case}"], **options)
    assert isinstance(value, float)
    # of values at 1e6 scikit-learn and HydroEval lose six digits themselves
    assert value == pytest.approx(float(TRUTHS[name]), rel=1e-9 if case == "far" else 1e-13)


@pytest.mark.parametrize("measure", LEARNED)
@given(seed=st.integers(0, 2**32), outputs=st.integers(1, 3), weighted=st.booleans())
def test_scikit_learn_itself(measure, seed, outputs, weighted):
    rng = np.random.default_rng(seed)
    true = rng.standard_normal((20, outputs)) * 10.0 ** rng.integers(-3, 4, outputs)
    pred = true + rng.standard_normal((20, outputs))
    options = {"sample_weight": rng.random(20) + 0.01} if weighted else {}
    value = getattr(metrics, measure)(true, pred, **options)
    assert value == pytest.approx(LEARNED[measure](true, pred, **options), rel=1e-9)


def test_accuracy_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    true, pred, weight = rng.integers(0, 3, 50), rng.integers(0, 3, 50), rng.random(50)
    expected = sklearn.metrics.accuracy_score(true, pred, sample_weight=weight)
    assert metrics.accuracy(true, pred, sample_weight=weight) == pytest.approx(expected, rel=1e-14)


def test_kge_by_its_formula():
    rng = np.random.default_rng(0)
    true, pred = rng.gamma(2.0, size=80), rng.gamma(3.0, size=80)
    r = np.corrcoef(true, pred)[0, 1]
    alpha, beta = pred.std() / true.std(), pred.mean() / true.mean()
    expected = 1 - np.sqrt((r - 1) ** 2 + (alpha - 1) ** 2 + (beta - 1) ** 2)
    assert metrics.kge(true, pred) == pytest.approx(expected, rel=1e-12)


def test_mase_by_its_formula():
    """The scale is that of neighbours which are both there, of every series by itself."""
    rng = np.random.default_rng(0)
    learned = [rng.standard_normal(30).cumsum(), rng.standard_normal(9).cumsum()]
    learned[0][[4, 20]] = np.nan
    true, pred = rng.standard_normal((2, 12))
    changes = np.abs(np.concatenate([np.diff(part) for part in learned]))
    expected = np.abs(pred - true).mean() / np.nanmean(changes)
    assert metrics.mase(true, pred, learned) == pytest.approx(expected, rel=1e-13)
    together = np.full((2, 30, 1), np.nan)
    together[0, :, 0], together[1, :9, 0] = learned
    assert metrics.mase(true, pred, y_train=together) == pytest.approx(expected, rel=1e-13)
    two = metrics.mase(
        true[:, None] * [1, 100], pred[:, None] * [1, 100], learned[0][:, None] * [1, 100]
    )
    assert two == pytest.approx(metrics.mase(true, pred, learned[0]), rel=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_truth_is_left_out(name):
    rng = np.random.default_rng(1)
    true, pred = rng.integers(1, 4, (2, 30)).astype(float)
    options = {"y_train": true.copy()} if name == "mase" else {}
    expected = getattr(metrics, name)(true[5:], pred[5:], **options)
    true[:5], pred[0] = np.nan, np.inf  # whatever was predicted there
    assert getattr(metrics, name)(true, pred, **options) == pytest.approx(expected, rel=1e-13)
    in_a_column = getattr(metrics, name)(true, pred[:, None], **options)  # as of `predict`
    assert in_a_column == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", ["rmse", "mae", "r2", "nse", "kge", "accuracy"])
def test_sequences_with_several_outputs(name):
    """The mean over the outputs, each of all sequences behind one another."""
    rng = np.random.default_rng(2)
    true, pred = rng.integers(1, 5, (2, 3, 20, 2)).astype(float)
    true[0, :4, 1] = np.nan
    measure = getattr(metrics, name)
    expected = np.mean([measure(true[..., i].ravel(), pred[..., i].ravel()) for i in (0, 1)])
    assert measure(true, pred) == pytest.approx(expected, rel=1e-13)


def test_lists_of_series_are_one_behind_the_other():
    rng = np.random.default_rng(3)
    true = [rng.standard_normal(steps) for steps in (5, 9, 2)]
    pred = [part[:, None] + 0.1 * rng.standard_normal((len(part), 1)) for part in true]
    weight = [rng.random(len(part)) for part in true]
    together = np.concatenate(true), np.concatenate(pred)
    assert metrics.nse(true, pred) == pytest.approx(metrics.nse(*together), rel=1e-13)
    value = metrics.rmse(true, pred, sample_weight=weight)
    weights = np.concatenate(weight)
    assert value == pytest.approx(metrics.rmse(*together, sample_weight=weights), rel=1e-13)
    value = metrics.mae(true, pred, sample_weight=[1.0, 0.0, 2.0])  # one for each series
    weights = np.repeat([1.0, 0.0, 2.0], (5, 9, 2))
    assert value == pytest.approx(metrics.mae(*together, sample_weight=weights), rel=1e-13)
    with pytest.raises(ValueError, match="list of 3 series"):
        metrics.nse(true, pred[:2])


def test_labels_must_agree():
    index = pandas.date_range("2000-01-01", periods=30)
    true = pandas.Series(np.arange(30.0), index, name="q")
    pred = pandas.DataFrame({"q": np.arange(30.0)[::-1] * 2}, index)
    expected = metrics.rmse(true.to_numpy(), pred["q"].to_numpy())
    for one, other in ((true, pred), (true, pred["q"]), (true.to_numpy(), pred)):
        assert metrics.rmse(one, other) == expected
    assert metrics.mase(true, pred, y_train=true) == metrics.mae(true, pred)
    with pytest.raises(ValueError, match="in another order"):
        metrics.rmse(true, pred[::-1])
    with pytest.raises(ValueError, match="other labels"):
        metrics.rmse(true[3:], pred)
    with pytest.raises(ValueError, match="in another order"):
        metrics.rmse(true, pred, sample_weight=true[::-1])


def test_outputs_of_the_same_names_go_by_name():
    rng = np.random.default_rng(5)
    true, noise, weight = (rng.random((30, 3)) * [1, 10, 100] for _ in range(3))
    names, turned = list("abc"), list("cab")
    tables = [pandas.DataFrame(part, columns=names) for part in (true, true + noise, weight)]
    plain = [table.to_numpy() for table in tables]
    expected = metrics.rmse(*plain[:2], sample_weight=plain[2])
    for forms in itertools.product([names, turned], repeat=3):
        one, other, share = (table[form] for table, form in zip(tables, forms, strict=True))
        value = metrics.rmse(one, other, sample_weight=share)
        assert value == pytest.approx(expected, rel=1e-13)
        scaled = metrics.mase(one, other, y_train=share)
        assert scaled == pytest.approx(metrics.mase(*plain), rel=1e-13)
        cut = [[table[:9], table[9:]] for table in (one, other, share)]
        several = metrics.rmse(*cut[:2], sample_weight=cut[2])
        assert several == pytest.approx(expected, rel=1e-13)
    grids = [xarray.DataArray(part, dims=["time", "target"]) for part in plain[:2]]
    grids = [grid.assign_coords(target=names) for grid in grids]
    value = metrics.rmse(grids[0], grids[1][:, ::-1])
    assert value == pytest.approx(metrics.rmse(*plain[:2]), rel=1e-13)
    other = tables[1].rename(columns={"a": "z"})[["b", "z", "c"]]  # which may be anything
    assert metrics.rmse(tables[0], other) == metrics.rmse(plain[0], other.to_numpy())


@pytest.mark.parametrize("name", NAMES)
def test_series_with_levels(name):
    """Columns of one frame, whatever is a series and whatever a frame, of one station too."""
    days = pandas.date_range("2000-01-01", periods=30)
    levels = pandas.MultiIndex.from_product([["C01", "C08"], days], names=["station", "date"])
    true, pred = np.random.default_rng(4).integers(1, 5, (2, 60)).astype(float)
    table = pandas.DataFrame({"flow": true, "flow_p": pred}, levels)
    options = {"y_train": [true[:30], true[30:]]} if name == "mase" else {}
    measure = partial(getattr(metrics, name), **options)
    expected = measure(true, pred)
    for one in (table.flow, table[["flow"]]):
        for other in (table.flow_p, table[["flow_p"]].set_axis(["flow"], axis=1), pred):
            assert measure(one, other) == pytest.approx(expected, rel=1e-13)
    single = table.loc[["C08"]]
    assert measure(single.flow, single.flow_p) == pytest.approx(measure(true[30:], pred[30:]))
    each = table.groupby("station").apply(lambda part: measure(part.flow, part.flow_p))
    assert each["C01"] == pytest.approx(measure(true[:30], pred[:30]))
    if name in ("rmse", "mae", "r2", "accuracy"):
        weight = np.random.default_rng(5).random(60)
        value = measure(table.flow, table.flow_p, sample_weight=pandas.Series(weight, levels))
        assert value == pytest.approx(measure(true, pred, sample_weight=weight), rel=1e-13)
    with pytest.raises(ValueError, match="in another order"):
        measure(table.flow, table.flow_p.loc[["C08", "C01"]])


@pytest.mark.parametrize(
    ("name", "true", "pred", "why"),
    [
        ("r2", [0.1] * 3, [1, 2, 3], "all are the same"),
        ("nse", [0.1] * 7, [1, 2, 3, 4, 5, 6, 7], "all are the same"),
        ("kge", [1, 2], [3, 3], "all predictions"),
        ("kge", [-1, 1], [3, 4], "mean truth is 0"),
        ("rmse", [np.nan], [3], "no truth"),
        ("accuracy", [np.nan], [3], "no truth"),
    ],
)
def test_what_is_undefined_is_nan_with_a_warning(name, true, pred, why):
    with pytest.warns(UserWarning, match=f"{name} is NaN.*{why}"):
        assert np.isnan(getattr(metrics, name)(true, pred))


def test_mase_without_changes():
    with pytest.warns(UserWarning, match="no change in the training data"):
        assert np.isnan(metrics.mase([1, 2], [1, 2], [5.0, 5.0]))


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"one shape.*received \(2,\) and \(3,\)"):
        metrics.rmse([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="y_pred has"):
        metrics.nse([1, 2, 3], [1, np.nan, 3])
    with pytest.raises(ValueError, match="negative"):
        metrics.mae([1, 2], [1, 2], sample_weight=[1, -1])
    with pytest.raises(ValueError, match="broadcast"):
        metrics.mae([1, 2], [1, 2], sample_weight=[1, 1, 1])


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 40))
def test_sums_of_pieces_are_those_of_all(name, seed, size):
    """Of every series, and of all together."""
    rng = np.random.default_rng(seed)
    true = np.add(rng.integers(1, 9, (40, 2)), [0, 1e6])
    pred = true + rng.integers(-1, 2, (40, 2))
    weight, place = rng.integers(0, 3, (40, 2)).astype(float), rng.integers(0, 3, 40)
    sums = Sums.none(3, 2)
    for start in range(0, 40, size):
        part = slice(start, start + size)
        sums.add(true[part], pred[part], weight[part], place[part])
    naive = np.array([2.0, 3.0])

    def whole(rows):
        one = Sums.none(1, 2)
        one.add(true[rows], pred[rows], weight[rows], np.zeros(rows.sum(), int))
        return measured(name, one, naive)[0]

    with np.errstate(all="ignore"):
        expected = [whole(place == series) for series in range(3)]
        np.testing.assert_allclose(measured(name, sums, naive), expected, rtol=1e-8)
        pooled = measured(name, sums.pooled(), naive)
        np.testing.assert_allclose(pooled, whole(place >= 0), rtol=1e-8)
