"""Variants through the public face of `LSTM`: keywords, refusals, step, noise on request, files."""

import json
import pickle
import re

import numpy as np
import pytest

import numlstm
from helpers.harness import require_bits, require_same
from helpers.variants import KEYWORDS
from numlstm import backends
from numlstm.architecture.cell import Activation, Cell
from numlstm.architecture.spec import Dropout
from numlstm.utils import files

X = np.random.default_rng(0).standard_normal((3, 5, 2))


def random_model(backend="reference", dtype="float64", **options):
    """A model whose every parameter, peepholes and initial states too, is drawn."""
    model = numlstm.LSTM(2, 5, 2, dtype=dtype, rng=1, backend=backend, **options)
    model.theta = np.random.default_rng(2).standard_normal(model.theta.shape)
    return model


@pytest.fixture(params=KEYWORDS)
def varied(request, family_backend):
    return random_model(family_backend.name, **KEYWORDS[request.param])


# --- what every variant can do ------------------------------------------------------------------


def test_it_is_not_the_plain_network(varied):
    """Other parameters, or the same ones and another answer."""
    layers = varied.spec.num_layers
    plain = numlstm.LSTM(2, 5, 2, num_layers=layers, dtype="float64", backend="reference")
    if varied.spec.shapes == plain.spec.shapes:
        plain.theta = varied.theta
        assert (plain.forward(X)[0] != varied.forward(X)[0]).any()


def test_vjp_has_the_gradient_of_forward(varied):
    """Central differences: the reference itself is held to complex steps elsewhere."""
    reset = np.random.default_rng(3).random((3, 5)) < 0.3
    options = {"lengths": [5, 3, 4], "reset": reset}
    Y, pullback = varied.vjp(X, **options)
    dY = np.random.default_rng(4).standard_normal(Y.shape)
    gradients, theta = pullback(dY), varied.theta.copy()
    direction = np.random.default_rng(5).standard_normal(theta.shape)
    values = []
    for sign in (1, -1):
        varied.theta = theta + sign * 1e-6 * direction
        values.append((varied.forward(X, **options)[0] * dY).sum())
    expected = (values[0] - values[1]) / 2e-6
    assert (gradients.theta * direction).sum() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_step_is_forward(varied):
    reset = np.zeros((3, 5), bool)
    reset[1, 2] = True
    if varied.spec.bidirectional:
        with pytest.raises(ValueError, match="its output at a time depends on what comes later"):
            varied.step(X[:, 0])
        return
    Y, final = varied.forward(X, reset=reset)
    state = None
    for t in range(5):
        y, state = varied.step(X[:, t], state, reset=reset[:, t])
        require_same(varied.network.backend, y, Y[:, t])
    require_same(varied.network.backend, dict(state._asdict()), dict(final._asdict()))


def test_step_of_a_single_row_can_be_reset():
    model = random_model(learned_state=True)
    first, state = model.step(X[0, 0])
    again, _ = model.step(X[0, 0], state, reset=True)
    require_bits(again, first)
    with pytest.raises(ValueError, match=r"reset must hold True or False in shape \(\), received"):
        model.step(X[0, 0], state, reset=[True])


def test_a_file_and_a_pickle_bring_it_back(varied, tmp_path):
    path = tmp_path / "model.npz"
    varied.save(path)
    for copy in (
        numlstm.load(path, backend=varied.network.backend.name),
        pickle.loads(pickle.dumps(varied)),
    ):
        assert copy.spec == varied.spec
        assert repr(copy) == repr(varied)
        require_bits(copy.forward(X)[0], varied.forward(X)[0])


def test_a_file_from_before_there_were_variants_still_loads(tmp_path):
    model = numlstm.LSTM(2, 5, 2, num_layers=2, rng=0, backend="reference")
    names = ("input_size", "hidden_size", "output_size", "num_layers", "dtype")
    meta = {"spec": {name: getattr(model.spec, name) for name in names}, "output": "sequence"}
    files.write(tmp_path / "old", "model", {"theta": model.theta}, json.loads(json.dumps(meta)))
    old = numlstm.load(tmp_path / "old", backend="reference")
    assert old.spec == model.spec
    require_bits(old.forward(X)[0], model.forward(X)[0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bidirectional", "; bidirectional; "),
        ("forget_gate=coupled", "; cell(forget_gate=coupled); "),
        ("proj_size", "; proj_size=3; "),
        ("activations", "; cell(activations=(hard_sigmoid(0.2, 0.5), elu(0.5), softsign)); "),
        ("zoneout", "; dropout(zoneout_h=0.25, zoneout_c=0.5); "),
        (
            "several",
            "; proj_size=3, cell(forget_gate=coupled, peephole, layer_norm), learned_state, ",
        ),
    ],
)
def test_repr_says_what_the_variant_is(name, words):
    assert words in repr(random_model(**KEYWORDS[name]))


