"""What is known ahead of inputs: found by the labels of both, which must go on from theirs."""

from typing import Any

import numpy as np

from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled, require_same
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.lists import Several


def aligned(x: Labelled, future: Labelled) -> Any:
    """The values of what is known ahead, from the first step of x on.

    By its labels where both have some: it must have all those of x, and then those that x goes on
    with. What lies before is left out.
    """
    if isinstance(future, Several):
        return _of_all(x, future)
    if isinstance(x, Several):
        return future.values
    axis = 0
    if isinstance(future, Grid):
        axis = list(future.dims).index("T")
        if isinstance(x, Grid) and "B" in x.dims:
            require_same(x._seen("B"), future._seen("B"))
    mine, others = time_axis(x), time_axis(future)
    values = future.stepwise
    if mine is None or others is None or not len(mine):
        return values
    start = _place(x, future, mine, others)
    _require_after(x, future, others.cut(start + len(mine), len(others)))
    return np.asarray(values)[(slice(None),) * axis + (slice(start, None),)]


def _of_all(x: Labelled, future: Several) -> list[Any]:
    """Series by series."""
    if not isinstance(x, Several):
        return [item.stepwise for item in future.items]
    require_same(x, future)
    if len(x.items) != len(future.items):
        raise ValueError(
            f"future has {len(future.items)} series, and {x.name} has {len(x.items)}: one for each"
        )
    return [aligned(*pair) for pair in zip(x.items, future.items, strict=True)]


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
    require_same(_with(x.name, mine), _with(future.name, others))


def _require_after(x: Labelled, future: Labelled, rest: Axis) -> None:
    """Refuse labels that x does not go on with."""
    if not len(rest):
        return
    after = x.continued(len(rest))
    if isinstance(after, Grid):
        after = after._seen("T")
    require_same(after, _with(future.name, rest))


def _with(name: str, axis: Axis) -> Labelled:
    """Labels alone."""
    found = Labelled(name, None)
    found.axes = (axis,)
    return found
