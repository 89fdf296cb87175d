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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scaling", [None, SCALING])
def test_predictions_are_float64_unless_the_inputs_are_float32(backend, dtype, scaling):
    model, X = model_on(backend, dtype), inputs(4, 6, 2)
    model.scaling = scaling
    for kind in ("float64", "int64", "int8", "bool", ">f8", "longdouble"):
        assert model.predict(X.astype(kind)).dtype == np.float64
    for kind in ("float32", "float16", ">f4"):
        assert model.predict(X.astype(kind)).dtype == np.float32
    assert model.predict(X.tolist()).dtype == np.float64
    mixed = model.predict([X[0], X[1, :4].astype("float32")])
    assert [part.dtype for part in mixed] == [np.float64] * 2
    narrow = model.predict([X[0].astype("float32"), X[1, :4].astype("float16")])
    assert [part.dtype for part in narrow] == [np.float32] * 2


def test_what_float32_cannot_hold_is_refused(backend):
    model, X = model_on(backend, "float32"), inputs(4, 6, 2)
    with pytest.raises(ValueError, match="X has values beyond the range of float32; fit"):
        model.predict(1e300 * X)
    unit = 1e300
    model.scaling = Scaling(unit * SCALING.x_mean, unit * SCALING.x_scale, *(
        unit * part for part in SCALING[2:4]
    ))  # fmt: skip
    far = model.predict(unit * X)
    model.scaling = SCALING
    np.testing.assert_allclose(far / unit, model.predict(X), rtol=1e-6)
    model.scaling = SCALING._replace(y_scale=unit * SCALING.y_scale)
    with pytest.raises(ValueError, match=r"the prediction has values .* pass X as float64"):
        model.predict(X.astype("float32"))


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
    X = np.random.default_rng(seed).standard_normal((batch, steps, 2)).astype(dtype)
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
