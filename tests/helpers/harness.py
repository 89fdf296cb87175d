"""Run a case on a backend, and compare the results with the reference's."""

import numpy as np

from helpers.strategies import Case, Numbers, mapped, promote
from numlstm.architecture.spec import NetworkSpec, State
from numlstm.backends import reference
from numlstm.network.network import Network

STEP = 1e-30  # of a complex step

BARS = {"float64": 1e-12, "float32": 2e-6}  # relative in L2, per array

# (I, H, B, T): one of everything, odd sizes, beside powers of two, larger than any tile
SIZES = [
    (1, 1, 1, 1),
    (1, 3, 2, 5),
    (3, 7, 1, 12),
    (5, 8, 5, 4),
    (2, 9, 6, 7),
    (17, 15, 7, 3),
    (40, 16, 13, 6),
    (9, 17, 3, 20),
    (1, 31, 8, 9),
    (33, 33, 17, 5),
    (64, 64, 32, 8),
    (8, 65, 257, 2),
    (3, 130, 9, 6),
    (130, 5, 3, 11),
    (2, 70, 2, 150),
    (1, 20, 1, 700),
]


def run(backend, spec, numbers: Numbers, *, last=False, need_dX=True):
    """Forward and backward of a layer or a network: every result by name, as NumPy arrays."""
    numbers = mapped(backend.arrays.asarray, numbers)
    if isinstance(spec, NetworkSpec):
        results = _run_network(Network(spec, backend), numbers, last, need_dX)
    else:
        results = _run_layer(backend, spec, numbers, need_dX)
    return {k: None if v is None else backend.arrays.to_numpy(v) for k, v in results.items()}


def run_case(backend, case: Case, numbers: Numbers | None = None, **options):
    """`run` for a `Case`, with its own numbers or with changed ones."""
    return run(backend, case.spec, numbers or case.numbers, last=case.last, **options)


def _run_layer(backend, spec, numbers, need_dX):
    theta, X, state, lengths, dY, dstate, reset, noise = numbers
    weights = backend.pack_layer(spec, theta)
    Y, (h, c), tape = backend.layer_forward(
        spec, weights, X, tuple(state), lengths, tape=True, reset=reset, noise=noise
    )
    dstate = None if dstate is None else tuple(dstate)
    dtheta, dX, (dh, dc), _ = backend.layer_backward(
        spec, weights, tape, dY, dstate, need_dX=need_dX
    )
    return {"Y": Y, "h": h, "c": c, "dtheta": dtheta, "dX": dX, "dh": dh, "dc": dc}


def _run_network(network, numbers, last, need_dX):
    theta, X, state, lengths, dY, dstate, reset, noise = numbers
    weights = network.pack(theta, noise)
    Y, final, tape = network.forward(
        weights, X, state, lengths, tape=True, last=last, reset=reset, noise=noise
    )
    dtheta, dX, (dh, dc) = network.backward(weights, tape, dY, dstate, need_dX=need_dX)
    return {
        "Y": Y, "h": final.h, "c": final.c, "dtheta": dtheta, "dX": dX, "dh": dh, "dc": dc,
    }  # fmt: skip


def run_truth(case: Case, numbers: Numbers | None = None, **options):
    """The reference in float64, on the very numbers of the case."""
    numbers = numbers or case.numbers
    return run_case(reference, case.promoted, promote(numbers), **options)


def run_head(backend, spec, theta, H, dY):
    weights = backend.pack_head(spec, backend.arrays.asarray(theta))
    H, dY = backend.arrays.asarray(H), backend.arrays.asarray(dY)
    dtheta, dH = backend.head_backward(spec, weights, H, dY)
    results = {"Y": backend.head_forward(spec, weights, H), "dtheta": dtheta, "dH": dH}
    return {name: backend.arrays.to_numpy(value) for name, value in results.items()}


