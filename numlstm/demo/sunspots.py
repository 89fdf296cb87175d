"""The sunspot run: an ensemble of LSTM networks on the yearly sunspot numbers, beside AR(9).

The split is that of Weigend, Huberman & Rumelhart (1990), "Predicting the future: a connectionist
approach", Int. J. Neural Systems 1(3): train on 1700-1920, forecast one year ahead on 1921-1955
and 1956-1979; 1980-2008 came later. Errors are average relative variances.

Each network reads the square root of the numbers (their spread grows with their size) one year
at a time, from 1700 on, and says the next value. Everything was chosen by the years before 1921,
each block of 40 years held out in turn: the square root, 8 units, the learning rate and no weight
decay when this file was written, the number of epochs (`choose_epochs`) in every run anew.
"""

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from numlstm.model.lstm import LSTM
from numlstm.training.fit import fit
from numlstm.training.outcome import INTERRUPTED
from numlstm.training.result import FitResult

FIRST_YEAR, LAST_TRAINING_YEAR = 1700, 1920
WINDOWS = ((1921, 1955), (1956, 1979), (1980, 2008))
HELD_OUT = ((1721, 1760), (1761, 1800), (1801, 1840), (1841, 1880), (1881, 1920))
MEMBERS, MAX_EPOCHS = 20, 120
SETTINGS: dict[str, Any] = {"hidden_size": 8, "learning_rate": 0.02, "progress": False}


class LearningCurves(NamedTuple):
    """Mean squared errors after every epoch, one row per network with a block held out."""

    training: np.ndarray
    held_out: np.ndarray

    @property
    def best_epoch(self) -> int:
        """The number of epochs after which the held-out years were forecast best on average."""
        return int(self.held_out.mean(axis=0).argmin()) + 1


def load() -> np.ndarray:
    """The yearly sunspot numbers 1700-2008, shape (309,)."""
    text = files("numlstm.demo").joinpath("sunspots.csv").read_text(encoding="ascii")
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    return np.array([float(row.split(",")[1]) for row in rows[1:]])


def years(numbers: np.ndarray) -> np.ndarray:
    """The year of every number."""
    return FIRST_YEAR + np.arange(len(numbers))


def relative_variance(forecast: np.ndarray, numbers: np.ndarray, window: tuple[int, int]) -> float:
    """Mean squared error in the window over the variance of the whole 1700-1979 series."""
    inside = (years(numbers) >= window[0]) & (years(numbers) <= window[1])
    return float(
        np.mean((forecast - numbers)[inside] ** 2) / np.var(numbers[years(numbers) <= 1979])
    )


def persistence(numbers: np.ndarray) -> np.ndarray:
    """Next year is like this year; shape (T + 1,), entry t from the numbers before t."""
    return np.concatenate([[np.nan], numbers])


def autoregression(numbers: np.ndarray, order: int = 9) -> Callable[[np.ndarray], np.ndarray]:
    """A least-squares AR(order) with intercept on the training years, as a forecaster."""

    def design(series: np.ndarray) -> np.ndarray:
        past = np.lib.stride_tricks.sliding_window_view(series, order)
        return np.column_stack([np.ones(len(past)), past])

    training = _training(numbers)
    weights = np.linalg.lstsq(design(training)[:-1], training[order:], rcond=None)[0]
    return lambda series: np.concatenate([np.full(order, np.nan), design(series) @ weights])


def choose_epochs(numbers: np.ndarray, members: int = MEMBERS) -> Iterator[LearningCurves]:
    """Train networks with one block of training years held out each; yields after every one."""
    x, y = _examples(numbers)
    target_years = FIRST_YEAR + 1 + np.arange(len(y))
    training, held_out = [], []
    for member in range(members):
        first, last = HELD_OUT[member % len(HELD_OUT)]
        hidden = (target_years >= first) & (target_years <= last)
        history = _fit(
            x,
            np.where(hidden, np.nan, y),
            validation=(x, np.where(hidden, y, np.nan)),
            nan_policy="omit",
            epochs=MAX_EPOCHS,
            rng=member,
        ).history
        training.append(history["loss"])
        held_out.append(history["validation_loss"])
        yield LearningCurves(np.array(training), np.array(held_out))


def train(numbers: np.ndarray, epochs: int, members: int = MEMBERS) -> Iterator[LSTM]:
    """Networks trained on all training years, each from its own random weights."""
    x, y = _examples(numbers)
    for member in range(members):
        yield _fit(x, y, epochs=epochs, rng=member).model


def ensemble(models: Sequence[LSTM]) -> Callable[[np.ndarray], np.ndarray]:
    """The mean of the networks' forecasts, as a forecaster."""

    def forecast(series: np.ndarray) -> np.ndarray:
        roots = np.array([model.predict(np.sqrt(series))[:, 0] for model in models], float)
        return np.concatenate([[np.nan], np.mean(np.maximum(roots, 0) ** 2, axis=0)])

    return forecast


def free_run(
    forecast: Callable[[np.ndarray], np.ndarray], numbers: np.ndarray, years_ahead: int
) -> np.ndarray:
    """The years after `numbers`, every forecast fed back as if it were the truth."""
    series = numbers
    for _ in range(years_ahead):
        # an autoregression may fall below zero, a sunspot number cannot
        series = np.append(series, max(forecast(series)[-1], 0.0))
    return series[len(numbers) :]


def gates(model: LSTM, numbers: np.ndarray) -> np.ndarray:
    """Input, forget and output gate in every year, mean over the units, shape (3, T)."""
    trace = model.trace(np.sqrt(numbers), quantities=("i", "f", "o"))
    mean: np.ndarray = np.array([trace.i, trace.f, trace.o])[:, 0, 0].mean(axis=2)
    return mean


def _fit(x: np.ndarray, y: np.ndarray, **settings: Any) -> FitResult:
    """A network of the ensemble; Ctrl-C ends the whole run, not just this one's training."""
    result = fit(x, y, **SETTINGS, **settings)
    if result.status == INTERRUPTED:
        raise KeyboardInterrupt
    return result


def _training(numbers: np.ndarray) -> np.ndarray:
    return numbers[: LAST_TRAINING_YEAR - FIRST_YEAR + 1]


def _examples(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Square roots of the training years but the last, and of the years after each."""
    roots = np.sqrt(_training(numbers))
    return roots[:-1], roots[1:]
