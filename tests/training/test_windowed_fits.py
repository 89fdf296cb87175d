"""Fits on windows over series, and the predictions of their models."""

import io
import pickle

import numpy as np
import pytest

import numlstm
from helpers.fits import quick, same
from helpers.sliced import Sliced, windows_by_hand
from numlstm.training import batches

rng = np.random.default_rng(3)
WINDOW = 9
SERIES = [rng.standard_normal((steps, 2)).astype("float32") for steps in (30, 22)]
TARGETS = [
    np.convolve(series[:, 0], [0.5, 0.3, 0.2])[: len(series), None].astype("float32")
    for series in SERIES
]
BY_HAND = np.concatenate([windows_by_hand(series, WINDOW) for series in SERIES])
LAST = np.concatenate([y[WINDOW - 1 :] for y in TARGETS])
BACKENDS = ["reference", "cpu"]


def windowed(X=SERIES, y=TARGETS, **options):
    return quick(X, y, **{"window": WINDOW, **options})


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 8, "dropout": {"states": 0.2}, "patience": 5},
        {"batch_size": 64, "bptt_steps": 4},
        {"method": "L-BFGS-B", "dtype": "float64"},
        {"method": "Newton-CG", "dtype": "float64"},
        {"bidirectional": True, "num_layers": 2},
    ],
)
def test_it_is_the_fit_on_windows_that_are_laid_out(backend, options):
    options = {"standardize": False, "backend": backend, **options}
    ours = windowed(**options)
    theirs = quick(BY_HAND, LAST, output="last", **options)
    same(ours, theirs)


def test_several_last_steps_are_targets_with_a_weight():
    y = np.concatenate([windows_by_hand(part, WINDOW) for part in TARGETS])
    weight = np.broadcast_to(np.arange(WINDOW) >= WINDOW - 4, y.shape[:2]).astype(float)
    ours = windowed(predict_last=4, standardize=False)
    theirs = quick(BY_HAND, y, sample_weight=weight, standardize=False)
    same(ours, theirs)
    assert ours.output == "sequence"


def test_classes_and_validation_of_other_series():
    y = [(part[:, 0] > 0).astype(int) for part in TARGETS]
    labels = np.concatenate([part[WINDOW - 1 :] for part in y])
    options = {"loss": "cross_entropy", "standardize": False}
    ours = windowed(y=y, validation=(SERIES[:1], y[:1]), **options)
    split = windows_by_hand(SERIES[0], WINDOW), labels[: 30 - WINDOW + 1]
    theirs = quick(BY_HAND, labels, validation=split, output="last", **options)
    same(ours, theirs)
    by_name = windowed(y=y, validation={"X": SERIES[:1], "y": y[:1]}, **options)
    same(ours, by_name)


def test_every_form_of_the_same_series_gives_the_same_fit():
    whole = np.stack([series[:22] for series in SERIES])
    y = np.stack([part[:22] for part in TARGETS])
    options = {"validation": 0.25, "batch_size": 8}
    first = windowed(whole, y, **options)
    for X, own in (
        (list(whole), list(y)),
        (Sliced(whole), Sliced(y)),
        ([Sliced(part) for part in whole], list(y)),
        (np.concatenate([whole, np.full_like(whole, np.nan)], axis=1), None),
    ):
        if own is None:
            X, own = X, np.concatenate([y, y], axis=1)
            same(windowed(X, own, lengths=[22, 22], **options), first)
        else:
            same(windowed(X, own, **options), first)


@pytest.mark.parametrize("library", ["h5py", "zarr", "dask"])
def test_arrays_of_other_libraries(library, tmp_path):
    made = pytest.importorskip(library)
    whole, y = np.stack([s[:22] for s in SERIES]), np.stack([part[:22] for part in TARGETS])
    expected = windowed(whole, y)
    if library == "h5py":
        with made.File(tmp_path / "data.h5", "w") as file:
            X = file.create_dataset("X", data=whole, chunks=(1, 5, 2))
            same(windowed(X, file.create_dataset("y", data=y)), expected)
    elif library == "zarr":
        X = made.create_array(str(tmp_path / "X"), shape=whole.shape, chunks=(1, 5, 2), dtype="f4")
        X[...] = whole
        same(windowed(X, y), expected)
    else:
        array = pytest.importorskip("dask.array")
        for chunks in ((1, 5, 2), (2, 22, 1), (2, 7, 2)):
            same(windowed(array.from_array(whole, chunks=chunks), y), expected)


