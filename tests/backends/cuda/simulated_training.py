"""A fit, and arrays of a GPU, that stay on the device: in Numba's simulator, held to NumPy's."""

import inspect

import numpy as np
import pytest

import numlstm
from helpers.harness import require_bits
from helpers.simulator import poisoned_memory  # noqa: F401
from numlstm.architecture.spec import State
from numlstm.backends import numpy_arrays as numpy_arrays
from numlstm.backends.cuda.device import memory
from numlstm.backends.cuda.training import arrays, update
from numlstm.backends.cuda.training.data import Resident
from numlstm.data.sequences import Dataset

BARS = {"float64": 1e-11, "float32": 2e-5}  # of parameters after a few updates


def drawn(*shape, seed=0, dtype="float64"):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def functions(module):
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


# --- arrays ---------------------------------------------------------------------------------------


def test_the_device_has_what_numpy_has():
    names = {name for name, value in functions(numpy_arrays).items()}
    assert names <= {name for name in vars(arrays) if callable(getattr(arrays, name))}
    for name in names:
        ours, theirs = (
            list(inspect.signature(getattr(module, name)).parameters)
            for module in (arrays, numpy_arrays)
        )
        assert ours == theirs, name


def both(name, *arguments):
    """A function's result on the device and in NumPy."""
    theirs = getattr(numpy_arrays, name)(*arguments)
    result = getattr(arrays, name)(*map(brought, arguments))
    if isinstance(theirs, list):
        return [arrays.to_numpy(part) for part in result], theirs
    return [arrays.to_numpy(result)], [theirs]


def brought(value):
    if isinstance(value, list):
        return list(map(brought, value))
    return arrays.asarray(value) if isinstance(value, np.ndarray) else value


A, B = drawn(3, 5, 4), drawn(3, 5, 4, seed=1)
LENGTHS = np.array([5, 0, 2])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("copy", (A,)),
        ("zeros", ((2, 3), "float32")),
        ("full", ((2, 0), 2.5, "float64")),
        ("full", ((2, 3), 2.5, "float64")),
        ("repeated", (drawn(4), 3)),
        ("repeated", (drawn(4), 0)),
        ("stacked", ([A],)),
        ("stacked", ([A, B, A],)),
        ("end_to_end", ([drawn(4)],)),
        ("end_to_end", ([drawn(4), drawn(0), drawn(7)],)),
        ("total", ([A],)),
        ("total", ([A, B, A],)),
        ("product", (A, B)),
        ("joined", ([A],)),
        ("joined", ([A, B],)),
        ("joined", ([drawn(3, 1), drawn(3, 5)],)),
        ("parted", (A, 1)),
        ("parted", (A, 2)),
        ("parted", (drawn(3, 6), 3)),
        ("flip", (A, None)),
        ("flip", (A, LENGTHS)),
        ("flip", (drawn(0, 5, 4), None)),
        ("without_padding", (A, LENGTHS)),
    ],
)
def test_what_a_network_does_with_arrays(name, arguments):
    for ours, theirs in zip(*both(name, *arguments), strict=True):
        require_bits(ours, theirs)


@pytest.mark.parametrize("lengths", [None, LENGTHS, np.array([1, 5, 4])])
def test_resets_seen_from_the_end(lengths):
    reset = drawn(3, 5) > 0
    ours, theirs = both("flip_reset", reset, lengths)
    np.testing.assert_array_equal(ours[0].astype(bool), theirs[0])


def test_targets_are_changed_in_place():
    for name, change in (("scale_by", drawn(6, seed=1)), ("add_rows_to", drawn(3, 6))):
        target = drawn(6)
        ours = arrays.asarray(target)
        getattr(arrays, name)(ours, arrays.asarray(change))
        getattr(numpy_arrays, name)(target, change)
        np.testing.assert_allclose(arrays.to_numpy(ours), target, rtol=1e-15)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_whether_all_is_finite(lengths):
    for place in [(0, 4, 1), (1, 0, 0), (2, 1, 3), (2, 2, 0)]:
        for value in (np.nan, np.inf, -np.inf, 1e300):
            array = A.copy()
            array[place] = value
            given = None if lengths is None else arrays.asarray(lengths)
            valid = np.arange(5) < (5 if lengths is None else lengths[:, None])
            expected = np.isfinite(array)[np.broadcast_to(valid, (3, 5))].all()
            assert arrays.all_finite(arrays.asarray(array), given) == expected


