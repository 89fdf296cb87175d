"""The members of an ensemble learn what they would learn alone, and its run ends as a fit does."""

import os
import signal

import numpy as np
import pytest

import numlstm
from helpers.fits import PowerCut, batch, cut_the_power, stop_after
from numlstm.architecture.parameters import initialise
from numlstm.data.sequences import Dataset
from numlstm.training.ensemble import _resamples
from numlstm.training.outcome import CALLBACK, INTERRUPTED, NOT_FINITE
from numlstm.training.progress import Progress
from numlstm.utils.random_streams import INITIAL, MEMBERS, RandomStreams, new_seed

SMALL = {"hidden_size": 4, "epochs": 4, "batch_size": 5, "rng": 0}
NETWORK = ("num_layers", "dtype", "cell", "learned_state", "residual", "direct_input")


def ensemble(*arrays, members=3, **options):
    return numlstm.ensemble(*(arrays or batch()), members=members, **SMALL | options)


def drawn(members, sequences):
    """The seeds of the members' initial parameters, and how often each has every sequence."""
    stream = RandomStreams(new_seed(SMALL["rng"])).stream(MEMBERS)
    seeds = [new_seed(stream) for _ in range(members)]
    return seeds, stream.multinomial(sequences, np.full(sequences, 1 / sequences), members)


def alone(seed, X, y, **options):
    """The fit of a single network that begins where a member begins."""
    network = {name: options[name] for name in NETWORK if name in options}
    model = numlstm.LSTM(np.shape(X[0])[-1], 4, 1, **network)
    model.theta = initialise(model.spec, RandomStreams(seed).stream(INITIAL))
    rest = {name: value for name, value in options.items() if name not in NETWORK}
    return numlstm.fit(X, y, model=model, **SMALL | {"standardize": True} | rest)


def series():
    X, y = batch(4, 30)
    return X, y


