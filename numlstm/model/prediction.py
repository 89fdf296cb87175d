"""Predictions in the units of the data, and what they go on from."""

from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np

from numlstm.architecture.spec import State
from numlstm.data import ahead, labels, sequences
from numlstm.data.ahead import Future
from numlstm.data.attributes import read_static, require_static, static_for_network
from numlstm.data.fill_values import warn_of_filled_inputs, warn_of_filled_static
from numlstm.data.missing import network_inputs
from numlstm.model.base import Model
from numlstm.model.continuation import (
    Continuation,
    Gaps,
    Request,
    Rows,
    at_ends,
    for_series,
    require_ends,
    require_rows,
    with_ends,
)
from numlstm.model.inputs import InputReader, ModelInputs
from numlstm.model.windows import OWN, asked_window, last_steps, of_every_step
from numlstm.network import slices
from numlstm.network.network import Network
from numlstm.utils import checks
from numlstm.utils.random_streams import generator
from numlstm.utils.types import AnyArray, Array


class Prediction(Model):
    """The predictions of `numlstm.LSTM` for series."""

    @overload
    def predict(
        self,
        X: Array,
        *,
        state: Any = None,
        return_state: Literal[False] = False,
        output: str | None = None,
        future: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        noise_rng: Any = None,
        window: int | None = OWN,
    ) -> Array: ...

    @overload  # of a list of series a list, unless there is one prediction per series
    def predict(
        self,
        X: Any,
        *,
        state: Any = None,
        return_state: bool = False,
        output: str | None = None,
        future: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        noise_rng: Any = None,
        window: int | None = OWN,
    ) -> Any: ...

    def predict(
        self,
        X: Any,
        *,
        state: Any = None,
        return_state: bool = False,
        output: str | None = None,
        future: Any = None,
        lengths: Any = None,
        reset: Any = None,
        static: Any = None,
        noise_rng: Any = None,
        window: int | None = OWN,
    ) -> Any:
        """The predictions of the trained network for X, in the units of the data it was trained on.

        Parameters
        ----------
        X : array_like, shape (B, T, I), or (T,) or (T, I) for one series, or a list of series
            Inputs, in any of the forms that `fit` takes. Features that have names are put in the
            order of `feature_names_in_`. A model trained with ``missing="mask"``
            fills a NaN as it did there.
        state : State, optional
            State to go on from, as an earlier call returned it: X is what comes next, row for row,
            and both predictions have the bits of one on the whole. A state that was returned for
            series with names is read by these, in any order, also for some of them; where there are
            dates, those of X must be later. Default: the initial one.
        return_state : bool, optional
            Return the state after each row's own last step, too. Not for bidirectional networks,
            nor with `noise_rng`.
        output : {"sequence", "last"}, optional
            The outputs at all steps, or those of each sequence's last step. Default: what the model
            was trained on. Of a model trained on one target per sequence the output of a step is
            what it says of the sequence up to there; in a bidirectional network the reverse half
            of it has read from the end to that step, so that no step has the output that was
            trained, which reads all with both halves.
        future : array_like, or list, optional
            Features that are known ahead, for a model that was fitted with some: as there, a row
            for each step of X and for the `horizon` steps after, or the one step after.
        lengths : array_like of int, shape (B,), optional
            Length of each row of X (B, T, I); what lies behind it is padding, never read.
        reset : array_like of bool, or list of them, optional
            Where a sequence begins anew before a step: (B, T), (T,) for one series, a list of
            (T_b,) for a list.
        static : array_like, shape (B, S), or (S,) for one series
            Attributes of the sequences in the units of the data, in any of the forms that `fit`
            takes, of a model that was fitted with some; by name in any order where they have names.
        noise_rng : int or numpy.random.Generator, optional
            Draw the masks of `dropout` from this source, for Monte-Carlo dropout: the spread of
            such predictions says how sure the model is (Gal & Ghahramani 2016). Row i of a
            batch of T steps has masks of its own, whatever the other rows hold. Default: no noise.
        window : int or None, optional
            Every step's prediction from so many steps up to it alone, beginning in the initial
            state, and NaN where there are fewer. None carries the state on from the first step.
            Default: what the model was trained on, `LSTM.window`.

        Returns
        -------
        Y : ndarray, shape (B, T, O), or (T, O) for one series, or a list of (T_b, O) for a list
            Predictions, one per step. For a model trained with ``output="last"`` one per
            sequence: (B, O), or (O,) for one series. For the losses "cross_entropy" and
            "binary_cross_entropy" they are logits, for "gaussian_nll" the means, then the
            log-variances. Without a head O is H. They are float64, whatever the dtype of the
            model, or float32 where X is: data are standardised before they are rounded to the
            model's dtype, and predictions put in the units of the data after. A row's prediction
            does not depend on the rows that it comes with; what stands in the padding of Y means
            nothing. Of a frame or DataArray it is one too, with its index, and names for the
            outputs: of a model fitted with ``y=None`` the row of a time t is the forecast for
            t + 1, and ``Y.shift(1)`` of pandas stands beside what came. Of a model with a `horizon`
            h the outputs of a step are those of the next h, by step and then by target.
        state : State
            With `return_state`: h (num_layers, B, P) and c (num_layers, B, H), of a list a row per
            series, of one series B = 1. For a model trained with ``missing="mask"`` it also knows
            the last values observed, and only such a state is taken. Of inputs with labels it
            knows the names of the series and the last date of each.

        Raises
        ------
        ValueError, TypeError
            For a wrong shape, a NaN or infinite value, or data that is not real numbers; for a
            `state` where there is none to go on from, and for one of other series or of later
            dates.

        Warns
        -----
        UserWarning
            As `fit`, of numbers that files write for what is missing.

        Examples
        --------
        >>> import numpy as np, numlstm
        >>> model = numlstm.LSTM(1, 4, 1, rng=0)
        >>> model.predict(np.ones((2, 3, 1))).shape
        (2, 3, 1)
        >>> [Y.shape for Y in model.predict([np.ones(3), np.ones(5)])]
        [(3, 1), (5, 1)]

        What comes in parts is predicted in parts:

        >>> series = np.arange(8.0)
        >>> first, state = model.predict(series[:5], return_state=True)
        >>> second = model.predict(series[5:], state=state)
        >>> bool((np.concatenate([first, second]) == model.predict(series)).all())
        True
        """
        asked = Request(output, state, return_state, future, static, asked_window(self, window))
        given, lengths, reset, asked = self._without_labels(X, lengths, reset, asked)
        asked = asked.checked(self.spec, noise_rng)
        with labels.named(given):
            Y, final = self._continued(given.stepwise, lengths, reset, asked, noise_rng)
        Y = given.restore(Y, self.output_names)
        if final is None:
            return Y
        return Y, with_ends(final, given, lengths, asked.state)

    def _without_labels(
        self, X: Any, lengths: Any, reset: Any, asked: Request
    ) -> tuple[labels.Labelled, Any, Any, Request]:
        """Inputs with their labels, and what stands beside them without."""
        given, lengths, reset = labels.with_rows(X, self.names, lengths, reset)
        state, static = asked.state, asked.static
        if state is not None:
            state = for_series(state, given)
        if static is not None:
            static = labels.attributes(given, static, self.names.static).values
        future = self._known(given, asked.future)
        if not (state is static is future is None):  # a copy is a tenth of a small prediction
            asked = asked._replace(state=state, static=static, future=future)
        return given, lengths, reset, asked

    def _predicted(
        self, X: Any, lengths: Any, reset: Any, static: Any = None, noise_rng: Any = None
    ) -> Any:
        """The predictions for arrays without labels."""
        asked = Request(static=static, window=self.window)
        return self._continued(X, lengths, reset, asked, noise_rng)[0]

    def _continued(
        self, X: Any, lengths: Any, reset: Any, asked: Request, noise_rng: Any
    ) -> tuple[Any, State | None]:
        """The predictions that are asked for arrays without labels, and the final state."""
        rows, form = self._rows(X, lengths, reset, asked)
        if asked.end is not None:
            rows = last_steps(rows, asked.end)
        if asked.window is None:
            Y, final = self._outputs(rows, asked, noise_rng)
        else:
            rng = noise_rng if noise_rng is None else generator(noise_rng)  # goes on in all parts
            last = asked._replace(output="last")
            Y = of_every_step(
                lambda part: self._outputs(part, last, rng)[0], asked.window, self.spec.width, rows
            )
            final = None
        return form.restore(Y), final

    def _rows(
        self, X: Any, lengths: Any, reset: Any, asked: Request
    ) -> tuple[Rows, sequences.Form]:
        """Sequences without labels as they are read, and the form in which they were given."""
        X, lengths, form = sequences.read_inputs(
            X, self.num_features, lengths=lengths, missing=self.filling is not None
        )
        warn_of_filled_inputs("X", X, lengths, self.names.features, self.filling)
        reset = sequences.read_reset(reset, form, X.shape[1])
        if asked.state is not None:
            require_rows(asked.state, form)
        X = self._with_future(X, lengths, form, asked.future)
        return Rows(X, lengths, reset, self._static(asked.static, form)), form

    def _static(self, static: Any, form: sequences.Form) -> Array | None:
        """Attributes without labels, (B, S), in the network's units."""
        if static is None and not self.spec.static_size:
            return None
        static = read_static(static, form)
        require_static(static, self.spec.static_size)
        warn_of_filled_static("static", static, self.names.static)
        return static_for_network(static, self.scaling, self.spec.dtype)

    def _outputs(self, rows: Rows, asked: Request, noise_rng: Any) -> tuple[Array, State | None]:
        """Outputs for sequences, in the units of the data; the final state, if asked for."""
        given, dtype = self._read(rows, asked), rows.X.dtype
        derived = self._derived()
        limits = derived.range
        limits.require_products(given.inputs)
        noise, seen = self._noise(noise_rng, given.inputs.X), limits.watch()
        arrays, last = self.network.backend.arrays, (asked.output or self.output) == "last"
        X, state, lengths, reset, _, static = given.inputs
        # of a bidirectional network the output of the last step is not that of all steps
        gathers = last and self.output != "last" and self.spec.bidirectional
        Y, final, _ = self._pass_for(X)(
            *(self.network, derived.weights_with(noise), arrays.asarray(X), state),
            None if lengths is None else arrays.asarray(lengths),
            last=last and not gathers,
            reset=None if reset is None else arrays.asarray(reset),
            noise=noise,
            seen=seen,
            static=None if static is None else arrays.asarray(static),
        )
        limits.require_outputs((Y, final) if asked.return_state else Y, seen)
        Y = arrays.to_numpy(Y)
        if gathers:
            Y = at_ends(Y, lengths)
        said = "the prediction", dtype, "pass X as float64"
        if self.scaling is not None:
            with checks.within_range(*said):
                Y = self.scaling.outputs(Y)
        kept = None
        if asked.return_state:
            kept = given.state_of(State(*map(arrays.to_numpy, final)))
        return checks.cast(Y, *said), kept

    def _read(self, rows: Rows, asked: Request) -> Continuation:
        """Sequences in the network's units, behind the state that they go on from."""
        X, lengths, reset, static = rows
        if asked.output == "last" != self.output:
            require_ends(X, lengths)
        state, bound = None, 0.0
        if asked.state is not None:
            reader = InputReader(self.network, X)
            state = reader.state("state", asked.state, X.shape[0])
            bound = reader.bound
        units, observed = (self.filling, self.scaling, self.spec.dtype), None
        if self.filling is not None and (asked.return_state or state is not None):
            gaps = Gaps.behind(asked.state, X, reset)
            observed = gaps.last_observed(self.filling, lengths)
            X = np.ascontiguousarray(network_inputs(gaps.X, *units, gaps.reset)[:, 1:])
        else:
            X = network_inputs(X, *units, reset)
        bound = max(bound, checks.bound(X))
        if static is not None:
            bound = max(bound, checks.bound(static))
        return Continuation(ModelInputs(X, state, lengths, reset, bound, static), observed)

    def _with_future(self, X: Array, lengths: Any, form: sequences.Form, future: Any) -> Array:
        """X (B, T, I) beside what is known of the steps ahead."""
        if self.ahead is None or future is None:
            return X
        rows, steps, _ = X.shape
        ends = np.full(rows, steps) if lengths is None else lengths
        known = self._future(future, form, ends, self.ahead.steps)
        return ahead.inputs(X, known, self.ahead.steps, 0, steps)

    def _future(self, future: Any, form: sequences.Form, ends: Array, count: int) -> Array:
        """What is known of the steps of rows with these ends, and `count` after, (B, N, F)."""
        known = Future.of(future, form, self.filling is not None)
        assert known is not None
        known.require(ends, count, self.num_future)
        given = known.values, known.lengths, self.names.future, self.filling
        warn_of_filled_inputs("future", *given)
        return known.values

    def _known(self, given: labels.Labelled, future: Any, after: str | None = None) -> Any:
        """What is known ahead, without labels, from the first step of the inputs on.

        `after` says, where it is missing, of which steps after them it is needed.
        """
        if future is None and self.ahead is None:
            return None
        if future is None and self.num_future:
            if after is None:
                after = "step" if self.horizon in (None, 1) else f"{self.horizon} steps"
            raise ValueError(
                f"this model was fitted with {self.num_future} feature(s) known ahead: pass "
                f"future=, a row for each step of X and for the {after} after"
            )
        if future is not None and not self.num_future:
            raise ValueError(
                "this model was fitted without features known ahead: leave future= out, or fit "
                "with it"
            )
        return labels.known_ahead(given, future, self.names.future)[0]

    def _pass_for(self, X: AnyArray) -> Callable[..., Any]:
        """The forward pass for X: at once where that is known to be short, else in slices."""
        short = self.network.runner.is_short(Network.forward, X.shape[0] * X.shape[1])
        return Network.forward if short else slices.forward
