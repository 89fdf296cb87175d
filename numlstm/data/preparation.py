"""From the user's arrays to training and validation data in the network's units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from numlstm.data.ahead import Ahead, steps_ahead
from numlstm.data.arrays import Arrays
from numlstm.data.attributes import require_static, size_of, weight_of_rows
from numlstm.data.description import contents_of, describe
from numlstm.data.fill_values import warn_of_fill_values
from numlstm.data.labels import UNNAMED, Names
from numlstm.data.misread import Given, warn_of_misreading
from numlstm.data.missing import Imputer
from numlstm.data.next_inputs import NextInputs
from numlstm.data.scaling import Moments, Scaling, moments
from numlstm.data.sequences import Dataset, input_weight, observed, streams, varies
from numlstm.data.series_weight import read_rule, with_series_weight
from numlstm.data.targets import (
    Reading,
    classes_of,
    for_network,
    read_dataset,
    require_outputs,
    require_probabilities,
)
from numlstm.data.validation import with_validation
from numlstm.optim.losses import LOSSES, Loss
from numlstm.utils import checks, notices
from numlstm.utils.nouns import Noun, option
from numlstm.utils.random_streams import SPLIT, RandomStreams

_FEWEST = 20  # targets whose range says something
_FAR = 1e3  # standard deviations, beyond which targets have another unit


def _scheduled(name: str, value: Any) -> float | Callable[[int], float] | None:
    return value if value is None or callable(value) else checks.probability(name, value)


def _loss(name: str, value: Any) -> str:
    if isinstance(value, str) and value.lower() == "nse":
        raise ValueError(
            f"{name}={value!r} is loss='mse' with weight='nse', as in fit(weight='nse')"
        )
    return checks.choice(name, value, options=tuple(LOSSES))


@dataclass(frozen=True)
class DataConfig(Noun):
    """How the data of a fit are read, and cut into batches and windows."""

    loss: str = option("mse", _loss)
    output: str | None = option(
        None, partial(checks.optional, checks.choice, options=("sequence", "last")), later=True
    )
    nan_policy: str = option("raise", partial(checks.choice, options=("raise", "omit")), later=True)
    missing: str = option("raise", partial(checks.choice, options=("raise", "mask")))
    standardize: bool | None = option(None, partial(checks.optional, checks.flag), later=True)
    # of streams the data are laid out in so many, whatever the method
    batch_size: int = option(32, checks.size, full_batch=attrgetter("stateful"))
    bptt_steps: int | None = option(None, partial(checks.optional, checks.size))
    stateful: bool = option(False, checks.flag)
    # how many steps ahead are forecast at once; None: the next one, or what y is
    horizon: int | None = option(None, partial(checks.optional, checks.size))
    # steps of a sample of long series, which end every `stride` steps; targets at the end of each
    window: int | None = option(None, partial(checks.optional, checks.size))
    stride: int = option(1, checks.size)
    predict_last: int = option(1, checks.size)
    shuffle: str = option(
        "samples", partial(checks.choice, options=("samples", "blocks")), full_batch=False
    )
    # share of the inputs that are the network's own forecasts; a function gets the epoch
    scheduled_sampling: float | Callable[[int], float] | None = option(None, _scheduled)
    weight: str | None = option(None, read_rule)

    @property
    def criterion(self) -> Loss:
        """The loss as a function."""
        return LOSSES[self.loss]


class GivenModel(NamedTuple):
    """The sizes and units of a model to start from, where there is one."""

    num_features: int | None = None
    num_outputs: int | None = None
    scaling: Scaling | None = None
    filling: Imputer | None = None
    names: Names = UNNAMED
    ahead: Ahead | None = None  # what it forecasts, where that is more than y or the next value
    static_size: int | None = None


class Data(NamedTuple):
    """The data of a fit in the network's units."""

    train: Any  # TrainingData
    validation: Any
    scaling: Scaling | None
    filling: Imputer | None
    output_size: int
    bptt_steps: int | None
    words: str  # what was read
    names: Names = UNNAMED
    forecasts: bool = False  # whether the outputs are the values of the next inputs
    ahead: Ahead | None = None
    unit: float = 1.0  # what the weights of the training data were divided by


