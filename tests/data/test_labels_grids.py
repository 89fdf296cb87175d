"""DataArrays and what stands beside them: whose axes are named, and whose are read by position."""

import numpy as np
import pytest
import xarray as xr

import numlstm
from numlstm import LSTMClassifier, LSTMRegressor

FEW = {"hidden_size": 2, "epochs": 2, "rng": 0}
RNG = np.random.default_rng(0)
SQUARE = RNG.standard_normal((3, 3, 1))  # by time and site
DIMS = ("time", "site", "feature")
GRID = xr.DataArray(SQUARE, dims=DIMS)
STEPS = 2 * SQUARE[..., 0]
WEIGHT = np.outer(np.ones(3), [1.0, 5.0, 9.0])  # of sites
RESET = np.outer(np.ones(3), [False, False, True]).astype(bool)


def by_position(**beside):
    """The parameters where all are arrays in the order that is read."""
    named = {name: np.swapaxes(array, 0, 1) for name, array in beside.items()}
    return numlstm.fit(np.swapaxes(SQUARE, 0, 1), output="sequence", **FEW, **named).x


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("y", STEPS),
        ("y", STEPS[..., None]),
        ("y", STEPS.tolist()),
        ("y", list(STEPS)),
        ("sample_weight", WEIGHT),
        ("reset", RESET),
    ],
)
def test_arrays_beside_another_order_of_dimensions_need_names(name, array):
    beside = {"y": STEPS} | {name: np.asarray(array)}
    dims = {key: DIMS[: value.ndim] for key, value in beside.items()}
    named = {key: xr.DataArray(value, dims=dims[key]) for key, value in beside.items()}
    result = numlstm.fit(GRID, output="sequence", **FEW, **named)
    np.testing.assert_array_equal(result.x, by_position(**beside))
    ordered = GRID.transpose("site", "time", "feature")
    swapped = {key: np.swapaxes(value, 0, 1) for key, value in beside.items()}
    result = numlstm.fit(ordered, output="sequence", **FEW, **swapped)
    np.testing.assert_array_equal(result.x, by_position(**beside))
    words = r'{} has .*xarray\.DataArray\({}, dims=\("time", "site"{}\)\).*X\.transpose\("site", '
    words = words.format(name, name, ', "feature"' if np.ndim(array) == 3 else "")
    with pytest.raises(ValueError, match=words):
        numlstm.fit(GRID, output="sequence", **FEW, **(named | {name: array}))
    long = xr.DataArray(RNG.standard_normal((4, 3, 1)), dims=DIMS)  # no luck of its size either
    with pytest.raises(ValueError, match=words):
        numlstm.fit(long, output="sequence", **FEW, **(named | {name: array}))


def test_one_series_with_its_features_first():
    values = RNG.standard_normal((3, 3))
    series, y = xr.DataArray(values, dims=("feature", "time")), 2 * values
    expected = numlstm.fit(values.T, y.T, **FEW).x
    result = numlstm.fit(series, xr.DataArray(y, dims=("feature", "time")), **FEW)
    np.testing.assert_array_equal(result.x, expected)
    with pytest.raises(ValueError, match=r'xarray\.DataArray\(y, dims=\("feature", "time"\)\)'):
        numlstm.fit(series, y, **FEW)
    with pytest.raises(ValueError, match=r"beside which y\[1\] has this order too"):
        numlstm.fit([series.T, series], [y.T, y], **FEW)
    np.testing.assert_array_equal(
        numlstm.fit(series, y[0], **FEW).x, numlstm.fit(values.T, y[0], **FEW).x
    )


def test_one_value_per_sequence_has_one_order():
    y, weight = np.arange(3.0), np.array([1.0, 5.0, 9.0])
    expected = numlstm.fit(np.swapaxes(SQUARE, 0, 1), y, sample_weight=weight, **FEW).x
    result = numlstm.fit(GRID, y, sample_weight=weight, **FEW)
    np.testing.assert_array_equal(result.x, expected)
    several = np.column_stack([y, 2 * y, 3 * y])
    named = xr.DataArray(several, dims=("site", "target"))
    expected = numlstm.fit(np.swapaxes(SQUARE, 0, 1), several, output="last", **FEW).x
    np.testing.assert_array_equal(numlstm.fit(GRID, named, output="last", **FEW).x, expected)
    with pytest.raises(ValueError, match="y has 2 axes without names"):
        numlstm.fit(GRID, several, output="last", **FEW)


def test_rows_that_are_labelled_have_one_order():
    sites = GRID.assign_coords(site=["a", "b", "c"])
    frame = sites[..., 0].T.to_pandas()  # a row for each site
    expected = by_position(y=STEPS, sample_weight=frame.to_numpy().T ** 2)
    y = xr.DataArray(STEPS, dims=DIMS[:2])
    result = numlstm.fit(sites, y, sample_weight=frame**2, output="sequence", **FEW)
    np.testing.assert_array_equal(result.x, expected)
    with pytest.raises(ValueError, match="sample_weight has 2 axes without names"):
        numlstm.fit(GRID, y, sample_weight=frame**2, output="sequence", **FEW)


