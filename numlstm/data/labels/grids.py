"""DataArrays of xarray, known by their own attributes: arrays do without xarray."""

import copy
import re
from dataclasses import replace
from typing import Any

import numpy as np

from numlstm.data.labels import times
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.base import Labelled, require_same
from numlstm.data.labels.lists import Several, require_order
from numlstm.data.labels.names import FEATURES, SEQUENCES, TIMES, Names, called, order, tells_apart
from numlstm.data.labels.times import Likeness
from numlstm.utils.lazy import cached_property

_EITHER = frozenset({"sample"})  # a sequence to some, a step of one to others
_ROLES = {"B": "sequence", "T": "time", "I": "feature"}


def read(name: str, array: Any, wanted: tuple[str, ...] | None, like: Labelled | None) -> Labelled:
    """A DataArray with its labels; `like` are the inputs that it stands beside, if it is none.

    A Variable is one without coordinates.
    """
    if not hasattr(array, "coords"):
        import xarray as xr  # whoever has a Variable has loaded it

        array = xr.DataArray(array)
    if not hasattr(type(array), "values") or hasattr(array, "data_vars"):
        raise TypeError(
            f"{name} is an xarray {type(array).__name__}, which is no single array: pass "
            f'{name}.to_dataarray("feature"), or one of its variables'
        )
    dims = tuple(array.dims)
    if not dims or (not array.coords and all(re.fullmatch(r"dim_\d+", str(d)) for d in dims)):
        return Labelled(name, array.values)  # nobody named its dimensions
    return Grid(name, array, wanted, like)


