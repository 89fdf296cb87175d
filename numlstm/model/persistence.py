"""Models in files."""

import dataclasses
import os
from typing import Any, TypeVar

from numlstm.architecture.spec import NetworkSpec
from numlstm.data.labels import Names
from numlstm.data.missing import Imputer
from numlstm.data.scaling import Scaling
from numlstm.model.base import Model
from numlstm.utils import files

M = TypeVar("M", bound="Persistence")


class Persistence(Model):
    """The file of `numlstm.LSTM`."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, whole or not at all.

        The file is an .npz archive under a checksum and does not depend on the backend.

        Parameters
        ----------
        path : str or path-like
            Where to write; a file that is there is replaced once the new one is complete.

        Raises
        ------
        OSError
            Where the file cannot be written; an older file at `path` is then still whole.

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


def read_model(
    kind: type[M], path: str | os.PathLike[str], backend: str, precision: str | None
) -> M:
    """A model of this class from its file; see `numlstm.load`."""
    arrays, meta = files.read(path, "model")
    spec = NetworkSpec.restored(meta["spec"])
    spec = dataclasses.replace(spec, precision=precision)
    spec.require_sense()
    model = kind.from_spec(spec, backend, arrays["theta"])
    model.output, model._drawn = meta["output"], meta.get("drawn")
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
