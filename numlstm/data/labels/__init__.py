"""Labels at the public doors: what has an index, columns or coordinates becomes plain arrays.

Inside there are arrays alone. What had labels is compared with what stands beside it, its features
are put in the order that the model knows, and predictions get the labels of their inputs.
"""

from typing import Any

import numpy as np

from numlstm.data.labels import ahead, grids, remedies, tables
from numlstm.data.labels.attributes import Attributes, of_frame, of_grid
from numlstm.data.labels.base import Labelled
from numlstm.data.labels.ends import Ends
from numlstm.data.labels.frames import Frame
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.lists import Several
from numlstm.data.labels.names import UNNAMED, Names
from numlstm.data.labels.panels import Panel
from numlstm.data.labels.places import named
from numlstm.utils import checks
from numlstm.utils.notices import warn
from numlstm.utils.sliced import whole

__all__ = [
    "UNNAMED", "Attributes", "Ends", "Frame", "Grid", "Labelled", "Names", "Panel", "Several",
    "attributes", "beside", "classes", "companion", "has_labels", "inputs", "known_ahead",
    "named", "read", "read_samples", "require_no_steps", "require_plain", "same_names", "samples",
    "targets", "times_ahead", "weights", "with_rows",
]  # fmt: skip


_LABELLED = ("frame", "grid")
_BATCH = Labelled("X", np.empty((0, 0, 0)))


def inputs(
    name: str, X: Any, features: tuple[str, ...] | None = None, reset: Any = None
) -> Labelled:
    """Sequences with their labels, features in the order given; their times must go forward.

    A gap in time is a warning; where `reset` begins a sequence anew there is none. What an
    estimator has read stays as it is.
    """
    if isinstance(X, Labelled):
        return X
    given = read(name, X, features)
    if type(given) is not Labelled:
        _say_gaps(given.gaps(beside(given, "reset", reset)))
    return given


def with_rows(X: Any, names: Names, lengths: Any, reset: Any) -> tuple[Labelled, Any, Any]:
    """Sequences to predict for, as `inputs`, and the values of their lengths and resets."""
    given = inputs("X", X, names.features, reset)
    return given, beside(given, "lengths", lengths), beside(given, "reset", reset)


def _say_gaps(gaps: list[str]) -> None:
    if gaps:
        more = f" {len(gaps) - 1} more series have gaps." if len(gaps) > 1 else ""
        warn(
            f"{gaps[0]}.{more} The network takes all steps as equal: give the missing ones as NaN "
            'with missing="mask", cut the series where it is interrupted, into a list or by '
            "reset=, or pass plain arrays."
        )


def samples(X: Any, features: tuple[str, ...] | None) -> Labelled:
    """As `inputs`, for those to whom a row of two dimensions is a sequence, not a step."""
    given = read_samples(X, features)
    if not isinstance(given, Frame):
        _say_gaps(given.gaps(None))
    return given


def read_samples(X: Any, features: tuple[str, ...] | None) -> Labelled:
    """The same without a word about gaps."""
    kind = _kind(type(X))
    wanted = None if kind == "frame" else features  # scikit-learn compares those of a frame
    given = read("X", X, wanted, None if kind == "list" else _BATCH)
    if isinstance(given, Panel):
        raise ValueError(
            "X has an index of several levels: pass X.reset_index(drop=True) if every row is a "
            f"sample of its own, and for several series {given.listed('X')}; y alike, "
            f'{given.listed("y")}, with output="sequence", or as one target for each'
        )
    if isinstance(given, Frame):
        _make_samples(given)
        _ = given.values  # scikit-learn, which reads it, would make numbers of other columns
    return given


def require_no_steps(x: Labelled, y: Any) -> None:
    """Refuse a target for every step of every series where there is to be one for each series."""
    if not isinstance(x, Several):
        return
    other = read("y", y, None, x)
    if isinstance(x.agreed(other), Several):
        last = "[numpy.asarray(part)[-1] for part in y]"
        if isinstance(other, Panel):
            last = f"{other.grouped('y')}.last()"
        raise ValueError(
            "y has the labels of X, a target for every step, and output='last' takes one for each "
            f'series: pass output="sequence", or {last}'
        )