def require_close(case: Case, results, **options):
    """Hold results to the bar of the case's dtype: relative to the L2 norm of each array.

    Where the terms of a sum cancel, or everything is tiny, no arithmetic in that dtype can meet a
    relative bar: a random example of one unit and one row may do that. Only where the bar is
    missed, the error is held against that of the definition itself: see `unavoidable`.
    """
    truth, bar = run_truth(case, **options), BARS[case.spec.dtype]
    for name, expected in truth.items():
        require_kind(case, name, results[name], expected)
        if expected is None:
            continue
        error = np.linalg.norm(results[name] - expected)
        if not error <= bar * np.linalg.norm(expected):  # a NaN is no small error
            limit = 4 * unavoidable(case, name, expected, **options)
            assert error <= limit, (name, error, limit)


def unavoidable(case: Case, name, expected, **options):
    """The largest error of plain NumPy in the case's dtype, inputs moved by up to one last place.

    With what may be flushed to zero: for every term of a sum the smallest normal number.
    """
    flushed = float(np.finfo(case.spec.dtype).tiny) * (1 + case.B) * (1 + case.T)
    moved = (run_case(reference, case, shake(case, seed), **options)[name] for seed in range(3))
    worst = max(np.linalg.norm(result - expected) for result in moved)
    return worst + flushed * np.sqrt(expected.size)


def require_strict(case: Case, results, **options):
    """Hold results to the bar, whatever plain NumPy does: for examples known to be well-scaled."""
    for name, expected in run_truth(case, **options).items():
        require_kind(case, name, results[name], expected)
        error = np.linalg.norm(results[name] - expected)
        assert error <= BARS[case.spec.dtype] * np.linalg.norm(expected), (name, error)


def require_kind(case, name, result, expected):
    """Same shape as the truth, in the dtype of the case; None where the truth is None."""
    if expected is None:
        assert result is None, name
        return
    assert result.shape == expected.shape, name
    assert result.dtype == case.spec.dtype, name


def shake(case: Case, seed: int) -> Numbers:
    """The numbers of a case, each moved by up to one unit in its last place."""
    rng = np.random.default_rng([case.seed, seed])
    eps = np.finfo(case.spec.dtype).eps

    def moved(value):
        return value * (1 + eps * rng.uniform(-1, 1, value.shape))

    return promote(mapped(moved, promote(case.numbers)), case.spec.dtype)


def require_same(backend, one, other):
    """Equal bit for bit, for every result.

    The reference multiplies with BLAS, whose order of summation depends on the shape, so for it
    alone "same" means within a few roundings of the largest element.
    """
    if isinstance(one, dict):
        for name in one:
            require_same(backend, one[name], other[name])
    elif one is None:
        assert other is None
    elif backend.name == "reference":
        atol = 64 * np.finfo(one.dtype).eps * max(1.0, float(np.abs(one).max(initial=0)))
        np.testing.assert_allclose(other, one, rtol=0, atol=atol)
    else:
        require_bits(one, other)


def require_bits(one, other):
    """The same bytes, not only equal numbers: -0.0 is not 0.0, a NaN equals itself."""
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    if one.tobytes() != other.tobytes():
        np.testing.assert_array_equal(one, other)
        raise AssertionError("equal numbers, different bits: a zero of the other sign or a NaN")


def rows(numbers: Numbers, index) -> Numbers:
    """Some rows of the batch of a layer case."""

    def take(value):
        if value is None:
            return None
        if isinstance(value, tuple):
            return type(value)(*map(take, value))
        return value[index]

    taken = {k: take(v) for k, v in numbers._asdict().items() if k != "theta"}
    return numbers._replace(**taken)


def by_complex_step(functional, case, name, direction):
    """The derivative of functional(case, numbers) where one of the numbers moves along a direction.

    The functional is real and analytic, so the step may be as small as it likes: nothing cancels.
    """
    numbers, step = case.numbers, 1j * STEP * direction
    if name in State._fields:
        state = numbers.state._replace(**{name: getattr(numbers.state, name) + step})
        numbers = numbers._replace(state=state)
    else:
        numbers = numbers._replace(**{name: getattr(numbers, name) + step})
    return functional(case, numbers).imag / STEP
