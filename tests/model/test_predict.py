"""predict, and the printed model: forms, units, rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numlstm
from helpers.harness import require_same
from numlstm.data.scaling import Scaling

SCALING = Scaling(
    x_mean=np.array([0.1, -3.0]),
    x_scale=np.array([2.0, 0.3]),
    y_mean=np.array([5.0, 0.0, -1.0]),
    y_scale=np.array([0.1, 7.0, 1.0]),
)


def model_on(backend, dtype="float64", **options):
    return numlstm.LSTM(2, 5, 3, dtype=dtype, rng=1, backend=backend.name, **options)


def inputs(*shape):
    return np.random.default_rng(2).standard_normal(shape)


def test_without_training_it_is_forward(backend):
    model, X = model_on(backend), inputs(4, 6, 2)
    Y, _ = model.forward(X)
    np.testing.assert_array_equal(model.predict(X), Y)
    model.output = "last"
    last = model.predict(X)
    assert last.shape == (4, 3)
    np.testing.assert_allclose(last, Y[:, -1], rtol=1e-13)


def test_units_of_the_data_in_and_out(backend):
    model, X = model_on(backend), inputs(4, 6, 2)
    inside = (X - SCALING.x_mean) / SCALING.x_scale
    expected = model.predict(inside) * SCALING.y_scale + SCALING.y_mean
    model.scaling = SCALING
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-13)


@pytest.mark.parametrize("output", ["sequence", "last"])
def test_answers_in_the_form_of_the_question(backend, output):
    model, X = model_on(backend), inputs(3, 6, 2)
    model.output, model.scaling = output, SCALING
    Y = model.predict(X)
    require_same(backend, model.predict(X[0]), Y[0])
    parts = model.predict([X[0], X[1, :4], X[2, :1]])
    padded = model.predict(X, lengths=[6, 4, 1])
    for index, length in enumerate((6, 4, 1)):
        alone = model.predict(X[index, :length])
        require_same(backend, parts[index], alone)
        require_same(backend, padded[index] if output == "last" else padded[index, :length], alone)


def test_one_feature_may_go_without_its_axis(backend):
    model = numlstm.LSTM(1, 5, 1, rng=0, backend=backend.name)
    x = inputs(7)
    np.testing.assert_array_equal(model.predict(x), model.predict(x[None, :, None])[0])


@given(
    batch=st.integers(1, 40),
    steps=st.integers(0, 4),
    hidden=st.integers(1, 40),
    layers=st.integers(1, 2),
    dtype=st.sampled_from(["float32", "float64"]),
    output=st.sampled_from(["sequence", "last"]),
    seed=st.integers(0, 9),
)
def test_a_row_does_not_depend_on_its_company(
    backend, batch, steps, hidden, layers, dtype, output, seed
):
    options = {"num_layers": layers, "dtype": dtype, "backend": backend.name}
    model = numlstm.LSTM(2, hidden, 3, rng=seed, **options)
    model.output, model.scaling = output, SCALING
    X = np.random.default_rng(seed).standard_normal((batch, steps, 2))
    Y = model.predict(X)
    for row in range(batch):
        require_same(backend, model.predict(X[row : row + 1])[0], Y[row])


@pytest.mark.parametrize(
    ("sizes", "options", "expected"),
    [
        ((3, 8, 2), {}, "3 inputs, 1 layer of 8 units, 2 outputs; 402 parameters, float32"),
        ((1, 1, 1), {}, "1 input, 1 layer of 1 unit, 1 output; 14 parameters, float32"),
        (
            (2, 4),
            {"num_layers": 2, "dtype": "float64"},
            "2 inputs, 2 layers of 4 units, no head; 256 parameters, float64",
        ),
    ],
)
def test_a_model_prints_on_one_line(sizes, options, expected):
    model = numlstm.LSTM(*sizes, rng=0, backend="reference", **options)
    assert repr(model) == f"<LSTM: {expected}, reference backend>"