# --- data -----------------------------------------------------------------------------------------


def datasets():
    X, weight = drawn(5, 7, 2), np.random.default_rng(0).random((5, 7, 3))
    lengths, reset = np.array([7, 3, 0, 5, 1]), drawn(5, 7) > 1
    yield "full", Dataset(X, drawn(5, 7, 3), weight)
    yield "ragged", Dataset(X, drawn(5, 7, 3), weight, lengths, False, reset)
    yield "last", Dataset(X, drawn(5, 3), weight[:, 0], lengths, True)
    yield "last of full rows", Dataset(X, drawn(5, 3), weight[:, 0], None, True)
    classes = np.arange(35).reshape(5, 7) % 3
    yield "classes", Dataset(X, classes, weight[..., 0], lengths)
    yield "classes of rows", Dataset(X, classes[:, 0], weight[:, 0, 0], lengths, True)
    yield "with attributes", Dataset(X, drawn(5, 7, 3), weight, lengths, static=drawn(5, 4))


@pytest.mark.parametrize(("name", "data"), list(datasets()))
def test_windows_of_data(name, data):
    resident = Resident(data)
    for rows in (slice(None), slice(1, 4), np.array([4, 0, 3]), np.array([2])):
        assert resident.steps(rows) == data.steps(rows)
        for start, stop in ((0, 7), (0, 3), (3, 7), (6, 7)):
            ours, theirs = resident.cut(start, stop, rows), data.cut(start, stop, rows)
            assert resident.total_weight(start, stop, rows) == theirs.total_weight()
            for part in ("X", "y", "weight", "lengths", "reset", "static"):
                expected = getattr(theirs, part)
                if expected is None:
                    assert getattr(ours, part) is None
                else:
                    found = arrays.to_numpy(getattr(ours, part)).astype(expected.dtype)
                    require_bits(found, np.ascontiguousarray(expected))


# --- fits -----------------------------------------------------------------------------------------


def series(rows=3, steps=4, dtype="float64"):
    X = np.sin(np.arange(steps) + np.arange(rows)[:, None])[..., None]
    return np.concatenate([X, drawn(rows, steps, 1)], axis=2), np.cumsum(X, axis=1)


# three updates of a kind: as it comes, in memory of its own, and as a graph
SMALL = {"hidden_size": 3, "epochs": 3, "rng": 0, "progress": False}


def require_same_fit(X, y, **options):
    """Parameters, losses and norms are those of the definition in NumPy."""
    options = SMALL | {"dtype": "float64"} | options
    bar = BARS[options["dtype"]]
    ours, theirs = (numlstm.fit(X, y, backend=name, **options) for name in ("cuda", "reference"))
    assert ours.message == theirs.message
    assert ours.history.keys() == theirs.history.keys()
    for name, values in theirs.history.items():
        np.testing.assert_allclose(ours.history[name], values, rtol=100 * bar, atol=bar)
    for name, values in theirs.get("per_series", {}).items():
        np.testing.assert_allclose(ours.per_series[name], values, rtol=100 * bar, atol=bar)
    np.testing.assert_allclose(ours.x, theirs.x, rtol=bar, atol=bar)
    assert ours.fun == pytest.approx(theirs.fun, rel=100 * bar)


