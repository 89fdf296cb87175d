"""What is said beside results: warnings at the user's line."""

import sys
import warnings
from contextvars import ContextVar
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A line, as `warnings.warn_explicit` wants it."""

    filename: str
    lineno: int
    module: str
    registry: dict[Any, Any]  # of what was said there before


_caller: ContextVar[Place | None] = ContextVar("caller", default=None)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the line outside of numlstm from which the call came."""
    warnings.warn_explicit(message, category, *(_caller.get() or _place()))


def warn_optimize(message: str) -> None:
    """The same as an `OptimizeWarning`, as SciPy's methods warn."""
    from scipy.optimize import OptimizeWarning

    warn(message, OptimizeWarning)


def remember_caller() -> None:
    """Let warnings in a context, which goes to another thread, be at the line of this call."""
    if _caller.get() is None:
        _caller.set(_place())


def _place() -> Place:
    """The line outside of numlstm from which the call came."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    names = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    return Place(frame.f_code.co_filename, frame.f_lineno, names.get("__name__", ""), registry)


def _is_ours(module: str) -> bool:
    return module == "numlstm" or module.startswith("numlstm.")
