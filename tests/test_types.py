"""The types that a type checker sees where the package is used."""

from helpers.processes import ROOT, run_python

PROGRAM = """
from collections.abc import Callable
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import numlstm
from numlstm import FitResult, Gradients, LSTM, State
from numlstm.architecture.parameters import Parameters
from numlstm.stepping.stepper import Stepper

Array = npt.NDArray[Any]
X = np.zeros((2, 5, 1))

result = numlstm.fit(X, epochs=1)
assert_type(result, FitResult)
assert_type(result.model, LSTM)
assert_type(result.x, Array)
assert_type(result.fun, float)
assert_type(result.success, bool)
assert_type(result.history, dict[str, Array])

model = numlstm.LSTM(1, 4, 1, rng=0)
assert_type(model, LSTM)
assert_type(numlstm.load("model.npz"), LSTM)
assert_type(model.theta, Array)
assert_type(model.params, Parameters)
assert_type(model.params["bias_l0"], Array)
assert_type(model.predict(X), Array)
assert_type(model.forward(X), tuple[Array, State])
assert_type(model.step(X[:, 0]), tuple[Array, State])
assert_type(model.vjp(X), tuple[Array, Callable[..., Gradients]])
assert_type(model.jvp(X), tuple[tuple[Array, State], tuple[Array, State]])
assert_type(model.jacobian(X), Array)
assert_type(model.transitions(X), Array)
assert_type(model.rollout(X, 3), Array)
assert_type(model.rollout_vjp(X, 3)[0], Array)
assert_type(model.njit(), Stepper)
assert_type(model.cfunc().address, int)

assert_type(numlstm.Cell(peephole=True).peephole, bool)
numlstm.Cell(activations=["relu", "tanh", ("elu", 0.5)])
assert_type(numlstm.ensemble(X, members=2).models[0], LSTM)
assert_type(numlstm.objective(model, X).value(model.theta), float)
assert_type(numlstm.LSTMRegressor().fit(X, X), numlstm.LSTMRegressor)
assert_type(numlstm.LSTMClassifier().fit(X, X), numlstm.LSTMClassifier)
assert_type(numlstm.__version__, str)

numlstm.lstm  # type: ignore[attr-defined]
numlstm.LSTM("1", 4)  # type: ignore[arg-type]
numlstm.fit(X, epoch=1)  # type: ignore[call-arg]
"""


def test_what_type_checkers_see(tmp_path):
    """The project's settings are strict: a comment that ignores nothing is an error, too."""
    (tmp_path / "program.py").write_text(PROGRAM)
    checked = run_python("-m", "mypy", tmp_path / "program.py", MYPYPATH=str(ROOT))
    assert checked.returncode == 0, checked.stdout + checked.stderr
