"""Models in files."""

import copy
import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self, TypeVar

from numlstm.architecture.spec import NetworkSpec
from numlstm.data.ahead import Ahead
from numlstm.data.labels import UNNAMED, Names
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.model.base import Model, digest
from numlstm.utils import checks, files, nouns, schema
from numlstm.utils.files import Target
from numlstm.utils.types import Array

M = TypeVar("M", bound="Persistence")
# of a model: what follows from its spec and theta
_DERIVED = {"spec", "network", "_theta", "_kept"}

# what every file has said of its network
_ALWAYS = ("input_size", "hidden_size", "output_size", "num_layers", "dtype")
_PARTS: dict[str, type[Scaling] | type[Imputer]] = {"scaling": Scaling, "filling": Imputer}
_REMEDY = "the model computes nothing with it, and no fit ends with it"
_DIGEST = re.compile("[0-9a-f]{64}")


class Content(NamedTuple):
    """What the file of a model holds."""

    spec: NetworkSpec
    theta: Array
    scaling: Scaling | None = None
    filling: Imputer | None = None
    names: Names = UNNAMED
    output: str = "sequence"
    forecasts: bool | None = None
    drawn: str | None = None  # the digest of theta as it was drawn
    ahead: Ahead | None = None  # older files do not know it
    window: int | None = None

    @classmethod
    def of(cls, model: Model) -> Self:
        """The content of a model; where it runs, and how precisely, is none of it."""
        precise = model.spec.precision is None
        return cls(
            spec=model.spec if precise else dataclasses.replace(model.spec, precision=None),
            theta=model.theta,
            scaling=model.scaling,
            filling=model.filling,
            names=model.names,
            output=model.output,
            forecasts=model.forecasts,
            drawn=model._drawn,
            ahead=model.ahead,
            window=model.window,
        )

    @classmethod
    def restored(cls, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> Self:
        """From what a file holds, which must agree with itself."""
        _require_known(arrays, meta)
        schema.mapping("spec", meta["spec"], _ALWAYS, nouns.names(NetworkSpec))
        spec = NetworkSpec.restored(meta["spec"])
        scaling = _part(Scaling, "scaling", arrays)
        # an older file does not say: targets were the next inputs where they shared their units
        guessed = None if scaling is None or "forecasts" in meta else scaling.one_unit()
        content = cls(
            spec=spec,
            theta=schema.array(arrays, "theta", (spec.num_parameters,), spec.dtype),
            scaling=scaling,
            filling=_part(Imputer, "filling", arrays),
            names=Names.restored(meta),
            output=meta["output"],
            forecasts=meta.get("forecasts", guessed),
            drawn=meta.get("drawn"),
            ahead=Ahead.restored(meta.get("ahead")),
            window=meta.get("window"),
        )
        content.require_sense()
        return content

    def require_sense(self) -> None:
        """Refuse, as ValueError, parts that do not fit each other; `predict` relies on them."""
        checks.require_finite("theta", self.theta, nan=_REMEDY)
        features = self.spec.input_size
        if self.filling is not None:
            self.filling.require_fit(self.spec.input_size)
            features = self.filling.mean.size
        if self.scaling is not None:
            size = self.spec.static_size
            self.scaling.require_fit(features, self.spec.width, size)
        future = 0
        if self.ahead is not None:
            self.ahead.require_fit(features, self.spec.width)
            features, future = features - self.ahead.columns, self.ahead.future
        self.names.require_fit(features, self.spec.width, future, self.spec.static_size)
        schema.one_of("output", self.output, ("sequence", "last"))
        schema.one_of("forecasts", self.forecasts, (None, False, True))
        if self.window is not None:
            schema.whole("window", self.window, least=1)
        if self.drawn is not None and not _DIGEST.fullmatch(schema.text("drawn", self.drawn)):
            raise ValueError(f"drawn must be a SHA-256, received {schema.received(self.drawn)}")

    def arrays(self) -> dict[str, Array]:
        """The arrays of a file, by name."""
        arrays = {"theta": self.theta}
        for name in _PARTS:
            parts = getattr(self, name)
            named = parts._asdict().items() if parts is not None else ()
            arrays |= {f"{name}/{key}": part for key, part in named if part is not None}
        return arrays

    def meta(self) -> dict[str, Any]:
        """The plain values of a file, by name."""
        meta: dict[str, Any] = {
            "spec": _plain(self.spec),
            "output": self.output,
            "drawn": self.drawn,
            "forecasts": self.forecasts,
        }
        if self.ahead is not None:
            meta["ahead"] = self.ahead._asdict()
        named = {**self.names._asdict(), "window": self.window}.items()
        return meta | {key: value for key, value in named if value is not None}


def _plain(value: Any) -> Any:
    """As `dataclasses.asdict`, which copies the numbers and texts, too."""
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _require_known(arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Refuse members and entries that are not those of a model."""
    schema.mapping(
        "meta", meta, ("spec", "output"), ("drawn", "forecasts", "ahead", "window", *Names._fields)
    )
    known = {f"{name}/{key}" for name, kind in _PARTS.items() for key in kind._fields}
    if unknown := sorted(arrays.keys() - known - {"theta"}):
        raise ValueError(f"a model has no array {unknown[0]!r}")


def _part(kind: Any, name: str, arrays: Mapping[str, Array]) -> Any:
    """The arrays of a noun, by their names behind its own; None where there are none."""
    there = [key for key in kind._fields if f"{name}/{key}" in arrays]
    if not there:
        return None
    needed = [key for key in kind._fields if key not in kind._field_defaults]
    return kind(**{key: schema.native(arrays, f"{name}/{key}") for key in {*there, *needed}})


class Persistence(Model):
    """The file of `numlstm.LSTM`."""

    def save(self, path: Target) -> None:
        """Write the model to a file, whole or not at all.

        The file is an .npz archive under a checksum and does not depend on the backend.

        Parameters
        ----------
        path : str, bytes, path-like or binary file
            Where to write; a file that is there is replaced once the new one is complete, and its
            mode is kept. Into an open file, which need not be seekable, the bytes go from where it
            stands on.

        Raises
        ------
        OSError
            Where the file cannot be written, or `path` is a folder, a device or a FIFO; an older
            file at `path` is then as it was.
        TypeError, ValueError
            For a file of text, and for what is not a path; for parameters that are not finite, and
            for a scaling, filling or names that do not fit the network.

        See Also
        --------
        numlstm.load : Read the model back.

        Examples
        --------
        >>> import os, tempfile, numlstm
        >>> model = numlstm.LSTM(3, 8, 2, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.npz"))
        ...     copy = numlstm.load(os.path.join(folder, "model.npz"))
        >>> bool((copy.theta == model.theta).all())
        True
        """
        content = Content.of(self)
        content.require_sense()
        files.write(path, "model", content.arrays(), content.meta())

    def astype(self, dtype: Any) -> Self:
        """A new model with parameters and arithmetic of another type.

        It has the units, the rule for missing inputs and all else of this one.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            The type. To float64 every parameter keeps its value exactly, `precision` is left out;
            to float32 it is rounded.

        Returns
        -------
        model : LSTM
            The new model; nothing that is written to one of them reaches the other.

        Raises
        ------
        ValueError
            For another type, and where a parameter is beyond the range of float32.

        Examples
        --------
        >>> import numlstm
        >>> model = numlstm.LSTM(3, 8, 2, rng=0)
        >>> wide = model.astype("float64")
        >>> bool((wide.theta == model.theta).all()), wide.theta.dtype
        (True, dtype('float64'))
        """
        dtype = checks.dtype("dtype", dtype)
        precision = self.spec.precision if dtype == "float32" else None
        spec = dataclasses.replace(self.spec, dtype=dtype, precision=precision)
        spec.require_sense()
        theta = checks.array("theta", self._theta, dtype, finite=False).copy()
        model = self.from_spec(spec, self.network.backend.name, theta)
        for name in vars(self).keys() - _DERIVED:
            setattr(model, name, copy.deepcopy(getattr(self, name)))
        if self.is_new:
            model._drawn = digest(theta)
        return model


class Arithmetic(NamedTuple):
    """How the numbers of a model are computed; a file says no more than the dtype."""

    backend: str = "auto"
    precision: str | None = None
    dtype: str | None = None  # None: that of the file


def read_model(kind: type[M], path: Target, arithmetic: Arithmetic) -> M:
    """A model of this class from its file; see `numlstm.load`."""
    if arithmetic.dtype is not None:
        arithmetic = arithmetic._replace(dtype=checks.dtype("dtype", arithmetic.dtype))
    arrays, meta = files.read(path, "model")
    with files.refusing(path):
        content = Content.restored(arrays, meta)
    return model_of(kind, content, arithmetic)


def model_of(kind: type[M], content: Content, arithmetic: Arithmetic) -> M:
    """A model of this class from what a file holds."""
    backend, precision, dtype = arithmetic
    spec, chosen = content.spec, (precision, dtype or content.spec.dtype)
    if chosen != (spec.precision, spec.dtype):
        spec = dataclasses.replace(spec, precision=precision, dtype=chosen[1])
        spec.require_sense()
    theta = checks.array("theta", content.theta, spec.dtype, finite=False)
    model = kind.from_spec(spec, backend, theta)
    if content.drawn == digest(content.theta):  # also of another dtype
        model._drawn = digest(theta)
    model.output, model.forecasts, model.names = content.output, content.forecasts, content.names
    model.scaling, model.filling, model.ahead = content.scaling, content.filling, content.ahead
    model.window = content.window
    return model
