"""What a model has beside its network: converted, refused or warned of in every format."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

import numlstm
from helpers.rtneural_equations import run
from numlstm.convert import from_rtneural, to_rtneural, to_safetensors, to_torch
from numlstm.convert.check import Outputs, verify
from numlstm.convert.counterpart import Counterpart
from numlstm.convert.weights import network_scaling, weights_of
from numlstm.data.ahead import Ahead
from numlstm.data.labels import Names
from numlstm.data.missing import Imputer

RNG = np.random.default_rng(1997)
X = RNG.normal(20.0, 3.0, (2, 9, 2))


def drawn(inputs=2, outputs=1, **options):
    return numlstm.LSTM(inputs, 5, outputs, dtype="float64", rng=0, backend="reference", **options)


@pytest.mark.parametrize("swapped", ["x.onnx", b"x.onnx", Path("x.onnx")])
@pytest.mark.parametrize(
    "write", [to_safetensors, to_rtneural, numlstm.convert.to_onnx, lambda a, b: to_torch(a)]
)
def test_swapped_arguments(write, swapped):
    with pytest.raises(TypeError, match=r"the first argument is the model, received .*x\.onnx"):
        write(swapped, drawn())


def filling():
    """A model of two features with gaps, as `fit` makes them with missing="mask"."""
    model = drawn(4)
    model.filling = Imputer(np.array([20.0, 21.0]))
    model.set_scaling(([20.0, 21.0], [3.0, 0.5]), (5.0, 2.0))
    return model


def with_gaps():
    """Inputs, and the same filled with their masks behind them."""
    gaps = X.copy()
    gaps[0, 2:4, 0] = gaps[1, :3, 1] = np.nan
    filled, observed = filling().filling.fill(gaps)
    return gaps, np.concatenate([filled, observed], axis=-1)


def near(have, want):
    assert have.shape == want.shape
    assert np.linalg.norm(have - want) <= 1e-12 * np.linalg.norm(want)


def test_masks_of_missing_inputs_have_no_units():
    gaps, filled = with_gaps()
    scaling = weights_of(filling()).scaling
    near(scaling.inputs(filled)[..., :2], filling().scaling.inputs(filled[..., :2]))
    np.testing.assert_array_equal(scaling.inputs(filled)[..., 2:], filled[..., 2:])
    buffer = io.BytesIO()
    with pytest.warns(UserWarning, match=r"model\.filling"):
        to_rtneural(filling(), buffer)
    near(run(json.loads(buffer.getvalue()), filled), filling().predict(gaps))
    copy = from_rtneural(io.BytesIO(buffer.getvalue()), check=False, backend="reference")
    near(copy.predict(filled), filling().predict(gaps))


def test_the_check_goes_the_way_of_predict_where_inputs_are_missing():
    other = drawn(4)
    other.scaling = network_scaling(filling())
    verify(filling(), "other", lambda X: Outputs(other.predict(X)))
    other.scaling = other.scaling._replace(x_mean=np.array([20.0, 21.0, 0.5, 0.5]))
    with pytest.raises(RuntimeError, match="outputs of other and of numlstm differ"):
        verify(filling(), "other", lambda X: Outputs(other.predict(X)))


EVERY = ("head", "num_layers", "scaling")
BESIDE = {
    "window": ({"window": 7}, r"window=7: .* the 7 steps up to it, .* alone, from the initial"),
    "horizon": ({"ahead": Ahead(3, 0, 1)}, "horizon=3: .* the next 3, by step and then by target"),
    "future": ({"ahead": Ahead(None, 1, 3)}, r"reads the 1 known ahead, .* next 1 step\(s\)"),
    "features": ({"names": Names(("b", "a"))}, "names of features: their order is 'b', 'a'"),
    "targets": ({"names": Names(None, ("q", "p", "r"))}, "names of targets: .*'q', 'p', 'r'"),
    "filling": ({"filling": Imputer(np.zeros(1))}, r"model\.filling, the rule for missing"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_left_behind_is_told(name):
    attributes, message = BESIDE[name]
    model = drawn(outputs=3)
    for key, value in attributes.items():
        setattr(model, key, value)
    with pytest.warns(UserWarning, match="Other gets the network alone, .*" + message):
        Counterpart("Other", parts=EVERY).require_parts(model)


def test_nothing_is_told_where_nothing_is_lost():
    model = drawn()
    model.names, model.forecasts, model.output = Names(("level",), ("flow",)), True, "last"
    Counterpart("Other", parts=EVERY).require_parts(model)  # warnings are errors here
    with pytest.warns(UserWarning, match='RTNeural .*output="last": .* of which take the last'):
        to_rtneural(model, io.BytesIO())


@pytest.mark.parametrize("what", ["inputs", "targets"])
def test_data_that_float32_has_no_digits_for(what):
    model = numlstm.LSTM(2, 5, 1, rng=0, backend="reference")
    model.set_scaling(**{what: (1.7e9, 3600.0)})
    name = what.replace("target", "output")
    with pytest.warns(UserWarning, match=f"{name} in float64.*: float32 rounds them there to 0.06"):
        Counterpart("Other", parts=EVERY).require_parts(model)
    Counterpart("Other", parts=EVERY, doubles=True).require_parts(model)
    double = drawn()
    double.scaling = model.scaling
    Counterpart("Other", parts=EVERY).require_parts(double)


@pytest.mark.parametrize("write", [to_safetensors, to_rtneural])
def test_what_is_no_model(write):
    class LSTMClassifier:
        model_ = drawn()

    with pytest.raises(TypeError, match=r"received LSTMClassifier: pass .* estimator\.model_"):
        write(LSTMClassifier(), io.BytesIO())
