"""The import path of before, for `numlstm.convert.onnx`."""

from typing import Any

from numlstm.utils import optional
from numlstm.utils.optional import MissingPackage as MissingPackage


def require(module: str, extra: str, what: str) -> Any:
    """A module of the packages that an extra installs."""
    return optional.require(module, f"numlstm[{extra}]", what)
