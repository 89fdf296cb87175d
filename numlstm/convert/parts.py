"""The import path of before, for `numlstm.convert.onnx`."""

from collections.abc import Collection

from numlstm.convert.counterpart import Counterpart
from numlstm.model.lstm import LSTM


def require_parts(model: LSTM, name: str, has: Collection[str]) -> None:
    """Refuse a model that has parts beside these."""
    Counterpart(name, parts=tuple(has)).require_parts(model)
