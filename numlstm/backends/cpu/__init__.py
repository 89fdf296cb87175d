"""The CPU backend: the contract of `numlstm.backends` over the kernels of this folder."""

import importlib

from numlstm.backends import numpy_arrays as arrays
from numlstm.backends.cpu.launch import (
    head_backward,
    head_forward,
    layer_backward,
    layer_forward,
    pack_head,
    pack_layer,
)
from numlstm.backends.cpu.layer.reading import layer_trace

__all__ = [
    "arrays",
    "head_backward",
    "head_forward",
    "layer_backward",
    "layer_forward",
    "layer_trace",
    "members",
    "name",
    "pack_head",
    "pack_layer",
    "precisions",
    "require",
    "tangents",
    "transitions",
    "update",
    "windows",
]

name = "cpu"
precisions: tuple[str, ...] = ()


def require() -> None:
    """Nothing is missing: Numba is a requirement of the package."""


def tangents():
    """Derivatives along a direction, by the same kernels over dual numbers."""
    return importlib.import_module("numlstm.backends.cpu.layer.tangents")


def members():
    """The plain layers of all members of an ensemble at once, each in its own thread."""
    return importlib.import_module("numlstm.backends.cpu.layer.members")


def update() -> None:
    """Updates are made in NumPy's memory."""


def transitions():
    """The Jacobians of all steps, from the tape."""
    return importlib.import_module("numlstm.backends.cpu.layer.jacobians")


def windows():
    """Kernels that cut windows out of series, standardised on the way."""
    return importlib.import_module("numlstm.backends.cpu.layer.windows")
