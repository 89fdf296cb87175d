"""Packages of the other sides, imported on use."""

import importlib
from typing import Any


class MissingPackage(ImportError):
    """A package of another side that is not there."""


def require(module: str, extra: str, what: str) -> Any:
    """A module of an optional package; where it is missing an error that names the extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != top:
            raise
        raise MissingPackage(
            f'{what} needs {top}: python -m pip install "numlstm[{extra}]" ({error})', name=top
        ) from error