NOISES = ("layers", "inputs", "states", "recurrent", "weights", "zoneout_h", "zoneout_c")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "float32"},
        {"batch_size": 2},
        {"bptt_steps": 3, "epochs": 4},
        {"method": "adamw", "weight_decay": 0.1},
        {"method": "sgd", "options": {"momentum": 0.9, "nesterov": True}, "weight_decay": 0.1},
        {"method": "rmsprop", "clip": None},
        {"clip": 0.01},
        {"limits": {"fixed": "head_bias", "bounds": {"weight_hh_l0": (-0.3, 0.3)}}},
        {"validation": 0.25, "patience": 2, "metrics": ["rmse", "nse"]},
        {"metrics": {"kge": "kge", "worst": lambda y, p: np.abs(y - p).max()}, "weight": "nse"},
        {"schedule": "cosine", "loss": "gaussian_nll"},
        {"loss": "huber", "num_layers": 2, "bidirectional": True, "learned_state": True},
        {"num_layers": 3, "residual": True, "proj_size": 2, "learned_state": True},
        {"num_layers": 2, "dropout": dict.fromkeys(NOISES, 0.2)},
        {"method": "L-BFGS-B"},
        {"method": "least_squares", "epochs": 2},
        {"method": "trust-ncg", "epochs": 2},
    ],
    ids=str,
)
def test_a_fit_is_that_of_the_definition(options):
    require_same_fit(*series(), **options)


def test_fits_of_every_kind_of_data():
    X, y = series(4, 5)
    lengths = np.array([5, 3, 1, 5])
    require_same_fit(list(map(np.array, (row[:n] for row, n in zip(X, lengths, strict=True)))),
                     [row[:n] for row, n in zip(y, lengths, strict=True)])  # fmt: skip
    require_same_fit(X, y[:, -1], lengths=lengths, bptt_steps=3)
    noise = dict.fromkeys(NOISES, 0.2)  # also in windows before the one that has the target
    require_same_fit(X, y[:, -1], bptt_steps=2, num_layers=2, dropout=noise)
    require_same_fit(X, (y[..., 0] > 0).astype(int), loss="cross_entropy", num_layers=2,
                     metrics="accuracy")  # fmt: skip
    require_same_fit(X, (y > 0) * 1.0, loss="binary_cross_entropy", reset=drawn(4, 5) > 0.5)
    weight = np.array([1.0, 0, 2, 1])
    require_same_fit(X, y[:, -1], residual=True, num_layers=2, sample_weight=weight)
    require_same_fit(X[0], y[0], stateful=True, bptt_steps=3)
    masked = np.where(drawn(4, 5, 2) > 1, np.nan, X)
    require_same_fit(masked, y, missing="mask")


class Batches:
    """Some whose arrays may lie where those of the one before did, and others."""

    def __iter__(self):
        lengths = np.array([4, 2, 3])
        yield series(3, 4)
        for number in range(4):
            yield number * series(3, 4)[0], series(3, 4)[1]
        yield series(2, 5)
        for number in (1, 2):
            X, y = series(3, 4)
            yield {"X": X, "y": number * y, "lengths": np.minimum(number + lengths, 4)}
            yield {"X": X, "y": number * y, "reset": X[..., 1] > number - 1}


@pytest.mark.parametrize(
    "options",
    [{}, {"bptt_steps": 3, "dropout": {"states": 0.2}}, {"loss": "huber", "validation": series()}],
    ids=str,
)
def test_fresh_batches_are_brought_over_one_by_one(options):
    require_same_fit(Batches(), None, **options)


def test_batches_of_one_shape_keep_their_launches(monkeypatch):
    made, kept = [], []
    program, take = update.Program.__init__, Resident.take

    def counted(self, owner, kind):
        made.append(kind)
        program(self, owner, kind)

    def taken(self, other):
        kept.append(take(self, other))
        return kept[-1]

    monkeypatch.setattr(update.Program, "__init__", counted)
    monkeypatch.setattr(Resident, "take", taken)
    require_same_fit(lambda rng, n: series(3, 4), None, epochs=6)
    assert kept == [True] * 5
    assert len(made) == 2  # the first of a kind is not kept


def test_a_result_goes_on_with_the_state_of_its_method():
    X, y = series()
    four = numlstm.fit(X, y, **SMALL | {"backend": "cuda", "epochs": 4})
    two = numlstm.fit(X, y, **SMALL | {"backend": "cuda", "epochs": 2})
    require_bits(numlstm.fit(X, y, model=two, epochs=2, rng=0, progress=False).x, four.x)


