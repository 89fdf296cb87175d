"""Predictions that continue: what of a sequence its continuation needs."""

from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.spec import NetworkSpec, State
from numlstm.data.labels import Ends, Labelled
from numlstm.data.missing import Imputer
from numlstm.data.sequences import Form, mask
from numlstm.model.inputs import ModelInputs
from numlstm.utils import checks
from numlstm.utils.types import Array


class SequenceState(State):
    """State of a network with what is known of its series, for what comes next of them.

    Attributes
    ----------
    observed : ndarray, shape (B, I), or None
        Last value observed of every feature, in the units of the data; NaN where there was none.
        Of a network that fills missing inputs.
    ends : Ends or None
        The names of the series and their last dates, where they came with labels.
    """

    observed: Array | None = None
    ends: Ends | None = None

    @classmethod
    def of(
        cls, state: State, observed: Array | None = None, ends: Ends | None = None
    ) -> "SequenceState":
        """The state, with these values."""
        made = cls(*state)
        made.observed, made.ends = observed, ends
        return made

    def rows(self, rows: Array) -> "SequenceState":
        """That of some of the series."""
        observed = None if self.observed is None else self.observed[rows]
        ends = None if self.ends is None else self.ends.of_rows(rows)
        return self.of(State(self.h[:, rows], self.c[:, rows]), observed, ends)


def for_series(state: Any, given: Labelled) -> Any:
    """The state of the series of labelled inputs, by name; they must go on where it ended."""
    ends = getattr(state, "ends", None)
    if ends is None:
        return state
    rows = ends.rows(given)
    state = state if rows is None else state.rows(rows)
    state.ends.require_later(given)
    return state


def with_ends(final: State, given: Labelled, lengths: Any, before: Any) -> State:
    """The final state, with where labelled inputs end; `before` is the state they went on from."""
    ends = Ends.of(given, lengths, getattr(before, "ends", None))
    observed = getattr(final, "observed", None)
    return final if ends is None else SequenceState.of(final, observed, ends)


class Rows(NamedTuple):
    """Sequences in the units of the data; their attributes in those of the network."""

    X: Array  # (B, T, I)
    lengths: Array | None  # (B,)
    reset: Array | None  # (B, T)
    static: Array | None  # (B, S)


class Request(NamedTuple):
    """What a prediction is asked for beside its inputs."""

    output: str | None = None  # None: what the model was trained on
    state: Any = None
    return_state: bool = False
    future: Any = None  # features that are known ahead, from the first step on
    static: Any = None  # attributes of whole sequences
    window: int | None = None  # steps of the sequence that every step's prediction reads
    end: int | None = None  # steps at the end of the sequence that are read, None: all

    def checked(self, spec: NetworkSpec, noise_rng: Any) -> "Request":
        """The same, or an error for what no network of this kind can do."""
        if self.output is None and self.state is None and self.return_state is False:
            return self
        output = checks.optional(checks.choice, "output", self.output, options=_OUTPUTS)
        keeps = checks.flag("return_state", self.return_state)
        if keeps or self.state is not None:
            _require_continuation(spec, noise_rng)
        if self.window is not None and (keeps or self.state is not None or output is not None):
            raise ValueError(
                f"each step is predicted from the {self.window} steps up to it, which begin in the "
                "initial state: pass window=None with state=, return_state= or output=, which "
                "carries the state from step to step"
            )
        return self._replace(output=output, return_state=keeps)


_OUTPUTS = ("sequence", "last")


def _require_continuation(spec: NetworkSpec, noise_rng: Any) -> None:
    """Refuse networks and masks that need a whole sequence."""
    if spec.bidirectional:
        raise ValueError(
            "a bidirectional network has no state to go on from: its output at a time depends on "
            "what comes later; leave state= and return_state= out and predict the whole sequence"
        )
    if noise_rng is not None:
        raise ValueError(
            "noise_rng= draws masks for whole sequences, and those of a continuation would be "
            "others: leave it out, or leave state= and return_state= out"
        )


def require_rows(state: Any, form: Form) -> None:
    """Refuse a state of several series beside one, whose steps may be meant as these."""
    shape: tuple[int, ...] = getattr(getattr(state, "h", None), "shape", ())
    if len(shape) == 3 and shape[1] > 1 and (hint := form.one_step_each(shape[1])):
        raise ValueError(f"state has {shape[1]} rows, and X is one series of as many steps{hint}")


def require_ends(X: Array, lengths: Array | None) -> None:
    """Refuse empty sequences where the output of the last step is asked for."""
    if X.shape[1] == 0 or (lengths is not None and (lengths == 0).any()):
        raise ValueError(
            "output='last' asks for the output of the last step, and a sequence of X has no step"
        )


def at_ends(Y: Array, lengths: Array | None) -> Array:
    """The outputs (B, O) of each row's own last step among all, (B, T, O)."""
    return Y[:, -1] if lengths is None else Y[np.arange(len(Y)), lengths - 1]


class Continuation(NamedTuple):
    """What a prediction reads, in the network's units."""

    inputs: ModelInputs
    observed: Array | None  # of every feature the last value at the end, where gaps are filled

    def state_of(self, final: State) -> State:
        """The final state, with all that a continuation needs."""
        return final if self.observed is None else SequenceState.of(final, self.observed)


class Gaps(NamedTuple):
    """Inputs with missing values behind the values that were observed before them."""

    X: Array  # (B, 1 + T, I)
    reset: Array | None  # (B, 1 + T)

    @classmethod
    def behind(cls, state: Any, X: Array, reset: Array | None) -> "Gaps":
        """X (B, T, I) behind a row of what the state says, of NaN where there is no state."""
        unknown = np.full((len(X), X.shape[2]), np.nan, X.dtype)
        observed = unknown if state is None else _observed(state, X)
        if reset is not None:
            reset = np.concatenate([np.zeros((len(X), 1), bool), reset], axis=1)
        return cls(np.concatenate([observed[:, None], X], axis=1), reset)

    def last_observed(self, filling: Imputer, lengths: Array | None) -> Array:
        """The last value observed of every feature at each row's own end, (B, I), or NaN."""
        there = ~np.isnan(self.X)
        if lengths is not None:  # padding is not observed
            there &= mask(lengths + 1, self.X.shape[1])[..., None]
        X = np.where(there, self.X, np.nan)
        unknown = filling._replace(mean=np.full(X.shape[2], np.nan))
        filled, _ = unknown.fill(X, self.reset)
        return at_ends(filled, None if lengths is None else lengths + 1).copy()


def _observed(state: Any, X: Array) -> Array:
    observed = getattr(state, "observed", None)
    if observed is None:
        raise TypeError(
            "this model fills missing inputs by the last value observed, which this state does "
            "not know: pass the state that predict returned with return_state=True"
        )
    observed = checks.array("state.observed", observed, None, finite=False)
    checks.shape("state.observed", observed, (X.shape[0], X.shape[2]))
    return observed
