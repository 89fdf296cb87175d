"""Lyapunov exponents and fixed points, against linear networks, whose answers are known."""

import numpy as np
import pytest

import numlstm
from numlstm import inspection
from numlstm.data.scaling import Scaling

GATES = {"input": 0.5, "forget": 0.7, "output": 0.8}
SCALING = Scaling(*map(np.array, ([1.0], [3.0], [-2.0], [0.5])))


def linear_model(*, spread=1.0, inputs=1, outputs=1, **options):
    """A network whose gates are constant and whose activations are linear, and its matrices.

    c' = 0.7 c + 0.5 (W x + U h + b), h' = 0.8 c'.
    """
    cell = {"activations": ("sigmoid", "affine", "affine")}
    model = numlstm.LSTM(inputs, 3, outputs, dtype="float64", rng=0, cell=cell, **options)
    rng, p = np.random.default_rng(2), model.params
    W, U, b = (spread * rng.standard_normal(shape) for shape in ((3, inputs), (3, 3), 3))
    for name, part in (("weight_ih_l0", W), ("weight_hh_l0", U), ("bias_l0", b)):
        p[name][...] = 0
        p[name][6:9] = part
    for start, value in zip((0, 3, 9), GATES.values(), strict=True):
        p["bias_l0"][start : start + 3] = np.log(value / (1 - value))
    by_state = np.zeros((6, 6))
    by_state[3:, :3], by_state[3:, 3:] = 0.5 * U, 0.7 * np.eye(3)
    by_state[:3] = 0.8 * by_state[3:]
    by_X = np.concatenate([0.8 * 0.5 * W, 0.5 * W])
    offset = np.concatenate([0.8 * 0.5 * b, 0.5 * b])
    return model, by_state, by_X, offset


def closed(model, by_state, by_X, offset):
    """The same with the output fed back, in the units that the model has."""
    factor, shift = 1.0, 0.0
    if model.scaling is not None:
        s = model.scaling
        factor, shift = s.y_scale / s.x_scale, (s.y_mean - s.x_mean) / s.x_scale
    C = np.zeros((1, 6))
    C[:, :3] = model.params["head_weight"]
    bias = factor * model.params["head_bias"] + shift
    return by_state + by_X @ C * factor, offset + by_X @ np.atleast_1d(bias)


def moduli(J):
    with np.errstate(divide="ignore"):
        return np.sort(np.log(np.abs(np.linalg.eigvals(J))))[::-1]


@pytest.mark.parametrize("scaling", [None, SCALING])
def test_exponents_of_a_linear_network_are_logarithms_of_eigenvalues(scaling):
    model, by_state, by_X, offset = linear_model(spread=0.6)
    model.scaling = scaling
    X = np.random.default_rng(0).standard_normal((2, 3000, 1))
    driven = inspection.lyapunov_exponents(model, X, num_exponents=3)
    assert driven.exponents.shape == driven.error.shape == (2, 3)
    np.testing.assert_allclose(driven.exponents, [moduli(by_state)[:3]] * 2, atol=2e-3)
    J, _ = closed(model, by_state, by_X, offset)
    free = inspection.lyapunov_exponents(model, X[:, :5], steps=3000, num_exponents=3, dt=0.1)
    np.testing.assert_allclose(free.exponents / 10, [moduli(J)[:3]] * 2, atol=2e-3)


def test_a_linear_network_forgets_three_directions_at_once():
    model = linear_model()[0]
    found = inspection.lyapunov_exponents(model, np.ones(200))
    assert found.exponents.shape == (6,)
    assert (found.exponents[3:] < -30).all()  # h is a multiple of c


def test_rows_of_any_length_have_the_exponents_that_they_have_alone():
    model = numlstm.LSTM(2, 4, 1, num_layers=2, dtype="float64", rng=0)
    rng = np.random.default_rng(0)
    series = [rng.standard_normal((length, 2)) for length in (90, 40, 61)]
    together = inspection.lyapunov_exponents(model, series, num_exponents=3, discard=7)
    for row, one in enumerate(series):
        alone = inspection.lyapunov_exponents(model, one, num_exponents=3, discard=7)
        assert (alone.exponents < 0).all()
        # the directions in which rows begin are their own; what they turn to is not
        assert abs(together.exponents[row, 0] - alone.exponents[0]) < 0.05


