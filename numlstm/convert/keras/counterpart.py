"""Keras, and which parts of models its layers have."""

from numlstm.convert.counterpart import Counterpart

KERAS = Counterpart(
    "Keras", "keras", ("bidirectional", "num_layers", "head", "scaling", "activations")
)