def test_a_netcdf_file_is_read_slice_by_slice(tmp_path):
    xr = pytest.importorskip("xarray")
    whole, y = np.stack([s[:22] for s in SERIES]), np.stack([part[:22] for part in TARGETS])
    dims = ("feature", "basin", "time")  # not in the order in which they are read
    data = xr.Dataset(
        {"X": (dims, whole.transpose(2, 0, 1)), "y": (dims[1:], y[..., 0])},
        coords={"feature": ["rain", "heat"]},
    )
    data.to_netcdf(tmp_path / "data.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "data.nc", engine="scipy") as file:
        result = windowed(file.X, file.y)
        assert not file.X.variable._in_memory
        same(result, windowed(whole, y))
        assert list(result.model.feature_names_in_) == ["rain", "heat"]
        apart = [[part.isel(basin=i) for i in range(2)] for part in (file.X, file.y)]
        same(windowed(*apart), result)


def test_a_resumed_fit_has_the_bits_of_one_that_was_not_stopped(tmp_path):
    options = {"batch_size": 8, "validation": 0.3, "checkpoint": tmp_path / "run"}
    X = [Sliced(series) for series in SERIES]
    windowed(X, epochs=2, **options)
    same(
        windowed(X, epochs=4, resume=True, **options),
        windowed(X, epochs=4, batch_size=8, validation=0.3),
    )
    other = [series.copy() for series in SERIES]
    other[0][-1, 0] += 1
    for changed, words in (
        (list(map(Sliced, other)), "training data"),
        (SERIES, "training data"),
    ):
        with pytest.raises(ValueError, match=words):
            windowed(changed, epochs=4, resume=True, **options)
    for name, value in (("window", 8), ("stride", 2), ("predict_last", 2), ("shuffle", "blocks")):
        with pytest.raises(ValueError, match=name):
            windowed(X, epochs=4, resume=True, **{**options, name: value})


class Rows:
    """Shape, dtype and slicing, and nothing else."""

    index = ()  # a name that frames have, too

    def __init__(self, values):
        self._values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, key):
        if not isinstance(key, (slice, tuple)):
            raise TypeError("it is sliced alone")
        return self._values[key]


@pytest.mark.parametrize("wrap", [Rows, lambda part: part])
@pytest.mark.parametrize("form", ["batch", "list"])
def test_what_is_had_by_slicing_is_read_by_all(wrap, form):
    X, y = np.stack([SERIES[0][:22], SERIES[1]]), np.stack([TARGETS[0][:22], TARGETS[1]])
    if form == "list":
        given, targets = [Rows(part) for part in X], [wrap(part) for part in y]
    else:
        given, targets = Rows(X), wrap(y)
    ours, theirs = windowed(given, targets), windowed(X, y)
    same(ours, theirs)
    for options in ({}, {"window": None}):
        expected = theirs.model.predict(X, **options)
        np.testing.assert_array_equal(np.stack(ours.model.predict(given, **options)), expected)
    same(quick(given, targets), quick(X, y))
    beside = {"sample_weight": np.ones((2, 22)), "static": np.ones((2, 1))}
    named = {name: Rows(value) for name, value in beside.items()}
    if form == "batch":
        same(quick(given, targets, **named), quick(X, y, **beside))
        same(windowed(given, targets, **named), windowed(X, y, **beside))