RESET = np.random.default_rng(4).random((12, 9)) < 0.2
JUDGED = {"validation": 0.25, "learning_rate": 0.1, "batch_size": 4}
CASES = {
    "plain": {},
    "one batch": {"batch_size": 32},
    "a stack": {"num_layers": 2, "schedule": "cosine", "weight_decay": 0.01},
    "windows": {"bptt_steps": 4, "num_layers": 2},
    "windows in turn": {"bptt_steps": 4, "cell": {"peephole": True}, "learned_state": True},
    "stateful": {"stateful": True, "bptt_steps": 3, "batch_size": 4},
    "direct input": {"direct_input": True, "num_layers": 2, "bptt_steps": 4},
    "direct input in turn": {"direct_input": True, "residual": True, "num_layers": 2},
    "judged": JUDGED,
    "judged in turn": JUDGED | {"cell": {"cell_clip": 1.0}, "learned_state": True},
    "the cell of 1997": JUDGED | {"cell": {"forget_gate": "none"}, "bptt_steps": 4},
    "peepholes": {"cell": {"peephole": True}, "num_layers": 2, "bptt_steps": 4},
    "resets": {"reset": RESET, "bptt_steps": 4},
    "limits": {
        "limits": {"fixed": "head_bias", "bounds": {"weight_hh_l0": (-0.2, 0.2)}},
        "learning_rate": 0.1,
    },
    **{name: {"method": name} for name in ("adamw", "sgd", "rmsprop")},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ragged", [False, True])
def test_a_member_has_the_bits_of_a_fit(name, dtype, ragged):
    options = CASES[name] | {"clip": None, "dtype": dtype}
    X, y = batch()
    if ragged:
        options["lengths"] = np.array([9, 1, 4, 8, 3, 9, 2, 7, 5, 6, 9, 1])
    many = ensemble(X, y, bootstrap=False, **options)
    assert many.success
    for index, seed in enumerate(drawn(3, 12)[0]):
        single = alone(seed, X, y, **options)
        np.testing.assert_array_equal(many.models[index].theta, single.x)
        for key in {"loss", "validation_loss"} & set(single.history):
            losses = many.history[f"{key}_members"]
            np.testing.assert_array_equal(losses[:, index], single.history[key])
            np.testing.assert_array_equal(many.history[key], losses.mean(axis=1))


@pytest.mark.parametrize("per_sequence", [False, True])
def test_a_resample_is_a_weight_of_every_sequence(per_sequence):
    X, y = batch()
    y = y[:, -1] if per_sequence else y
    options = {"standardize": False, "clip": None, "method": "sgd", "dtype": "float64"}
    many = ensemble(X, y, batch_size=2, **options)
    for model, seed, counts in zip(many.models, *drawn(3, 12), strict=True):
        single = alone(seed, X, y, sample_weight=counts, batch_size=2, **options)
        np.testing.assert_array_equal(model.theta, single.x)


WITHOUT_TARGETS = {
    "one sequence": {"batch_size": 1},
    "two sequences": {"batch_size": 2, "weight_decay": 0.1},
    "in turn": {"batch_size": 1, "cell": {"peephole": True}, "learned_state": True},
    "peepholes": {"batch_size": 1, "cell": {"peephole": True}},
    "windows": {"batch_size": 1, "bptt_steps": 4, "num_layers": 2},
    "streams": {"stateful": True, "bptt_steps": 3, "batch_size": 6},
    "limits": {"batch_size": 1, "limits": {"fixed": "head_bias", "bounds": {"bias_l0": (-1, 1)}}},
    "decoupled decay": {"batch_size": 1, "method": "adamw", "weight_decay": 0.1},
    "momentum": {"batch_size": 1, "method": "sgd", "options": {"momentum": 0.9}},
    "rmsprop": {"batch_size": 1, "method": "rmsprop", "options": {"momentum": 0.5}},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WITHOUT_TARGETS)
def test_a_member_without_a_target_in_a_batch_makes_no_update(name, dtype, monkeypatch):
    """As a fit does, which skips the batch: neither theta nor the optimiser's arrays change."""
    options = WITHOUT_TARGETS[name] | {"standardize": False, "clip": None, "dtype": dtype}
    X, y = batch()
    # powers of two, which float32 multiplies without rounding
    counts = np.random.default_rng(3).integers(0, 2, (3, 12)) * np.array([[1], [2], [4]])
    if "stateful" in options:  # what is resampled are the streams, of two rows each
        y[::3] = np.nan
        counts = np.array([[1, 0, 2, 1, 0, 2], [0, 4, 0, 0, 0, 0], [1, 0, 0, 4, 0, 1]])
        options["nan_policy"] = "omit"
    monkeypatch.setattr(numlstm.training.ensemble, "_resamples", lambda *_: counts)
    many = ensemble(X, y, **options)
    for index, seed in enumerate(drawn(3, 12)[0]):
        weight = counts[index].repeat(12 // counts.shape[1])
        single = alone(seed, X, y, sample_weight=weight, **options)
        np.testing.assert_array_equal(many.models[index].theta, single.x)
        for key in ("loss", "gradient_norm"):
            given = many.history[f"{key}_members"][:, index]
            np.testing.assert_allclose(given, single.history[key], rtol=1e-6)


def test_batches_that_no_member_drew_teach_nothing():
    X, y = batch()
    options = {"standardize": False, "clip": None, "dtype": "float64", "batch_size": 1}
    many = ensemble(X, y, members=1, bptt_steps=4, **options)
    (seed,), (counts,) = drawn(1, 12)
    assert (counts == 0).any()
    single = alone(seed, X, y, sample_weight=counts, bptt_steps=4, **options)
    np.testing.assert_array_equal(many.models[0].theta, single.x)
    np.testing.assert_array_equal(many.history["loss"], single.history["loss"])


def test_gradients_are_clipped_member_by_member():
    X, y = batch()
    options = {"clip": 0.05, "method": "sgd", "dtype": "float64", "learning_rate": 0.5}
    many = ensemble(X, y, bootstrap=False, **options)
    assert (many.history["gradient_norm_members"] > 0.05).all()
    for model, seed in zip(many.models, drawn(3, 12)[0], strict=True):
        np.testing.assert_allclose(model.theta, alone(seed, X, y, **options).x, rtol=1e-9)


PATIENT = JUDGED | {"patience": 2, "epochs": 40, "learning_rate": 0.3, "clip": None}


@pytest.mark.parametrize("cell", [None, {"peephole": True}])
def test_every_member_stops_when_its_own_patience_is_over(cell):
    X, y = batch()
    options = PATIENT | {"cell": cell}
    many = ensemble(X, y, bootstrap=False, **options)
    singles = [alone(seed, X, y, **options) for seed in drawn(3, 12)[0]]
    ends = [single.nit for single in singles]
    assert len(set(ends)) > 1
    assert (many.success, many.status) == (True, 0)
    assert many.message == singles[0].message == "No better loss for patience = 2 epochs."
    assert len(many.history["loss"]) == max(ends) < 40
    for index, (single, end) in enumerate(zip(singles, ends, strict=True)):
        np.testing.assert_array_equal(many.models[index].theta, single.x)
        for name in ("loss", "validation_loss"):
            losses = many.history[f"{name}_members"][:, index]
            np.testing.assert_array_equal(losses[:end], single.history[name])
            np.testing.assert_array_equal(losses[end:], losses[end - 1])


def test_every_member_stops_at_the_goal():
    X, y = batch()
    options = {"tol": 0.7, "epochs": 60, "learning_rate": 0.03, "clip": None}
    many = ensemble(X, y, bootstrap=False, **options)
    singles = [alone(seed, X, y, **options) for seed in drawn(3, 12)[0]]
    assert len({single.nit for single in singles}) > 1
    assert many.message == "The loss reached tol = 0.7."
    for model, single in zip(many.models, singles, strict=True):
        assert single.success
        np.testing.assert_array_equal(model.theta, single.x)
    missed = ensemble(X, y, tol=1e-9)
    assert (missed.success, missed.status) == (False, 1)


def test_what_is_learned_is_judged_on_data_of_its_own():
    """Noise has nothing to teach: the best epochs are early, and better than the last ones."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((2, 16, 6, 1))
    judge = rng.standard_normal((2, 64, 6, 1))
    options = {"validation": tuple(judge), "epochs": 40, "learning_rate": 0.1, "hidden_size": 12}
    many = ensemble(X, y, **options)
    losses = many.history["validation_loss_members"]
    assert losses.shape == (40, 3)
    assert (losses.min(axis=0) < 0.8 * losses[-1]).all()
    scale = many.models[0].scaling.y_scale ** 2
    for model, least in zip(many.models, losses.min(axis=0), strict=True):
        error = np.mean(np.square(model.predict(judge[0]) - judge[1])) / scale
        np.testing.assert_allclose(error, least, rtol=1e-5)


SPARSE = {"sample_weight": [1.0, 0.0, 0.0], "tol": 50.0, "hidden_size": 3, "epochs": 6}


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize(("members", "rng"), [(4, 1), (1, 2), (8, 3)])
def test_every_member_has_something_to_learn(members, rng, patience):
    X, y = batch(3)
    many = ensemble(X, y, members=members, **SPARSE | {"rng": rng, "patience": patience})
    assert (many.success, many.status) == (True, 0)
    for name in ("loss", "gradient_norm"):
        losses = many.history[f"{name}_members"]
        assert losses.shape == (len(many.history[name]), members)
        assert np.isfinite(losses).all()
    assert (many.history["gradient_norm_members"][0] > 0).all()  # each was trained


def test_a_resample_with_nothing_to_learn_is_drawn_again_alone():
    data = Dataset(np.zeros((3, 2, 1)), np.zeros((3, 2, 1)), np.zeros((3, 2, 1)))
    data.weight[0, 1] = 1e-300
    first = np.random.default_rng(1).multinomial(3, np.full(3, 1 / 3), 6)
    counts = _resamples(data, np.random.default_rng(1), 6)
    able = first[:, 0] > 0
    assert not able.all()
    np.testing.assert_array_equal(counts[able], first[able])
    assert (counts[:, 0] > 0).all()
    assert (counts.sum(axis=1) == 3).all()


def test_the_norms_of_an_epoch_without_updates_are_of_every_member():
    progress = Progress.start(np.zeros(6), 3)
    np.testing.assert_array_equal(progress.gradient_norm, np.zeros(3))
    assert Progress.start(np.zeros(6)).gradient_norm == 0.0


# --- the run --------------------------------------------------------------------------------------


def require_same(one, other):
    for mine, its in zip(one.models, other.models, strict=True):
        assert mine.theta.tobytes() == its.theta.tobytes()
    assert one.history.keys() == other.history.keys()
    for name, values in one.history.items():
        assert values.tobytes() == other.history[name].tobytes(), name
    assert (one.success, one.status, one.message) == (other.success, other.status, other.message)


RUNS = {
    "plain": {},
    "windows": {"bptt_steps": 4, "num_layers": 2},
    "in turn": {"bptt_steps": 4, "cell": {"peephole": True}, "learned_state": True},
    "the cell of 1997": {"bptt_steps": 4, "cell": {"forget_gate": "none"}},
    "batches of one": {"batch_size": 1},
    "judged": {"validation": 0.25, "patience": 2, "learning_rate": 0.3, "epochs": 9},
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_stopped_ensemble_goes_on_to_the_same_bits(name, epochs, tmp_path):
    expected = ensemble(**RUNS[name])
    store = {"checkpoint": tmp_path / "run"}
    stopped = ensemble(**store, callback=stop_after(epochs), **RUNS[name])
    assert (stopped.success, stopped.status) == (False, CALLBACK)
    assert len(stopped.history["loss"]) == epochs
    for _ in range(2):  # the second time nothing is left
        require_same(ensemble(**store, resume=True, **RUNS[name]), expected)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("writes", [1, 2, 5, 8])
def test_the_power_goes_off_within_an_epoch(name, writes, tmp_path, monkeypatch):
    expected = ensemble(**RUNS[name])
    cut_the_power(monkeypatch, writes)
    with pytest.raises(PowerCut):
        ensemble(checkpoint=tmp_path / "run", **RUNS[name])
    require_same(ensemble(checkpoint=tmp_path / "run", resume=True, **RUNS[name]), expected)


def test_more_epochs_may_be_asked_for(tmp_path):
    store = {"checkpoint": tmp_path / "run"}
    ensemble(**store)
    require_same(ensemble(**store, resume=True, epochs=6), ensemble(epochs=6))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"members": 4}, "differs in initial parameters, resamples;"),
        ({"bootstrap": False}, "differs in resamples;"),
        ({"patience": 3}, "differs in patience;"),
        ({"tol": 0.1}, "differs in tol;"),
        ({"rng": 1}, "initial parameters, resamples, seed"),
    ],
)
def test_a_checkpoint_of_another_ensemble_is_refused(change, words, tmp_path):
    ensemble(checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=words):
        ensemble(checkpoint=tmp_path / "run", resume=True, **change)


def test_a_fit_and_an_ensemble_do_not_go_on_from_each_other(tmp_path):
    X, y = batch()
    ensemble(members=1, checkpoint=tmp_path / "many")
    with pytest.raises(ValueError, match="initial parameters"):
        numlstm.fit(X, y, checkpoint=tmp_path / "many", resume=True, **SMALL)
    numlstm.fit(X, y, checkpoint=tmp_path / "one", **SMALL)
    with pytest.raises(ValueError, match="resamples"):
        ensemble(members=1, checkpoint=tmp_path / "one", resume=True)


def test_the_callback_sees_all_members():
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result)

    many = ensemble(validation=0.25, batch_size=4, bootstrap=False, callback=callback)
    assert [result.nit for result in seen] == [1, 2, 3, 4]
    assert [result.nfev for result in seen] == [3, 6, 9, 12]  # nine sequences in batches of four
    n = many.models[0].theta.size
    for epoch, result in enumerate(seen):
        assert result.x.shape == (3, n)
        assert result.fun == many.history["loss"][epoch]
        for name, values in many.history.items():
            np.testing.assert_array_equal(result[name], values[epoch])
    best = many.history["validation_loss_members"].argmin(axis=0)
    for index, model in enumerate(many.models):
        np.testing.assert_array_equal(model.theta, seen[best[index]].x[index])


STOPPING = {"epochs": 12, "learning_rate": 0.03, "clip": None, "bootstrap": False}


def low_enough(intermediate_result):
    return intermediate_result.loss_members < 0.8


@pytest.mark.parametrize("validation", [None, 0.25])
@pytest.mark.parametrize("cell", [None, {"forget_gate": "none"}])
def test_the_callback_ends_members_one_by_one(validation, cell):
    X, y = batch()
    options = STOPPING | {"validation": validation, "cell": cell, "epochs": 60}
    many = ensemble(X, y, callback=low_enough, **options)
    del options["bootstrap"]
    singles = [
        alone(seed, X, y, callback=lambda now: now.loss < 0.8, **options)
        for seed in drawn(3, 12)[0]
    ]
    ends = [single.nit for single in singles]
    assert len(set(ends)) > 1
    assert all(single.success for single in singles)
    assert (many.success, many.status, many.message) == (True, 0, "`callback` returned True.")
    assert many.nit.tolist() == ends
    assert many.reached.all()
    for index, (single, end) in enumerate(zip(singles, ends, strict=True)):
        np.testing.assert_array_equal(many.models[index].theta, single.x)
        assert many.fun[index] == single.fun
        losses = many.history["loss_members"][:, index]
        np.testing.assert_array_equal(losses[:end], single.history["loss"])
        np.testing.assert_array_equal(losses[end:], losses[end - 1])


def test_members_that_the_callback_did_not_end_are_no_success():
    many = ensemble(callback=lambda now: [True, False, False])
    assert (many.success, many.status) == (False, 1)
    assert many.nit.tolist() == [1, 4, 4]
    assert many.reached.tolist() == [True, False, False]
    every = ensemble(callback=lambda now: now.nit == 2)
    assert (every.success, len(every.history["loss"])) == (True, 2)
    assert every.nit.tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match=r"shape \(2,\), and there are 3 members: return True wh"):
        ensemble(callback=lambda now: [True, False])


def test_when_members_ended_by_their_own_goals():
    X, y = batch()
    many = ensemble(X, y, bootstrap=False, **PATIENT)
    singles = [alone(seed, X, y, **PATIENT) for seed in drawn(3, 12)[0]]
    assert many.nit.tolist() == [single.nit for single in singles]
    assert many.reached.all()
    options = {"tol": 0.7, "epochs": 60, "learning_rate": 0.03, "clip": None}
    many = ensemble(X, y, bootstrap=False, **options)
    singles = [alone(seed, X, y, **options) for seed in drawn(3, 12)[0]]
    assert many.nit.tolist() == [single.nit for single in singles]
    plain = ensemble()
    assert plain.nit.tolist() == [4, 4, 4]
    assert not plain.reached.any()


def from_their_epochs(intermediate_result):
    return intermediate_result.nit >= np.array([2, 5, 3])


@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_members_that_a_callback_ended_stay_so_on_resuming(epochs, tmp_path):
    expected = ensemble(callback=from_their_epochs, **STOPPING)
    assert expected.nit.tolist() == [2, 5, 3]
    store = {"checkpoint": tmp_path / "run"}

    def stop(intermediate_result):
        if intermediate_result.nit == epochs:
            raise StopIteration
        return from_their_epochs(intermediate_result)

    assert ensemble(**store, callback=stop, **STOPPING).status == CALLBACK
    for callback in (from_their_epochs, None):  # the second time nothing is left
        resumed = ensemble(**store, resume=True, callback=callback, **STOPPING)
        if epochs == 4:
            require_same(resumed, expected)
            assert resumed.nit.tolist() == [2, 5, 3]
        else:  # of the epoch at which it was stopped the callback said nothing: asked at the next
            assert resumed.nit.tolist() == {1: [2, 5, 3], 3: [2, 5, 4]}[epochs]


@pytest.mark.parametrize("writes", [1, 3, 6, 9, 13])
def test_members_that_a_callback_ended_and_the_power(writes, tmp_path, monkeypatch):
    expected = ensemble(callback=from_their_epochs, **STOPPING)
    cut_the_power(monkeypatch, writes)
    with pytest.raises(PowerCut):
        ensemble(checkpoint=tmp_path / "run", callback=from_their_epochs, **STOPPING)
    store = {"checkpoint": tmp_path / "run", "resume": True}
    require_same(ensemble(**store, callback=from_their_epochs, **STOPPING), expected)


def test_the_callback_sees_the_members_as_they_stand():
    X, y = batch()

    def look(intermediate_result):
        thetas = [model.theta for model in intermediate_result.models]
        np.testing.assert_array_equal(thetas, intermediate_result.x)
        model = intermediate_result.models[1]
        error = np.mean(np.square((model.predict(X) - y) / model.scaling.y_scale))
        judged = intermediate_result.validation_loss_members[1]
        np.testing.assert_allclose(error, judged, rtol=1e-5)

    ensemble(X, y, validation=(X, y), callback=look)


def test_a_progress_bar(capsys):
    many = ensemble(progress=True, validation=0.25)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert f"loss={many.history['loss'][-1]:.4g}" in shown
    assert f"validation={many.history['validation_loss'][-1]:.4g}" in shown
    ensemble()
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("options", [{}, {"validation": 0.25}])
def test_ctrl_c_leaves_the_members_of_the_last_step(options):
    seen = []

    def press_at_two(intermediate_result):
        seen.append(intermediate_result)
        if intermediate_result.nit == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        many = ensemble(epochs=50, callback=press_at_two, **options)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (many.success, many.status) == (False, INTERRUPTED)
    assert "Ctrl-C" in many.message
    assert len(many.history["loss"]) == len(seen) == 2
    np.testing.assert_array_equal([model.theta for model in many.models], seen[-1].x)


@pytest.mark.parametrize("cell", [None, {"peephole": True}])
def test_what_is_not_finite_in_a_member_ends_the_run(cell):
    X, y = batch()
    many = ensemble(X, 1e30 * y, standardize=False, clip=None, cell=cell)
    assert (many.success, many.status) == (False, NOT_FINITE)
    assert all(np.isfinite(model.theta).all() for model in many.models)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("validation", [None, 0.25])
@pytest.mark.parametrize("rate", [1e30, 1e300])
def test_steps_beyond_all_numbers_end_as_those_of_a_fit(dtype, clip, validation, rate):
    """Warnings are errors here."""
    options = SMALL | {"method": "sgd", "learning_rate": rate, "clip": clip, "epochs": 9}
    options |= {"dtype": dtype, "validation": validation}
    single = numlstm.fit(*batch(), **options)
    assert ensemble(**options).status == single.status


def test_a_gradient_whose_square_overflows_is_clipped_as_in_a_fit():
    X, y = batch()
    options = {"standardize": False, "method": "sgd", "loss": "mse", "epochs": 2}
    many = ensemble(X, 1e15 * y, bootstrap=False, sample_weight=None, **options)
    assert many.success
    for model, seed in zip(many.models, drawn(3, 12)[0], strict=True):
        single = alone(seed, X, 1e15 * y, **options)
        np.testing.assert_allclose(model.theta, single.x, rtol=1e-5, atol=1e-7)
