"""Sequences as `predict` takes them, in the units of the network that is inspected."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels, sequences
from numlstm.data.fill_values import warn_of_filled_inputs
from numlstm.model.continuation import Request, Rows
from numlstm.model.inputs import ModelInputs
from numlstm.model.windows import last_steps
from numlstm.network.derivatives import Run
from numlstm.utils import checks
from numlstm.utils.types import Array


class Given(NamedTuple):
    """What is read beside the inputs X, as the caller has it."""

    lengths: Any = None
    reset: Any = None
    static: Any = None
    future: Any = None


class Inspected(NamedTuple):
    """Sequences without labels: the values in the units of the data, and their form."""

    rows: Rows
    form: sequences.Form
    given: labels.Labelled
    static: Any  # attributes in the units of the data

    @property
    def lengths(self) -> Array:
        """Number of steps of every row, (B,)."""
        rows, steps = self.rows.X.shape[:2]
        lengths = self.rows.lengths
        return np.full(rows, steps) if lengths is None else np.asarray(lengths)

    def until(self, step: int | None, window: int | None) -> "Inspected":
        """The same up to a step, by default each row's last; of a window the last steps alone."""
        lengths, rows = self.lengths, self.rows
        _require_steps(lengths, step)
        if step is not None:
            lengths = np.full_like(lengths, step + 1) if step >= 0 else lengths + step + 1
        most = int(lengths.max(initial=1))
        reset = None if rows.reset is None else rows.reset[:, :most]
        ends = None if (lengths == most).all() else lengths
        cut = Rows(np.ascontiguousarray(rows.X[:, :most]), ends, reset, rows.static)
        return self._replace(rows=cut if window is None else last_steps(cut, window))

    def run(self, model: Any) -> Run:
        """The same in the network's units."""
        with labels.named(self.given):
            inputs: ModelInputs = model._read(self.rows, Request()).inputs
        model._derived().range.require_products(inputs)
        return Run(model.theta, *inputs[:4], inputs.static)


def read(model: Any, X: Any, beside: Given = Given()) -> Inspected:  # noqa: B008
    """Sequences in any form that `predict` takes."""
    given, lengths, reset = labels.with_rows(X, model.names, beside.lengths, beside.reset)
    static = beside.static
    if static is not None:
        static = labels.attributes(given, static, model.names.static).values
    future = model._known(given, beside.future)
    with labels.named(given):
        fills = model.filling is not None
        values, lengths, form = sequences.read_inputs(
            given.stepwise, model.num_features, lengths=lengths, missing=fills
        )
        warn_of_filled_inputs("X", values, lengths, model.names.features, model.filling)
        reset = sequences.read_reset(reset, form, values.shape[1])
        values = model._with_future(values, lengths, form, future)
        rows = Rows(values, lengths, reset, model._static(static, form))
    return Inspected(rows, form, given, static)


def whole_number(name: str, value: Any) -> int | None:
    """An index, which may count from the end, or None."""
    number: int | None = checks.optional(checks.size, name, value, minimum=-(2**62))
    return number


def _require_steps(lengths: Array, step: int | None) -> None:
    """Refuse sequences that have no such step."""
    shortest = int(lengths.min(initial=2**62))
    if shortest == 0:
        raise ValueError("X has a sequence without a step, and no output to explain")
    if step is not None and not -shortest <= step < shortest:
        raise ValueError(
            f"step must lie between {-shortest} and {shortest - 1}, since the shortest sequence of "
            f"X has {shortest} steps, received {step}"
        )
