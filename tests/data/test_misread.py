"""What was not meant is refused or said; on honest data there is silence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import numlstm

RNG = np.random.default_rng(7)
STORED = dict(np.load(Path(__file__).parents[1] / "truths" / "misread_data.npz"))
ARCHIVE = [name.removesuffix("_y") for name in STORED if name.endswith("_y")]
WALK = np.cumsum(RNG.normal(size=400))
CO2, SUNSPOTS = STORED["co2"].astype(float), STORED["sunspots"].astype(float)


def fit(X, y=None, **choices):
    return numlstm.fit(X, y, hidden_size=2, epochs=1, **choices)


def windows(series, width, stride=1):
    """Windows of a series (T, ...) and the value behind each: (N, width, ...), (N, ...)."""
    rows = np.moveaxis(sliding_window_view(series, width, axis=0), -1, 1)[:-1:stride]
    return rows.copy(), series[width::stride].copy()


def archive(name):
    return STORED[f"{name}_X"].astype(float), STORED[f"{name}_y"].astype(int) % 10


def spectrogram():
    """Log-spectra (T, 32) of a tone that rises and falls, in noise."""
    tone = np.sin(np.cumsum(0.4 + 0.3 * np.sin(np.arange(19200) / 900)))
    frames = (tone + 0.1 * RNG.normal(size=tone.size)).reshape(-1, 64) * np.hanning(64)
    return np.log(1e-3 + np.abs(np.fft.rfft(frames)[:, :32]))


def honest():
    """Data sets that mean what their shapes say: name -> arguments of fit."""
    sets = {name: (*archive(name), "cross_entropy") for name in ARCHIVE if name != "digits"}
    sets["digits, row by row"] = (*archive("digits"), "cross_entropy")
    sets["macrodata, quarters of 12 series"] = (STORED["macrodata"],)
    sets["macrodata, windows of 8 quarters"] = windows(STORED["macrodata"], 8)
    sets["el Nino, years of 12 months"] = (STORED["elnino"],)
    sets["el Nino, the mean of the next year"] = (
        STORED["elnino"][:-1],
        STORED["elnino"][1:].mean(axis=1),
    )
    sets["CO2, overlapping windows of a year"] = windows(CO2[:, None], 52)
    sets["sunspots, the next year"] = (SUNSPOTS,)
    sets["months one-hot beside sunspots"] = (
        np.column_stack([np.eye(12)[np.arange(309) % 12], SUNSPOTS]),
        np.roll(SUNSPOTS, -1),
    )
    sets["months one-hot alone"] = (np.eye(12)[np.arange(120) % 12], RNG.normal(size=120))
    text = np.frombuffer(b"the quick brown fox jumps over the lazy dog " * 4, np.uint8) % 32
    sets["characters one-hot, the next one"] = (np.eye(32)[text[:-1]], text[1:], "cross_entropy")
    sets["embedded words"] = (
        RNG.normal(size=(50, 64))[RNG.integers(0, 50, (60, 10))],
        RNG.integers(0, 2, 60),
        "cross_entropy",
    )
    market = RNG.normal(size=(600, 1))
    returns = 0.6 * market + 0.8 * RNG.normal(size=(600, 30))
    sets["daily returns of 30 shares"] = windows(returns, 20, 5)
    sets["150 sensors, 12 steps"] = windows(
        RNG.normal(size=(400, 150)) + 0.1 * np.cumsum(RNG.normal(size=(400, 150)), axis=0), 12, 3
    )
    sets["quantiles of rain"] = windows(np.sort(RNG.gamma(1, 1, (600, 19)), axis=1), 10, 5)
    frames = spectrogram()
    sets["spectra, windows of 20 frames"] = windows(frames, 20, 3)
    sets["spectra, a class per frame"] = (frames, (frames[:, 5] > -2).astype(int), "cross_entropy")
    u = RNG.normal(size=300)
    sets["an input and its last value, as in NARX"] = (np.column_stack([u[1:], u[:-1]]), u[1:])
    sets["ratings from 1 to 5"] = (RNG.integers(1, 6, (300, 6)).astype(float), u)
    sets["a binary sequence and its parity"] = (
        (bits := RNG.integers(0, 2, (60, 9, 1))),
        bits.sum(axis=(1, 2)) % 2,
        "binary_cross_entropy",
    )
    sets["counts as integers"] = (RNG.poisson(4, (30, 9, 1)), RNG.normal(size=30))
    sets["sound in 16 bits"] = (
        RNG.integers(-(2**15), 2**15, (30, 20, 1), np.int16),
        RNG.integers(0, 2, 30),
        "cross_entropy",
    )
    day = np.arange(1460)
    mean = 12 - 10 * np.cos(2 * np.pi * day / 365) + 5 * RNG.normal(size=1460)
    spread = RNG.gamma(4, 1, (2, 1460))
    range_of_days = np.column_stack([mean - spread[0], mean, mean + spread[1]]).round()
    sets["least, mean and highest of days, in whole degrees"] = (range_of_days, mean)
    sets["three flags"] = (RNG.integers(0, 2, (365, 3)).astype(float), u[:1].repeat(365))
    sets["counts that add up over 8 classes"] = (
        np.cumsum(RNG.poisson(1, (400, 8)), axis=1).astype(float),
        RNG.normal(size=400),
    )
    profile = np.sin(np.linspace(0, 6.28, 24)) * RNG.uniform(0.5, 2, (200, 1))
    profile += 0.5 * RNG.normal(size=(200, 1))
    sets["7 days of 24 hours, the next day"] = windows(profile, 7)
    sets["a table row by row"] = (RNG.normal(size=(60, 1, 10)), RNG.normal(size=60))
    sets["two steps of many features"] = (RNG.normal(size=(59, 2, 12)),)
    sets["sorted members of an ensemble"] = windows(np.sort(RNG.gamma(1, 1, (300, 50)), axis=1), 5)
    sets["dry weeks"] = (np.where(RNG.random((200, 12)) < 0.9, 0, RNG.random((200, 12))), u[:200])
    return sets


HONEST = honest()


@pytest.mark.parametrize("name", HONEST)
def test_honest_data_pass_in_silence(name):
    """As warnings are errors, a fit is enough."""
    X, y, loss = (*HONEST[name], *(None, "mse")[len(HONEST[name]) - 1 :])
    assert np.isfinite(fit(X, y, loss=loss).fun)


def test_the_list_of_honest_data_is_long_enough():
    assert len(HONEST) >= 12


SHUFFLED = RNG.permutation(len(WALK) - 12)[:300]
IN_WINDOWS = {
    "of a walk": windows(WALK, 12),
    "of CO2": windows(CO2, 12),
    "of sunspots, three wide": windows(SUNSPOTS, 3),
    "a year of CO2 wide": windows(CO2, 52),
    "every fourth": windows(WALK, 12, 4),
    "shuffled, a part": tuple(part[SHUFFLED] for part in windows(WALK, 12)),
    "the newest first": (windows(WALK, 12)[0][:, ::-1], windows(WALK, 12)[1]),
    "the last one first": tuple(part[::-1] for part in windows(WALK, 12)),
    "of whole numbers": windows(np.arange(200.0) % 10, 7),
    "of float32": tuple(part.astype(np.float32) for part in windows(WALK, 12)),
    "of two features": (windows(np.column_stack([WALK, np.sin(WALK)]), 6)[0].reshape(-1, 12), None),
    "without targets": (windows(WALK, 12)[0], None),
    "of counts": windows(RNG.poisson(3, 400).astype(float), 24),
    "of counts in float32": windows(RNG.poisson(10, 400).astype(np.float32), 24),
    "of counts, shuffled": tuple(
        part[RNG.permutation(376)] for part in windows(RNG.poisson(3, 400).astype(float), 24)
    ),
    "at random": (WALK[(starts := RNG.integers(0, 380, 200))[:, None] + np.arange(12)], None),
    "beside the hour": (np.column_stack([np.arange(388) % 24, windows(WALK, 12)[0]]), WALK[12:]),
    "beside a one": (np.column_stack([np.ones(388), windows(WALK, 12)[0]]), WALK[12:]),
    "of set points that are held": windows(np.repeat(RNG.normal(size=50), 8), 12),
}


@pytest.mark.parametrize("name", IN_WINDOWS)
def test_windows_that_are_read_as_one_series_are_said(name):
    X, y = IN_WINDOWS[name]
    with pytest.warns(UserWarning, match=r"one series of .* shifted copies .*X\[\.\.\., None\]"):
        fit(X, y)


@pytest.mark.parametrize("name", IN_WINDOWS)
def test_the_ways_out_that_the_warning_names(name):
    """Rows as sequences, and rows as the steps of one series."""
    X, y = IN_WINDOWS[name]
    rows, width = X.shape
    found = fit(X[..., None], y).data
    assert found.startswith(f"{rows} sequences of {width} steps, one feature")
    if y is not None:
        found = fit(X[None], y.reshape(1, -1, 1)).data
        assert found == f"one series of {rows} steps, {width} features, a target per step"


def test_windows_in_frames_and_lists_are_said():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, y = windows(WALK, 12)
    titles = [f"lag{k}" for k in range(12)]
    for frame in (pandas.DataFrame(X, columns=titles), polars.DataFrame(X, schema=titles)):
        with pytest.warns(UserWarning, match=r"np\.asarray\(X\)\[\.\.\., None\]"):
            fit(frame, y)
    with pytest.warns(UserWarning, match="shifted copies"):
        fit([X[:50], X[50:]], [y[:50], y[50:]])


def test_estimators_read_windows_as_sequences():
    X, y = windows(WALK, 12)
    numlstm.LSTMRegressor(hidden_size=2, epochs=1).fit(X, y)
    numlstm.LSTMClassifier(hidden_size=2, epochs=1).fit(X, y > 0)


def test_overlapping_rows_are_no_consecutive_pieces():
    X, _ = windows(WALK, 12, 3)
    with pytest.warns(UserWarning, match="consecutive pieces.*leave stateful out"):
        fit(X[..., None], stateful=True, batch_size=1)
    with pytest.warns(UserWarning, match="leave stateful out"):
        fit(list(X), stateful=True, batch_size=1)
    with pytest.warns(UserWarning, match="leave stateful out"):
        fit(sliding_window_view(WALK, 20)[::12][..., None], stateful=True, batch_size=1)
    fit(WALK[:396].reshape(33, 12, 1), stateful=True, batch_size=1)
    fit(np.tile(RNG.normal(size=15), 40).reshape(30, 20, 1), stateful=True, batch_size=1)


@pytest.mark.parametrize("name", [name for name in ARCHIVE if name != "digits"])
def test_features_before_time_are_said(name):
    """As the archive's own arrays have them: (sequences, features, steps)."""
    X, y = archive(name)
    turned = X.transpose(0, 2, 1)
    words = rf"\({turned.shape[0]}, {turned.shape[1]}, .* X\.transpose\(0, 2, 1\)"
    with pytest.warns(UserWarning, match=words):
        fit(turned, y, loss="cross_entropy")
    with pytest.warns(UserWarning, match=words):
        numlstm.LSTMClassifier(hidden_size=2, epochs=1).fit(turned, y)
    with pytest.warns(UserWarning, match=r"series\.T for series in X"):
        fit(list(turned), y, loss="cross_entropy")


