"""What is said beside results: warnings at the user's line, bars on a terminal."""

import sys
import warnings


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the line outside of numlstm from which the call came."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module == "numlstm" or module.startswith("numlstm.")


def shown(asked: bool | None) -> bool:
    """Whether to show a progress bar: as asked for, else where standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty() if asked is None else asked
