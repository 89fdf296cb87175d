"""Names of outputs and features: none is lost, none is taken for another one."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import numlstm

RNG = np.random.default_rng(0)
DAYS = pd.date_range("2001-01-01", periods=30)
X, Y = RNG.standard_normal((2, 30))
FRAME = pd.DataFrame({"date": DAYS, "x": X})
FEW = {"hidden_size": 2, "epochs": 2, "rng": 0, "bptt_steps": 10}


@pytest.fixture(scope="module")
def plain():
    return numlstm.fit(X, Y, **FEW)


# --- outputs --------------------------------------------------------------------------------------


def columns(frame):
    """The columns of a frame of any library, as arrays by name."""
    named = frame if isinstance(frame, pd.DataFrame) else pl.from_arrow(pa.table(frame))
    return {name: named[name].to_numpy() for name in named.columns}


@pytest.mark.parametrize("library", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_a_target_called_like_the_time_keeps_its_predictions(plain, library):
    frame, y = library(FRAME), library(pd.DataFrame({"date": Y}))
    model = numlstm.fit(frame, y, **FEW).model
    predicted = columns(model.predict(frame))
    assert list(predicted) == ["date", "date_predicted"]
    np.testing.assert_array_equal(predicted["date"], DAYS)
    np.testing.assert_array_equal(predicted["date_predicted"], plain.model.predict(X)[:, 0])
    alone = columns(model.predict(library(FRAME[["x"]])))
    assert list(alone) == ["date"]
    np.testing.assert_array_equal(alone["date"], predicted["date_predicted"])


def test_a_name_that_is_taken_by_another_target():
    targets = pd.DataFrame({"date": Y, "date_predicted": X})
    model = numlstm.fit(FRAME, targets, **FEW).model
    predicted = model.predict(FRAME)
    assert list(predicted) == ["date", "date_predicted_predicted", "date_predicted"]
    np.testing.assert_array_equal(predicted.to_numpy()[:, 1:], model.predict(X))


def test_a_target_called_like_the_spread_of_another_one():
    targets = pd.DataFrame({"q": Y, "q_log_variance": X})
    options = FEW | {"loss": "gaussian_nll"}
    model = numlstm.fit(X, targets, **options).model
    expected = numlstm.fit(X, targets.to_numpy(), **options).model.predict(X)
    predicted = model.predict(FRAME[["x"]])
    assert len(set(predicted)) == 4
    np.testing.assert_array_equal(predicted, expected)
    np.testing.assert_array_equal(predicted[["q", "q_log_variance"]], expected[:, :2])


def test_gradients_of_rollouts_take_the_same_names():
    both = np.column_stack([X, Y])
    frame = pl.DataFrame({"date": DAYS.to_numpy(), "x": X, "y": Y})
    model = numlstm.fit(both, pd.DataFrame(both, columns=["date", "q"]), **FEW).model
    model.forecasts = True
    rolled, pullback = model.rollout_vjp(frame, 4)
    assert rolled.columns == ["date", "date_predicted", "q"]
    expected = model.rollout_vjp(both, 4)[1](rolled.to_numpy()[:, 1:].astype(float))
    np.testing.assert_array_equal(pullback(rolled).theta, expected.theta)


# --- the feature of a series ----------------------------------------------------------------------

FLOW = pd.Series(X, name="flow")


@pytest.mark.parametrize(
    "series",
    [FLOW, pl.Series("flow", X), FLOW.rename_axis("time").to_xarray(),
     pd.concat({"a": FLOW, "b": FLOW}, names=["basin", "step"]),
     [FLOW, FLOW[:20]], [pl.Series("flow", X)]],
    ids=["pandas", "polars", "xarray", "several", "list", "list of polars"],
)  # fmt: skip
def test_the_name_of_a_series_is_that_of_its_feature(series):
    model = numlstm.fit(series, hidden_size=2, epochs=2, rng=0).model
    assert model.feature_names_in_.tolist() == ["flow"]
    expected = model.predict(X)
    for known in (FLOW, FLOW.to_frame(), FLOW.rename(None), pl.Series(X)):
        np.testing.assert_array_equal(np.asarray(model.predict(known)), expected)
    for other in (FLOW.rename("rain"), pd.DataFrame({"rain": X}), [FLOW, FLOW.rename("rain")],
                  FLOW.rename("rain").rename_axis("time").to_xarray()):  # fmt: skip
        with pytest.raises(ValueError, match=r"lacks 'flow' and has 'rain'.*expected are 'flow'"):
            model.predict(other)
    with pytest.raises(ValueError, match="validation: X lacks 'flow' and has 'rain'"):
        numlstm.fit(FLOW, validation={"X": FLOW.rename("rain")}, **FEW)


def test_names_that_tell_series_apart_are_no_feature():
    """The columns of a frame, one by one."""
    one, two = FLOW.rename("upper"), pd.Series(Y, name="lower")
    options = {"hidden_size": 2, "epochs": 2, "rng": 0}
    model = numlstm.fit([one, two], **options).model
    np.testing.assert_array_equal(model.theta, numlstm.fit([X, Y], **options).x)
    assert model.feature_names_in_ is None
    predicted = model.predict(two.rename("third"))
    assert list(predicted) == ["y0"]
    np.testing.assert_array_equal(predicted, model.predict(Y))
    grids = [series.rename_axis("time").to_xarray() for series in (one, two)]
    np.testing.assert_array_equal(numlstm.fit(grids, **options).x, model.theta)
    with pytest.raises(ValueError, match=r"X\[1\] lacks 'upper' and has 'lower'"):
        numlstm.fit([one.to_frame(), two], **options)
