"""What inputs are compared with: baselines in any form, with labels or without."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from numlstm.data import labels
from numlstm.data.labels import vectors
from numlstm.data.sequences import Form, is_list, mask, read_inputs
from numlstm.inspection.dynamics.readout import input_means
from numlstm.inspection.steps import ends_of
from numlstm.model.continuation import Rows
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array

_PARTS = ("X", "static", "future")


class Own(Enum):
    """A baseline that no one can pass by mistake: what each sequence has itself."""

    OWN = "the inputs' own values"


class Beside(NamedTuple):
    """Inputs, as they were given and as they are read, that a baseline stands beside."""

    model: LSTM
    X: Any
    static: Any
    future: Any
    given: labels.Labelled
    rows: Rows
    form: Form


def parts_of(baseline: Any) -> dict[str, Any]:
    """The baseline of every kind of input: what is said of one is not said of the others."""
    if isinstance(baseline, Mapping):
        if unknown := [name for name in baseline if name not in _PARTS]:
            raise ValueError(
                f"baseline as a mapping has the entries {list(_PARTS)}, received {unknown[0]!r}: "
                'for numbers by the names of the features write baseline={"X": {...}}'
            )
        return {name: baseline.get(name, "mean") for name in _PARTS}
    everywhere = baseline is None or isinstance(baseline, str)
    others = baseline if everywhere else Own.OWN  # nothing is asked about them
    return {"X": baseline, "static": others, "future": others}


def of_inputs(beside: Beside, own: Any, ahead: Any) -> Array:
    """The baseline (B, T, C) in the units of the data, C with the columns known ahead."""
    model, rows = beside.model, beside.rows
    features, shape = model.num_features, rows.X.shape
    values = np.empty(shape)
    values[...] = input_means(model, shape[2])
    _put(values[..., :features], _like_X(beside, own), "baseline")
    if shape[2] > features:
        columns = values[..., features:].reshape(*shape[:2], -1, model.num_future)
        _put(columns, _like_future(beside, ahead), 'baseline["future"]')
    else:
        _require_none("future", ahead, "features known ahead")
    looked_at = mask(ends_of(rows), shape[1])[..., None]
    if model.filling is not None:  # to which a NaN is a baseline that was not observed
        looked_at = looked_at & ~np.isnan(values)
    remedy = "give a number for every feature"
    checks.require_finite("baseline", np.where(looked_at, values, 0.0), remedy)
    return values


def of_static(beside: Beside, value: Any) -> Array | None:
    """The baseline of the attributes (B, S), in the network's units."""
    model, static = beside.model, beside.rows.static
    if static is None:
        _require_none("static", value, "attributes")
    if static is None or value is Own.OWN:
        return static
    scaling, size = model.scaling, static.shape[1]
    known = scaling is not None and scaling.static_mean is not None
    values = np.zeros(static.shape)
    if known:
        assert scaling is not None
        values[...] = scaling.static_mean
    _put(values, _like_static(beside, value), 'baseline["static"]')
    checks.require_finite('baseline["static"]', values, f"give {size} numbers")
    if known:
        assert scaling is not None
        return scaling.attributes(values, model.spec.dtype)
    return values.astype(model.spec.dtype)


def _require_none(name: str, value: Any, what: str) -> None:
    """Refuse a baseline of what there is not."""
    if value is not None and value is not Own.OWN and not isinstance(value, str):
        raise ValueError(f'baseline["{name}"] was given, and the model reads no {what}')


def _put(values: Array, given: Any, name: str) -> None:
    """Fill values, which hold the means, with a baseline that broadcasts to them."""
    if given is None or (isinstance(given, str) and given == "mean"):
        return
    if isinstance(given, str):
        checks.choice(name, given, ("mean", "zeros"))
        values[...] = 0.0
        return
    array = checks.array(name, given, "float64", finite=False)
    try:
        values[...] = np.broadcast_to(array, values.shape)
    except ValueError:
        raise ValueError(
            f'{name} must be "mean", "zeros" or an array that broadcasts to {values.shape}, the '
            f"shape of the inputs, received one of shape {array.shape}"
        ) from None


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say in errors of which part of a baseline they are."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


# --- X --------------------------------------------------------------------------------------------


def _like_X(beside: Beside, value: Any) -> Any:
    """A baseline in the form of X as (B, T, I), with its labels or without; all else as it is."""
    if isinstance(value, str) or value is None:
        return value
    given, model = beside.given, beside.model
    names = given.features or model.names.features
    named = vectors.read("baseline", value, names)
    if named is not None:
        return named
    found = labels.companion(given, "baseline", _with_dims(value, given), names)
    if isinstance(given, labels.Several) and isinstance(found, labels.Frame):
        return _of_each(given, found)
    values, X = _in_order(beside, found, names), given.stepwise
    if is_list(values) and is_list(X):
        return read_inputs(values, model.num_features, missing=model.filling is not None)[0]
    values = np.asarray(values)
    is_series = values.ndim == 1 and not is_list(X) and np.ndim(X) == 1
    return values[:, None] if is_series and model.num_features == 1 else values


