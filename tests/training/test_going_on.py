"""A fit that goes on from a result: with its parameters, units and the state of its method."""

import copy
import pickle

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, OptimizeWarning

import numlstm
from helpers.fits import PowerCut, batch, cut_the_power, quick, same
from numlstm.optim.optimizers import OPTIMIZERS
from numlstm.training.result import FitResult, state_of

METHODS = {
    **{name: {"method": name} for name in OPTIMIZERS},
    "momentum": {"method": "sgd", "options": {"momentum": 0.9}, "weight_decay": 0.1},
    "rmsprop with momentum": {"method": "rmsprop", "options": {"momentum": 0.5}},
    "windows": {"bptt_steps": 4, "num_layers": 2, "dtype": "float64"},
    "bounds": {"limits": {"fixed": "head_bias", "bounds": {"bias_l0": (-0.3, 0.3)}}},
}
OF_THE_NETWORK = ("num_layers", "dtype")


def further(result, X, y=None, **options):
    """As `quick`, with what the model says left out."""
    said = {name: value for name, value in options.items() if name not in OF_THE_NETWORK}
    return numlstm.fit(X, y, **{"epochs": 3, "rng": 0, **said, "model": result})


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
def test_five_epochs_and_five_are_ten(options):
    X, y = batch()
    ten = quick(X, y, epochs=10, **options)
    five = quick(X, y, epochs=5, **options)
    before = copy.deepcopy(five)
    result = further(five, X, y, epochs=5, **options)
    assert result.x.tobytes() == ten.x.tobytes()
    assert result.fun == ten.fun
    np.testing.assert_array_equal(result.history["loss"], ten.history["loss"][5:])
    same(five, before)  # the result given is left as it is
    assert state_of(five).steps == state_of(before).steps
    for name, array in state_of(five).arrays.items():
        np.testing.assert_array_equal(array, state_of(before).arrays[name])
    again = further(five, X, y, epochs=5, **options)
    same(again, result)


def test_the_model_alone_does_not_go_on():
    X, y = batch()
    ten, five = quick(X, y, epochs=10), quick(X, y, epochs=5)
    assert further(five.model, X, y, epochs=5).x.tobytes() != ten.x.tobytes()


