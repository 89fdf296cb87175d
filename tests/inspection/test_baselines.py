"""Baselines with labels are read by them, those without in the order of what they stand beside."""

import numpy as np
import pytest

import numlstm
from numlstm import inspection
from numlstm.data.labels import vectors

pd, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(RNG.standard_normal((30, 2)) + np.array([0, 100]), columns=["rain", "warmth"])
TURNED = FRAME[["warmth", "rain"]]
DATED = FRAME.set_axis(pd.date_range("2020-01-01", periods=30))
SMALL = {"hidden_size": 4, "epochs": 2, "rng": 0}


def fitted(*data, **options):
    return numlstm.fit(*data, **SMALL, **options).model


@pytest.fixture(scope="module")
def model():
    return fitted(FRAME)


def explain(model, X, baseline, **beside):
    return inspection.gradient_x_input(
        model, X, output="rain", baseline=baseline, **{"step": -1, **beside}
    )


def same_as(found, truth):
    np.testing.assert_allclose(found.baseline, truth, rtol=1e-12)


def test_an_array_has_its_features_in_the_order_of_X(model):
    assert not explain(model, TURNED, TURNED.to_numpy()).values.any()
    assert not explain(model, TURNED, TURNED.to_numpy()[None]).values.any()
    polars = pytest.importorskip("polars")
    assert not explain(model, polars.from_pandas(TURNED), TURNED.to_numpy()).values.any()
    vector = explain(model, TURNED, np.array([100.0, 0.0]))
    same_as(vector, np.broadcast_to([0.0, 100.0], (1, 30, 2)))
    each = [TURNED, FRAME[:12]]
    for baseline in (each, [part.to_numpy() for part in each], [TURNED.to_numpy(), FRAME[:12]]):
        assert not explain(model, each, baseline).values.any()
    same = [TURNED, TURNED[:12]]
    same_as(explain(model, same, np.array([100.0, 0.0])), [[[0.0, 100.0]] * 30] * 2)
    with pytest.raises(ValueError, match="baseline has no names, and the series of X"):
        explain(model, each, np.zeros(2))


def test_a_vector_is_read_by_name(model):
    mean = FRAME.mean()
    truth = np.broadcast_to(mean.to_numpy(), (1, 30, 2))
    for X in (FRAME, TURNED, FRAME.to_numpy(), DATED):
        for baseline in (mean, mean[["warmth", "rain"]], xarray.DataArray(TURNED.mean())):
            same_as(explain(model, X, baseline), truth)
    same_as(explain(model, FRAME, {"X": dict(mean)}), truth)
    with pytest.raises(ValueError, match=r"received 'rain': for numbers by .* write baseline="):
        explain(model, FRAME, dict(mean))
    with pytest.raises(ValueError, match="baseline lacks 'warmth': expected are"):
        explain(model, FRAME, mean[["rain"]])
    polars = pytest.importorskip("polars")
    table = polars.from_pandas(TURNED)
    same_as(explain(model, table, table.mean()), truth)


def test_a_vector_beside_series_of_any_length(model):
    ragged = [FRAME.to_numpy()[:5], FRAME.to_numpy()[:7]]
    expected = explain(model, ragged, FRAME.mean().to_numpy())
    same_as(expected, np.broadcast_to(FRAME.mean().to_numpy(), (2, 7, 2)))
    named = explain(model, [FRAME[:5], TURNED[:7]], TURNED.mean())
    np.testing.assert_array_equal(named.values, expected.values)


@pytest.mark.parametrize("names", [["0", "1"], [0, 1]])
def test_names_that_are_numbers(names):
    """A Series whose index has rows is no vector, though its labels may be those of features."""
    series = FRAME["rain"].rename(names[0])
    found = inspection.gradient_x_input(fitted(series), series, baseline=series)
    assert not found.values.any()
    assert vectors.read("x", series, ("0",)) is None
    np.testing.assert_array_equal(vectors.read("x", pd.Series([1, 2], names), ("1", "0")), [2, 1])


