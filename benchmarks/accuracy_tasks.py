"""Learning problems with data to train on and later data to judge by, for `catchments.py`.

Features and regression targets have mean 0 and variance 1 over the training data.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec

import numpy as np

YEAR, CATCHMENTS, LENGTH = 365, 20, 365
TRAINED_YEARS, TESTED_YEARS = 10, 4  # after a year in which the stores fill


@dataclass(frozen=True)
class Samples:
    """Sequences X (B, T, I), with a target per sequence (B,) or per step (B, T), NaN for none."""

    X: np.ndarray
    y: np.ndarray
    lengths: np.ndarray | None = None  # (B,); None: all have T steps
    weight: np.ndarray | None = None  # (B,); None: 1
    group: np.ndarray | None = None  # (B,): a score is the median over the groups

    @property
    def last(self) -> bool:
        """Whether there is one target per sequence."""
        return self.y.ndim == 1

    @property
    def valid(self) -> np.ndarray:
        """The steps that belong to a sequence, (B, T) bool."""
        rows, steps = self.X.shape[:2]
        lengths = np.full(rows, steps) if self.lengths is None else self.lengths
        return np.arange(steps) < lengths[:, None]

    def some(self, count: int) -> "Samples":
        """So many of the sequences, from all over."""
        rows = np.linspace(0, len(self.X) - 1, min(count, len(self.X))).astype(int)
        parts = [getattr(self, each.name) for each in fields(self)]
        return Samples(*(part if part is None else part[rows] for part in parts))


@dataclass(frozen=True)
class Task:
    """A problem and how it is learnt."""

    train: Samples
    test: Samples
    epochs: int
    batch: int
    units: int = 32
    rate: float = 0.01
    classes: int = 0  # 0: regression

    def standardised(self) -> "Task":
        """The same in the units of a network."""
        X, y = self.train.X[self.train.valid], self.train.y
        x_mean, x_scale = X.mean(axis=0, dtype=float), X.std(axis=0, dtype=float)
        y_mean, y_scale = np.nanmean(y, dtype=float), np.nanstd(y, dtype=float)

        def scaled(part: Samples) -> Samples:
            X = ((part.X - x_mean) / x_scale).astype(np.float32)
            y = part.y if self.classes else ((part.y - y_mean) / y_scale).astype(np.float32)
            return replace(part, X=X, y=y)

        return replace(self, train=scaled(self.train), test=scaled(self.test))

    def first_updates(self) -> "Task":
        """Three updates, each with the same sequences: their order then has no part in it."""
        return replace(self, train=self.train.some(64), batch=64, epochs=3)

    def score(self, prediction: np.ndarray) -> float:
        """Share of right classes, or the Nash-Sutcliffe efficiency, the median over the groups."""
        y, group = self.test.y, self.test.group
        if self.classes:
            return float(np.mean(prediction.argmax(axis=-1) == y))
        pairs = [(prediction.reshape(y.shape), y)]
        if group is not None:
            pairs = [(pairs[0][0][group == g], y[group == g]) for g in np.unique(group)]
        return float(np.median([efficiency(*pair) for pair in pairs]))


def efficiency(found: np.ndarray, true: np.ndarray) -> float:
    """One minus mean squared error over variance, as in Nash & Sutcliffe (1970), eq. 3."""
    return float(1 - np.nanmean((found - true) ** 2) / np.nanvar(true))


@dataclass(frozen=True)
class Catchments:
    """Climate and stores of some catchments, each (C,)."""

    wet_after_dry: np.ndarray
    wet_after_wet: np.ndarray
    rain: np.ndarray  # mm on a wet day
    warmth: np.ndarray  # mean of the year, degrees C
    swing: np.ndarray  # half the difference of summer and winter
    degree_day: np.ndarray  # mm of snow melted per degree C and day
    capacity: np.ndarray  # of the soil, mm
    shape: np.ndarray  # exponent of recharge
    percolation: np.ndarray  # mm per day
    quick: np.ndarray  # outflow per day, of what is stored
    slow: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> "Catchments":
        """Random ones."""
        ranges = (
            *((0.1, 0.4), (0.4, 0.75), (3, 12), (3, 15), (7, 14)),
            *((1.5, 5), (80, 500), (1, 5), (0.3, 2), (0.1, 0.5), (0.005, 0.05)),
        )
        return cls(*(rng.uniform(*ends, count) for ends in ranges))

    @property
    def attributes(self) -> np.ndarray:
        """What the network is told of the catchments, (C, 5)."""
        parts = self.degree_day, self.capacity, self.shape, self.quick, self.slow
        return np.stack([np.log(part) for part in parts], axis=-1)


def weather(catchments: Catchments, days: int, rng: np.random.Generator) -> np.ndarray:
    """Rain, temperature and potential evaporation, (days, 3, C).

    Rain: two states, wet and dry, and gamma amounts. Temperature: a sine over the year and an
    AR(1). Evaporation: Oudin et al. (2005), Journal of Hydrology 303, with a sine for radiation.
    """
    result = np.empty((days, 3, CATCHMENTS))
    wet, noise = np.zeros(CATCHMENTS, bool), np.zeros(CATCHMENTS)
    for day in range(days):
        chance = np.where(wet, catchments.wet_after_wet, catchments.wet_after_dry)
        wet = rng.random(CATCHMENTS) < chance
        noise = 0.8 * noise + rng.normal(0, 2.5, CATCHMENTS)
        season = np.sin(2 * np.pi * (day - 105) / YEAR)
        temperature = catchments.warmth + catchments.swing * season + noise
        result[day, 0] = wet * rng.gamma(0.8, catchments.rain / 0.8)
        result[day, 1] = temperature
        result[day, 2] = (8 + 6 * season) * np.maximum(temperature + 5, 0) / 100
    return result


def discharge(catchments: Catchments, forcing: np.ndarray) -> np.ndarray:
    """Daily discharge in mm, (days, C): snow, soil and two linear stores.

    As in HBV, Lindstroem et al. (1997), Journal of Hydrology 201, without its routing.
    """
    snow, quick, slow = np.zeros((3, CATCHMENTS))
    soil, result = 0.5 * catchments.capacity, np.empty((len(forcing), CATCHMENTS))
    for day, (rain, temperature, evaporation) in enumerate(forcing):
        frozen = np.where(temperature < 0, rain, 0)
        melt = np.minimum(snow, catchments.degree_day * np.maximum(temperature, 0))
        snow = snow + frozen - melt
        water = rain - frozen + melt
        recharge = water * np.minimum(soil / catchments.capacity, 1) ** catchments.shape
        soil = soil + water - recharge
        wetness = np.minimum(soil / (0.7 * catchments.capacity), 1)
        soil = soil - np.minimum(soil, evaporation * wetness)
        down = np.minimum(quick + recharge, catchments.percolation)
        quick, slow = quick + recharge - down, slow + down
        result[day] = catchments.quick * quick + catchments.slow * slow
        quick, slow = (1 - catchments.quick) * quick, (1 - catchments.slow) * slow
    return result


def catchments() -> Task:
    """Discharge on the last day of a year of weather, for 20 catchments at once.

    The weights are those of NSE*, the loss of Kratzert et al. (2019), Hydrology and Earth System
    Sciences 23, 5089: 1 / (s + 0.1)^2, with a catchment's standard deviation s in mm per day.
    """
    rng = np.random.default_rng(2019)
    drawn = Catchments.draw(rng, CATCHMENTS)
    begin, end = YEAR * (1 + TRAINED_YEARS), YEAR * (1 + TRAINED_YEARS + TESTED_YEARS)
    forcing = weather(drawn, end, rng)
    flow = discharge(drawn, forcing)
    weight = 1 / (flow[YEAR:begin].std(axis=0) + 0.1) ** 2

    def samples(first: int, stop: int, apart: int) -> Samples:
        ends = [(c, day) for c in range(CATCHMENTS) for day in range(first + c, stop, apart)]
        X = np.empty((len(ends), LENGTH, 8), np.float32)
        for row, (c, day) in zip(X, ends, strict=True):
            row[:, :3] = forcing[day + 1 - LENGTH : day + 1, :, c]
            row[:, 3:] = drawn.attributes[c]
        group = np.array([c for c, _ in ends])
        return Samples(X, np.array([flow[day, c] for c, day in ends]), None, weight[group], group)

    train, test = samples(YEAR + LENGTH, begin, 11), samples(begin + LENGTH, end, 5)
    return Task(train, test, epochs=15, batch=32)


def forecasts(X: np.ndarray, y: np.ndarray, at: int, steps: int, apart: int) -> Task:
    """Learn y (T,) from pieces of X (T, I) before `at`; what follows is judged."""
    starts = range(0, at - steps + 1, apart)
    train = Samples(*(np.stack([part[s : s + steps] for s in starts]) for part in (X, y)))
    test = Samples(X[None], np.where(np.arange(len(y)) < at, np.nan, y)[None])
    return Task(train, test, epochs=40, batch=8, units=16)


def elnino() -> Task:
    """Sea surface temperature of the next month, from 1950 on; judged from 1995 on."""
    from statsmodels.datasets import elnino

    series = elnino.load_pandas().data.drop(columns="YEAR").to_numpy(float).ravel()
    return forecasts(series[:-1, None], series[1:], 45 * 12, 60, 12)


def co2() -> Task:
    """The next weekly change of carbon dioxide at Mauna Loa, from 1958 on; judged from 1989 on.

    A change that is missing is no target; as an input it is the last one, beside a mark.
    """
    from statsmodels.datasets import co2

    change = np.diff(co2.load_pandas().data["co2"].to_numpy(float))
    there = ~np.isnan(change)
    last = np.maximum.accumulate(np.where(there, np.arange(len(change)), there.argmax()))
    X = np.stack([change[last], there], axis=-1)
    return forecasts(X[:-1], change[1:], 1600, 104, 26)


def vowels() -> Task:
    """Nine speakers by 7 to 29 steps of 12 features: Kudo, Toyama & Shimbo (1999)."""
    from aeon.datasets import load_japanese_vowels

    def samples(split: str) -> Samples:
        series, names = load_japanese_vowels(split=split)
        lengths = np.array([each.shape[1] for each in series])
        X = np.zeros((len(series), 29, 12))
        for row, each in zip(X, series, strict=True):
            row[: each.shape[1]] = each.T
        return Samples(X, np.array(names).astype(int) - 1, lengths)

    return Task(samples("train"), samples("test"), epochs=30, batch=32, classes=9)


TASKS: dict[str, Callable[[], Task]] = {
    "catchments": catchments, "elnino": elnino, "co2": co2, "vowels": vowels,
}  # fmt: skip
NEEDS = {"elnino": "statsmodels", "co2": "statsmodels", "vowels": "aeon"}


def missing(name: str) -> str | None:
    """The package that has a task's data, where it is not installed."""
    package = NEEDS.get(name)
    return package if package and find_spec(package) is None else None
