"""What came through cells and what through hidden states, against a network in plain NumPy."""

import numpy as np
import pytest

import numlstm
from numlstm import inspection
from numlstm.data.scaling import Scaling

STEP = 1e-30  # of a complex step
VARIANTS = {
    "plain": {},
    "stacked": {"num_layers": 2},
    "residual": {"num_layers": 3, "residual": True},
    "peephole": {"num_layers": 2, "cell": {"peephole": True}},
    "projected": {"num_layers": 2, "proj_size": 2},
    "attributes": {"static_size": 2},
    "direct input": {"direct_input": True},
}
SCALING = Scaling(*map(np.array, ([1.0, -2.0], [3.0, 0.5], [1.0, 5.0], [4.0, 7.0])))


def made(options, **more):
    return numlstm.LSTM(2, 3, 2, dtype="float64", rng=0, **options, **more)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def final_output(model, X, static=None, *, cut=False):
    """The last output for X (T, I); where it is cut, gates see no change of the hidden state."""
    spec, p = model.spec, model.params
    h = np.zeros((spec.num_layers, spec.layers[0].output_size), complex)
    c = np.zeros((spec.num_layers, spec.hidden_size), complex)
    for x in X:
        below, top = x, 0
        for k in range(spec.num_layers):
            before = h[k].real if cut else h[k]
            z = p[f"weight_ih_l{k}"] @ below + p[f"weight_hh_l{k}"] @ before + p[f"bias_l{k}"]
            if static is not None:
                z = z + p["weight_is_l0"] @ static
            i, f, g, o = np.split(z, 4)
            looks = np.zeros((3, spec.hidden_size))
            if spec.cell.peephole:
                looks = p[f"peephole_l{k}"].reshape(3, -1)
            i, f = sigmoid(i + looks[0] * c[k]), sigmoid(f + looks[1] * c[k])
            c[k] = f * c[k] + i * np.tanh(g)
            h_new = sigmoid(o + looks[2] * c[k]) * np.tanh(c[k])
            h[k] = p[f"weight_hr_l{k}"] @ h_new if spec.proj_size else h_new
            top = top + h[k] if spec.residual else h[k]
            below = top
    y = p["head_weight"] @ top + p["head_bias"]
    return y + p["head_direct"] @ x if spec.direct_input else y


def gradient(model, X, static, index, *, cut):
    """Derivative of the last output by X (T, I), by complex steps."""
    result = np.empty(X.shape)
    for place in np.ndindex(X.shape):
        moved = X.astype(complex)
        moved[place] += STEP * 1j
        result[place] = final_output(model, moved, static, cut=cut)[index].imag / STEP
    return result


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_parts_are_those_of_a_network_whose_gates_do_not_see_the_change(variant):
    model, rng = made(VARIANTS[variant]), np.random.default_rng(1)
    for name, part in model.params.items():  # these are zero at first
        part += 0.3 * rng.standard_normal(part.shape) * name.startswith(("peephole", "head_direct"))
    X, lengths = rng.standard_normal((2, 6, 2)), np.array([6, 4])
    static = rng.standard_normal((2, 2)) if model.spec.static_size else None
    paths = inspection.memory_paths(model, X, output=1, lengths=lengths, static=static)
    for row, length in enumerate(lengths):
        own = None if static is None else static[row]
        for part, cut in ((paths.total, False), (paths.cell, True)):
            expected = gradient(model, X[row, :length], own, 1, cut=cut)[::-1]
            np.testing.assert_allclose(part[row, :length], expected, rtol=1e-11, atol=1e-14)
            assert np.isnan(part[row, length:]).all()
    np.testing.assert_allclose(paths.hidden, paths.total - paths.cell, rtol=1e-12, atol=1e-15)


def test_a_network_without_recurrent_weights_remembers_in_cells_alone():
    model = made({"num_layers": 2})
    for name, part in model.params.items():
        part *= not name.startswith("weight_hh")
    paths = inspection.memory_paths(model, np.ones((2, 9, 2)), output=0)
    assert np.abs(paths.total).min() > 0
    np.testing.assert_allclose(paths.hidden, 0, atol=1e-17)


def test_a_network_that_forgets_its_cells_remembers_in_hidden_states_alone():
    model = made({})
    model.params["bias_l0"][3:6] = -800  # the forget gates
    model.params["weight_hh_l0"][3:6] = model.params["weight_ih_l0"][3:6] = 0
    paths = inspection.memory_paths(model, np.ones((1, 9, 2)), output=0)
    assert (paths.cell[0, 1:] == 0).all()
    assert np.abs(paths.hidden[0, 1:]).min() > 0
    assert (paths.hidden[0, 0] == 0).all()


