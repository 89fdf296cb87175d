"""Long short-term memory networks for people who work with NumPy and SciPy."""

import importlib
from typing import TYPE_CHECKING, Any

from numlstm._version import __version__ as __version__
from numlstm.utils import (
    forks,  # noqa: F401  # watches for forks from the first import on
    optional,
)

if TYPE_CHECKING:  # what `__getattr__` does, for tools that do not run it
    from numlstm import convert as convert
    from numlstm import inspection as inspection
    from numlstm import metrics as metrics
    from numlstm import plotting as plotting
    from numlstm.architecture.cell import Cell as Cell
    from numlstm.architecture.spec import Gradients as Gradients
    from numlstm.architecture.spec import State as State
    from numlstm.backends import BackendError as BackendError
    from numlstm.estimators import LSTMClassifier as LSTMClassifier
    from numlstm.estimators import LSTMRegressor as LSTMRegressor
    from numlstm.model.lstm import LSTM as LSTM
    from numlstm.model.lstm import load as load
    from numlstm.objectives.objective import objective as objective
    from numlstm.training.backtest import backtest as backtest
    from numlstm.training.ensemble import ensemble as ensemble
    from numlstm.training.fit import fit as fit
    from numlstm.training.result import FitResult as FitResult
    from numlstm.utils.files import StorageError as StorageError

# public name -> module; imported on first use, so that `import numlstm` stays cheap
_HOMES = {
    "fit": "numlstm.training.fit",  # a module named fit would take the function's place
    "FitResult": "numlstm.training.result",
    "LSTM": "numlstm.model.lstm",
    "State": "numlstm.architecture.spec",
    "Gradients": "numlstm.architecture.spec",
    "LSTMRegressor": "numlstm.estimators",
    "LSTMClassifier": "numlstm.estimators",
    "backtest": "numlstm.training.backtest",
    "ensemble": "numlstm.training.ensemble",
    "objective": "numlstm.objectives.objective",
    "load": "numlstm.model.lstm",
    "StorageError": "numlstm.utils.files",
    "BackendError": "numlstm.backends",
    "Cell": "numlstm.architecture.cell",
}

_MODULES = (
    "convert",
    "inspection",
    "metrics",
    "plotting",
)  # public ones; imported on first use, too

__all__ = sorted([*_HOMES, *_MODULES])


if not TYPE_CHECKING:  # it would tell them that any name exists

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"numlstm.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'numlstm' has no attribute {name!r}")
        with optional.needing("sklearn", "numlstm[sklearn]", f"numlstm.{name}"):
            value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
