"""Direct connections from the inputs to the outputs: against plain NumPy, and what they are for."""

from dataclasses import replace

import numpy as np
import pytest

import numlstm
from helpers.datasets import dataset
from helpers.harness import STEP, require_bits, run_case
from helpers.strategies import Case
from numlstm import backends
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import NetworkSpec
from numlstm.backends import cpu, reference
from numlstm.network import slices
from numlstm.network.network import Network
from numlstm.objectives.evaluator import Evaluator
from numlstm.objectives.member_evaluator import MemberEvaluator
from numlstm.optim.losses import mse

LENGTHS = np.array([4, 0, 6, 1, 6])
VARIANTS = {
    "plain": {},
    "one output": {"output_size": 1},
    "many outputs": {"output_size": 19, "input_size": 1},
    "stacked": {"num_layers": 2, "residual": True},
    "both ways": {"num_layers": 2, "bidirectional": True, "proj_size": 3},
    "learned state": {"learned_state": True, "cell": numlstm.Cell(peephole=True)},
}


def spec_of(variant, **more):
    sizes = {"input_size": 3, "hidden_size": 5, "output_size": 2, "dtype": "float64"}
    return NetworkSpec(**{**sizes, **VARIANTS[variant], "direct_input": True, **more})


def without(spec, theta):
    """The network without direct connections, its parameters, and the matrix D (O, I)."""
    plain = replace(spec, direct_input=False)
    return plain, theta[: plain.num_parameters], split(spec.shapes, theta)["head_direct"]


def read(X, lengths, last):
    """What direct connections read, in plain NumPy: zeros where a row has no step."""
    ends = np.full(len(X), X.shape[1]) if lengths is None else lengths
    if last:
        return np.array([x[end - 1] if end else 0 * x[0] for x, end in zip(X, ends, strict=True)])
    return X * (np.arange(X.shape[1]) < ends[:, None])[..., None]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_and_gradients_are_those_of_a_sum(family_backend, variant, lengths, last):
    case = Case(spec_of(variant), 5, 6, seed=3, last=last)
    numbers = case.numbers._replace(lengths=lengths)
    plain, theta, D = without(case.spec, numbers.theta)
    alone = run_case(reference, replace(case, spec=plain), numbers._replace(theta=theta))
    found, x, dY = run_case(family_backend, case, numbers), read(numbers.X, lengths, last), None
    np.testing.assert_allclose(found["Y"], alone["Y"] + x @ D.T, atol=1e-13)
    dY = numbers.dY if last else read(numbers.dY, lengths, False)
    dD = np.tensordot(dY, x, axes=(tuple(range(dY.ndim - 1)),) * 2)
    dtheta = np.concatenate([alone["dtheta"], dD.ravel()])
    np.testing.assert_allclose(found["dtheta"], dtheta, atol=1e-12)
    dX = alone["dX"].copy()
    if last:
        ends = np.full(5, 6) if lengths is None else lengths
        for row, end in enumerate(ends):
            if end:
                dX[row, end - 1] += dY[row] @ D
    else:
        dX += dY @ D
    np.testing.assert_allclose(found["dX"], dX, atol=1e-12)
    for name in ("h", "c", "dh", "dc"):
        np.testing.assert_allclose(found[name], alone[name], atol=1e-12)


@pytest.mark.parametrize("last", [False, True])
def test_gradients_are_complex_step_derivatives(last):
    case = Case(spec_of("both ways"), 5, 6, seed=4, last=last)
    numbers, rng = case.numbers._replace(lengths=LENGTHS), np.random.default_rng(0)
    found, network = run_case(reference, case, numbers), Network(case.spec, reference)
    for name in ("theta", "X"):
        value = getattr(numbers, name)
        along = rng.standard_normal(value.shape)
        moved = numbers._replace(**{name: value + 1j * STEP * along})
        given = network.pack(moved.theta), moved.X, moved.state, LENGTHS
        Y, final, _ = network.forward(*given, last=last)
        pairs = zip((Y, *final), (numbers.dY, *numbers.dstate), strict=True)
        by_step = sum((part * d).sum().imag for part, d in pairs) / STEP
        np.testing.assert_allclose((found[f"d{name}"] * along).sum(), by_step, rtol=1e-11)


@pytest.mark.parametrize("last", [False, True])
def test_what_stands_in_the_padding_is_not_read(family_backend, last):
    case = Case(spec_of("stacked"), 5, 6, seed=5, last=last)
    numbers = case.numbers._replace(lengths=LENGTHS)
    outside = (np.arange(6) >= LENGTHS[:, None])[..., None]
    spoilt = numbers._replace(X=np.where(outside, np.nan, numbers.X))
    if not last:
        spoilt = spoilt._replace(dY=np.where(outside, np.nan, numbers.dY))
    clean = run_case(family_backend, case, numbers)
    for name, value in run_case(family_backend, case, spoilt).items():
        require_bits(value, clean[name])


def test_the_last_output_of_rows_that_end_in_earlier_slices(monkeypatch):
    monkeypatch.setattr(slices, "slices", lambda steps, _: [(0, 2), (2, 3), (3, steps)])
    case = Case(spec_of("plain"), 5, 6, seed=6, last=True)
    numbers, network = case.numbers._replace(lengths=LENGTHS), Network(case.spec, cpu)
    given = network.pack(numbers.theta), numbers.X, numbers.state, LENGTHS
    whole, _, _ = network.forward(*given, last=True)
    require_bits(slices.forward(network, *given, last=True)[0], whole)