def test_any_layer_norm_or_zoneout_is_the_gradient_in_total():
    options = {"cell": {"layer_norm": True}, "dropout": {"zoneout_h": 0.3, "zoneout_c": 0.2}}
    model, X = made(options), np.random.default_rng(0).standard_normal((2, 5, 2))
    Y, pullback = model.vjp(X)
    dY = np.zeros_like(Y)
    dY[:, -1, 0] = 1
    paths = inspection.memory_paths(model, X, output=0)
    np.testing.assert_allclose(paths.total, pullback(dY).X[:, ::-1], rtol=1e-12, atol=1e-16)


def test_derivatives_are_in_the_units_of_the_data():
    model = made({})
    X = np.random.default_rng(0).standard_normal((2, 5, 2))
    plain = inspection.memory_paths(model, X, output=1)
    model.scaling = SCALING
    data = X * SCALING.x_scale + SCALING.x_mean
    paths = inspection.memory_paths(model, data, output=1)
    np.testing.assert_allclose(paths.cell, plain.cell * 7 / SCALING.x_scale, rtol=1e-12)
    times = inspection.memory_paths(model, data, output=1, times_input=True)
    np.testing.assert_allclose(times.hidden, 7 * plain.hidden * X[:, ::-1], rtol=1e-11, atol=1e-15)
    for step in (2, -3):
        earlier = inspection.memory_paths(model, data, output=1, step=step)
        whole = inspection.memory_paths(model, data[:, :3], output=1)
        np.testing.assert_array_equal(earlier.total, whole.total)


def test_the_state_is_seen_as_transitions_see_it():
    model, X = made({"num_layers": 2}), np.random.default_rng(0).standard_normal((1, 5, 2))
    J, size = model.transitions(X)[0], 12
    head = np.zeros(size)
    head[3:6] = model.params["head_weight"][0]
    paths = inspection.memory_paths(model, X[0], output=0, wrt="state")
    assert paths.total.shape == (5, size)
    assert paths.names is None
    np.testing.assert_allclose(paths.total[2], J[3].T @ J[4].T @ head, rtol=1e-12)
    kept = np.where(
        np.arange(size) < 6, 0, J[3].T @ np.where(np.arange(size) < 6, 0, J[4].T @ head)
    )
    np.testing.assert_allclose(paths.cell[2], kept, rtol=1e-12)


def test_nothing_comes_from_before_a_reset():
    model, reset = made({}), np.zeros((2, 6), bool)
    reset[1, 3] = True
    paths = inspection.memory_paths(model, np.ones((2, 6, 2)), output=0, reset=reset)
    assert (paths.total[1, 3:] == 0).all()
    assert np.abs(paths.total[0, 3:]).min() > 0


def test_slices_change_nothing(monkeypatch):
    model, X = made({"num_layers": 2}), np.random.default_rng(0).standard_normal((3, 9, 2))
    given = {"output": 0, "lengths": [9, 2, 6]}
    whole = inspection.memory_paths(model, X, **given)
    monkeypatch.setattr("numlstm.inspection.dynamics.jacobians._HELD", 900)  # two steps
    parts = inspection.memory_paths(model, X, **given)
    np.testing.assert_allclose(parts.cell, whole.cell, rtol=1e-13)
    np.testing.assert_allclose(parts.total, whole.total, rtol=1e-13)


def test_a_model_of_windows_reads_a_window():
    model, X = made({}), np.random.default_rng(0).standard_normal((2, 9, 2))
    model.window = 4
    paths = inspection.memory_paths(model, X, output=0, step=6)
    model.window = None
    expected = inspection.memory_paths(model, X[:, 3:7], output=0)
    np.testing.assert_array_equal(paths.total, expected.total)


def test_labels_say_which_input_is_which():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.standard_normal((60, 2)), columns=["rain", "heat"])
    y = pandas.Series(rng.standard_normal(60), name="flow")
    model = numlstm.fit(frame, y, hidden_size=3, epochs=1, rng=0).model
    paths = inspection.memory_paths(model, frame[["heat", "rain"]], output="flow")
    assert paths.names == ("rain", "heat")
    plain = inspection.memory_paths(model, frame.to_numpy())
    np.testing.assert_array_equal(paths.total, plain.total)


def test_a_filled_input_has_no_derivative_by_its_mask():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4, 20, 2))
    X[0, 3, 1] = np.nan
    model = numlstm.fit(X, X[..., :1], hidden_size=3, epochs=1, rng=0, missing="mask").model
    paths = inspection.memory_paths(model, X)
    assert paths.total.shape == (4, 20, 2)
    assert np.isfinite(paths.total).all()


