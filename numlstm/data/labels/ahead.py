"""What is known ahead of inputs: found by the labels of both, which must go on from theirs."""

from dataclasses import replace
from typing import Any

import numpy as np

from numlstm.data.labels import times
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled, labelled, require_same
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.lists import Several, require_order
from numlstm.utils.types import Array


def aligned(x: Labelled, future: Labelled) -> Any:
    """The values of what is known ahead, from the first step of x on.

    By its labels where both have some: it must have all those of x, and then those that x goes on
    with. What lies before is left out.
    """
    if isinstance(future, Several):
        return _of_all(x, future)
    if isinstance(future, Grid) and "B" in future.dims:
        x.require_rows(future._seen("B"))
        if isinstance(x, Several):
            rows = future.stepwise
            _require_as_many(x, len(x.items), len(rows))
            pairs = zip(x.items, rows, strict=True)
            return [_from_first(item, future, row, 0) for item, row in pairs]
    if isinstance(x, Several):
        return future.values
    axis = list(future.dims).index("T") if isinstance(future, Grid) else 0
    return _from_first(x, future, future.stepwise, axis)


def _of_all(x: Labelled, future: Several) -> list[Any]:
    """Series by series."""
    if isinstance(x, Grid) and "B" in x.dims:
        names, others = x._seen("B"), _with_order(future)
        require_same(names, others)
        require_order(x.name, names.axes[0] if names.axes else None, others)
        count = x.array.sizes[x.dims["B"]]
        _require_as_many(x, count, len(future.items))
        return [aligned(x, item) for item in future.items]  # all have the times of x
    if not isinstance(x, Several):
        return [item.stepwise for item in future.items]
    x.require_order(_with_order(future))
    _require_as_many(x, len(x.items), len(future.items))
    return [aligned(*pair) for pair in zip(x.items, future.items, strict=True)]


def _with_order(future: Several) -> Several:
    """The same, of more rows than X: how to reorder the series is said for these."""
    order = "{name} with its series in the order of those of {x}"
    axes = tuple(replace(axis, reorder=order) for axis in future.axes)
    return Several(future.name, future.items, axes)


def _require_as_many(x: Labelled, count: int, received: int) -> None:
    if count != received:
        raise ValueError(f"future has {received} series, and {x.name} has {count}: one for each")


def _from_first(x: Labelled, future: Labelled, values: Any, axis: int) -> Any:
    """Values of one form of what is known ahead, from the first step of x on."""
    mine, others = time_axis(x), time_axis(future)
    if mine is None or others is None or not len(mine):
        return values
    start = _place(x, future, mine, others)
    _require_after(x, future, others.cut(start + len(mine), len(others)))
    return np.asarray(values)[(slice(None),) * axis + (slice(start, None),)]


def times_after(x: Labelled, future: Labelled) -> Any:
    """The times of what is known after x, of a list for each series; None where there are none."""
    if isinstance(x, Several):
        parts = future.items if isinstance(future, Several) else [future] * len(x.items)
        return [_rest(*pair) for pair in zip(x.items, parts, strict=True)]
    if not isinstance(future, Several):
        return _rest(x, future)
    each = [_rest(x, item) for item in future.items]
    first = each[0]
    alike = first is not None and all(rest is not None and first.equals(rest) for rest in each)
    return first if alike else None


def gaps(x: Labelled, future: Labelled) -> list[str]:
    """Unequal steps after those of x, in words, where it is not known how x goes on."""
    if isinstance(future, Several):
        mine = x.items if isinstance(x, Several) else [x] * len(future.items)
        return [gap for pair in zip(mine, future.items, strict=True) for gap in gaps(*pair)]
    if isinstance(x, Several):  # all have the times of the one DataArray
        return [gap for item in x.items for gap in gaps(item, future)][:1]
    own, rest = time_axis(x), _rest(x, future)
    if own is None or rest is None or not len(rest):
        return []
    if own.continued(1) is not None or not own.ends_before(rest):
        return []
    late = _unequal_after(own, rest)
    if not late.size:
        return []
    first = int(late[0])
    before = rest.at(first - 1) if first else own.at(-1)
    return [
        f"{future.name} has {late.size} unequal step(s) after {x.name}, the first from {before} to "
        f"{rest.at(first)}"
    ]


def _unequal_after(own: Axis, rest: Axis) -> Array:
    """Positions among what is known of steps that are unequal to the usual ones of all."""
    ticks = times.ticks(np.concatenate(own.alike(rest)))
    found = None if ticks is None else times.steps(ticks)
    late = np.empty(0, int) if found is None else found.unequal
    return late[late >= len(own)] - len(own)


def _rest(x: Labelled, future: Labelled) -> Axis | None:
    """The times of what is known after x."""
    mine, others = time_axis(x), time_axis(future)
    if mine is None or others is None or not len(mine):
        return None
    return others.cut(_place(x, future, mine, others) + len(mine), len(others))


def time_axis(labelled: Labelled) -> Axis | None:
    """The labels of the steps, where there are some."""
    axes = labelled._seen("T").axes if isinstance(labelled, Grid) else labelled.axes
    return axes[0] if axes else None


def _place(x: Labelled, future: Labelled, mine: Axis, others: Axis) -> int:
    """The row of what is known ahead that stands beside the first step of x."""
    others.require_forward(future.name, None)
    first, every = (
        mine.alike(others) if mine.is_comparable(others) else (mine.labels, others.labels)
    )
    kinds = first.dtype.kind + every.dtype.kind
    alike = kinds in ("MM", "mm", "OO", "UU") or set(kinds) <= set("iuf")
    start = 0
    if alike and mine.is_comparable(others):
        start = int(np.argmax(every == first[0])) if len(others) else 0
    _require_own(x, mine, future, others)
    _require_labels(x, mine, future, others.cut(start, start + len(mine)))
    return start


def _require_own(x: Labelled, mine: Axis, future: Labelled, others: Axis) -> None:
    """Refuse what has only rows that lie ahead."""
    if len(others) and mine.ends_before(others):
        raise ValueError(
            f"{future.name} begins at {others.at(0)}, behind the end of {x.name} at "
            f"{mine.at(-1)}: it needs the rows of {x.name}, too, of which the network is told as "
            "it reads them; join both, as in pandas.concat([past, ahead])"
        )


def _require_labels(x: Labelled, mine: Axis, future: Labelled, others: Axis) -> None:
    """Refuse other labels than those of x."""
    if len(others) < len(mine) and len(others) and mine.cut(0, len(others)).equals(others):
        raise ValueError(
            f"{future.name} ends at {others.at(-1)}, before {x.name}, which ends at {mine.at(-1)}: "
            "pass its rows for all steps of X, and for those that are to be forecast"
        )
    require_same(labelled(x.name, mine), labelled(future.name, others))


def _require_after(x: Labelled, future: Labelled, rest: Axis) -> None:
    """Refuse labels that x does not go on with."""
    if not len(rest):
        return
    after = x.continued(len(rest))
    if isinstance(after, Grid):
        after = after._seen("T")
    require_same(after, labelled(future.name, rest))