@pytest.mark.parametrize("keywords", [{}, {"steps": 60}])
def test_exponents_do_not_depend_on_the_rows_beside(keywords):
    model = numlstm.LSTM(2, 4, 2, dtype="float64", rng=0)
    rng = np.random.default_rng(0)
    lengths = (60, 60) if keywords else (90, 45, 61)
    series = [rng.standard_normal((length, 2)) for length in lengths]
    together = inspection.lyapunov_exponents(model, series, **keywords)
    for row, one in enumerate(series):
        alone = inspection.lyapunov_exponents(model, one, **keywords)
        np.testing.assert_allclose(together.exponents[row], alone.exponents, rtol=1e-9)
        np.testing.assert_allclose(together.error[row], alone.error, rtol=1e-9)


def test_exponents_are_the_growth_of_small_differences():
    model = numlstm.LSTM(1, 5, 1, dtype="float64", rng=0)
    model.params["bias_l0"][5:10] = [4, -2, -2, -2, -2]  # so that one direction soon is all
    X = np.random.default_rng(0).standard_normal((1, 400, 1))
    found = inspection.lyapunov_exponents(model, X, num_exponents=1)
    state = numlstm.State(np.zeros((1, 1, 5)), np.zeros((1, 1, 5)))
    product, growth = np.full(10, 0.3), []
    for J in model.transitions(X, state)[0]:
        product = J @ product
        growth.append(np.log(np.linalg.norm(product)))
        product /= np.linalg.norm(product)
    np.testing.assert_allclose(found.exponents[0, 0], np.mean(growth[40:]), rtol=1e-6)
    parts = [part.mean() for part in np.array_split(growth[40:], 10)]
    error = np.std(parts, ddof=1) / np.sqrt(10)
    np.testing.assert_allclose(found.error[0, 0], error, rtol=1e-4)


def test_all_exponents_add_up_to_the_growth_of_volumes():
    model = numlstm.LSTM(1, 3, 1, num_layers=2, dtype="float64", rng=0)
    X = np.random.default_rng(0).standard_normal((2, 50, 1))
    found = inspection.lyapunov_exponents(model, X, discard=0)
    _, volumes = np.linalg.slogdet(model.transitions(X))
    np.testing.assert_allclose(found.exponents.sum(axis=1), volumes.mean(axis=1), rtol=1e-9)


def test_slices_change_nothing(monkeypatch):
    model = numlstm.LSTM(1, 3, 1, num_layers=2, dtype="float64", rng=0)
    X = np.random.default_rng(0).standard_normal((2, 60, 1))
    whole = inspection.lyapunov_exponents(model, X, steps=50)
    monkeypatch.setattr("numlstm.inspection.dynamics.jacobians._HELD", 2000)
    parts = inspection.lyapunov_exponents(model, X, steps=50)
    np.testing.assert_allclose(parts.exponents, whole.exponents, rtol=1e-10)


@pytest.mark.parametrize("scaling", [None, SCALING])
def test_the_fixed_point_of_a_linear_network_is_that_of_its_equations(scaling):
    model, by_state, by_X, offset = linear_model(spread=0.6)
    model.scaling = scaling
    X = np.random.default_rng(0).standard_normal((3, 20, 1))
    x = np.array([1.7])
    found = inspection.fixed_points(model, X, x=x)
    own = x if scaling is None else scaling.inputs(x)
    expected = np.linalg.solve(np.eye(6) - by_state, offset + by_X @ own)
    _agrees(model, found, expected, by_state)
    J, offset = closed(model, by_state, by_X, offset)
    alone = inspection.fixed_points(model, X)
    _agrees(model, alone, np.linalg.solve(np.eye(6) - J, offset), J)
    if scaling is not None:  # the output there is the input there
        rolled = model.rollout(X[:1], 400)[0, -1]
        np.testing.assert_allclose(alone.output[0], rolled, rtol=1e-6)


