"""Columns of frames: names of what comes back, and frames of one column where one value is read."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import numlstm

FEW = {"hidden_size": 2, "epochs": 2, "rng": 0}
RNG = np.random.default_rng(0)
DAYS = pd.date_range("2001", periods=30)
FRAME = pd.DataFrame({"date": DAYS, "x": RNG.standard_normal(30)})
LIBRARIES = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "pyarrow": pa.table}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("targets", "titles"),
    [
        (["date"], ["y0"]),
        (["q", "date"], ["q", "y1"]),
        (["date", "y0"], ["y1", "y0"]),
        (["y1", "date"], ["y1", "y2"]),
    ],
)
def test_a_target_called_as_the_times_comes_back(library, targets, titles):
    make = LIBRARIES[library]
    values = RNG.standard_normal((30, len(targets)))
    expected = numlstm.fit(FRAME[["x"]].to_numpy(), values, **FEW).model
    y = make(pd.DataFrame(values, columns=targets))
    model = numlstm.fit(make(FRAME), y, **FEW).model
    predicted = model.predict(make(FRAME))
    assert type(predicted) is type(y)
    frame = predicted if library == "pandas" else predicted.to_pandas()
    assert list(frame.columns) == ["date", *titles]
    np.testing.assert_array_equal(frame["date"], DAYS)
    np.testing.assert_array_equal(frame[titles], expected.predict(FRAME[["x"]].to_numpy()))
    assert list(model.predict(FRAME.set_index("date")).columns) == targets
