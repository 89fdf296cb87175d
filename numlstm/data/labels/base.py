"""Names of features, labels of steps and sequences, and the rules by which they agree."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from numlstm.data.labels import times
from numlstm.data.labels.times import ROUNDING
from numlstm.utils.types import Array

_DAY = np.timedelta64(1, "D")
# what a time is called, in lower case and singular
TIMES = frozenset(
    {"date", "datetime", "day", "hour", "month", "step", "t", "time", "timestamp", "week", "year"}
    | {"dayofyear", "day_of_year", "doy", "minute", "quarter", "season", "second", "slot"}
)
# what dimensions and levels of features and sequences are called
FEATURES = frozenset(
    {"channel", "covariate", "feature", "input", "output", "predictor", "target", "var", "variable"}
)
SEQUENCES = frozenset(
    {"basin", "batch", "batche", "case", "catchment", "gauge", "id", "individual", "instance"}
    | {"location", "member", "patient", "realization", "row", "sample", "sequence", "series"}
    | {"site", "station", "subject", "unit", "window"}
)


def called(name: Any, words: frozenset[str]) -> bool:
    """Whether a dimension or level has one of these names, in the singular or plural."""
    word = str(name).lower()
    return word in words or word.removesuffix("s") in words


def tells_apart(name: Any) -> bool:
    """Whether a dimension or level is called as sequences are, alone or as in "gauge_id"."""
    return any(called(word, SEQUENCES) for word in re.split(r"[\W_]+", str(name)))


class Names(NamedTuple):
    """Names of the features and targets of a model, None where there were none."""

    features: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None

    def outputs(self, width: int, taken: tuple[str, ...] = ()) -> list[str]:
        """A name for each output: the target's own, else y0, y1, ...; none twice or taken."""
        return _distinct(self._titles(width), taken)

    def _titles(self, width: int) -> list[str]:
        targets = self.targets or ()
        if len(targets) == width:
            return list(targets)
        if 2 * len(targets) == width:
            return [*targets, *(f"{name}_log_variance" for name in targets)]
        return [f"y{index}" for index in range(width)]


def _distinct(titles: list[str], taken: tuple[str, ...]) -> list[str]:
    """The same titles, longer where they are taken or there before."""
    found: list[str] = []
    for title in titles:
        free = title
        while free in (*taken, *found) or (free != title and free in titles):
            free += "_predicted"
        found.append(free)
    return found


UNNAMED = Names()