def _with_dims(value: Any, given: labels.Labelled) -> Any:
    """A DataArray with all dimensions of X, the same along those that it lacks."""
    if not isinstance(given, labels.Grid) or not hasattr(value, "expand_dims"):
        return value
    array = given.array
    lacks = [dim for dim in array.dims if dim not in value.dims]
    if not lacks or any(dim not in array.dims for dim in value.dims):
        return value
    along = {
        dim: array.coords[dim].values if dim in array.coords else array.sizes[dim] for dim in lacks
    }
    return value.reset_coords(drop=True).expand_dims(along)


def _of_each(given: labels.Several, frame: labels.Frame) -> Array:
    """A frame beside several series: a row for each of these, or all steps, with their labels."""
    keys, values = given.keys, np.asarray(frame.values)
    if keys is not None and any(axis.equals(keys) for axis in frame.axes):
        return values.reshape(len(values), 1, -1)
    for item in given.items:
        item.agreed(frame)
    return values


def _in_order(beside: Beside, found: labels.Labelled, names: tuple[str, ...] | None) -> Any:
    """The values; an array has its features in the order of X, and gets that of the model."""
    own = _orders(beside)
    if isinstance(found, labels.Several):
        return [
            vectors.reordered(item.values, have, names) if _is_plain(item) else item.values
            for item, have in zip(found.items, own * (len(found.items) // len(own)), strict=True)
        ]
    values = found.stepwise
    if not _is_plain(found):
        return values
    if is_list(values) and len(values) == len(own):
        return [vectors.reordered(*pair, names) for pair in zip(values, own, strict=True)]
    if len(set(own)) > 1 and np.ndim(values):
        raise ValueError(
            "baseline has no names, and the series of X have their features in different orders: "
            "give it the names that X has"
        )
    if is_list(values):
        return [vectors.reordered(part, own[0], names) for part in values]
    return vectors.reordered(values, own[0], names)


def _orders(beside: Beside) -> list[tuple[str, ...] | None]:
    """The features of X as they stand there, of a list those of every series."""
    given = beside.given
    of_each = isinstance(given, labels.Several) and not isinstance(given, labels.Panel)
    items = given.items if of_each and isinstance(given, labels.Several) else []
    return [item.shown for item in items or [given]]


def _is_plain(found: labels.Labelled) -> bool:
    return type(found) is labels.Labelled


# --- attributes, and what is known ahead ----------------------------------------------------------


def _like_static(beside: Beside, value: Any) -> Any:
    """A baseline of the attributes, (S,) or (B, S)."""
    if isinstance(value, str) or value is None:
        return value
    given, names = beside.given, beside.model.names.static
    with _naming('baseline["static"]'):
        named = vectors.read("static", value, names)
        if named is not None:
            return named
        if labels.has_labels(value):
            _require_rows("static", beside.static, value)
            return labels.attributes(given, value, names).values
        own = labels.attributes(given, beside.static).names
        return vectors.reordered(value, own, names)


def _require_rows(name: str, given: Any, value: Any) -> None:
    """Refuse a frame of other rows than those of the frame that it is compared with."""
    if not hasattr(given, "dims") and not hasattr(value, "dims"):
        labels.read(name, given).agreed(labels.read("the baseline", value))


def _like_future(beside: Beside, value: Any) -> Any:
    """A baseline of what is known ahead: (F,), or as the columns beside X are, (B, T, N, F)."""
    if isinstance(value, str) or value is None:
        return value
    model, given, rows = beside.model, beside.given, beside.rows
    own, names = model.num_features, model.names.future
    if value is Own.OWN:
        return rows.X[..., own:].reshape(*rows.X.shape[:2], -1, model.num_future)
    with _naming('baseline["future"]'):
        named = vectors.read("future", value, names)
        if named is not None:
            return named
        if labels.has_labels(value):
            _require_rows("future", beside.future, value)
        else:
            have = labels.read("future", beside.future, None, given).features
            value = vectors.reordered(value, have, names)
            if np.ndim(value) < 2 and not is_list(value):
                return value
        known = labels.known_ahead(given, value, names)[0]
        laid = model._with_future(rows.X[..., :own], rows.lengths, beside.form, known)
    return laid[..., own:].reshape(*rows.X.shape[:2], -1, model.num_future)
