"""Why a trained network answers as it does: attributions, memory, dynamics.

Over `numlstm.LSTM.trace`, `vjp` and `transitions`, which have what is needed from the kernels that
predict.
"""

from numlstm.inspection.attribution.methods import gradient_x_input, integrated_gradients
from numlstm.inspection.attribution.result import Attribution, LagImportance, lag_importance
from numlstm.inspection.dynamics.fixed_points import FixedPoints, fixed_points
from numlstm.inspection.dynamics.lyapunov import LyapunovExponents, lyapunov_exponents
from numlstm.inspection.memory.paths import MemoryPaths, memory_length, memory_paths
from numlstm.inspection.memory.time_constants import TimeConstants, time_constants

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
