"""Free-running forecasts of a model."""

import numpy as np

from numlstm.backends.cpu import rollout as kernels
from numlstm.backends.cpu.packing import blocks
from numlstm.backends.cpu.parallel import call
from numlstm.backends.cpu.simd import TILE_ROWS
from numlstm.embed.stepper import Stepper

MOST_GROUPS = 16


def rollout(stepper: Stepper, X: np.ndarray, exogenous: np.ndarray, work: int) -> np.ndarray:
    """Y (B, S, O) from X (B, T, O + E) and exogenous (B, S, E); `work` multiply-adds per step."""
    (batch, warm, inputs), steps = X.shape, exogenous.shape[1]
    Y = np.empty((batch, steps, stepper.output_size), X.dtype)
    if Y.size == 0:
        return Y
    groups = max(1, min(MOST_GROUPS, batch // TILE_ROWS))
    per_group = blocks(batch, groups)
    h, c = (_in_groups(part, batch, per_group) for part in stepper.initial_state(batch))
    running = kernels.Running(
        h,
        c,
        np.empty((batch, inputs), X.dtype),
        np.empty((batch, stepper.output_size), X.dtype),
    )
    X, exogenous = (np.require(array, None, ["C", "A", "W"]) for array in (X, exogenous))
    series = kernels.Series(X, exogenous, Y)
    work *= batch * (warm + steps)
    call(kernels.rollout, groups, work, stepper.memory, per_group, series, running)
    return Y


def _in_groups(part: np.ndarray, batch: int, per_group: int) -> np.ndarray:
    """(layers, B, P) as one flat array with the rows of a group together."""
    firsts = range(0, batch, per_group)
    return np.concatenate([part[:, first : first + per_group].ravel() for first in firsts])