def test_repr_of_a_plain_model_is_short():
    sizes = "2 inputs, 1 layer of 5 units, 2 outputs; 172 parameters"
    shown = repr(numlstm.LSTM(2, 5, 2, rng=0, backend="reference"))
    assert shown == f"<LSTM: {sizes}, float32, reference backend>"


# --- keywords -----------------------------------------------------------------------------------


def test_keywords_make_the_spec():
    model = numlstm.LSTM(
        *(2, 5, 2),
        num_layers=2,
        bidirectional=True,
        residual=True,
        learned_state=np.True_,
        proj_size=np.int64(3),
        cell={
            "forget_gate": "coupled",
            "peephole": True,
            "layer_norm": True,
            "activation_clip": 3,
            "cell_clip": 2,
            "activations": ("relu", Activation("affine", 2.0), ["leaky_relu", 0.3]),
        },
        dropout={"layers": 0.1, "weights": 0.5},
        backend="reference",
    )
    spec = model.spec
    assert (spec.bidirectional, spec.residual, spec.learned_state) == (True, True, True)
    assert spec.proj_size == 3
    activations = (
        Activation("relu"),
        Activation("affine", 2.0, 0.0),
        Activation("leaky_relu", 0.3),
    )
    assert spec.cell == Cell(
        "coupled",
        peephole=True,
        layer_norm=True,
        activation_clip=3.0,
        cell_clip=2.0,
        activations=activations,
    )
    assert spec.dropout == Dropout(layers=0.1, weights=0.5)
    assert numlstm.LSTM(2, 5, num_layers=2, dropout=0.5).spec.dropout == Dropout(layers=0.5)


