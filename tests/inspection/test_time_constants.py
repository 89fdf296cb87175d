"""Time constants of units, from forget gates that are known."""

import datetime
import sys
import tracemalloc

import numpy as np
import pytest

import numlstm
from numlstm import inspection


def constant_gates(*biases, layers=1, **options):
    """A network whose forget gates do not depend on what it reads."""
    size = len(biases)
    model = numlstm.LSTM(1, size, 1, num_layers=layers, dtype="float64", rng=0, **options)
    for name, part in model.params.items():
        if name.startswith("weight") and "hr" not in name:
            part[size : 2 * size] = 0
        elif name.startswith("bias"):
            part[size : 2 * size] = biases
    return model


def test_a_constant_gate_has_the_time_constant_of_its_decay():
    model = constant_gates(0.0, 3.0, -900.0, 40.0, layers=2, learned_state=True)
    found = inspection.time_constants(model, np.ones((2, 7, 1)), lengths=[7, 3])
    f = 1 / (1 + np.exp(-np.array([0.0, 3.0])))
    assert found.steps.shape == found.forget.shape == (2, 4)
    np.testing.assert_allclose(found.forget[:, :2], [f, f], rtol=1e-12)
    np.testing.assert_allclose(found.steps[:, :2], [-1 / np.log(f)] * 2, rtol=1e-11)
    assert (found.steps[:, 2] == 0).all()  # always shut
    assert np.isinf(found.steps[:, 3]).all()  # always open
    assert found.durations is None


def test_the_mean_is_that_of_products():
    model = numlstm.LSTM(2, 3, 1, num_layers=2, bidirectional=True, dtype="float64", rng=0)
    X, lengths = np.random.default_rng(0).standard_normal((4, 9, 2)), [9, 1, 4, 6]
    found = inspection.time_constants(model, X, lengths=lengths)
    f = model.trace(X, lengths=lengths).f
    logs = [np.log(f[:, row, :length]).sum(axis=1) for row, length in enumerate(lengths)]
    np.testing.assert_allclose(found.forget, np.exp(sum(logs) / 20), rtol=1e-13)
    assert found.steps.shape == (4, 3)


@pytest.mark.parametrize("zoneout", [0.0, 0.1])
def test_time_constants_are_those_of_a_measured_decay(zoneout):
    model = constant_gates(2.0, 0.5, dropout={"zoneout_c": zoneout})
    for name, part in model.params.items():
        if name.startswith("weight"):
            part[:] = 0
    model.params["bias_l0"][4:6] = 0.3
    c = model.trace(np.ones((1, 20, 1)), quantities="c").c[0, 0]
    change = np.diff(c, axis=0)  # towards where it stays: a pure decay
    found = inspection.time_constants(model, np.ones((1, 20, 1)))
    np.testing.assert_allclose(found.steps[0], -1 / np.log(change[3] / change[2]), rtol=1e-9)
    np.testing.assert_allclose(found.forget[0], change[3] / change[2], rtol=1e-9)


def test_zoneout_keeps_a_share_whatever_the_gate_does():
    never = {"cell": {"forget_gate": "none"}, "dropout": {"zoneout_c": 0.25}}
    open_ = inspection.time_constants(numlstm.LSTM(1, 3, 1, rng=0, **never), np.ones((2, 5, 1)))
    assert np.isinf(open_.steps).all()
    shut = constant_gates(-900.0, dropout={"zoneout_c": 0.25})
    found = inspection.time_constants(shut, np.ones((2, 5, 1)))
    np.testing.assert_allclose(found.steps, -1 / np.log(0.25))


def test_quantiles_tell_a_store_that_is_held_for_a_part_of_the_time():
    """The gate is open but where the input says so: 70 % of the steps, and shut in the others."""
    model = constant_gates(8.0, 2.0, layers=1)
    model.params["weight_ih_l0"][2] = -9.0
    X = np.zeros((2, 50, 1))
    X[:, 35:] = 1
    found = inspection.time_constants(model, X, lengths=[50, 50])
    f = 1 / (1 + np.exp(-np.array([-1.0, 8.0])))
    shut, held = -1 / np.log(f)
    np.testing.assert_allclose(found.quantiles[:, 0, 0], [shut, held, held], rtol=1e-9)
    assert found.steps[0, 0] < 3  # of 3000
    np.testing.assert_allclose(found.quantiles[:, 0, 1], found.steps[0, 1], rtol=1e-9)
    ragged = inspection.time_constants(model, X, lengths=[35, 1])
    np.testing.assert_allclose(ragged.quantiles[:, 0, 0], held, rtol=1e-9)


def test_quantiles_are_taken_in_blocks_of_units(monkeypatch):
    model = numlstm.LSTM(2, 5, 1, num_layers=2, dtype="float64", rng=0)
    X = np.random.default_rng(0).standard_normal((3, 9, 2))
    whole = inspection.time_constants(model, X).quantiles
    f = np.quantile(model.trace(X).f, [0.1, 0.5, 0.9], axis=(1, 2))
    np.testing.assert_allclose(whole, -1 / np.log(f), rtol=1e-12)
    module = sys.modules["numlstm.inspection.memory.time_constants"]  # a function has its name
    monkeypatch.setattr(module, "_HELD", 60)
    np.testing.assert_array_equal(inspection.time_constants(model, X).quantiles, whole)


