"""Keras, and which parts of models its layers have."""

from typing import Any

from numlstm.convert.counterpart import Counterpart, MissingPackage

KERAS = Counterpart(
    "Keras", "keras", ("bidirectional", "num_layers", "head", "scaling", "activations")
)


def keras_for(what: str) -> Any:
    """Keras with its backend, which `what` needs."""
    try:
        return KERAS.require("keras", what)
    except MissingPackage:
        raise
    except ImportError as error:
        raise MissingPackage(
            f"{what} needs keras, and Keras its backend: install one, as torch, and set the "
            f"environment variable KERAS_BACKEND to its name before Python starts ({error})",
            name=error.name,
        ) from error
