"""Trained networks from and to other software, each checked against the other side.

What the other side needs is an optional requirement, which is imported on use.
"""

from numlstm.convert.arrays import from_arrays

__all__ = ["from_arrays"]