def test_fits_of_sequences_with_attributes():
    X, y = series(4, 5)
    static = drawn(4, 3)
    require_same_fit(X, y, static=static, batch_size=2)
    require_same_fit(X, y, static=static, dtype="float32", bptt_steps=2)
    more = {"bidirectional": True, "num_layers": 2, "cell": {"layer_norm": True}}
    require_same_fit(X, y[:, -1], static=static, validation=0.25, **more)
    dropout = dict.fromkeys(("inputs", "states", "weights"), 0.2)
    cell = {"forget_gate": "coupled"}
    require_same_fit(X, y, static=static, bptt_steps=3, dropout=dropout, cell=cell)
    require_same_fit(X, y, static=static, method="L-BFGS-B")


def test_a_model_of_sequences_with_attributes():
    ours, theirs = (
        numlstm.LSTM(2, 3, 1, static_size=4, dtype="float64", rng=0, backend=name)
        for name in ("cuda", "reference")
    )
    X, static = drawn(3, 5, 2), drawn(3, 4)
    for given in (static, arrays.asarray(static)):
        Y, _ = ours.forward(arrays.asarray(X), static=given)
        expected, pullback = theirs.vjp(X, static=static)
        np.testing.assert_allclose(arrays.to_numpy(Y), expected, rtol=1e-12)
        y, _ = ours.step(arrays.asarray(X[:, 0].copy()), static=given)
        np.testing.assert_allclose(arrays.to_numpy(y), expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(ours.predict(X, static=static), expected, rtol=1e-12)
    alike, _ = ours.step(arrays.asarray(X[:, 0].copy()), static=arrays.asarray(static[1]))
    np.testing.assert_allclose(arrays.to_numpy(alike)[1], expected[1, 0], rtol=1e-12)
    gradients, wanted = ours.vjp(X, static=static)[1](expected), pullback(expected)
    for name in ("theta", "X", "static"):
        np.testing.assert_allclose(
            getattr(gradients, name), getattr(wanted, name), rtol=1e-11, atol=1e-14
        )
    np.testing.assert_array_equal(  # both run on the compiled step of the CPU
        ours.njit(static=static[0]).initial_state().h,
        theirs.njit(static=static[0]).initial_state().h,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 2},
        {"predict_last": 2, "validation": 0.4, "num_layers": 2, "dropout": {"layers": 0.2}},
        {"bptt_steps": 2, "dtype": "float32"},
        {"reset": drawn(2, 8) > 0.5, "epochs": 4},
        {"missing": "mask", "method": "L-BFGS-B"},
        {"static": drawn(2, 3), "batch_size": 2, "weight": "nse"},
        {"horizon": 2, "future": drawn(2, 10, 1), "batch_size": 2, "epochs": 4},
    ],
    ids=lambda options: ", ".join(options),
)
def test_fits_on_windows_over_series(options):
    X, y = series(2, 8)
    if "missing" in options:
        X = np.where(drawn(2, 8, 2) > 1, np.nan, X)
    require_same_fit(X, y, window=3, **options)


def test_a_run_that_is_stopped_resumes_to_the_same_bits(tmp_path):
    X, y = series()
    options = SMALL | {"backend": "cuda", "bptt_steps": 3}
    whole = numlstm.fit(X, y, **options)
    path = tmp_path / "run.npz"
    numlstm.fit(X, y, **options | {"epochs": 2}, checkpoint=path)
    resumed = numlstm.fit(X, y, **options, checkpoint=path, resume=True)
    require_bits(resumed.x, whole.x)
    again = numlstm.fit(X, y, **options)
    require_bits(again.x, whole.x)


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value)")  # it is what the test is about
def test_what_is_not_finite_ends_a_fit_with_the_last_good_parameters():
    X, y = series()
    results = [
        numlstm.fit(X, 1e30 * y, **SMALL | {"standardize": False, "clip": None}, backend=name)
        for name in ("cuda", "reference")
    ]
    for result in results:
        assert not result.success
        assert np.isfinite(result.x).all()
    assert results[0].message == results[1].message


