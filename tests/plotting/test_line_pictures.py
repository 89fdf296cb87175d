"""Learning curves, residuals, lags and eigenvalues: what is drawn, not its pixels."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.axes import Axes
from numpy.testing import assert_allclose, assert_array_equal

import numlstm
from helpers.pictures import data, labels
from numlstm import inspection, plotting
from numlstm.inspection import LagImportance, MemoryPaths

HISTORY = {
    "loss": np.array([1.0, 0.5, 0.3, 0.2]),
    "learning_rate": np.full(4, 0.1),
    "validation_loss": np.array([1.1, 0.6, 0.4, 0.7]),
    "validation_nse": np.array([-0.5, 0.2, 0.4, 0.3]),
}
DATES = pd.date_range("2020-03-01", periods=40, name="day")
SERIES = pd.Series(np.sin(np.arange(40) / 4), DATES, name="level")


# learning curves


def test_losses_by_epoch_with_the_best_one():
    figure, ax, artists = plotting.learning_curve(HISTORY)
    assert isinstance(ax, Axes)
    assert ax.figure is figure
    assert list(artists) == ["loss", "validation_loss", "best"]
    for name in ("loss", "validation_loss"):
        epochs, values = data(artists[name])
        assert_array_equal(epochs, [1, 2, 3, 4])
        assert_array_equal(values, HISTORY[name])
    assert_array_equal(artists["best"].get_xdata(), [3, 3])
    assert labels(ax) == ["training loss", "validation loss", "best epoch: 3"]
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim()) == ("epoch", "loss", (1, 4))


def test_metrics_on_request_in_axes_given():
    _, (above, below) = plt.subplots(2)
    plotting.learning_curve(HISTORY, ax=above)
    picture = plotting.learning_curve(HISTORY, ["validation_nse"], ax=below)
    assert picture.axes is below
    assert_array_equal(data(picture.artists["validation_nse"])[1], HISTORY["validation_nse"])
    assert below.get_yscale() == "linear"
    assert below.get_ylabel() == "validation nse"
    assert labels(below) == ["validation nse", "best epoch: 3"]


def test_losses_that_are_not_positive_have_a_linear_axis():
    picture = plotting.learning_curve({"loss": [0.5, -0.2, -1.0]})
    assert picture.axes.get_yscale() == "linear"
    assert "best" not in picture.artists


def test_the_best_epoch_of_a_resumed_run_is_the_least_that_is_known():
    history = {"loss": [1.0, 0.9, 0.8], "training_loss": [np.nan, 0.8, 0.7]}
    picture = plotting.learning_curve(history)
    assert labels(picture.axes)[-1] == "best epoch: 3"


def test_the_history_of_a_fit():
    result = numlstm.fit(np.sin(np.arange(60.0)), validation=0.2, epochs=3, hidden_size=2, rng=0)
    picture = plotting.learning_curve(result.history)
    assert_array_equal(data(picture.artists["loss"])[1], result.history["loss"])
    with pytest.raises(TypeError, match=r"result\.history of a fit, received FitResult"):
        plotting.learning_curve(result)


@pytest.mark.parametrize(
    ("history", "curves", "message"),
    [
        (HISTORY, 3, "no 3: pass curves="),
        (HISTORY, "rmse", r"no 'rmse': pass curves= one or several of \['loss', 'learning_rate'"),
        ({"nse": [1.0]}, None, r"none of the losses: pass curves= one or several of \['nse'\]"),
        ({"loss": np.ones((2, 3))}, None, r"one value per epoch, \(E,\), received \(2, 3\)"),
    ],
)
def test_curves_that_are_not_there(history, curves, message):
    with pytest.raises(ValueError, match=message):
        plotting.learning_curve(history, curves)


# residuals


def test_residuals_in_four_axes():
    rng = np.random.default_rng(0)
    truth, prediction = rng.normal(size=(2, 150))
    error = truth - prediction
    figure, axes, artists = plotting.residuals(truth, prediction[:, None], lags=12)
    assert axes.shape == (4,)
    assert all(ax.figure is figure for ax in axes)
    assert_array_equal(data(artists["time"])[1], error)
    lags, found = data(artists["autocorrelation"].markerline)
    assert_array_equal(lags, np.arange(1, 13))
    apart = error - error.mean()
    full = np.correlate(apart, apart, "full")[149:]
    assert_allclose(found, (full / full[0])[1:13], rtol=1e-12)
    band = artists["band"].get_extents().transformed(axes[1].transData.inverted())
    assert_allclose([band.y0, band.y1], [-1.96 / 150**0.5, 1.96 / 150**0.5], rtol=1e-9)
    assert_allclose(sum(bar.get_height() * bar.get_width() for bar in artists["histogram"]), 1)
    places, density = data(artists["density"])
    assert_allclose(density, scipy.stats.norm.pdf(places, error.mean(), error.std(ddof=1)))
    (normal, ordered), _ = scipy.stats.probplot(error)
    assert_allclose(data(artists["quantiles"]), (normal, ordered))
    ends, heights = data(artists["line"])
    assert_allclose(heights, error.mean() + error.std(ddof=1) * ends)


def test_missing_truths_are_left_out():
    """The autocorrelation is Parzen's: what is missing adds nothing to the sums."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=80)
    truth[20:30] = np.nan
    picture = plotting.residuals(truth, np.zeros(80), lags=1)
    apart = np.where(np.isnan(truth), 0, truth - np.nanmean(truth))
    (found,) = data(picture.artists["autocorrelation"].markerline)[1]
    assert_allclose(found, apart[1:] @ apart[:-1] / (apart @ apart))
    assert len(data(picture.artists["quantiles"])[1]) == 70


