"""What was read, in words."""

from typing import NamedTuple

import numpy as np

from numlstm.data.ahead import Ahead
from numlstm.data.sequences import Dataset, with_axes
from numlstm.data.targets import needed_outputs
from numlstm.optim.losses import Loss
from numlstm.utils.types import Array


class Contents(NamedTuple):
    """Facts about data, whatever holds them."""

    size: str  # how many sequences of how many steps
    features: int  # that are not known ahead
    targets: int  # of a step, or of a sequence where that has one `last` target
    last: bool
    forecast: bool  # whether they are the next values of X
    ahead: Ahead | None
    static: Array | None
    missing: int  # targets that count nothing
    total: int
    all_weigh: bool  # whether every target that there is has a weight
    weighted: bool
    resets: int | None
    classes: int | None = None
    unseen: tuple[int, ...] = ()  # classes of no target


def contents_of(
    data: Dataset,
    loss: Loss,
    *,
    forecast: bool,
    pieces: int = 1,
    lost: int | None = None,
    ahead: Ahead | None = None,
) -> Contents:
    """Facts about a dataset.

    `pieces` is the number of rows in which one series was given, `lost` of the steps that each has
    beyond those of the data, by default that which is only a target. Of forecasts further `ahead`
    the data have every feature and target once.
    """
    size = sequences_in_words(data, lost=int(forecast) if lost is None else lost)
    counts, given = data.weight > 0, data.sample_weight
    there = np.ones(counts.shape, bool)
    if not data.last:
        there &= with_axes(data.valid, counts.ndim)
    classes, unseen = None, np.empty(0, np.int64)
    if loss.classes:
        classes = needed_outputs(data, loss)
        unseen = np.setdiff1d(np.arange(classes), data.y[counts])
    return Contents(
        size=size + f" in {pieces} consecutive pieces" * (pieces > 1),
        features=data.X.shape[2] - (0 if ahead is None else ahead.future),
        targets=1 if loss.classes else data.y.shape[-1],
        last=data.last,
        forecast=forecast,
        ahead=ahead,
        static=data.static,
        missing=int((there & ~counts).sum()),
        total=int(there.sum()),
        all_weigh=given is None or bool((given[data.valid] if given.ndim == 2 else given).all()),
        weighted=given is not None,
        resets=None if data.reset is None else int(data.reset.sum()),
        classes=classes,
        unseen=tuple(unseen.tolist()),
    )


def describe(data: Contents) -> str:
    """The data of a fit: "one series of 240 steps, 12 features, a target per step"."""
    words = [data.size, "one feature" if data.features == 1 else f"{data.features} features"]
    if data.ahead is not None and data.ahead.future:
        count = data.ahead.future
        words.append(f"{'one' if count == 1 else count} known ahead")
    words += [_targets_in_words(data), *_attributes_in_words(data.static)]
    return ", ".join(words + _exceptions(data))


def _attributes_in_words(static: Array | None) -> list[str]:
    """How many attributes every sequence has."""
    if static is None:
        return []
    count = static.shape[1]
    return ["one attribute of each" if count == 1 else f"{count} attributes of each"]


def _ahead_in_words(ahead: Ahead, forecast: bool) -> str:
    """What is forecast, so many steps ahead."""
    what = "value" if forecast else "target"
    if ahead.steps == 1:
        return f"the next {what} as target" if forecast else "the next target"
    return f"the next {ahead.steps} {what}s" + " as targets" * forecast


def sequences_in_words(data: Dataset, *, lost: int = 0) -> str:
    """How many sequences of how many steps: "200 sequences of 30 to 90 steps".

    A forecast has `lost` the last step of each, which is only a target.
    """
    rows, steps = data.X.shape[:2]
    lengths = np.full(rows, steps) if data.lengths is None else data.lengths
    one = "sequence" if data.last else "series"
    return lengths_in_words(lengths + lost, one, "sequences")


def lengths_in_words(lengths: Array, one: str, many: str) -> str:
    """So many series of these lengths, (B,), and what one of them is called, and many."""
    least, most = int(lengths.min()), int(lengths.max())
    length = f"{f'{least} to ' * (least < most)}{most} step{'s' * (most != 1)}"
    return f"one {one} of {length}" if len(lengths) == 1 else f"{len(lengths)} {many} of {length}"


def _targets_in_words(data: Contents) -> str:
    if data.ahead is not None and data.ahead.horizon is not None:
        return _ahead_in_words(data.ahead, data.forecast)
    if data.forecast:
        return "the next value as target"
    one = "one target" if data.last else "a target"
    words = one if data.targets == 1 else f"{data.targets} targets"
    words += " per sequence" if data.last else " per step"
    if data.classes is None:
        return words
    unseen = ", ".join(map(str, data.unseen[:5]))
    return words + f" of {data.classes} classes" + f" ({unseen} in none)" * bool(unseen)


def _exceptions(data: Contents) -> list[str]:
    """What is not as in most data: missing targets, weights, resets."""
    words = []
    if data.missing:
        kind = "missing" if data.all_weigh else "without weight"
        words.append(f"{data.missing} of {data.total} targets {kind}")
    if data.weighted:
        words.append("weighted")
    if data.resets is not None:
        words.append(f"{data.resets} resets")
    return words