@pytest.mark.parametrize("name", ["ItalyPowerDemand", "GunPoint", "ArrowHead"])
def test_classes_of_rows_are_no_classes_of_steps(name):
    X, y = archive(name)
    with pytest.warns(UserWarning, match=r"smoothly along each row .*X\[\.\.\., None\]"):
        fit(X[..., 0], y, loss="cross_entropy")


def test_a_frame_of_several_series_without_times_is_said():
    rng = np.random.default_rng(0)
    rain = pd.DataFrame({"rain": rng.random(60)}, pd.Index(np.repeat(["a", "b"], 30), name="place"))
    with pytest.warns(UserWarning, match=r"2 labels, which repeat.*set_index\(\['place', TIME\]\)"):
        numlstm.fit(rain, hidden_size=2, epochs=1, rng=0)
    numlstm.fit(rain.set_axis([f"day {i}" for i in range(60)]), hidden_size=2, epochs=1, rng=0)


@pytest.mark.parametrize("outputs", [19, 21])
def test_targets_of_steps_that_are_one_off_are_said(outputs):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 20, 2)), rng.standard_normal((12, outputs))
    with pytest.warns(UserWarning, match=f"{outputs} numbers for 20 steps.*output='last'"):
        numlstm.fit(X, y, hidden_size=2, epochs=1, rng=0)
    numlstm.fit(X, y, output="last", hidden_size=2, epochs=1, rng=0)
    with pytest.warns(UserWarning, match=f"{outputs} numbers for 20 steps"):
        numlstm.fit(list(X), list(y), hidden_size=2, epochs=1, rng=0)
    numlstm.fit(X, y[:, :18], hidden_size=2, epochs=1, rng=0)
    numlstm.fit(X, y, output_size=outputs, hidden_size=2, epochs=1, rng=0)
    numlstm.fit(X, y, lengths=np.full(12, 5), hidden_size=2, epochs=1, rng=0)
    numlstm.fit(X, pd.DataFrame(y, columns=[f"y{i}" for i in range(outputs)]), epochs=1, rng=0)


