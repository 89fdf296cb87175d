"""What print and notebooks show of a fit."""

import re

import numpy as np
import pytest

import numlstm
from helpers.fits import batch, quick


def page_of(**history):
    history = {name: np.array(values, float) for name, values in history.items()}
    result = numlstm.FitResult(
        message="All <epochs> & more", success=True, status=0, fun=0.25, loss="mse", nit=4, nfev=8,
        history=history, data="one series",
    )  # fmt: skip
    return result._repr_html_()


def points(page):
    lines = re.findall(r'<polyline points="([^"]*)"', page)
    return [np.array([p.split(",") for p in line.split()], float) for line in lines]


def test_a_fit_is_shown_in_a_notebook():
    result = quick(*batch(), validation=0.25)
    page = result._repr_html_()
    best = result.history["validation_loss"].argmin()
    assert result.message in page
    assert f"{result.fun:.4g}" in page
    assert f"{result.history['validation_loss'][best]:.4g} at best, in epoch {best + 1}" in page
    assert result.data in page
    assert repr(result.model).strip("<>") in page
    assert "<LSTM" not in page
    assert [len(curve) for curve in points(page)] == [result.nit, result.nit]


def test_a_printed_fit_has_its_model_on_one_line():
    result = quick(*batch())
    (line,) = (line for line in str(result).split("\n") if "model" in line)
    assert line.strip() == f"model: {result.model!r}"
    assert repr(numlstm.FitResult()) == "FitResult()"


def test_texts_are_escaped():
    assert "All &lt;epochs&gt; &amp; more" in page_of(loss=[1, 2])


def test_the_curve_falls_as_the_loss_does_on_a_logarithmic_scale():
    (curve,) = points(page_of(loss=[1, 0.1, 0.01, 0.001]))
    assert np.all(np.diff(curve[:, 0]) > 0)
    heights = -curve[:, 1]
    np.testing.assert_allclose(np.diff(heights), np.diff(heights)[0], atol=0.11)  # printed digits
    assert heights[0] > heights[-1]


def test_a_curve_with_values_below_zero_is_linear():
    (curve,) = points(page_of(loss=[1, 0, -1]))
    assert curve[1, 1] == pytest.approx(curve[[0, 2], 1].mean())


@pytest.mark.parametrize("history", [{}, {"loss": [1.0]}, {"loss": [np.nan, np.inf]}])
def test_no_curve_without_two_epochs_and_a_finite_loss(history):
    assert "<svg" not in page_of(**history)


def test_a_loss_that_is_not_finite_leaves_a_gap():
    page = page_of(loss=[1, np.nan, np.inf, 2], validation_loss=[np.nan] * 4)
    assert [len(curve) for curve in points(page)] == [2, 0]
    assert "at best" not in page


def test_equal_losses_and_long_runs():
    curve, other = points(page_of(loss=[3.0] * 10_000, validation_loss=[3.0] * 10_000))
    assert len(curve) <= 240
    assert np.ptp(curve[:, 1]) == 0
    np.testing.assert_array_equal(curve, other)


def test_a_result_of_few_entries_is_shown():
    assert "FitResult" in numlstm.FitResult(x=np.zeros(3))._repr_html_()