@dataclass(frozen=True, eq=False)
class Axis:
    """The labels along one axis of an array.

    Attributes
    ----------
    labels : ndarray, shape (N,)
        Any labels; times in UTC.
    name : str
        Of the index, column or dimension.
    sort, reorder : str
        Code that sorts {name} by it, and that puts {name} in the order of {x}.
    zone : str or None
        Time zone.
    wall : ndarray, shape (N,), or None
        Times as clocks in that zone show them.
    plain : str
        Code that makes an array of {name}.
    rounding : number, duration or None
        Labels that differ by no more are equal, where these were computed.
    """

    labels: Array
    name: str = "index"
    sort: str = "{name}.sort_index()"
    reorder: str = "{name}.loc[{x}.index]"
    zone: str | None = None
    wall: Array | None = None
    plain: str = "{name}.to_numpy()"
    rounding: Any = None

    @cached_property
    def ticks(self) -> Array | None:
        """The labels as numbers or times that can be subtracted, where they can."""
        return times.ticks(self.labels)

    @cached_property
    def instants(self) -> Array | None:
        """Dates in any form as times in UTC; None for what is no single moment."""
        dates = self.ticks is not None and self.ticks.dtype.kind == "M"
        return self.ticks if dates and not times.are_intervals(self.labels) else None

    @cached_property
    def has_zone(self) -> bool:
        """Whether the labels are times of a zone, or with an offset from UTC each."""
        return self.zone is not None or times.have_offset(self.labels)

    def is_comparable(self, other: "Axis") -> bool:
        """Whether both have a time zone, or none has."""
        return self.has_zone == other.has_zone

    def equals(self, other: "Axis") -> bool:
        """Whether the labels are the same, in the same order; dates in any form."""
        if not self.is_comparable(other):
            return False
        return np.array_equal(*self.alike(other)) or self._is_rounded(other)

    def _is_rounded(self, other: "Axis") -> bool:
        """Whether these labels were computed, and differ by no more than their rounding."""
        mine, theirs = self.alike(other)
        kinds = mine.dtype.kind + theirs.dtype.kind
        alike = kinds in ("mm", "MM") or set(kinds) <= set("iuf")
        if self.rounding is None or not alike or mine.shape != theirs.shape:
            return False
        return bool((np.abs(mine - theirs) <= self.rounding).all())

    def is_permutation(self, other: "Axis") -> bool:
        """Whether the labels are the same, in any order."""
        if not self.is_comparable(other) or len(self) != len(other):
            return False
        mine, theirs = self.alike(other)
        if mine.dtype.kind == theirs.dtype.kind and mine.dtype.kind in "mM":  # of any unit
            return np.array_equal(np.sort(mine), np.sort(theirs))
        return set(mine.tolist()) == set(theirs.tolist())

    def alike(self, other: "Axis") -> tuple[Array, Array]:
        """The labels of both as they are compared: as times where both are dates."""
        if self.instants is None or other.instants is None:
            return self.labels, other.labels
        return self.instants, other.instants

    @property
    def is_time(self) -> bool:
        """Whether the labels are dates."""
        return self.labels.dtype.kind == "M"

    @property
    def is_counted(self) -> bool:
        """Whether the labels are 0, 1, 2, ...: those of an index that nobody chose."""
        return self.labels.dtype.kind == "i" and np.array_equal(self.labels, np.arange(len(self)))

    def require_forward(
        self, name: str, joins: Array | None, split: Callable[[], str] | None = None
    ) -> None:
        """Refuse steps that are not in the order of time.

        `split` says how rows of several series are told apart, "" where nothing does.
        """
        if self.ticks is None:
            self._require_certain(name)
            return
        if (holes := np.isnan(self.ticks)).any():
            raise ValueError(
                f"the {self.name} of {name} has {int(holes.sum())} missing label(s), the first at "
                f"row {int(np.argmax(holes))}: drop those rows"
            )
        wrong = times.backward(self.ticks, joins)
        if wrong.size == 0:
            return
        t = int(wrong[0])
        repeated = bool(np.unique(self.ticks).size < len(self))
        advice = split() if repeated and split is not None else ""
        raise ValueError(
            f"the {self.name} of {name} does not go forward: {self.at(t)} follows {self.at(t - 1)} "
            f"({wrong.size} such step(s)). {advice or self._in_order(name, repeated)}"
        )

    def _in_order(self, name: str, repeated: bool) -> str:
        """How to put steps in the order of time, or to do without one."""
        once = (
            ", and keep each time once; several series go into a list with one entry each, or have "
            "reset= where one begins"
        )
        return (
            f"Sort it, {self.sort.format(name=name)}, and what stands beside it alike"
            f"{once * repeated}; {self.plain.format(name=name)} is read without its labels"
        )

    def _require_certain(self, name: str) -> None:
        """Refuse texts of which only one thing is known: that they are dates."""
        if len(self) > 1 and times.is_doubtful(self.labels):
            raise ValueError(
                f"the {self.name} of {name} has dates as texts, such as {self.at(0)!r}, that can "
                "be read in several ways or in none: write them as dates, by pandas.to_datetime "
                f"with format=, or as year-month-day; {self.plain.format(name=name)} is read "
                "without its labels"
            )

    def steps(self, joins: Array | None = None) -> tuple[times.Steps, bool] | None:
        """The usual step, and whether it is one of local clocks."""
        every = [(self.ticks, False), (self.wall, True)]
        found = [
            (steps, local)
            for ticks, local in every
            if ticks is not None and (steps := times.steps(ticks, joins))
        ]
        return min(found, key=lambda pair: pair[0].unequal.size, default=None)

    def gaps(self, name: str, reset: Any, split: Callable[[], str] | None = None) -> list[str]:
        """Unequal steps of what is called so, in words; steps back in time are refused.

        Where `reset`, (T,) or (B, T), begins all sequences anew, anything may follow.
        """
        joins: Any = None
        if np.ndim(reset) in (1, 2) and np.shape(reset)[-1] == len(self):
            joins = np.atleast_2d(np.asarray(reset, bool)).all(axis=0)
        self.require_forward(name, joins, split)
        found = self.steps(joins)
        if found is None or (unequal := found[0].unequal).size == 0:
            return []
        first = f"the first from {self.at(int(unequal[0]) - 1)} to {self.at(int(unequal[0]))}"
        return [f"{name} has {unequal.size} unequal step(s), {first}"]

    def continued(self, count: int) -> tuple[Array, bool] | None:
        """The labels of the next `count` steps where these are regular; and if they are local."""
        found = self.steps()
        if found is None or found[0].unequal.size:
            return None
        steps, local = found
        if self.wall is not None and (steps.unit != "time" or steps.usual % _DAY == 0 * _DAY):
            again = times.steps(self.wall)  # whole days are those of the clock
            if again is not None and again.unequal.size == 0:
                steps, local = again, True
        labels = self.wall if local and self.wall is not None else self.labels
        after = times.continued(labels, steps, count)
        return None if after is None else (after, local)

    def after(self, labels: "Axis") -> "Axis":
        """The labels of the next steps, as computed from these; the rounding is that of a step."""
        found = self.steps()
        usual = None if found is None or found[0].unit != "time" else found[0].usual
        return replace(labels, rounding=None if usual is None else usual * ROUNDING)

    def at(self, row: int) -> str:
        """One label in words."""
        label = (self.labels if self.wall is None else self.wall)[row]
        if self.labels.dtype.kind == "f" and self.rounding is not None:
            return f"{label:.12g}"
        if self.labels.dtype.kind == "m" and not np.isnat(label):
            return str(label.astype("timedelta64[us]").item())
        if self.labels.dtype.kind != "M" or np.isnat(label):
            return str(label)
        day = label.astype("datetime64[D]")
        return str(day if day == label else label.astype("datetime64[s]")).replace("T", " ")

    def __len__(self) -> int:
        """Number of labels."""
        return int(self.labels.size)

    def __str__(self) -> str:
        """Their number, the first and the last."""
        return f"{len(self)} labels from {self.at(0)} to {self.at(-1)}" if len(self) else "no rows"