def test_an_update_sends_and_fetches_a_few_numbers_only(monkeypatch):
    moved = []
    send, on_host = memory.send, memory.on_host

    def sent(array, target):
        moved.append(("to", array.nbytes))
        send(array, target)

    def fetched(array):
        moved.append(("from", array.nbytes))
        return on_host(array)

    def descend(self, place):
        moved.append("update")
        return evaluate(self, place)

    for module in (memory, update, arrays):
        for name, function in (("send", sent), ("on_host", fetched)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, function)
    evaluate = update.Update.evaluate
    monkeypatch.setattr(update.Update, "evaluate", descend)
    X, y = series()
    numlstm.fit(X, y, backend="cuda", **SMALL | {"dropout": {"states": 0.1}, "epochs": 5})
    first, *_ = places = [i for i, move in enumerate(moved) if move == "update"]
    assert len(places) == 5
    before = moved[:first]
    assert before.count(("to", X.astype("float32").nbytes)) == 1  # the data, once
    for place in places[2:]:  # constants of the first updates stay on the device
        to, back = moved[place + 1 : place + 3], moved[place + 3]
        assert [direction for direction, _ in to] == ["to", "to"]
        assert back == ("from", 32)
        assert sum(size for _, size in to) < 200


def test_graphs_have_memory_of_their_own():
    """What an arena gives out again is what came back to it, and nothing else ever gets it."""
    arena = memory.Arena()
    with memory.inside(arena):
        kept = memory.empty((4,), "float32")
        kept[...] = 7.0
        lost = memory.empty((4,), "float32")
        lost[...] = 8.0
        view, lost = lost[:2], None
        another = memory.empty((4,), "float32")
        another[...] = 9.0
        assert memory.on_host(view).tolist() == [8.0, 8.0]
        where = another._ary.ctypes.data
        another = None
        again = memory.empty((4,), "float32")
        assert again._ary.ctypes.data == where
    outside = memory.empty((4,), "float32")
    assert outside._ary.ctypes.data not in (where, kept._ary.ctypes.data)
    assert memory.on_host(kept).tolist() == [7.0] * 4


def test_programs_that_do_not_come_again_are_not_kept(monkeypatch):
    monkeypatch.setattr(update, "MOST_PROGRAMS", 2)
    seen = []
    program = update.Update._program

    def looked_up(self, kind):
        found = program(self, kind)
        seen.append((kind, len(self._programs)))
        return found

    monkeypatch.setattr(update.Update, "_program", looked_up)
    X, y = series(4, 6)
    cut = [6, 4, 5, 3]
    ragged = [row[:n] for row, n in zip(X, cut, strict=True)]
    targets = [row[:n] for row, n in zip(y, cut, strict=True)]
    require_same_fit(ragged, targets, batch_size=1, epochs=3)
    assert len({kind for kind, _ in seen}) == 4
    assert max(count for _, count in seen) == 2


def test_a_graph_that_cannot_be_captured_is_said_once(monkeypatch):
    def refuse(function, stream):
        raise RuntimeError("not supported")

    monkeypatch.setattr(update.driver, "Graph", refuse)
    with pytest.warns(UserWarning, match=r"could not be captured.*not supported") as warned:
        require_same_fit(*series(), epochs=4)
    assert len(warned) == 1


def test_a_precision_is_kept_out_of_files_and_off_the_cpu(tmp_path):
    model = numlstm.LSTM(2, 3, 1, backend="cuda", precision="tf32", rng=0)
    assert "precision=tf32" in repr(model)
    model.save(tmp_path / "model.npz")
    assert "precision" not in repr(numlstm.load(tmp_path / "model.npz", backend="cuda"))
    again = numlstm.load(tmp_path / "model.npz", backend="cuda", precision="bf16")
    assert again.spec.precision == "bf16"
    X = drawn(2, 3, 2)
    jacobian = numlstm.load(tmp_path / "model.npz", backend="reference").jacobian(X)
    np.testing.assert_allclose(again.jacobian(X), jacobian, rtol=1e-4, atol=1e-6)


