"""Where in labelled data a value is that is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import numlstm

FEW = {"hidden_size": 2, "epochs": 1, "rng": 0}
DAYS = pd.date_range("2000-01-01", periods=20)
LEVELS = pd.MultiIndex.from_product([["C01", "C08"], DAYS], names=["station", "date"])
X = pd.DataFrame(np.random.default_rng(0).random((40, 2)), LEVELS, ["rain", "temperature"])
HOLE = X.copy()
HOLE.iloc[25, 1] = np.nan


def grid_of(frame):
    return frame.to_xarray().to_array("feature").transpose("station", "date", "feature")


CASES = {
    "levels": (HOLE, "X['C08']"),
    "one series": (HOLE.loc["C08"], "X"),
    "list": ([HOLE.loc["C01"], HOLE.loc["C08"]], "X[1]"),
    "grid": (grid_of(HOLE), "X['C08']"),
    "one of a grid": (grid_of(HOLE)[1], "X"),
    "polars": (pl.from_pandas(HOLE.loc["C08"].reset_index()), "X"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_missing_input_is_named(case):
    given, name = CASES[case]
    model = numlstm.fit(X, **FEW).model
    for call in (lambda: numlstm.fit(given, **FEW), lambda: model.predict(given)):
        with pytest.raises(ValueError, match="first at index") as error:
            call()
        assert str(error.value).endswith(f"The first is 'temperature' of {name} at 2000-01-06")
        assert "missing='mask'" in str(error.value)


@pytest.mark.parametrize("case", ["levels", "one series", "grid", "list"])
def test_a_missing_target_is_named(case):
    whole = {
        "levels": X, "one series": X.loc["C08"], "grid": grid_of(X),
        "list": [X.loc["C01"], X.loc["C08"]],
    }[case]  # fmt: skip
    given, name = CASES[case]
    with pytest.raises(ValueError, match="nan_policy='omit'") as error:
        numlstm.fit(whole, given, **FEW)
    place = f"'temperature' of {name.replace('X', 'y')} at 2000-01-06"
    assert str(error.value).endswith(f"The first is {place}")


def test_a_missing_target_of_a_whole_series_is_named():
    y = pd.DataFrame({"mean": [1.0, np.nan]}, pd.Index(["C01", "C08"], name="station"))
    with pytest.raises(ValueError, match=r"The first is 'mean' of y at C08$"):
        numlstm.fit(X, y, **FEW)


def test_validation_has_places_too_and_arrays_have_none():
    with pytest.raises(ValueError, match=r"validation: X\[1\] has .* of X\['C08'\] at 2000-01-06$"):
        numlstm.fit(X, X.rain, validation=(HOLE, HOLE.rain), **FEW)
    with pytest.raises(ValueError, match=r"to which it is a missing input$"):
        numlstm.fit(HOLE.to_numpy(), **FEW)
