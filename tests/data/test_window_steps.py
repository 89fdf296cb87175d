"""The steps of windows, each once, as a backend keeps them: windows of them are those of a cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numlstm.data import window_steps
from numlstm.data.arrays import Arrays
from numlstm.data.preparation import DataConfig
from numlstm.data.window_preparation import prepare_windows
from numlstm.utils.random_streams import RandomStreams

WINDOW = 5


def prepared(X, y, **options):
    beside = {name: options.pop(name, None) for name in Arrays._fields[2:]}
    config = DataConfig(window=WINDOW, standardize=True, **options)
    return prepare_windows(Arrays(X, y, **beside), config, "float32", RandomStreams(0))


def whole(steps):
    """All pieces, one behind the other."""
    parts = [piece.arrays for piece in steps.pieces()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def filled(arrays, places):
    """Inputs and masks of steps (B, T), filled by what came before in their windows."""
    X, age = arrays["X"], arrays["age"][places]
    back = np.where(age <= np.arange(places.shape[1])[:, None], age, 0)
    columns = np.arange(X.shape[1])
    there = X[places[..., None] - back, columns]
    return np.concatenate([there, (age == 0).astype(X.dtype)], axis=2)


@given(
    lengths=st.lists(st.integers(5, 30), min_size=1, max_size=3),
    stride=st.integers(1, 8),
    last=st.integers(1, WINDOW),
    masked=st.booleans(),
    at_once=st.sampled_from([1, 3, 64]),
    seed=st.integers(0, 99),
)
def test_windows_of_the_steps_are_those_of_a_cut(lengths, stride, last, masked, at_once, seed):
    draw = np.random.default_rng(seed)
    X = [draw.standard_normal((steps, 2)) for steps in lengths]
    y = [draw.standard_normal((steps, 2)) for steps in lengths]
    reset = [draw.random(steps) < 0.2 for steps in lengths]
    if masked:
        for part in X:
            part[1:][draw.random((len(part) - 1, 2)) < 0.5] = np.nan
    options = {"stride": stride, "predict_last": last, "reset": reset}
    options["static"] = draw.random((len(X), 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_steps, "_STEPS", at_once)
        patch.setattr("numlstm.data.sources._AT_ONCE", 1)
        data = prepared(X, y, missing="mask" if masked else "raise", **options).train
        steps = data.by_steps()
        arrays = whole(steps)
    assert {len(part) for part in arrays.values()} == {steps.count}
    assert sum(part.nbytes for part in arrays.values()) == steps.nbytes
    places = steps.starts(slice(None))[:, None] + np.arange(WINDOW)
    cut = data.cut(0, WINDOW)
    inputs = filled(arrays, places) if masked else arrays["X"][places]
    np.testing.assert_array_equal(inputs, cut.X)
    np.testing.assert_array_equal(arrays["reset"][places], cut.reset)
    np.testing.assert_array_equal(data.static[arrays["series"][places[:, 0]]], cut.static)
    for name in ("y", "weight"):
        own, expected = arrays[name][places][:, WINDOW - last :], getattr(cut, name)
        if last == 1:
            np.testing.assert_array_equal(own[:, 0], expected)
        else:
            np.testing.assert_array_equal(own, expected[:, WINDOW - last :])


def test_only_steps_of_windows_are_kept():
    X = [np.arange(20.0)[:, None], np.arange(3.0)[:, None], np.arange(30.0)[:, None]]
    with pytest.warns(UserWarning, match="1 of 3 series are shorter"):
        found = prepared(X, None, validation=0.5)
    train, judge = found.train.by_steps(), found.validation.by_steps()
    parts = (train, [(0, 9), (0, 0), (0, 15)]), (judge, [(5, 19), (0, 0), (11, 29)])
    for steps, spans in parts:
        begins, ends = steps.spans
        found = list(zip(begins.tolist(), ends.tolist(), strict=True))
        assert [found[0], found[2]] == [spans[0], spans[2]]
        assert begins[1] == ends[1]
        assert steps.count == len(whole(steps)["X"]) == sum(b - a for a, b in spans)