def test_steps_have_the_bits_of_a_forward_pass():
    for dtype in ("float32", "float64"):
        for outputs in (1, 2, 19):
            model = numlstm.LSTM(3, 9, outputs, direct_input=True, dtype=dtype, rng=0)
            model.params["head_direct"] = np.random.default_rng(0).uniform(-1, 1, (outputs, 3))
            X, state = np.random.default_rng(1).standard_normal((4, 7, 3)).astype(dtype), None
            Y, _ = model.forward(X)
            for t in range(7):
                y, state = model.step(X[:, t], state)
                require_bits(y, Y[:, t])


# --- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
def test_the_loss_and_its_derivatives(last):
    data = dataset([6, 2, 4, 1], last=last)
    spec = spec_of("plain")
    evaluator = Evaluator(Network(spec, cpu), mse)
    theta, v = np.random.default_rng(2).uniform(-0.5, 0.5, (2, spec.num_parameters))
    value, gradient = evaluator.gradient(theta, data)
    assert evaluator.value(theta, data) == pytest.approx(value, rel=1e-14)
    change = 1e-6 * v
    ahead, behind = (evaluator.gradient(theta + s * change, data) for s in (1, -1))
    assert (ahead[0] - behind[0]) / 2e-6 == pytest.approx(gradient @ v, rel=1e-7)
    difference = (ahead[1] - behind[1]) / 2e-6
    np.testing.assert_allclose(evaluator.hessp(theta, v, data), difference, atol=1e-7)
    # the outputs of windows are those of the whole: every row's last step is in one of them
    pieces = [data.cut(start, start + 2) for start in (0, 2, 4)]
    state, total = None, 0.0
    for piece in pieces:
        part, _, state = evaluator.step(theta, piece, state, 1.0)
        total += part
    assert total / data.total_weight() == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("outputs", [2, 19])
@pytest.mark.parametrize("last", [False, True])
def test_members_learn_what_each_would_alone(last, outputs):
    data = dataset([6, 2, 4, 1], last=last)
    if outputs != 2:
        shape = (*data.y.shape[:-1], outputs)
        weight = np.broadcast_to(data.weight[..., :1], shape).copy()
        data = replace(data, y=np.random.default_rng(3).standard_normal(shape), weight=weight)
    spec = spec_of("plain", num_layers=2, output_size=outputs)
    evaluator = Evaluator(Network(spec, cpu), mse)
    thetas = np.random.default_rng(2).uniform(-0.5, 0.5, (3, spec.num_parameters))
    way = MemberEvaluator(evaluator, 3)._way(data)
    assert type(way).__name__ == "Batched"
    weight = np.repeat(data.weight[None], 3, axis=0)
    values, gradients, _ = way.step(thetas, data, weight, None)
    for theta, value, gradient in zip(thetas, values, gradients, strict=True):
        alone = evaluator.step(theta, data, None, 1.0)
        assert value == alone[0]
        require_bits(gradient, alone[1])


# --- the face -------------------------------------------------------------------------------------


def test_a_network_begins_as_the_one_without_them():
    plain = numlstm.LSTM(3, 9, 4, rng=4, static_size=2)
    model = numlstm.LSTM(3, 9, 4, rng=4, static_size=2, direct_input=True)
    require_bits(model.theta[: plain.theta.size], plain.theta)
    assert list(model.params)[-1] == "head_direct"
    assert model.params["head_direct"].shape == (4, 3)
    assert not model.params["head_direct"].any()


def test_a_network_without_a_head_has_no_outputs_to_add_to():
    with pytest.raises(ValueError, match=r"direct_input=True adds the inputs .* needs an out"):
        numlstm.LSTM(3, 5, direct_input=True)
    with pytest.raises(TypeError, match="direct_input must be True or False"):
        numlstm.LSTM(3, 5, 2, direct_input=1)


def test_mask_channels_are_inputs_too():
    X = np.random.default_rng(0).standard_normal((8, 6, 2))
    X[::2, 3] = np.nan
    y = np.nan_to_num(X[..., :1])
    result = numlstm.fit(X, y, missing="mask", direct_input=True, hidden_size=3, epochs=2, rng=0)
    assert result.model.params["head_direct"].shape == (1, 4)


def test_inputs_whose_direct_products_overflow_are_refused():
    model = numlstm.LSTM(1, 2, 1, direct_input=True, rng=0)
    model.params["head_direct"] = np.full((1, 1), 1e30)
    with pytest.raises(ValueError, match="products of X and the weights may add up to 1e"):
        model.forward(np.full((1, 2, 1), 1e10))


def test_files_keep_them(tmp_path):
    model = numlstm.LSTM(3, 5, 2, direct_input=True, rng=0)
    model.save(tmp_path / "model.npz")
    copy = numlstm.load(tmp_path / "model.npz")
    assert copy.spec == model.spec
    require_bits(copy.theta, model.theta)
    assert "direct_input" in repr(copy)


@pytest.mark.parametrize("backend", [name for name in backends.REGISTRY if name != "cuda"])
def test_the_input_as_it_is_beside_a_memory(backend):
    """y_t = 3 x_t + the sign that the sequence began with: two units remember, none repeats x."""
    rng = np.random.default_rng(0)
    X = 2 * rng.standard_normal((120, 8, 1))
    y = 3 * X + np.sign(X[:, :1])
    options = {
        "hidden_size": 2, "epochs": 40, "learning_rate": 0.05, "standardize": False, "rng": 0,
        "backend": backend,
    }  # fmt: skip
    losses = [
        numlstm.fit(X, y, direct_input=direct, **options).history["loss"][-1]
        for direct in (False, True)
    ]
    assert losses[1] < 0.1 < 1 < losses[0]