def test_what_is_known_ahead_has_paths_of_its_own():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame(rng.standard_normal((60, 1)), columns=["sales"])
    future = pandas.DataFrame(rng.standard_normal((62, 1)), columns=["price"])
    model = numlstm.fit(X, future=future, horizon=2, hidden_size=3, epochs=1, rng=0).model
    paths = inspection.memory_paths(model, X, future=future, output="sales+2")
    assert paths.names == ("sales", "price+1", "price+2")
    assert paths.total.shape == (60, 3)
    moved = future.copy()
    moved.iloc[61] += 1e-3  # the price of the last step that is forecast
    changes = model.predict(X, future=moved) - model.predict(X, future=future)
    slope = changes["sales+2"].iloc[-1] / 1e-3
    np.testing.assert_allclose(paths.total[0, 2], slope, rtol=1e-2)
    assert (paths.hidden[0] == 0).all()


def test_a_class_is_explained_by_its_label():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 5, 2))
    y = np.where(X[:, -1, 0] > 0, "up", "down")
    classifier = numlstm.LSTMClassifier(hidden_size=3, epochs=1, random_state=0).fit(X, y)
    paths = inspection.memory_paths(classifier, X, output="up")
    place = list(classifier.classes_).index("up")
    expected = inspection.memory_paths(classifier.model_, X, output=place)
    np.testing.assert_array_equal(paths.total, expected.total)


def test_the_length_of_a_memory_is_that_of_its_sensitivity():
    model, X = made({"num_layers": 2}), np.random.default_rng(0).standard_normal((3, 30, 2))
    model.scaling = SCALING
    lengths = [30, 30, 4]
    total = inspection.memory_paths(model, X, output=0, lengths=lengths).total
    strength = np.sqrt(np.nansum((total * SCALING.x_scale) ** 2, axis=-1))
    for share in (0.5, 0.9):
        steps = inspection.memory_length(model, X, output=0, lengths=lengths, share=share)
        for row, m in enumerate(steps):
            assert strength[row, :m].sum() >= share * strength[row].sum()
            assert strength[row, : m - 1].sum() < share * strength[row].sum()
    one = inspection.memory_length(model, X[0], output=0)
    assert one.shape == ()
    assert one == inspection.memory_length(model, X, output=0)[0]


@pytest.mark.parametrize(
    ("options", "keywords", "message"),
    [
        ({"bidirectional": True}, {"output": 0}, "no state between two steps"),
        ({}, {}, "this model has 2 outputs, 'y0', 'y1': say which one is explained"),
        ({}, {"output": 2}, "output must be an index below 2"),
        ({}, {"output": "z"}, "output must be one of"),
        ({}, {"output": 0, "step": 5}, "step must lie between -5 and 4"),
        ({}, {"output": 0, "lengths": [5, 0]}, "a sequence of X has no step"),
        ({}, {"output": 0, "wrt": "theta"}, "wrt must be one of"),
        ({}, {"output": 0, "wrt": "state", "times_input": True}, "it needs wrt='X'"),
    ],
)
def test_what_makes_no_sense_is_refused(options, keywords, message):
    with pytest.raises((ValueError, TypeError), match=message):
        inspection.memory_paths(made(options), np.ones((2, 5, 2)), **keywords)


def test_no_sequences_have_no_memory():
    model = numlstm.LSTM(2, 3, 1, rng=0)
    assert inspection.memory_length(model, np.zeros((0, 5, 2))).shape == (0,)


def test_paths_say_what_they_are():
    model = numlstm.LSTM(2, 3, 1, rng=0)
    X = np.ones((4, 2))
    words = [
        inspection.memory_paths(model, X, **keywords).quantity
        for keywords in ({}, {"times_input": True}, {"wrt": "state"})
    ]
    assert words == [
        "sensitivity (output by input)",
        "contribution (units of the output)",
        "sensitivity (output by state)",
    ]


def test_what_inputs_brought_is_the_gradient_times_input_of_attributions():
    rng = np.random.default_rng(0)
    X = 5.0 + rng.standard_normal((4, 12, 2))
    X[rng.random(X.shape) < 0.2] = np.nan
    for standardize in (True, False):
        model = numlstm.fit(
            *(X, np.nan_to_num(X[..., :1])),
            hidden_size=3,
            epochs=2,
            missing="mask",
            standardize=standardize,
            dtype="float64",
            rng=0,
        ).model
        paths = inspection.memory_paths(model, X, times_input=True)
        observed = np.isfinite(X)[:, ::-1]
        found = inspection.gradient_x_input(model, X).values[:, ::-1]
        np.testing.assert_allclose(paths.total[observed], found[observed], rtol=1e-9, atol=1e-12)
