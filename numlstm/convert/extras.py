"""The import path of before, for `numlstm.convert.onnx`."""

from typing import Any

from numlstm.convert.counterpart import Counterpart
from numlstm.convert.counterpart import MissingPackage as MissingPackage


def require(module: str, extra: str, what: str) -> Any:
    """A module of the packages that an extra installs."""
    return Counterpart("", extra).require(module, what)
