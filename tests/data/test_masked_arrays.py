"""Masked arrays are refused at every door: what is below a mask is not to be used."""

import numpy as np
import pytest

import numlstm


def masked(array):
    """One with a mask at its first entry."""
    mask = np.zeros(array.shape, bool)
    mask.flat[0] = True
    return np.ma.array(array, mask=mask)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("name", ["X", "y", "sample_weight", "lengths", "reset"])
def test_a_mask_is_never_dropped(name, as_list):
    """The values below it are what was not to be used."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 5, 2))
    right = {
        "X": X,
        "y": X[..., :1],
        "sample_weight": np.ones((6, 5)),
        "lengths": np.full(6, 5),
        "reset": np.zeros((6, 5), bool),
    }
    wrong = right | {name: masked(right[name])}
    if as_list:
        rows = list(wrong[name])
        wrong[name] = rows if name == "lengths" else [list(row) for row in rows]
    filled = {"lengths": r"0", "reset": "False", "sample_weight": "0"}.get(name, r"np\.nan")
    words = rf"{name} (is a masked array|has masked values).* fill .*{filled}"
    small = {"hidden_size": 2, "epochs": 1, "rng": 0}
    with pytest.raises(TypeError, match=words):
        numlstm.fit(**wrong, **small)
    with pytest.raises(TypeError, match=words):
        numlstm.fit(**right, validation=wrong, **small)
    model = numlstm.LSTM(2, 2, 1, rng=0)
    with pytest.raises(TypeError, match=words):
        numlstm.objective(model, **wrong)
    if name in ("X", "lengths", "reset"):
        shown = {key: wrong[key] for key in ("X", "lengths", "reset")}
        with pytest.raises(TypeError, match=words):
            model.predict(**shown)
        with pytest.raises(TypeError, match=words):
            model.forward(**shown)


def test_a_mask_in_a_list_of_series_is_never_dropped():
    X = np.random.default_rng(0).standard_normal((2, 5, 1))
    small = {"hidden_size": 2, "epochs": 1, "rng": 0}
    with pytest.raises(TypeError, match=r"X\[1\] has masked values"):
        numlstm.fit([X[0], list(masked(X[1]))], [X[0], X[1]], **small)
    with pytest.raises(TypeError, match=r"y\[0\] has masked values"):
        numlstm.fit(list(X), [list(masked(X[0])), X[1]], **small)
    resets = [masked(np.zeros(5, bool)), np.zeros(5, bool)]
    weights = [masked(np.ones(5)), np.ones(5)]
    with pytest.raises(TypeError, match=r"reset has masked values.*filled\(False\)"):
        numlstm.fit(list(X), list(X), reset=resets, **small)
    with pytest.raises(TypeError, match=r"sample_weight has masked values.*filled\(0\)"):
        numlstm.fit(list(X), list(X), sample_weight=weights, **small)


def test_the_reset_of_a_step_keeps_its_mask():
    model = numlstm.LSTM(2, 2, 1, rng=0)
    with pytest.raises(TypeError, match="reset is a masked array"):
        model.step(np.zeros((3, 2)), None, reset=masked(np.ones(3, bool)))