@pytest.mark.parametrize("across", [["time"], ["site"], ["site", "time"], ["feature"]])
def test_a_grid_is_the_same_along_what_it_lacks(model, across):
    """As many sites as times: only names tell them apart."""
    days = pd.date_range("2020-01-01", periods=6)
    grid = xarray.DataArray(
        RNG.standard_normal((6, 6, 2)) + np.array([0, 100]),
        {"site": list("abcdef"), "time": days, "feature": ["rain", "warmth"]},
    )
    mean = grid.mean(across)
    truth = mean.broadcast_like(grid).transpose(*grid.dims).to_numpy()
    same_as(explain(model, grid, mean), truth)
    turned = grid[..., ::-1]
    same_as(explain(model, turned, turned.mean(across)), truth)
    if across == ["time"]:
        day = grid.isel(time=3)  # which has a time, of its own
        same_as(explain(model, grid, day), np.broadcast_to(day.to_numpy()[:, None], grid.shape))
        with pytest.raises(ValueError, match="baseline has the labels of X in another order"):
            explain(model, grid, mean[::-1])


def test_a_row_for_each_series(model):
    panel = pd.concat({name: DATED[:3] * i for i, name in enumerate("cab", 1)}, names=["site"])
    mean = panel.groupby(level=0, sort=False).mean()  # as many series as steps
    found = explain(model, panel, mean)
    same_as(found, np.repeat(mean.to_numpy()[:, None], 3, axis=1))
    with pytest.raises(ValueError, match="baseline has the labels of X in another order"):
        explain(model, panel, mean.sort_index())
    parts = [DATED[:5], DATED[1:6]]
    with pytest.raises(ValueError, match=r"baseline has other labels than X\[1\]"):
        explain(model, parts, DATED[:5])
    assert not explain(model, [DATED[:5]] * 2, DATED[:5]).values.any()


# --- attributes and what is known ahead -----------------------------------------------------------


def test_attributes_are_found_by_their_names():
    rows = list("abcdef")
    static = pd.DataFrame(RNG.uniform(size=(6, 2)) + np.array([100, 0]), rows, ["area", "slope"])
    X = RNG.standard_normal((6, 9, 2))
    model = fitted(X, X[..., :1], static=static)

    def found(baseline, beside=static):
        asked = {"static": beside, "baseline": {"static": baseline}}
        return inspection.gradient_x_input(model, X, **asked).static

    turned, dims = static[["slope", "area"]], ("basin", "attribute")
    grid = xarray.DataArray(turned, dims=dims, coords={"attribute": ["slope", "area"]})
    for own in (static, turned, static.to_numpy(), grid):
        assert not found(own).any()
    assert not found(turned.to_numpy(), turned).any()
    mean = found(static.mean().to_numpy())
    assert mean.all()
    for vector in (static.mean(), turned.mean(), dict(turned.mean())):
        np.testing.assert_array_equal(found(vector), mean)
    np.testing.assert_array_equal(found(turned.mean().to_numpy(), turned), mean)
    with pytest.raises(ValueError, match="the baseline has the labels of static in another order"):
        found(static[::-1])
    with pytest.raises(ValueError, match=r'baseline\["static"\]: static lacks \'area\''):
        found(static.rename(columns={"area": "size"}))


def test_what_is_known_ahead_is_found_by_its_names():
    future = pd.DataFrame(
        RNG.standard_normal((33, 3)) + np.array([0, 10, 100]), columns=list("pqr")
    )
    model = fitted(FRAME, future=future, horizon=3)

    def found(baseline, beside=future):
        asked = {"X": FRAME, "future": baseline}
        return explain(model, FRAME, asked, future=beside, ahead=2).future

    turned = future[["r", "p", "q"]]
    for own in (future, turned, future.to_numpy()):
        assert not found(own).any()
    assert not found(turned.to_numpy(), turned).any()
    mean = found(future.mean())
    assert mean[:, -2].all()
    for vector in (turned.mean(), future.mean().to_numpy(), dict(turned.mean())):
        np.testing.assert_array_equal(found(vector), mean)
    np.testing.assert_array_equal(found(turned.mean().to_numpy(), turned), mean)
    rows = np.broadcast_to(future.mean().to_numpy(), future.shape)
    np.testing.assert_array_equal(found(rows), mean)
    with pytest.raises(ValueError, match=r'baseline\["future"\]: future .* received 20'):
        found(rows[:20])
    with pytest.raises(ValueError, match=r"baseline.*: future lacks 'p'"):
        found(future.rename(columns={"p": "x"}))


@pytest.mark.parametrize("part", ["static", "future"])
def test_a_baseline_of_what_is_not_read_is_refused(model, part):
    with pytest.raises(
        ValueError, match=rf'baseline\["{part}"\] was given, and the model reads no'
    ):
        explain(model, FRAME, {part: np.zeros(1)})