class Grid(Labelled):
    """A DataArray.

    Attributes
    ----------
    array : xarray.DataArray
        As the caller has it.
    dims : dict of str to str
        The dimensions of sequences "B", time "T" and features "I", in this order.
    """

    _past: Axis | None = None  # as `past`, of the time, which need not be the first axis

    def __init__(
        self, name: str, array: Any, wanted: tuple[str, ...] | None, like: Labelled | None
    ):
        self.name, self.array = name, array
        self.dims = _dims(name, array, like)
        _require_no_stack(name, array, self.dims.get("T"))
        self._ordered = array.transpose(*self.dims.values())
        self._along = {role: self._axis(dim) for role, dim in self.dims.items()}
        features = self._along.get("I")
        if features is not None:
            have = tuple(str(label) for label in features.labels)
            self.shown = have
            positions, self.features = order(name, have, wanted)
            if positions is not None:
                self._ordered = self._ordered.isel({self.dims["I"]: positions})
        elif "I" not in self.dims and array.name is not None:
            self.is_column = True
            _, self.features = order(name, (str(array.name),), wanted)
        self.axes = self._seen(next(iter(self.dims))).axes  # for what is no DataArray

    @cached_property
    def values(self) -> Any:  # read where they are asked for
        """The values, with axes and features in the order in which they are read."""
        return self._ordered.values

    @property
    def title(self) -> Any:
        """The name of an array without a dimension of features, as the caller has it."""
        return self.array.name if self.is_column else None

    @property
    def is_lazy(self) -> bool:
        """Whether the values are in a file, or still to be computed."""
        return not getattr(self._ordered.variable, "_in_memory", True)

    @property
    def sliceable(self) -> Any:
        """The variable itself, where it is not in memory and has axes as series have."""
        alike = list(self.dims) in (["T"], ["T", "I"], ["B", "T", "I"])
        return self._ordered.variable if self.is_lazy and alike else self.stepwise

    @property
    def roles(self) -> str:
        """The axes that there can be beside it."""
        return "BTI" if "B" in self.dims else "TI"

    @property
    def series(self) -> Axis | None:  # type: ignore[override]
        """Names of the sequences."""
        return self._along.get("B")

    @property
    def time(self) -> Axis | None:
        """The times of the steps."""
        return self._along.get("T")

    @property
    def rows(self) -> int:
        """How many sequences there are."""
        return int(self.array.sizes[self.dims["B"]]) if "B" in self.dims else 1

    @property
    def stepwise(self) -> Any:
        """One value per step has an axis for the feature that it is."""
        alone = "T" in self.dims and "I" not in self.dims
        return self.values[..., None] if alone else self.values

    def _axis(self, dim: Any) -> Axis | None:
        if dim not in self.array.coords:
            return None
        sort, reorder = f'{{name}}.sortby("{dim}")', f"{{name}}.sel({dim}={{x}}.{dim})"
        return Axis(self.array.coords[dim].values, f"dimension {dim!r}", sort, reorder)

    def agreed(self, other: Labelled) -> Labelled:
        """The other one, with the same coordinates where both have some."""
        if isinstance(other, Grid):
            for role in "BT":
                require_same(self._seen(role), other._seen(role))
            return other
        time = self._seen("T").axes
        for item in other.items if isinstance(other, Several) else ():
            require_same(self._seen("T"), item)
        if "B" in self.dims and not self.axes and time and any(map(time[0].equals, other.axes)):
            raise ValueError(
                f"the rows of {other.name} are times, those of {self.name} are sequences: pass "
                f"{other.name}.T, or a DataArray with the same dimensions"
            )
        super().agreed(other)
        require_order(self.name, self._along.get("B"), other)
        self._require_one_order(other)
        return other

    def require_rows(self, rows: Labelled) -> None:
        """Refuse other labels; of a frame the rows are chosen by the coordinates of this."""
        if "B" in self.dims and not isinstance(rows, Grid) and rows.axes:
            order = rows.axes[0].reorder.replace("{x}.index", f"{{x}}.{self.dims['B']}.values")
            rows.axes = (replace(rows.axes[0], reorder=order), *rows.axes[1:])
        super().require_rows(rows)

    def _require_one_order(self, other: Labelled) -> None:
        """Refuse axes without names, where they may be as this array shows them or as it is read.

        By their sizes alone, those of a square array could not be told apart.
        """
        read, shown = tuple(self.dims.values()), self.array.dims
        axes = _depth(other.values)
        rows = any(mine.equals(theirs) for mine in self.axes for theirs in other.axes)
        columns = "B" not in self.dims and type(other) is not Labelled  # rows of a frame are steps
        if read == shown or axes < 2 or isinstance(other, Several) or rows or columns:
            return
        same = [dim for dim in shown if axes == len(shown) or dim != self.dims.get("I")]
        raise ValueError(
            f"{other.name} has {axes} axes without names, and the dimensions of {self.name}, "
            f"{_listed(shown)}, are not in the order in which they are read: name the axes, as in "
            f"xarray.DataArray({other.name}, dims=({_listed(same)})), or pass "
            f"{self.name}.transpose({_listed(read)}), beside which {other.name} has this order too"
        )

    def _seen(self, role: str) -> Labelled:
        """The labels of one axis alone; none where there is no such axis."""
        seen, axis = Labelled(self.name, None), self._along.get(role)
        seen.axes, seen.is_future = () if axis is None else (axis,), self.is_future
        seen.past = self._past if role == "T" else None
        return seen

    def restore(self, Y: Any, names: Names) -> Any:
        """A DataArray: of the features there is a dimension "target" or "output", the last."""
        array = self.array
        if "I" in self.dims:
            array = _without(array, self.dims["I"])
        if Y.ndim < len(self.roles):  # one per sequence
            array = _without(array, self.dims["T"])
        last = "output" if "target" in (*array.dims, *array.coords) else "target"
        read = [dim for role, dim in self.dims.items() if dim in array.dims]
        shown = [dim for dim in self.array.dims if dim in array.dims]
        titles = np.array(names.outputs(Y.shape[-1]))
        named = array.expand_dims({last: titles}).transpose(*read, last)
        result = named.copy(data=Y).transpose(*shown, last)
        result.name, result.attrs = None, {}
        return result

    def continued(self, count: int, known: Any = None) -> Labelled:
        """What comes after: with coordinates of the time where those are regular, or known."""
        after, time = copy.copy(self), self._along.get("T")
        found = None if time is None else time.continued(count, known)
        dim = self.dims["T"]
        without = _without(self.array, dim)
        after.array = without.expand_dims({dim: count if found is None else found[0]})
        after.array = after.array.transpose(*self.array.dims)
        axis = after._axis(dim)
        if time is not None and axis is not None:
            axis = time.after(axis)
        after._along = self._along | {"T": axis}
        after._past = None if axis is not None else time
        after.is_future = True
        first = after._seen(next(iter(self.dims)))
        after.axes, after.past = first.axes, first.past
        return after

    def gaps(self, reset: Any) -> list[str]:
        """Unequal steps in words; steps back in time are refused."""
        axis = self._along.get("T")
        return [] if axis is None else axis.gaps(self.name, reset)


def _require_no_stack(name: str, array: Any, time: Any) -> None:
    """Refuse a time that several dimensions are stacked in: series would be joined to one."""
    index = array.indexes.get(time)
    if getattr(index, "nlevels", 1) > 1:
        raise ValueError(
            f"the dimension {time!r} of {name} has several labels at each place, "
            f"{', '.join(map(repr, index.names))}, and would be read as the time of one series: "
            f"pass {name}.unstack({time!r}), which has a dimension for each"
        )


