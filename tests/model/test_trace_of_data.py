"""Traces of data as users have it: series, windows, labels, missing values, attributes."""

import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import numlstm

NAMES = ("h", "c", "i", "f", "g", "o")


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def fitted(X, y=None, **kind):
    kind = {"hidden_size": 5, "epochs": 2, "rng": 0, "progress": False} | kind
    return numlstm.fit(X, y, **kind).model


def spoken(model, hidden):
    """What the head says of the last layer's h, in the units of the data."""
    network = model.network
    head = network.pack(model.theta).head
    Y = network.backend.head_forward(model.spec.head, head, np.ascontiguousarray(hidden))
    return Y.astype(float) if model.scaling is None else model.scaling.outputs(Y)


def require_equal(have, want):
    for a, b in zip(have, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_reads_the_units_of_the_data():
    X = 100 + 20 * drawn(3, 30, 2)
    model = fitted(X, X[..., :1])
    np.testing.assert_array_equal(spoken(model, model.trace(X).h[-1]), model.predict(X))


def test_a_series_alone_and_a_list():
    series = [drawn(n, 2, seed=n) for n in (9, 4, 0)]
    model = numlstm.LSTM(2, 4, 1, num_layers=2, rng=0)
    together = model.trace(series)
    for row, own in enumerate(series):
        for have, want in zip(together, model.trace(own), strict=True):
            np.testing.assert_array_equal(have[:, row : row + 1, : len(own)], want)
            assert np.isnan(have[:, row, len(own) :]).all()


def test_what_a_step_says_comes_from_a_window_of_its_own():
    X = drawn(60, 2)
    model = fitted(X, X[:, :1], window=7, num_layers=2)
    trace, want = model.trace(X), model.predict(X)
    assert np.isnan(trace.f[:, 0, :6]).all()
    np.testing.assert_array_equal(spoken(model, trace.h[-1, 0, 6:]), want[6:])
    for t in (6, 30, 59):
        own = model.trace(X[t - 6 : t + 1], window=None, steps=-1)
        for have, one in zip(trace, own, strict=True):
            np.testing.assert_array_equal(have[:, :, t : t + 1], one)
    some = model.trace(X, steps=[3, 59, 20])
    for have, every in zip(some, trace, strict=True):
        np.testing.assert_array_equal(have, every[:, :, [3, 59, 20]])


def test_without_a_window_the_state_is_carried():
    X = drawn(40, 1)
    model = fitted(X, window=7)
    carried = model.trace(X, window=None)
    assert np.isfinite(carried.c).all()
    np.testing.assert_array_equal(
        spoken(model, carried.h[-1, 0]), model.predict(X, window=None, output="sequence")
    )


def test_a_state_goes_on_from_a_prediction_not_within_windows():
    X = drawn(40, 1)
    model = fitted(X, window=7)
    _, state = model.predict(X[:20], window=None, return_state=True)
    whole = model.trace(X, window=None)
    later = model.trace(X[20:], state, window=None)
    require_equal(later, [part[:, :, 20:] for part in whole])
    with pytest.raises(ValueError, match="window=None"):
        model.trace(X[20:], state)


def test_windows_of_a_bidirectional_network_are_passed_one_by_one():
    X = drawn(40, 1)
    model = fitted(X, window=7, bidirectional=True)
    with pytest.raises(ValueError, match=r"\(B, T, I\), each of 7 steps, with window=None"):
        model.trace(X)
    windows = np.stack([X[t : t + 7] for t in range(5)])
    assert model.trace(windows, window=None).h.shape == (2, 5, 7, 5)
    whole = numlstm.LSTM(1, 5, bidirectional=True, rng=0)
    with pytest.raises(ValueError, match="pass the windows themselves"):
        whole.trace(X, window=7)


def test_a_bidirectional_network_goes_on_from_no_state():
    model = numlstm.LSTM(1, 3, bidirectional=True, rng=0)
    with pytest.raises(ValueError, match="no state to go on from"):
        model.trace(np.ones(4), model.network.zero_state(1))


def test_missing_inputs_are_filled_as_in_predictions():
    X = drawn(2, 30, 2)
    X[0, 3:6, 1] = X[1, 0, 0] = np.nan
    model = fitted(X, np.nan_to_num(X[..., :1]), missing="mask")
    trace = model.trace(X)
    np.testing.assert_array_equal(spoken(model, trace.h[-1]), model.predict(X))
    _, state = model.predict(X[:, :5], return_state=True)
    require_equal(model.trace(X[:, 5:], state), [part[:, :, 5:] for part in trace])
    with pytest.raises(TypeError, match="does not know"):
        model.trace(X[:, 5:], numlstm.State(*state))


def test_attributes_of_whole_sequences():
    X, static = drawn(4, 12, 2), 10 + drawn(4, 3)
    model = fitted(X, X[..., :1] + static[:, None, :1], static=static)
    trace = model.trace(X, static=static)
    np.testing.assert_array_equal(spoken(model, trace.h[-1]), model.predict(X, static=static))
    with pytest.raises(ValueError, match="static"):
        model.trace(X)


def test_features_that_are_known_ahead():
    X, future = drawn(50, 1), drawn(53, 2)
    model = fitted(X, future=future[:51], horizon=1)
    trace = model.trace(X, future=future[:51])
    np.testing.assert_array_equal(
        spoken(model, trace.h[-1, 0]), model.predict(X, future=future[:51])
    )
    with pytest.raises(ValueError, match="future="):
        model.trace(X)


# --- labels ---------------------------------------------------------------------------------------


def table(days, seed=0):
    index = pd.date_range("2020-01-01", periods=days, freq="D")
    return pd.DataFrame(drawn(days, 2, seed=seed), index, columns=["rain", "snow"])


def test_features_are_found_by_name_and_times_stay_with_the_steps():
    frame = table(20)
    model = fitted(frame, frame[["rain"]])
    trace = model.trace(frame[["snow", "rain"]], steps=slice(5, 9))
    require_equal(trace, model.trace(frame, steps=slice(5, 9)))
    data = trace.to_xarray()
    assert data.f.dims == ("layer", "sequence", "step", "unit")
    np.testing.assert_array_equal(data.time, frame.index[5:9])
    np.testing.assert_array_equal(data.step, [5, 6, 7, 8])
    np.testing.assert_array_equal(data.c, trace.c)


def test_series_of_a_panel_have_their_names_and_times():
    parts = {"b": table(6), "a": table(4, seed=1).shift(freq="3D")}
    panel = pd.concat(parts, names=["basin", "day"])
    model = fitted(panel, panel[["rain"]])
    data = model.trace(panel).to_xarray()
    assert data.sequence.values.tolist() == ["b", "a"]
    assert data.time.dims == ("sequence", "step")
    np.testing.assert_array_equal(data.time[0], parts["b"].index)
    np.testing.assert_array_equal(data.time[1, :4], parts["a"].index)
    assert np.isnat(data.time.values[1, 4:]).all()
    assert bool(data.f.sel(sequence="a").isel(step=slice(4, None)).isnull().all())


def test_a_state_is_found_by_the_names_of_the_series():
    panel = pd.concat({"b": table(6), "a": table(6, seed=1)}, names=["basin", "day"])
    model = fitted(panel, panel[["rain"]])
    days = panel.index.get_level_values("day")
    _, state = model.predict(panel[days < "2020-01-04"], return_state=True)
    later = panel[days >= "2020-01-04"]
    swapped = later.loc[["a"]]
    whole, part = model.trace(panel), model.trace(swapped, state)
    require_equal(part, [each[:, 1:, 3:] for each in whole])
    with pytest.raises(ValueError, match="begins at"):
        model.trace(panel, state)


def test_a_grid_shares_its_times():
    times = pd.date_range("2020", periods=8, freq="h")
    coords = {"site": ["u", "v"], "time": times, "feature": ["rain", "snow"]}
    grid = xr.DataArray(drawn(2, 8, 2), coords, ("site", "time", "feature"))
    model = fitted(grid, grid.sel(feature=["rain"]))
    data = model.trace(grid, quantities="c").to_xarray()
    assert list(data) == ["c"]
    assert data.sequence.values.tolist() == ["u", "v"]
    assert data.time.dims == ("step",)
    np.testing.assert_array_equal(data.time, times)


def test_layers_and_projections_have_names():
    model = numlstm.LSTM(1, 4, bidirectional=True, num_layers=2, proj_size=2, rng=0)
    trace = model.trace(np.ones((2, 5, 1)), units=[3, 1], layers=[3, 0])
    data = trace.to_xarray()
    assert data.layer.values.tolist() == ["l1_reverse", "l0"]
    assert data.unit.values.tolist() == [3, 1]
    assert data.h.dims == ("layer", "sequence", "step", "output")
    assert data.h.attrs["long_name"] == "hidden state"
    assert "time" not in data.coords


def test_without_xarray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match='needs xarray: python -m pip install "xarray"'):
        numlstm.LSTM(1, 3, rng=0).trace(np.ones(4)).to_xarray()


