"""What a model is judged by while it is trained: data of their own, or a part that is set aside."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from numlstm.data.ahead import without_later
from numlstm.data.arrays import Arrays, forms, is_own_data
from numlstm.data.description import sequences_in_words
from numlstm.data.sequences import Dataset, is_list, streams
from numlstm.data.targets import Reading, read_dataset
from numlstm.optim.losses import Loss
from numlstm.utils import checks
from numlstm.utils.types import Array

_FIELDS = list(Arrays._fields[:-1])
_FORMS = f"a fraction, {forms(_FIELDS)}"


class Parts(NamedTuple):
    """What to learn from, what to judge by, and the latter in words."""

    train: Dataset
    judge: Dataset | None
    words: str


def with_validation(
    train: Dataset, arrays: Arrays, reading: Reading, loss: Loss, rng: np.random.Generator
) -> Parts:
    """The parts that `validation` asks for; `rng` draws the sequences of classes.

    Where rows are pieces of one series, `train` is that series, in one row.
    """
    given = arrays.validation
    if given is None:
        return Parts(train, None, "")
    if is_own_data(given):
        own = own_data(given, arrays, reading)
        judge = _read(own, arrays, reading)
        lost = judge.lost or int(own.y is None)
        return Parts(train, judge, sequences_in_words(judge, lost=lost))
    fraction = fraction_of(given)
    share = f"{100 * fraction:.4g} %"
    if (classes := _classes(train, loss)) is not None:
        learned, judge = _drawn(train, fraction, classes, rng)
        words = f"{share} drawn by class"
    else:
        learned, judge = _end(train, fraction, reading)
        words = f"the last {share}"
    if (rows := len(train.X)) > 1:
        words += f", {len(judge.X)} of {rows} sequences"
    return Parts(learned, judge, words)


def own_data(given: Any, arrays: Arrays, reading: Reading) -> Arrays:
    """The arrays of a validation that is no fraction."""
    if isinstance(given, Mapping):
        return Arrays.read("validation", given, _FIELDS)
    if given and all(isinstance(part, str) for part in given):
        raise TypeError(
            f"validation must be {_FORMS}; received names: pass what they stand for, as (X, y) of "
            "the series that judge, and leave these out of X and y"
        )
    if isinstance(given, list) and arrays.y is None:
        raise TypeError(
            "validation=[...] can mean a list of series or the pair of X and y: pass "
            'validation={"X": [...]} for series, or a tuple (X, y)'
        )
    own = Arrays.read("validation", given, _FIELDS)
    _require_said(own, arrays, reading)
    return own


def _require_said(own: Arrays, arrays: Arrays, reading: Reading) -> None:
    """Refuse a tuple where the fit has what a tuple cannot say."""
    if reading.ragged and not is_list(own.X) and np.ndim(own.X) == 3:
        name, or_else = "lengths", ", or pass lists of series"
    elif arrays.reset is not None:
        name, or_else = "reset", ""
    elif arrays.future is not None:
        name, or_else = "future", ""
    elif arrays.static is not None:
        name, or_else = "static", ""
    else:
        return
    raise ValueError(
        f"validation as a tuple cannot say its {name}, which the fit has: pass "
        f'validation={{"X": X, "y": y, "{name}": {name}}}, where None means that there are none'
        f"{or_else}"
    )


def _read(own: Arrays, arrays: Arrays, reading: Reading) -> Dataset:
    require_targets_of(own, arrays)
    try:
        judge = read_dataset(own.X, own.y, reading, **own.rows)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation: {error}") from error
    return replace(streams(judge, 1), lost=judge.lost) if reading.pieces else judge


def require_targets_of(own: Arrays, arrays: Arrays) -> None:
    """Refuse data without targets where the fit has some."""
    if own.y is None and arrays.y is not None:
        raise ValueError(
            'validation needs targets as the fit has them: "y" of a dict, or a tuple (X, y)'
        )


def fraction_of(given: Any) -> float:
    """The share of the data that is set aside."""
    try:
        fraction = checks.real("validation", given)
    except TypeError:
        hint = '; sequences without y are {"X": X}' if np.ndim(given) else ""
        raise TypeError(
            f"validation must be {_FORMS}{hint}; received {checks.shown(given)}"
        ) from None
    except ValueError:  # no number, infinite, or beyond all floats
        fraction = np.inf
    if not 0 < fraction < 1:
        raise ValueError(f"validation must lie between 0 and 1, received {checks.shown(given)}")
    return fraction


def _end(data: Dataset, fraction: float, reading: Reading) -> tuple[Dataset, Dataset]:
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
    else:
        # the whole series again, but only its end counts: the state is then the right one
        weight = data.weight.copy()
        weight[:, :at] = 0
        learned = without_later(data.cut(0, at), reading.horizon)
        parts = learned, replace(data, weight=weight)
    if not all(part.weight.any() for part in parts):
        raise ValueError(f"validation={fraction:g} leaves no target on one side of the split")
    return parts


def _classes(data: Dataset, loss: Loss) -> Array | None:
    """The class of every sequence, (B,), -1 where it has none; None where there are no classes."""
    if loss.regression or not data.last or len(data.X) == 1:
        return None
    y, weight = data.y.reshape(len(data.X), -1), data.weight.reshape(len(data.X), -1)
    if y.shape[1] > 1 or not (loss.classes or np.isin(y, (0, 1)).all()):
        return None
    return np.where(weight[:, 0] > 0, y[:, 0], -1).astype(np.int64)


def _drawn(
    data: Dataset, fraction: float, classes: Array, rng: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """A share of the sequences of every class; the last one of a class is learned from."""
    numbers, counts = np.unique(classes[classes >= 0], return_counts=True)
    seats = _seats(counts, fraction)
    if not seats.any():
        raise ValueError(
            f"validation={fraction:g} cannot be drawn: every class has one sequence, which is "
            "learned from; pass validation=(X, y)"
        )
    order = rng.permutation(len(classes))
    of_class = [order[classes[order] == number] for number in numbers]
    chosen = [rows[:seat] for rows, seat in zip(of_class, seats, strict=True)]
    aside = np.isin(np.arange(len(classes)), np.concatenate(chosen))
    steps = data.X.shape[1]
    return data.cut(0, steps, np.flatnonzero(~aside)), data.cut(0, steps, np.flatnonzero(aside))


def _seats(counts: Array, fraction: float) -> Array:
    """How many of the members of every class, (K,), make a fraction of all.

    In proportion, by equal proportions where it does not come out even (Huntington & Hill): one of
    every class first, the largest class first, and never a class's last member.
    """
    total = max(1, round(fraction * counts.sum()))
    shared = max(0, total - len(counts)) / counts.sum()  # one of each is kept for the loop
    seats: Array = np.minimum((shared * counts).astype(np.int64), counts - 1)
    while seats.sum() < min(total, (counts - 1).sum()):
        claim = np.where(seats < counts - 1, counts / np.sqrt(seats * (seats + 1) + 1e-9), -1)
        seats[np.argmax(claim)] += 1
    return seats
