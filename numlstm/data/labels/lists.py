"""Lists of series, each with labels of its own."""

import re
from dataclasses import replace
from typing import Any

import numpy as np

from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled, labelled, require_no_more, require_same
from numlstm.data.labels.names import Names
from numlstm.utils.lazy import cached_property


class Several(Labelled):
    """A list of series with labels.

    Attributes
    ----------
    items : list of Labelled
        The series.
    """

    roles = "BTI"

    def __init__(self, name: str, items: list[Labelled], keys: tuple[Axis, ...] = ()):
        self.name, self.items, self.axes = name, items, keys
        if items:
            self.features, self.shown = items[0].features, items[0].shown
            if any(item.is_column and item.features != self.features for item in items):
                self.features = None  # they are names of the series

    @cached_property
    def titles(self) -> Axis | None:
        """The names of series of one feature each, where they tell these apart."""
        names = [item.title for item in self.items if item.is_column]
        if len(names) < max(2, len(self.items)) or None in names or len(set(names)) < len(names):
            return None
        labels = np.empty(len(names), object)
        for index, name in enumerate(names):  # which may be a tuple
            labels[index] = name
        plain = "[series.to_numpy() for series in {name}]"
        order = "the series of {name} in the order of those of {x}"
        return Axis(labels, "names", reorder=order, plain=plain)

    @cached_property
    def values(self) -> Any:
        """The arrays of the series."""
        return [item.values for item in self.items]

    @property
    def sliceable(self) -> Any:
        """The same, but of what is not in memory what is read slice by slice."""
        lazy = any(getattr(item, "is_lazy", False) for item in self.items)
        return [item.sliceable for item in self.items] if lazy else self.stepwise

    def agreed(self, other: Labelled) -> Labelled:
        """The other one: a list with the same labels, series by series."""
        self.require_order(other)
        if isinstance(other, Several) and len(self.items) == len(other.items):
            pairs = zip(self.items, other.items, strict=True)
            return Several(other.name, [mine.agreed(theirs) for mine, theirs in pairs], other.axes)
        if isinstance(other.values, (list, tuple)) and len(self.items) == len(other.values):
            for index, (mine, part) in enumerate(zip(self.items, other.values, strict=True)):
                mine.agreed(Labelled(f"{other.name}[{index}]", part))
        return other

    @property
    def keys(self) -> Axis | None:
        """The labels of the series, or else their names."""
        return self.axes[0] if self.axes else self.titles

    def require_order(self, other: Labelled) -> None:
        """Refuse other labels of series, and their names in another order than these have."""
        require_same(self, other)
        require_order(self.name, self.keys, other)

    def require_rows(self, rows: Labelled) -> None:
        """Refuse rows of other labels than the series have, or than they are called."""
        if self.axes or self.titles is None or not rows.axes or rows.axes[0].is_counted:
            super().require_rows(rows)
            return
        order = re.sub(r"\{x\}\.\w+", "[series.name for series in {x}]", rows.axes[0].reorder)
        axis = replace(rows.axes[0], reorder=order)
        require_no_more(self.name, self.titles, rows.name, axis)
        require_same(labelled(self.name, self.titles), labelled(rows.name, axis))

    def restore(self, Y: Any, names: Names) -> Any:
        """A list, series by series; of one prediction per series an array."""
        if not isinstance(Y, list) and Y.ndim < 3:
            return Y
        return [item.restore(part, names) for item, part in zip(self.items, Y, strict=True)]

    def continued(self, count: int, known: Any = None) -> Labelled:
        """What comes after every series."""
        after = Several(self.name, self._each_continued(count, known), self.axes)
        after.is_future = True
        return after

    def _each_continued(self, count: int, known: Any) -> list[Labelled]:
        each = [None] * len(self.items) if known is None else known
        return [item.continued(count, own) for item, own in zip(self.items, each, strict=True)]

    def gaps(self, reset: Any) -> list[str]:
        """Those of all series."""
        alone = isinstance(reset, (list, tuple)) and len(reset) == len(self.items)
        resets = reset if alone else [None] * len(self.items)
        return [
            gap for item, part in zip(self.items, resets, strict=True) for gap in item.gaps(part)
        ]


def require_order(name: str, keys: Axis | None, other: Labelled) -> None:
    """Refuse a list whose series are called as those of `name`, in another order.

    Other names may be of anything.
    """
    theirs = other.keys if isinstance(other, Several) else None
    if keys is not None and theirs is not None and keys.is_permutation(theirs):
        require_same(labelled(name, keys), labelled(other.name, theirs))