def test_residuals_in_axes_given():
    _, axes = plt.subplots(1, 4)
    picture = plotting.residuals(SERIES, np.zeros(40), ax=axes)
    assert_array_equal(picture.axes, axes)
    assert_array_equal(data(picture.artists["time"])[0], DATES)
    with pytest.raises(ValueError, match="array of 4 matplotlib Axes, received 1 of them"):
        plotting.residuals(SERIES, np.zeros(40), ax=axes[0])


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (SERIES, np.zeros(39), "same steps, received 40 and 39"),
        (SERIES, SERIES.shift(freq="D"), "prediction has other labels than truth"),
        (SERIES, SERIES + 1, "not all the same, received 40, all -1"),
        ([1.0, np.nan, np.nan], [0.0, 0.0, 0.0], "three residuals or more .* received 1, all 1"),
        (np.ones((5, 9, 1)), np.ones((5, 9, 1)), r"5 sequences, .* pass truth\[0\]"),
    ],
)
def test_residuals_of_which_there_is_nothing_to_draw(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        plotting.residuals(truth, prediction)


# lags


def test_importance_over_lags():
    values = np.random.default_rng(0).uniform(size=(30, 2))
    picture = plotting.lag_importance(pd.DataFrame(values, columns=["rain", "snow"]))
    for line, column in zip(picture.artists["lines"], values.T, strict=True):
        assert_array_equal(data(line)[0], np.arange(30))
        assert_array_equal(data(line)[1], column)
    assert labels(picture.axes) == ["rain", "snow"]
    alone = plotting.lag_importance(values[:, 0])
    assert alone.axes.get_legend() is None
    with pytest.raises(ValueError, match="names must be 2, one for each feature, received 1"):
        plotting.lag_importance(values, names="rain")


def test_importances_of_several_calls_can_be_told_apart():
    values = np.random.default_rng(0).uniform(size=(30, 3))
    _, ax = plt.subplots()
    ax.plot([0, 1], [1, 1])  # of the caller's own
    first = plotting.lag_importance(values[:, 0], names="rain", ax=ax)
    assert labels(ax) == ["rain"]
    second = plotting.lag_importance(values[:, 1:], names=["snow", "wind"], ax=ax)
    assert labels(ax) == ["rain", "snow", "wind"]
    lines = first.artists["lines"] + second.artists["lines"]
    alone = plotting.lag_importance(values).artists["lines"]
    assert [line.get_color() for line in lines] == [line.get_color() for line in alone]


def test_names_may_be_an_index():
    pandas = pytest.importorskip("pandas")
    model = numlstm.LSTM(2, 3, 1, rng=0)
    found = inspection.gradient_x_input(model, np.random.default_rng(0).normal(size=(3, 9, 2)))
    importance = inspection.lag_importance(found)
    for names in (pandas.Index(["rain", "snow"]), np.array(["rain", "snow"]), ["rain", "snow"]):
        assert labels(plotting.lag_importance(importance, names=names).axes) == ["rain", "snow"]
        picture = plotting.attribution(found, names=names, row=0)
        assert [tick.get_text() for tick in picture.axes.get_yticklabels()] == ["rain", "snow"]
    later = importance.lags + 5
    moved = plotting.lag_importance(importance, lags=later)
    frame = pandas.DataFrame(importance.values, later)
    for picture in (moved, plotting.lag_importance(frame)):
        assert_array_equal(picture.artists["lines"][0].get_xdata(), later)


def test_memory_says_what_it_is():
    model = numlstm.LSTM(1, 3, 1, rng=0)
    for keywords in ({}, {"times_input": True}):
        paths = inspection.memory_paths(model, np.ones(9), **keywords)
        assert plotting.memory(paths).axes.get_ylabel() == paths.quantity


def test_importances_of_attributions_have_their_unit():
    found = LagImportance(np.arange(5), np.ones((5, 1)), None)
    assert "units of the prediction" in plotting.lag_importance(found).axes.get_ylabel()
    attributions = inspection.gradient_x_input(numlstm.LSTM(1, 2, 1, rng=0), np.ones((3, 5, 1)))
    with pytest.raises(TypeError, match=r"pass numlstm\.inspection\.lag_importance"):
        plotting.lag_importance(attributions)


def test_lines_of_many_features_can_be_told_apart():
    lines = plotting.lag_importance(np.ones((5, 20))).artists["lines"]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


def test_memory_by_both_ways():
    lags = np.arange(50)
    total, cell = 0.8**lags, 0.6 * 0.8**lags
    picture = plotting.memory(total, cell, total - cell)
    expected = {"total": total, "cell": cell, "hidden": total - cell}
    assert list(picture.artists) == list(expected)
    for name, values in expected.items():
        assert_array_equal(data(picture.artists[name])[1], values)
    assert labels(picture.axes) == ["total", "through cells alone", "through hidden states"]
    assert picture.axes.get_yscale() == "log"
    assert plotting.memory(total - 0.5).axes.get_yscale() == "linear"
    with pytest.raises(ValueError, match="the same lags, received cell of 9 beside 50"):
        plotting.memory(total, cell[:9])


def test_memory_needs_a_total():
    with pytest.raises(TypeError, match="total must hold real numbers"):
        plotting.memory(None, cell=[0.5, 0.2])


def test_memory_of_one_feature_of_one_sequence():
    paths = np.random.default_rng(0).uniform(size=(3, 4, 20, 2))  # total, cell, hidden; B, K, I
    picture = plotting.memory(*paths, row=2, feature=1)
    for line, part in zip(picture.artists.values(), paths, strict=True):
        assert_array_equal(data(line)[1], part[2, :, 1])
    with pytest.raises(ValueError, match=r"4 sequences, a list: pass row=, 0 to 3"):
        plotting.memory(list(paths[0]))
    with pytest.raises(ValueError, match="total has 2 columns: pass feature=, 0 to 1"):
        plotting.memory(*paths[:, 0])


def test_memory_in_the_mean_over_sequences():
    """Those that do not reach so far back do not count."""
    total, cell = np.random.default_rng(0).uniform(size=(2, 4, 20, 2))
    total[1:, 15:] = cell[1:, 15:] = np.nan
    total[:, 19] = cell[:, 19] = np.nan
    parts = {"total": total, "cell": cell, "hidden": total - cell}
    picture = plotting.memory(MemoryPaths(**parts, names=("rain", "snow")), feature="snow")
    for name, values in parts.items():
        found = data(picture.artists[name])[1]
        assert_allclose(found[:15], values[:, :15, 1].mean(axis=0))
        assert_array_equal(found[15:], values[0, 15:, 1])
    assert labels(picture.axes)[0] == "total, mean of 4 sequences"
    one = plotting.memory(MemoryPaths(**parts), feature=1, row=-1)
    assert labels(one.axes)[0] == "total, sequence 3"
    assert labels(plotting.memory(total, feature=1).axes) == ["total, mean of 4 sequences"]


def test_results_of_inspection_are_drawn_as_they_are():
    parts = np.random.default_rng(0).uniform(size=(3, 20, 2))
    picture = plotting.memory(MemoryPaths(*parts, ("rain", "snow")), feature="snow")
    assert_array_equal(data(picture.artists["hidden"])[1], parts[2, :, 1])
    found = LagImportance(np.arange(-2, 18), parts[0], ("rain", "snow"))
    picture = plotting.lag_importance(found)
    assert_array_equal(data(picture.artists["lines"][1]), [found.lags, parts[0, :, 1]])
    assert labels(picture.axes) == ["rain", "snow"]
    with pytest.raises(ValueError, match=r"lags must be 20, as many as values, received \(3,\)"):
        plotting.lag_importance(parts[0], lags=[0, 1, 2])


# eigenvalues


def test_eigenvalues_beside_the_unit_circle():
    _, ax = plt.subplots()
    values = np.array([[0.5 + 0.5j, 0.5 - 0.5j], [-1.5, 0.25]])
    first = plotting.eigenvalues(values, ax=ax, label="network")
    second = plotting.eigenvalues([0.9], ax=ax, label="teacher", marker="x", color="tab:red")
    x, y = data(first.artists["points"])
    assert_array_equal(x + 1j * y, values.ravel())
    around = data(first.artists["circle"])
    assert_allclose(np.hypot(*around), 1)
    assert second.artists["circle"] is first.artists["circle"]
    assert labels(ax) == ["network", "teacher"]
    assert ax.get_aspect() == 1
    assert ax.get_xlim()[0] < -1.5
    assert ax.get_xlim()[1] > 1


def test_many_eigenvalues_are_no_blob():
    few, many = (plotting.eigenvalues(np.full(n, 0.9)).artists["points"] for n in (10, 400))
    assert few.get_alpha() is None
    assert many.get_alpha() < 0.5
    assert many.get_marker() == "."
    own = plotting.eigenvalues(np.full(400, 0.9), marker="x", alpha=1).artists["points"]
    assert (own.get_marker(), own.get_alpha()) == ("x", 1)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["a"], TypeError, r"must be numbers, real or complex, received \['a'\]"),
        ([], TypeError, "must be numbers"),
        ([np.nan], ValueError, "must be finite"),
    ],
)
def test_what_is_no_eigenvalue(values, kind, message):
    with pytest.raises(kind, match=message):
        plotting.eigenvalues(values)