def test_a_list_with_features_first_and_steps_of_any_number():
    with pytest.raises(ValueError, match=r"series\.T for series in X"):
        fit([RNG.normal(size=(3, n)) for n in (20, 30)], [0.0, 1.0])


def padded_in_front(value=0.0, lengths=(3, 5, 2, 6), steps=6):
    X = np.full((len(lengths), steps, 2), value)
    for row, length in zip(X, lengths, strict=True):
        row[steps - length :] = RNG.normal(size=(length, 2))
    return X, np.array(lengths)


@pytest.mark.parametrize(
    ("value", "lengths"),
    [
        (0.0, (3, 5, 2, 6)),
        (-999.0, (3, 5, 6)),
        (0.0, (2,)),
        (np.nan, (3, 4)),
        (0.0, (0, 3, 6)),
    ],
)
def test_rows_that_are_padded_in_front_are_refused(value, lengths):
    X, lengths = padded_in_front(value, lengths)
    y, keywords = np.arange(len(X)) + 0.5, {"missing": "mask" if np.isnan(value) else "raise"}
    with pytest.raises(ValueError, match=r"padded in front.*for row, n in zip"):
        fit(X, y, lengths=lengths, **keywords)


def test_every_door_refuses_rows_that_are_padded_in_front():
    X, lengths = padded_in_front()
    y, model = np.arange(4.0), numlstm.LSTM(2, 3, 1, rng=0)
    right = [row[len(row) - n :] for row, n in zip(X, lengths, strict=True)]
    judge = {"X": X, "y": y, "lengths": lengths}
    for call in (
        lambda: model.predict(X, lengths=lengths),
        lambda: model.forward(X.astype(np.float32), lengths=lengths),
        lambda: numlstm.objective(model, X, y, output="last", lengths=lengths),
        lambda: numlstm.ensemble(X, y, lengths=lengths, members=2, hidden_size=2, epochs=1),
        lambda: fit(right, y, validation=judge),
    ):
        with pytest.raises(ValueError, match="padded in front"):
            call()


