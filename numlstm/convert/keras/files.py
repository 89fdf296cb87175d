"""Files of Keras, .keras and .h5: the description of the layers as JSON, and their weights.

They are read without Keras, which would build whatever class a file names, and give an old name its
new meaning: nothing in them is executed.
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numlstm.convert.keras.counterpart import KERAS
from numlstm.utils import files, known_files, schema
from numlstm.utils.files import Target
from numlstm.utils.types import Array

_LARGEST_CONFIG = 2**24  # bytes
_LARGEST_RATIO = 100  # of a member to its file, of which Keras packs none
_PACKAGES = ("keras", "tf_keras", "keras_core", "tensorflow")  # whose classes are Keras' own
_BACKWARD = re.compile("(^|/)backward_")
_ZIP, _HDF5 = b"PK\3\4", b"\x89HDF\r\n\x1a\n"


class Layer(NamedTuple):
    """A layer as a file, or Keras itself, describes it."""

    kind: str  # the name of its class
    config: Mapping[str, Any]
    weights: Sequence[Array]  # in the order of Keras
    # its parents in a functional model, each with the number of the output; None in a sequence
    parents: Sequence[tuple[str, int]] | None = None
    is_random: bool = False  # whether it was called with training=True
    has_mask: bool = False  # whether it was called with a mask

    @property
    def name(self) -> str:
        """Its name in Keras."""
        return str(self.config.get("name", self.kind))


class Description(NamedTuple):
    """The layers of a model, and the version of Keras that wrote them."""

    layers: list[Layer]
    version: str
    # layers with the number of an output, of a functional model; None is what the last layer gives
    outputs: Sequence[tuple[str, int]] | None = None


def read_file(path: Target) -> Description:
    """The layers of a file."""
    data = files.read_bytes(path)
    h5py = KERAS.require("h5py", "a file of Keras")
    with files.refusing(path):
        if data.startswith(_ZIP):
            if other := known_files.hint(data, "from_keras"):
                raise ValueError(f"it is no .keras file{other}")
            return _of_archive(data, h5py)
        if data.startswith(_HDF5):
            with h5py.File(io.BytesIO(data), "r") as file:
                return _of_hdf5(file)
        other = known_files.hint(data, "from_keras")
        raise ValueError(f"it is neither a .keras file nor an .h5 file of a whole model{other}")


def class_of(entry: Mapping[str, Any]) -> str:
    """The name of a class; that of a user's class with where it comes from.

    Files of Keras 2 and .h5 files say no more than a name, and put a package before those that were
    registered, "package>name".
    """
    kind, module = str(entry.get("class_name")), entry.get("module")
    registered = entry.get("registered_name")
    if registered is not None and registered != kind:
        return str(registered)
    if module is None and registered is not None:
        return f"__main__.{kind}"
    if module is not None and str(module).partition(".")[0] not in _PACKAGES:
        return f"{module}.{kind}"
    return kind


def plain_layers(config: Mapping[str, Any]) -> list[Layer]:
    """The layers of a Sequential or Functional model, as yet without their weights."""
    kind, inner = class_of(config), config.get("config")
    if kind == "Sequential" and isinstance(inner, list):  # of Keras 2.0 and 2.1
        inner = {"layers": inner}
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(inner, Mapping):
        raise files.OtherContent(
            f"it holds {schema.received(kind)}, and only Sequential and Functional models are "
            "described by their layers: pass the LSTM layer itself"
        )
    found = []
    for entry in inner.get("layers", []):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("config"), Mapping):
            raise ValueError("a layer has no config")
        nodes = entry.get("inbound_nodes", [])
        own = dict(entry["config"])
        own.setdefault("name", entry.get("name", entry.get("class_name")))
        layer = Layer(class_of(entry), own, ())
        if kind != "Sequential":
            layer = layer._replace(
                parents=_parents(nodes),
                is_random=any(value is True for value in _keywords(nodes, "training")),
                has_mask=any(value is not None for value in _keywords(nodes, "mask")),
            )
        found.append(layer)
    return found


def _keywords(nodes: Any, name: str) -> list[Any]:
    """The values of a keyword that a layer was called with."""
    if isinstance(nodes, Mapping):
        inner = [one for value in nodes.values() for one in _keywords(value, name)]
        return inner + ([nodes[name]] if name in nodes else [])
    if isinstance(nodes, (list, tuple)):
        return [one for value in nodes for one in _keywords(value, name)]
    return []


def outputs_of(config: Mapping[str, Any]) -> list[tuple[str, int]] | None:
    """The outputs of a functional model, in the order of Keras."""
    inner = config.get("config")
    if class_of(config) == "Sequential" or not isinstance(inner, Mapping):
        return None
    found = _outputs(inner.get("output_layers"))
    if not found:
        raise ValueError("the model has no outputs")
    return found


def _outputs(value: Any) -> list[tuple[str, int]]:
    if isinstance(value, Mapping):
        return [one for name in sorted(value) for one in _outputs(value[name])]
    if not isinstance(value, (list, tuple)):
        return []
    if len(value) == 3 and isinstance(value[0], str) and type(value[2]) is int:
        return [(value[0], value[2])]
    return [one for part in value for one in _outputs(part)]


def _parents(nodes: Any) -> list[tuple[str, int]]:
    """The layers that a layer reads, and which of their outputs."""
    found = []
    if isinstance(nodes, Mapping):
        history = nodes.get("config", {}).get("keras_history")
        if nodes.get("class_name") == "__keras_tensor__" and isinstance(history, (list, tuple)):
            return [(str(history[0]), int(history[2]))]
        for name, value in nodes.items():
            found += [] if name == "mask" else _parents(value)
    elif isinstance(nodes, (list, tuple)):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and type(nodes[2]) is int:  # of Keras 2
            return [(nodes[0], nodes[2]), *_parents(nodes[3:])]
        for value in nodes:
            found += _parents(value)
    return found


# ---- .keras ----------------------------------------------------------------------------------


def _of_archive(data: bytes, h5py: Any) -> Description:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        config = files.plain_values(_member(archive, "config.json", _LARGEST_CONFIG))
        metadata = files.plain_values(_member(archive, "metadata.json", _LARGEST_CONFIG))
        content = _member(archive, "model.weights.h5", _LARGEST_RATIO * len(data))
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise ValueError("its config and its metadata must be dictionaries")
    layers, used = [], dict[str, int]()
    with h5py.File(io.BytesIO(content), "r") as file:
        for layer in plain_layers(config):
            stem = _snake_case(layer.kind)
            count = used[stem] = used.get(stem, -1) + 1
            group = f"layers/{stem}" + (f"_{count}" if count else "")
            layers.append(layer._replace(weights=_variables(file, group, h5py)))
    return Description(layers, str(metadata.get("keras_version", "3")), outputs_of(config))


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    if name not in archive.namelist():
        raise ValueError(f"it has no {name}, but {archive.namelist()[:9]}")
    info = archive.getinfo(name)
    if info.file_size > largest:
        raise ValueError(f"{name} has {info.file_size} bytes, more than {largest}")
    return archive.read(info)


def _snake_case(name: str) -> str:
    """The name of a group in Keras: LSTM is lstm, TimeDistributed is time_distributed."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _variables(file: Any, group: str, h5py: Any) -> list[Array]:
    """The variables below a group: its own first, then of forward layer, backward layer, cell."""
    found = _numbered(file, f"{group}/vars", h5py)
    for part in ("forward_layer", "backward_layer", "layer", "cell"):
        if _group(file, f"{group}/{part}", h5py):
            found += _variables(file, f"{group}/{part}", h5py)
    return found


