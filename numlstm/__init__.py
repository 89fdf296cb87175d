"""Long short-term memory networks for people who work with NumPy and SciPy."""

import importlib
from typing import Any

from numlstm._version import __version__ as __version__
from numlstm.utils import forks  # noqa: F401  # watches for forks from the first import on

# public name -> module; imported on first use, so that `import numlstm` stays cheap
_HOMES = {
    "fit": "numlstm.training.fit",  # a module named fit would take the function's place
    "FitResult": "numlstm.training.result",
    "LSTM": "numlstm.model.lstm",
    "State": "numlstm.architecture.spec",
    "Gradients": "numlstm.architecture.spec",
    "LSTMRegressor": "numlstm.estimators",
    "LSTMClassifier": "numlstm.estimators",
    "ensemble": "numlstm.training.ensemble",
    "objective": "numlstm.objectives.objective",
    "load": "numlstm.model.lstm",
    "StorageError": "numlstm.utils.files",
    "BackendError": "numlstm.backends",
    "Cell": "numlstm.architecture.cell",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'numlstm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