def test_without_pandas_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas: python -m pip install pandas"):
        numlstm.LSTM(1, 3, rng=0).trace(np.ones(4)).to_frame()


def test_a_frame_has_a_row_for_each_step_and_a_column_for_each_unit():
    frame = table(20)
    model = fitted(frame, frame[["rain"]])
    trace = model.trace(frame, quantities="fc", units=[2, 0], steps=slice(5, 9))
    found = trace.to_frame()
    assert found.index.equals(frame.index[5:9])
    assert found.columns.tolist() == [(name, "l0", unit) for name in "cf" for unit in (0, 2)]
    np.testing.assert_array_equal(found["c", "l0"][[2, 0]], trace.c[0, 0])
    np.testing.assert_array_equal(found["f", "l0", 0], trace.f[0, 0, :, 1])
    berlin = frame.tz_localize("Europe/Berlin")
    assert model.trace(berlin).to_frame().index.equals(berlin.index)
    every = model.trace(frame)
    np.testing.assert_array_equal(every.to_frame()["c", "l0"], every.c[0, 0])
    assert model.trace(frame.to_numpy()).to_frame().index.tolist() == list(range(20))


def test_a_frame_of_several_sequences():
    parts = {"b": table(6), "a": table(4, seed=1).shift(freq="3D")}
    panel = pd.concat(parts, names=["basin", "day"])
    model = fitted(panel, panel[["rain"]])
    trace = model.trace(panel)
    found = trace.to_frame()
    assert found.index.names == ["sequence", "time"]
    np.testing.assert_array_equal(found.loc["a"][:4]["h", "l0"], trace.h[0, 1, :4])
    assert found.loc["a"].index[:4].equals(parts["a"].index)
    assert found.loc["a"][4:].isna().all(axis=None)
    stack = numlstm.LSTM(1, 4, bidirectional=True, num_layers=2, proj_size=2, rng=0)
    trace = stack.trace(np.ones((3, 5, 1)), layers=[3, 0])
    found = trace.to_frame()
    assert found.index.tolist() == [(row, step) for row in range(3) for step in range(5)]
    np.testing.assert_array_equal(found.loc[2]["h", "l0"], trace.h[1, 2])
    np.testing.assert_array_equal(found.loc[1]["o", "l1_reverse"], trace.o[0, 1])
    assert stack.trace(np.ones((2, 0, 1))).to_frame().shape == (0, 4 * (2 + 5 * 4))


