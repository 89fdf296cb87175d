"""Networks trained side by side are what they would be alone, and their spread says something."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import LinearConstraint

import numlstm
from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import LayerSpec, State
from numlstm.backends import get
from numlstm.data.sequences import Dataset
from numlstm.objectives.evaluator import Evaluator, run_here
from numlstm.objectives.member_evaluator import Batched, InTurn, can_batch
from numlstm.optim.losses import LOSSES


def data(B=12, T=7, seed=0):
    X = np.random.default_rng(seed).standard_normal((B, T, 2))
    return X, np.cumsum(X[..., :1], axis=1)


def quick(*arrays, **options):
    arrays = arrays or data()
    given = {"members": 3, "hidden_size": 4, "epochs": 3, "batch_size": 5, "rng": 0}
    return numlstm.ensemble(*arrays, **given | options)


CELLS = {
    "plain": Cell(),
    "of 1997": Cell("none"),
    "coupled": Cell("coupled"),
    "peepholes": Cell(peephole=True),
    "normalised": Cell("none", peephole=True, layer_norm=True, cell_clip=0.5),
    "gates normalised": Cell(peephole=True, layer_norm="gates"),
    "activations": Cell(activations=("hard_sigmoid", "softsign", ("elu", 0.5))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [3, 19])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_the_kernels_for_members_give_each_its_own_bits(dtype, batch, ragged, cell):
    cpu, rng, spec = get("cpu"), np.random.default_rng(batch), LayerSpec(3, 5, dtype, cell=cell)
    assert cpu.members().able(spec)
    n = sum(int(np.prod(shape)) for shape in spec.shapes.values())
    thetas, X, dY = (
        rng.normal(0, 0.5, shape).astype(dtype)
        for shape in ((4, n), (4, batch, 6, 3), (4, batch, 6, 5))
    )
    lengths = rng.integers(0, 7, batch) if ragged else None
    if ragged:
        dY[:, np.arange(6) >= lengths[:, None]] = np.nan  # padding is never read
    kernels, zeros = cpu.members(), np.zeros((batch, 5), dtype)
    Y, tape = kernels.forward(spec, thetas, X, lengths)
    final = kernels.final_state(spec, tape)
    dthetas, dX = kernels.backward(spec, thetas, tape, dY, True)
    for member, theta in enumerate(thetas):
        weights = cpu.pack_layer(spec, theta)
        alone, state, kept = cpu.layer_forward(
            spec, weights, X[member], (zeros, zeros), lengths, tape=True
        )
        for part, expected in zip(final, state, strict=True):
            np.testing.assert_array_equal(part[member], expected)
        dtheta, dX_alone, *_ = cpu.layer_backward(spec, weights, kept, dY[member], None)
        np.testing.assert_array_equal(Y[member], alone)
        np.testing.assert_array_equal(dthetas[member], dtheta)
        np.testing.assert_array_equal(dX[member], dX_alone)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("last", [False, True])
def test_side_by_side_is_one_after_the_other(loss, last):
    rng = np.random.default_rng(0)
    outputs = {"cross_entropy": 3, "gaussian_nll": 2}.get(loss, 1)
    model = numlstm.LSTM(2, 5, outputs, num_layers=2, dtype="float64")
    X, y = data(6, 7)
    y = y[:, -1] if last else y
    y = (np.abs(y[..., 0]) * 2).astype(np.int64) % 3 if loss == "cross_entropy" else (y > 0) * 1.0
    lengths = np.array([7, 3, 5, 1, 7, 2])
    window = Dataset(X, y, np.ones(y.shape), lengths, last)
    weight = rng.random((3, *y.shape))
    if not last:
        weight[:, np.arange(7) >= lengths[:, None]] = 0
    thetas = rng.normal(0, 0.4, (3, model.theta.size))
    evaluator = Evaluator(model.network, LOSSES[loss].function)
    assert can_batch(model.network)
    state = State(*rng.normal(0, 0.4, (2, 3, 2, 6, 5)))
    for start in (None, state):
        together, alone = (
            way(evaluator).step(thetas, window, weight, start) for way in (Batched, InTurn)
        )
        for mine, its in zip((*together[:2], *together[2]), (*alone[:2], *alone[2]), strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-9, atol=1e-12 * np.abs(its).max())
        for way in (Batched, InTurn):
            for mine, its in zip(
                way(evaluator).advance(thetas, window, start), alone[2], strict=True
            ):
                np.testing.assert_array_equal(mine, its)
    whole = replace(window, weight=(weight[0] > 0).astype(float))
    values = [way(evaluator).value(thetas, whole, run_here) for way in (Batched, InTurn)]
    np.testing.assert_array_equal(*values)


def test_members_taken_in_parts_are_the_same(monkeypatch):
    whole = quick(members=5)
    monkeypatch.setattr("numlstm.backends.cpu.layer.members.at_once", lambda *sizes: 2)
    parts = quick(members=5)
    for one, other in zip(whole.models, parts.models, strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_allclose(whole.history["loss"], parts.history["loss"], rtol=1e-6)


def test_members_learn_differ_and_repeat():
    X, y = data(30)
    many = quick(X, y, epochs=60, learning_rate=0.03)
    assert len(many.models) == 3
    loss = many.history["loss"]
    assert loss.shape == (60,)
    assert loss[-1] < 0.2 * loss[0]
    mean, spread = many.predict(X)
    each = np.stack([model.predict(X) for model in many.models])
    np.testing.assert_allclose(mean, each.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(spread, each.std(axis=0), rtol=1e-4, atol=1e-7)
    assert np.mean((mean - y) ** 2) < 0.3 * np.var(y)
    far = many.predict(4 * X)[1]
    assert far.mean() > spread.mean()  # it knows where it was not trained
    again = quick(X, y, epochs=60, learning_rate=0.03)
    for one, other in zip(many.models, again.models, strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)


def test_without_a_bootstrap_only_the_start_differs():
    X, y = data(5)
    many = quick(X, y, bootstrap=False, epochs=1, learning_rate=1e-9)
    assert len({model.theta.tobytes() for model in many.models}) == 3
    assert quick(X[:1], y[:1], bootstrap=False).predict(X)[0].shape == y.shape
    with pytest.raises(ValueError, match="needs several, and X is one: pass bootstrap=False"):
        quick(X[:1], y[:1])


def test_lists_and_variants_and_other_backends():
    X, y = data()
    ragged = (
        [row[: 2 + i % 5] for i, row in enumerate(X)],
        [row[: 2 + i % 5] for i, row in enumerate(y)],
    )
    mean, spread = quick(*ragged).predict(ragged[0])
    assert [part.shape for part in mean] == [part.shape for part in ragged[1]]
    assert all((part > 0).all() for part in spread)
    options = {"dtype": "float64", "epochs": 2}
    one, other = (quick(backend=name, **options) for name in ("cpu", "reference"))
    for mine, its in zip(one.models, other.models, strict=True):
        np.testing.assert_allclose(mine.theta, its.theta, rtol=1e-7, atol=1e-9)
    assert quick(bidirectional=True, backend="reference").predict(X)[0].shape == y.shape


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"members": 0}, ValueError, "members must be an integer >= 1"),
        ({"bootstrap": 1}, TypeError, "bootstrap must be True or False"),
        ({"units": 3}, TypeError, "has no keyword 'units': did you mean 'hidden_size'"),
        ({"patience": 0}, ValueError, "patience must be an integer >= 1"),
        ({"resume": True}, ValueError, "resume=True needs checkpoint="),
        ({"limits": {"constraints": LinearConstraint(1, 0)}}, ValueError, "knows no constraints"),
        ({"bidirectional": True, "bptt_steps": 3}, ValueError, "bptt_steps cuts sequences"),
        (
            {"method": "L-BFGS-B", "batch_size": 32},
            ValueError,
            "trains with one of adam.*method='L-BFGS-B'",
        ),
        ({"dropout": {"states": 0.1}}, ValueError, "without dropout"),
        ({"hidden_size": 0}, ValueError, "hidden_size must be an integer"),
    ],
)
def test_what_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        quick(**options)
