"""Attributes of whole sequences, such as the area of a catchment: (B, S), what `static=` gives."""

from typing import Any

import numpy as np

from numlstm.data.scaling import REMEDY, Scaling
from numlstm.data.sequences import Dataset, Form, input_weight
from numlstm.utils import checks
from numlstm.utils.types import Array


def read_static(value: Any, form: Form, *, pieces: bool = False) -> Array | None:
    """Attributes without labels as (B, S).

    They are (B, S), or (B,) where there is one attribute; of one series (S,), or (1, S). Where the
    rows of X are consecutive `pieces` of one series they are those of this series.
    """
    if value is None:
        return None
    array = checks.array("static", value, None, finite=False)
    checks.require_finite("static", array, "fill it, as with the median of the attribute")
    rows = 1 if pieces else len(form.lengths)
    if array.ndim == 1:
        array = array[None] if form.kind == "series" or pieces else array[:, None]
    if array.ndim != 2 or len(array) != rows or not array.shape[1]:
        raise ValueError(_mismatch(np.shape(value), form, pieces))
    if pieces:
        array = np.repeat(array, len(form.lengths), axis=0)
    return np.ascontiguousarray(array)


def _mismatch(shape: tuple[int, ...], form: Form, pieces: bool) -> str:
    rows = len(form.lengths)
    if pieces:
        wanted = "(S,), the attributes of the one series whose pieces the rows of X are"
    elif form.kind == "series":
        wanted = "(S,), the attributes of the one series in X"
    else:
        wanted = f"({rows}, S), a row of S attributes for each of the {rows} sequences of X"
    hint = ""
    if form.kind != "series" and shape[1:2] == (rows,) and not pieces:
        hint = "; if the attributes come first, pass static.T"
    elif len(shape) == 3:
        hint = "; what changes in time is a feature of X"
    elif form.kind == "series" and len(shape) == 2:
        hint = form.one_step_each(shape[0])
    return f"static must have shape {wanted}, received {shape}{hint}"


def size_of(static: Any) -> int | None:
    """The number of attributes (..., S), None where there are none."""
    return None if static is None else (1, *static.shape)[-1]


def require_static(static: Any, size: int | None, who: str = "the model") -> None:
    """Refuse attributes of another number than a model, or the data of a fit, has."""
    given = size_of(static)
    if static is None and size:
        raise ValueError(
            f"static is missing: {who} has {size} attribute(s) of every sequence, pass them as "
            f"static=, of shape (B, {size})"
        )
    if static is not None and not size:
        raise ValueError(
            f"static was given, and {who} has no attributes of whole sequences: leave it out"
            + ", or make the model with static_size=, as LSTM(..., static_size="
            f"{given}), or by fit(..., static=)" * (who == "the model")
        )
    if static is not None and given != size:
        raise ValueError(f"static has {given} attribute(s) for each sequence, and {who} has {size}")


def static_for_network(static: Array | None, scaling: Scaling | None, dtype: str) -> Array | None:
    """Attributes as the network reads them: standardised, in its dtype."""
    if static is None:
        return None
    if scaling is None:
        return checks.cast(static, "static", dtype, REMEDY)
    with checks.within_range("static", dtype, REMEDY):
        return scaling.attributes(static, dtype)


def weight_of_rows(data: Dataset) -> Array | None:
    """What every sequence counts in the moments of the attributes, (B, 1); None where all alike."""
    weight = input_weight(data)
    if weight is None:
        return None
    every = np.broadcast_to(weight, (*data.X.shape[:2], 1))
    rows: Array = np.max(every, axis=1, where=data.valid[..., None], initial=0.0)
    return rows
