"""Networks from and to Keras."""

from numlstm.convert.keras.reading import from_keras, lengths_of_mask
from numlstm.convert.keras.writing import to_keras

__all__ = ["from_keras", "lengths_of_mask", "to_keras"]
