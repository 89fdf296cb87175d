"""Packages that are optional, imported on use."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

_CALLED = {"sklearn": "scikit-learn"}


def require(module: str, install: str, what: str, error: type[ImportError] = ImportError) -> Any:
    """A module of an optional package, which `what` needs."""
    with needing(module.partition(".")[0], install, what, error):
        return importlib.import_module(module)


@contextlib.contextmanager
def needing(
    package: str, install: str, what: str, error: type[ImportError] = ImportError
) -> Iterator[None]:
    """Let the lack of a package be an error that says what to install, as ``numlstm[plot]``.

    A version without a name that is asked for is a lack, and another package that is missing not.
    """
    try:
        yield
    except ImportError as found:
        if (found.name or "").partition(".")[0] != package:
            raise
        raise error(
            f"{what} needs {_CALLED.get(package, package)}: "
            f'python -m pip install "{install}" ({found})',
            name=package,
        ) from found