WAYS = {
    "pickle": lambda result: pickle.loads(pickle.dumps(result)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_copies_go_on_too(way):
    X, y = batch()
    result = quick(X, y)
    same(further(way(result), X, y), further(result, X, y))


def test_the_state_is_no_entry():
    result = quick(*batch())
    assert not [name for name in result if "state" in name or "optim" in name]
    assert repr(result) == repr(FitResult(result))
    assert state_of(FitResult(result)) is None
    size = result.x.nbytes
    assert sum(array.nbytes for array in state_of(result).arrays.values()) == 2 * size


def test_data_may_be_others_and_the_scaling_stays():
    X, y = batch()
    result = further(quick(X, y), 3 + 2 * X, 5 * y)
    np.testing.assert_equal(result.model.scaling, quick(X, y).model.scaling)
    with pytest.raises(ValueError, match="standardize=True does not go with the model given"):
        further(quick(X, y), 3 + 2 * X, y, standardize=True)


def test_on_fresh_batches():
    X, y = batch()
    one, two = (X, y), (2 * X, y)

    class Both:
        def __iter__(self):
            return iter([one, two])

    def of_calls(*batches):
        calls = iter(batches)
        return lambda rng, n: next(calls)

    whole = quick(Both(), epochs=2)
    parts = quick(of_calls(one, two), epochs=2)
    result = further(parts, of_calls(one, two), epochs=2)
    assert result.x.tobytes() == whole.x.tobytes()
    assert state_of(result).steps == 4


def test_a_judged_fit_goes_on_from_the_parameters_returned():
    X, y = batch()
    result = quick(X, y, validation=0.25, learning_rate=0.5, epochs=8)
    assert int(np.argmin(result.history["validation_loss"])) < 7
    first = []
    further(
        result, X, y, learning_rate=1e-30, epochs=1,
        callback=lambda intermediate_result: first.append(intermediate_result.x),
    )  # fmt: skip
    np.testing.assert_array_equal(first[0], result.x)


def test_a_run_that_goes_on_is_resumed(tmp_path, monkeypatch):
    X, y = batch()
    begun, file = quick(X, y, epochs=4), tmp_path / "run"
    options = {"epochs": 4, "batch_size": 5}
    expected = further(begun, X, y, **options)
    with monkeypatch.context() as patch:
        cut_the_power(patch, 5)
        with pytest.raises(PowerCut):
            further(begun, X, y, checkpoint=file, **options)
    with pytest.raises(ValueError, match="another fit: it differs in state of the optimiser"):
        further(begun.model, X, y, checkpoint=file, resume=True, **options)
    same(further(begun, X, y, checkpoint=file, resume=True, **options), expected)
    assert state_of(expected).steps == 4 + 4 * 3


def with_state(result, **changes):
    """The same result, whose optimiser has other arrays."""
    changed = copy.deepcopy(result)
    state_of(changed).arrays.update(changes)
    return changed


def smaller(result):
    changed = copy.deepcopy(result)
    changed.model = numlstm.LSTM(2, 3, 1, rng=0)
    changed.model.theta = changed.model.theta + 1
    changed.model.scaling = result.model.scaling
    return changed


BEGUN_ANEW = {
    "another method": (lambda r: r, "sgd", "is of method 'adam', whose state 'sgd' cannot use"),
    "adamw": (lambda r: r, "adamw", "is of method 'adam', whose state 'adamw' cannot use"),
    "SciPy": (lambda r: r, "L-BFGS-B", "'L-BFGS-B' keeps no state of the updates before"),
    "no state": (FitResult, "adam", "the result given has no state of an optimiser"),
    "infinite": (
        lambda r: with_state(r, v=np.full_like(r.x, np.inf)), "adam", "is not finite, or not",
    ),
    "another size": (smaller, "adam", "is not finite, or not of its model's parameters"),
    "another type": (
        lambda r: with_state(r, v=r.x.astype("float64")), "adam", "is not finite, or not",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BEGUN_ANEW)
def test_where_the_state_is_of_no_use_it_says_so(name):
    X, y = batch()
    change, method, message = BEGUN_ANEW[name]
    result = change(quick(X, y))
    expected = numlstm.fit(X, y, model=result.model, method=method, epochs=3, rng=0)
    with pytest.warns(OptimizeWarning, match=message) as caught:
        same(further(result, X, y, method=method), expected)
    assert f"{method!r} begins anew from the parameters" in str(caught[0].message)
    assert len(caught) == 1


def test_a_result_of_scipys_has_no_state():
    X, y = batch()
    result = quick(X, y, method="L-BFGS-B")
    assert state_of(result) is None
    with pytest.warns(OptimizeWarning, match="no state of an optimiser: its method was one of Sci"):
        further(result, X, y)


def test_what_is_no_result_is_refused():
    X, y = batch()
    result = quick(X, y)
    with pytest.raises(TypeError, match=r"must be a numlstm\.LSTM or a FitResult"):
        further(OptimizeResult(result), X, y)
    with pytest.raises(TypeError, match=r"must be a numlstm\.LSTM or a FitResult"):
        further(FitResult(), X, y)
    with pytest.raises(ValueError, match="hidden_size=9 does not go with the model given"):
        further(result, X, y, hidden_size=9)


def test_a_run_that_was_stopped_goes_on():
    """Ctrl-C is no other ending: what the last whole step left is there."""
    X, y = batch()

    def stop_at_two(intermediate_result):
        if intermediate_result.nit == 2:
            raise StopIteration

    stopped = quick(X, y, callback=stop_at_two)
    assert stopped.nit == 2
    assert further(stopped, X, y, epochs=1).x.tobytes() == quick(X, y).x.tobytes()


def test_no_epoch_better_than_the_model_given_is_said():
    X, y = batch()
    first = quick(X, y, epochs=20, validation=(X, y))
    with pytest.warns(UserWarning, match="no epoch was better than the model given: its valid"):
        further(first, X, y, epochs=2, validation=(X, y), learning_rate=3.0)
    further(first, X, y, epochs=2, validation=(X, y))  # and here it is better
