"""TensorFlow Lite, whose interpreter is LiteRT."""

from numlstm.convert.counterpart import Counterpart

TFLITE = Counterpart("TensorFlow Lite", "tflite")