# time constants


def test_time_constants_the_longest_first():
    picture = plotting.time_constants([2.0, np.inf, 30.0, 5.0])
    (points,) = picture.artists["layers"]
    assert_array_equal(data(points), [[1, 2, 3], [30, 5, 2]])
    assert [tick.get_text() for tick in picture.axes.get_xticklabels()] == ["1", "2", "3", "0"]
    assert labels(picture.axes) == ["layer 0, 1 without an end"]
    assert picture.axes.get_yscale() == "log"


def test_time_constants_of_layers():
    model = numlstm.LSTM(1, 6, 1, num_layers=2, rng=0)
    found = inspection.time_constants(model, np.ones((2, 9, 1)))
    picture = plotting.time_constants(found)
    for points, steps in zip(picture.artists["layers"], found.steps, strict=True):
        assert_array_equal(data(points)[1], np.sort(steps)[::-1])
    assert labels(picture.axes) == ["layer 0", "layer 1"]


@pytest.mark.parametrize("values", [[1.0, np.nan], [0.0, 1.0], [np.inf], np.ones((2, 2, 2))])
def test_what_is_no_time_constant(values):
    with pytest.raises(ValueError, match=r"time constants above 0, .* received"):
        plotting.time_constants(values)


# all of them

EVERY = {
    "attribution": lambda **ax: plotting.attribution(np.ones((5, 2)), **ax),
    "eigenvalues": lambda **ax: plotting.eigenvalues([0.5], **ax),
    "forecast": lambda **ax: plotting.forecast([0.5, 1], **ax),
    "gates": lambda **ax: plotting.gates(np.full((5, 2), 0.5), np.ones(5), **ax),
    "lag_importance": lambda **ax: plotting.lag_importance([0.5, 1], **ax),
    "learning_curve": lambda **ax: plotting.learning_curve(HISTORY, **ax),
    "memory": lambda **ax: plotting.memory([0.5, 1], **ax),
    "residuals": lambda **ax: plotting.residuals([0.5, 1, 3], np.zeros(3), **ax),
    "states": lambda **ax: plotting.states(np.ones((5, 2)), **ax),
    "time_constants": lambda **ax: plotting.time_constants([3.0, 0.5], **ax),
}


def test_every_picture_is_tried():
    assert list(EVERY) == plotting.__all__


@pytest.mark.parametrize("name", EVERY)
def test_pictures_change_no_setting_and_draw_without_a_warning(name):
    before = dict(plt.rcParams)
    current = plt.figure()
    picture = EVERY[name]()
    assert dict(plt.rcParams) == before
    assert picture.figure is not current
    picture.figure.canvas.draw()
    assert EVERY[name]().figure is not picture.figure


@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_axes_is_refused(name):
    with pytest.raises(TypeError, match=r"matplotlib Axes, as of .*subplots, received 3"):
        EVERY[name](ax=3)