class Masking(Rows):
    """A store that masks what is missing, as netCDF4 does; to NumPy it drops the mask."""

    def __getitem__(self, key):
        read = self._values[key]
        return np.ma.masked_array(np.ma.filled(read, 99), np.ma.getmask(read))

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:])

    def set_auto_mask(self, mask):
        raise NotImplementedError


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
def test_what_a_store_masks_is_missing(dtype):
    X = np.round(9 * np.stack([SERIES[0][:22], SERIES[1]])).astype(dtype)
    y = np.stack([TARGETS[0][:22], TARGETS[1]])
    plain = X.astype("f4" if dtype == "f4" else "f8")
    same(windowed(Masking(X), Masking(y)), windowed(plain, y))
    same(quick(Masking(X), Masking(y)), quick(plain, y))
    there = np.ma.masked_array(X, np.arange(X.size).reshape(X.shape) % 7 == 3)
    missing = np.where(there.mask, np.nan, plain).astype(plain.dtype)
    gaps = np.ma.masked_array(y, np.arange(y.size).reshape(y.shape) % 5 == 3)
    omitted = np.where(gaps.mask, np.nan, y).astype("f4")
    options = {"missing": "mask", "nan_policy": "omit"}
    for train in (quick, windowed):
        ours = train(Masking(there), Masking(gaps), **options)
        theirs = train(missing, omitted, **options)
        same(ours, theirs)
        np.testing.assert_array_equal(
            ours.model.predict(Masking(there)), theirs.model.predict(missing)
        )
        with pytest.raises(ValueError, match=r"X has .*NaN or infinite .* missing='mask'"):
            train(Masking(there), y)


def test_sparse_matrices_are_refused_as_before():
    sparse = pytest.importorskip("scipy.sparse")
    for kind in (sparse.csr_array, sparse.lil_array, sparse.dok_array, sparse.coo_array):
        with pytest.raises(TypeError, match="X must hold real numbers"):
            quick(kind(SERIES[0]), TARGETS[0])


def test_chunks_of_unknown_sizes_are_said():
    X = Rows(SERIES[0])
    X.shape = (float("nan"), 2)
    with pytest.raises(ValueError, match=r"chunks of unknown sizes.*X\.compute_chunk_sizes\(\)"):
        windowed(X, TARGETS[0])


@pytest.mark.parametrize("wrap", [Sliced, lambda part: part])
def test_targets_of_a_list_of_series_may_be_one_array(wrap):
    X, y = [SERIES[0][:22], SERIES[1]], np.stack([TARGETS[0][:22, 0], TARGETS[1][:, 0]])
    same(windowed(X, wrap(y)), windowed(X, list(y)))
    with pytest.raises(ValueError, match="a target for every step of X"):
        windowed(SERIES, wrap(y))  # the first one is longer


def test_series_that_are_too_short_have_no_score():
    pytest.importorskip("sklearn")
    regressor = numlstm.LSTMRegressor(4, output="sequence", random_state=0, epochs=1, window=9)
    regressor.fit(SERIES, TARGETS)
    short = [part[:8] for part in SERIES], [part[:8] for part in TARGETS]
    with pytest.raises(ValueError, match="from the 9 steps up to it, and all series are shorter"):
        regressor.score(*short)


def test_a_pass_that_fails_draws_nothing():
    pytest.importorskip("sklearn")
    X, y = np.stack([SERIES[0][:22], SERIES[1]]), np.stack([TARGETS[0][:22], TARGETS[1]])
    one, other = (numlstm.LSTMRegressor(4, output="sequence", random_state=0) for _ in range(2))
    for regressor in (one, other):
        regressor.partial_fit(X, y)
    with pytest.raises(ValueError, match="learning_rate must be"):
        other.set_params(learning_rate=-1).partial_fit(X, y)
    other.set_params(learning_rate=None)
    for regressor in (one, other):
        regressor.set_params(batch_size=1, dropout={"states": 0.5}).partial_fit(X, y)
    np.testing.assert_array_equal(one.result_.x, other.result_.x)


