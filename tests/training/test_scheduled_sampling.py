"""Scheduled sampling: training on the network's own forecasts."""

import numpy as np
import pytest

import numlstm
from numlstm.data.sequences import Dataset
from numlstm.objectives.evaluator import Evaluator
from numlstm.optim.losses import mse
from numlstm.training.scheduled_sampling import Sampling, sampled_step
from numlstm.utils.random_streams import RandomStreams

SERIES = np.sin(np.arange(240) / 3).reshape(12, 20, 1)
QUICK = {"hidden_size": 5, "epochs": 4, "batch_size": 5, "rng": 0}


def a_window(rows=3, steps=50, lengths=None):
    X = np.zeros((rows, steps, 1))
    return Dataset(X, X, X, lengths)


def test_the_probability_rises_or_is_the_callers():
    rising = Sampling(0.6, 4)
    assert [rising.probability(epoch) for epoch in range(4)] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert Sampling(0.6, 1).probability(0) == 0.6
    assert Sampling(lambda epoch: 1 / (1 + epoch), 9).probability(3) == 0.25


def test_draws_are_keyed_and_leave_alone_what_was_observed_alone():
    lengths = np.array([50, 7, 0])
    sampling, draws = Sampling(lambda epoch: 0.5, 9), RandomStreams(3)
    fed = sampling.draw(draws, 0, 4, a_window(lengths=lengths))
    assert not fed[:, 0].any()
    assert not fed[1, 7:].any()
    assert not fed[2].any()
    again = sampling.draw(RandomStreams(3), 8, 4, a_window(lengths=lengths))
    np.testing.assert_array_equal(fed, again)
    assert (fed != sampling.draw(draws, 0, 5, a_window(lengths=lengths))).any()
    many = sampling.draw(draws, 0, 0, a_window(400))[:, 1:]
    assert abs(many.mean() - 0.5) < 0.02
    assert sampling.draw(draws, 0, 0, a_window())[:, 1:].mean() < 1
    assert Sampling(lambda epoch: 1.0, 9).draw(draws, 0, 0, a_window())[:, 1:].all()
    assert Sampling(1.0, 9).draw(draws, 0, 0, a_window()) is None


@pytest.mark.parametrize("options", [{}, {"learned_state": True}, {"static_size": 2}])
def test_an_update_has_the_gradient_of_its_own_run(options):
    rng = np.random.default_rng(0)
    model = numlstm.LSTM(2, 4, 1, dtype="float64", rng=0, num_layers=2, **options)
    X, y = rng.standard_normal((3, 6, 2)), rng.standard_normal((3, 6, 1))
    lengths = np.array([6, 2, 5])
    weight = (np.arange(6) < lengths[:, None])[..., None] / 13.0
    static = rng.standard_normal((3, 2)) if "static_size" in options else None
    window = Dataset(X, y, weight, lengths, static=static)
    evaluator = Evaluator(model.network, mse)
    fed = (rng.random((3, 6)) < 0.5) & (np.arange(6) > 0)

    def loss(theta):
        return sampled_step(evaluator, theta, window, None, 2.0, fed)[0]

    value, gradient, _ = sampled_step(evaluator, model.theta, window, None, 2.0, fed)
    along, step = rng.standard_normal(model.theta.shape), 1e-6
    difference = (loss(model.theta + step * along) - loss(model.theta - step * along)) / (2 * step)
    assert gradient @ along == pytest.approx(difference, rel=1e-7)
    plain, expected, state = evaluator.step(model.theta, window, None, 2.0)
    value, gradient, end = sampled_step(evaluator, model.theta, window, None, 2.0, 0 * fed)
    assert value == pytest.approx(plain, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(end.h[:, 0], state.h[:, 0], rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"bptt_steps": 7}, {"learned_state": True}])