def test_a_frame_of_several_time_zones_is_in_utc():
    frame = table(6)
    model = fitted(frame, frame[["rain"]])
    utc, berlin = frame.tz_localize("UTC"), frame.tz_localize("Europe/Berlin")
    times = model.trace([utc, berlin]).to_frame().index.get_level_values("time")
    assert times.equals(utc.index.append(berlin.index.tz_convert("UTC")))
    alike = model.trace([berlin, berlin[:4]]).to_frame().loc[0].index
    assert alike.equals(berlin.index)
    with pytest.raises(ValueError, match="some sequences of this trace have a time zone"):
        model.trace([berlin, frame]).to_frame()


def test_it_is_shown_in_one_line():
    frame = table(20)
    model = fitted(frame, frame[["rain"]])
    trace = model.trace(frame, quantities="fc", units=[0])
    assert repr(trace) == "<Trace of c, f: 1 layer(s), 1 sequence(s), 20 steps, 1 unit(s)>"
    dates = "dates: 20 labels from 2020-01-01 to 2020-01-20"
    assert repr(trace.axes) == f"<Axes of a trace: layers l0; 1 units; 20 steps; {dates}>"
    panel = pd.concat({"b": frame, "a": frame}, names=["basin", "day"])
    shown = repr(model.trace(panel).axes)
    assert "sequences: 2 labels from b to a; dates of the first: 20 labels from 2020" in shown
    assert repr(model.trace(frame.to_numpy()).axes).endswith("; 20 steps>")
