"""Predictions that go on where earlier ones ended, and outputs on request."""

import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import polars
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from helpers.harness import require_same
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling

SCALING = Scaling(*map(np.array, ([0.1, -3.0], [2.0, 0.3], [5.0, 0.0, -1.0], [0.1, 7.0, 1.0])))


def model_on(backend, *, inputs=2, output="sequence", dtype="float64", **options):
    model = numlstm.LSTM(inputs, 5, 3, dtype=dtype, rng=1, backend=backend.name, **options)
    model.output, model.scaling = output, SCALING
    return model


def with_gaps(backend, **options):
    model = model_on(backend, inputs=4, **options)
    model.filling = Imputer(np.array([0.3, -2.0]))
    return model


def numbers(*shape):
    return np.random.default_rng(2).standard_normal(shape)


def holes(*shape):
    X = numbers(*shape)
    return np.where(np.random.default_rng(3).random(shape) < 0.4, np.nan, X)


def require_state(backend, state, wanted):
    require_same(backend, state.h, wanted.h)
    require_same(backend, state.c, wanted.c)


@given(
    rows=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 7), max_size=3),
    layers=st.integers(1, 2),
    learned=st.booleans(),
    masks=st.booleans(),
    resets=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_parts_have_the_bits_of_the_whole(
    backend, rows, cuts, layers, learned, masks, resets, dtype
):
    made = with_gaps if masks else model_on
    model = made(backend, num_layers=layers, learned_state=learned, dtype=dtype)
    X = (holes if masks else numbers)(rows, 7, 2).astype(dtype)
    reset = np.random.default_rng(4).random((rows, 7)) < 0.3 if resets else None
    whole, end = model.predict(X, reset=reset, return_state=True)
    require_same(backend, whole, model.predict(X, reset=reset))
    parts, state, edges = [], None, [0, *sorted(cuts), 7]
    for start, stop in itertools.pairwise(edges):
        part = None if reset is None else reset[:, start:stop]
        Y, state = model.predict(X[:, start:stop], state=state, reset=part, return_state=True)
        parts.append(Y)
    require_same(backend, np.concatenate(parts, axis=1), whole)
    require_state(backend, state, end)


@pytest.mark.parametrize("made", [model_on, with_gaps])
@pytest.mark.parametrize("output", ["sequence", "last"])
def test_every_series_of_a_list_goes_on_from_its_own_end(backend, made, output):
    model, X = made(backend, output=output), holes(3, 9, 2)
    if made is model_on:
        X = np.nan_to_num(X)
    first, later = [X[0, :6], X[1, :2], X[2, :0]], [X[0, 6:], X[1, 2:4], X[2, :5]]
    _, state = model.predict(first, return_state=True)
    padded, of_padded = model.predict(X, lengths=[6, 2, 0], return_state=True)
    assert padded.shape[0] == state.h.shape[1] == 3
    require_state(backend, state, of_padded)
    Y = model.predict(later, state=state)
    wholes = model.predict([X[0], X[1, :4], X[2, :5]])
    for row, (part, whole) in enumerate(zip(Y, wholes, strict=True)):
        require_same(backend, part, whole[-len(later[row]) :] if output == "sequence" else whole)


def test_one_series_in_the_units_of_the_data(backend):
    model, X = model_on(backend), numbers(8, 2)
    Y, state = model.predict(X[:5], return_state=True)
    assert type(state) is numlstm.State
    assert state.h.shape == (1, 1, 5)
    _, inside = model.forward(model.scaling.inputs(X[None, :5]))
    require_state(backend, state, inside)
    require_same(backend, np.r_[Y, model.predict(X[5:], state=state)], model.predict(X))


def test_the_first_call_is_not_changed_by_the_second(backend):
    model, X = model_on(backend), numbers(2, 8, 2)
    _, state = model.predict(X, return_state=True)
    kept = copy.deepcopy(state)
    model.predict(X, state=state)
    np.testing.assert_array_equal(state.h, kept.h)
    np.testing.assert_array_equal(state.c, kept.c)


def test_labels_stay_with_every_part(backend):
    days = pd.date_range("2024-01-01", periods=8)
    frame = pd.DataFrame(numbers(8, 2), days, ["a", "b"])
    model = model_on(backend)
    whole = model.predict(frame)
    first, state = model.predict(frame[:5], return_state=True)
    second = model.predict(frame[5:], state=state)
    pd.testing.assert_frame_equal(pd.concat([first, second]), whole, check_freq=False)


