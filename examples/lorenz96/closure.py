"""A closure for the two-scale Lorenz-96 model: what the fast scales do to the slow ones, learned.

Lorenz (1996): slow X_k and fast Y_kj on a ring. A coarse model has X alone and, in the place of
the fast scales, a network that reads X_k and keeps a state for every k, all K of them one batched
step inside the time loop. As Arnold, Moroz & Palmer (2013) do, but with a memory.
"""

import numba
import numpy as np

import numlstm

K, J, F, H, B, C = 8, 32, 20.0, 1.0, 10.0, 10.0
DT, FINE = 0.01, 10  # the coarse model's step, and how many fine ones it has


@numba.njit
def slow(X, forced):
    """dX/dt without the fast scales, and with what stands for them."""
    return np.roll(X, 1) * (np.roll(X, -1) - np.roll(X, 2)) - X + F + forced


@numba.njit
def both(state):
    """Tendency of X and Y in one vector."""
    X, Y = state[:K], state[K:]
    forced = -H * C / B * Y.reshape(K, J).sum(axis=1)
    fast = C * B * np.roll(Y, -1) * (np.roll(Y, 1) - np.roll(Y, -2)) - C * Y
    return np.concatenate((slow(X, forced), fast + H * C / B * np.repeat(X, J)))


@numba.njit
def truth(state, steps):
    """X (steps, K) and what the fast scales do to it, every coarse step; Runge-Kutta inside."""
    states, subgrid, dt = np.empty((steps, K)), np.empty((steps, K)), DT / FINE
    for n in range(steps):
        states[n] = state[:K]
        subgrid[n] = -H * C / B * state[K:].reshape(K, J).sum(axis=1)
        for _ in range(FINE):
            k1 = both(state)
            k2 = both(state + 0.5 * dt * k1)
            k3 = both(state + 0.5 * dt * k2)
            k4 = both(state + dt * k3)
            state = state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return states, subgrid


@numba.njit
def coarse(stepper, X, h, c, warm, steps):
    """X (steps, K) of the coarse model; the network first reads what was observed, warm (N, K)."""
    x, y, states = np.empty((K, 1)), np.empty((K, 1)), np.empty((steps, K))
    for n in range(len(warm)):
        x[:, 0] = warm[n]
        stepper.step(x, h, c, y)
    for n in range(steps):
        states[n], x[:, 0] = X, X
        stepper.step(x, h, c, y)
        middle = X + 0.5 * DT * slow(X, y[:, 0])
        X = X + DT * slow(middle, y[:, 0])
    return states


@numba.njit
def bare(X, steps):
    """The coarse model without a closure."""
    states = np.empty((steps, K))
    for n in range(steps):
        states[n] = X
        X = X + DT * slow(X + 0.5 * DT * slow(X, np.zeros(K)), np.zeros(K))
    return states


rng = np.random.default_rng(0)
start = np.concatenate([F * rng.random(K), 0.1 * rng.standard_normal(K * J)])
states, subgrid = (series[500:] for series in truth(start, 6500))
windows = (40, 100, K)
x, y = (
    series[:4000].reshape(windows).transpose(0, 2, 1).reshape(-1, 100, 1)
    for series in (states, subgrid)
)
result = numlstm.fit(x, y, hidden_size=16, epochs=4, learning_rate=0.01, dtype="float64", rng=0)
print(f"mean squared error of the closure, in units of its variance: {result.fun:.3f}")

stepper, errors, bare_errors = result.model.njit(), [], []
for start in range(4100, 5900, 50):
    warm, ahead = states[start - 100 : start], states[start : start + 100]
    h, c = stepper.initial_state(batch=K)
    errors.append(coarse(stepper, ahead[0], h, c, warm, 100) - ahead)
    bare_errors.append(bare(ahead[0], 100) - ahead)
ratio = np.sqrt(np.mean(np.square(errors)) / np.mean(np.square(bare_errors)))
print(f"error of forecasts up to time 1, in units of that without a closure: {ratio:.2f}")