def targets(x: Labelled, y: Any) -> Any:
    """Numbers beside samples; labels must agree."""
    return _beside_samples(x, "y", y).values


def classes(x: Labelled, y: Any) -> Any:
    """Names of classes beside samples, of a frame as they are: may be texts; labels must agree."""
    other = _beside_samples(x, "y", y)
    return other.values if isinstance(other, (Grid, Panel)) else y


def weights(x: Labelled, sample_weight: Any) -> Any:
    """Weights of samples; labels must agree."""
    return _one_per_row(x, _beside_samples(x, "sample_weight", sample_weight))


def _beside_samples(x: Labelled, name: str, value: Any) -> Labelled:
    _require_no_names(x, name, value)
    other = read(name, value, None, x)
    if isinstance(other, Frame):
        _make_samples(other)
    return x.agreed(other)


def _make_samples(frame: Frame) -> None:
    """Let the rows of a frame be sequences; dates are no numbers of them."""
    frame.are_samples = True
    if frame.time is not None:
        raise TypeError(
            f"{frame.name} has a column of dates, {str(frame.time.name)!r}, but of samples every "
            "column is read as numbers: leave it out; in pandas an index may say what a row is"
        )


def beside(x: Labelled, name: str, value: Any, wanted: tuple[str, ...] | None = None) -> Any:
    """One value for each row or step of the inputs x, with the same labels."""
    return None if value is None else _one_per_row(x, companion(x, name, value, wanted))


def _one_per_row(x: Labelled, other: Labelled) -> Any:
    """The values; of a frame of one column, or of one feature, without an axis for it."""
    if isinstance(other, Several):
        return [_one_per_row(x, item) for item in other.items]
    if isinstance(other, Frame):
        of_one_step = getattr(x.values, "shape", ())[1:-1] == (1,)
        if not of_one_step:  # else the column may be that of the steps
            return other.values if other.column is None else other.column
    values = other.values
    is_extra = isinstance(other, Grid) and "I" in other.dims and values.shape[-1] == 1
    return values[..., 0] if is_extra else values


def attributes(
    x: Labelled, value: Any, wanted: tuple[str, ...] | None = None, *, many: bool = False
) -> Attributes:
    """Attributes of whole sequences beside the inputs x; the names of series must agree.

    There are `many` sequences where the inputs say so, or the caller.
    """
    if value is None:
        return Attributes()
    kind = _kind(type(value))
    if kind == "list" and _any_labelled(value):
        raise TypeError(
            "static must be one array, frame or DataArray with a row for each sequence, received a "
            "list with labels: in pandas, pass pandas.DataFrame(static)"
        )
    if kind in _LABELLED:
        read_one = of_grid if kind == "grid" else of_frame
        return read_one(x, value, wanted, many=many or "B" in x.roles)
    return Attributes(whole(value))


def companion(
    x: Labelled, name: str, value: Any, wanted: tuple[str, ...] | None = None
) -> Labelled:
    """What stands beside the inputs x, such as targets; labels must agree where both have some."""
    _require_no_names(x, name, value)
    return x.agreed(read(name, value, wanted, x))


def same_names(x: Labelled, name: str, value: Any, like: Labelled | None) -> tuple[str, ...] | None:
    """The names of x, where a value has these in whatever order; else None.

    What has other names is another thing, of which position tells what it stands beside.
    """
    own = read(name, value, None, like).features
    alike = own is not None and x.features is not None and set(own) == set(x.features)
    return x.features if alike else None


def known_ahead(
    x: Labelled, future: Any, wanted: tuple[str, ...] | None = None
) -> tuple[Any, tuple[str, ...] | None]:
    """Values that are known ahead, from the first step of the inputs x on, and their names."""
    if future is None:
        return None, None
    _require_no_names(x, "future", future)
    given = read("future", future, wanted, x)
    if wanted is None:  # else the names are those of a model, which had to choose them
        _say_shared(x, given)
    values = ahead.aligned(x, given)
    _say_gaps(ahead.gaps(x, given))
    return values, given.features