def test_estimators_and_rollouts_read_no_order_into_arrays():
    options = {"output": "sequence", "epochs": 2, "random_state": 0}
    named = xr.DataArray(STEPS, dims=DIMS[:2])
    for kind, y in ((LSTMRegressor, STEPS), (LSTMClassifier, STEPS > 0)):
        with pytest.raises(ValueError, match="y has 2 axes without names"):
            kind(2, **options).fit(GRID, y)
    regressor = LSTMRegressor(2, **options).fit(GRID, named)
    with pytest.raises(ValueError, match="sample_weight has 2 axes without names"):
        regressor.score(GRID, named, WEIGHT)


def test_rollouts_read_no_order_into_arrays():
    warm = xr.DataArray(RNG.standard_normal((4, 3, 2)), dims=DIMS)
    after = warm.isel(time=slice(1, None), feature=slice(0, 1))
    model = numlstm.fit(warm[:-1], after, output="sequence", **FEW).model
    exogenous = RNG.standard_normal((3, 3))  # by time and site
    named = xr.DataArray(exogenous, dims=DIMS[:2])
    expected, pull = model.rollout_vjp(np.swapaxes(warm.data, 0, 1), 3, exogenous.T)
    Y, pullback = model.rollout_vjp(warm, 3, named)
    np.testing.assert_array_equal(Y, np.swapaxes(expected, 0, 1))
    gradients = pullback(2 * Y)
    np.testing.assert_array_equal(gradients.theta, pull(2 * expected).theta)
    with pytest.raises(ValueError, match="exogenous has 2 axes without names"):
        model.rollout(warm, 3, exogenous)
    with pytest.raises(ValueError, match="dY has 3 axes without names"):
        pullback(2 * Y.data)


def test_variables_are_known_by_their_dimensions():
    """A Variable of xarray has names of its axes, too, if no coordinates."""
    expected = by_position(y=STEPS, sample_weight=WEIGHT)
    beside = {"sample_weight": xr.Variable(DIMS[:2], WEIGHT), "output": "sequence"}
    for y in (xr.Variable(DIMS[:2], STEPS), xr.Variable(("site", "time"), STEPS.T)):
        for X in (GRID, GRID.variable):
            result = numlstm.fit(X, y, **FEW, **beside)
            np.testing.assert_array_equal(result.x, expected)
    predicted = result.model.predict(GRID.variable)
    assert predicted.dims == ("time", "site", "target")
    np.testing.assert_array_equal(predicted, result.model.predict(GRID))
    with pytest.raises(ValueError, match=r"X\[0\] has"):
        numlstm.fit([xr.Variable(("a", "b"), part) for part in SQUARE.T], **FEW)
    parts = RNG.standard_normal((2, 6, 3))
    series = [xr.Variable(("feature", "time"), part.T) for part in parts]
    np.testing.assert_array_equal(numlstm.fit(series, **FEW).x, numlstm.fit(list(parts), **FEW).x)
    time = xr.Variable("time", np.arange(40.0)).to_index_variable()
    np.testing.assert_array_equal(numlstm.fit(time, **FEW).x, numlstm.fit(np.arange(40.0), **FEW).x)


