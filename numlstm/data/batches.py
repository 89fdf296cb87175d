"""Fresh batches: data that come one batch at a time, from an iterable or a function of a Generator.

Kinds and sizes, names and units are those of the first batch; all later ones must agree with it.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, MappingView, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from numlstm.data.arrays import Arrays, forms, is_own_data, is_pair
from numlstm.data.attributes import require_static, size_of
from numlstm.data.fill_values import warn_of_fill_values
from numlstm.data.preparation import Data, DataConfig, GivenModel, prepare
from numlstm.data.sequences import Dataset, is_list
from numlstm.data.targets import (
    Reading,
    for_network,
    needed_outputs,
    read_dataset,
    require_probabilities,
)
from numlstm.utils import checks
from numlstm.utils.random_streams import BATCHES, RandomStreams

_NAMES = [name for name in Arrays._fields if name not in ("future", "validation")]
_FORMS = forms(_NAMES)
_AGAIN = (
    "pass an object of a class whose __iter__ begins anew, or a callable (rng, n) that returns a "
    "batch"
)
# what says that an object is an array, a frame or the like, which can be iterated over, too
_OF_ARRAYS = (
    *("__array__", "__array_interface__", "__dlpack__", "shape", "dtype"),
    *("__dataframe__", "__arrow_c_stream__", "__narwhals_dataframe__", "dims", "columns"),
)


def is_stream(X: Any) -> bool:
    """Whether X is where batches come from, and no data; what can be read but once is refused."""
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(map(_is_batch, X))
    if isinstance(X, (str, bytes, Mapping, MappingView, Sequence, Set)) or _is_array(X):
        return False
    if isinstance(X, type):
        raise TypeError(
            f"X is the class {X.__name__} itself: pass an object of it, as in {X.__name__}(...)"
        )
    if isinstance(X, Iterator):
        raise TypeError(
            f"X is an iterator, received {type(X).__name__}, which can be read once, and every "
            f"epoch reads it anew: {_AGAIN}; series are a list, list(X)"
        )
    if not isinstance(X, Iterable) and _has_batches(X):
        raise TypeError(
            f"X has batches by number, received {type(X).__name__}, and they are had by iterating: "
            "pass [X[i] for i in range(len(X))] where all fit into memory, or give its class "
            "an __iter__ that yields them"
        )
    return isinstance(X, Iterable) or callable(X)


def _is_batch(part: Any) -> bool:
    """Whether this can only be a batch: a tuple of arrays, not of numbers, or a dict with X."""
    if isinstance(part, Mapping):
        return "X" in part and not _is_array(part)
    arrays = isinstance(part, tuple) and len(part) in (2, 3)
    return arrays and all(len(getattr(one, "shape", ())) > 0 for one in part)


def _has_batches(X: Any) -> bool:
    """Whether this is no iterable, but has batches that are asked for by number, as Keras' have."""
    if not (hasattr(X, "__len__") and hasattr(X, "__getitem__")) or not len(X):
        return False
    return _is_batch(X[0])


def _is_array(X: Any) -> bool:
    return any(hasattr(type(X), name) for name in _OF_ARRAYS) or hasattr(X, "shape")


def _is_name(value: Any) -> bool:
    """Whether this is a key, of the groups of a frame, say."""
    return isinstance(value, str) or (
        isinstance(value, tuple) and any(isinstance(part, str) for part in value)
    )


def arrays_of(batch: Any, place: str) -> Arrays:
    """A batch in any of its forms."""
    if is_pair(batch):
        if _is_name(batch[0]):
            raise TypeError(
                f"{place}: a batch is {_FORMS}; received {checks.shown(batch[0])} and what has "
                "this name: several series are a list, [part for _, part in X]"
            )
        if isinstance(batch, list) and not (is_list(batch[0]) or np.ndim(batch[0]) == 3):
            raise TypeError(
                f"{place}: a list can mean series or the pair of X and y: yield a tuple (X, y), or "
                '{"X": [...]} for series'
            )
    elif not isinstance(batch, Mapping):
        size = f" of {len(batch)} values" if isinstance(batch, (tuple, list)) else ""
        raise TypeError(
            f"{place}: a batch is {_FORMS}; received {type(batch).__name__}{size}"
            + '; to forecast the next value pass {"X": X}' * _is_array(batch)
        )
    try:
        return Arrays.read("the batch", batch, _NAMES)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _require_call(source: Any) -> None:
    """Refuse a function that cannot be called for a batch, or that yields several."""
    name = getattr(source, "__name__", type(source).__name__)
    called = "X is called as X(rng, n), for n sequences drawn by a Generator, and returns a batch"
    if inspect.isgeneratorfunction(source) or inspect.isgeneratorfunction(type(source).__call__):
        raise TypeError(
            f"{called}, and {name} is a function that yields: let it return one batch, or pass an "
            "object of a class whose __iter__ yields those of an epoch"
        )
    try:
        signature = inspect.signature(source)
    except (TypeError, ValueError):  # of what is compiled there may be none
        return
    try:
        signature.bind(None, 1)
    except TypeError as error:
        raise TypeError(f"{called}, and {name} does not take these: {error}") from None