def _agrees(model, found, expected, J):
    assert found.failed == 0
    assert found.starts.tolist() == [64]
    np.testing.assert_allclose(found.state.h[0, 0], expected[:3], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.state.c[0, 0], expected[3:], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(np.abs(found.eigenvalues[0])[:3], np.exp(moduli(J)[:3]), rtol=1e-7)
    assert found.stable[0] == (np.abs(np.linalg.eigvals(J)).max() < 1)
    output = model.params["head_weight"] @ expected[:3] + model.params["head_bias"]
    if model.scaling is not None:
        output = model.scaling.outputs(output)
    np.testing.assert_allclose(found.output[0], output, rtol=1e-7)


def test_two_memories_and_the_point_between_them():
    model = numlstm.LSTM(1, 1, None, dtype="float64", rng=0)
    model.params["weight_ih_l0"][...] = [[0], [0], [3.0], [0]]  # a switch
    model.params["weight_hh_l0"][...] = [[0], [0], [6.0], [0]]
    model.params["bias_l0"][...] = [2.0, 0.0, 0.0, 2.0]
    X = np.random.default_rng(0).standard_normal((4, 40, 1))
    found = inspection.fixed_points(model, X, x=[0.0])
    order = np.argsort(found.output[:, 0])
    h = found.output[order, 0]
    assert len(h) == 3
    np.testing.assert_allclose(h[0], -h[2], rtol=1e-9)
    np.testing.assert_allclose(h[1], 0, atol=1e-9)
    assert found.stable[order].tolist() == [True, False, True]
    assert found.starts.sum() + found.failed == 64
    assert (np.diff(found.starts) <= 0).all()
    again, after = model.forward(np.zeros((3, 1, 1)), found.state)
    np.testing.assert_allclose(after.h, found.state.h, atol=1e-10)
    np.testing.assert_allclose(after.c, found.state.c, atol=1e-10)
    assert again.shape == (3, 1, 1)


def test_a_network_without_a_fixed_point_says_so():
    model, *_ = linear_model()
    model.params["weight_hh_l0"][...] = 0
    model.params["bias_l0"][3:6] = 800  # the cell adds up
    model.params["bias_l0"][6:9] = 1
    found = inspection.fixed_points(model, np.ones((2, 5, 1)), x=[0.3], num_starts=7)
    assert found.failed == 7
    assert found.state.h.shape == (1, 0, 3)
    assert found.output.shape == (0, 1)
    assert found.stable.shape == (0,)


@pytest.mark.parametrize("keywords", [{}, {"steps": 4000}])
def test_what_grows_beyond_all_numbers_is_refused(keywords):
    activations = ("affine", "affine", "affine")
    model = numlstm.LSTM(2, 6, 2, dtype="float64", rng=0, cell={"activations": activations})
    for part in model.params.values():
        part *= 4
    X = np.random.default_rng(0).standard_normal((2, 60, 2))
    with pytest.raises(ValueError, match=r"not finite|leaves the range of float64 at"):
        inspection.lyapunov_exponents(model, X[:, :5] if keywords else X, **keywords)
    with pytest.raises(ValueError, match="beyond the range of float64"):
        inspection.memory_paths(model, X, output=0)


def test_stacks_attributes_and_single_precision_have_fixed_points_too():
    options = {"num_layers": 2, "residual": True, "proj_size": 2, "static_size": 1}
    model = numlstm.LSTM(2, 3, 2, rng=0, **options)
    X = np.random.default_rng(0).standard_normal((1, 20, 2))
    found = inspection.fixed_points(model, X, static=[[0.5]])
    assert found.failed == 0
    assert (found.residual < 1e-10).all()
    y = found.output[:1, None]
    _, after = model.forward(y, found.state, static=[[0.5]])
    np.testing.assert_allclose(after.c[:, 0], found.state.c[:, 0], atol=1e-5)
    free = inspection.lyapunov_exponents(model, X, steps=300, num_exponents=1, static=[[0.5]])
    rate = np.log(np.abs(found.eigenvalues[0, 0]))
    assert found.stable[0]
    np.testing.assert_allclose(free.exponents[0, 0], rate, atol=0.02)


def test_attributes_of_one_series_in_a_free_run():
    model = numlstm.LSTM(2, 3, 2, static_size=2, dtype="float64", rng=0)
    X, S = (
        np.random.default_rng(0).standard_normal((3, 20, 2)),
        np.array([[1.0, -2], [0, 3], [2, 1]]),
    )
    together = inspection.lyapunov_exponents(model, X, steps=30, static=S).exponents
    for row in range(3):
        alone = inspection.lyapunov_exponents(model, X[row], steps=30, static=S[row]).exponents
        np.testing.assert_allclose(alone, together[row], rtol=1e-9)


@pytest.mark.parametrize("kind", ["row", "array", "series", "frame", "polars", "xarray"])
def test_fixed_points_of_one_row_of_attributes_are_sought_from_all_sequences(kind):
    X, S = (
        np.random.default_rng(0).standard_normal((6, 20, 2)),
        np.random.default_rng(1).random((6, 2)),
    )
    static = S[2]
    if kind != "row":
        static = S[2:3]
    if kind in ("row", "array"):
        model = numlstm.fit(X, static=S, hidden_size=3, epochs=1, rng=0).model
    else:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(S, columns=["area", "slope"])
        model = numlstm.fit(X, static=frame, hidden_size=3, epochs=1, rng=0).model
        row = frame[["slope", "area"]].iloc[2:3]
        static = {"series": row.iloc[0], "frame": row}.get(kind)
        if kind == "polars":
            static = pytest.importorskip("polars").DataFrame(row.to_dict("list"))
        if kind == "xarray":
            xarray = pytest.importorskip("xarray")
            coords = {"attribute": ["slope", "area"]}
            static = xarray.DataArray(row.to_numpy(), dims=("site", "attribute"), coords=coords)
    found = inspection.fixed_points(model, X, static=static, num_starts=20)
    one = inspection.fixed_points(model, X[0], static=S[2], num_starts=20)
    np.testing.assert_allclose(np.sort(found.output, 0), np.sort(one.output, 0), rtol=1e-6)
    known = inspection.fixed_points(model, X, x=[0.5, 1.0], static=static, num_starts=20)
    one = inspection.fixed_points(model, X[0], x=[0.5, 1.0], static=S[2], num_starts=20)
    np.testing.assert_allclose(np.sort(known.output, 0), np.sort(one.output, 0), rtol=1e-5)
    with pytest.raises(ValueError, match="attributes of one sequence, received 6 rows"):
        inspection.fixed_points(model, X, static=S)


def test_the_output_of_a_fixed_point_has_the_input_that_it_reads_directly():
    model = numlstm.LSTM(2, 3, 2, rng=0, dtype="float64", direct_input=True)
    model.params["head_direct"] = [[1.0, -2.0], [0.5, 3.0]]
    X, x = np.random.default_rng(0).standard_normal((1, 20, 2)), np.array([0.3, -1.2])
    found = inspection.fixed_points(model, X, x=x)
    y, _ = model.forward(x[None, None], type(found.state)(*(p[:, :1] for p in found.state)))
    np.testing.assert_allclose(found.output[:1], y[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "keywords", "message"),
    [
        ({"bidirectional": True}, {}, "no state between two steps"),
        ({}, {"num_exponents": 7}, "num_exponents must be at most 6"),
        ({}, {"discard": 5}, "discard must leave a step of each sequence: the shortest has 5"),
        ({}, {"lengths": [5, 0]}, "a sequence without a step"),
        ({}, {"steps": 9, "lengths": [5, 4]}, "sequences of the same length"),
        ({"output_size": 1}, {"steps": 9}, "forecasts 1 of its 2 inputs"),
        ({"direct_input": True}, {"steps": 9}, "depend on the one before it"),
        ({}, {"dt": 0}, "dt must be > 0"),
    ],
)
def test_exponents_that_make_no_sense_are_refused(options, keywords, message):
    model = numlstm.LSTM(2, 3, rng=0, **({"output_size": 2} | options))
    with pytest.raises(ValueError, match=message):
        inspection.lyapunov_exponents(model, np.ones((2, 5, 2)), **keywords)


@pytest.mark.parametrize(
    ("options", "keywords", "message"),
    [
        ({"bidirectional": True}, {}, "no state between two steps"),
        ({"output_size": 1}, {}, "^pass x=, a constant .* forecasts 1 of its 2 inputs"),
        ({"direct_input": True}, {}, "depend on the one before it"),
        ({}, {"x": [1.0]}, "x must have shape"),
        ({}, {"lengths": [0, 0]}, "no state from which to start"),
        ({"static_size": 1}, {"static": np.ones((2, 1))}, "attributes of one sequence"),
    ],
)
def test_fixed_points_that_make_no_sense_are_refused(options, keywords, message):
    model = numlstm.LSTM(2, 3, rng=0, **({"output_size": 2} | options))
    with pytest.raises(ValueError, match=message):
        inspection.fixed_points(model, np.ones((2, 5, 2)), **keywords)


@pytest.mark.parametrize("function", [inspection.lyapunov_exponents, inspection.fixed_points])
def test_a_model_of_windows_has_no_dynamics(function):
    model = numlstm.LSTM(1, 3, 1, rng=0)
    model.window = 4
    with pytest.raises(ValueError, match="windows of 4 steps"):
        function(model, np.ones((2, 9, 1)))


def test_a_constant_input_is_read_by_name():
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    values = np.random.default_rng(0).standard_normal((20, 2)) + np.array([0, 50])
    frame = pandas.DataFrame(values, columns=["a", "b"])
    model = numlstm.fit(frame, hidden_size=3, epochs=1, rng=0).model
    row, few = frame.iloc[3], {"num_starts": 3}
    expected = inspection.fixed_points(model, frame, x=row.to_numpy(), **few)
    turned = row[["b", "a"]]
    for x in (row, turned, dict(turned), xarray.DataArray(turned), frame[["b", "a"]][3:4]):
        for X in (frame, values):
            found = inspection.fixed_points(model, X, x=x, **few)
            np.testing.assert_array_equal(found.output, expected.output)
    with pytest.raises(ValueError, match="x lacks 'a'"):
        inspection.fixed_points(model, frame, x=row[["b"]])
    with pytest.raises(TypeError, match=r"by the names of the features, a, b, or an array"):
        inspection.fixed_points(model, frame, x=frame["a"])
    plain = numlstm.LSTM(2, 3, 2, rng=0)
    with pytest.raises(TypeError, match=r"received dict: .* of which this model knows none"):
        inspection.fixed_points(plain, values, x=dict(row))


def test_starts_at_which_the_solver_is_caught_come_to_rest():
    """One stable state, which the solver found from none of its starts."""
    model = numlstm.LSTM(1, 6, 1, dtype="float64", rng=4)
    model.theta = 2 * model.theta
    X = 2 * np.random.default_rng(4).standard_normal((4, 60, 1))
    found = inspection.fixed_points(model, X, x=[0.3], num_starts=30)
    assert found.failed == 0
    assert found.stable[0]
    far = np.full((1, 3000, 1), 0.3)
    _, end = model.forward(far)
    np.testing.assert_allclose(end.c[:, 0], found.state.c[:, 0], atol=1e-8)


def test_frames_drive_a_network_as_arrays_do():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.standard_normal((80, 2)), columns=["a", "b"])
    model = numlstm.fit(frame, hidden_size=3, epochs=1, rng=0).model
    keywords = [{}, {"steps": 40}]
    for given in keywords:
        named = inspection.lyapunov_exponents(model, frame[["b", "a"]], **given)
        plain = inspection.lyapunov_exponents(model, frame.to_numpy(), **given)
        np.testing.assert_array_equal(named.exponents, plain.exponents)
    named = inspection.fixed_points(model, frame[["b", "a"]], num_starts=5)
    plain = inspection.fixed_points(model, frame.to_numpy(), num_starts=5)
    np.testing.assert_array_equal(named.output, plain.output)
