"""Fits on batches that come one by one: from an iterable, or from a function of a Generator."""

import contextlib
import os
import re
import signal
import threading
import weakref

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import OptimizeWarning

import numlstm
from helpers.fits import PowerCut, batch, cut_the_power, quick, same, stop_after
from numlstm.architecture.parameters import initialise
from numlstm.data.batches import BatchStream, is_stream
from numlstm.training.interrupt import Interrupted, SigintGuard
from numlstm.utils import files
from numlstm.utils.random_streams import (
    BATCHES,
    INITIAL,
    MEMBERS,
    SHUFFLE,
    RandomStreams,
    new_seed,
)

AGAIN = "pass an object of a class whose __iter__ begins anew, or a callable"


class Stream:
    """Re-iterable batches; `passes` counts how often it was begun."""

    def __init__(self, *batches):
        self.batches, self.passes, self.drawn = batches, 0, 0

    def __iter__(self):
        self.passes += 1
        for one in self.batches:
            self.drawn += 1
            yield one


class Reordered:
    """The batches of data that are there, in the order in which `fit` has them."""

    def __init__(self, X, y, size, rng=0):
        self.X, self.y, self.size, self.epoch = X, y, size, -1
        self.draws = RandomStreams(new_seed(rng))

    def __iter__(self):
        self.epoch += 1
        order = self.draws.stream(SHUFFLE, self.epoch).permutation(len(self.X))
        for start in range(0, len(order), self.size):
            rows = order[start : start + self.size]
            yield self.X[rows], self.y[rows]


def parts(count=4, **sizes):
    return [batch(seed=seed, **sizes) for seed in range(count)]


def drawn(rng, n):
    """A callable of the user's."""
    X = rng.standard_normal((n, 7, 2))
    return X, X.sum(axis=2, keepdims=True)


ONE = {
    "plain": {},
    "windows": {"bptt_steps": 4, "num_layers": 2, "dropout": 0.3},
    "not standardised": {"standardize": False, "clip": None, "dtype": "float64"},
    "judged": {"validation": batch(seed=5), "patience": 2, "learning_rate": 0.3},
    "goal": {"validation": batch(seed=5), "tol": 1e-9},
    "a schedule": {"schedule": "cosine", "method": "sgd", "options": {"momentum": 0.9}},
}


@pytest.mark.parametrize("options", ONE.values(), ids=ONE)
def test_one_batch_is_what_data_of_one_batch_are(options):
    expected = quick(*batch(), **options)
    for stream in (Stream(batch()), lambda rng, n: batch()):
        result = quick(stream, **options)
        assert result.x.tobytes() == expected.x.tobytes()
        np.testing.assert_equal(result.model.scaling, expected.model.scaling)
        assert (result.status, result.nit) == (expected.status, expected.nit)
        for name in result.history.keys() & expected.history.keys():
            np.testing.assert_array_equal(result.history[name], expected.history[name])


@pytest.mark.parametrize("options", [{}, {"bptt_steps": 3, "dropout": 0.2, "num_layers": 2}])
def test_batches_of_one_size_are_those_of_data_that_are_there(options):
    """An update then divides by the same weight, its own batch's or the mean one."""
    X, y = batch()
    options = {"standardize": False, "epochs": 4, **options}
    expected = quick(X, y, batch_size=4, **options)
    result = quick(Reordered(X, y, 4), **options)
    assert result.x.tobytes() == expected.x.tobytes()
    np.testing.assert_array_equal(result.history["loss"], expected.history["loss"])