def test_biases_begin_as_asked_for():
    bias = numlstm.LSTM(2, 5, init={"forget_bias": 3}, backend="reference").params["bias_l0"]
    np.testing.assert_array_equal(bias, np.repeat([0.0, 3.0, 0.0, 0.0], 5))
    bias = numlstm.LSTM(2, 5, init={"chrono": 100}, rng=0, backend="reference").params["bias_l0"]
    assert 0 <= bias[5:10].min() < bias[5:10].max() <= np.log(99)
    np.testing.assert_array_equal(bias[:5], -bias[5:10])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bidirectional": 1}, TypeError, "bidirectional must be True or False"),
        (
            {"cell": {"forget_gate": "f"}},
            ValueError,
            r"one of \['gate', 'coupled', 'none'\], received 'f'",
        ),
        ({"proj_size": 6}, ValueError, "proj_size must be at most hidden_size = 5, received 6: "),
        ({"cell": {"proj_clip": 3.0}}, ValueError, "proj_clip has no effect without proj_size"),
        (
            {"proj_size": 2, "cell": {"proj_clip": 0}},
            ValueError,
            "proj_clip must be > 0, received 0",
        ),
        ({"proj_size": 0}, ValueError, "proj_size must be an integer >= 1"),
        ({"residual": True}, ValueError, "residual=True needs num_layers >= 2: the second"),
        ({"cell": {"activation_clip": 0}}, ValueError, "activation_clip must be > 0"),
        ({"cell": {"cell_clip": -1}}, ValueError, "cell_clip must be > 0"),
        (
            {"cell": {"forget_gate": "coupled"}, "init": {"forget_bias": 1.0}},
            ValueError,
            "has none of its own: leave",
        ),
        ({"cell": {"forget_gate": "none"}, "init": {"chrono": 50}}, ValueError, "leave chrono out"),
        ({"init": {"chrono": 50, "forget_bias": 1.0}}, ValueError, "leave forget_bias out"),
        ({"init": {"chrono": 50, "input_bias": [1.0] * 5}}, ValueError, "leave input_bias out"),
        ({"init": {"input_bias": [1.0, 2.0]}}, ValueError, "input_bias has 2 values, and a layer"),
        ({"init": {"output_bias": [[1.0]]}}, ValueError, r"array \(H,\), a number for each unit"),
        ({"init": {"output_bias": []}}, ValueError, "must be a number or an array"),
        ({"init": {"output_bias": [np.nan] * 5}}, ValueError, "output_bias has 5 NaN"),
        ({"init": {"input_bias": "big"}}, TypeError, "input_bias must be a number"),
        ({"init": {"chrono": 2}}, ValueError, "chrono must be > 2"),
        (
            {"cell": {"activations": "tanh"}},
            ValueError,
            "activations must be three, of the gates, of the",
        ),
        *(
            ({"cell": {"activations": value}}, ValueError, "activations must be three")
            for value in (
                *(("tanh", "tanh"), ("tanh",) * 4, {"relu", "elu", "tanh"}, 3, (), np.zeros(2)),
                {"relu": 1, "elu": 2, "tanh": 3},
            )
        ),
        *(
            (
                {"cell": {"activations": ("sigmoid", value, "tanh")}},
                TypeError,
                r"each of activations must be a name or a tuple \(name, alpha\[, beta\]\), as",
            )
            for value in (3, None, (), np.tanh, {"name": "elu"}, {"elu": 0.5}, b"tanh")
        ),
        *(
            ({"cell": {"layer_norm": value}}, error, "layer_norm must be False, True or 'gates', r")
            for value, error in (("yes", ValueError), (1, TypeError), (None, TypeError))
        ),
        *(
            (
                {"cell": {name: value}},
                ValueError,
                re.escape(f"{name} must be a number that float32 can hold, received {value:g}, wh"),
            )
            for name in ("activation_clip", "cell_clip")
            for value in (1e-60, 1e300)
        ),
        *(
            (
                {"cell": {"layer_norm": True, "layer_norm_epsilon": value}},
                ValueError,
                "layer_norm_epsilon must be a number that float32 can hold",
            )
            for value in (1e-60, 1e300)
        ),
        *(
            (
                {"cell": {"activations": ((name, value), "tanh", "tanh")}},
                ValueError,
                f"alpha of {name} must be a number that float32 can hold, received",
            )
            for name in ("hard_sigmoid", "scaled_tanh", "elu")
            for value in (1e-60, 1e60)
        ),
        ({"init": {"forget_bias": 1e300}}, ValueError, "forget_bias must be a number that float32"),
        (
            {"init": {"output_bias": [0, 0, 1e300, 0, 0]}},
            ValueError,
            "output_bias must be a number",
        ),
        ({"dtype": None}, ValueError, r"dtype must be one of \['float32', 'float64'\], received"),
        ({"num_layers": 10**12}, ValueError, r"num_layers=10{12}, .* which no memory holds: ch"),
        ({"output_size": 2**40}, ValueError, r"output_size=1099511627776 make a network of more"),
        (
            {"cell": {"activations": ("gelu",) * 3}},
            ValueError,
            r"an activation must be one of \['sigmoid', ",
        ),
        ({"cell": {"activations": (("tanh", 1.0),) * 3}}, ValueError, "'tanh' has 0 constant"),
        ({"cell": {"activations": (("elu", -1.0),) * 3}}, ValueError, "'elu' needs alpha >= 0"),
        ({"cell": {"activations": (("hard_sigmoid", 0.0),) * 3}}, ValueError, "needs alpha > 0"),
        (
            {"dropout": {"zoneout": 0.1}},
            ValueError,
            r"dropout has no 'zoneout': did you mean 'zoneout_h'\?; it has \['layers', 'inputs', ",
        ),
        ({"dropout": {"states": 1.0}}, ValueError, "dropout states must be >= 0 and < 1"),
        ({"dropout": 0.5}, ValueError, "dropout lies between layers: with num_layers=1"),
        ({"dropout": "some"}, TypeError, "dropout must be a number"),
        ({"precision": "fp8"}, ValueError, r"precision must be one of \['tf32', 'bf16'\]"),
        ({"precision": "tf32", "dtype": "float64"}, ValueError, "needs dtype='float32', received"),
        ({"precision": "tf32"}, ValueError, "needs backend='cuda', received 'reference'"),
    ],
)
def test_keywords_that_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        numlstm.LSTM(2, 5, backend="reference", **options)


@pytest.mark.parametrize("name", ["input_size", "hidden_size"])
@pytest.mark.parametrize("value", [2**40, 10**18])
def test_sizes_that_no_memory_holds_are_refused_at_once(name, value):
    sizes = {"input_size": 2, "hidden_size": 3, name: value}
    with pytest.raises(ValueError, match=f"{name}={value}.* which no memory holds: choose less"):
        numlstm.LSTM(**sizes)


