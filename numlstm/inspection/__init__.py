"""Why a trained network answers as it does: attributions, memory, dynamics.

Over `numlstm.LSTM.trace`, `vjp` and `transitions`, which have what is needed from the kernels that
predict.
"""

from numlstm.inspection.attribution import Attribution, LagImportance, lag_importance
from numlstm.inspection.attributions import gradient_x_input, integrated_gradients
from numlstm.inspection.fixed_points import FixedPoints, fixed_points
from numlstm.inspection.lyapunov import LyapunovExponents, lyapunov_exponents
from numlstm.inspection.memory import MemoryPaths, memory_length, memory_paths
from numlstm.inspection.time_constants import TimeConstants, time_constants

__all__ = [
    "Attribution",
    "FixedPoints",
    "LagImportance",
    "LyapunovExponents",
    "MemoryPaths",
    "TimeConstants",
    "fixed_points",
    "gradient_x_input",
    "integrated_gradients",
    "lag_importance",
    "lyapunov_exponents",
    "memory_length",
    "memory_paths",
    "time_constants",
]