FORMS = {
    "weights": (*batch(), np.arange(1.0, 13.0)),
    "lengths": {"X": batch()[0], "y": batch()[1], "lengths": np.arange(12) % 5 + 4},
    "resets": {"X": batch()[0], "y": batch()[1], "reset": np.arange(108).reshape(12, 9) % 7 == 0},
    "a list": [[series[: 4 + i % 5] for i, series in enumerate(part)] for part in batch()],
    "the next value": {"X": batch()[0]},
    "no y": (batch()[0], None),
    "one target": (batch()[0], batch()[1][:, -1]),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_batch_has_any_form(form):
    names = dict(zip(("X", "y", "sample_weight"), form, strict=False))
    names = dict(form) if isinstance(form, dict) else names
    expected = quick(names.pop("X"), names.pop("y", None), **names)
    result = quick(Stream(form))
    assert result.x.tobytes() == expected.x.tobytes()
    assert result.output == expected.output
    assert result.forecast == expected.forecast
    assert result.data == f"a stream of batches from an iterable, the first of {expected.data}"


def test_a_list_is_a_pair_where_it_can_be_nothing_else():
    """As PyTorch's DataLoader yields them."""
    expected = quick(Stream(batch()))
    same(quick(Stream(list(batch()))), expected)
    series = [list(part) for part in batch()]
    assert quick(Stream(series)).x.tobytes() == expected.x.tobytes()


def test_frames_are_matched_by_their_columns():
    X, y = batch(B=1)
    frame = pd.DataFrame(X[0], columns=["rain", "warmth"])
    flow = pd.Series(y[0, :, 0], name="flow")
    plain = Stream((X[0], y[0]), (X[0] ** 2, y[0]))
    labelled = Stream((frame, flow), ((frame**2)[["warmth", "rain"]], flow))
    result = quick(labelled)
    assert result.x.tobytes() == quick(plain).x.tobytes()
    assert list(result.model.feature_names_in_) == ["rain", "warmth"]
    with pytest.raises(ValueError, match=r"batch 2 of pass 1 over X: .*snow"):
        quick(Stream((frame, flow), (frame.rename(columns={"rain": "snow"}), flow)))


def test_every_update_has_the_weight_of_its_own_batch():
    """A batch of weights a hundred times as large, or of fewer rows, moves theta no further."""
    X, y = batch()
    options = {"method": "sgd", "clip": None, "standardize": False, "epochs": 1, "dtype": "float64"}
    first, second = (X[:6], y[:6], np.full(6, 0.3)), (X[6:9], y[6:9], np.full(3, 30.0))
    result = quick(Stream(first, second), **options)
    once = quick(*first[:2], **options)
    twice = quick(*second[:2], model=once.model, **options)
    np.testing.assert_allclose(result.x, twice.x, rtol=0, atol=1e-14)
    # the mean over the epoch counts them by their weights
    losses = [once.history["loss"][0], twice.history["loss"][0]]
    weights = [6 * 9 * 0.3, 3 * 9 * 30.0]
    assert result.history["loss"][0] == pytest.approx(np.average(losses, weights=weights))
    assert result.fun == result.history["loss"][0]


def test_units_and_sizes_are_those_of_the_first_batch():
    first, second = batch(), (10 + 5 * batch(seed=1)[0], batch(seed=1)[1])
    stream = Stream(first, second)
    result = quick(stream)
    np.testing.assert_array_equal(result.model.scaling.x_mean, quick(*first).model.scaling.x_mean)
    assert stream.passes == 3  # the first batch is not read twice
    assert stream.drawn == 6


def test_missing_inputs_are_filled_as_in_the_first_batch():
    batches = parts(2)
    for X, _ in batches:
        X[0, :3, 0] = np.nan
    expected = quick(*batches[0], missing="mask")
    result = quick(Stream(*batches), missing="mask")
    np.testing.assert_array_equal(result.model.filling.mean, expected.model.filling.mean)
    assert result.model.spec.input_size == 4
    with pytest.raises(ValueError, match="X has 3 NaN"):
        quick(Stream(*batches))


def test_the_generator_is_keyed_by_the_call():
    seen = []

    def source(rng, n):
        seen.append((n, rng.integers(2**40)))
        return batch(seed=len(seen))

    quick(source, epochs=5, batch_size=7, rng=3)
    draws = RandomStreams(new_seed(3))
    assert seen == [(7, draws.stream(BATCHES, number).integers(2**40)) for number in range(5)]


def test_it_runs_where_fit_was_called():
    threads = set()

    def source(rng, n):
        threads.add(threading.get_ident())
        return drawn(rng, n)

    quick(source, epochs=4)
    assert threads == {threading.get_ident()}


RUNS = {
    "a callable": (lambda: drawn, {"epochs": 5}),
    "an iterable": (lambda: Stream(*parts()), {"epochs": 3, "dropout": 0.2, "num_layers": 2}),
    "in an order of its own": (lambda: Reordered(*batch(), 4), {"epochs": 3}),
    "windows": (lambda: Stream(*parts(3)), {"epochs": 2, "bptt_steps": 4, "num_layers": 2}),
    "windows of calls": (lambda: drawn, {"epochs": 4, "bptt_steps": 3}),
    "judged": (lambda: drawn, {"epochs": 6, "validation": batch(seed=9), "patience": 3}),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("writes", [1, 2, 3, 5, 6])
def test_the_power_goes_off(name, writes, tmp_path, monkeypatch):
    source, options = RUNS[name]
    expected = quick(source(), **options)
    file = tmp_path / "run"
    with monkeypatch.context() as patch:
        cut_the_power(patch, writes)
        with contextlib.suppress(PowerCut):
            quick(source(), checkpoint=file, **options)
    same(quick(source(), checkpoint=file, resume=True, **options), expected)
    same(quick(source(), checkpoint=file, resume=True, **options), expected)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("epochs", [1, 2])
def test_stopped_after_an_epoch(name, epochs, tmp_path):
    source, options = RUNS[name]
    file = tmp_path / "run"
    stopped = quick(source(), checkpoint=file, callback=stop_after(epochs), **options)
    assert stopped.nit == epochs
    assert stopped.message == "`callback` raised `StopIteration`."
    expected = quick(source(), **options)
    same(quick(source(), checkpoint=file, resume=True, **options), expected)


@pytest.mark.parametrize("moment", [1, 2, 4, 5, 6, 7, 9, 10, 13, 18, 25])
def test_ctrl_c_stores_the_last_whole_step(moment, tmp_path, monkeypatch):
    options = {"epochs": 3, "validation": batch(seed=9), "bptt_steps": 5}
    expected = quick(Stream(*parts(2)), **options)
    file, checks = tmp_path / "run", []

    def press_at_the_moment(guard):
        checks.append(guard)
        if len(checks) >= moment:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(SigintGuard, "check", press_at_the_moment)
        ended = quick(Stream(*parts(2)), checkpoint=file, **options)
    assert ended.status == 98
    assert files.read_checkpoint(file)[0]["theta"].tobytes() == ended.x.tobytes()
    same(quick(Stream(*parts(2)), checkpoint=file, resume=True, **options), expected)


def test_ctrl_c_while_a_batch_is_drawn_ends_the_fit_after_it():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    finished = []

    def source(rng, n):
        if len(finished) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        finished.append(n)
        return drawn(rng, n)

    try:
        result = quick(source, epochs=50)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.status, result.nit, len(finished)) == (98, 3, 4)
    assert result.x.tobytes() == quick(drawn, epochs=3).x.tobytes()


def test_a_callable_is_stored_by_the_clock_and_at_the_end(tmp_path, monkeypatch):
    stored = []
    monkeypatch.setattr(
        files, "write_checkpoint", lambda path, arrays, meta: stored.append(meta["windows"])
    )
    quick(drawn, epochs=8, checkpoint=tmp_path / "run")
    assert stored == [1, 8]


def test_another_stream_is_another_fit(tmp_path):
    file = tmp_path / "run"
    quick(drawn, epochs=1, checkpoint=file)
    with pytest.raises(ValueError, match="another fit: it differs in training data"):
        quick(lambda rng, n: batch(), epochs=2, checkpoint=file, resume=True)
    once = drawn(RandomStreams(new_seed(0)).stream(BATCHES), 32)
    with pytest.raises(ValueError, match="another fit: it differs in batches"):
        quick(Stream(once), epochs=2, checkpoint=file, resume=True)
    with pytest.raises(ValueError, match="another fit: it differs in batches"):
        quick(*once, epochs=2, checkpoint=file, resume=True)


def test_a_shorter_stream_is_not_the_one_that_was_stored(tmp_path, monkeypatch):
    file = tmp_path / "run"
    with monkeypatch.context() as patch:
        cut_the_power(patch, 3)
        with pytest.raises(PowerCut):
            quick(Stream(*parts(4)), checkpoint=file)
    with pytest.raises(numlstm.StorageError, match="batch must be"):
        quick(Stream(*parts(1)), checkpoint=file, resume=True)


def shorter_and_shorter(*lengths):
    passes = iter(lengths)

    class Shrinking:
        def __iter__(self):
            return iter(parts(next(passes)))

    return Shrinking()


NOT_AGAIN = {
    "a generator": (lambda: (part for part in parts()), TypeError, "an iterator, received gen"),
    "an iterator": (lambda: iter(parts()), TypeError, "received list_iterator, which can be read"),
    "a map": (lambda: map(tuple, parts()), TypeError, "received map, which can be read once"),
    "nothing": (Stream, ValueError, "X, an iterable of batches, yielded nothing"),
    "nothing later": (
        lambda: shorter_and_shorter(2, 0), ValueError,
        "pass 2 over X yielded nothing, the first one 2 batches",
    ),
    "fewer": (
        lambda: shorter_and_shorter(2, 2, 1), ValueError,
        "pass 3 over X yielded 1, the first one 2 batches",
    ),
    "more": (
        lambda: shorter_and_shorter(1, 2), ValueError,
        "pass 2 over X yielded more, the first one 1 batch:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_AGAIN)
def test_what_cannot_be_repeated_says_so(name):
    source, error, message = NOT_AGAIN[name]
    with pytest.raises(error, match=re.escape(message)) as caught:
        quick(source())
    assert AGAIN in str(caught.value)


def yields(rng, n):
    yield drawn(rng, n)


class Yields:
    def __call__(self, rng, n):
        yield drawn(rng, n)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda n: batch(), "<lambda> does not take these: too many positional arguments"),
        (
            lambda rng, n, k: batch(),
            "<lambda> does not take these: missing a required argument: 'k'",
        ),
        (yields, "yields is a function that yields: let it return one batch"),
        (Yields(), "Yields is a function that yields"),
    ],
)
def test_a_callable_is_called_for_a_batch(source, words):
    said = r"X is called as X\(rng, n\), for n sequences drawn by a Generator, and returns a batch"
    with pytest.raises(TypeError, match=f"{said}, and {words}"):
        quick(source)