def test_the_way_out_of_rows_that_are_padded_in_front():
    """Left and right, the same sequences make the same fit."""
    X, lengths = padded_in_front()
    y = np.arange(4.0)
    behind = np.zeros_like(X)
    for row, to, n in zip(X, behind, lengths, strict=True):
        to[:n] = row[len(row) - n :]
    moved = [row[len(row) - n :] for row, n in zip(X, lengths, strict=True)]
    assert np.array_equal(fit(moved, y, rng=0).x, fit(behind, y, lengths=lengths, rng=0).x)


def test_what_lies_behind_lengths_may_hold_anything():
    """Values, where rows do not begin alike, and one value, where they begin with a dry spell."""
    X = RNG.normal(size=(3, 6, 2))
    fit(X, np.arange(3.0), lengths=[2, 6, 4])
    X[:, :3] = 0
    for row, n in zip(X, (4, 3, 5), strict=True):
        row[n:] = 0
    fit(X, np.arange(3.0), lengths=[4, 3, 5])


def test_rows_that_begin_at_rest_are_no_padding():
    """At rest for longer than padding would be, or all from one full charge."""
    Z = RNG.normal(size=(5, 100, 1))
    Z[:, :30] = 0
    model = numlstm.LSTM(1, 2, 1, rng=0)
    for length in (69, 71, 80, 99):
        assert model.predict(Z, lengths=[length] * 5).shape == (5, 100, 1)
    Z[:, 0] = 4.2
    model.predict(Z, lengths=[99] * 5)


TOKENS = RNG.integers(0, 9, (20, 7))
CLASSES = np.arange(20) % 3