LAYOUTS = {
    "rows": lambda series: series,
    "columns": np.asfortranarray,
    "features": lambda series: np.concatenate([series, series], axis=1)[:, :2],
    "transposed": lambda series: np.ascontiguousarray(series.T).T,
    "every other": lambda series: np.repeat(series, 2, axis=0)[::2],
    "frame": lambda series: pytest.importorskip("pandas").DataFrame(series).to_numpy(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_is_told_by_its_values_however_they_lie_in_memory(layout, tmp_path):
    options = {"batch_size": 8, "checkpoint": tmp_path / "run"}
    X = [LAYOUTS[layout](series) for series in SERIES]
    windowed(X, epochs=1, **options)
    same(windowed(SERIES, epochs=2, resume=True, **options), windowed(epochs=2, batch_size=8))
    windowed(SERIES, epochs=3, resume=True, **options)
    other = [series.copy() for series in SERIES]
    other[1][14, 0] += np.float32(1e-3)  # no step that a few would show
    with pytest.raises(ValueError, match="training data"):
        windowed(list(map(LAYOUTS[layout], other)), epochs=4, resume=True, **options)


def test_the_units_of_the_model_given_are_a_part_of_a_run(tmp_path):
    X = [np.where(np.abs(part) > 2, np.nan, part) for part in SERIES]
    model = windowed(X, missing="mask").model
    given = {"missing": "mask", "checkpoint": tmp_path / "run"}
    windowed(X, model=model, epochs=1, **given)
    other = pickle.loads(pickle.dumps(model))
    other.scaling = model.scaling._replace(x_mean=model.scaling.x_mean + 1)
    filled = pickle.loads(pickle.dumps(model))
    filled.filling = model.filling._replace(mean=model.filling.mean + 1)
    for changed in (other, filled):
        with pytest.raises(ValueError, match="training data"):
            windowed(X, model=changed, epochs=2, resume=True, **given)


def test_inputs_are_left_as_they_are():
    X, y = [s.copy() for s in SERIES], [part.copy() for part in TARGETS]
    y[0][3] = np.nan
    given = [part.copy() for part in (*X, *y)]
    windowed(X, y, nan_policy="omit", sample_weight=[2.0, 3.0], validation=0.3)
    for part, before in zip((*X, *y), given, strict=True):
        np.testing.assert_array_equal(part, before)


def test_frames_and_their_names():
    pd = pytest.importorskip("pandas")
    index = pd.date_range("2000", periods=30)
    X = pd.DataFrame(SERIES[0], index=index, columns=["rain", "heat"])
    y = pd.Series(TARGETS[0][:, 0], index=index, name="flow")
    result = windowed(X, y)
    same(result, windowed(SERIES[0], TARGETS[0]))
    found = result.model.predict(X[["heat", "rain"]])
    assert list(found.columns) == ["flow"]
    assert found.index.equals(index)
    np.testing.assert_array_equal(found.to_numpy(), result.model.predict(SERIES[0]))
    with pytest.raises(ValueError, match="y has the labels of X in another order"):
        windowed(X, y.iloc[::-1])


# --- attributes -----------------------------------------------------------------------------------

STATIC = np.array([[0.5, 20.0, 3.0], [1.5, 40.0, 1.0]])
COUNTS = [len(series) - WINDOW + 1 for series in SERIES]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"batch_size": 8, "dropout": {"states": 0.2}}])
def test_a_window_has_the_attributes_of_its_series(backend, options):
    options = {"standardize": False, "backend": backend, **options}
    ours = windowed(static=STATIC, **options)
    repeated = np.repeat(STATIC, COUNTS, axis=0)
    same(ours, quick(BY_HAND, LAST, static=repeated, output="last", **options))
    assert ours.model.spec.static_size == 3
    assert "a target per step, 3 attributes of each, 36 windows" in ours.data
    assert ours.x.tobytes() != windowed(static=STATIC[::-1], **options).x.tobytes()


def test_predictions_with_attributes():
    model = windowed(static=STATIC).model
    np.testing.assert_allclose(model.scaling.static_mean, STATIC.mean(axis=0))
    np.testing.assert_allclose(model.scaling.static_scale, STATIC.std(axis=0))
    found = model.predict(SERIES, static=STATIC)
    for series, own, Y in zip(SERIES, STATIC, found, strict=True):
        alone = model.predict(windows_by_hand(series, WINDOW), static=np.tile(own, (len(Y) - 8, 1)))
        assert Y[WINDOW - 1 :].tobytes() == alone[:, -1].tobytes()
        assert Y.tobytes() == model.predict(series, static=own).tobytes()
    other = model.predict(SERIES, static=STATIC + 1)
    assert (other[0][WINDOW:] != found[0][WINDOW:]).all()
    with pytest.raises(ValueError, match="static is missing"):
        model.predict(SERIES)


