"""Trained networks from and to other software, each checked against its counterpart there.

What a counterpart needs is an optional requirement, which is imported on use.
"""

from numlstm.convert.arrays import from_arrays
from numlstm.convert.keras import from_keras, lengths_of_mask, to_keras
from numlstm.convert.onnx import from_onnx, to_onnx
from numlstm.convert.rtneural import from_rtneural, to_rtneural
from numlstm.convert.safetensors import from_safetensors, to_safetensors
from numlstm.convert.tflite import from_tflite
from numlstm.convert.torch import from_torch, to_torch

__all__ = [
    "from_arrays",
    "from_keras",
    "from_onnx",
    "from_rtneural",
    "from_safetensors",
    "from_tflite",
    "from_torch",
    "lengths_of_mask",
    "to_keras",
    "to_onnx",
    "to_rtneural",
    "to_safetensors",
    "to_torch",
]