class Statistics(Protocol):
    """Numbers from which the units and the size of a network follow; those of one step.

    Moments are means and standard deviations of columns, and taken when they are asked for.
    """

    @property
    def inputs(self) -> Moments:
        """Moments of the features, where they were observed."""

    @property
    def targets(self) -> Moments:
        """Moments of the targets that count."""

    @property
    def attributes(self) -> Moments | None:
        """Moments of the attributes of sequences, where they have some."""

    @property
    def forecast(self) -> bool:
        """Whether targets are the values of the next inputs."""

    @property
    def varies(self) -> bool:
        """Whether steps of one sequence have different weights."""

    @property
    def num_one_step(self) -> int:
        """Targets of a step."""

    @property
    def num_targets(self) -> int:
        """The same with those of all steps ahead."""

    @property
    def num_classes(self) -> int:
        """How many classes the targets need."""


def prepare(
    arrays: Arrays,
    config: DataConfig,
    dtype: str,
    draws: RandomStreams,
    model: GivenModel | None = None,
    outputs: int | None = None,
) -> Data:
    """Read, split, standardise and lay out the data of a fit, of a network of so many outputs."""
    loss, model = config.criterion, model or GivenModel()
    require_agreement(arrays, config, model)
    reading = reading_of(config, model, known=arrays.future is not None)
    train = read_dataset(arrays.X, arrays.y, reading, **arrays.rows)
    ahead = train.ahead
    require_model(train.X.shape[2], train.static, ahead, config, model)
    warned = warn_of_fill_values(_one_step(train, ahead))
    given, bptt_steps = train, config.bptt_steps
    if config.stateful:
        bptt_steps = _window(train, bptt_steps)
        train = streams(train, 1)
    if config.scheduled_sampling is not None:
        _require_forecasts(train, ahead)
        _require_one_unit(model.scaling)
    told = (config.output, model.num_outputs, outputs, given.names.targets)
    said = any(part is not None for part in told)
    words = _in_words(given, train, arrays, config, said)
    reading = reading.like(given)
    split = with_validation(train, arrays, reading, loss, draws.stream(SPLIT))
    forecast = arrays.y is None or are_next_inputs(_one_step(split.train, ahead))
    judged = ""
    if split.judge is not None:
        _require_same_attributes(train, split.judge)
        judged = f"; validation: {split.words}"
        if not warned:
            warn_of_fill_values(_one_step(split.judge, ahead), "validation: ")
    parts = [part.balanced() for part in (split.train, split.judge) if part is not None]
    known = [_OfSequences(part, _one_step(part, ahead), forecast) for part in parts]
    asked = outputs if model.num_outputs is None else model.num_outputs
    output_size = outputs_of(known, config, asked)
    check_targets([part.one_step for part in known], config)
    scaling, filling = units_of(known[0], ahead, config, model)
    if config.weight is not None:  # of the loss alone
        parts = [with_series_weight(part) for part in parts]
    train, *judge = (for_network(part, filling, scaling, dtype) for part in parts)
    if config.stateful:
        train = _parallel(train, config.batch_size, bptt_steps)
        words += _parts_in_words(train, bptt_steps)
    return Data(
        train=train,
        validation=judge[0] if judge else None,
        scaling=scaling,
        filling=filling,
        output_size=output_size,
        bptt_steps=bptt_steps,
        words=words + judged,
        names=given.names,
        forecasts=feeds_back(forecast, loss, ahead),
        ahead=ahead,
        unit=split.train.unit,
    )


def feeds_back(forecast: bool, loss: Loss, ahead: Ahead | None) -> bool:
    """Whether the outputs are values of the next inputs, where targets are a `forecast` of them."""
    return forecast and loss.regression and loss.outputs == 1 and steps_ahead(ahead) == 1


def _one_step(data: Dataset, ahead: Ahead | None) -> Dataset:
    """The data with every feature and target once."""
    return data if ahead is None else ahead.one_step(data)


def require_agreement(arrays: Arrays, config: DataConfig, model: GivenModel) -> None:
    """Refuse another horizon, or other features known ahead, than the model given has."""
    has = model.ahead
    if has is None:
        return
    if config.horizon not in (None, has.horizon):
        raise ValueError(
            f"horizon={config.horizon} does not go with the model given, which has "
            f"{has.horizon!r}: leave horizon out, or start without model="
        )
    if arrays.future is not None and not has.future:
        raise ValueError(
            "future= does not go with the model given, which was fitted without: leave it out, or "
            "start without model="
        )