def test_other_coordinates_stay_where_they_hold():
    coords = {
        "time": np.arange("2001-01-01", "2001-01-21", dtype="M8[D]"),
        "area": ("site", [1.0, 2.0]),
        "run": 7,
        "season": ("time", np.arange(20) // 5),
        "stage": (("site", "time"), np.arange(40.0).reshape(2, 20)),
        "gain": (("site", "feature"), [[1.0], [2.0]]),
        "sensor": (("time", "feature"), np.arange(20.0)[:, None]),
        "unit": ("feature", ["mm"]),
    }
    X = xr.DataArray(
        RNG.standard_normal((2, 20, 1)), dims=("site", "time", "feature"), coords=coords
    )
    model = numlstm.fit(X, **FEW).model
    predicted, rolled = model.predict(X), model.rollout(X, 3)
    last = numlstm.fit(X, np.arange(2.0), **FEW).model.predict(X)
    assert set(predicted.coords) == {"time", "area", "run", "season", "stage", "target"}
    assert set(rolled.coords) == {"time", "area", "run", "target"}
    assert set(last.coords) == {"area", "run", "target"}
    np.testing.assert_array_equal(predicted.stage, X.stage)
    np.testing.assert_array_equal(rolled.time, np.arange("2001-01-21", "2001-01-24", dtype="M8[D]"))
    for answer in (predicted, rolled, last):
        np.testing.assert_array_equal(answer.area, X.area)
        assert answer.run == 7
    plain = numlstm.fit(X.to_numpy(), **FEW).model
    np.testing.assert_array_equal(rolled, plain.rollout(X.to_numpy(), 3))


@pytest.mark.parametrize("dims", [("basin", "time"), ("time", "basin")])
def test_a_stack_of_series_is_not_one_series(dims):
    coords = {"basin": list("abcd"), "time": np.arange("2001-01-01", "2001-02-10", dtype="M8[D]")}
    X = xr.DataArray(
        RNG.standard_normal((4, 40, 2)), dims=("basin", "time", "feature"), coords=coords
    )
    y = X.sum("feature")
    stacked, targets = X.stack(z=dims), y.stack(z=dims)
    words = "'z' of X has several labels at each place, .*pass X.unstack\\('z'\\)"
    for given in (stacked, stacked.T, stacked[0], targets):
        with pytest.raises(ValueError, match=words):
            numlstm.fit(given, **FEW)
    with pytest.raises(ValueError, match=r"'z' of y has .*pass y.unstack"):
        numlstm.fit(stacked.T.to_numpy(), targets, **FEW)
    result = numlstm.fit(stacked.unstack("z"), targets.unstack("z"), **FEW)
    np.testing.assert_array_equal(result.x, numlstm.fit(X, y, **FEW).x)


def test_a_stack_of_places_has_a_series_at_each():
    X = xr.DataArray(
        RNG.standard_normal((2, 3, 20, 2)),
        dims=("lat", "lon", "time", "feature"),
        coords={"lat": [50.0, 51.0], "lon": [7.0, 8.0, 9.0]},
    )
    stacked = X.stack(place=("lat", "lon"))
    result = numlstm.fit(stacked, **FEW)
    plain = numlstm.fit(X.to_numpy().reshape(6, 20, 2), **FEW)
    np.testing.assert_array_equal(result.x, plain.x)
    expected = plain.model.predict(X.to_numpy().reshape(6, 20, 2))
    predicted = result.model.predict(stacked).transpose("place", "time", "target")
    np.testing.assert_array_equal(predicted, expected)
    assert predicted.indexes["place"].equals(stacked.indexes["place"])


# --- dimensions of which two may be the time ------------------------------------------------------

D4 = np.arange("2001-01-01", "2001-01-05", dtype="M8[D]")
D40 = np.arange("2001-01-01", "2001-02-10", dtype="M8[D]")
HOURS = np.arange(40).astype("m8[h]")
CLOCKS = [f"{half // 2:02}:{half % 2 * 30:02}" for half in range(40)]


@pytest.mark.parametrize(
    ("dims", "coords"),
    [
        (("year", "doy", "feature"), {}),
        (("year", "doy"), {}),
        (("year", "k", "feature"), {"year": range(4), "k": range(40)}),
        (("k", "year", "feature"), {"k": range(4)}),
        (("date", "slot", "feature"), {"date": D4, "slot": range(40)}),
        (("issue", "lead", "feature"), {"issue": D4, "lead": HOURS}),
        (("issue", "lead"), {"issue": D4, "lead": HOURS}),
        (("issue", "step", "feature"), {"issue": D4}),
        (("time", "clock", "feature"), {"time": D4, "clock": CLOCKS}),
        (("issue", "valid", "feature"), {"issue": D4.astype(str), "valid": D40.astype(str)}),
        (("trial", "sample", "channel"), {}),
        (("sample", "k", "feature"), {"k": range(40)}),
    ],
)
def test_where_two_dimensions_may_be_the_time_is_refused(dims, coords):
    values = RNG.standard_normal((4, 40, 2))
    values = values if len(dims) == 3 else values[..., 0]
    X = xr.DataArray(values, dims=dims, coords=coords)
    with pytest.raises(ValueError, match=rf"X has the dimensions \({', '.join(dims)}\), which do"):
        numlstm.fit(X, **FEW)


@pytest.mark.parametrize(
    ("dims", "coords"),
    [
        (("node", "time", "feature"), {}),
        (("node", "time", "feature"), {"node": range(4), "time": D40}),
        (("gauge_id", "step", "feature"), {"gauge_id": range(4)}),
        (("basin", "lead", "feature"), {"lead": HOURS}),
        (("sample", "step", "feature"), {"sample": D4}),
        (("sample", "k", "feature"), {"k": D40}),
        (("k", "lead", "feature"), {"lead": HOURS}),
        (("k", "day", "feature"), {"day": D40.astype(str), "k": range(4)}),
        (("basin", "k", "feature"), {"basin": range(4)}),
    ],
)
def test_where_one_dimension_may_be_the_time_it_is(dims, coords):
    values = RNG.standard_normal((4, 40, 2))
    X = xr.DataArray(values, dims=dims, coords=coords)
    np.testing.assert_array_equal(numlstm.fit(X, **FEW).x, numlstm.fit(values, **FEW).x)
    result = numlstm.fit(X.transpose(*dims[::-1]), **FEW)
    np.testing.assert_array_equal(result.x, numlstm.fit(values, **FEW).x)
