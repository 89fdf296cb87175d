"""A user's compiled loop over sequences, shared among threads: a module, so that Numba keeps it."""

import numba


@numba.njit(parallel=True, cache=True)
def run(stepper, X, h, c, Y):  # type: ignore[no-untyped-def]
    """Y (B, T, O) from X (B, T, I) and states h (B, layers, P), c (B, layers, H), in place."""
    for row in numba.prange(len(X)):
        for t in range(X.shape[1]):
            stepper.step(X[row, t], h[row], c[row], Y[row, t])
