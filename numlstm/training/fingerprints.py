"""Fingerprints of runs: words for all that a resumed run must have in common, by name.

Of the choices those are named that differ from the defaults, so that a new keyword, at its default,
does not tell an old run from a new one.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from numlstm.data.preparation import Data
from numlstm.data.sequences import Dataset
from numlstm.data.sources import Source
from numlstm.data.windows import WindowedDataset
from numlstm.model.lstm import LSTM
from numlstm.optim.optimizers import OptimizerState
from numlstm.training.settings import Settings
from numlstm.utils.nouns import Noun

_SOURCES, _STEPS = 32, 8  # of data that are not in memory, about so many are looked at
_AT_ONCE = 4096  # steps of data in memory, of which a copy may be needed, or a multiple


def fingerprint(data: Data, settings: Settings, model: LSTM) -> dict[str, str]:
    """The fingerprint of a fit. More epochs or patience may be asked for later."""
    prints: dict[str, str] = {}
    for noun in (model.spec, settings.data, settings.training):
        prints |= dict(_words(noun))
    schedule, epochs = settings.training.schedule, settings.training.epochs
    if callable(schedule):
        prints["schedule"] = "a function"
    elif schedule is not None:
        prints["schedule"] = f"{schedule} over {epochs} epochs"
    if settings.sampling is not None:
        prints["scheduled_sampling"] = repr(settings.sampling)
    prints["learning_rate"] = repr(settings.training.rate)
    prints["backend"] = model.network.backend.name  # what "auto" stands for: bits depend on it
    prints["initial parameters"] = _digest(model.theta)
    prints["training data"] = _print(data.train)
    prints["validation data"] = _print(data.validation)
    return prints


def fingerprint_of_members(
    data: Data, settings: Settings, models: Sequence[LSTM], counts: np.ndarray
) -> dict[str, str]:
    """The fingerprint of an ensemble, its goals included: a member that reached one is held."""
    return fingerprint(data, settings, models[0]) | {
        "initial parameters": _digest(np.stack([model.theta for model in models])),
        "resamples": _digest(counts),
        "patience": repr(settings.training.patience),
        "tol": repr(settings.training.tol),
    }


def fingerprint_of_state(state: OptimizerState | None) -> dict[str, str]:
    """That of the optimiser's state that a fit goes on with, if any."""
    if state is None:
        return {}
    digest = _digest(*(state.arrays[name] for name in sorted(state.arrays)))
    return {"state of the optimiser": f"{digest} after {state.steps} updates"}


def _words(noun: Noun, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of changed fields; one of a noun within is named "limits.fixed"."""
    later = {field.name for field in fields(noun) if field.metadata.get("later")}  # type: ignore[arg-type]
    for name, value in noun.changed().items():
        if isinstance(value, Noun):
            yield from _words(value, f"{name}.")
        elif name not in later:
            same = sorted(value) if name == "fixed" else value  # whose order says nothing
            yield f"{prefix}{name}", _word(same)


def _word(value: Any) -> str:
    """As `repr`, but exact for arrays, and the same for equal values in other containers."""
    if isinstance(value, np.ndarray):
        return f"array {_digest(value)}"
    if isinstance(value, np.generic):
        return _word(value.item())
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{_word(k)}: {_word(v)}" for k, v in value.items())) + "}"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(_word, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


def _print(data: Dataset | WindowedDataset | None) -> str:
    if data is None:
        return _digest()
    static = () if data.static is None else (data.static,)  # as runs without had it before
    if isinstance(data, WindowedDataset):
        return _digest(*_parts_of_windows(data), *static)
    return _digest(data.X, data.y, data.weight, data.lengths, data.reset, *static)


def _parts_of_windows(data: WindowedDataset) -> Iterator[np.ndarray | Source | None]:
    """What tells series from others: all that is in memory, of others sizes and some steps.

    And what makes network inputs of them.
    """
    samples, units = data.samples, data.units
    yield from () if units.scaling is None else units.scaling._asdict().values()
    yield from units.filling or ()
    yield from (data.y, data.weight, data.sums, samples.first, samples.counts, samples.kept)
    yield from data.resets or ()
    given = [*data.X.sources, *data.targets.y.sources]
    sources = [part for source in given for part in source.parts]
    every = max(1, len(sources) // _SOURCES)
    for number, source in enumerate(sources):
        yield np.array([source.steps, source.width])
        if isinstance(source.array, np.ndarray):
            yield source
        elif number % every == 0:
            last = source.steps - 1
            places = sorted({last * place // _STEPS for place in range(_STEPS + 1)})
            yield np.concatenate([source.read(at, at + 1) for at in places])


def _digest(*arrays: np.ndarray | Source | None) -> str:
    """Of arrays, and of all that series hold, however it lies in memory."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
        elif isinstance(array, Source):
            digest.update(repr((array.steps, array.width, array.dtype)).encode())
            for start, stop in array.slices(_AT_ONCE):
                digest.update(np.ascontiguousarray(array.read(start, stop)).data)
        else:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
