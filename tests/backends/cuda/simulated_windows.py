"""Windows that are gathered on the device: in Numba's simulator, held to those cut by the host."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numlstm
from helpers.harness import require_bits
from helpers.simulator import poisoned_memory  # noqa: F401
from helpers.sliced import Sliced
from numlstm.backends.cuda.device import memory
from numlstm.backends.cuda.training import arrays, update, windows
from numlstm.backends.cuda.training.data import FromHost
from numlstm.data.arrays import Arrays
from numlstm.data.preparation import DataConfig
from numlstm.data.window_preparation import prepare_windows
from numlstm.utils.random_streams import RandomStreams

WINDOW = 4


def drawn(*shape, seed=0, dtype="float64"):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


# --- what is gathered -----------------------------------------------------------------------------


@st.composite
def cases(draw):
    """Datasets of windows of every kind, as keywords of a fit."""
    random = np.random.default_rng(draw(st.integers(0, 999)))
    lengths = [*draw(st.lists(st.integers(2, 12), max_size=2)), draw(st.integers(12, 16))]
    X = [random.normal(3, 2, (steps, 2)) for steps in lengths]
    options = {"stride": draw(st.integers(1, 3)), "predict_last": draw(st.integers(1, WINDOW))}
    read_as = draw(st.sampled_from([np.float32, np.float64, Sliced]))
    kind = draw(st.sampled_from(["regression", "forecast", "classes", "horizon", "future"]))
    y = None
    if kind == "classes":
        y = [random.integers(0, 2, len(part)) for part in X]
        y[-1][:2] = 0, 1
        options["loss"] = "cross_entropy"
    elif kind == "regression":
        y = [random.normal(-1, 3, (len(part), 2)) for part in X]
    elif kind in ("horizon", "future"):
        options["horizon"] = 2
    if kind == "future":
        options["future"] = [random.random((len(part) + 2, 1)) for part in X]
    elif draw(st.booleans()):
        options["reset"] = [random.random(len(part)) < 0.2 for part in X]
    if kind in ("regression", "classes") and draw(st.booleans()):
        options["missing"] = "mask"
        for part in X:
            part[random.random(part.shape) < 0.4] = np.nan
            part[:2] = 1, 2
    if kind == "regression" and draw(st.booleans()):
        options["nan_policy"] = "omit"
        for part in y:
            part[random.random(part.shape) < 0.3] = np.nan
        y[-1][:, 0] = np.arange(len(y[-1]))  # there are windows to learn from and to judge by
    if draw(st.booleans()):
        options["sample_weight"] = [random.random(len(part)) for part in X]
    if draw(st.booleans()):
        options["static"] = random.random((len(X), 3))
    if draw(st.booleans()):
        options["validation"] = 0.3
    if draw(st.booleans()):
        options["standardize"] = False
    return [read_as(part) for part in X], y, options, draw(st.sampled_from(["float32", "float64"]))


def prepared(X, y, options, dtype):
    options = dict(options)
    beside = {name: options.pop(name, None) for name in Arrays._fields[2:]}
    config = DataConfig(**{"window": WINDOW, "standardize": True, **options})
    data = prepare_windows(Arrays(X, y, **beside), config, dtype, RandomStreams(0))
    return [part for part in (data.train, data.validation) if part is not None]


@pytest.mark.filterwarnings("ignore:.*shorter than the window")
@pytest.mark.filterwarnings("ignore:.*constant")
@settings(deadline=None)
@given(case=cases(), seed=st.integers(0, 99))
def test_windows_are_those_that_the_host_cuts(case, seed):
    random = np.random.default_rng(seed)
    for data in prepared(*case):
        device = windows.gathered(data)
        assert isinstance(device, windows.ResidentSeries)
        some = random.permutation(data.count)[:3]
        for rows in (some, slice(0, 2)):
            assert device.steps(rows) == WINDOW
            middle = int(random.integers(1, WINDOW))
            for start, stop in ((0, WINDOW), (0, middle), (middle, WINDOW)):
                require_same(device.cut(start, stop, rows), data.cut(start, stop, rows))


def require_same(ours, theirs):
    assert ours.last == theirs.last
    for name in ("X", "y", "weight", "lengths", "reset", "static"):
        expected = getattr(theirs, name)
        if expected is None:
            assert getattr(ours, name) is None
        else:
            found = arrays.to_numpy(getattr(ours, name)).astype(expected.dtype)
            require_bits(found, np.ascontiguousarray(expected))


# --- fits -----------------------------------------------------------------------------------------

# three updates of a kind: as it comes, in memory of its own, and as a graph
SMALL = {"window": WINDOW, "hidden_size": 2, "epochs": 3, "rng": 0, "progress": False,
         "backend": "cuda"}  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 3},
        {"stride": 2, "predict_last": 2, "validation": 0.4},
        {"bptt_steps": 3, "dropout": {"inputs": 0.2}, "dtype": "float64"},
        {"missing": "mask", "static": drawn(2, 2), "reset": drawn(2, 9) > 1},
        {"missing": "mask", "method": "L-BFGS-B"},
    ],
    ids=lambda options: ", ".join(options),
)
def test_a_fit_has_the_bits_of_one_on_windows_from_the_host(options, monkeypatch):
    X = drawn(2, 9, 2, dtype="float32")
    y = np.cumsum(X[..., :1], axis=1)
    if "missing" in options:
        X[drawn(2, 9, 2) > 1] = np.nan
    resident = numlstm.fit(X, y, **SMALL, **options)
    monkeypatch.setattr(arrays, "gathered", FromHost)
    brought = numlstm.fit(X, y, **SMALL, **options)
    require_bits(resident.x, brought.x)
    assert resident.history.keys() == brought.history.keys()
    for name, values in brought.history.items():
        require_bits(np.array(resident.history[name]), np.array(values))


def test_an_update_sends_the_places_of_its_windows_only(monkeypatch):
    moved, send, evaluate = [], memory.send, update.Update.evaluate

    def sent(array, target):
        moved.append(array.nbytes)
        send(array, target)

    def noted(self, context):
        moved.append("update")
        return evaluate(self, context)

    for module in (memory, update, windows):
        monkeypatch.setattr(module, "send", sent)
    monkeypatch.setattr(update.Update, "evaluate", noted)
    X = drawn(9, 3, dtype="float32")
    numlstm.fit(X, X[:, 0], **SMALL | {"epochs": 4})
    first, *later = places = [i for i, move in enumerate(moved) if move == "update"]
    assert len(places) == 4
    assert moved[:first].count(X.nbytes) == 1  # the series, once
    windows_of_batch = len(X) - WINDOW + 1
    for place in later[1:]:  # constants of the first updates stay on the device
        sizes = moved[place + 1 : place + 3]
        assert sizes[1] == 8 * (2 + windows_of_batch)
        assert sizes[0] < 200


def test_series_beyond_half_of_the_memory_are_cut_on_the_host(monkeypatch):
    [data] = prepared([drawn(20, 2)], [drawn(20, 1)], {}, "float32")
    needed = data.by_steps().nbytes
    assert needed == 20 * 4 * (2 + 1 + 1)
    monkeypatch.setattr(windows.driver, "free_memory", lambda: 2 * needed)
    assert isinstance(windows.gathered(data), windows.ResidentSeries)
    monkeypatch.setattr(windows.driver, "free_memory", lambda: 2 * needed - 1)
    assert isinstance(windows.gathered(data), FromHost)
