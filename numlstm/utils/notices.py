"""Warnings that point to the line of the user's program."""

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