def test_what_has_no_signature_is_called():
    class Compiled:
        @property
        def __signature__(self):
            raise ValueError("no signature found")

        def __call__(self, rng, n):
            return drawn(rng, n)

    assert quick(Compiled()).nit == 3


@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame])
def test_rows_as_many_as_the_sequences_asked_for_are_no_steps(form):
    def flat(rng, n):
        X = rng.standard_normal((n, 7))
        return form(X), X.sum(axis=1)

    words = r"64 sequence\(s\) were asked for, and X of shape \(64, 7\) is read as one series"
    with pytest.raises(ValueError, match=words) as caught:
        quick(flat, batch_size=64)
    code = "X" if form is np.asarray else "np.asarray(X)"
    assert f"return {code}[..., None]" in str(caught.value)

    def laid(rng, n):
        X, y = flat(rng, n)
        return np.asarray(X)[..., None], y

    assert quick(laid, batch_size=64).model.num_features == 1


def test_one_series_of_another_length_is_one():
    def series(rng, n):
        X = rng.standard_normal((50, 2))
        return X, X[:, 0]

    assert "one series of 50 steps" in quick(series, batch_size=64).data


def test_a_class_is_not_an_object_of_it():
    with pytest.raises(TypeError, match=r"X is the class Stream itself: .* as in Stream\(\.\.\.\)"):
        quick(Stream)


