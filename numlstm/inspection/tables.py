"""Tables of scikit-learn, whose rows are sequences of one feature."""

from typing import Any

import numpy as np

from numlstm.data.labels import Frame, Labelled, Names
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.names import order
from numlstm.utils.types import Array


class Samples(Labelled):
    """The rows of a table (B, T) as sequences (B, T, 1) of one feature."""

    roles = "BTI"

    def __init__(self, table: Labelled, X: Array):
        super().__init__("X", X)
        self.table, self.axes = table, table.axes

    @property
    def series(self) -> Axis | None:  # type: ignore[override]
        """The labels of the rows, unless nobody chose them."""
        axis = next(iter(self.axes), None)
        return None if axis is None or axis.is_counted else axis

    def agreed(self, other: Labelled) -> Labelled:
        """The other one, with the same rows; a baseline has an axis for the feature, too."""
        other = super().agreed(other)
        if other.name != "baseline":
            return other
        columns = self.table.features
        values = np.asarray(other.values)
        if isinstance(other, Frame) and other.features is not None and columns is not None:
            positions, _ = order(other.name, other.features, columns)
            values = values if positions is None else values[:, positions]
        is_table = 0 < values.ndim < 3 and values.shape[-1] == self.values.shape[1]
        return Labelled(other.name, values[..., None]) if is_table else other

    def restore(self, Y: Any, names: Names) -> Any:
        """A table with the rows and columns of the one that was given."""
        return self.table.restore(Y[..., 0], Names(targets=self.table.features))