def test_constants_that_float64_holds_are_no_constants_of_float32(tmp_path):
    model = numlstm.LSTM(2, 3, cell={"cell_clip": 1e-60}, dtype="float64", rng=0)
    model.save(tmp_path / "model")
    assert numlstm.load(tmp_path / "model").cell.cell_clip == 1e-60
    for narrow in (
        lambda: model.astype("float32"),
        lambda: numlstm.load(tmp_path / "model", dtype="float32"),
    ):
        with pytest.raises(ValueError, match="cell_clip must be a number that float32 can hold"):
            narrow()


def test_a_layer_norm_of_one_unit_is_refused():
    with pytest.raises(ValueError, match="one number alone is always normalised to 0"):
        numlstm.LSTM(2, 1, cell={"layer_norm": True})


def test_precision_belongs_to_where_a_model_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "PREFERENCE", ("cpu", "reference"))
    with pytest.raises(ValueError, match=r"needs backend='cuda', received 'auto', which is 'cpu'"):
        numlstm.LSTM(2, 5, precision="bf16")
    with pytest.raises(ValueError, match="needs backend='cuda', received 'cpu'"):
        numlstm.fit(X, backend="cpu", precision="tf32")
    model = numlstm.LSTM(2, 5, backend="reference")
    model.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="needs backend='cuda'"):
        numlstm.load(tmp_path / "model.npz", precision="tf32", backend="reference")
    with pytest.raises(ValueError, match=r"precision='tf32' does not go with the model given"):
        numlstm.fit(X, model=model, precision="tf32")


def test_states_have_the_shapes_of_the_variant():
    model = random_model(bidirectional=True, proj_size=3, num_layers=2)
    _, state = model.forward(X)
    assert (state.h.shape, state.c.shape) == ((4, 3, 3), (4, 3, 5))
    with pytest.raises(ValueError, match=r"state.h must have shape \(4, 3, 3\)"):
        model.forward(X, numlstm.State(state.c, state.c))


@pytest.mark.parametrize("reset", [np.zeros((3, 4), bool), np.full((3, 5), 2), [["a"] * 5] * 3])
def test_a_wrong_reset_is_refused(reset):
    with pytest.raises(ValueError, match="reset must hold True or False"):
        random_model().forward(X, reset=reset)


# --- noise on request ---------------------------------------------------------------------------

RATES = list(Dropout.__dataclass_fields__)


@pytest.mark.parametrize("rate", RATES)
def test_noise_is_drawn_on_request_only(family_backend, rate):
    options = {"num_layers": 2, "dropout": {rate: 0.5}, "backend": family_backend.name}
    model = numlstm.LSTM(2, 5, 2, rng=0, **options)
    quiet = model.predict(X)
    require_bits(model.predict(X), quiet)
    noisy = model.predict(X, noise_rng=1)
    assert (noisy != quiet).any()
    require_bits(model.predict(X, noise_rng=1), noisy)
    assert (model.predict(X, noise_rng=2) != noisy).any()
    require_same(family_backend, model.predict(X[:2], noise_rng=1), noisy[:2])
    narrow = model.predict(X.astype("float32"), noise_rng=1)
    require_bits(model.forward(X, noise_rng=1)[0], narrow)
    np.testing.assert_array_equal(narrow, noisy)
    Y, pullback = model.vjp(X, noise_rng=1)
    require_same(family_backend, Y, narrow)
    assert np.isfinite(pullback(Y).theta).all()


def test_dropped_weights_have_no_gradient():
    model = numlstm.LSTM(2, 5, 2, rng=0, dropout={"weights": 0.5}, backend="reference")
    Y, pullback = model.vjp(X, noise_rng=1)
    size = model.params["weight_ih_l0"].size
    gradient = pullback(Y).theta[size : size + 100]
    assert 20 < (gradient == 0).sum() < 80


def test_noise_without_a_rate_is_refused():
    with pytest.raises(ValueError, match="this one has no rate above 0"):
        random_model().predict(X, noise_rng=0)


def test_the_mean_of_monte_carlo_predictions_is_near_the_prediction():
    model = numlstm.LSTM(
        2, 20, 2, rng=0, dropout={"zoneout_h": 0.1, "recurrent": 0.1}, backend="reference"
    )
    draws = np.mean([model.predict(X, noise_rng=seed) for seed in range(200)], axis=0)
    np.testing.assert_allclose(draws, model.predict(X), atol=0.05)
