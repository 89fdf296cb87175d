"""Why a trained network answers as it does: attributions, memory, dynamics.

Over `numlstm.LSTM.trace`, `vjp` and `transitions`, which have what is needed from the kernels that
predict.
"""

from numlstm.inspection.attribution import Attribution, LagImportance, lag_importance
from numlstm.inspection.attributions import gradient_x_input, integrated_gradients

__all__ = [
    "Attribution",
    "LagImportance",
    "gradient_x_input",
    "integrated_gradients",
    "lag_importance",
]