def times_ahead(x: Labelled, future: Any) -> Any:
    """The times after the inputs x, of each series, of which something is known."""
    return None if future is None else ahead.times_after(x, read("future", future, None, x))


def _say_shared(x: Labelled, future: Labelled) -> None:
    """Say which features are both observed and known ahead."""
    known = set(future.features or ())
    if shared := [feature for feature in x.features or () if feature in known]:
        listed = ", ".join(map(repr, shared))
        warn(
            f"{x.name} and future both have {listed}: what is known ahead is read from future, and "
            f"in {x.name} it is read again and, without y, forecast; leave it out of {x.name}"
        )


def _require_no_names(x: Labelled, name: str, value: Any) -> None:
    """Refuse the names of columns of X in the place of values."""
    titles = [value] if isinstance(value, str) else value
    if not isinstance(titles, list) or not titles or not all(isinstance(t, str) for t in titles):
        return
    frame = x.items[0] if isinstance(x, Panel) else x
    if not isinstance(frame, Frame) or len(set(titles)) < len(titles) or frame.is_column:
        return
    is_label = isinstance(value, list) and len(titles) == frame.rows  # of a class, called alike
    if not is_label and set(titles) <= set(frame.features or ()):
        raise TypeError(
            f"{name} must hold values, received {checks.shown(value)}, which {x.name} has as "
            f"columns: {remedies.of_names(frame, name, value)}"
        )


def read(
    name: str, value: Any, wanted: tuple[str, ...] | None = None, like: Labelled | None = None
) -> Labelled:
    """A value with its labels; `like` are the inputs that it stands beside, if it is none."""
    kind = _kind(type(value))
    if kind == "list" and _any_labelled(value):
        return _several(name, list(value), wanted, like)
    if kind == "grid":
        return grids.read(name, value, wanted, like)
    return tables.read(name, value, wanted, like) if kind == "frame" else Labelled(name, value)


def _several(
    name: str, values: list[Any], wanted: tuple[str, ...] | None, like: Labelled | None
) -> Several:
    """A list of which some have labels: features in the order of the first that has names."""
    items: list[Labelled] = []
    own = like.items if isinstance(like, Several) else [like] * len(values)
    for index, value in enumerate(values):
        item = read(f"{name}[{index}]", value, wanted, own[index] if index < len(own) else like)
        if isinstance(item, Several):
            raise ValueError(
                f"{name}[{index}] holds several series: make a list with one entry for each, or "
                "one frame of all"
            )
        if not item.is_column:  # the names of columns may be those of the series
            wanted = wanted or item.features
        items.append(item)
    return Several(name, items)


def has_labels(value: Any) -> bool:
    """Whether this is a frame, a series or a DataArray, or a list with such among its parts."""
    kind = _kind(type(value))
    return kind in _LABELLED or (kind == "list" and _any_labelled(value))


def require_plain(name: str, value: Any) -> None:
    """Refuse labels where arrays are read by position."""
    if has_labels(value):
        raise TypeError(
            f"{name} has labels, received {type(value).__name__}: here an array is read, "
            f"{name}.to_numpy(), with the features in the order of the model; predict and rollout "
            "take labels, in the units of the data, and the others the units of the network"
        )


def _any_labelled(values: Any) -> bool:
    return any(_kind(cls) in _LABELLED for cls in set(map(type, values)))


def _kind(cls: type) -> str:
    """What the values of a class are: an "array", a "list"; with labels a "grid" or "frame"."""
    if issubclass(cls, (np.ndarray, np.generic, int, float, str, bytes, type(None))):
        return "array"
    if issubclass(cls, (list, tuple)):
        return "list"
    if hasattr(cls, "dims") and (hasattr(cls, "coords") or hasattr(cls, "isel")):
        return "grid"
    tabular = ("to_numpy", "columns", "column_names", "collect")
    return "frame" if any(hasattr(cls, name) for name in tabular) else "array"