class Labelled:
    """Data at a public door: an array, or a list of arrays, and the labels that it came with.

    This one has none; frames, DataArrays and lists of them have.

    Attributes
    ----------
    name : str
        What the caller calls it.
    values : array_like, or list of array_like
        Without labels, axes and features in the order in which they are read.
    features : tuple of str, or None
        Names of the last axis, or the name of a single series.
    axes : tuple of Axis
        Labels of the first axis; several where any may be meant.
    """

    features: tuple[str, ...] | None = None
    axes: tuple[Axis, ...] = ()
    is_future = False  # made by `continued`
    is_column = False  # one feature without an axis, whose name is that of the whole

    def __init__(self, name: str, values: Any):
        self.name, self.values = name, values

    @property
    def roles(self) -> str:
        """The axes that there can be: sequences B, time T and features I."""
        return "BTI" if isinstance(self.values, list) or np.ndim(self.values) == 3 else "TI"

    @property
    def stepwise(self) -> Any:
        """The values, with an axis for features where they are known to be one per step."""
        return self.values

    def agreed(self, other: "Labelled") -> "Labelled":
        """The other one, which must have the same labels where both have some."""
        require_same(self, other)
        return other

    def outputs(self, names: Names, width: int) -> list[str]:
        """Names of the outputs beside the labels of these inputs."""
        return names.outputs(width)

    def restore(self, Y: Any, names: Names) -> Any:
        """Predictions with the labels of these inputs."""
        return Y

    def continued(self, count: int) -> "Labelled":
        """What comes after these inputs: no values, but labels for `count` steps."""
        return self

    def gaps(self, reset: Any) -> list[str]:
        """Unequal steps in words; steps back in time are refused."""
        return []