ARRAYS = {
    "a range": range(30),
    "a list": [0.0, 1.0, 0.5],
    "a tuple": (0.0, 1.0, 0.5),
    "a series": pd.Series([0.0, 1.0]),
    "a frame": pd.DataFrame({"a": [0.0, 1.0]}),
    "a dict": {"a": [0.0]},
    "values of a dict": {"a": [0.0]}.values(),
    "text": "adam",
    "a number": 3.0,
    "an array": np.ones(3),
    "an array of objects": np.array([drawn, drawn]),
    "nothing": None,
}


@pytest.mark.parametrize("X", ARRAYS.values(), ids=ARRAYS)
def test_what_is_data_is_no_stream(X):
    assert not is_stream(X)


X, Y = batch()
NO_BATCH = {
    "an array": (X, TypeError, 'a batch is .*; received ndarray.* pass {"X": X}'),
    "one value": ((X,), TypeError, "received tuple of 1 values"),
    "None": (None, TypeError, "received NoneType"),
    "a list of series": (list(X[:2]), TypeError, "a list can mean series or the pair of X and y"),
    "a group": (("north", X), TypeError, r"received 'north' and .* \[part for _, part in X\]"),
    "a group by two": ((("north", 3), X), TypeError, r"received \('north', 3\) and what has"),
    "unknown names": ({"X": X, "Y": Y}, ValueError, "the batch has no 'Y': did you mean 'y'"),
    "no X": ({"y": Y}, ValueError, 'the batch needs "X"'),
}
UNLIKE = {
    **NO_BATCH,
    "more features": ((np.ones((3, 9, 3)), Y[:3]), ValueError, "X must have shape"),
    "other targets": ((X, np.repeat(Y, 2, axis=2)), ValueError, r"it has 2 target\(s\), and the"),
    "one per sequence": ((X, Y[:, -1]), ValueError, "y must have shape"),
    "no y": ({"X": X}, ValueError, "it has no y, and the first batch had one"),
    "NaN": ((X, Y * np.nan), ValueError, "y has 108 NaN"),
    "no weight": ((X, Y, np.zeros(12)), ValueError, "there is nothing to learn"),
    "tiny weights": ((X, Y, np.full(12, 1e-60)), ValueError, "beyond the range of float32 beside"),
}


