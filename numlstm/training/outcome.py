"""Why a training run ended."""

from typing import NamedTuple

NOT_FINITE, INTERRUPTED, CALLBACK = 97, 98, 99  # the last is SciPy's, none has the others


class Outcome(NamedTuple):
    """Why a run ended."""

    success: bool
    status: int
    message: str

    @classmethod
    def reached(cls, goal: str) -> "Outcome":
        """The goal that was set."""
        return cls(True, 0, goal)

    @classmethod
    def not_finite(cls) -> "Outcome":
        """The loss became NaN or infinite."""
        message = "The loss became NaN or infinite; the model is that of the last finite step."
        return cls(False, NOT_FINITE, message)

    @classmethod
    def interrupted(cls) -> "Outcome":
        """Ctrl-C."""
        message = "Interrupted by Ctrl-C; the model is that of the last complete step."
        return cls(False, INTERRUPTED, message)

    @classmethod
    def stopped(cls) -> "Outcome":
        """The callback raised StopIteration; the message is SciPy's."""
        return cls(False, CALLBACK, "`callback` raised `StopIteration`.")
