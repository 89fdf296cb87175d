"""Networks from TensorFlow Lite."""

from numlstm.convert.tflite.reading import from_tflite

__all__ = ["from_tflite"]
