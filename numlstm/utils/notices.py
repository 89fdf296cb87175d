"""What is said beside results: warnings at the user's line, bars on a terminal."""

import sys
import warnings


def warn(message: str) -> None:
    """SciPy's `OptimizeWarning`, a UserWarning, at the first frame outside of the package."""
    from scipy.optimize import OptimizeWarning

    package, level = __name__.partition(".")[0], 1
    frame = sys._getframe()
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, OptimizeWarning, stacklevel=level)


def shown(asked: bool | None) -> bool:
    """Whether to show a progress bar: as asked for, else where standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty() if asked is None else asked
