"""Why a training run ended."""

from typing import NamedTuple

# the last is SciPy's, none has the others
DIVERGED, NOT_FINITE, INTERRUPTED, CALLBACK = 96, 97, 98, 99


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
    def not_finite(cls, model: str = "last finite step") -> "Outcome":
        """The loss became NaN or infinite; the model is that of a step before."""
        message = f"The loss became NaN or infinite; the model is that of the {model}."
        return cls(False, NOT_FINITE, message)

    @classmethod
    def never_finite(cls) -> "Outcome":
        """There is no best epoch."""
        message = "The validation loss was infinite or NaN in every epoch."
        return cls(False, NOT_FINITE, message)

    @classmethod
    def worse_than_constant(cls, loss: float, worst: float) -> "Outcome":
        """A network that learned nothing, or diverged."""
        message = (
            f"The loss {loss:.3g} is far above that of the best constant prediction (more than "
            f"{worst:.3g}): train longer or, if it grew, with a smaller learning_rate or clip."
        )
        return cls(False, DIVERGED, message)

    @classmethod
    def interrupted(cls) -> "Outcome":
        """Ctrl-C."""
        message = "Interrupted by Ctrl-C; the model is that of the last complete step."
        return cls(False, INTERRUPTED, message)

    @classmethod
    def satisfied(cls) -> "Outcome":
        """The callback returned True: its own goal is reached."""
        return cls(True, 0, "`callback` returned True.")

    @classmethod
    def stopped(cls) -> "Outcome":
        """The callback raised StopIteration; the message is SciPy's."""
        return cls(False, CALLBACK, "`callback` raised `StopIteration`.")