# --- arrays of a GPU ------------------------------------------------------------------------------


@pytest.fixture
def models():
    options = {"num_layers": 2, "dtype": "float32", "rng": 0}
    return [numlstm.LSTM(2, 3, 1, backend=name, **options) for name in ("cuda", "cpu")]


def on_host(value):
    if isinstance(value, tuple):
        return type(value)(*map(on_host, value))
    return None if value is None else arrays.to_numpy(value)


def require_near(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


def test_arrays_of_a_gpu_go_in_and_come_out(models):
    ours, theirs = models
    X, state = drawn(2, 5, 2, dtype="float32"), State(*drawn(2, 2, 2, 3, dtype="float32"))
    there = memory.on_device(X), State(*map(memory.on_device, state))
    lengths = np.array([5, 3])
    Y, final = ours.forward(*there, lengths=lengths)
    assert all(memory.driver.is_on_device(part) for part in (Y, *final))
    expected, expected_state = theirs.forward(X, state, lengths=lengths)
    require_near((on_host(Y), *on_host(final)), (expected, *expected_state))
    require_bits(on_host(there[0]), X)  # what was lent is as it was
    require_bits(on_host(there[1].c), state.c)
    Y, pullback = ours.vjp(*there)
    dY = drawn(2, 5, 1, dtype="float32")
    gradients = pullback(memory.on_device(dY), there[1])
    assert memory.driver.is_on_device(gradients.X)
    expected = theirs.vjp(X, state)[1](dY, state)
    require_near(
        (on_host(gradients.theta), on_host(gradients.X), *on_host(gradients.state)),
        (expected.theta, expected.X, *expected.state),
    )
    y, after = ours.step(memory.on_device(X[:, 0]), there[1])
    require_near((on_host(y), *on_host(after)), _flat(theirs.step(X[:, 0], state)))
    y, _ = ours.step(memory.on_device(X[0, 0]))
    assert memory.driver.is_on_device(y)
    assert tuple(y.shape) == (1,)


def _flat(pair):
    y, state = pair
    return y, *state


def test_arrays_of_numpy_come_back_as_such(models):
    ours, theirs = models
    X = drawn(2, 5, 2)
    Y, state = ours.forward(X)
    assert type(Y) is type(state.h) is np.ndarray
    require_near((Y, *state), _flat(theirs.forward(X)))
    require_near([ours.predict(X)], [theirs.predict(X)])
    y, state = ours.step(X[0, 0])
    assert type(y) is np.ndarray
    require_near((y, *state), _flat(theirs.step(X[0, 0])))
    jacobians = [model.jacobian(X, of="y", wrt="X") for model in models]
    require_near(*([jacobian] for jacobian in jacobians))


def test_what_cannot_be_borrowed_is_refused(models):
    ours, theirs = models
    good = drawn(2, 5, 2, dtype="float32")
    there = memory.on_device(good)
    with pytest.raises(TypeError, match=r"X lies on a GPU.*bring it there first"):
        theirs.forward(there)
    with pytest.raises(TypeError, match="X lies on a GPU"):
        ours.jacobian(there)
    with pytest.raises(TypeError, match=r"X must be float32.*received float64"):
        ours.forward(memory.on_device(good.astype("float64")))
    with pytest.raises(ValueError, match=r"X must have shape \(B, T, 2\), received"):
        ours.forward(memory.on_device(good[..., :1]))
    with pytest.raises(ValueError, match="X must be C-contiguous"):
        ours.forward(there[:, ::2])
    bad = good.copy()
    bad[1, 3, 0] = np.nan
    with pytest.raises(ValueError, match="X has NaN or infinite values"):
        ours.forward(memory.on_device(bad))
    ours.forward(memory.on_device(bad), lengths=np.array([5, 3]))  # in the padding
    with pytest.raises(ValueError, match="x has NaN"):
        ours.step(memory.on_device(bad[1, 3]))
    with pytest.raises(TypeError, match="X lies on a GPU"):
        numlstm.fit(there, backend="cuda")
