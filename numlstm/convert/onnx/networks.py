"""Weights of the networks that graphs of ONNX are, and the units of their data."""

from collections.abc import Sequence

import numpy as np

from numlstm.convert.onnx.stages import Head, Level, Stage, Step
from numlstm.convert.weights import Weights
from numlstm.data.scaling import Scaling
from numlstm.utils.types import Array


def weights_of(stage: Stage, output: str) -> Weights:
    """The network up to a stage."""
    levels = stage.levels
    first = levels[0]
    for level in levels[1:]:
        if _kind(level) != _kind(first):
            raise ValueError(
                "all layers must be of one kind, in attributes, peepholes, directions and "
                f"sequence_lens: the LSTM node {level.node.output[0]!r} differs from "
                f"{first.node.output[0]!r}"
            )
    if len({level.residual for level in levels[1:]}) > 1:
        raise ValueError("either all layers but the first are added to their inputs, or none")
    head, behind = _head_of(stage)
    return Weights(
        [layer for level in levels for layer in level.layers],
        head,
        directions=len(first.layers),
        cell=first.cell,
        residual=levels[-1].residual,
        output=output,
        scaling=_scaling(stage, behind),
    )


def _kind(level: Level) -> tuple[object, ...]:
    return level.cell, len(level.layers), level.ragged


def _head_of(stage: Stage) -> tuple[dict[str, Array] | None, list[Step]]:
    """The head, whose bias may be an Add of its own, and the steps behind it."""
    head: dict[str, Array] | None = None
    behind: list[Step] = []
    for one in stage.chain():
        made = one.made_by
        if isinstance(made, Head):
            head = {"weight": np.ascontiguousarray(made.weight)}
        elif isinstance(made, Step) and one.levels:
            if made.kind == "Add" and head is not None and "bias" not in head and not behind:
                dtype = np.result_type(made.array, head["weight"])
                head["bias"] = np.array(made.array, dtype)
            else:
                behind.append(made)
    return head, behind


def _scaling(stage: Stage, behind: Sequence[Step]) -> Scaling | None:
    """The units of the data, of nodes before the LSTM and behind the head."""
    features = stage.reads[0, 0]
    before = [
        Step(one.made_by.kind, one.made_by.array[features])
        for one in stage.chain()
        if isinstance(one.made_by, Step) and not one.levels
    ]
    if not before and not behind:
        return None
    x_mean, x_scale = _of_inputs(before, features.size)
    y_mean = y_scale = None
    if behind:
        y_mean, y_scale = _of_outputs(behind, stage.shape[2])
    for name, scale in ("before the LSTM", x_scale), ("behind the head", y_scale):
        if scale is not None and not (scale > 0).all():
            raise ValueError(
                f"the nodes {name} multiply by numbers that are not positive, and a scaling "
                "divides by standard deviations: name a value without them, value='...'"
            )
    return Scaling(x_mean, x_scale, y_mean, y_scale)


def _of_inputs(steps: Sequence[Step], features: int) -> tuple[Array, Array]:
    """Mean and scale: those of a Sub and a Div to the bit."""
    arrays = [np.array(step.array, np.float64) for step in steps]
    if [step.kind for step in steps] == ["Sub", "Div"]:
        return arrays[0], arrays[1]
    factor, offset = _composed(steps, arrays, features)
    with np.errstate(all="ignore"):
        return -offset / factor, 1.0 / factor


def _of_outputs(steps: Sequence[Step], width: int) -> tuple[Array, Array]:
    """Mean and scale: those of a Mul and an Add to the bit."""
    arrays = [np.array(step.array, np.float64) for step in steps]
    if [step.kind for step in steps] == ["Mul", "Add"]:
        scale, mean = arrays
    else:
        scale, mean = _composed(steps, arrays, width)
    half = width // 2  # log-variances behind the means are moved by 2 log(scale)
    if width == 2 * half and half and (scale[half:] == 1).all() and (scale[:half] > 0).all():
        moves = 2.0 * np.log(scale[:half])
        if moves.any() and np.array_equal(mean[half:], moves):
            return mean[:half], scale[:half]
    return mean, scale


def _composed(steps: Sequence[Step], arrays: Sequence[Array], size: int) -> tuple[Array, Array]:
    """All steps as factor * x + offset."""
    factor, offset = np.ones(size), np.zeros(size)
    with np.errstate(all="ignore"):
        for step, array in zip(steps, arrays, strict=True):
            if step.kind in ("Add", "Sub"):
                offset = offset + array if step.kind == "Add" else offset - array
            elif step.kind == "Mul":
                factor, offset = factor * array, offset * array
            else:
                factor, offset = factor / array, offset / array
    return factor, offset