def test_it_trains_and_resumes_to_the_bit(options, tmp_path):
    options = QUICK | {"scheduled_sampling": 0.8} | options
    whole = numlstm.fit(SERIES, **options)
    assert whole.fun < whole.history["loss"][0]
    assert (
        whole.x.tobytes()
        != numlstm.fit(SERIES, **options | {"scheduled_sampling": None}).x.tobytes()
    )

    def stop(intermediate_result):
        if intermediate_result.nit == 3:
            raise StopIteration

    numlstm.fit(SERIES, **options, checkpoint=tmp_path / "run", callback=stop)
    again = numlstm.fit(SERIES, **options, checkpoint=tmp_path / "run", resume=True)
    assert again.x.tobytes() == whole.x.tobytes()


@pytest.mark.parametrize("bptt_steps", [None, 7])
def test_attributes_stand_for_features_that_do_not_change(bptt_steps):
    """A model that reads them at every step, beside what is fed back, has the same loss."""
    static = np.random.default_rng(2).standard_normal((12, 2))
    wide = np.concatenate([SERIES, np.repeat(static[:, None], 20, axis=1)], axis=2)
    own = numlstm.LSTM(1, 4, 1, static_size=2, dtype="float64", rng=0)
    repeated = numlstm.LSTM(3, 4, 1, dtype="float64", rng=0)
    for name, values in own.params.items():
        if name != "weight_is_l0":
            repeated.params[name][..., : values.shape[-1]] = values
    repeated.params["weight_ih_l0"][:, 1:] = own.params["weight_is_l0"]
    options = STILL | {"standardize": False, "bptt_steps": bptt_steps, "rng": 0}
    options |= {"scheduled_sampling": lambda epoch: 0.5, "batch_size": 5}
    result = numlstm.fit(SERIES, static=static, model=own, **options)
    expected = numlstm.fit(wide[:, :-1], SERIES[:, 1:], model=repeated, **options)
    assert result.history["loss"][0] == pytest.approx(expected.history["loss"][0], rel=1e-12)
    assert result.x.tobytes() != own.theta.tobytes()


def test_the_error_of_free_runs_is_what_falls():
    """After one observation each: sine and cosine say how it goes on."""
    circle = np.concatenate([SERIES, np.cos(np.arange(240) / 3).reshape(SERIES.shape)], axis=2)
    fed = np.tile(np.arange(19) > 0, (12, 1))
    X, y = circle[:, :-1], circle[:, 1:]
    window = Dataset(X, y, np.full(y.shape, 1 / y.size))
    options = QUICK | {"hidden_size": 8, "epochs": 60, "standardize": False, "dtype": "float64"}
    for seed in range(3):
        errors = []
        for sampling in (None, lambda epoch: 1.0):
            more = {"scheduled_sampling": sampling, "rng": seed}
            model = numlstm.fit(circle, **options | more).model
            evaluator = Evaluator(model.network, mse)
            errors.append(sampled_step(evaluator, model.theta, window, None, 1.0, fed)[0])
        assert errors[1] < errors[0]


