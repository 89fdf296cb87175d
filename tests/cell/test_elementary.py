"""exp, tanh, sigmoid and flush: their error over all arguments, and scalars against vectors."""

import os

import numba
import numpy as np
import pytest

from numlstm.backends.cpu.codegen import vectors  # supplies the primitives to the compiler
from numlstm.cell import elementary

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
CHUNK = 2**16  # arguments at once; a multiple of every vector's width
STRIDE = 1 if THOROUGH else 251  # odd: multiples of it visit every pattern of 32 bits in the end
RANDOM = 10**7 if THOROUGH else 2 * 10**5

EXP_LIMIT = {"float32": 87, "float64": 708}
WIDER = {"float32": np.float64, "float64": np.longdouble}
BITS = {"float32": np.uint32, "float64": np.uint64}

# what the docstring of numlstm.cell.elementary promises, in units in the last place
LIMIT = {"exp": 1.1, "tanh": 2.6, "sigmoid": 2.5}
# where long double is no wider than double, the truth has an error of its own
TRUTH_ERROR = {"float32": 0, "float64": 2 * (np.finfo(np.longdouble).nmant == 52)}


@numba.njit
def by_scalars(function, x, y):
    for i in range(x.size):
        y[i] = function(x[i])


@numba.njit
def by_vectors(function, x, y):
    source, target = vectors.at(x, 0), vectors.at(y, 0)
    for i in range(0, x.size, vectors.lanes_of(x)):
        vectors.store(target, i, function(vectors.load(source, i)))


COMPILED = {
    name: numba.njit(getattr(elementary, name), error_model="numpy")
    for name in ("exp", "tanh", "sigmoid", "flush")
}


def run(name, x, driver=by_scalars):
    y = np.empty_like(x)
    driver(COMPILED[name], x, y)
    return y


def truth(name, x):
    """The function in a wider type, of the argument that the domain leaves."""
    limit, x = EXP_LIMIT[x.dtype.name], x.astype(WIDER[x.dtype.name])
    if name == "exp":
        return np.exp(np.clip(x, -limit, limit))
    if name == "sigmoid":
        return np.where(x < -limit, 0, 1 / (1 + np.exp(-np.clip(x, -limit, limit))))
    return np.tanh(x)


def worst(name, x):
    """Largest error in units in the last place; checks NaN and vectors on the way."""
    y = run(name, x)
    require_same_bits(run(name, x, by_vectors), y)
    with np.errstate(invalid="ignore"):  # signalling NaNs are among the patterns
        exact = truth(name, x)
        unit = np.spacing(np.abs(exact.astype(x.dtype)))
        assert (np.isnan(y) == np.isnan(x)).all()
        return float(np.fmax.reduce(np.abs(y - exact) / unit, initial=0))


def require_same_bits(one, other):
    bits = BITS[one.dtype.name]
    same = (one.view(bits) == other.view(bits)) | (np.isnan(one) & np.isnan(other))
    assert same.all(), (one[~same][:5], other[~same][:5])


def all_patterns():
    """Every STRIDE-th of all float32 numbers, infinities and NaNs included."""
    offsets = np.arange(CHUNK, dtype=np.uint64) * np.uint64(STRIDE)
    for start in range(0, 2**32, CHUNK * STRIDE):
        yield (np.uint64(start) + offsets).astype(np.uint32).view(np.float32)


