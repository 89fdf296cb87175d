"""Windows over series: what is cut, what is read for it, and what units it has."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sliced import Sliced, windows_by_hand
from numlstm.backends import cpu
from numlstm.data.arrays import Arrays
from numlstm.data.orders import InBlocks, Shuffled
from numlstm.data.preparation import DataConfig
from numlstm.data.running_moments import RunningMoments
from numlstm.data.scaling import moments
from numlstm.data.sources import is_lazy, read_series
from numlstm.data.window_preparation import prepare_windows
from numlstm.objectives.constant import worst_loss
from numlstm.optim.losses import LOSSES
from numlstm.utils.random_streams import RandomStreams

rng = np.random.default_rng(0)
SERIES = [rng.standard_normal((steps, 2)) * [3, 0.1] + [5, -1] for steps in (40, 25, 60)]
TARGETS = [series[:, :1] * 2 + 1 for series in SERIES]


def prepared(X, y=None, *, dtype="float64", draws=0, **options):
    beside = {name: options.pop(name, None) for name in Arrays._fields[2:]}
    config = DataConfig(**{"window": 7, **options})
    return prepare_windows(Arrays(X, y, **beside), config, dtype, RandomStreams(draws))


def every(data):
    return data.cut(0, data.window, slice(None))


# --- samples --------------------------------------------------------------------------------------


def test_every_admissible_end_is_a_sample_and_none_reaches_across_a_start():
    data = prepared(SERIES, TARGETS, standardize=False).train
    cut = every(data)
    np.testing.assert_array_equal(cut.X, np.concatenate([windows_by_hand(s, 7) for s in SERIES]))
    np.testing.assert_array_equal(cut.y, np.concatenate([y[6:] for y in TARGETS]))
    assert data.count == sum(len(series) - 6 for series in SERIES)
    assert (cut.weight == 1).all()
    assert cut.last
    assert data.last
    assert data.extent == 7 * data.count


@given(
    lengths=st.lists(st.integers(7, 40), min_size=1, max_size=4),
    stride=st.integers(1, 9),
    last=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_any_rows_in_any_pieces_are_those_of_windows_by_hand(lengths, stride, last, seed):
    draw = np.random.default_rng(seed)
    X = [draw.standard_normal((steps, 2)) for steps in lengths]
    y = [draw.standard_normal((steps, 2)) for steps in lengths]
    data = prepared(X, y, stride=stride, predict_last=last, standardize=False).train
    ends = [range(6, steps, stride) for steps in lengths]
    pairs = list(zip(X, y, ends, strict=True))
    by_hand = np.concatenate([windows_by_hand(part, 7, at) for part, _, at in pairs])
    targets = np.concatenate([windows_by_hand(part, 7, at) for _, part, at in pairs])
    rows = draw.permutation(len(by_hand))[: draw.integers(1, len(by_hand) + 1)]
    cuts = [0, *sorted(draw.choice(np.arange(1, 7), 2, replace=False)), 7]
    parts = [data.cut(a, b, rows) for a, b in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate([p.X for p in parts], axis=1), by_hand[rows])
    weight = sum(data.total_weight(a, b, rows) for a, b in itertools.pairwise(cuts))
    assert weight == data.total_weight(rows=rows) == 2 * last * len(rows)
    if last == 1:
        np.testing.assert_array_equal(parts[-1].y, targets[rows, -1])
        assert not any(part.weight.any() for part in parts[:-1])
    else:
        y = np.concatenate([part.y for part in parts], axis=1)
        weight = np.concatenate([part.weight for part in parts], axis=1)
        np.testing.assert_array_equal(y[:, 7 - last :], targets[rows, 7 - last :])
        there = np.broadcast_to((np.arange(7) >= 7 - last)[:, None], weight.shape)
        np.testing.assert_array_equal(weight, there)


def test_without_targets_the_next_value_is_one():
    data = prepared(SERIES, standardize=False).train
    cut = every(data)
    np.testing.assert_array_equal(
        cut.X, np.concatenate([windows_by_hand(s, 7)[:-1] for s in SERIES])
    )
    np.testing.assert_array_equal(cut.y, np.concatenate([s[7:] for s in SERIES]))


def test_what_has_no_target_is_left_out():
    y = [part.copy() for part in TARGETS]
    y[0][10:20] = np.nan
    y[1][:] = np.nan
    found = prepared(SERIES, y, nan_policy="omit", standardize=False)
    data = found.train
    there = np.concatenate([part[6:, 0] for part in y])
    np.testing.assert_array_equal(every(data).y[:, 0], there[~np.isnan(there)])
    assert "78 windows of 7 steps, 29 without a target" in found.words
    with pytest.raises(ValueError, match=r"y\[0\] has NaN .* \(10, 0\); NaN: .*nan_policy='omit'"):
        prepared(SERIES, y)
    several = prepared(SERIES, y, nan_policy="omit", standardize=False, predict_last=3).train
    assert several.count == 80
    sums = several.total_weight(rows=np.arange(several.count))
    assert sums == every(several).weight.sum()


def test_a_reset_within_a_window_resets_and_nothing_is_forecast_across_it():
    reset = [rng.random(len(series)) < 0.2 for series in SERIES]
    data = prepared(SERIES, TARGETS, reset=reset).train
    by_hand = np.concatenate([windows_by_hand(part, 7) for part in reset])
    np.testing.assert_array_equal(every(data).reset, by_hand)
    ahead = prepared(SERIES, reset=reset).train
    assert ahead.count == sum(int((~part[7:]).sum()) for part in reset)


def test_weights_are_those_of_the_targets():
    steps = [rng.random(len(series)) for series in SERIES]
    data = prepared(SERIES, TARGETS, sample_weight=steps).train
    expected = np.concatenate([part[6:] for part in steps])
    found = every(data).weight[:, 0]
    np.testing.assert_allclose(found / found[0], expected / expected[0])
    assert 1 <= max(np.max(part) for part in data.targets.weights) < 2
    assert data.total_weight(rows=[3, 50]) == every(data).weight[[3, 50]].sum()
    rows = prepared(SERIES, TARGETS, sample_weight=[1, 0, 2]).train
    assert rows.count == 34 + 54
    assert set(every(rows).weight[:, 0]) == {0.5, 1.0}


@given(
    lengths=st.lists(st.integers(20, 60), min_size=1, max_size=4),
    fraction=st.floats(0.3, 0.6),
    stride=st.integers(1, 5),
    last=st.integers(1, 7),
    forecast=st.booleans(),
)
def test_no_window_that_is_learned_from_has_a_step_that_judges(
    lengths, fraction, stride, last, forecast
):
    """Every value is there once, so what is cut tells where it is from."""
    places = np.random.default_rng(0).permutation(np.arange(float(sum(lengths))))[:, None]
    X = np.split(places, np.cumsum(lengths)[:-1])
    y = None if forecast else [part + 0.25 for part in X]
    options = {"stride": stride, "predict_last": last, "standardize": False}
    found = prepared(X, y, validation=fraction, **options)
    learned, judged = every(found.train), every(found.validation)
    judges = set(np.rint(judged.y[judged.weight > 0] - (0 if forecast else 0.25)))
    assert judges
    assert not judges & set(np.rint(learned.X.ravel()))
    assert not judges & set(np.rint(learned.y[learned.weight > 0] - (0 if forecast else 0.25)))
    whole = prepared(X, y, **options)
    assert found.train.count + found.validation.count == whole.train.count


# --- what is read ---------------------------------------------------------------------------------


def test_what_is_read_in_slices():
    assert is_lazy(Sliced(SERIES[0]))
    for plain in (SERIES[0], SERIES, 3.0, np.float32(2), "text", None):
        assert not is_lazy(plain)


def test_no_more_is_read_than_the_windows_that_are_cut():
    X, y = Sliced(SERIES[2]), Sliced(TARGETS[2])
    data = prepared(X, y).train
    X.read.clear(), y.read.clear()
    data.cut(0, 7, np.array([40, 3, 20, 4]))
    assert sorted(X.read) == [(None, 3, 11), (None, 20, 27), (None, 40, 47)]
    assert sorted(y.read) == [(None, 9, 11), (None, 26, 27), (None, 46, 47)]
    X.read.clear()
    data.cut(2, 4, np.array([5]))
    assert X.read == [(None, 7, 9)]


def test_a_long_series_is_read_in_slices_and_targets_of_it_are_kept_in_part(monkeypatch):
    monkeypatch.setattr("numlstm.data.sources._AT_ONCE", 2 * 4096)
    monkeypatch.setattr("numlstm.data.kept_targets.KEPT", 1000)
    X = Sliced(np.random.default_rng(1).standard_normal((20_000, 1)).astype("float32"))
    data = prepared(X, dtype="float32", standardize=False).train
    assert X.largest <= 2 * 4096 + 1
    assert 500 < len(data.y) <= 1000
    assert (data.weight == 1).all()
    places = np.flatnonzero(np.isin(X._values, data.y))  # each is the value of some step
    assert len(data.y) <= len(places) <= len(data.y) + 20
    assert places.min() >= 1
    assert np.abs(data.y.mean()) < 0.15
    monkeypatch.setattr("numlstm.data.sources._AT_ONCE", 5 * 4096)
    again = prepared(X, dtype="float32", standardize=False).train
    np.testing.assert_array_equal(again.y, data.y)  # however they are read


@pytest.mark.parametrize("period", [2, 3, 4, 24])
@pytest.mark.parametrize("offset", [0, 1])
def test_no_period_of_targets_agrees_with_the_part_that_is_kept(period, offset, monkeypatch):
    monkeypatch.setattr("numlstm.data.kept_targets.KEPT", 500)
    X, y = rng.standard_normal((4000, 1)), np.full(4000, np.nan)
    y[offset::period] = rng.standard_normal(len(y[offset::period]))
    options = {"nan_policy": "omit", "validation": 0.25, "window": 8, "stride": 2}
    if (offset + 1) % 2 and not period % 2:
        with pytest.raises(ValueError, match="leaves no window with a target"):
            prepared(X, y, **options)
        return
    data = prepared(X, y, **options)
    for part in (data.train, data.validation):
        most = min(500, part.count)
        assert most / 2 <= (part.weight > 0).sum() <= most
    alike = prepared(np.stack([X]), np.stack([y]), **options)
    np.testing.assert_array_equal(data.train.y, alike.train.y)


@pytest.mark.parametrize("horizon", [None, 3])
@pytest.mark.parametrize("last", [1, 4])
@pytest.mark.parametrize("stride", [1, 5])
def test_of_the_steps_that_are_in_windows_a_part_is_kept(stride, last, horizon, monkeypatch):
    y = [rng.standard_normal(steps) for steps in (300, 250)]
    X = [np.stack([part, part], axis=1) for part in y]
    options = {"stride": stride, "predict_last": last, "horizon": horizon, "validation": 0.3}
    options["standardize"] = False
    whole = prepared(X, y, **options)
    monkeypatch.setattr("numlstm.data.kept_targets.KEPT", 499)
    sampled = prepared(X, y, **options)
    for one, other in ((whole.train, sampled.train), (whole.validation, sampled.validation)):
        # fewer than are kept: so all of those that count are there
        rows = (one.weight > 0).any(axis=1)
        there = (other.weight > 0).any(axis=1)
        np.testing.assert_array_equal(one.y[rows], other.y[there])
        np.testing.assert_array_equal(one.weight[rows], other.weight[there])


def test_a_constant_is_known_of_a_long_series(monkeypatch):
    monkeypatch.setattr("numlstm.data.kept_targets.KEPT", 500)
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((3000, 1)), np.zeros(3000)
    y[1::2] = rng.standard_normal(1500)
    data = prepared(X, y, standardize=False).train
    assert worst_loss(LOSSES["mse"], data) == pytest.approx(2 * np.var(y), rel=0.3)


def test_series_are_not_laid_out_nor_copied():
    X = np.random.default_rng(0).standard_normal((20, 5000, 64), dtype=np.float32)
    y = X[..., :1].copy()
    tracemalloc.start()
    data = prepared(X, y, window=365, dtype="float32", validation=0.2).train
    data.cut(0, 365, data.order(np.random.default_rng(0))[:4])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes  # laid out they were 365 times as large


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f4", "float16"])
@pytest.mark.parametrize("own", ["float32", "float64"])
def test_every_form_has_the_same_bits(dtype, own, tmp_path):
    whole = (rng.standard_normal((3, 50, 2)) * 100).astype(dtype)
    np.save(tmp_path / "X.npy", whole)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    forms = [
        *(whole, list(whole), mapped, list(mapped), Sliced(whole), list(map(Sliced, whole))),
        *([np.asfortranarray(part) for part in whole], np.asfortranarray(whole)),
    ]
    cuts = []
    for X in forms:
        for kernels in (None, cpu.windows()):
            data = prepared(X, validation=0.2, dtype=own).train.cut_by(kernels)
            cuts.append(data.cut(0, 7, np.array([5, 70, 6])))
    for cut in cuts[1:]:
        for name in ("X", "y", "weight"):
            assert getattr(cut, name).dtype == own
            assert getattr(cut, name).tobytes() == getattr(cuts[0], name).tobytes()


def test_what_lies_behind_lengths_is_never_read():
    whole = np.full((2, 30, 1), np.nan)
    whole[0, :20], whole[1, :30] = rng.standard_normal((20, 1)), rng.standard_normal((30, 1))
    padded = prepared(whole, lengths=[20, 30]).train
    listed = prepared([whole[0, :20], whole[1]]).train
    assert every(padded).X.tobytes() == every(listed).X.tobytes()


def test_missing_inputs_are_filled_within_a_window():
    X = SERIES[0].copy()
    X[10:20, 0] = np.nan
    data = prepared(X, TARGETS[0], missing="mask").train
    cut = data.cut(0, 7, np.array([11]))  # steps 11 to 17: nothing was observed
    np.testing.assert_allclose(cut.X[0, :, 0], 0, atol=1e-12)  # the mean, in its units
    assert not cut.X[0, :, 2].any()
    assert cut.X[0, :, 3].all()
    later = data.cut(3, 5, np.array([8]))  # steps 8 to 14, of which 9 is the last one observed
    mean, scale = data.units.scaling[:2]
    np.testing.assert_allclose(later.X[0, :, 0], (X[9, 0] - mean[0]) / scale[0])


# --- units ----------------------------------------------------------------------------------------


def test_units_are_those_of_the_steps_that_are_learned_from():
    """Each once, though most are in seven windows."""
    scaling = prepared(SERIES, TARGETS, validation=0.25).scaling
    parts = [round(0.75 * len(series)) for series in SERIES]
    for mean, scale, values in (
        (scaling.x_mean, scaling.x_scale, SERIES),
        (scaling.y_mean, scaling.y_scale, TARGETS),
    ):
        steps = np.concatenate([part[:n] for part, n in zip(values, parts, strict=True)])
        np.testing.assert_allclose(mean, steps.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(scale, steps.std(axis=0), rtol=1e-12)


@given(st.integers(0, 9), st.sampled_from([1e-200, 1e-3, 1.0, 1e5, 1e200]), st.booleans())
def test_moments_of_blocks_are_those_of_the_whole(seed, size, weighted):
    draw = np.random.default_rng(seed)
    values = (draw.standard_normal((9000, 3)) + np.array([0, 1e3, 0])) * size
    values[:, 2] = 7.25 * size
    values[:4096, 0] += size  # blocks of different means
    valid = draw.random(values.shape) < 0.7
    weight = draw.random(9000) if weighted else None
    running = RunningMoments(3)
    for start in (0, 4096, 8192):
        part = slice(start, start + 4096)
        running.count(values[part], valid[part], 1.0 if weight is None else weight[part])
    expected = moments(values, valid, None if weight is None else weight[:, None])
    for ours, theirs in zip(running.result(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)
    assert running.result()[1][2] == 1
    np.testing.assert_array_equal(running.least, values.min(axis=0, where=valid, initial=np.inf))


def test_next_values_that_are_given_as_targets_are_known():
    y = [np.vstack([part[1:], part[:1]]) for part in SERIES]
    y = [np.where(np.arange(len(part))[:, None] < len(part) - 1, part, np.nan) for part in y]
    given, own = prepared(SERIES, y, nan_policy="omit"), prepared(SERIES)
    assert given.forecasts
    assert own.forecasts
    assert given.scaling.one_unit()
    assert not prepared(SERIES, TARGETS).forecasts


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", ["samples", "blocks"])
@pytest.mark.parametrize("listed", [2**22, 0])
def test_an_epoch_has_every_sample_once(shuffle, listed, monkeypatch):
    monkeypatch.setattr("numlstm.data.windows._LISTED", listed)
    data = prepared(rng.standard_normal((30_000, 1)), shuffle=shuffle).train
    order = data.order(np.random.default_rng(0))
    batches = [np.asarray(order[at : at + 256]) for at in range(0, data.count, 256)]
    assert [len(order[at : at + 256]) for at in (0, 29_952)] == [256, data.count - 29_952]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(data.count))
    blocks = [len(np.unique(batch // 1024)) for batch in batches[:-1]]
    assert max(blocks) <= 16 if shuffle == "blocks" else min(blocks) > 16


def decompressed(reads, chunk, kept):
    """How many chunks a store decompresses that keeps the last ones, so many."""
    held, count = dict.fromkeys(range(-kept, 0)), 0
    for _, start, stop in reads:
        for number in range(start // chunk, (stop - 1) // chunk + 1):
            if number not in held:
                count += 1
                del held[next(iter(held))]
            held.pop(number, None)
            held[number] = None  # the last one read
    return count


@pytest.mark.parametrize(
    ("shuffle", "kept", "least", "most"),
    [("samples", 16, 500, 2000), ("blocks", 1, 100, 200), ("blocks", 16, 1, 6)],
)
def test_blocks_are_for_stores_that_keep_some_chunks(shuffle, kept, least, most):
    steps, chunk = 300_000, 4096
    X = Sliced(np.zeros((steps, 1), "float32"))
    data = prepared(X, np.zeros((steps, 1), "float32"), window=60, shuffle=shuffle).train
    X.read.clear()
    order = data.order(np.random.default_rng(0))
    seen = data.count if shuffle == "blocks" else 8192
    for at in range(0, seen, 256):
        data.cut(0, 60, order[at : at + 256])
    of_an_epoch = decompressed(X.read, chunk, kept) * data.count / seen
    assert least < of_an_epoch / (steps / chunk) < most


def test_a_group_of_blocks_is_drawn_once_for_all_of_its_batches(monkeypatch):
    order, drawn = InBlocks(20_000, np.random.default_rng(0)), []
    draw = InBlocks._drawn

    def counted(self, group):
        drawn.append(group)
        return draw(self, group)

    monkeypatch.setattr(InBlocks, "_drawn", counted)
    batches = [order[start : start + 300] for start in range(0, 20_000, 300)]
    found = [np.asarray(batch) for batch in batches for _ in range(2)]
    np.testing.assert_array_equal(np.sort(np.concatenate(found[::2])), np.arange(20_000))
    assert drawn == [0, 1, 2]


@given(st.integers(1, 20_000), st.integers(0, 9), st.sampled_from([Shuffled, InBlocks]))
def test_orders_that_are_computed_have_every_sample_once(count, seed, kind):
    order = kind(count, np.random.default_rng(seed))
    whole = np.asarray(order[0:count])
    np.testing.assert_array_equal(np.sort(whole), np.arange(count))
    cut = seed * count // 10
    parts = np.concatenate([np.asarray(order[:cut]), np.asarray(order[cut:])])
    np.testing.assert_array_equal(parts, whole)
    other = np.asarray(kind(count, np.random.default_rng(seed + 1))[0:count])
    assert count < 20 or (other != whole).any()


def test_places_and_samples_have_nothing_to_do_with_each_other():
    """Rank correlations of an order with its places, and of neighbours, are those of chance."""
    values = np.asarray(Shuffled(100_000, np.random.default_rng(0))[0:100_000])
    for lag, (a, b) in enumerate([(values, np.arange(100_000)), (values[1:], values[:-1])]):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.015, lag
    counts = np.histogram2d(values, np.arange(100_000), bins=20)[0]
    assert 300 < np.sum((counts - 250) ** 2 / 250) < 460  # chi-squared of about 361 freedoms


# --- what is refused, and said --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "y", "options", "words"),
    [
        (SERIES, None, {"window": 61}, r"window=61 is longer than X: its longest series has 60"),
        (SERIES[0], None, {"window": 40}, r"40 steps and the value that is forecast"),
        (SERIES, np.zeros(3), {}, r"a target for every step of X.*received"),
        (SERIES[0], np.zeros(39), {}, r"a target for every step of X, 40 step\(s\); received 39"),
        (np.zeros((2, 9, 1)), np.zeros((2, 8)), {}, r"\(2, 9\) step\(s\); received \(2, 8\)"),
        (SERIES, None, {"lengths": [1, 2, 3]}, "a list has its own"),
        ([SERIES[0], SERIES[1][:, :1]], None, {}, "same number of features"),
        (np.zeros((2, 3, 4, 5)), None, {}, r"received shape \(2, 3, 4, 5\)"),
        (np.zeros((0, 2)), None, {}, "X has no data"),
        (Sliced(np.array([["a"]])), None, {}, "real numbers, received dtype <U1"),
        (SERIES, None, {"loss": "cross_entropy"}, "this loss needs targets"),
        (SERIES, [np.full(len(s), 0.5) for s in SERIES], {"loss": "cross_entropy"}, "whole num"),
        (SERIES, [y - 9 for y in TARGETS], {"loss": "binary_cross_entropy"}, "between 0 and 1"),
        (SERIES, TARGETS, {"validation": 0.999}, "leaves no window with a target"),
        (SERIES, TARGETS, {"validation": 2}, "validation must lie between 0 and 1"),
        (SERIES, TARGETS, {"validation": (SERIES, [*TARGETS[:2], TARGETS[2][1:]])}, "^validation:"),
        (SERIES, TARGETS, {"validation": {"X": SERIES}}, "needs targets as the fit has them"),
        (SERIES, TARGETS, {"sample_weight": [0, 0, 0]}, "nothing to learn"),
        (np.full((1, 9, 1), 1e300), None, {"dtype": "float32", "standardize": False}, "range of"),
    ],
)
def test_what_is_refused(X, y, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        prepared(X, y, **options)


def test_a_value_that_is_not_finite_is_refused_with_its_place():
    X = rng.standard_normal((2, 9000, 2))
    X[1, 8000, 1] = np.nan
    with pytest.raises(ValueError, match=r"X has NaN .*\(1, 8000, 1\); NaN: .*missing='mask'"):
        prepared(X)
    X[1, 8000, 1] = np.inf
    with pytest.raises(ValueError, match=r"\(1, 8000, 1\); inf: replace it"):
        prepared(X, missing="mask")


def test_series_that_are_too_short_are_said():
    with pytest.warns(UserWarning, match="1 of 3 series are shorter than the window of 30 steps"):
        data = prepared(SERIES, TARGETS, window=30).train
    assert data.count == 11 + 31
    with pytest.warns(UserWarning, match="1 of 2 series are shorter"):  # it has no step before one
        assert prepared([SERIES[0], SERIES[1][:1]]).train.count == 33


@pytest.mark.filterwarnings("ignore:.*beyond all that are learned from")
def test_what_is_said_of_other_series_says_so():
    with pytest.warns(UserWarning, match="^validation: 1 of 2 series are shorter than the window"):
        prepared(SERIES[::2], TARGETS[::2], validation=(SERIES[:2], TARGETS[:2]), window=26)
    X = SERIES[0].copy()
    X[3, 1] = 1e20
    with pytest.warns(UserWarning, match=r"^validation: X has 1e\+20"):
        prepared(SERIES, TARGETS, validation=(X, TARGETS[0]))


def test_numbers_for_missing_values_are_said():
    X = SERIES[0].copy()
    X[3, 1] = 1e20
    with pytest.warns(UserWarning, match=r"X has 1e\+20, 1 time\(s\) in column 1"):
        prepared(X, TARGETS[0])


def test_words_say_what_was_read():
    words = prepared(SERIES, TARGETS, stride=5, validation=0.2).words
    assert words.startswith("3 series of 25 to 60 steps, 2 features, a target per step, ")
    assert (
        "windows of 7 steps, every 5 steps; validation: windows that end in the last 20 %" in words
    )
    assert "the next value as target" in prepared(SERIES[0]).words


def test_targets_that_are_lists_and_series_of_one_feature():
    flat = [np.arange(20.0), np.arange(30.0)]
    data = prepared(flat, [list(part) for part in flat], standardize=False).train
    np.testing.assert_array_equal(every(data).y[:, 0], every(data).X[:, -1, 0])
    assert read_series("X", np.arange(5.0)).width == 1