def test_exogenous_inputs_and_ragged_series():
    rng = np.random.default_rng(0)
    X = [np.column_stack([np.sin(t / 3), np.cos(t)]) for t in map(np.arange, (30, 21, 25, 18))]
    X, y = [x[:-1] for x in X], [x[1:, :1] for x in X]
    result = numlstm.fit(X, y, **QUICK, scheduled_sampling=lambda epoch: 0.5)
    assert result.fun < result.history["loss"][0]
    scaling = result.model.scaling
    np.testing.assert_array_equal(scaling.x_mean[:1], scaling.y_mean)
    forecasts = result.model.rollout(X[0], 5, rng.standard_normal((5, 1)))
    assert np.isfinite(forecasts).all()


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((SERIES, SERIES), {}, "targets must be the next inputs"),
        ((SERIES, SERIES[:, -1]), {}, "targets must be the next inputs"),
        ((SERIES, np.repeat(SERIES, 2, axis=2)), {}, "targets must be the next inputs"),
        ((SERIES,), {"method": "L-BFGS-B"}, "a method of batches"),
        ((SERIES,), {"loss": "gaussian_nll"}, "a loss of one output per target"),
        ((SERIES,), {"bidirectional": True}, "forward only"),
        ((SERIES,), {"dropout": {"states": 0.1}}, "without dropout"),
        ((SERIES,), {"missing": "mask"}, "without missing values"),
        ((SERIES,), {"reset": np.zeros((12, 20), bool)}, "without reset"),
        ((SERIES,), {"backend": "reference"}, "the backend 'cpu', received 'reference'"),
        ((SERIES,), {"hidden_size": 1500, "init": {"weights": "uniform"}}, "use fewer units"),
        ((SERIES,), {"scheduled_sampling": 1.1}, "at most 1"),
        ((SERIES,), {"scheduled_sampling": -0.1}, ">= 0"),
        ((SERIES,), {"scheduled_sampling": lambda epoch: 2 * epoch}, r"scheduled_sampling\(1\)"),
        ((SERIES[:, :-1], SERIES[:, 1:]), {"stateful": True, "bptt_steps": 5},
         "targets must be the next inputs"),
    ],
)  # fmt: skip
def test_what_is_refused(data, options, message):
    with pytest.raises(ValueError, match=message):
        numlstm.fit(*data, **QUICK | {"scheduled_sampling": 0.5} | options)


def test_a_model_of_two_units_is_refused():
    first = numlstm.fit(SERIES[:, :-1], SERIES[:, 1:] - 5, **QUICK).model
    with pytest.raises(ValueError, match="standardises them apart"):
        numlstm.fit(SERIES, model=first, scheduled_sampling=0.5)
    with pytest.raises(ValueError, match="ensemble does not take scheduled_sampling"):
        numlstm.ensemble(SERIES, members=2, scheduled_sampling=0.5)


STILL = {"method": "sgd", "learning_rate": 1e-9, "clip": None, "epochs": 1, "dtype": "float64"}


@pytest.mark.parametrize("batch_size", [1, 4, 13])
def test_windows_without_a_target_are_fed_forecasts_too(batch_size):
    """The state that such a window leaves is that of the run, as stepped by hand."""
    series = np.random.default_rng(1).standard_normal((13, 12, 1)).cumsum(axis=1)
    weight = np.zeros((13, 12))
    weight[np.arange(13), [3, 4, 5] * 4 + [11]] = 1
    model = numlstm.LSTM(1, 3, 1, dtype="float64", rng=0)
    errors = []
    for row, weights in zip(series, weight, strict=True):
        state, y = None, None
        for t in range(11):
            y, state = model.step(row[None, t] if t % 3 == 0 else y, state)
            errors.append(weights[t + 1] * (y[0, 0] - row[t + 1, 0]) ** 2)
    result = numlstm.fit(
        *(series, None),
        model=model,
        standardize=False,
        sample_weight=weight,
        bptt_steps=3,
        batch_size=batch_size,
        scheduled_sampling=lambda epoch: 1.0,
        rng=0,
        **STILL,
    )
    assert result.history["loss"][0] == pytest.approx(np.sum(errors) / 13, rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"scheduled_sampling": lambda epoch: 0.5},
        {"dropout": {"layers": 0.3, "recurrent": 0.3, "zoneout_c": 0.3}, "num_layers": 2},
    ],
)
def test_what_is_drawn_does_not_depend_on_weights(options):
    """Windows of no weight draw and run as those of next to none."""
    weight = np.zeros((12, 20))
    weight[np.arange(12), [5, 9, 16] * 4] = 1
    runs = [
        numlstm.fit(
            *(SERIES, None),
            sample_weight=weight + least,
            bptt_steps=3,
            batch_size=2,
            standardize=False,
            hidden_size=5,
            rng=0,
            **(options | STILL),
        )
        for least in (0.0, 1e-12)
    ]
    assert runs[0].nfev < runs[1].nfev
    assert runs[0].history["loss"] == pytest.approx(runs[1].history["loss"], rel=1e-6)
