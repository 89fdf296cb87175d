"""A fit that was stopped and resumed has the bits of the one that was not."""

import errno
import itertools
import os
import stat
from types import SimpleNamespace

import numpy as np
import pytest

import numlstm
from helpers import fits
from helpers.fits import SINE, PowerCut, batch, cut_the_power, quick, same, stop_after
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training import checkpoints, loop
from numlstm.training.interrupt import Interrupted, SigintGuard
from numlstm.utils import files

CASES = {
    "batches": {"batch_size": 5, "num_layers": 2, "dropout": 0.2},
    "windows": {"batch_size": 5, "bptt_steps": 4, "num_layers": 2, "dropout": 0.2},
    "judged": {"validation": 0.25, "patience": 3, "learning_rate": 0.3, "batch_size": 4},
    "scheduled": {"schedule": "cosine", "weight_decay": 0.01},
    "double": {"dtype": "float64", "clip": None},
    **{method: {"method": method, "batch_size": 5} for method in OPTIMIZERS},
    "momentum": {"method": "sgd", "options": {"momentum": 0.9}, "batch_size": 5},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("epochs", [1, 3])
def test_stopped_after_an_epoch(name, epochs, tmp_path):
    options = {"epochs": 5, **CASES[name]}
    expected = quick(*batch(), **options)
    file = tmp_path / "run"
    stopped = quick(*batch(), checkpoint=file, callback=stop_after(epochs), **options)
    assert stopped.nit == epochs
    same(quick(*batch(), checkpoint=file, resume=True, **options), expected)
    same(quick(*batch(), checkpoint=file, resume=True, **options), expected)  # nothing is left


@pytest.mark.parametrize(
    "options",
    [
        CASES["windows"],
        {"stateful": True, "bptt_steps": 3, "batch_size": 4, "num_layers": 2, "dropout": 0.2},
    ],
)
@pytest.mark.parametrize("writes", [1, 2, 4, 7, 11, 12])
def test_the_power_goes_off_within_an_epoch(options, writes, tmp_path, monkeypatch):
    """Checkpoints are written between updates too; here after every one."""
    options = {"epochs": 3, **options}
    expected = quick(*batch(), **options)
    cut_the_power(monkeypatch, writes)
    file = tmp_path / "run"
    with pytest.raises(PowerCut):
        quick(*batch(), checkpoint=file, **options)
    same(quick(*batch(), checkpoint=file, resume=True, **options), expected)


@pytest.mark.parametrize("moment", [1, 2, 3, 5, 8, 9, 10, 14, 20, 29])
def test_ctrl_c_stores_the_last_whole_step(moment, tmp_path, monkeypatch):
    """Before the first one, within an epoch, and while its end is judged (9 and 10)."""
    options = {"epochs": 3, "validation": 0.25, **CASES["windows"]}
    expected, file, checks = quick(*batch(), **options), tmp_path / "run", itertools.count(1)

    def press_at_the_moment(guard):
        if next(checks) >= moment:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(SigintGuard, "check", press_at_the_moment)
        ended = quick(*batch(), checkpoint=file, **options)
    assert ended.status == 98
    assert files.read_checkpoint(file)[0]["theta"].tobytes() == ended.x.tobytes()
    same(quick(*batch(), checkpoint=file, resume=True, **options), expected)


def test_within_an_epoch_checkpoints_are_five_seconds_apart(tmp_path, monkeypatch):
    """By a clock that shows two seconds more whenever it is read."""
    clock, stored = itertools.count(100, 2), []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(
        files, "write_checkpoint", lambda path, arrays, meta: stored.append(meta["windows"])
    )
    quick(*batch(), batch_size=1, epochs=1, checkpoint=tmp_path / "run")
    assert stored == [1, 4, 7, 10, 12]


def test_without_a_seed_a_run_goes_on_with_its_own(tmp_path):
    file = tmp_path / "run"
    X, y = batch()
    options = {"rng": None, "batch_size": 4, "checkpoint": file}
    stopped = quick(X, y, callback=stop_after(1), **options)
    resumed = quick(X, y, resume=True, **options)
    assert resumed.history["loss"][0] == stopped.history["loss"][0]
    assert resumed.nit == 3


@pytest.mark.parametrize("written_by", ["0.1.9", "99.0"])
def test_a_run_of_another_version_is_refused_with_that_reason(written_by, tmp_path, monkeypatch):
    options = {"epochs": 2, "checkpoint": tmp_path / "run"}
    monkeypatch.setattr(checkpoints, "__version__", written_by)
    quick(*batch(), **options)
    monkeypatch.undo()
    with pytest.raises(numlstm.StorageError, match=f"was written by numlstm '{written_by}', and"):
        quick(*batch(), **options, resume=True)


@pytest.mark.parametrize("writes", range(1, 26, 3))
def test_members_without_a_share_in_a_batch_carry_no_state(writes, tmp_path, monkeypatch):
    """A bootstrap leaves sequences out, and a batch of one that no member drew is passed over."""
    options = {"members": 2, "hidden_size": 3, "epochs": 2, "batch_size": 1, "bptt_steps": 5}
    options |= {"rng": 1, "checkpoint": tmp_path / "run"}
    cut_the_power(monkeypatch, writes)
    with pytest.raises(PowerCut):
        numlstm.ensemble(*batch(), **options)
    monkeypatch.undo()
    resumed = numlstm.ensemble(*batch(), **options, resume=True)
    expected = numlstm.ensemble(*batch(), **options | {"checkpoint": tmp_path / "other"})
    for one, other in zip(resumed.models, expected.models, strict=True):
        assert one.theta.tobytes() == other.theta.tobytes()


def test_a_run_that_does_not_say_its_version_is_an_older_one(tmp_path):
    options = {"epochs": 2, "checkpoint": tmp_path / "run"}
    quick(*batch(), **options)
    arrays, meta = files.read_checkpoint(tmp_path / "run")
    del meta["numlstm"]
    files.write_checkpoint(tmp_path / "run", arrays, meta)
    with pytest.raises(numlstm.StorageError, match="was written by an older numlstm, and this is"):
        quick(*batch(), **options, resume=True)


def test_nothing_to_resume_is_a_beginning(tmp_path):
    expected = quick(*batch())
    same(quick(*batch(), checkpoint=tmp_path / "run", resume=True), expected)
    assert (tmp_path / "run").exists()


def test_more_epochs_may_be_asked_for(tmp_path):
    file = tmp_path / "run"
    quick(*batch(), checkpoint=file)
    same(quick(*batch(), checkpoint=file, resume=True, epochs=6), quick(*batch(), epochs=6))


def test_a_checkpoint_is_not_written_over(tmp_path):
    file = tmp_path / "run"
    quick(*batch(), checkpoint=file)
    content = file.read_bytes()
    with pytest.raises(ValueError, match=r"exists: pass resume=True.*or remove it"):
        quick(*batch(), checkpoint=file)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 5}, "hidden_size, initial parameters"),
        ({"rng": 1}, "initial parameters, seed"),
        ({"loss": "mae"}, "differs in loss;"),
        ({"learning_rate": 0.5}, "differs in learning_rate;"),
        ({"schedule": "cosine"}, "differs in schedule;"),
        ({"validation": 0.25}, "training data, validation data"),
        ({"sample_weight": np.arange(1, 13)}, "differs in training data;"),
        ({"backend": "reference"}, "differs in backend"),
        ({"options": {"eps": 1e-3}}, "differs in options;"),
        ({"model": numlstm.LSTM(2, 4, 1, rng=9)}, "differs in initial parameters"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(change, words, tmp_path):
    file = tmp_path / "run"
    quick(*batch(), checkpoint=file)
    content = file.read_bytes()
    if change.get("backend") == numlstm.fit(SINE, epochs=1).model.network.backend.name:
        pytest.skip("only the reference runs here")
    with pytest.raises(ValueError, match=words):
        quick(*batch(), checkpoint=file, resume=True, **change)
    assert file.read_bytes() == content


def test_a_folder_that_is_missing_is_said_before_the_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        quick(*batch(), checkpoint=tmp_path / "nowhere" / "run")


def fill_the_disk(monkeypatch, epochs):
    """Fail to write the checkpoints of some epochs, by number."""
    fsync = os.fsync
    count = itertools.count()

    def full(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and next(count) in epochs:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)


def test_a_disk_that_is_full_from_the_start_is_an_error(tmp_path, monkeypatch):
    fill_the_disk(monkeypatch, [0])
    with pytest.raises(OSError, match=r"No space left on device.*run'"):
        quick(*batch(), checkpoint=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_run_survives_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch):
    """Two epochs are not stored; what is there afterwards is as good as ever."""
    file = tmp_path / "run"
    expected, halves = quick(*batch(), epochs=6), quick(*batch(), epochs=5)
    # the first update is stored, too, and then every epoch
    fill_the_disk(monkeypatch, [3, 4])
    with pytest.warns(RuntimeWarning, match="goes on without and tries again; .* after 2 epochs"):
        same(quick(*batch(), epochs=5, checkpoint=file), halves)
    same(quick(*batch(), epochs=6, checkpoint=file, resume=True), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_says_that_its_end_is_not_stored(tmp_path, monkeypatch):
    file, expected = tmp_path / "run", quick(*batch(), epochs=5)
    fill_the_disk(monkeypatch, range(3, 99))
    with pytest.warns(RuntimeWarning) as warned:
        same(quick(*batch(), epochs=5, checkpoint=file), expected)
    first, last = (str(warning.message) for warning in warned)
    assert "'" + str(file) + "' cannot be written: the run goes on without" in first
    assert "its end is not stored; the file has the run after 2 epochs" in last
    assert all(str(warning.filename) == fits.__file__ for warning in warned)
    monkeypatch.undo()
    same(quick(*batch(), epochs=5, checkpoint=file, resume=True), expected)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    file = tmp_path / "run"
    quick(*batch(), checkpoint=file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(numlstm.StorageError, match="damaged"):
        quick(*batch(), checkpoint=file, resume=True)
    assert file.read_bytes() == content


def bounded(high):
    return {"limits": {"bounds": {"weight_hh_l0": (-1.0, high)}}, "hidden_size": 20}


@pytest.mark.parametrize("place", [0, 800, 1599])
def test_bounds_that_differ_in_one_entry_are_of_another_fit(place, tmp_path):
    file, high = tmp_path / "run", np.ones((80, 20))
    quick(*batch(), checkpoint=file, **bounded(high))
    quick(*batch(), checkpoint=file, resume=True, **bounded(high.tolist()))
    high.flat[place] += 1e-12
    with pytest.raises(ValueError, match=r"differs in limits\.bounds;"):
        quick(*batch(), checkpoint=file, resume=True, **bounded(high))


SAME = {
    "bounds": [{"limits": {"bounds": {"bias_l0": pair}}}
               for pair in ((0, 1), [0, 1], (0.0, np.float32(1)), (np.array(0), True))],
    "no bound": [{"limits": {"bounds": {np.str_("bias_l0"): pair, "head_bias": (0, 1)}}}
                 for pair in ((None, 1), (-np.inf, 1))],
    "order of bounds": [{"limits": {"bounds": dict.fromkeys(names, (0, 1))}}
                        for names in (("bias_l0", "head_bias"), ("head_bias", "bias_l0"))],
    "fixed": [{"limits": {"fixed": names}}
              for names in (("bias_l0", "head_bias"), ["head_bias", np.str_("bias_l0")])],
    "options": [{"options": options} for options in ({}, None)],
    "betas": [{"options": {"betas": betas}}
              for betas in ((0, 0.5), [0.0, 0.5], np.array([0, 0.5]))],
    "words": [{"loss": kind("mae"), "cell": {"forget_gate": kind("coupled"),
               "layer_norm": kind("gates"), "activations": [kind("relu")] * 3},
               "schedule": kind("cosine")} for kind in (str, np.str_)],
    "numbers": [{"batch_size": kind(4), "weight_decay": kind(2)} for kind in (int, np.int64)],
    "flags": [{"cell": {"peephole": kind(True)}} for kind in (bool, np.bool_)],
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_the_same_values_in_another_form_are_of_the_same_fit(name, tmp_path):
    first, *others = SAME[name]
    expected = quick(*batch(), checkpoint=tmp_path / "run", **first)
    for other in others:
        same(quick(*batch(), checkpoint=tmp_path / "run", resume=True, **other), expected)
