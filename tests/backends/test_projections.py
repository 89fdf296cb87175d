"""Projections of any size up to the cell's, and their limit.

Against plain NumPy that follows TensorFlow Lite, and against networks that are the same by
construction. Their derivatives are also among those of all variants: `test_layer_variants.py`.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers.harness import require_bits, run_case
from helpers.strategies import Case
from numlstm.architecture.cell import Cell
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import LayerSpec

RTOL = {"float64": 1e-12, "float32": 1e-5}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def tflite_lstm(weights, X, h, c, cell_clip, proj_clip):
    """Outputs and states of lstm_eval.cc: CalculateLstmGateFloat, UpdateLstmCellFloat,

    CalculateLstmOutputFloat. Its limits are clipped to where they are above 0.
    """

    def clipped(values, limit):
        return np.clip(values, -limit, limit) if limit > 0 else values

    outputs = []
    for x in X.swapaxes(0, 1):
        z = x @ weights["weight_ih"].T + h @ weights["weight_hh"].T + weights["bias"]
        i, f, g, o = np.split(z, 4, axis=1)
        c = clipped(sigmoid(f) * c + sigmoid(i) * np.tanh(g), cell_clip)
        h = clipped((sigmoid(o) * np.tanh(c)) @ weights["weight_hr"].T, proj_clip)
        outputs.append(h)
    return np.stack(outputs, axis=1), h, c


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", [(1, 1), (5, 2), (5, 5), (17, 17), (33, 20)], ids=str)
def test_they_are_those_of_tensorflow_lite(family_backend, sizes, dtype):
    hidden, outputs = sizes
    for proj_clip, cell_clip in ((0.0, 0.0), (0.1, 0.0), (0.2, 0.3)):
        cell = Cell(cell_clip=cell_clip or None, proj_clip=proj_clip or None)
        case = Case(LayerSpec(3, hidden, dtype, outputs, cell), 4, 6, seed=hidden, gain=3.0)
        weights = split(case.spec.shapes, case.numbers.theta.astype("float64"))
        X, (h, c) = case.numbers.X, case.numbers.state
        expected = tflite_lstm(weights, X, h, c, cell_clip, proj_clip)
        if proj_clip:
            assert (abs(expected[0]) == proj_clip).any()
        results = run_case(family_backend, case)
        for name, value in zip(("Y", "h", "c"), expected, strict=True):
            np.testing.assert_allclose(results[name], value, rtol=RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_square_projection_that_is_the_identity_is_none(family_backend, dtype):
    spec = LayerSpec(3, 9, dtype)
    case = Case(spec, 5, 7, seed=1, ragged=True, resets=True)
    numbers = case.numbers
    identity = np.eye(9, dtype=dtype).ravel()
    projected = replace(case, spec=replace(spec, proj_size=9))
    given = numbers._replace(theta=np.concatenate([numbers.theta, identity]))
    plain, square = (
        run_case(family_backend, *pair) for pair in ((case, numbers), (projected, given))
    )
    dtheta, dW_hr = np.split(square.pop("dtheta"), [numbers.theta.size])
    assert dW_hr.any()
    for name, value in (square | {"dtheta": dtheta}).items():
        np.testing.assert_allclose(value, plain[name], rtol=RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_limit_out_of_reach_changes_no_bit(family_backend, dtype):
    spec = LayerSpec(3, 9, dtype, 5, Cell(peephole=True))
    far = replace(spec, cell=replace(spec.cell, proj_clip=1e3))
    for noisy in ((), ("x", "h", "g", "keep_h", "keep_c")):
        case = Case(spec, 5, 7, seed=2, ragged=True, resets=True, noisy=noisy)
        results = run_case(family_backend, replace(case, spec=far))
        for name, value in run_case(family_backend, case).items():
            require_bits(results[name], value)


@pytest.mark.parametrize("noisy", [(), ("h", "keep_h")])
def test_no_gradient_passes_where_all_is_clipped(family_backend, noisy):
    """Outputs are constants then: only what zoneout keeps leads back, to the initial h alone."""
    spec = LayerSpec(3, 9, "float64", 5, Cell(proj_clip=1e-9))
    case = Case(spec, 4, 6, seed=3, with_dstate=False, noisy=noisy)
    results = run_case(family_backend, case)
    assert not results["dtheta"].any()
    assert not results["dX"].any()
    assert not results["dc"].any()
    assert results["dh"].any() == bool(noisy)


def test_gradients_are_those_of_the_outputs_within_the_limit(family_backend):
    """One step: what is clipped gets no gradient, all else that of a projection without a limit."""
    spec = LayerSpec(3, 9, "float64", 5)
    free = Case(spec, 40, 1, seed=4, with_dstate=False)
    numbers = free.numbers
    Y = run_case(family_backend, free)["Y"]
    limit = float(np.median(abs(Y)))
    within = abs(Y) < limit
    assert 0.3 < within.mean() < 0.7
    clipped = replace(free, spec=replace(spec, cell=Cell(proj_clip=limit)))
    results = run_case(family_backend, clipped)
    expected = run_case(family_backend, free, numbers._replace(dY=within * numbers.dY))
    require_bits(results["Y"], np.clip(Y, -limit, limit))
    for name in ("dtheta", "dX", "dh", "dc"):
        np.testing.assert_allclose(results[name], expected[name], rtol=1e-12, atol=1e-14)