def test_attributes_of_validation():
    judge = {"X": SERIES[:1], "y": TARGETS[:1], "static": STATIC[1:] + 0.25}
    ours = windowed(static=STATIC, validation=judge, standardize=False)
    count = COUNTS[0]
    split = {
        "X": BY_HAND[:count],
        "y": LAST[:count],
        "static": np.repeat(judge["static"], count, axis=0),
    }
    repeated = np.repeat(STATIC, COUNTS, axis=0)
    options = {"output": "last", "standardize": False}
    same(ours, quick(BY_HAND, LAST, static=repeated, validation=split, **options))
    cut = windowed(static=STATIC, validation=0.25)
    assert cut.history["validation_loss"].size == 3
    for wrong, words in (
        ({"X": SERIES, "y": TARGETS}, "validation: static is missing"),
        ({**judge, "static": STATIC[:1, :2]}, r"validation: static has 2 attribute\(s\)"),
        ((SERIES, TARGETS), "validation as a tuple cannot say its static"),
    ):
        with pytest.raises(ValueError, match=words):
            windowed(static=STATIC, validation=wrong)


def test_attributes_with_the_names_of_series():
    pd = pytest.importorskip("pandas")
    days = pd.date_range("2000", periods=22)
    index = pd.MultiIndex.from_product([["a", "b"], days], names=["site", "day"])
    values = np.concatenate([series[:22] for series in SERIES])
    X = pd.DataFrame(values, index=index, columns=["rain", "heat"])
    y = pd.Series(np.concatenate([part[:22, 0] for part in TARGETS]), index=index, name="flow")
    static = pd.DataFrame(STATIC, index=["a", "b"], columns=["area", "height", "slope"])
    result = windowed(X, y, static=static)
    plain = [np.stack([part[:22] for part in parts]) for parts in (SERIES, TARGETS)]
    same(result, windowed(*plain, static=STATIC))
    found = result.model.predict(X, static=static.iloc[:, ::-1])
    expected = result.model.predict(plain[0], static=STATIC)
    np.testing.assert_array_equal(found["flow"], expected.ravel())
    with pytest.raises(ValueError, match="static has the labels of X in another order"):
        windowed(X, y, static=static.iloc[::-1])
    with pytest.raises(ValueError, match="static"):
        windowed(X, y, static=static.rename(index={"a": "c"}))


def test_attributes_horizons_and_weights_together():
    """All of a forecaster of many catchments at once, in any form of the same series."""
    whole, y = np.stack([s[:22] for s in SERIES]), np.stack([part[:22] for part in TARGETS])
    known = np.random.default_rng(0).standard_normal((2, 25, 1)).astype("float32")
    options = {
        "static": STATIC, "future": known, "horizon": 3, "validation": 0.25, "weight": "nse",
        "metrics": ["nse", "mase"], "predict_last": 2, "batch_size": 8,
    }  # fmt: skip
    first = windowed(whole, y, **options)
    lazy = {**options, "future": list(known)}
    same(windowed([Sliced(part) for part in whole], list(y), **lazy), first)
    forecast = first.model.forecast(whole, future=known, static=STATIC)
    assert forecast.shape == (2, 3, 1)
    every = first.model.predict(whole, future=known, static=STATIC)
    assert forecast.tobytes() == every[:, -1, :, None].tobytes()
    assert first.per_series["validation_nse"].shape == (2,)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, WINDOW])
