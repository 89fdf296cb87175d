"""Why a trained network answers as it does: attributions, memory, dynamics.

Over `numlstm.LSTM.trace`, `vjp` and `transitions`, which have what is needed from the kernels that
predict.
"""

from numlstm.inspection.memory import MemoryPaths, memory_length, memory_paths

__all__ = ["MemoryPaths", "memory_length", "memory_paths"]
