"""Names of features, targets and axes."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from numlstm.utils import schema

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
    {"basin", "batch", "batche", "case", "catchment", "episode", "event", "experiment", "gauge"}
    | {"id", "individual", "instance", "location", "member", "participant", "patient"}
    | {"realization", "recording", "row", "sample", "sequence", "series", "session", "site"}
    | {"station", "subject", "trial", "unit", "window"}
)


def called(name: Any, words: frozenset[str]) -> bool:
    """Whether a dimension or level has one of these names, in the singular or plural."""
    word = str(name).lower()
    return word in words or word.removesuffix("s") in words


def tells_apart(name: Any) -> bool:
    """Whether a dimension or level is called as sequences are, alone or as in "gauge_id".

    An "event_time" is a time.
    """
    words = re.split(r"[\W_]+", str(name))
    return any(called(word, SEQUENCES) for word in words) and not called(words[-1], TIMES)


_MOST = 10**6  # names in a file


class Names(NamedTuple):
    """Names of the features, targets and attributes of a model, None where there were none."""

    features: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None
    static: tuple[str, ...] | None = None

    @classmethod
    def restored(cls, fields: Mapping[str, Any]) -> "Names":
        """From the lists in a file, as far as they are there."""
        return cls(**{
            name: schema.texts(name, fields[name], most=_MOST)
            for name in cls._fields
            if name in fields
        })  # fmt: skip

    def require_fit(self, features: int, outputs: int, static: int | None = None) -> None:
        """Refuse names of another number of features, or of more targets than outputs.

        Also, since a file is written of them, what are no different texts.
        """
        for name, value in self._asdict().items():
            if value is not None:
                schema.texts(name, value, most=_MOST)
        if self.features is not None and len(self.features) != features:
            raise ValueError(
                f"there are names of {len(self.features)} features, and {features} of them"
            )
        if self.static is not None and len(self.static) != (static or 0):
            raise ValueError(
                f"there are names of {len(self.static)} attributes, and {static or 0} of them"
            )
        if self.targets is not None and len(self.targets) > outputs:
            raise ValueError(
                f"there are names of {len(self.targets)} targets, and {outputs} output(s)"
            )

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
