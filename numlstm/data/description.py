"""What was read, in words."""

import numpy as np

from numlstm.data.ahead import Ahead
from numlstm.data.sequences import Dataset, with_axes
from numlstm.data.targets import needed_outputs
from numlstm.optim.losses import Loss


def describe(
    data: Dataset,
    loss: Loss,
    *,
    forecast: bool,
    pieces: int = 1,
    lost: int | None = None,
    ahead: Ahead | None = None,
) -> str:
    """The data of a fit: "one series of 240 steps, 12 features, a target per step".

    `pieces` is the number of rows in which one series was given, `lost` of the steps that each has
    beyond those of the data, by default that which is only a target. Of forecasts further `ahead`
    the data have every feature and target once.
    """
    known = 0 if ahead is None else ahead.future
    features = data.X.shape[2] - known
    words = [sequences_in_words(data, lost=int(forecast) if lost is None else lost)]
    if pieces > 1:
        words[0] += f" in {pieces} consecutive pieces"
    words.append("one feature" if features == 1 else f"{features} features")
    words += known_in_words(known)
    words.append("the next value as target" if forecast else _targets_in_words(data, loss))
    if ahead is not None and ahead.horizon is not None:
        words[-1] = ahead_in_words(ahead, forecast)
    if data.static is not None:
        count = data.static.shape[1]
        words.append("one attribute of each" if count == 1 else f"{count} attributes of each")
    return ", ".join(words + _exceptions(data))


def known_in_words(count: int) -> list[str]:
    """How many features are known ahead."""
    return [f"{'one' if count == 1 else count} known ahead"] if count else []


def ahead_in_words(ahead: Ahead, forecast: bool) -> str:
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
    least, most = int(lengths.min()) + lost, int(lengths.max()) + lost
    length = f"{f'{least} to ' * (least < most)}{most} step{'s' * (most != 1)}"
    if rows == 1:
        return f"one {'sequence' if data.last else 'series'} of {length}"
    return f"{rows} sequences of {length}"


def _targets_in_words(data: Dataset, loss: Loss) -> str:
    count = 1 if loss.classes else data.y.shape[-1]
    one = "one target" if data.last else "a target"
    words = one if count == 1 else f"{count} targets"
    words += " per sequence" if data.last else " per step"
    if not loss.classes:
        return words
    count = needed_outputs(data, loss)
    words += f" of {count} classes"
    unseen = np.setdiff1d(np.arange(count), data.y[data.weight > 0])
    return words + f" ({', '.join(map(str, unseen[:5]))} in none)" * (len(unseen) > 0)


def _exceptions(data: Dataset) -> list[str]:
    """What is not as in most data: missing targets, weights, resets."""
    words = []
    counts = data.weight > 0
    there = np.ones(counts.shape, bool)
    if not data.last:
        there &= with_axes(data.valid, counts.ndim)
    total, missing = int(there.sum()), int((there & ~counts).sum())
    if missing:
        given = data.sample_weight
        kind = "missing" if given is None or (given > 0).all() else "without weight"
        words.append(f"{missing} of {total} targets {kind}")
    if data.sample_weight is not None:
        words.append("weighted")
    if data.reset is not None:
        words.append(f"{int(data.reset.sum())} resets")
    return words
