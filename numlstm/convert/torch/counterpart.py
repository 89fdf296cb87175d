"""PyTorch, and which parts of models an nn.LSTM has."""

from numlstm.convert.counterpart import Counterpart

PYTORCH = Counterpart(
    "PyTorch",
    "torch",
    ("bidirectional", "proj_size", "num_layers", "head", "scaling"),
    doubles=True,
)