def _require_asked(X: Any, size: int, place: str) -> None:
    """Refuse rows that are as many as the sequences asked for, and are read as steps of one."""
    levels = getattr(getattr(X, "index", None), "nlevels", 1)
    shape: Any = getattr(X, "shape", ())
    if len(shape) != 2 or shape[0] != size or levels > 1 or hasattr(X, "dims"):
        return
    array = "X" if isinstance(X, np.ndarray) else "np.asarray(X)"
    raise ValueError(
        f"{place}: {size} sequence(s) were asked for, and X of shape {shape} is "
        f"read as one series of {size} step(s): return {array}[..., None] for sequences of "
        f"{shape[1]} steps with one feature each; {array}[None] says that one series is meant"
    )


class BatchStream:
    """Batches as a fit asks for them: of one epoch after another, in each one after another.

    `source` is an iterable, of which an epoch is one pass, or a callable, of which it is one call,
    ``source(rng, size)``. It is called where `begin` and `advance` are, and what it raises goes
    through.
    """

    def __init__(self, source: Any, size: int, draws: RandomStreams):
        self.repeats = isinstance(source, Iterable)
        if not self.repeats:
            _require_call(source)
        self.epoch, self.count = -1, 0  # the epoch of the latest batch, and its number, from 1 on
        self._source, self._size, self._draws = source, size, draws
        self._iterator: Iterator[Any] | None = None  # of a pass that is not over
        self._length: int | None = None  # of every pass
        self._batch: Any = None

    @property
    def kind(self) -> str:
        """What the batches come from, in words."""
        return "an iterable" if self.repeats else "a callable"

    @property
    def place(self) -> str:
        """The latest batch in words."""
        if self.repeats:
            return f"batch {self.count} of pass {self.epoch + 1} over X"
        return f"the batch of call {self.epoch + 1} of X"

    def begin(self, epoch: int, check: Callable[[], None] = lambda: None) -> None:
        """Stand before the first batch of an epoch; passes between here and there are read.

        `check` is called before every batch that is passed over, and may raise.
        """
        if not self.repeats and epoch > self.epoch:
            self.epoch, self.count = epoch, 0
        while self.epoch < epoch:
            while self._iterator is not None and self.advance():
                check()
            self.epoch, self.count = self.epoch + 1, 0
            self._iterator = iter(self._source)

    def advance(self) -> bool:
        """Take the next batch of the epoch, where there is one."""
        if not self.repeats:
            return self._call()
        if self._iterator is None:
            return False
        for batch in self._iterator:
            self._batch, self.count = batch, self.count + 1
            if self._length is not None and self.count > self._length:
                self._refuse_length("more")
            return True
        self._iterator = None
        if self.count == 0 and not self._length:
            raise ValueError(f"X, an iterable of batches, yielded nothing: {_AGAIN}")
        if self._length is not None and self.count < self._length:
            self._refuse_length(f"{self.count or 'nothing'}")
        self._length = self.count
        return False

    def arrays(self) -> Arrays:
        """The latest batch."""
        found = arrays_of(self._batch, self.place)
        if not self.repeats:
            _require_asked(found.X, self._size, self.place)
        return found

    def _call(self) -> bool:
        if self.count:
            return False
        rng = self._draws.stream(BATCHES, self.epoch)
        self._batch = self._source(rng, self._size)
        self.count = 1
        return True

    def _refuse_length(self, found: str) -> None:
        raise ValueError(
            f"pass {self.epoch + 1} over X yielded {found}, the first one {self._length} "
            f"batch{'es' * (self._length != 1)}: all epochs must have the same number; {_AGAIN}"
        )