def require_same(x: Labelled, other: Labelled) -> None:
    """Refuse labels that differ, in value or in order."""
    mine, others = x.axes, other.axes
    if not mine or not others or (x.is_future and others[0].is_counted):
        return
    if mine[0].is_time and others[0].is_time:
        mine, others = mine[:1], others[:1]
    if any(a.equals(b) for a in mine for b in others):
        return
    a, b = mine[0], others[0]
    plain = f"{b.plain.format(name=other.name)} goes with {x.name} by position"
    if a.is_permutation(b):
        fix = f"pass {b.reorder.format(name=other.name, x=x.name)}"
        if x.is_future:  # whose labels are nowhere yet
            fix = f"put its times in order, and the series among its rows in that of {x.name}"
        raise ValueError(
            f"{other.name} has the labels of {x.name} in another order: {_difference(x, other)}; "
            f"{fix}; {plain}"
        )
    if x.is_future and a.is_comparable(b):
        by_position = f"; {b.plain.format(name=other.name)} goes with the forecasts by position"
        raise ValueError(_of_other_times(x, other) + by_position * (len(a) == len(b)))
    raise ValueError(
        f"{other.name} has other labels than {x.name}: {_difference(x, other)}; keep the rows that "
        f"both have, in the same order and with labels of the same type; {plain}"
    )


def _of_other_times(x: Labelled, other: Labelled) -> str:
    """What stands beside forecasts has other times than these, in words."""
    a, b = x.axes[0], other.axes[0]
    received = f"begins at {b.at(0)}" if len(b) else "has no rows"
    if len(a) != len(b):
        received = f"has {b}"
    elif len(b) and a.at(0) == b.at(0):
        received = _difference(x, other).replace(f"{x.name} has", "the forecast is at", 1)
    return (
        f"{other.name} has other labels than {x.name} goes on with: the first of {len(a)} "
        f"forecasts is at {a.at(0)}, the last at {a.at(-1)}, and {other.name} {received}. Pass the "
        "rows of these times, with labels of the same type"
    )


def _difference(x: Labelled, other: Labelled) -> str:
    """Where labels differ, in words."""
    a, b = x.axes[0], other.axes[0]
    if not a.is_comparable(b):
        zone = a.zone or b.zone
        one = "times with an offset from UTC" if zone is None else f"the time zone {zone}"
        return f"one has {one}, the other has none"
    if len(a) != len(b):
        return f"{x.name} has {a}, {other.name} has {b}"
    mine, theirs = a.alike(b)
    row = int(np.argmax(mine != theirs))
    words = [a.at(row), b.at(row)]
    if words[0] == words[1]:
        words = [f"{axis.at(row)} as {type(axis.labels[row]).__name__}" for axis in (a, b)]
    return f"in row {row} {x.name} has {words[0]}, {other.name} {words[1]}"


def order(
    name: str, have: tuple[str, ...], wanted: tuple[str, ...] | None
) -> tuple[list[int] | None, tuple[str, ...]]:
    """Positions of the wanted features, None where they stand so, and their names."""
    if len(set(have)) < len(have):
        twice = sorted({feature for feature in have if have.count(feature) > 1})
        raise ValueError(f"{name} has several features named {', '.join(map(repr, twice))}")
    if wanted is None or have == wanted:
        return None, have
    lacks = [feature for feature in wanted if feature not in have]
    more = [feature for feature in have if feature not in wanted]
    if lacks or more:
        words = [f"lacks {_listed(lacks)}"] * bool(lacks)
        words += [f"has {_listed(more)}, which is not known"] * bool(more)
        if not wanted:
            raise ValueError(
                f"{name} {words[0]}: the model has no features but those that it forecasts, leave "
                f"{name.partition('[')[0]}= out"
            )
        raise ValueError(
            f"{name} {' and '.join(words)}: expected are {_listed(wanted)}, by name in any order, "
            "or an array without names in this one"
        )
    return [have.index(feature) for feature in wanted], wanted


def _listed(names: Any) -> str:
    shown = [repr(name) for name in list(names)[:20]]
    return ", ".join(shown + ["..."] * (len(names) > 20))
