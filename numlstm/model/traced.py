"""The result of a trace, and the labels along its axes."""

from typing import Any, NamedTuple, Self

import numpy as np

from numlstm.architecture.spec import NetworkSpec
from numlstm.data.labels import Labelled
from numlstm.data.labels.axes import Axis
from numlstm.data.labels.ends import dates
from numlstm.model.chosen import Chosen
from numlstm.utils import optional
from numlstm.utils.types import Array

_IN_WORDS = {
    "h": "hidden state",
    "c": "cell",
    "i": "input gate",
    "f": "forget gate",
    "g": "candidate",
    "o": "output gate",
}


class Axes(NamedTuple):
    """What stands along the axes of a trace."""

    layers: Array  # (L,) names
    units: Array  # (U,) numbers
    steps: Array  # (S,) numbers
    series: Axis | None  # names of the sequences
    dates: tuple[Axis | None, ...]  # of every sequence, where it has some
    projected: bool  # whether h has no units

    def __repr__(self) -> str:
        """How many there are of each, and the first and last label."""
        words = [f"layers {', '.join(self.layers)}", f"{len(self.units)} units"]
        words.append(f"{len(self.steps)} steps")
        if self.series is not None:
            words.append(f"sequences: {self.series}")
        dated = [axis for axis in self.dates if axis is not None]
        if dated:
            words.append(f"dates{' of the first' * (len(dated) > 1)}: {dated[0]}")
        return f"<Axes of a trace: {'; '.join(words)}>"

    @classmethod
    def of(cls, spec: NetworkSpec, given: Labelled, chosen: Chosen) -> Self:
        """Those of a trace of inputs with these labels."""
        ways = ("", "_reverse")[: spec.num_directions]
        names = np.array([f"l{level}{way}" for level in range(spec.num_layers) for way in ways])
        layers, steps = names[chosen.layers], chosen.steps
        every = tuple(dates(given))
        return cls(layers, chosen.units, steps, given.series, every, spec.proj_size is not None)

    def time(self) -> tuple[tuple[str, ...], Array, dict[str, str]] | None:
        """Dims, values and attributes of the dates of all steps.

        Of all sequences, where they are the same.
        """
        axes = [axis for axis in self.dates if axis is not None]
        if not axes:
            return None
        if len(axes) == len(self.dates) and all(axes[0].equals(axis) for axis in axes[1:]):
            return ("step",), axes[0].labels[self.steps], axes[0].attrs
        dated = all(axis.labels.dtype.kind == "M" for axis in axes)
        shape = len(self.dates), len(self.steps)
        times: Array = np.full(shape, np.datetime64("NaT", "ns") if dated else None)
        for row, axis in enumerate(self.dates):
            if axis is not None:
                there = self.steps < len(axis)
                times[row, there] = axis.labels[self.steps[there]]
        return ("sequence", "step"), times, axes[0].attrs

    def rows(self, pandas: Any, sequences: int) -> Any:
        """An index of pandas for the steps of so many sequences, one after the other."""
        time = self.time()
        name, of_each = ("step", self.steps) if time is None else ("time", time[1])
        every = pandas.Index(np.broadcast_to(of_each, (sequences, len(self.steps))).ravel())
        zones = {axis.zone for axis in self.dates if axis is not None}
        if None in zones and len(zones) > 1:
            raise ValueError(
                "some sequences of this trace have a time zone and others none, which are no times "
                "of one index: trace them in calls of their own"
            )
        if zones and None not in zones:
            every = every.tz_localize("UTC").tz_convert(zones.pop() if len(zones) == 1 else "UTC")
        if self.series is None and sequences == 1:
            return every.rename(name)
        keys = np.arange(sequences) if self.series is None else self.series.labels
        outer = pandas.Index(keys).repeat(len(self.steps))
        return pandas.MultiIndex.from_arrays([outer, every], names=["sequence", name])


class _Quantities(NamedTuple):
    h: Array | None = None
    c: Array | None = None
    i: Array | None = None
    f: Array | None = None
    g: Array | None = None
    o: Array | None = None