def test_a_frame_is_no_validation(window):
    frame = pytest.importorskip("pandas").DataFrame({"a": np.zeros(30)})
    with pytest.raises(TypeError, match=r"validation must be a fraction, .*sequences without y"):
        windowed(validation=frame, window=window)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stateful": True}, "two ways to train on long series"),
        ({"scheduled_sampling": 0.5, "y": None}, "runs freely over whole sequences"),
        ({"output": "last"}, "a target per step; a sample's is that of its last step"),
        ({"window": 0}, "window must be an integer >= 1"),
        ({"stride": 0}, "stride must be an integer >= 1"),
        ({"predict_last": 10}, "predict_last=10 is more than the steps of a window, 9"),
        ({"predict_last": 2, "bidirectional": True}, "have read what comes after them"),
        ({"method": "least_squares"}, "residuals of all windows"),
        ({"window": None, "stride": 2}, "stride=2 is of windows over series: pass window="),
        ({"window": None, "shuffle": "blocks"}, "shuffle='blocks' is of windows"),
        ({"shuffle": "all"}, r"shuffle must be one of \['samples', 'blocks'\]"),
        ({"y": np.zeros(2)}, "a target for every step"),
    ],
)
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        windowed(**options)


def test_a_covariance_is_that_of_whole_sequences():
    with pytest.raises(ValueError, match="this fit was on windows of 9 steps"):
        windowed().covariance(SERIES, TARGETS)


# --- the model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"missing": "mask"}])
def test_every_step_is_predicted_from_its_own_window(backend, options, monkeypatch):
    monkeypatch.setattr("numlstm.model.windows._ROWS", 5)
    model = windowed(backend=backend, **options).model
    reset = [rng.random(len(series)) < 0.1 for series in SERIES]
    X = [series.copy() for series in SERIES]
    if options.get("missing"):
        X[0][4:25, 1] = np.nan
    for series, flags, Y in zip(X, reset, model.predict(X, reset=reset), strict=True):
        assert Y.shape == (len(series), 1)
        assert Y.dtype == "float32"
        assert np.isnan(Y[: WINDOW - 1]).all()
        for end in range(WINDOW - 1, len(series)):
            part = slice(end - WINDOW + 1, end + 1)
            alone = model.predict(series[part][None], reset=flags[part][None])[0, -1]
            if backend == "cpu":  # BLAS, in the reference, has other bits for other batches
                assert alone.tobytes() == Y[end].tobytes()
            np.testing.assert_allclose(Y[end], alone, rtol=1e-4, atol=1e-6)
            if model.output == "sequence":
                sequence = model.predict(series[part], reset=flags[part], window=None)
                np.testing.assert_allclose(Y[end], sequence[-1], rtol=1e-4, atol=1e-6)