def test_values_observed_before_the_end_go_with_the_state(backend):
    model = with_gaps(backend)
    X = np.array([[[1.0, np.nan], [np.nan, np.nan], [7.0, 8.0]], [[np.nan, 2.0]] * 3])
    reset = np.array([[False] * 3, [False, True, False]])
    _, state = model.predict(X, lengths=[2, 3], reset=reset, return_state=True)
    np.testing.assert_array_equal(state.observed, [[1.0, np.nan], [np.nan, 2.0]])
    for same in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        np.testing.assert_array_equal(same.observed, state.observed)
        require_same(backend, model.predict(X, state=same), model.predict(X, state=state))


def test_values_keep_their_digits_whatever_the_next_part_has(backend):
    model, X = with_gaps(backend, dtype="float64"), holes(1, 9, 2)
    later = np.where(np.isnan(X[:, 4:]), np.nan, np.round(X[:, 4:] * 8) / 8)
    X[:, 4:] = later
    _, state = model.predict(X[:, :4], return_state=True)
    Y = model.predict(later.astype("float32"), state=state)
    np.testing.assert_array_equal(Y, model.predict(X)[:, 4:].astype("float32"))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_all_outputs_of_a_model_of_the_last_step_on_request(backend, bidirectional):
    model, X = model_on(backend, output="last", bidirectional=bidirectional), numbers(3, 6, 2)
    Y = model.predict(X, output="sequence")
    inside, _ = model.forward(model.scaling.inputs(X))
    require_same(backend, Y, model.scaling.outputs(inside))
    if not bidirectional:
        require_same(backend, Y[:, -1], model.predict(X))
        for step in range(6):
            require_same(backend, Y[:, step], model.predict(X[:, : step + 1]))
    assert [part.shape for part in model.predict([X[0], X[1, :4]], output="sequence")] == [
        (6, 3),
        (4, 3),
    ]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_last_output_of_every_model_on_request(backend, bidirectional):
    model, X = model_on(backend, bidirectional=bidirectional), numbers(3, 6, 2)
    Y = model.predict(X, lengths=[6, 3, 1])
    last = model.predict(X, lengths=[6, 3, 1], output="last")
    require_same(backend, last, np.stack([Y[0, 5], Y[1, 2], Y[2, 0]]))
    require_same(backend, model.predict(X[0], output="last"), model.predict(X[0])[-1])
    np.testing.assert_array_equal(model.predict(X, output="sequence"), model.predict(X))
    for empty in ({"X": X[:, :0]}, {"X": X, "lengths": [6, 0, 1]}):
        with pytest.raises(ValueError, match="a sequence of X has no step"):
            model.predict(**empty, output="last")


def test_what_cannot_go_on_is_refused(backend):
    X = numbers(3, 6, 2)
    model, both = model_on(backend), model_on(backend, bidirectional=True)
    _, state = model.predict(X, return_state=True)
    for asked in ({"return_state": True}, {"state": state}):
        with pytest.raises(ValueError, match="a bidirectional network has no state to go on from"):
            both.predict(X, **asked)
        noisy = model_on(backend, dropout={"states": 0.5})
        with pytest.raises(ValueError, match="those of a continuation would be others"):
            noisy.predict(X, noise_rng=0, **asked)
    with pytest.raises(ValueError, match=r"state\.h must have shape \(1, 2, 5\)"):
        model.predict(X[:2], state=state)
    broken = state._replace(c=np.full_like(state.c, np.nan))
    with pytest.raises(ValueError, match=r"state\.c has 15 NaN or infinite"):
        model.predict(X, state=broken)
    with pytest.raises(TypeError, match=r"state must be a State\(h, c\)"):
        model.predict(X, state=3)
    with pytest.raises(TypeError, match="by the last value observed, which this state does not"):
        with_gaps(backend).predict(X, state=state)
    with pytest.raises(ValueError, match="output must be one of"):
        model.predict(X, output="first")
    with pytest.raises(TypeError, match="return_state must be True or False"):
        model.predict(X, return_state=1)


STATIONS, DAYS = ["C08", "C01", "C20"], pd.date_range("2024-01-01", periods=8)


def panel(X):
    index = pd.MultiIndex.from_product([STATIONS, DAYS], names=["station", "date"])
    return pd.DataFrame(X.reshape(-1, 2), index, ["a", "b"])


def until(frame, day):
    return frame[frame.index.get_level_values("date") < DAYS[day]]


def since(frame, day):
    return frame[frame.index.get_level_values("date") >= DAYS[day]]


def grid_of(X):
    coords = {"station": STATIONS, "time": DAYS, "feature": ["a", "b"]}
    return xarray.DataArray(X, coords, list(coords))


