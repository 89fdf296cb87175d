"""Sequences as `predict` takes them, in the units of the network that is inspected."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels, sequences
from numlstm.inspection.attribution.point import cut
from numlstm.inspection.steps import explained_steps, read_range
from numlstm.inspection.tables import Samples
from numlstm.model.continuation import Request, Rows
from numlstm.model.inputs import ModelInputs
from numlstm.model.lstm import LSTM
from numlstm.network.derivatives import Run
from numlstm.utils.types import Array


class Given(NamedTuple):
    """What is read beside the inputs X, as the caller has it."""

    lengths: Any = None
    reset: Any = None
    static: Any = None
    future: Any = None


class Inspected(NamedTuple):
    """A network, and sequences without labels: in the units of the data, and their form."""

    model: LSTM
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

    def until(self, step: Any) -> "Inspected":
        """The same up to a step, by default each row's last; of windows the last steps alone."""
        steps = explained_steps(self.model, step, self.rows, self.given)
        return self._replace(rows=cut(self.rows, *read_range(self.model, steps, self.rows)))

    def run(self) -> Run:
        """The same in the network's units."""
        with labels.named(self.given):
            inputs: ModelInputs = self.model._read(self.rows, Request()).inputs
        self.model._derived().range.require_products(inputs)
        return Run(self.model.theta, *inputs[:4], inputs.static)


def read(model: Any, X: Any, beside: Given, *, one_static: bool = False) -> Inspected:
    """The network of a model or estimator, and sequences in any form that `predict` takes.

    With `one_static` there is one row of attributes, of all sequences.
    """
    model, X, static = network_of(model, X, None if one_static else beside.static)
    asked = Request(future=beside.future, static=static)
    given, lengths, reset, asked = model._without_labels(X, beside.lengths, beside.reset, asked)
    if one_static and beside.static is not None:
        asked = asked._replace(static=_of_all(model, given.stepwise, beside.static))
    with labels.named(given):
        rows, form = model._rows(given.stepwise, lengths, reset, asked)
    return Inspected(model, rows, form, given, asked.static)


def network_of(model: Any, X: Any, static: Any) -> tuple[LSTM, Any, Any]:
    """The network of a model or of an estimator, and inputs and attributes as it takes them.

    Inputs of an estimator have been read, and have the labels that the caller gave them.
    """
    if isinstance(model, LSTM):
        return model, X, static
    if not hasattr(model, "_inputs_of_model"):
        kind = type(model).__name__
        hint = ": pass its .model" if isinstance(getattr(model, "model", None), LSTM) else ""
        raise TypeError(f"model must be a numlstm.LSTM or a fitted estimator, not {kind}{hint}")
    arrays, static = model._inputs_of_model(X, static)
    given = labels.read_samples(X, model._names_of_features())
    if not sequences.is_list(given.values) and np.ndim(given.stepwise) == 2:
        given = Samples(given, arrays)
    return model.model_, given, static


def _of_all(model: LSTM, X: Any, static: Any) -> Array:
    """One row of attributes as that of every sequence; more than one are refused."""
    many = len(getattr(static, "shape", (1, 1))) > 1
    anything = labels.Labelled("X", np.empty((1, 1)))  # the name of whose series is not known
    row = np.asarray(labels.attributes(anything, static, model.names.static, many=many).values)
    if row.ndim > 1 and len(row) != 1:
        raise ValueError(
            f"static must be the attributes of one sequence, received {len(row)} rows: what is "
            "found is that of a network with these attributes, whatever sequences X has"
        )
    row = row.reshape(-1)
    is_many = sequences.is_list(X) or np.ndim(X) == 3
    return np.tile(row, (len(X), 1)) if is_many else row
