"""Labels along one axis: whether they agree, go forward, and how they go on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numlstm.data.labels import times
from numlstm.utils.lazy import cached_property
from numlstm.utils.types import Array

_DAY = np.timedelta64(1, "D")


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
    def attrs(self) -> dict[str, str]:
        """Attributes of a coordinate of xarray with these labels, which has no time zone itself."""
        return {} if self.zone is None else {"time_zone": "UTC"}

    @property
    def is_counted(self) -> bool:
        """Whether the labels are 0, 1, 2, ...: those of an index that nobody chose."""
        counts = self.labels.dtype.kind == "i" or (  # beside the dates of another series
            self.labels.dtype.kind == "O" and all(isinstance(label, int) for label in self.labels)
        )
        return counts and np.array_equal(self.labels, np.arange(len(self)))

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

    def continued(self, count: int, known: "Axis | None" = None) -> tuple[Array, bool] | None:
        """The labels of the next `count` steps where these are regular; and if they are local.

        Where they are not, those that are `known`.
        """
        found = self._continued(count)
        if found is None and known is not None and len(known) >= count and self.ends_before(known):
            return known.labels[:count], False
        return found

    def _continued(self, count: int) -> tuple[Array, bool] | None:
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

    def ends_before(self, other: "Axis") -> bool:
        """Whether the last label comes before the first of the other, of the same type."""
        if self.ticks is None or other.ticks is None or not self.is_comparable(other):
            return False
        kinds = self.ticks.dtype.kind + other.ticks.dtype.kind
        if kinds not in ("mm", "MM") and not set(kinds) <= set("iuf"):
            return False
        mine, others = self.alike(other)
        last, first = mine[-1], others[0]
        if mine.dtype.kind in "Mmiuf" and others.dtype.kind in "Mmiuf":
            return bool(last < first)
        alike = type(last) is type(first)  # objects, whose ticks may count from the first of them
        if not alike or getattr(last, "freqstr", None) != getattr(first, "freqstr", None):
            return False
        pair = times.ticks(np.array([last, first], dtype=object))
        return pair is not None and bool(pair[0] < pair[1])

    def after(self, labels: "Axis") -> "Axis":
        """The labels of the next steps, as computed from these; the rounding is that of a step."""
        found = self.steps()
        if found is None or found[0].unit != "time" or self.ticks is None:
            return labels
        return replace(labels, rounding=times.rounding(self.ticks, found[0].usual, len(labels)))

    def cut(self, start: int, stop: int) -> "Axis":
        """Some of the labels."""
        wall = None if self.wall is None else self.wall[start:stop]
        return replace(self, labels=self.labels[start:stop], wall=wall)

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