def reading_of(config: DataConfig, model: GivenModel, *, known: bool = False) -> Reading:
    """How the arrays of a fit are read."""
    ahead = model.ahead or Ahead(config.horizon, 0, 1)
    # of a new model the inputs are those of a step with what is known ahead
    as_laid_out = known and model.ahead is None
    return Reading(
        input_size=None if _masks_anew(config, model) or as_laid_out else model.num_features,
        nan_policy=config.nan_policy,
        loss=config.criterion,
        output=config.output,
        missing=config.missing == "mask",
        names=model.names,
        pieces=config.stateful,
        horizon=ahead.horizon,
        future=None if model.ahead is None else ahead.future,
    )


def _masks_anew(config: DataConfig, model: GivenModel) -> bool:
    """Whether a given model is to read mask channels that it did not have."""
    return config.missing == "mask" and model.filling is None


def require_model(
    width: int, static: Any, ahead: Ahead | None, config: DataConfig, model: GivenModel
) -> None:
    """Refuse a model given that reads other inputs (..., width), or other attributes."""
    _require_channels(width, config, model)
    if ahead is not None and model.ahead is None and config.missing != "mask":
        _require_width(ahead.columns, width, model)
    if model.num_features is not None:
        require_static(static, model.static_size)


def _require_channels(features: int, config: DataConfig, model: GivenModel) -> None:
    """Refuse a new model without inputs for the mask channels."""
    inputs = 2 * features
    if _masks_anew(config, model) and model.num_features not in (None, inputs):
        raise ValueError(
            "missing='mask' does not go with the model given, which has 'raise' and "
            f"{model.num_features} input(s): every feature has a channel that says where it was "
            f"observed, so that X needs {inputs}; make the model as numlstm.LSTM({inputs}, ...), "
            "or start without model="
        )


def _require_width(known: int, width: int, model: GivenModel) -> None:
    """Refuse a new model without inputs for what is known ahead."""
    if model.num_features not in (None, width):
        raise ValueError(
            f"the model given has {model.num_features} input(s), and a step has {width} with the "
            f"{known} that are known ahead: make it as numlstm.LSTM({width}, ...), or start "
            "without model="
        )


def _require_same_attributes(train: Dataset, judge: Dataset) -> None:
    """Refuse data to judge by without the attributes that the others have."""
    try:
        require_static(judge.static, size_of(train.static), "the data of the fit")
    except ValueError as error:
        raise ValueError(f"validation: {error}") from error


def _in_words(
    given: Dataset, train: Dataset, arrays: Arrays, config: DataConfig, said: bool
) -> str:
    """What was read, in words, with a warning where something else may have been meant."""
    forecast, pieces = arrays.y is None, len(given.X) if config.stateful else 1
    ahead, lost = given.ahead, None
    if ahead is not None:
        train, lost = ahead.one_step(train), given.lost
        given = replace(given, X=given.X[..., : given.X.shape[2] - ahead.columns])
    counts = {"forecast": forecast, "pieces": pieces, "lost": lost, "ahead": ahead}
    words = describe(contents_of(train, config.criterion, **counts))
    classes = not config.criterion.regression
    as_given = Given(arrays.X, forecast, classes, pieces > 1, said)
    warn_of_misreading(given, as_given, words)
    return words


def _window(data: Dataset, asked: int | None) -> int:
    if data.last:
        raise ValueError("stateful=True needs one target per step, not one per sequence")
    if asked is not None:
        return asked
    if len(data.X) == 1:
        raise ValueError("stateful=True on one series needs bptt_steps=, the window to train on")
    return int(data.X.shape[1])


