"""Heat maps of gates, states and attributions; and plotting without matplotlib."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.dates import date2num
from numpy.testing import assert_allclose, assert_array_equal

import numlstm
from helpers.pictures import labels
from helpers.processes import run_python
from numlstm import inspection, plotting

RNG = np.random.default_rng(0)
GATES = RNG.uniform(size=(3, 20, 5))
CELLS = RNG.normal(size=(20, 5))
DATES = pd.date_range("2020-03-01", periods=20, name="day")
INPUTS = pd.DataFrame({"rain": RNG.uniform(size=20), "snow": RNG.uniform(size=20)}, DATES)


def edges(mesh):
    """Where cells end, along x and y."""
    corners = mesh.get_coordinates()
    return corners[0, :, 0], corners[:, 0, 1]


@pytest.fixture(scope="module")
def model():
    return numlstm.LSTM(2, 5, 1, rng=0)


def test_gates_are_between_0_and_1():
    picture = plotting.gates(GATES, row=1)
    mesh = picture.artists["map"]
    assert_array_equal(mesh.get_array(), GATES[1].T)
    assert mesh.get_clim() == (0, 1)
    assert_array_equal(edges(mesh)[0], np.arange(21) - 0.5)
    assert_array_equal(edges(mesh)[1], np.arange(6) - 0.5)
    assert picture.artists["colorbar"].mappable is mesh
    assert (picture.axes.get_xlabel(), picture.axes.get_ylabel()) == ("step", "unit")
    message = r"between 0 and 1, received values from -.* to .*: numlstm.plotting.states draws"
    with pytest.raises(ValueError, match=message):
        plotting.gates(CELLS)


def test_states_are_symmetric_about_0():
    mesh = plotting.states(CELLS).artists["map"]
    assert mesh.get_clim() == (-np.abs(CELLS).max(), np.abs(CELLS).max())
    assert mesh.get_cmap().name == "RdBu_r"
    assert_allclose(mesh.cmap(mesh.norm(0.0))[:3], 0.97, atol=0.01)  # white
    assert plotting.states(np.zeros((4, 2))).artists["map"].get_clim() == (-1, 1)


def test_inputs_are_above_on_the_same_times():
    figure, axes, artists = plotting.gates(GATES[0], INPUTS)
    *above, below = axes
    assert all(ax.figure is figure for ax in axes)
    for ax, line, name in zip(above, artists["inputs"], INPUTS, strict=True):
        assert line.axes is ax  # millimetres and degrees have axes of their own
        assert line.get_label() == ax.get_title(loc="left") == name
        assert ax.get_legend() is None
        assert_array_equal(line.get_xdata(), DATES)
        assert_array_equal(line.get_ydata(), INPUTS[name])
    assert_allclose(edges(artists["map"])[0], date2num(DATES[0]) - 0.5 + np.arange(21))
    assert above[0].get_xlim() == above[1].get_xlim() == below.get_xlim()
    assert below.get_xlabel() == "day"
    figure.canvas.draw()
    x = [[ax.get_window_extent().x0, ax.get_window_extent().x1] for ax in axes]
    assert_allclose(x[0], x[2])  # one under the other, step by step
    assert_allclose(x[1], x[2])


def test_many_inputs_and_axes_for_all_of_them_share_one():
    _, axes = plt.subplots(2, layout="constrained")
    given = plotting.gates(GATES[0], INPUTS, ax=axes)
    many = plotting.gates(GATES[0], RNG.normal(size=(20, 7)))
    for picture, names in ((given, list(INPUTS)), (many, [f"feature {i}" for i in range(7)])):
        above = picture.axes[0]
        assert picture.axes.shape == (2,)
        assert {line.axes for line in picture.artists["inputs"]} == {above}
        assert labels(above) == names
        picture.figure.canvas.draw()
        legend = above.get_legend().get_window_extent()
        assert legend.y0 >= above.get_window_extent().y1  # not on the curves
    _, axes = plt.subplots(3)
    apart = plotting.gates(GATES[0], INPUTS, ax=axes)
    assert [line.axes for line in apart.artists["inputs"]] == list(axes[:2])


def rows_of(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_rows_have_the_names_of_the_units():
    few = pd.DataFrame(CELLS, DATES)[[3, 1]]
    assert rows_of(plotting.states(few).axes) == ["3", "1"]
    assert rows_of(plotting.gates(GATES[0], names=list("abcde")).axes) == list("abcde")
    trace = numlstm.LSTM(2, 5, 1, rng=0).trace(INPUTS, units=[4, 2])
    assert rows_of(plotting.states(trace.c[0], names=trace.axes.units).axes) == ["4", "2"]
    assert rows_of(plotting.states(trace.to_xarray().c[0]).axes) == ["4", "2"]
    wide = plotting.states(pd.DataFrame(np.ones((3, 60)), columns=np.arange(60) + 7)).axes
    assert rows_of(wide) == [str(7 + unit) for unit in range(0, 60, 3)]
    assert_array_equal(wide.get_yticks(), np.arange(0, 60, 3))
    plain = plotting.states(pd.DataFrame(CELLS))  # numbers from 0 on are those of the axis
    assert_array_equal(plain.axes.get_yticks() % 1, 0)
    with pytest.raises(ValueError, match="names must be 5, one for each unit, received 1"):
        plotting.gates(GATES[0], names="a")


def test_every_unit_by_its_own_largest_value():
    cells = CELLS * [100, 1, -1, 0.01, 0]
    cells[3] = np.nan
    picture = plotting.states(cells, scale="unit")
    found = picture.artists["map"].get_array()
    largest = np.array([*np.nanmax(np.abs(cells[:, :4]), axis=0), 1])
    assert_allclose(np.ma.filled(found, np.nan), (cells / largest).T)
    assert picture.artists["map"].get_clim() == (-1, 1)
    assert picture.artists["colorbar"].ax.get_xlabel() == ""
    assert picture.artists["colorbar"].ax.get_ylabel() == "state / largest of the unit"
    assert plotting.states(CELLS).artists["colorbar"].ax.get_ylabel().startswith("state (units")
    with pytest.raises(ValueError, match=r"one of \['all', 'unit'\], received 'own'"):
        plotting.states(CELLS, scale="own")


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_axes_given_stay_one_under_the_other(layout):
    figure, axes = plt.subplots(2, layout=layout)
    picture = plotting.states(CELLS, np.ones(20), ax=axes)
    assert_array_equal(picture.axes, axes)
    figure.canvas.draw()
    x = [[ax.get_window_extent().x0, ax.get_window_extent().x1] for ax in axes]
    assert_allclose(x[0], x[1])


def test_a_row_is_that_of_values_and_inputs():
    X = RNG.normal(size=(3, 20, 1))
    picture = plotting.gates(GATES, X, row=2)
    assert_array_equal(picture.artists["map"].get_array(), GATES[2].T)
    assert_array_equal(picture.artists["inputs"][0].get_ydata(), X[2, :, 0])
    shared = plotting.gates(GATES, X[0], row=2)
    assert_array_equal(shared.artists["inputs"][0].get_ydata(), X[0, :, 0])
    ragged = plotting.gates([GATES[0, :7], GATES[1]], row=0)
    assert ragged.artists["map"].get_array().shape == (5, 7)
    alone = plotting.gates(GATES[:1], X[:1])  # one needs no row
    assert_array_equal(alone.artists["map"].get_array(), GATES[0].T)


@pytest.mark.parametrize("row", [0, 1, -1])
@pytest.mark.parametrize("kind", ["arrays", "frames", "panel"])
def test_inputs_of_shorter_sequences_are_above_their_steps(model, row, kind):
    frames = [INPUTS[:12], INPUTS, INPUTS[3:9]]
    if kind == "arrays":
        X = [frame.to_numpy() for frame in frames]
    else:
        X = pd.concat(dict(zip("bac", frames, strict=True))) if kind == "panel" else frames
    trace = model.trace(X)
    for values in (trace.f[0], trace.to_xarray().f[0]):
        picture = plotting.gates(values, X, row=row)
        assert_array_equal(
            picture.artists["map"].get_array(), trace.f[0, row, : len(frames[row])].T
        )
        line = picture.artists["inputs"][1]
        assert_array_equal(line.get_ydata(), frames[row]["snow"])
        times = frames[row].index if kind != "arrays" else np.arange(len(frames[row]))
        assert_array_equal(line.get_xdata(), times)
    plotting.states(trace.to_xarray().c[0], row=row)
    found = inspection.gradient_x_input(model, X)
    picture = plotting.attribution(found, row=row)
    assert_array_equal(picture.artists["map"].get_array(), found.values[row, : len(frames[row])].T)
    with pytest.raises(ValueError, match=r"has 3 sequences, .*: pass row=, 0 to 2"):
        plotting.attribution(found)


def test_times_of_a_trace_are_those_of_its_inputs(model):
    values = model.trace(INPUTS).to_xarray().f[0]
    line = plotting.gates(values, INPUTS).artists["inputs"][0]
    assert_array_equal(line.get_xdata(), DATES)
    later = INPUTS.set_axis(INPUTS.index + pd.Timedelta("1D"))
    with pytest.raises(ValueError, match="in row 0 values has 2020-03-01, inputs 2020-03-02"):
        plotting.gates(values, later)
    with pytest.raises(ValueError, match="inputs must have the 20 steps of values, received 8"):
        plotting.gates(values, INPUTS[:8])
    years = INPUTS.set_axis(np.arange(1990, 2010))  # no dates, of which a trace knows nothing
    plotting.gates(model.trace(years).to_xarray().f[0], years)


def test_a_trace_is_drawn_at_the_clocks_of_its_inputs(model):
    local = INPUTS.set_axis(DATES.tz_localize("Asia/Tokyo"))
    picture = plotting.gates(model.trace(local).to_xarray().f[0], local)
    assert_array_equal(picture.artists["inputs"][0].get_xdata(), DATES)
    assert_allclose(edges(picture.artists["map"])[0], date2num(DATES[0]) - 0.5 + np.arange(21))


def test_steps_after_the_end_stay_blank():
    values = GATES[0].copy()
    values[15:] = np.nan
    found = plotting.gates(values).artists["map"].get_array()
    assert_array_equal(np.ma.getmaskarray(found), np.isnan(values.T))


def test_data_arrays_by_their_dimensions():
    array = xr.DataArray(
        GATES,
        {"time": DATES.to_numpy()},
        ("sequence", "time", "unit"),
        name="f",
        attrs={"long_name": "forget gate"},
    )
    for given in (array[1], array[1].T):
        picture = plotting.gates(given)
        assert_array_equal(picture.artists["map"].get_array(), GATES[1].T)
        assert picture.artists["colorbar"].ax.get_ylabel() == "forget gate"
    for given in (array, array.transpose("time", "unit", "sequence")):
        picture = plotting.gates(given, row=1)
        assert_array_equal(picture.artists["map"].get_array(), GATES[1].T)
    assert_allclose(edges(picture.artists["map"])[0], date2num(DATES[0]) - 0.5 + np.arange(21))


def test_dates_beside_the_numbers_of_steps_are_the_axis():
    """As `Trace.to_xarray` gives them."""
    coords = {"step": np.arange(20), "time": ("step", DATES.to_numpy()), "unit": np.arange(5)}
    array = xr.DataArray(GATES, coords, ("sequence", "step", "unit"))
    picture = plotting.gates(array, row=0)
    assert_array_equal(picture.artists["map"].get_array(), GATES[0].T)
    assert_allclose(edges(picture.artists["map"])[0], date2num(DATES[0]) - 0.5 + np.arange(21))
    assert picture.axes.get_xlabel() == "time"


def test_uneven_times_have_uneven_cells():
    times = pd.Index([0.0, 1.0, 4.0, 5.0], name="hour")
    mesh = plotting.attribution(pd.DataFrame(np.ones((4, 2)), times)).artists["map"]
    assert_array_equal(edges(mesh)[0], [-0.5, 0.5, 2.5, 4.5, 5.5])
    one = plotting.attribution(pd.DataFrame(np.ones((1, 2)), DATES[:1])).artists["map"]
    assert_allclose(np.diff(edges(one)[0]), 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": GATES}, r"3 sequences, shape \(3, 20, 5\): pass row=, 0 to 2, to say which"),
        ({"values": GATES, "row": 3}, "row must be below 3, the sequences of values, received 3"),
        ({"values": GATES[0], "row": 1}, r"values is one, of shape \(20, 5\): leave it out"),
        ({"values": GATES[None]}, r"received \(1, 3, 20, 5\): choose a layer, a sequence or an ou"),
        ({"values": GATES[0], "inputs": np.ones(19)}, "the 20 steps of values, received 19"),
        ({"values": GATES[0], "inputs": INPUTS, "ax": 0}, "array of 2 matplotlib Axes, received 1"),
        ({"values": INPUTS[::-1]}, "times of values must go forward"),
        (
            {"values": INPUTS, "inputs": INPUTS.shift(freq="D")},
            "inputs has other labels than values",
        ),
    ],
)
def test_what_is_no_heat_map(arguments, message):
    if "ax" in arguments:
        arguments = arguments | {"ax": plt.subplots()[1]}
    with pytest.raises(ValueError, match=message):
        plotting.gates(**arguments)


def test_attributions_over_steps_and_lags():
    _, ax, artists = plotting.attribution(INPUTS - 0.4)
    assert_array_equal(artists["map"].get_array(), INPUTS.to_numpy().T - 0.4)
    reach = np.abs(INPUTS.to_numpy() - 0.4).max()
    assert artists["map"].get_clim() == (-reach, reach)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rain", "snow"]
    assert ax.get_ylim() == (1.5, -0.5)  # the first feature is on top
    over_lags = plotting.attribution(CELLS, lags=True, names=list("abcde"))
    assert over_lags.axes.get_xlim() == (19.5, -0.5)  # the past is on the left
    assert over_lags.axes.get_xlabel() == "lag (steps before)"
    with pytest.raises(ValueError, match="names must be 5, one for each feature, received 2"):
        plotting.attribution(CELLS, names=["a", "b"])


def test_a_trace_as_array_and_as_data_array(model):
    trace = model.trace(INPUTS)
    picture = plotting.gates(trace.f[0], INPUTS)
    assert_array_equal(picture.artists["map"].get_array(), trace.f[0, 0].T)
    by_name = plotting.states(trace.to_xarray().c[0])
    assert_array_equal(by_name.artists["map"].get_array(), trace.c[0, 0].T)
    assert by_name.artists["colorbar"].ax.get_ylabel() == "cell"
    for mesh in (picture.artists["map"], by_name.artists["map"]):
        assert_allclose(edges(mesh)[0], date2num(DATES[0]) - 0.5 + np.arange(21))


def test_attributions_of_a_model(model):
    found = inspection.gradient_x_input(model, INPUTS)
    picture = plotting.attribution(found)
    assert_array_equal(picture.artists["map"].get_array(), found.values[0].T)
    assert_allclose(edges(picture.artists["map"])[0], date2num(DATES[0]) - 0.5 + np.arange(21))
    assert [label.get_text() for label in picture.axes.get_yticklabels()] == ["rain", "snow"]
    many = inspection.gradient_x_input(model, RNG.normal(size=(3, 9, 2)))
    picture = plotting.attribution(many, row=2)
    assert_array_equal(picture.artists["map"].get_array(), many.values[2].T)
    assert picture.artists["colorbar"].ax.get_ylabel() == f"attribution to\n{many.output}"


@pytest.mark.parametrize("step", [None, 12])
@pytest.mark.parametrize("kind", ["frame", "array", "list"])
def test_attributions_over_lags_count_from_the_step_that_is_explained(model, step, kind):
    X = {"frame": INPUTS, "array": INPUTS.to_numpy(), "list": [INPUTS[:15], INPUTS]}[kind]
    row = 1 if kind == "list" else 0
    found = inspection.gradient_x_input(model, X, step=step)
    last = 19 if step is None else step
    picture = plotting.attribution(found, lags=True, row=row if kind == "list" else None)
    mesh = picture.artists["map"]
    assert_array_equal(edges(mesh)[0], np.arange(last - 19, last + 2) - 0.5)
    assert_array_equal(mesh.get_array()[:, 19 - last], found.values[row, last])  # lag 0
    assert_array_equal(mesh.get_array()[:, -1], found.values[row, 0])
    assert picture.axes.get_xlim() == (last + 0.5, last - 19.5)
    assert picture.axes.get_xlabel() == "lag (steps before)"


def test_attributions_of_rows_of_a_table():
    X = pd.DataFrame(RNG.normal(size=(20, 6)))
    estimator = numlstm.LSTMRegressor(hidden_size=3, epochs=1, random_state=0).fit(X, X[5])
    found = inspection.gradient_x_input(estimator, X)
    mesh = plotting.attribution(found, row=4).artists["map"]
    assert_array_equal(mesh.get_array(), found.values[4].T)


def test_lags_of_windows_and_of_what_is_known_ahead():
    X = RNG.normal(size=(40, 1))
    fitted = numlstm.fit(X, X, window=7, **OPTIONS).model
    mesh = plotting.attribution(inspection.gradient_x_input(fitted, X), lags=True).artists["map"]
    assert_array_equal(edges(mesh)[0], np.arange(8) - 0.5)
    fitted = numlstm.fit(X, future=X, horizon=3, **OPTIONS).model
    found = inspection.gradient_x_input(fitted, X[:20], future=X[:23], ahead=3, step=-2)
    mesh = plotting.attribution(found, lags=True).artists["map"]
    drawn = np.ma.filled(mesh.get_array(), np.nan)
    assert_array_equal(edges(mesh)[0], np.arange(-4, 20) - 0.5)
    assert_array_equal(drawn[1], found.future[0, ::-1, 0])
    assert_array_equal(drawn[0, 3:], found.values[0, ::-1, 0])
    with pytest.raises(ValueError, match="reads the rows of values as lags, 0 first, and these"):
        plotting.attribution(INPUTS, lags=True)


OPTIONS = {"hidden_size": 3, "epochs": 1, "rng": 0}


def test_attributions_of_attributes_are_bars():
    about = RNG.normal(size=(4, 3))
    X, y = RNG.normal(size=(2, 4, 9, 2))
    fitted = numlstm.fit(X, y[..., :1], static=about, **OPTIONS).model
    found = inspection.gradient_x_input(fitted, X, static=about)
    figure, axes, artists = plotting.attribution(found, row=1)
    assert [ax.figure for ax in axes] == [figure, figure]
    assert_array_equal(artists["map"].get_array(), found.values[1].T)
    assert_array_equal([bar.get_width() for bar in artists["static"]], found.static[1])
    reach = max(np.abs(found.values[1]).max(), np.abs(found.static[1]).max())
    assert artists["map"].get_clim() == (-reach, reach)
    assert rows_of(axes[1]) == ["attribute 0", "attribute 1", "attribute 2"]
    with pytest.raises(ValueError, match="array of 2 matplotlib Axes, received 1 of them"):
        plotting.attribution(found, row=1, ax=axes[0])
    named = pd.DataFrame(about, columns=["area", "height", "forest"])
    fitted = numlstm.fit(X, y[..., :1], static=named, **OPTIONS).model
    picture = plotting.attribution(inspection.gradient_x_input(fitted, X, static=named), row=1)
    assert rows_of(picture.axes[1]) == ["area", "height", "forest"]


def test_attributions_of_what_is_known_ahead_are_further_rows():
    series = pd.Series(RNG.normal(size=30), pd.date_range("2020-03-01", periods=30))
    ahead = pd.DataFrame(RNG.normal(size=(30, 2)), series.index, ["price", "holiday"])
    for X, future in ((series, ahead), (series.to_numpy(), ahead.to_numpy())):
        fitted = numlstm.fit(X, future=future, horizon=3, **OPTIONS).model
        found = inspection.gradient_x_input(fitted, X[:20], future=future[:23], ahead=3)
        picture = plotting.attribution(found)
        drawn = np.ma.filled(picture.artists["map"].get_array(), np.nan)
        assert_array_equal(drawn[0], [*found.values[0, :, 0], *[np.nan] * 3])
        assert_array_equal(drawn[1:], found.future[0].T)
        names = list(ahead) if X is series else ["known ahead 0", "known ahead 1"]
        assert rows_of(picture.axes)[1:] == names
        start = date2num(series.index[0]) if X is series else 0
        assert_allclose(edges(picture.artists["map"])[0], start - 0.5 + np.arange(24))


def test_inputs_are_not_changed():
    frames = INPUTS.copy(), GATES.copy()
    plotting.gates(GATES, INPUTS, row=0)
    plotting.attribution(INPUTS)
    pd.testing.assert_frame_equal(INPUTS, frames[0])
    assert_array_equal(GATES, frames[1])


def test_matplotlib_is_imported_on_use():
    code = "import sys, numlstm.plotting; print('matplotlib' in sys.modules)"
    done = run_python("-c", code)
    assert done.stdout.strip() == "False", done.stderr


def test_without_matplotlib():
    code = """
import sys
sys.modules["matplotlib"] = None  # as if it were not installed
import numlstm
numlstm.plotting.gates([[0.5]])
"""
    done = run_python("-c", code)
    assert done.returncode == 1
    assert 'numlstm.plotting needs matplotlib: python -m pip install "numlstm[plot]"' in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ImportError: ")
