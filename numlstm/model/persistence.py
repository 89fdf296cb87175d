"""Models in files."""

import copy
import dataclasses
from typing import Any, NamedTuple, Self, TypeVar

from numlstm.architecture.spec import NetworkSpec
from numlstm.data.labels import Names
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.model.base import Model, digest
from numlstm.utils import checks, files
from numlstm.utils.files import Target

M = TypeVar("M", bound="Persistence")
# of a model: what follows from its spec and theta
_DERIVED = {"spec", "network", "_theta", "_bytes", "_packed", "_steppers"}


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
            For a file of text, and for what is no path.

        See Also
        --------
        numlstm.load : read the model back.

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
        arrays = {"theta": self._theta}
        for name, parts in (("scaling", self.scaling), ("filling", self.filling)):
            named = parts._asdict().items() if parts is not None else ()
            arrays |= {f"{name}/{key}": part for key, part in named if part is not None}
        spec = dataclasses.replace(self.spec, precision=None)  # where it runs, as the backend
        meta: dict[str, Any] = {
            "spec": dataclasses.asdict(spec),
            "output": self.output,
            "drawn": self._drawn,
            "forecasts": self.forecasts,
        }
        meta |= {key: names for key, names in self.names._asdict().items() if names is not None}
        files.write(path, "model", arrays, meta)

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
    backend, precision, dtype = arithmetic
    if dtype is not None:
        dtype = checks.dtype("dtype", dtype)
    arrays, meta = files.read(path, "model")
    spec = NetworkSpec.restored(meta["spec"])
    spec = dataclasses.replace(spec, precision=precision, dtype=dtype or spec.dtype)
    spec.require_sense()
    theta = checks.array("theta", arrays["theta"], spec.dtype, finite=False)
    model = kind.from_spec(spec, backend, theta)
    model.output = meta["output"]
    if meta.get("drawn") == digest(arrays["theta"]):  # also of another dtype
        model._drawn = digest(theta)
    given = {key: tuple(meta[key]) for key in Names._fields if key in meta}
    model.names = Names(**given)
    for name, cls in (("scaling", Scaling), ("filling", Imputer)):
        start = f"{name}/"
        parts = {k.removeprefix(start): arrays[k] for k in arrays if k.startswith(start)}
        setattr(model, name, cls(**parts) if parts else None)
    model.forecasts = meta["forecasts"] if "forecasts" in meta else _guessed(model.scaling)
    return model


def _guessed(scaling: Scaling | None) -> bool | None:
    """Whether a model of an older file forecasts its next inputs: then they shared their units."""
    return None if scaling is None else scaling.one_unit()