@pytest.mark.parametrize(
    ("X", "y", "loss"),
    [
        (TOKENS[..., None], CLASSES, "cross_entropy"),
        (TOKENS[..., None].astype(np.uint8), CLASSES, "cross_entropy"),
        (TOKENS[0], TOKENS[1], "cross_entropy"),
        (TOKENS[0].tolist(), TOKENS[1].tolist(), "cross_entropy"),
        ([TOKENS[0], TOKENS[1, :4]], [0, 1], "cross_entropy"),
        (TOKENS[..., None], CLASSES % 2, "binary_cross_entropy"),
    ],
)
def test_tokens_are_refused_as_numbers(X, y, loss):
    with pytest.raises(ValueError, match=r"np\.eye\(\d+\)\[.*astype\(float\)"):
        fit(X, y, loss=loss)


def test_tokens_are_refused_by_every_door():
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(TOKENS[0], dtype="Int64")
    model = numlstm.LSTM(1, 3, 9, rng=0)
    classifier = numlstm.LSTMClassifier(hidden_size=2, epochs=1)
    for call in (
        lambda: classifier.fit(TOKENS, CLASSES),
        lambda: classifier.fit(TOKENS[..., None], CLASSES),
        lambda: numlstm.objective(model, TOKENS[0], TOKENS[1], loss="cross_entropy"),
        lambda: fit(series, TOKENS[1], loss="cross_entropy"),
    ):
        with pytest.raises(ValueError, match=r"np\.eye\("):
            call()


def test_tables_of_tokens_are_said():
    """Rows of tokens, as for an embedding: the integers are alike in all columns."""
    with pytest.warns(UserWarning, match=r"one series of 20 steps, 7 .*np\.eye\(9\)\[X\]"):
        fit(TOKENS, CLASSES, loss="cross_entropy")
    with pytest.warns(UserWarning, match=r"X\.astype\(float\)"):
        fit(TOKENS, CLASSES % 2, loss="binary_cross_entropy")
    counts = RNG.poisson([1, 5, 20, 60], (40, 4))
    fit(counts, CLASSES[:20].repeat(2), loss="cross_entropy")


def test_the_way_out_for_tokens_of_an_estimator():
    classifier = numlstm.LSTMClassifier(hidden_size=2, epochs=1)
    with pytest.raises(ValueError, match=r"X=np\.eye\(9\)\[X\]"):
        classifier.fit(TOKENS, CLASSES)
    words = classifier.fit(np.eye(9)[TOKENS], CLASSES).result_.data
    assert words.startswith("20 sequences of 7 steps, 9 features")


def test_the_ways_out_for_tokens():
    onehot = fit(np.eye(9)[TOKENS], CLASSES, loss="cross_entropy")
    assert onehot.data.startswith("20 sequences of 7 steps, 9 features")
    assert (
        fit(TOKENS[..., None].astype(float), CLASSES, loss="cross_entropy").model.num_features == 1
    )


@pytest.mark.parametrize(
    "X",
    [
        *("hello", list("hello"), ["hello", "world"], [list("hello"), list("world")], b"hello"),
        np.array(list("hello")),
        [np.array(list("hello")), np.array(list("you"))],
        np.array(["a", None], object),
    ],
)
def test_text_is_refused_with_the_way_out(X):
    for call in (
        lambda: fit(X, [0] * 5, loss="cross_entropy"),
        lambda: numlstm.LSTM(1, 2, 1).predict(X),
    ):
        with pytest.raises(TypeError, match=r"np\.eye\(len\(names\)\)\[tokens\]"):
            call()


def test_classes_by_name_are_refused_with_the_way_out():
    for y in (["a", "b"], np.array(["a", "b"])):
        with pytest.raises(TypeError, match=r"names, y = np\.unique\(y, return_inverse=True\)"):
            fit(np.zeros((2, 3, 1)), y, loss="cross_entropy")
    with pytest.raises(TypeError, match="one-hot"):
        numlstm.LSTMClassifier().fit(["hello", "world"], [0, 1])


def test_numbers_as_texts_are_said_to_be_numbers():
    texts = np.array([f"{value:.3f}" for value in WALK[:40]])
    for X in (texts, texts.astype(object), texts.tolist()):
        code = "X" if isinstance(X, np.ndarray) else r"np\.asarray\(X\)"
        with pytest.raises(TypeError, match=rf"these texts are numbers: pass {code}\.astype"):
            fit(X)
    assert fit(texts.astype(float)).data.startswith("one series of 40 steps, one feature")