class Trace(_Quantities):
    """Hidden states, cells and gates, as `numlstm.LSTM.trace` gives them.

    Attributes
    ----------
    h : ndarray, shape (L, B, S, P), or None
        Hidden states; P = H units unless there is a projection.
    c, i, f, g, o : ndarray, shape (L, B, S, U), or None
        Cells, input gates, forget gates, candidates and output gates.
    axes : Axes
        What stands along the axes.
    """

    axes: Axes

    @classmethod
    def of(cls, found: dict[str, Array], axes: Axes) -> Self:
        """The trace with these arrays, which cannot be written to from now on."""
        for array in found.values():
            array.flags.writeable = False
        made = cls(**found)
        made.axes = axes
        return made

    def _replace(self, **fields: Any) -> Self:
        """With other arrays, and the same axes."""
        made = super()._replace(**fields)
        made.axes = self.axes
        return made

    def __repr__(self) -> str:
        """What there is, and how much of it."""
        there = {name: part for name, part in self._asdict().items() if part is not None}
        *shape, units = next(iter(reversed(there.values()))).shape
        counts = "{} layer(s), {} sequence(s), {} steps".format(*shape)
        return f"<Trace of {', '.join(there)}: {counts}, {units} unit(s)>"

    def to_frame(self) -> Any:
        """A `pandas.DataFrame` with a row for each step, and a column for each unit.

        Columns have the levels quantity, layer and unit, so that ``frame["c", "l0"]`` has all cells
        of the first layer. Rows have the dates of X, or count the steps; before them stands the
        sequence, where X has several or names them. Of several time zones the dates are in UTC.

        Returns
        -------
        frame : pandas.DataFrame
            A copy. NaN as in the arrays, without a date behind the end of a shorter sequence.

        Raises
        ------
        ImportError
            Where there is no pandas.
        ValueError
            Where some sequences have a time zone and others dates without one.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, rng=0)
        >>> frame = model.trace(np.ones((5, 1)), quantities="fc", units=[0, 2]).to_frame()
        >>> frame["c", "l0"].shape
        (5, 2)
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                f"to_frame needs pandas: python -m pip install pandas ({error})", name=error.name
            ) from error
        columns, parts = [], []
        for name, part in self._asdict().items():
            if part is not None:
                layers, sequences, steps, width = part.shape
                by_row = part.transpose(1, 2, 0, 3)
                parts.append(by_row.reshape(sequences * steps, layers * width))
                projected = name == "h" and self.axes.projected
                units = range(width) if projected else self.axes.units
                columns += [(name, layer, unit) for layer in self.axes.layers for unit in units]
        names = ["quantity", "layer", "unit"]
        titles = pandas.MultiIndex.from_tuples(columns, names=names)
        index = self.axes.rows(pandas, sequences)
        frame = pandas.DataFrame(np.concatenate(parts, axis=1), index, titles)
        return frame.sort_index(axis=1)  # else pandas looks columns up slowly, and says so

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with the dimensions layer, sequence, step and unit.

        Layers are named as parameters end, "l0" and "l0_reverse"; sequences have the names that X
        had, and steps its dates, as the coordinate "time", in UTC where X has a time zone. A
        projected h has the dimension "output" in the place of "unit".

        Returns
        -------
        dataset : xarray.Dataset
            A variable of every quantity, over the same memory.

        Raises
        ------
        ImportError
            Where there is no xarray.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, rng=0)
        >>> data = model.trace(np.ones((2, 5, 1)), quantities="f").to_xarray()
        >>> dict(data.f.sizes)
        {'layer': 1, 'sequence': 2, 'step': 5, 'unit': 4}
        """
        xarray = optional.require("xarray", "xarray", "to_xarray")
        found = {name: part for name, part in self._asdict().items() if part is not None}
        variables = {}
        for name, part in found.items():
            last = "output" if name == "h" and self.axes.projected else "unit"
            dims = ("layer", "sequence", "step", last)
            variables[name] = (dims, part, {"long_name": _IN_WORDS[name]})
        coords: dict[str, Any] = {
            "layer": self.axes.layers,
            "step": self.axes.steps,
            "unit": self.axes.units,
        }
        if self.axes.series is not None:
            coords["sequence"] = self.axes.series.labels
        if (time := self.axes.time()) is not None:
            coords["time"] = time
        return xarray.Dataset(variables, coords)