def _without(array: Any, dim: Any) -> Any:
    """The array at one place of a dimension, without the coordinates that depend on it."""
    depend = [name for name, coordinate in array.coords.items() if dim in coordinate.dims]
    return array.drop_vars(depend).isel({dim: 0})


def _depth(values: Any) -> int:
    """The number of axes; of a list, which need not be rectangular, by its first entry."""
    if isinstance(values, (list, tuple)):
        return 1 + (_depth(values[0]) if values else 0)
    return int(np.ndim(values))


def _listed(dims: Any) -> str:
    return ", ".join(f'"{dim}"' for dim in dims)


def _dims(name: str, array: Any, like: Labelled | None) -> dict[str, Any]:
    """The dimension of every role, in the order B, T, I."""
    dims = tuple(array.dims)
    known = {dim: role for role, dim in like.dims.items()} if isinstance(like, Grid) else {}
    roles = [known.get(dim) or _role(dim) for dim in dims]
    if "T" not in roles:
        roles = [role or _role_of_times(array, dim) for role, dim in zip(roles, dims, strict=True)]
    if "B" not in roles and not isinstance(like, Grid) and (like is None or "B" in like.roles):
        roles = _with_parts_of_times(array, roles)
    allowed = _of_inputs(roles) if like is None else like.roles
    if like is not None and "B" not in allowed:  # of one series they are targets
        roles = [None if role == "B" else role for role in roles]
    missing = [role for role in allowed if role not in roles]
    if isinstance(like, Grid):  # whose first dimension has its name, as its time has
        missing = [role for role in missing if role == "I"]
    if len(dims) == 3 and missing[:1] == ["T"] and any(called(dim, _EITHER) for dim in dims):
        missing = []
    if roles.count(None) == 1 and missing:
        roles[roles.index(None)] = missing[0]
    there, needed = set(roles), set(allowed if like is None else allowed[0])
    if len(there) < len(roles) or not needed <= there <= set(allowed):
        raise ValueError(_ambiguous(name, dims, roles, allowed))
    return {role: dims[roles.index(role)] for role in allowed if role in roles}


def _of_inputs(roles: list[str | None]) -> str:
    """The roles of the dimensions of X: of two those of one series, unless they tell otherwise."""
    if len(roles) == 2:
        return "BT" if set(roles) == {"B", "T"} else "TI"
    return "T" if len(roles) == 1 else "BTI"


def _role(dim: Any) -> str | None:
    """What a dimension is by its name."""
    words = {"T": TIMES, "I": FEATURES, "B": SEQUENCES}
    return next((role for role in words if called(dim, words[role])), None)


def _role_of_times(array: Any, dim: Any) -> str | None:
    """Where no dimension is called so, coordinates that are dates are the time."""
    labels = array.coords[dim].values if dim in array.coords else np.empty(0)
    dates = labels.dtype.kind == "M" or (labels.size > 0 and hasattr(labels.flat[0], "year"))
    return "T" if dates else None


def _with_parts_of_times(array: Any, roles: list[str | None]) -> list[str | None]:
    """The roles, where a dimension is a time, too, beside the one that has been found.

    What has dates, durations or clocks is one, be there others or not. What has numbers may be a
    part of a time that is not known by its dates, and would be the sequences of three dimensions.
    """
    dims = tuple(array.dims)
    kinds = [_likeness(array, dim) for dim in dims]
    dated = any(role == "T" and kinds[i] is Likeness.CERTAIN for i, role in enumerate(roles))
    numbers = len(dims) == 3 and "T" in roles and not dated
    parts = {Likeness.CERTAIN, *([Likeness.NUMBERS] if numbers else [])}
    return [
        role or ("T" if kind in parts and not tells_apart(dim) else None)
        for dim, role, kind in zip(dims, roles, kinds, strict=True)
    ]


def _likeness(array: Any, dim: Any) -> Likeness:
    """How much the coordinates of a dimension are like times, clocks among them."""
    if dim not in array.coords:
        return Likeness.NONE
    labels = array.coords[dim].values
    return Likeness.CERTAIN if times.are_clocks(labels) else times.likeness(labels)


def _ambiguous(name: str, dims: tuple[Any, ...], roles: list[str | None], allowed: str) -> str:
    place = {role: i for i, role in enumerate(allowed)}
    ordered = sorted(dims, key=lambda dim: place.get(roles[dims.index(dim)] or "", 0))
    wanted = ", ".join(_ROLES[role] for role in allowed)
    return (
        f"{name} has the dimensions ({', '.join(map(str, dims))}), which do not say what is "
        f"({wanted}): rename them so, or put them in this order and pass the values, "
        f"{name}.transpose({_listed(ordered)}).to_numpy()"
    )
