"""Warnings that point to the caller's line."""

import sys
import warnings


def warn(message: str) -> None:
    """A UserWarning at the line outside of numlstm from which the call came."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module == "numlstm" or module.startswith("numlstm.")
