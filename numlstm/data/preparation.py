"""From the user's arrays to training and validation data in the network's units."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from numlstm.data.missing import Filling
from numlstm.data.scaling import Scaling, moments
from numlstm.data.sequences import Dataset, mask, streams
from numlstm.data.targets import (
    Reading,
    for_network,
    needed_outputs,
    read_dataset,
    require_outputs,
    require_probabilities,
)
from numlstm.model.lstm import LSTM
from numlstm.training.scheduled_sampling import require_forecasts, require_one_unit
from numlstm.training.settings import Settings


class Data(NamedTuple):
    """What a fit works on."""

    train: Dataset
    validation: Dataset | None
    scaling: Scaling | None
    filling: Filling | None
    output_size: int
    bptt_steps: int | None


def prepare(
    X: Any,
    y: Any,
    rows: Mapping[str, Any],
    validation: Any,
    settings: Settings,
    model: LSTM | None,
) -> Data:
    """Read, split, standardise and lay out the data of a fit.

    `rows` are the arrays beside X and y: sample_weight, lengths and reset.
    """
    loss, missing = settings.criterion, settings.missing == "mask"
    size = None if model is None else model.num_features
    reading = Reading(
        *(size, settings.dtype, settings.nan_policy, loss.classes, settings.output, missing)
    )
    train = read_dataset(X, y, reading, **rows)
    bptt_steps = settings.bptt_steps
    if settings.stateful:
        bptt_steps = bptt_steps or _window(train)
        train = streams(train, 1)
    forecast = y is None or settings.sampling is not None
    if settings.sampling is not None:
        require_forecasts(train)
        require_one_unit(None if model is None else model.scaling)
    reading = reading._replace(
        input_size=train.X.shape[2], output="last" if train.last else "sequence"
    )
    train, judge = _validation(train, validation, reading, settings)
    output_size = _output_size(train, judge, settings, model)
    for part in (train, judge):
        if part is not None and settings.loss == "binary_cross_entropy":
            require_probabilities(part)
    scaling = _scaling(train, forecast, settings, model)
    filling = _filling(train, model) if missing else None
    train = for_network(train, filling, scaling)
    judge = judge and for_network(judge, filling, scaling)
    if settings.stateful:
        most = settings.batch_size
        train = _parallel(train, most, bptt_steps)
        judge = judge and _parallel(judge, most, bptt_steps)
    return Data(train, judge, scaling, filling, output_size, bptt_steps)


def _window(data: Dataset) -> int:
    if data.last:
        raise ValueError("stateful=True needs one target per step, not one per sequence")
    if len(data.X) == 1:
        raise ValueError("stateful=True on one series needs bptt_steps=, the window to train on")
    return data.X.shape[1]


def _parallel(series: Dataset, most: int, bptt_steps: int | None) -> Dataset:
    """One series as `most` streams, or fewer where they were shorter than a window."""
    return streams(series, max(1, min(most, series.steps() // (bptt_steps or 1))))


def _validation(
    train: Dataset, validation: Any, reading: Reading, settings: Settings
) -> tuple[Dataset, Dataset | None]:
    """Training data, and what to judge by: a pair of its own, or a fraction set aside."""
    if validation is None:
        return train, None
    if isinstance(validation, (tuple, list)):
        if len(validation) != 2:
            raise ValueError(
                f"validation must be a fraction or a pair (X, y); received {len(validation)} values"
            )
        try:
            judge = read_dataset(validation[0], validation[1], reading)
        except (TypeError, ValueError) as error:
            raise type(error)(f"validation: {error}") from error
        return train, streams(judge, 1) if settings.stateful else judge
    try:
        fraction = float(validation)
    except (TypeError, ValueError):
        raise TypeError(
            f"validation must be a fraction or a pair (X, y), received {type(validation)}"
        ) from None
    if not 0 < fraction < 1:
        raise ValueError(f"validation must lie between 0 and 1, received {validation!r}")
    return _split(train, fraction, settings.stateful)


def _split(data: Dataset, fraction: float, stateful: bool) -> tuple[Dataset, Dataset]:
    """The last sequences, or of one series the end."""
    rows, steps = data.X.shape[:2]
    single = rows == 1
    count = data.steps() if single else rows
    at = count - max(1, round(fraction * count))
    if at < 1 or (single and data.last):
        raise ValueError(
            f"validation={fraction:g} cannot be set aside from {rows} sequence(s) of {steps} "
            "steps; pass validation=(X, y)"
        )
    if not single:
        parts = data.cut(0, steps, slice(at)), data.cut(0, steps, slice(at, None))
    elif stateful:
        parts = data.cut(0, at), data.cut(at, count)
    else:
        # the whole series again, but only its end counts: the state is then the right one
        weight = data.weight.copy()
        weight[:, :at] = 0
        parts = data.cut(0, at), replace(data, weight=weight)
    if not all(part.total_weight() > 0 for part in parts):
        raise ValueError(f"validation={fraction:g} leaves no target on one side of the split")
    return parts


def _output_size(
    train: Dataset, judge: Dataset | None, settings: Settings, model: LSTM | None
) -> int:
    """What the targets need the network to give."""
    parts = [part for part in (train, judge) if part is not None]
    if not settings.criterion.classes and parts[-1].y.shape[-1] != train.y.shape[-1]:
        raise ValueError(
            f"validation has {parts[-1].y.shape[-1]} target(s) per step, y has {train.y.shape[-1]}"
        )
    needed = max(needed_outputs(part, settings.criterion) for part in parts)
    if model is None:
        return needed
    require_outputs(model.spec.width, needed, settings.loss)
    return model.spec.width


def _scaling(
    train: Dataset, forecast: bool, settings: Settings, model: LSTM | None
) -> Scaling | None:
    """The units of the training data, or those that a given model has."""
    wanted = model is None if settings.standardize is None else settings.standardize
    if model is not None and model.scaling is not None:
        if settings.standardize is False:
            raise ValueError(
                "standardize=False does not go with the model given, which keeps a scaling"
            )
        return model.scaling
    if not wanted:
        return None
    x_mean, x_scale = _moments(train)
    if not settings.criterion.regression:
        return Scaling(x_mean, x_scale)
    if forecast:
        outputs = train.y.shape[-1]
        return Scaling(x_mean, x_scale, x_mean[:outputs], x_scale[:outputs])
    return Scaling(x_mean, x_scale, *moments(train.y, train.weight > 0))


def _filling(train: Dataset, model: LSTM | None) -> Filling:
    """How missing inputs are filled: as a given model does, or by what was observed."""
    if model is not None and model.filling is not None:
        return model.filling
    return Filling(_moments(train)[0])


def _moments(train: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every input feature where it was observed."""
    valid = ~np.isnan(train.X)
    if train.lengths is not None:
        valid &= mask(train.lengths, train.X.shape[1])[..., None]
    return moments(train.X, valid)