def _numbered(file: Any, group: str, h5py: Any) -> list[Array]:
    count = len(file[group]) if _group(file, group, h5py) else 0
    return [_dataset(file, f"{group}/{index}", h5py) for index in range(count)]


def _group(file: Any, path: str, h5py: Any) -> bool:
    """Whether there is a group, in this file itself."""
    place = file
    for name in path.split("/"):
        if name not in place or not isinstance(place.get(name, getlink=True), h5py.HardLink):
            return False
        place = place[name]
        if not isinstance(place, h5py.Group):
            return False
    return True


def _dataset(file: Any, path: str, h5py: Any) -> Array:
    """The numbers of a dataset that stand in the file itself."""
    folder, _, name = path.rpartition("/")
    place = file[folder] if _group(file, folder, h5py) else None
    if (
        place is None
        or name not in place
        or not isinstance(place.get(name, getlink=True), h5py.HardLink)
    ):
        raise ValueError(f"it has no weights {path}")
    dataset = place[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ValueError(f"{path} is no array of this file")
    if dataset.dtype.kind not in "fiu" or dataset.ndim > 4:
        raise ValueError(f"{path} has dtype {dataset.dtype} and {dataset.ndim} axes")
    return np.asarray(dataset[()])


# ---- .h5 -------------------------------------------------------------------------------------


def _of_hdf5(file: Any) -> Description:
    import h5py

    if "model_config" not in file.attrs:
        raise ValueError("it has weights alone: load them into their model and pass that")
    config = files.plain_values(_text(file.attrs["model_config"]).encode())
    version = _text(file.attrs.get("keras_version", "2"))
    layers = []
    for layer in plain_layers(config):
        group = f"model_weights/{layer.config['name']}"
        weights: list[Array] = []
        if _group(file, group, h5py):
            names = [_text(name) for name in file[group].attrs.get("weight_names", [])]
            # Keras 2 puts what is not trainable last, as it may be of one direction
            names.sort(key=lambda name: bool(_BACKWARD.search(name)))
            weights = [_dataset(file, f"{group}/{name}", h5py) for name in names]
        layers.append(layer._replace(weights=weights))
    return Description(layers, version, outputs_of(config))


def _text(value: Any) -> str:
    if not isinstance(value, (str, bytes)):
        raise ValueError(f"an attribute is no text, but {type(value).__name__}")
    return value.decode() if isinstance(value, bytes) else str(value)
