"""Packages that are optional, imported on use."""

import importlib
from typing import Any


class MissingPackage(ImportError):
    """An optional package that is not there."""


def require(module: str, install: str, what: str) -> Any:
    """A module of an optional package; without it an error that says what to install.

    `install` is a requirement, such as ``numlstm[plot]``, and `what` needs the module.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != top:
            raise
        raise MissingPackage(
            f'{what} needs {top}: python -m pip install "{install}" ({error})', name=top
        ) from error