def test_any_model_may_be_asked_for_windows_and_this_one_for_its_state():
    model = windowed().model
    assert model.window == WINDOW
    carried = model.predict(SERIES, window=None)
    other = numlstm.LSTM.from_spec(model.spec, "auto", model.theta.copy())
    other.scaling = model.scaling
    for ours, theirs in zip(carried, other.predict(SERIES), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    for ours, theirs in zip(
        model.predict(SERIES), other.predict(SERIES, window=WINDOW), strict=True
    ):
        assert ours.tobytes() == theirs.tobytes()
    padded = np.zeros((2, 30, 2), "float32")
    for row, series in zip(padded, SERIES, strict=True):
        row[: len(series)] = series
    found = model.predict(padded, lengths=[30, 22])
    assert np.isnan(found[1, 22:]).all()
    np.testing.assert_array_equal(found[1, :22], model.predict(SERIES)[1])
    assert np.isnan(model.predict(SERIES[0][:5])).all()
    with pytest.raises(ValueError, match="window must be an integer"):
        model.predict(SERIES, window=0)
    with pytest.raises(ValueError, match=r"window=None carries the state .* reads each from its"):
        windowed(bidirectional=True).model.predict(SERIES, window=None)


def test_masks_of_dropout_differ_from_window_to_window():
    model = windowed(dropout={"states": 0.5}).model
    same_windows = np.tile(SERIES[0][:1], (40, 1))
    found = model.predict(same_windows, noise_rng=0)[WINDOW - 1 :]
    assert len(np.unique(found)) > 10
    again = model.predict(same_windows, noise_rng=0)[WINDOW - 1 :]
    assert found.tobytes() == again.tobytes()


def test_the_window_is_remembered():
    model = windowed().model
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    copies = [numlstm.load(file), pickle.loads(pickle.dumps(model)), model.astype("float64")]
    for copy in copies:
        assert copy.window == WINDOW
    assert "at every step, from the 9 steps up to it" in str(model)
    plain = io.BytesIO()
    numlstm.LSTM(1, 2, rng=0).save(plain)
    plain.seek(0)
    assert numlstm.load(plain).window is None
    model.window = 0
    with pytest.raises(ValueError, match="window must be an integer from 1"):
        model.save(io.BytesIO())


def test_going_on_with_a_model_takes_its_window():
    model = windowed().model
    same(quick(SERIES, TARGETS, model=model), windowed(model=model))
    other = windowed(window=5, stride=2, model=model)
    assert (other.model.window, model.window) == (5, WINDOW)
    assert "windows of 5 steps, every 2 steps" in other.data
    fresh = numlstm.LSTM(2, 4, 1, rng=0)
    assert windowed(model=fresh).model.window == WINDOW
    assert fresh.window is None


@pytest.mark.parametrize(
    ("X", "y", "options"),
    [
        (SERIES[0], TARGETS[0], {"stateful": True, "bptt_steps": 5, "batch_size": 2}),
        (BY_HAND, LAST, {}),
        (BY_HAND, LAST, {"output": "last"}),
        (lambda rng, n: (BY_HAND[:n], LAST[:n]), None, {}),
        (SERIES, None, {"scheduled_sampling": 0.5}),
    ],
)
def test_a_model_that_had_windows_is_trained_in_any_other_way(X, y, options):
    of_next = y is None and not callable(X)
    model = windowed(y=None).model if of_next else windowed().model
    words = rf"window= is not said, and so is {WINDOW}, that of the model given: .* model.window = "
    with pytest.raises((TypeError, ValueError), match=words):
        quick(X, y, model=model, **options)
    model.window = None
    assert quick(X, y, model=model, **options).model.window is None


def test_passes_over_windows_of_other_lengths():
    pytest.importorskip("sklearn")
    X, y = np.stack([SERIES[0][:22], SERIES[1]]), np.stack([TARGETS[0][:22], TARGETS[1]])
    regressor = numlstm.LSTMRegressor(4, output="sequence", random_state=0, window=WINDOW)
    regressor.partial_fit(X, y).set_params(window=5).partial_fit(X, y)
    assert regressor.model_.window == 5
    assert np.isfinite(regressor.predict(X)[:, 4:]).all()


def test_an_objective_reads_windows_that_are_laid_out():
    model = windowed(dtype="float64").model
    fun = numlstm.objective(model, BY_HAND, LAST)
    Y = np.concatenate([part[WINDOW - 1 :] for part in model.predict(SERIES)])
    residuals = (Y - LAST) / model.scaling.y_scale
    assert fun.value(model.theta) == pytest.approx(np.mean(residuals**2), rel=1e-5)
    with pytest.raises(ValueError, match=r"windows of 9 steps, .* whole sequences, here of 30"):
        numlstm.objective(model, SERIES, TARGETS)
    model.window = None
    assert numlstm.objective(model, SERIES, TARGETS).value(model.theta) > 0


def test_the_regressor_passes_windows_on():
    pytest.importorskip("sklearn")
    options = {"hidden_size": 4, "epochs": 3, "random_state": 0, "window": WINDOW}
    regressor = numlstm.LSTMRegressor(output="sequence", **options)
    y = [part[:, 0] for part in TARGETS]
    regressor.fit(SERIES, y)
    assert regressor.model_.window == WINDOW
    truth = np.concatenate([part[WINDOW - 1 :] for part in y])
    found = np.concatenate([part[WINDOW - 1 :] for part in regressor.predict(SERIES)])
    apart = np.square(truth - found).sum() / np.square(truth - truth.mean()).sum()
    np.testing.assert_allclose(regressor.score(SERIES, y), 1 - apart, rtol=1e-5)
    with pytest.raises(ValueError, match="say output='sequence'"):
        numlstm.LSTMRegressor(**options).fit(SERIES, [1.0, 2.0])


def test_windows_of_many_batches_are_listed_one_by_one(monkeypatch):
    options = {"batch_size": 3, "epochs": 3, "bptt_steps": 3}
    at_once = windowed(**options)
    monkeypatch.setattr(batches, "_KEPT", 2)
    same(windowed(**options), at_once)
