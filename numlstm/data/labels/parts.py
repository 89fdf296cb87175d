"""Parts of data in their own container: some steps of every series."""

from typing import Any

import numpy as np

from numlstm.data.labels.base import Labelled
from numlstm.data.labels.frames import Frame
from numlstm.data.labels.grids import Grid
from numlstm.data.labels.lists import Several
from numlstm.data.labels.panels import Panel
from numlstm.utils.types import Array


def steps(given: Labelled, value: Any, start: int, stop: int, *, batch: bool) -> Any:
    """The steps from `start` to before `stop` of a value, which was read as `given`.

    Arrays of a `batch` have an axis for the sequences before that of the steps.
    """
    if isinstance(given, Panel):
        return value.iloc[_rows([rows[start:stop] for rows in given.rows])]
    if isinstance(given, Several):
        pairs = zip(given.items, value, strict=True)
        return [steps(item, part, start, stop, batch=False) for item, part in pairs]
    if isinstance(given, Grid):
        return value.isel({given.dims["T"]: slice(start, stop)})
    if isinstance(given, Frame):
        import narwhals as nw

        return nw.from_native(value, allow_series=True)[start:stop].to_native()
    if isinstance(value, (list, tuple)) and any(map(np.ndim, value)):
        return [np.asarray(part)[start:stop] for part in value]
    array = np.asarray(value)
    return array[:, start:stop] if batch else array[start:stop]


def _rows(parts: list[Array]) -> Array:
    """The rows of all series as they stand, or time by time, the first ones in their order."""
    firsts = [part[0] for part in parts if len(part)]
    if np.all(np.diff(firsts) > 0):  # else the part would be read in another order of series
        return np.sort(np.concatenate(parts))
    return np.stack(parts, axis=1).ravel()


def counts(given: Labelled) -> list[int]:
    """The number of steps of every series, or of all sequences of a batch."""
    if isinstance(given, Several):
        return [len(item.values) for item in given.items]
    values = given.values
    if isinstance(values, (list, tuple)) and any(map(np.ndim, values)):
        return [len(part) for part in values]
    shape = np.shape(given.stepwise)
    return [shape[1] if len(shape) == 3 else shape[0]]