@pytest.mark.parametrize("made", [model_on, with_gaps])
@pytest.mark.parametrize("kept", [STATIONS, STATIONS[::-1], ["C20"], ["C01", "C08"]])
def test_a_state_goes_to_the_series_of_its_name(backend, made, kept):
    """In any order, and to some of them; the next state has theirs."""
    model, X = made(backend), (holes if made is with_gaps else numbers)(3, 8, 2)
    frame, grid = panel(X), grid_of(X)
    whole = model.predict(X)[[STATIONS.index(name) for name in kept]]
    _, state = model.predict(until(frame, 4), return_state=True)
    _, same = model.predict(grid[:, :4], return_state=True)
    require_state(backend, same, state)
    for before in (state, pickle.loads(pickle.dumps(state)), copy.deepcopy(state), same):
        part = frame.loc[kept]
        middle, now = model.predict(until(since(part, 4), 6), state=before, return_state=True)
        end = model.predict(since(part, 6), state=now)
        Y = np.concatenate([Y.to_numpy().reshape(len(kept), 2, 3) for Y in (middle, end)], axis=1)
        require_same(backend, Y, whole[:, 4:])
        again = model.predict(grid.sel(station=kept)[:, 4:], state=before)
        require_same(backend, again.to_numpy(), whole[:, 4:])


def test_a_state_of_other_series_is_refused(backend):
    model, frame = model_on(backend), panel(numbers(3, 8, 2))
    _, state = model.predict(until(frame, 4).loc[["C08", "C01"]], return_state=True)
    with pytest.raises(
        ValueError, match=r"state does not know 1 of the series of X, .* 'C20': it "
    ):
        model.predict(since(frame, 4), state=state)
    twice = grid_of(numbers(3, 8, 2)).assign_coords(station=["C01", "C01", "C08"])
    _, state = model.predict(twice[:, :4], return_state=True)
    assert model.predict(twice[:, 4:], state=state).shape == (3, 4, 3)
    with pytest.raises(ValueError, match="series of the same name"):
        model.predict(twice[::-1, 4:], state=state)


@pytest.mark.parametrize("day", [0, 3])
def test_a_part_that_was_read_before_is_refused(backend, day):
    model, X = model_on(backend), numbers(3, 8, 2)
    frame, grid = panel(X), grid_of(X)
    series = pd.DataFrame(X[0], DAYS, ["a", "b"])
    column = polars.DataFrame({"date": DAYS.to_numpy(), "a": X[0, :, 0], "b": X[0, :, 1]})
    periods = series.set_axis(series.index.to_period("D"))
    for first, second in (
        (until(frame, 4), since(frame, day)),
        (grid[:, :4], grid[:, day:]),
        (series[:4], series[day:]),
        (periods[:4], periods[day:]),
        (column[:4], column[day:]),
        ([series[:2], series[:4]], [series[2:], series[day:]]),
    ):
        _, state = model.predict(first, return_state=True)
        with pytest.raises(ValueError, match=rf"begins at .*-0{day + 1}, and the state is .*-04: "):
            model.predict(second, state=state)
    _, state = model.predict(series[:4], return_state=True)
    _, state = model.predict(series[:0], state=state, return_state=True)  # nothing came
    with pytest.raises(ValueError, match="begins at"):
        model.predict(series[day:], state=state)
    with pytest.raises(ValueError, match=r"one has the time zone UTC"):
        model.predict(series[4:].tz_localize("UTC"), state=state)
    # a count of rows begins again in every part, and arrays have no labels
    for later in (series[4:].reset_index(drop=True), X[0, 4:], series[4:]):
        require_same(
            backend, np.asarray(model.predict(later, state=state)), model.predict(X[0])[4:]
        )


def test_a_state_with_names_is_a_state(backend):
    model, X = model_on(backend), numbers(3, 8, 2)
    _, state = model.predict(panel(X), return_state=True)
    _, plain = model.predict(X, return_state=True)
    assert isinstance(state, numlstm.State)
    assert type(plain) is numlstm.State
    for one, other in zip(model.forward(X, state)[1], model.forward(X, plain)[1], strict=True):
        require_same(backend, one, other)
    for one, other in zip(
        model.step(X[:, 0], state)[1], model.step(X[:, 0], plain)[1], strict=True
    ):
        require_same(backend, one, other)
    keep = [2, 0]
    some = numlstm.State(state.h[:, keep], state.c[:, keep])
    require_same(backend, model.predict(X[keep], state=some), model.predict(X, state=plain)[keep])


def test_one_step_of_every_series_is_no_series(backend):
    model, X = model_on(backend), numbers(3, 8, 2)
    _, state = model.predict(X, return_state=True)
    with pytest.raises(
        ValueError, match=r"state has 3 rows, .* X.reshape\(3, 1, -1\) is one step "
    ):
        model.predict(X[:, 0], state=state)
    assert model.predict(X[:, 0].reshape(3, 1, -1), state=state).shape == (3, 1, 3)