@dataclass
class FreshBatches:
    """A stream, and how its batches are read: as the first one, which all others must be like."""

    stream: BatchStream
    data: Data  # of the first batch
    forecast: bool  # whether the first batch had no targets
    config: DataConfig
    dtype: str
    _said: bool = field(default=False, init=False)  # of a fill value, once

    @property
    def fingerprint(self) -> dict[str, str]:
        """What a resumed run must have in common beside the first batch."""
        return {"batches": self.stream.kind}

    def read(self) -> Dataset:
        """The latest batch of the stream in the network's units."""
        if self.stream.epoch == 0 and self.stream.count == 1:
            first: Dataset = self.data.train
            return first
        arrays = self.stream.arrays()
        try:
            batch = read_dataset(arrays.X, arrays.y, self._reading, **arrays.rows)
            self._require_alike(batch, arrays.y is None)
            if not self._said:
                self._said = warn_of_fill_values(batch, f"{self.stream.place}: ")
            batch = replace(batch, weight=batch.weight / self.data.unit)
            laid = for_network(batch, self.data.filling, self.data.scaling, self.dtype)
            if not 0 < laid.total_weight() < np.inf:
                raise ValueError(
                    f"its weights are beyond the range of {self.dtype} beside those of the first "
                    "batch: give all batches weights of one scale"
                )
        except (TypeError, ValueError) as error:
            if type(error) not in (TypeError, ValueError):
                raise
            raise type(error)(f"{self.stream.place}: {error}") from error
        return laid

    @property
    def _reading(self) -> Reading:
        """As the first batch was read."""
        data, features = self.data, self.data.train.X.shape[2]
        return Reading(
            input_size=features // 2 if data.filling is not None else features,
            nan_policy=self.config.nan_policy,
            loss=self.config.criterion,
            output="last" if data.train.last else "sequence",
            missing=data.filling is not None,
            names=data.names,
        )

    def _require_alike(self, batch: Dataset, forecast: bool) -> None:
        """Refuse targets of another kind or number than those of the first batch."""
        loss, first = self.config.criterion, self.data.train
        require_static(batch.static, size_of(first.static), "the first batch")
        if forecast != self.forecast:
            raise ValueError(
                f"it has {'no' if forecast else 'a'} y, and the first batch had "
                f"{'none' if self.forecast else 'one'}"
            )
        if loss.classes:
            if (needed := needed_outputs(batch, loss)) > self.data.output_size:
                raise ValueError(
                    f"it has the class {needed - 1}, and the first batch says that there are "
                    f"{self.data.output_size}: pass output_size=, the number of all classes"
                )
        elif batch.y.shape[-1] != first.y.shape[-1]:
            raise ValueError(
                f"it has {batch.y.shape[-1]} target(s), and the first batch had {first.y.shape[-1]}"
            )
        if self.config.loss == "binary_cross_entropy":
            require_probabilities(batch.y)


def prepare_batches(
    arrays: Arrays,
    config: DataConfig,
    dtype: str,
    draws: RandomStreams,
    model: GivenModel | None = None,
    outputs: int | None = None,
) -> FreshBatches:
    """Draw the first batch of the stream ``arrays.X``, and read it as the data of a fit are."""
    _require_alone(arrays)
    stream = BatchStream(arrays.X, config.batch_size, draws)
    stream.begin(0)
    stream.advance()
    first = stream.arrays()
    given = first._replace(validation=arrays.validation)
    data = prepare(given, config, dtype, draws, model, outputs)
    data = data._replace(words=f"a stream of batches from {stream.kind}, the first of {data.words}")
    return FreshBatches(stream, data, first.y is None, config, dtype)


def _require_alone(arrays: Arrays) -> None:
    """Refuse arrays beside a stream, and a validation that it cannot have."""
    if arrays.future is not None:
        raise ValueError(
            "future= stands beside series, and X yields batches: let what is known ahead be "
            "features of their X"
        )
    for name in _NAMES[1:]:
        if getattr(arrays, name) is not None:
            raise ValueError(
                f"{name} stands in the batches of a stream, not beside it: let each be {_FORMS}"
            )
    if is_own_data(arrays.validation) or arrays.validation is None:
        return
    raise ValueError(
        "validation of a stream must be data of their own, (X, y) or a dict, received "
        f"{checks.shown(arrays.validation)}: nothing of it can be set aside"
    )
