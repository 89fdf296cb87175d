"""A network that was fitted to the Lorenz system, against what is known of that system."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import numlstm
from numlstm import inspection

DT, LARGEST = 0.05, 0.906


def lorenz(t, s):
    return 10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]


@pytest.fixture(scope="module")
def data():
    times = DT * np.arange(6500)
    path = solve_ivp(lorenz, (0, times[-1]), [1, 1, 20], t_eval=times, rtol=1e-8, atol=1e-8).y.T
    return path[500:].reshape(60, 100, 3)


@pytest.fixture(scope="module")
def model(data):
    options = {"method": "L-BFGS-B", "epochs": 200, "options": {"maxcor": 50}}
    return numlstm.fit(data, hidden_size=16, dtype="float64", rng=0, **options).model


def test_its_free_run_has_the_exponents_of_the_system(model, data):
    found = inspection.lyapunov_exponents(
        model, data[:4], steps=5000, discard=500, num_exponents=2, dt=DT
    )
    largest, second = found.exponents.mean(axis=0)
    assert abs(largest / LARGEST - 1) < 0.05
    assert abs(second) < 0.02  # along the path
    assert (found.error < 0.05).all()


def test_driven_by_the_system_it_forgets_its_own_state(model, data):
    found = inspection.lyapunov_exponents(model, data[:4], num_exponents=1)
    assert (found.exponents < 0).all()


def test_its_fixed_points_are_those_of_the_system(model, data):
    found = inspection.fixed_points(model, data, num_starts=40)
    side = np.sqrt(72)
    for truth in ([0, 0, 0], [side, side, 27], [-side, -side, 27]):
        x, y, z = truth
        nearest = np.linalg.norm(found.output - truth, axis=1).argmin()
        assert np.linalg.norm(found.output[nearest] - truth) < 1
        J = np.array([[-10, 10, 0], [28 - z, -1, -x], [y, x, -8 / 3]])
        expected = np.abs(np.linalg.eigvals(expm(DT * J))).max()
        assert abs(np.abs(found.eigenvalues[nearest, 0]) - expected) < 0.1
