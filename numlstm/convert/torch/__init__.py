"""Networks from and to PyTorch."""

from numlstm.convert.torch.reading import from_torch
from numlstm.convert.torch.writing import to_torch

__all__ = ["from_torch", "to_torch"]