@pytest.mark.parametrize("name", NO_BATCH)
def test_no_batch(name):
    given, error, message = NO_BATCH[name]
    with pytest.raises(error, match=f"batch 1 of pass 1 over X: .*{message}"):
        quick(Stream(given))
    with pytest.raises(error, match=f"the batch of call 1 of X: .*{message}"):
        quick(lambda rng, n: given)


@pytest.mark.parametrize("name", UNLIKE)
def test_later_batches_are_like_the_first(name):
    given, error, message = UNLIKE[name]
    with pytest.raises(error, match=f"batch 2 of pass 1 over X: .*{message}"):
        quick(Stream((X, Y), given))


def test_classes_that_the_first_batch_lacks():
    y = (batch()[1][..., 0] > 0).astype(int)
    options = {"loss": "cross_entropy", "output": "sequence"}
    stream = Stream((X, y), (X, y + 2))
    with pytest.raises(ValueError, match=r"batch 2.*it has the class 3, .* 2: pass output_size="):
        quick(stream, **options)
    assert quick(stream, output_size=4, **options).model.spec.output_size == 4
    with pytest.raises(ValueError, match=r"batch 2.*binary_cross_entropy needs targets between"):
        quick(Stream((X, y[..., None]), (X, 2 * y[..., None])), loss="binary_cross_entropy")


def test_a_fill_value_is_said_once():
    filled = X.copy()
    filled[0, 0, 0] = 1e20
    with pytest.warns(UserWarning, match="batch 2 of pass 1 over X: X has") as caught:
        quick(Stream((X, Y), (filled, Y), (filled, Y)))
    assert len(caught) == 1