def test_durations_are_shown_in_words():
    pandas = pytest.importorskip("pandas")
    index = pandas.date_range("2020-01-01", periods=30, freq="6h")
    model = constant_gates(3.0, 40.0, -2.0)
    shown = repr(inspection.time_constants(model, pandas.Series(np.ones(30), index)))
    assert "durations=array([['5.15 days', 'NaT', '2.82 hours']]" in " ".join(shown.split())
    assert shown.startswith("TimeConstants(steps=array([[")
    assert "durations=None" in repr(inspection.time_constants(model, np.ones(30)))


def test_a_cell_that_cannot_forget_keeps_for_ever():
    model = numlstm.LSTM(1, 3, 1, cell={"forget_gate": "none"}, rng=0)
    found = inspection.time_constants(model, np.ones((2, 5, 1)))
    assert np.isinf(found.steps).all()
    assert np.isinf(found.quantiles).all()
    assert (found.forget == 1).all()


def test_slices_change_nothing(monkeypatch):
    model = numlstm.LSTM(2, 3, 1, num_layers=2, rng=0)
    X, lengths = np.random.default_rng(0).standard_normal((4, 9, 2)), [9, 1, 4, 6]
    whole = inspection.time_constants(model, X, lengths=lengths)
    module = sys.modules[
        "numlstm.inspection.memory.time_constants"
    ]  # the name is that of the function
    monkeypatch.setattr(module, "_HELD", 48)
    parts = inspection.time_constants(model, X, lengths=lengths)
    np.testing.assert_allclose(parts.forget, whole.forget, rtol=1e-14)


def test_no_more_than_a_slice_is_held_beside_the_gates():
    module = sys.modules["numlstm.inspection.memory.time_constants"]
    gates = np.full((1, 1, 100_000, 64), 0.5, np.float32)
    tracemalloc.start()
    forget = module._geometric_means(gates, 0.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(forget, 0.5)
    assert peak < 2 * gates.nbytes, peak / gates.nbytes


def test_dates_say_how_long_that_is():
    pandas = pytest.importorskip("pandas")
    index = pandas.date_range("2020-01-01", periods=30, freq="6h")
    frame = pandas.DataFrame({"rain": np.random.default_rng(0).random(30)}, index=index)
    model = constant_gates(2.0, 40.0)
    found = inspection.time_constants(model, frame)
    np.testing.assert_allclose(found.durations[0, 0] / np.timedelta64(6, "h"), found.steps[0, 0])
    assert np.isnat(found.durations[0, 1])  # infinite
    plain = inspection.time_constants(model, frame.to_numpy())
    np.testing.assert_array_equal(plain.steps, found.steps)


class Day(datetime.timedelta):
    """A day of a calendar of which NumPy knows nothing, as cftime has them."""

    calendar, year = "noleap", 2020


@pytest.mark.parametrize("kind", ["periods", "intervals", "other calendars"])
def test_dates_of_any_kind_say_how_long_that_is(kind):
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2020-01-01", periods=9, freq="2D")
    kinds = {
        "periods": lambda: days[:8].to_period("D"),
        "intervals": lambda: pandas.IntervalIndex.from_breaks(days),
        "other calendars": lambda: pandas.Index([Day(2 * i) for i in range(8)], dtype=object),
    }
    frame = pandas.DataFrame({"rain": np.ones(8)}, index=kinds[kind]())
    found = inspection.time_constants(constant_gates(2.0), frame)
    np.testing.assert_allclose(found.durations / np.timedelta64(2, "D"), found.steps)


def test_windows_of_a_bidirectional_network_are_to_be_passed():
    X = np.random.default_rng(0).standard_normal((40, 1))
    model = numlstm.fit(X, X, window=7, bidirectional=True, hidden_size=2, epochs=1, rng=0).model
    with pytest.raises(ValueError, match=r"set model\.window = None, and pass the windows of 7"):
        inspection.time_constants(model, X)
    model.window = None
    assert inspection.time_constants(model, X[:35].reshape(5, 7, 1)).steps.shape == (2, 2)


def test_estimators_are_looked_into_as_their_network_is():
    X = np.random.default_rng(0).standard_normal((6, 8, 2))
    estimator = numlstm.LSTMRegressor(hidden_size=3, epochs=1, random_state=0)
    estimator.fit(X, X[:, -1, 0])
    model = estimator.model_
    for function in (inspection.time_constants, inspection.memory_paths):
        for own, other in zip(function(estimator, X), function(model, X), strict=True):
            np.testing.assert_array_equal(own, other)
    lengths = inspection.memory_length(estimator, X)
    np.testing.assert_array_equal(lengths, inspection.memory_length(model, X))


def test_no_step_and_no_network_are_refused():
    model = constant_gates(0.0)
    with pytest.raises(ValueError, match="X has no step"):
        inspection.time_constants(model, np.ones((2, 4, 1)), lengths=[0, 0])
    with pytest.raises(TypeError, match="fitted estimator, not dict"):
        inspection.time_constants({}, np.ones((2, 4, 1)))
