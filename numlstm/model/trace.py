"""What the gates and cells of a trained network did while it read series."""

from typing import Any

import numpy as np

from numlstm.data import labels
from numlstm.model.chosen import Chosen
from numlstm.model.continuation import Request, Rows
from numlstm.model.prediction import Prediction
from numlstm.model.traced import Axes, Trace
from numlstm.model.windows import OWN, asked_window, parts_of_windows
from numlstm.network import trace
from numlstm.network.trace import Wanted
from numlstm.utils.types import Array


class Tracing(Prediction):
    """The gates and cells of `numlstm.LSTM`, behind its predictions."""

    def trace(
        self,
        X: Any,
        state: Any = None,
        *,
        future: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        window: int | None = OWN,
        quantities: Any = None,
        layers: Any = None,
        units: Any = None,
        steps: Any = None,
    ) -> Trace:
        """Hidden states, cells and gates of every layer, as they were when the network predicted.

        They are read off the tape of the kernels that predict, whatever the variant of the cell:
        the head makes the predictions of the last layer's h, bit for bit on the CPU.

        Parameters
        ----------
        X, state, future, lengths, reset, static : optional
            As in `predict`, in the units of the data.
        window : int or None, optional
            As in `predict`: of a model that was trained on windows, what stands at a step is the
            last step of the window that ends there, and begins in the initial state, and NaN where
            none does. None carries the state on from the first step; to follow a window from its
            first step to its last, pass it, or several as (B, T, I), with ``window=None``. A
            bidirectional network of windows needs that: half of it reads them from their end.
        quantities : str or sequence of str, optional
            Which of "h", "c", "i", "f", "g", "o", such as "f", "fc" or ("f", "c"). Default: all
            that the cell has.
        layers : int, slice or sequence of int, optional
            Which layers, counted as in `State`: directions apart, forward before reverse. What lies
            above the highest of them is not computed. Default: all.
        units : int, slice or sequence of int, optional
            Which units of every layer; a projected h has none, and is given as a whole. Default:
            all.
        steps : int, slice or sequence of int, optional
            Which steps, from 0 on; negative ones count from the end of the longest series.
            Default: all. No more than what is asked for is kept in memory, and the pass of a layer
            over some steps; of a bidirectional network, which begins at both ends, over all steps.

        Returns
        -------
        trace : Trace
            A named tuple of arrays (L, B, S, U) in the network's units and dtype: layers,
            sequences, steps, units; one index alone is an axis of length 1, and so is one series.
            None for what was not asked for, and for the forget gate of a cell without one. NaN
            behind the end of a shorter sequence. The arrays cannot be written to.

            ``h`` is what the layer gives to the next one and, as its state, to the next step: after
            projection and zoneout, before a residual connection. ``c`` is the cell that is carried
            on, after its limit and zoneout. ``i``, ``f``, ``g`` and ``o`` are what acts, after
            normalisation, peepholes, limits and activation; ``f = 1 - i`` of a coupled cell. A
            reverse layer's values stand at the step whose input it read.

            `Trace.to_xarray` gives a Dataset with the names and dates of X, `Trace.to_frame` a
            frame of pandas.

        Raises
        ------
        ValueError, TypeError
            As `predict`; and for quantities, layers, units or steps that there are not.

        Warns
        -----
        UserWarning
            As `predict`.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, num_layers=2, rng=0)
        >>> X = np.ones((3, 5, 1))
        >>> trace = model.trace(X)
        >>> trace.f.shape  # layers, sequences, steps, units
        (2, 3, 5, 4)
        >>> one = model.trace(X, quantities="f", layers=1, units=[0], steps=slice(-2, None))
        >>> bool((one.f == trace.f[1:, :, -2:, :1]).all())
        True
        """
        window = self._window_of_trace(window)
        asked = Request(None, state, False, future, static, window)
        given, lengths, reset, asked = self._without_labels(X, lengths, reset, asked)
        asked = asked.checked(self.spec, None)
        with labels.named(given):
            rows, _ = self._rows(given.stepwise, lengths, reset, asked)
        chosen = Chosen.read(self.spec, rows.X.shape[1], quantities, layers, units, steps)
        limit = None if chosen.all_units else chosen.units
        wanted = Wanted(chosen.quantities, chosen.layers, chosen.steps, limit)
        if window is None:
            found = self._traced(rows, asked, wanted)
        else:
            found = self._of_windows(rows, asked, wanted, window)
        return Trace.of(found, Axes.of(self.spec, given, chosen))

    def _window_of_trace(self, window: Any) -> int | None:
        """The window of every step; a bidirectional network has none."""
        if not self.spec.bidirectional or (window is OWN and self.window is None):
            return asked_window(self, window)
        if window is not None:
            of = "" if self.window is None else f", each of {self.window} steps"
            raise ValueError(
                "half of a bidirectional network reads a window from its end, so that no step has "
                f"all of it: pass the windows themselves as (B, T, I){of}, with window=None"
            )
        return None

    def _traced(self, rows: Rows, asked: Request, wanted: Wanted) -> dict[str, Array]:
        """(L, B, S, U) of what is wanted of sequences in the units of the data."""
        inputs, derived = self._read(rows, asked).inputs, self._derived()
        derived.range.require_products(inputs)
        seen = derived.range.watch()
        X, state, lengths, reset, _, static = inputs
        given = trace.Inputs(X, state, lengths, reset, static)
        found = trace.trace(self.network, derived.weights, given, wanted, seen)
        derived.range.require_outputs(tuple(found.values()), seen)
        if lengths is not None:
            for array in found.values():
                array[:, wanted.steps >= lengths[:, None]] = np.nan
        return found

    def _of_windows(
        self, rows: Rows, asked: Request, wanted: Wanted, window: int
    ) -> dict[str, Array]:
        """The same at the last steps of windows that end at the steps that are wanted."""
        found, last = wanted.empty(self.spec, len(rows.X)), np.array([window - 1])
        for array in found.values():
            array[...] = np.nan
        for row, places, part in parts_of_windows(rows, window, wanted.steps):
            for name, values in self._traced(part, asked, wanted._replace(steps=last)).items():
                found[name][:, row, places] = values[:, :, 0]
        return found