REFUSED = {
    "y": ({"y": Y}, "y stands in the batches of a stream, not beside it"),
    "weights": ({"sample_weight": np.ones(12)}, "sample_weight stands in the batches"),
    "lengths": ({"lengths": np.ones(12, int)}, "lengths stands in the batches"),
    "resets": ({"reset": np.zeros((12, 9), bool)}, "reset stands in the batches"),
    "a fraction": ({"validation": 0.2}, "validation of a stream must be data of their own"),
    "SciPy": ({"method": "L-BFGS-B"}, "'L-BFGS-B' sees all data in every iteration"),
    "a series": ({"stateful": True, "bptt_steps": 3}, "stateful=True carries the state"),
    "sampling": ({"scheduled_sampling": 0.5}, "scheduled_sampling needs data that are all there"),
    "patience": ({"patience": 3}, "patience .* needs validation=, data that stay"),
    "a goal": ({"tol": 0.1}, "tol .* needs validation=, data that stay"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_data_that_stay_is_refused(name):
    options, message = REFUSED[name]
    y = options.pop("y", None)
    for source in (Stream(batch()), drawn):
        with pytest.raises(ValueError, match=message):
            quick(source, y, **options)


def test_a_warm_up_is_a_weight_of_nothing():
    """Steps of weight 0 are read, and whatever stands there as their target is not learned."""

    def warmed_up(wrong):
        def source(rng, n):
            X, y = drawn(rng, n)
            weight = np.ones(X.shape[:2])
            weight[:, :3] = 0
            y[:, :3] += wrong
            return X, y, weight

        return source

    options = {"dtype": "float64", "epochs": 5}
    right, wrong = (quick(warmed_up(wrong), **options) for wrong in (0.0, 1e6))
    np.testing.assert_array_equal(right.x, wrong.x)
    assert right.fun == wrong.fun
    assert not np.array_equal(right.x, quick(drawn, **options).x)
    many = [numlstm.ensemble(warmed_up(wrong), **MANY) for wrong in (0.0, 1e6)]
    for mine, its in zip(*(one.models for one in many), strict=True):
        np.testing.assert_array_equal(mine.theta, its.theta)


MANY = {"members": 3, "hidden_size": 4, "epochs": 4, "rng": 0}
OF_MEMBERS = {
    "a callable": (lambda: drawn, {"batch_size": 6}),
    "an iterable": (lambda: Stream(*parts()), {}),
    "a list": (parts, {"bptt_steps": 4, "num_layers": 2}),
    "judged": (lambda: drawn, {"validation": batch(seed=9), "learning_rate": 0.1}),
    "patient": (
        lambda: Stream(*parts()),
        {"validation": batch(seed=9), "patience": 2, "learning_rate": 0.3, "epochs": 40},
    ),
    "peepholes": (lambda: drawn, {"cell": {"peephole": True}}),
    "in turn": (lambda: Stream(*parts()), {"learned_state": True}),
}


@pytest.mark.parametrize("name", OF_MEMBERS)
def test_members_learn_from_fresh_batches_as_fits_do(name):
    source, options = OF_MEMBERS[name]
    options = {"clip": None, "dtype": "float64"} | options
    many = numlstm.ensemble(source(), **MANY | options)
    assert many.data.startswith("a stream of batches from a")
    stream = RandomStreams(new_seed(0)).stream(MEMBERS)
    network = {k: v for k, v in options.items() if k in ("num_layers", "cell", "learned_state")}
    rest = {k: v for k, v in options.items() if k not in network}
    for index, model in enumerate(many.models):
        begun = numlstm.LSTM(2, 4, 1, dtype="float64", **network)
        begun.theta = initialise(begun.spec, RandomStreams(new_seed(stream)).stream(INITIAL))
        settings = {"standardize": True, "rng": 0, "epochs": 4} | rest
        single = numlstm.fit(source(), model=begun, **settings)
        np.testing.assert_array_equal(model.theta, single.x)
        assert many.nit[index] == single.nit
        assert many.fun[index] == single.fun
        losses = many.history["loss_members"][: single.nit, index]
        np.testing.assert_array_equal(losses, single.history["loss"])


@pytest.mark.parametrize("name", ["a callable", "an iterable", "patient", "in turn"])
@pytest.mark.parametrize("epochs", [1, 2])
def test_an_ensemble_on_batches_goes_on_to_the_same_bits(name, epochs, tmp_path):
    source, options = OF_MEMBERS[name]
    options, store = MANY | options, {"checkpoint": tmp_path / "run"}
    expected = numlstm.ensemble(source(), **options)
    stopped = numlstm.ensemble(source(), **store, callback=stop_after(epochs), **options)
    assert len(stopped.history["loss"]) == epochs
    for _ in range(2):
        resumed = numlstm.ensemble(source(), **store, resume=True, **options)
        for mine, its in zip(resumed.models, expected.models, strict=True):
            assert mine.theta.tobytes() == its.theta.tobytes()
        np.testing.assert_array_equal(
            resumed.history["loss_members"], expected.history["loss_members"]
        )
        assert (resumed.message, resumed.nit.tolist()) == (expected.message, expected.nit.tolist())


def test_members_stop_one_by_one_while_the_batches_go_on():
    calls = []

    def source(rng, n):
        calls.append(n)
        return drawn(rng, n)

    def done(intermediate_result):
        return intermediate_result.loss_members < 0.5

    many = numlstm.ensemble(source, **MANY | {"epochs": 300}, callback=done)
    assert many.success
    assert len(set(many.nit)) > 1
    assert len(calls) == many.nit.max() == len(many.history["loss"])
    for index, end in enumerate(many.nit):
        losses = many.history["loss_members"][:, index]
        assert (losses[: end - 1] >= 0.5).all()
        assert (losses[end - 1 :] == losses[end - 1]).all()
        assert losses[end - 1] < 0.5
        assert many.fun[index] == losses[end - 1]


def test_what_fresh_batches_of_an_ensemble_refuse():
    with pytest.raises(ValueError, match="bootstrap=True resamples sequences that are all there"):
        numlstm.ensemble(drawn, bootstrap=True)
    with pytest.raises(ValueError, match=r"tol .* needs validation=, data that stay"):
        numlstm.ensemble(drawn, tol=0.1)
    with pytest.raises(TypeError, match="bootstrap must be True or False"):
        numlstm.ensemble(drawn, bootstrap=1)


def test_the_batch_size_of_an_iterable_is_its_own():
    with pytest.warns(OptimizeWarning, match="batch_size is not used: an iterable yields"):
        quick(Stream(batch()), batch_size=4)


class Mine(Exception):
    pass


@pytest.mark.parametrize("error", [Mine("mine"), ValueError("mine"), StopIteration("mine")])
@pytest.mark.parametrize("call", [1, 3])
def test_what_the_users_function_raises_goes_through(error, call, tmp_path):
    calls = []

    def source(rng, n):
        calls.append(n)
        if len(calls) == call:
            raise error
        return drawn(rng, n)

    with pytest.raises(type(error), match=r"^mine$") as caught:
        quick(source, epochs=5)
    assert caught.value is error
    calls.clear()
    quick(drawn, epochs=2, checkpoint=tmp_path / "run")
    with pytest.raises(type(error), match=r"^mine$") as caught:
        quick(source, epochs=9, checkpoint=tmp_path / "run", resume=True)
    assert caught.value is error


def test_what_an_iterable_raises_goes_through():
    class Broken:
        def __iter__(self):
            yield batch()
            raise Mine("mine")

    with pytest.raises(Mine, match=r"^mine$"):
        quick(Broken())


def test_the_loss_of_the_epoch_that_is_returned():
    """With validation that of the best epoch; each batch was judged before its update."""
    result = quick(drawn, epochs=8, validation=batch(T=7, seed=3), learning_rate=0.5)
    best = int(np.argmin(result.history["validation_loss"]))
    assert best < 7
    assert result.fun == result.history["loss"][best]
    assert quick(drawn, epochs=4).fun == quick(drawn, epochs=4).history["loss"][-1]


def test_a_success_is_tried_on_the_first_batch():
    """The loss of one call may be large where its targets are: that says nothing of the fit."""
    calls = []

    def source(rng, n):
        calls.append(n)
        X, y = drawn(rng, n)
        return X, y * (100 if len(calls) == 40 else 1)

    result = quick(source, epochs=40, learning_rate=0.03)
    assert result.fun > 100
    assert result.success
    never = quick(drawn, epochs=4, learning_rate=1e3, clip=None)
    assert never.status == 96


def test_a_loss_that_is_not_finite_ends_the_fit():
    result = quick(
        Stream((X, Y), (X, 1e30 * Y)), standardize=False, epochs=2, learning_rate=1e30, clip=None
    )
    assert not result.success
    assert result.status == 97
    assert np.isfinite(result.x).all()


def test_a_batch_may_be_reused_by_whom_it_belongs_to():
    room = np.empty((12, 9, 2)), np.empty((12, 9, 1))

    class Reusing:
        def __iter__(self):
            for part in parts(3):
                for place, values in zip(room, part, strict=True):
                    place[...] = values
                yield room

    assert quick(Reusing()).x.tobytes() == quick(Stream(*parts(3))).x.tobytes()


def test_no_more_than_a_batch_is_kept():
    kept, alive = [], []

    def source(rng, n):
        alive.append(sum(ref() is not None for ref in kept))
        X, y = drawn(rng, n)
        kept.extend((weakref.ref(X), weakref.ref(y)))
        return X, y

    quick(source, epochs=6)
    assert max(alive) <= 2  # X and y of the batch before


def test_a_stream_stands_where_it_is_told_to():
    stream = BatchStream(Stream("a", "b"), 8, RandomStreams(0))
    stream.begin(2)
    assert (stream.epoch, stream.count) == (2, 0)
    assert stream.advance()
    assert stream.advance()
    assert not stream.advance()
    assert not stream.advance()
    calls = BatchStream(lambda rng, n: n, 8, RandomStreams(0))
    calls.begin(5)
    assert calls.advance()
    assert not calls.advance()
    calls.begin(5)
    assert (calls.epoch, calls.count) == (5, 1)


def test_a_sine_is_learned_from_waves_that_never_come_again():
    def waves(rng, n):
        phase = rng.uniform(0, 2 * np.pi, (n, 1))
        series = np.sin(phase + np.arange(41) / 3)
        return series[:, :-1, None], series[:, 1:, None]

    result = numlstm.fit(waves, hidden_size=8, epochs=400, learning_rate=0.02, rng=0)
    held_out = waves(np.random.default_rng(99), 50)
    error = result.model.predict(held_out[0]) - held_out[1]
    assert np.mean(error[:, 5:] ** 2) < 1e-3
    assert result.success


@pytest.mark.parametrize("later", [None, np.ones((4, 2)), np.ones((4, 1))])
def test_batches_have_the_attributes_of_the_first_one(later):
    rng = np.random.default_rng(0)
    X, static = rng.standard_normal((2, 4, 6, 1)), rng.standard_normal((2, 4, 1))
    batches = [{"X": X[0], "static": static[0]}, {"X": X[1], "static": later}]
    batches[1] = {name: part for name, part in batches[1].items() if part is not None}
    if later is not None and later.shape == (4, 1):
        result = numlstm.fit(Stream(*batches), hidden_size=3, epochs=2, rng=0)
        assert result.model.spec.static_size == 1
        return
    words = "static is missing" if later is None else r"static has 2 attribute\(s\)"
    with pytest.raises(ValueError, match=rf"batch 2 of pass 1 over X: {words}.*the first batch"):
        numlstm.fit(Stream(*batches), hidden_size=3, epochs=2, rng=0)
    if later is None:
        with pytest.raises(ValueError, match="the first batch has no attributes"):
            numlstm.fit(Stream(*batches[::-1]), hidden_size=3, epochs=2, rng=0)


class ByNumber:
    """Batches as Keras' PyDataset has them."""

    def __init__(self, batches):
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, number):
        return self._batches[number]


@pytest.mark.parametrize("form", [list, tuple])
@pytest.mark.parametrize("axes", [1, 3])
def test_a_list_of_batches_is_a_stream_of_them(form, axes):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2, 6, 8, 2))
    y = X[..., :1].cumsum(axis=2)
    if axes == 1:
        X, y = X[:, 0, :, 0], y[:, 0, :, 0]
    batches = form(zip(X, y, strict=True))
    ours = quick(batches)
    assert ours.data.startswith("a stream of batches from an iterable")

    class Again:
        def __iter__(self):
            return iter(batches)

    same(ours, quick(Again()))
    same(ours, quick(form({"X": one, "y": other} for one, other in batches)))
    with pytest.raises(TypeError, match=r"has batches by number, received ByNumber, .*__iter__"):
        quick(ByNumber(batches))


def test_lists_of_series_are_none():
    parts = [((1.0, 2.0), (3.0, 4.0), (2.0, 2.5)), [[1.0, 2.0], [3.0, 4.0], [2.0, 2.5]]]
    assert "2 sequences of 3 steps" in quick(parts).data