def random_arguments():
    """float64 numbers of every magnitude, and more of those where something happens."""
    rng = np.random.default_rng(0)
    count = min(CHUNK, RANDOM // 4 // 64 * 64)
    for _ in range(-(-RANDOM // (4 * count))):
        yield rng.integers(0, 2**64, count, dtype=np.uint64).view(np.float64)
        for bound in (1, 40, 708):
            yield rng.uniform(-bound, bound, count)


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])
@pytest.mark.parametrize(
    ("dtype", "arguments"), [("float32", all_patterns), ("float64", random_arguments)]
)
def test_error(name, dtype, arguments):
    error = max(worst(name, x) for x in arguments())
    print(f"{name}, {dtype}: {error:.3f} units in the last place")
    assert error <= LIMIT[name] + TRUTH_ERROR[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestEdges:
    """Arguments at which something begins or ends."""

    def edges(self, dtype):
        info = np.finfo(dtype)
        sizes = [0, info.smallest_subnormal, info.smallest_normal, info.eps, 1, 87, 88, 708, 709]
        sizes += [info.max, np.inf]
        return np.array([sign * size for size in sizes for sign in (1, -1)], dtype)

    def test_finite_for_any_number(self, dtype):
        for name in ("exp", "tanh", "sigmoid"):
            assert np.isfinite(run(name, self.edges(dtype))).all()

    def test_values_at_the_ends(self, dtype):
        ends = np.array([0.0, -0.0, np.inf, -np.inf], dtype)
        limit = np.array([EXP_LIMIT[dtype], -EXP_LIMIT[dtype]], dtype)
        np.testing.assert_array_equal(run("exp", ends), [1, 1, *run("exp", limit)])
        np.testing.assert_array_equal(run("tanh", ends), [0, 0, 1, -1])
        np.testing.assert_array_equal(run("sigmoid", ends), [0.5, 0.5, 1, 0])
        below = np.nextafter(-limit[:1], -np.inf, dtype=dtype)
        assert run("sigmoid", limit)[1] >= np.finfo(dtype).smallest_normal
        np.testing.assert_array_equal(run("sigmoid", below), 0)

    def test_never_outside_the_range(self, dtype):
        x = np.concatenate([self.edges(dtype), np.linspace(-50, 50, 10001, dtype=dtype)])
        assert (np.abs(run("tanh", x)) <= 1).all()
        assert (run("sigmoid", x) >= 0).all()
        assert (run("sigmoid", x[x >= -EXP_LIMIT[dtype]]) > 0).all()
        assert (run("sigmoid", x) <= 1).all()
        assert (run("exp", x) >= np.finfo(dtype).smallest_normal).all()

    def test_small_arguments_keep_their_digits(self, dtype):
        info = np.finfo(dtype)
        x = np.geomspace(info.smallest_normal, info.eps / 4, 100, dtype=dtype)
        x = np.concatenate([x, self.edges(dtype)[2:4]])
        np.testing.assert_array_equal(run("tanh", x), x)

    def test_nan_stays_nan(self, dtype):
        for name in COMPILED:
            assert np.isnan(run(name, np.array([np.nan, -np.nan], dtype))).all()

    def test_flush_takes_subnormals_and_nothing_else(self, dtype):
        info = np.finfo(dtype)
        below = np.nextafter(info.smallest_normal, info.dtype.type(0))
        x = np.array([info.smallest_subnormal, below, -below, -info.smallest_subnormal], dtype)
        assert 0 < below < info.smallest_normal
        np.testing.assert_array_equal(run("flush", x), np.zeros(4))
        kept = np.array([0, 1, np.inf, info.smallest_normal, info.max], dtype)
        kept = np.concatenate([kept, -kept])
        np.testing.assert_array_equal(run("flush", kept), kept)

    def test_flush_of_vectors(self, dtype):
        tiny = np.finfo(dtype).smallest_normal
        x = (tiny * np.random.default_rng(0).uniform(-3, 3, 6400)).astype(dtype)
        require_same_bits(run("flush", x, by_vectors), run("flush", x))

    def test_in_python_too(self, dtype):
        """The primitives as Python states them; only fma rounds twice there."""
        kind = np.dtype(dtype).type
        x = np.linspace(-20, 20, 201, dtype=dtype)
        for name in COMPILED:
            plain = np.array([getattr(elementary, name)(kind(value)) for value in x], dtype)
            np.testing.assert_allclose(plain, run(name, x), rtol=4 * np.finfo(dtype).eps)
