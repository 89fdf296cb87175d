"""The sunspot run: its data, its scores, its table and figure, and the bar that it must clear."""

import sys

import numpy as np
import pytest

from helpers.house import ROOT
from numlstm import __main__ as command
from numlstm.demo import sunspots
from numlstm.training.outcome import INTERRUPTED
from numlstm.training.result import FitResult


@pytest.fixture(scope="module")
def numbers():
    return sunspots.load()


@pytest.fixture(scope="module")
def run():
    """The whole run, as the command makes it."""
    return command.compute()


def test_data(numbers):
    years = sunspots.years(numbers)
    assert (len(numbers), years[0], years[-1]) == (309, 1700, 2008)
    known = {1700: 5.0, 1778: 154.4, 1810: 0.0, 1920: 37.6, 1957: 190.2, 1979: 155.4, 2008: 2.9}
    assert {year: numbers[year - 1700] for year in known} == known
    assert numbers.sum() == pytest.approx(15373.4, abs=1e-6)


def test_relative_variance(numbers):
    years = sunspots.years(numbers)
    mean = np.full(len(numbers), numbers[years <= 1979].mean())
    assert sunspots.relative_variance(mean, numbers, (1700, 1979)) == pytest.approx(1)
    assert sunspots.relative_variance(numbers, numbers, (1921, 1955)) == 0
    off = numbers + np.where(years == 1921, 70.0, 0.0)
    expected = 70.0**2 / 35 / np.var(numbers[:280])
    assert sunspots.relative_variance(off, numbers, (1921, 1955)) == pytest.approx(expected)


def test_linear_methods_score_what_the_literature_says(numbers):
    def scores(method):
        return [
            sunspots.relative_variance(method(numbers)[:-1], numbers, window)
            for window in sunspots.WINDOWS
        ]

    assert scores(sunspots.autoregression(numbers)) == pytest.approx(
        [0.1265, 0.3506, 0.1741], abs=1e-4
    )
    assert scores(sunspots.persistence) == pytest.approx([0.4268, 0.9647, 0.5661], abs=1e-4)


def test_forecasts_do_not_look_ahead(numbers):
    """Entry t of a forecast is made from the numbers before t, and of training years from those."""
    changed = np.where(sunspots.years(numbers) > 1920, 0.0, numbers)
    (model,) = sunspots.train(numbers, epochs=2, members=1)
    (same,) = sunspots.train(changed, epochs=2, members=1)
    assert (model.theta == same.theta).all()
    for method in (
        sunspots.persistence,
        sunspots.autoregression(changed),
        sunspots.ensemble([model]),
    ):
        assert len(method(numbers)) == len(numbers) + 1
        np.testing.assert_array_equal(method(numbers)[:222], method(changed)[:222])
        assert method(numbers)[222] != method(changed)[222]


def test_held_out_years_lie_before_1921_and_are_not_trained_on(numbers, monkeypatch):
    seen = []

    def fit(x, y, *, validation, **settings):
        seen.append((y, validation[1]))
        return original(x, y, validation=validation, **settings)

    original = sunspots.fit
    monkeypatch.setattr(sunspots, "fit", fit)
    monkeypatch.setattr(sunspots, "MAX_EPOCHS", 2)
    *_, curves = sunspots.choose_epochs(numbers, members=5)
    assert curves.training.shape == curves.held_out.shape == (5, 2)
    held_out = np.array([~np.isnan(validation) for _, validation in seen])
    assert (held_out.sum(axis=0)[20:] == 1).all()  # 1721-1920, every year once
    for y, validation in seen:
        assert (np.isnan(y) == ~np.isnan(validation)).all()
        np.testing.assert_array_equal(np.fmax(y, validation), np.sqrt(numbers[1:221]))


def test_free_run_feeds_forecasts_back():
    forecast = lambda series: np.append(np.nan, 0.5 * series)  # noqa: E731
    np.testing.assert_array_equal(sunspots.free_run(forecast, np.array([3.0, 8.0]), 3), [4, 2, 1])


def test_gates_lead_to_the_models_own_output(numbers):
    (model,) = sunspots.train(numbers, epochs=2, members=1)
    gates = sunspots.gates(model, numbers)
    assert gates.shape == (3, len(numbers))
    # the first step has no past: the gates are the sigmoid of W x + b alone
    x = model.scaling.inputs(np.sqrt(numbers[:1]))
    z = model.params["weight_ih_l0"] @ x + model.params["bias_l0"]
    i, f, _, o = (1 / (1 + np.exp(-z))).reshape(4, -1).mean(axis=1)
    np.testing.assert_allclose(gates[:, 0], [i, f, o], rtol=1e-5)
    assert ((gates > 0) & (gates < 1)).all()


def test_the_bar(run):
    scores = {
        name: sunspots.relative_variance(forecast, run.numbers, (1921, 1955))
        for name, forecast in run.forecasts.items()
    }
    assert scores[command.ENSEMBLE] <= 0.15
    assert scores[command.ENSEMBLE] < scores["AR(9)"]


def test_the_page_shows_this_table(run):
    """Same rows, same winners, same scores but for what another CPU's rounding may do."""
    page = (ROOT / "docs" / "sunspots.md").read_text(encoding="utf-8").splitlines()
    for line in command.table(run).splitlines():
        if line.startswith(("one year ahead", "free run")):
            (shown,) = [row for row in page if row.startswith(line[:24])]
            assert shown.split("   ")[-1] == line.split("   ")[-1]
            read, have = (np.array(row[24:72].split(), float) for row in (shown, line))
            np.testing.assert_allclose(read, have, atol=0.01)


def test_command(tmp_path, capsys):
    path = tmp_path / "figure.png"
    assert command.main(["--members", "1", "--output", str(path)]) == 0
    printed = capsys.readouterr()
    assert "MSE / variance of the whole 1700-1979 series" in printed.out
    assert all(f"one year ahead {a}-{b}" in printed.out for a, b in sunspots.WINDOWS)
    assert "training, ensemble of 1" in printed.err
    assert path.read_bytes().startswith(b"\x89PNG")


def test_interrupted(monkeypatch, capsys, tmp_path):
    """A fit that Ctrl-C ended returns as others do; the run must not go on with its network."""

    def interrupted(*args, **settings):
        return FitResult(status=INTERRUPTED)

    monkeypatch.setattr(sunspots, "fit", interrupted)
    assert command.main(["--output", str(tmp_path / "figure.png")]) == 130
    assert capsys.readouterr().err.endswith("Interrupted.\n")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(command, "compute", lambda members: run)
    path = tmp_path / "figure.png"
    assert command.main(["--output", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "one year ahead" in printed
    assert 'pip install "numlstm[plot]"' in printed.splitlines()[-1]
    assert not path.exists()


@pytest.mark.parametrize(
    "arguments",
    [["--members", "0"], ["--output", "no/such/folder/a.png"], ["--output", "figure.doc"]],
)
def test_bad_arguments_are_refused_before_training(arguments, monkeypatch, capsys):
    monkeypatch.setattr(command, "compute", lambda members: pytest.fail("trained"))
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert arguments[1] in capsys.readouterr().err
