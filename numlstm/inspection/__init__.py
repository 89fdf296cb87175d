"""Why a trained network answers as it does: attributions, memory, dynamics.

Over `numlstm.LSTM.trace`, `vjp` and `transitions`, which have what is needed from the kernels that
predict.
"""

__all__: list[str] = []