def _parallel(series: Dataset, most: int, bptt_steps: int | None) -> Dataset:
    """One series as `most` streams, or fewer where they were shorter than a window."""
    return streams(series, max(1, min(most, series.steps() // (bptt_steps or 1))))


def _parts_in_words(train: Dataset, bptt_steps: int | None) -> str:
    """In how many parts a series is read; a warning where they leave little of its memory."""
    parts, steps = len(train.X), train.steps()
    if parts < 2:
        return ""
    carried = train.reset is None or not train.reset[1:, 0].all()
    if carried and bptt_steps is not None and 2 * steps < 3 * bptt_steps:
        notices.warn(
            f"stateful=True trains on {parts} parts of {steps} steps side by side, each from the "
            f"initial state: with windows of bptt_steps={bptt_steps} hardly any state is carried "
            "on, and predict carries it through the whole series. Pass batch_size=1, for the "
            f"series in one part, or window={bptt_steps} in the place of stateful=True and "
            "bptt_steps=, for a model that predicts from windows"
        )
    return f", in {parts} parts of {steps} steps"


def check_targets(parts: Sequence[Any], config: DataConfig) -> None:
    """Refuse targets that the loss cannot have, and say where parts seem to differ in unit."""
    if config.criterion.regression and len(parts) == 2:
        _warn_of_other_targets(*parts)
    if config.loss == "binary_cross_entropy":
        for part in parts:
            require_probabilities(part.y)


def _warn_of_other_targets(train: Any, judge: Any) -> None:
    """Say where targets to judge by lie elsewhere than those that are learned from."""
    mean, scale = moments(train.y, train.weight > 0)
    for column, (center, spread) in enumerate(zip(mean, scale, strict=True)):
        values, others = (
            part.y[..., column][part.weight[..., column] > 0] for part in (train, judge)
        )
        if not values.size or values.min() == values.max() or not others.size:
            continue
        far = float(np.median(np.abs(others.astype(np.float64) - center))) / spread
        doubt = _other_unit(far) or _trend(values, others)
        if doubt:
            name = train.names.targets[column] if train.names.targets else column
            notices.warn(f"validation: the targets of column {name} {doubt}")


def _other_unit(far: float) -> str:
    """What is said of targets that are typically so many deviations from what is learned."""
    if not far > _FAR:
        return ""
    return (
        f"are typically {far:.1g} standard deviations of those of y from their mean: see whether "
        "they have the same unit"
    )


def _trend(values: np.ndarray, others: np.ndarray) -> str:
    """What is said of targets that are mostly above, or below, all that are learned from."""
    above, below = np.mean(others > values.max()), np.mean(others < values.min())
    share = max(above, below)
    if values.size < _FEWEST or share <= 0.5 or min(above, below) > 0:
        return ""
    return (
        f"lie beyond all that are learned from, {share:.0%} of them "
        f"{'above' if above > below else 'below'}, and a network does not go there: where a series "
        "has a trend, fit its changes, np.diff(series), and add the forecasts to the last value"
    )


def outputs_of(parts: Sequence[Statistics], config: DataConfig, asked: int | None) -> int:
    """Number of outputs: that asked for, if it fits the targets, or what they need."""
    loss = config.criterion
    have, judged = parts[0].num_targets, parts[-1].num_targets
    if not loss.classes and have != judged:
        raise ValueError(f"validation has {judged} target(s) per step, y has {have}")
    needed = loss.outputs * have
    if loss.classes:
        needed = max(part.num_classes for part in parts)
    if asked is None:
        return needed
    require_outputs(asked, needed, config.loss)
    return asked


# --- units ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _OfSequences:
    """Statistics of sequences as they are."""

    data: Dataset
    one_step: Dataset  # with every feature and target once
    forecast: bool

    @property
    def inputs(self) -> Moments:
        data = self.one_step
        return moments(data.X, observed(data), input_weight(data))

    @property
    def targets(self) -> Moments:
        data = self.one_step
        weight = None if data.sample_weight is None else data.weight
        return moments(data.y, data.weight > 0, weight)

    @property
    def attributes(self) -> Moments | None:
        if (static := self.one_step.static) is None:
            return None
        return moments(static, np.ones(static.shape, bool), weight_of_rows(self.one_step))

    @property
    def varies(self) -> bool:
        return varies(self.one_step)

    @property
    def num_one_step(self) -> int:
        return int(self.one_step.y.shape[-1])

    @property
    def num_targets(self) -> int:
        return int(self.data.y.shape[-1])

    @property
    def num_classes(self) -> int:
        return classes_of(int(self.data.y.max()))


def units_of(
    data: Statistics, ahead: Ahead | None, config: DataConfig, model: GivenModel
) -> tuple[Scaling | None, Imputer | None]:
    """The network's units, and how what is missing is filled: by the data, or as a model has it."""

    def own() -> Scaling:
        scaling = _own_scaling(data, config)
        return scaling if ahead is None else ahead.scaling(scaling)

    scaling = _scaling_of(own, config, model)
    if config.missing != "mask":
        return scaling, None
    if model.filling is not None:
        return scaling, model.filling
    own_filling = Imputer(data.inputs[0])
    return scaling, own_filling if ahead is None else ahead.filling(own_filling)


def _scaling_of(
    own: Callable[[], Scaling], config: DataConfig, model: GivenModel
) -> Scaling | None:
    """The units of the training data, or those that a given model has."""
    kept = model.scaling
    if kept is None:
        return None if config.standardize is False else own()
    asked = config.standardize
    if asked is False or (asked and not kept.is_near(own())):
        other = " of other data" if asked else ""
        raise ValueError(
            f"standardize={asked} does not go with the model given, which keeps a scaling{other}: "
            "leave standardize out, and it stays; for another one start without model=, or pass a "
            "copy of the model with model.scaling = None"
        )
    return kept


def _own_scaling(data: Statistics, config: DataConfig) -> Scaling:
    """The units of the training data."""
    scaling = _scaling_in_time(data, config)
    if (attributes := data.attributes) is None:
        return scaling
    mean, scale = attributes
    return scaling._replace(static_mean=mean, static_scale=scale)


def _scaling_in_time(data: Statistics, config: DataConfig) -> Scaling:
    """The units of inputs and targets; a value has one unit as input and as target."""
    inputs = data.inputs
    if not config.criterion.regression:
        return Scaling(*inputs)
    if data.forecast and not data.varies:
        return Scaling(*inputs, *(part[: data.num_one_step].copy() for part in inputs))
    targets = data.targets
    if data.forecast:  # that as a target: where a value counts nothing it may be any
        for part, own in zip(inputs, targets, strict=True):
            part[: len(own)] = own
    return Scaling(*inputs, *targets)


def are_next_inputs(data: Dataset) -> bool:
    """Whether all targets are the next inputs: the first O features of the next step."""
    targets, inputs = _followed(data)
    return targets.size > 0 and _equal(targets, inputs)


def _followed(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The targets that an input follows, which those at the end of a sequence are not; and that.

    Where the shapes say that it is not the next input, there is none.
    """
    if data.last or data.y.ndim < 3 or data.y.shape[-1] > data.X.shape[2]:
        return data.y, np.empty(0)
    there = (data.weight[:, :-1] > 0) & data.valid[:, 1:, None]
    following = data.X[:, 1:, : data.y.shape[-1]]
    if data.reset is not None:
        there = there & ~data.reset[:, 1:, None]
    return data.y[:, :-1][there], following[there]


def _equal(targets: np.ndarray, inputs: np.ndarray) -> bool:
    """Whether these are the same numbers, of which one may have been rounded before."""
    found = NextInputs()
    if targets.shape == inputs.shape:
        found.add(targets, inputs)
    return targets.shape == inputs.shape and found.same


def _require_forecasts(data: Dataset, ahead: Ahead | None) -> None:
    """Refuse targets that are not the next inputs, and sequences with a break."""
    if ahead is not None and ahead.horizon is not None:
        raise ValueError(
            "scheduled_sampling feeds the forecast of the next step back, and horizon= forecasts "
            "several at once: leave one of them out"
        )
    if data.reset is not None:
        raise ValueError("scheduled_sampling needs sequences without reset: cut them there")
    if not _equal(*_followed(data)):
        raise ValueError(
            "scheduled_sampling feeds forecasts back as inputs, so targets must be the next "
            "inputs: leave y out, or give exogenous inputs as the last features of X and let y[t] "
            "be the first features of X[t + 1]"
        )


def _require_one_unit(scaling: Scaling | None) -> None:
    """Refuse a given model whose outputs are in other units than its inputs."""
    if scaling is not None and scaling.y_mean is not None and not scaling.one_unit():
        raise ValueError(
            "scheduled_sampling needs a model whose inputs and outputs have the same units; the "
            "model given standardises them apart: start without model="
        )
