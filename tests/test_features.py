"""The feature table of the documents: every row of numlstm's column is run."""

import re

import numpy as np
import pytest

import numlstm
from helpers.fits import SINE, batch
from helpers.house import ROOT

PAGE = (ROOT / "docs" / "features.md").read_text()
X, Y = batch()
NAN = float("nan")


def rows():
    """Feature -> what numlstm's column says."""
    table = re.search(r"^\| Feature \|.*\n\|[-|: ]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    cells = [[c.strip() for c in line.strip("|\n").split("|")] for line in table[1].splitlines()]
    return {row[0]: row[1] for row in cells}


def gappy(array, share=0.2):
    holes = np.random.default_rng(1).random(array.shape) < share
    return np.where(holes, NAN, array)


RESET = np.random.default_rng(2).random(X.shape[:2]) < 0.2
RAGGED = [x[: 3 + i % 5] for i, x in enumerate(X)], [y[: 3 + i % 5] for i, y in enumerate(Y)]

# what the row says, as arguments of fit; `data` are X and y where they are not the usual ones
FITS = {
    "Stacked layers": {"num_layers": 3},
    "Both directions": {"bidirectional": True},
    "Residual connections": {"num_layers": 2, "residual": True},
    "Projection (LSTMP)": {"proj_size": 2},
    "Peepholes": {"cell": {"peephole": True}},
    "Coupled input and forget gate (CIFG)": {"cell": {"forget_gate": "coupled"}},
    "No forget gate (1997)": {"cell": {"forget_gate": "none"}},
    "Layer normalisation": {"cell": {"layer_norm": True}},
    "Clipped pre-activations": {"cell": {"activation_clip": 1.0}},
    "Clipped cell": {"cell": {"cell_clip": 0.2}},
    "Clipped projection": {"proj_size": 2, "cell": {"proj_clip": 0.2}},
    "Other activations": {"cell": {"activations": ("hard_sigmoid", "softsign", ("elu", 0.5))}},
    "Forget bias": {"init": {"forget_bias": 2.0}},
    "Chrono initialisation": {"init": {"chrono": 20}},
    "Learned initial state": {"learned_state": True},
    "Dropout between layers": {"num_layers": 2, "dropout": 0.3},
    "Variational dropout on inputs": {"dropout": {"inputs": 0.3}},
    "Variational dropout on states": {"dropout": {"states": 0.3}},
    "Recurrent dropout on the candidate": {"dropout": {"recurrent": 0.3}},
    "DropConnect on weight_hh": {"dropout": {"weights": 0.3}},
    "Zoneout": {"dropout": {"zoneout_h": 0.3, "zoneout_c": 0.3}},
    "Ragged batches": {"data": RAGGED},
    "Reset in mid-sequence": {"reset": RESET},
    "Missing targets": {"data": (X, gappy(Y)), "nan_policy": "omit"},
    "Missing inputs": {"data": (gappy(X), Y), "missing": "mask"},
    "Truncated back-propagation": {"bptt_steps": 3},
    "One long series as parallel streams": {
        "data": (SINE, None),
        "stateful": True,
        "bptt_steps": 10,
        "batch_size": 4,
    },
}


def fitted(backend, data=(X, Y), **options):
    return numlstm.fit(
        *data, hidden_size=4, epochs=6, batch_size=options.pop("batch_size", 4), rng=0,
        backend=backend.name, **options,
    )  # fmt: skip


def steps_alone(backend):
    model = numlstm.LSTM(
        2, 4, 1, num_layers=2, cell={"peephole": True}, rng=0, backend=backend.name
    )
    expected, state = model.forward(X)[0], None
    for t in range(X.shape[1]):
        y, state = model.step(X[:, t], state)
        np.testing.assert_allclose(y, expected[:, t], rtol=1e-5, atol=1e-6)


def monte_carlo(backend):
    options = {"dropout": {"states": 0.5}, "rng": 0, "backend": backend.name}
    model = numlstm.LSTM(2, 4, 1, **options)
    one, same, other = (model.predict(X, noise_rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def every_gradient(backend):
    model = numlstm.LSTM(2, 4, 1, bidirectional=True, rng=0, dtype="float64", backend=backend.name)
    out, pullback = model.vjp(X)
    theta, dX, dstate = pullback(np.ones_like(out))
    shapes = (model.theta.shape, X.shape, (2, 12, 4), (2, 12, 4))
    assert tuple(array.shape for array in (theta, dX, *dstate)) == shapes
    assert all(np.abs(array).max() > 0 for array in (theta, dX, *dstate))


def attributes(backend):
    static = np.random.default_rng(3).standard_normal((len(X), 3))
    result = fitted(backend, static=static)
    assert result.fun < result.history["loss"][0]
    model = result.model
    Xn = model.scaling.inputs(X)
    repeated = np.repeat(model.scaling.attributes(static)[:, None], X.shape[1], axis=1)
    wide = numlstm.LSTM(5, 4, 1, backend=backend.name)
    params = dict(model.params)
    inputs = params.pop("weight_ih_l0"), params.pop("weight_is_l0")
    for name, value in (params | {"weight_ih_l0": np.concatenate(inputs, axis=1)}).items():
        wide.params[name][...] = value
    expected = model.scaling.outputs(wide.forward(np.concatenate([Xn, repeated], axis=2))[0])
    np.testing.assert_allclose(model.predict(X, static=static), expected, rtol=1e-4, atol=1e-5)


def resumes_to_the_bit(backend, folder):
    def stop(intermediate_result):
        if intermediate_result.nit == 3:
            raise StopIteration

    options = {"dropout": {"zoneout_c": 0.3}, "batch_size": 5}
    whole = fitted(backend, **options)
    fitted(backend, checkpoint=folder / "run", callback=stop, **options)
    again = fitted(backend, checkpoint=folder / "run", resume=True, **options)
    assert again.x.tobytes() == whole.x.tobytes()


OTHERS = {
    "Attributes of whole sequences": lambda backend, folder: attributes(backend),
    "One step at a time": lambda backend, folder: steps_alone(backend),
    "Seeded Monte-Carlo dropout": lambda backend, folder: monte_carlo(backend),
    "Gradients of parameters, input and states": lambda backend, folder: every_gradient(backend),
    "Stopped runs resume to the bit": resumes_to_the_bit,
}


def test_the_table_claims_what_is_run_here_and_no_more():
    assert set(rows()) == {*FITS, *OTHERS}
    assert set(rows().values()) == {"yes"}


@pytest.mark.parametrize("feature", FITS)
def test_a_fit_with_the_feature(family_backend, feature):
    options = dict(FITS[feature])
    result = fitted(family_backend, **options)
    assert result.fun < result.history["loss"][0]
    data = options.pop("data", None)
    if data is None:  # it does something: the plain fit is another one
        assert result.x.tobytes() != fitted(family_backend).x.tobytes()
    for values in result.model.predict((data or (X, Y))[0]):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("feature", OTHERS)
def test_the_feature(family_backend, feature, tmp_path):
    OTHERS[feature](family_backend, tmp_path)
