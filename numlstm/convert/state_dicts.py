"""State dicts of PyTorch, wherever they were stored: the LSTMs in them and what is behind these."""

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.convert.tensors import array_of, require_known, with_one_bias
from numlstm.convert.weights import REVERSE_ONLY, Weights
from numlstm.data.scaling import Scaling
from numlstm.model.lstm import LSTM
from numlstm.utils import checks
from numlstm.utils.types import Array

_SCALING = "scaling."  # what `to_torch` calls the units of the data
_KEY = re.compile(
    r"(?:(?P<prefix>.+)\.)?(?P<name>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"(?:_l(?P<level>\d+)(?P<reverse>_reverse)?)?"
)
_QUANTISED = ("_packed_params", "_all_weight_values")
_OTHER_KINDS = {3.0: "a GRU", 1.0: "a plain RNN"}  # by their blocks of rows
Place = tuple[int, bool]  # a layer and whether it is the reverse one


class Parts(NamedTuple):
    """The parts of a state dict that are converted, and where they stood in it."""

    lstms: dict[str, dict[Place, dict[str, Array]]]  # by prefix, from the input upwards
    head: dict[str, Array] | None
    head_prefix: str | None
    scaling: Scaling | None


def state_dict_of(model: LSTM) -> dict[str, Array]:
    """Arrays by the names that the module of `to_torch` gives them, of any variant."""
    named = {}
    for name, value in model.params.items():
        if name.startswith("head_"):
            named[f"head.{name.removeprefix('head_')}"] = value
        elif name.startswith("bias_l"):
            place = name.removeprefix("bias_")
            named[f"lstm.bias_ih_{place}"] = value
            named[f"lstm.bias_hh_{place}"] = np.zeros_like(value)
        else:
            named[f"lstm.{name}"] = value
    return named | named_units(model.scaling)


def named_units(scaling: Scaling | None) -> dict[str, Array]:
    """The units of the data by the names in the same module."""
    units = {} if scaling is None else scaling._asdict()
    return {_SCALING + name: value for name, value in units.items() if value is not None}


# ---- finding the parts -----------------------------------------------------------------------


def find_parts(
    state_dict: Mapping[str, Any],
    lstm: str | Sequence[str] | None = None,
    head: str | bool | None = None,
    linear: Collection[str] | None = None,
) -> Parts:
    """The LSTM, its head and its units in a state dict.

    `linear` names the linear layers, where that is known.
    """
    units = _units_keys(state_dict)
    own = {key: value for key, value in state_dict.items() if key not in units}
    candidates, others = _grouped(own)
    if not candidates:
        raise ValueError(_no_lstm(own, others))
    prefixes = _chosen_lstms(candidates, lstm)
    lstms = {prefix: candidates.pop(prefix) for prefix in prefixes}
    others += [key for key in own if (m := _KEY.fullmatch(key)) and _prefix(m) in candidates]
    for layers in lstms.values():
        for layer in layers.values():
            layer.update({name: array_of(name, value) for name, value in layer.items()})
    chosen = _chosen_head(own, others, lstms, head, linear)
    found = None
    if chosen is not None:
        parts = {name: own.get(f"{chosen}.{name}") for name in ("weight", "bias")}
        found = {name: array_of(name, part) for name, part in parts.items() if part is not None}
    return Parts(lstms, found, chosen, _scaling(state_dict, units, prefixes[0]))


def _prefix(match: re.Match[str]) -> str:
    return match["prefix"] or ""


def _grouped(
    state_dict: Mapping[str, Any],
) -> tuple[dict[str, dict[Place, dict[str, Any]]], list[str]]:
    """The layers of every LSTM by its prefix, and the keys of all else."""
    groups: dict[str, dict[Place, dict[str, Any]]] = {}
    keys: dict[str, list[str]] = {}
    others = []
    for key, value in state_dict.items():
        match = _KEY.fullmatch(key)
        if match is None:
            require_known(key)
            others.append(key)
            continue
        place = int(match["level"] or 0), bool(match["reverse"])
        groups.setdefault(_prefix(match), {}).setdefault(place, {})[match["name"]] = value
        keys.setdefault(_prefix(match), []).append(key)
    for prefix in [prefix for prefix, layers in groups.items() if _blocks(layers) != 4]:
        del groups[prefix]
        others += keys[prefix]
    return groups, others


def _blocks(layers: Mapping[Place, Mapping[str, Any]]) -> int:
    """The number of blocks of rows of a recurrent layer: 4 of an LSTM; 0 of none."""
    for layer in layers.values():
        if not {"weight_ih", "weight_hh"} <= layer.keys():
            return 0
        rows, columns = _shape(layer["weight_hh"])
        units = _shape(layer["weight_hr"])[1] if "weight_hr" in layer else columns
        if not units or rows % units or rows // units != 4:
            return rows // max(units, 1)
    return 4


def _shape(value: Any) -> tuple[int, int]:
    shape = tuple(np.shape(value))
    return (int(shape[0]), int(shape[1])) if len(shape) == 2 else (0, 0)


def _chosen_lstms(candidates: Mapping[str, Any], asked: str | Sequence[str] | None) -> list[str]:
    if asked is None:
        if len(candidates) > 1:
            raise ValueError(
                f"there is more than one LSTM, {_listed(candidates)}: say which one is meant, "
                f"lstm={next(iter(candidates))!r}, or give a list of all that are stacked, from "
                "the input upwards"
            )
        return list(candidates)
    if not isinstance(asked, (str, Sequence)):
        raise TypeError(f"lstm must be a name, or a list of names, received {checks.shown(asked)}")
    patterns = [asked] if isinstance(asked, str) else list(asked)
    prefixes = [_matching("lstm", pattern, candidates) for pattern in patterns]
    if len(set(prefixes)) < len(prefixes) or not prefixes:
        raise ValueError(f"lstm must name one LSTM or several different ones, received {asked!r}")
    return prefixes


def _no_lstm(state_dict: Mapping[str, Any], keys: list[str]) -> str:
    if any(mark in key for key in keys for mark in _QUANTISED):
        return (
            "the LSTM is quantised, and numlstm computes with floats: convert the network from "
            "before its quantisation"
        )
    for key in keys:
        if (match := _KEY.fullmatch(key)) and match["name"] == "weight_hh":
            rows, units = _shape(state_dict[key])
            if units and (kind := _OTHER_KINDS.get(rows / units)):
                return (
                    f"{_prefix(match) or 'this'} is {kind}, and numlstm has LSTMs only: {key} has "
                    f"{rows} rows for {units} units, where that of an LSTM has {4 * units}"
                )
    found = ", ".join(keys[:8]) + ("..." if len(keys) > 8 else "")
    return (
        "there is no LSTM with weight_ih and weight_hh of 4H rows, as nn.LSTM and nn.LSTMCell "
        f"have them, among: {found or 'no entries at all'}"
    )


def _matching(name: str, pattern: Any, candidates: Any) -> str:
    """The only candidate of a name or pattern."""
    if not isinstance(pattern, str):
        raise TypeError(f"{name} must be a name or a pattern, received {checks.shown(pattern)}")
    if pattern in candidates:
        return pattern
    found = [one for one in candidates if fnmatch.fnmatchcase(one, pattern)]
    if len(found) != 1:
        fits = f"fits {_listed(found)}" if found else "fits none"
        raise ValueError(
            f"{name}={pattern!r} must fit one, and {fits} of {_listed(candidates)}: write its name"
        )
    return str(found[0])


def _listed(names: Any) -> str:
    return "[" + ", ".join(map(repr, names)) + "]"


def _chosen_head(
    state_dict: Mapping[str, Any],
    others: list[str],
    lstms: Mapping[str, Any],
    asked: str | bool | None,
    known: Collection[str] | None,
) -> str | None:
    width = _width(list(lstms.values())[-1])
    linear = _linear_shapes(state_dict, others, known)
    if asked is False:
        return None
    if isinstance(asked, str):
        chosen = _matching("head", asked, linear)
    elif not others:
        return None
    elif len(linear) == 1 and set(others) <= _keys_of(chosen := next(iter(linear))):
        pass
    else:
        raise ValueError(_ambiguous(others, linear, width, lstms))
    if linear[chosen][1] != width:
        before = _comes_before(linear[chosen], lstms)
        raise ValueError(
            f"{chosen!r}, of shape {linear[chosen]}, is no head of the LSTM, which gives {width} "
            "features" + (f": {before}" if before else "; head=False takes none")
        )
    if asked is None and known is None:
        _require_behind(chosen, linear[chosen], f"{chosen}.bias" in others, lstms)
    return chosen


def _linear_shapes(
    state_dict: Mapping[str, Any], others: list[str], known: Collection[str] | None
) -> dict[str, tuple[int, int]]:
    """Candidates for linear layers, with the shapes of their weights."""
    shapes = {
        key.removesuffix(".weight"): _shape(state_dict[key])
        for key in others
        if key.endswith(".weight") and _shape(state_dict[key]) != (0, 0)
    }
    return {name: shape for name, shape in shapes.items() if known is None or name in known}


def _require_behind(
    chosen: str, shape: tuple[int, int], has_bias: bool, lstms: Mapping[str, Any]
) -> None:
    """Refuse a layer that fits before the LSTM as well, where nothing but shapes is known."""
    prefix = next(iter(lstms))
    reads = _shape(lstms[prefix][0, False]["weight_ih"])[1]
    if shape[1] != reads or chosen == prefix.removesuffix("lstm") + "head":  # that of `to_torch`
        return
    if shape[0] == reads or not has_bias:
        kind = "a linear layer" if has_bias else "an embedding or a linear layer"
        raise ValueError(
            f"{chosen!r}, of shape {shape}, may stand behind the LSTM, and may be {kind} before "
            f"it, which its shape does not tell: write head={chosen!r} where it is behind, or "
            "head=False, and give its outputs as X, where it is before"
        )


def _keys_of(prefix: str) -> set[str]:
    return {f"{prefix}.weight", f"{prefix}.bias"}


def _width(layers: Mapping[Place, Mapping[str, Any]]) -> int:
    last = max(level for level, _ in layers)
    return sum(
        _shape(layer["weight_hh"])[1] for (level, _), layer in layers.items() if level == last
    )


def _comes_before(shape: tuple[int, int], lstms: Mapping[str, Any]) -> str:
    """Why a linear layer that gives what the LSTM reads is not converted."""
    first = next(iter(lstms.values()))[0, False]
    if shape[0] != _shape(first["weight_ih"])[1]:
        return ""
    return (
        "it may stand before the LSTM, where numlstm has no layer: where it does, give its outputs "
        "as X, and write head=False, or the name of a layer behind the LSTM"
    )


def _ambiguous(
    others: list[str], linear: Mapping[str, Any], width: int, lstms: Mapping[str, Any]
) -> str:
    fitting = [name for name, shape in linear.items() if shape[1] == width]
    before = [name for name, shape in linear.items() if _comes_before(shape, lstms)]
    message = f"beside the LSTM there are {', '.join(others[:8])}{', ...' * (len(others) > 8)}; "
    message += f"nn.Linear that take {width} features, as many as it gives: {_listed(fitting)}"
    if before := [name for name in before if name not in fitting]:
        message += (
            f"; nn.Linear that give as many as it reads: {_listed(before)}. One of these may stand "
            "before the LSTM, where numlstm has no layer: where it does, give its outputs as X"
        )
    return message + (
        ". Name the one that gets the outputs of the LSTM as they are, head='...', or head=False "
        "for none: all else, such as a second layer behind that one, is left out then, and what it "
        "does is yours to do"
    )


def _units_keys(state_dict: Mapping[str, Any]) -> set[str]:
    """The keys of what `to_torch` calls scaling, also in a wrapper; a layer may be called so."""
    groups: dict[str, set[str]] = {}
    for key in state_dict:
        prefix, dot, name = key.rpartition(".")
        if dot and f".{prefix}.".endswith("." + _SCALING):
            groups.setdefault(prefix, set()).add(name)
    found = set()
    for prefix, names in groups.items():
        if "weight" not in names and (f"{prefix}." == _SCALING or names <= set(Scaling._fields)):
            found |= {f"{prefix}.{name}" for name in names}
    return found


def _scaling(state_dict: Mapping[str, Any], keys: set[str], lstm: str) -> Scaling | None:
    """The units that `to_torch` has written beside an LSTM."""
    prefix = lstm.removesuffix("lstm") + _SCALING
    if not any(key.startswith(prefix) for key in keys):
        prefix = _SCALING
    units = {
        key.removeprefix(prefix): np.asarray(array_of(key, state_dict[key]), np.float64)
        for key in state_dict
        if key in keys and key.startswith(prefix)
    }
    if not units:
        return None
    if unknown := sorted(units.keys() - set(Scaling._fields)):
        raise ValueError(f"a scaling has no {unknown[0]!r}, but {list(Scaling._fields)}")
    if not {"x_mean", "x_scale"} <= units.keys():
        raise ValueError(f"a scaling needs x_mean and x_scale, received {sorted(units)}")
    return Scaling(**units)


# ---- their weights ---------------------------------------------------------------------------


def weights_of_parts(parts: Parts, cell: Cell = Cell()) -> Weights:
    """Weights of an LSTM, or of several of one kind in a stack."""
    layers: list[dict[str, Array]] = []
    counts = set()
    for prefix, found in parts.lstms.items():
        directions = _directions(prefix, list(found))
        counts.add(directions)
        layers += [with_one_bias(_in_one_dtype(parts, found[place])) for place in sorted(found)]
    if len(counts) > 1:
        raise ValueError(f"of {_listed(parts.lstms)} all or none must be bidirectional")
    return Weights(layers, parts.head, directions=counts.pop(), cell=cell, scaling=parts.scaling)


def _in_one_dtype(parts: Parts, layer: Mapping[str, Array]) -> dict[str, Array]:
    """In float64 where a part is: a sum of two biases is then not rounded to float32 before."""
    every = [one for layers in parts.lstms.values() for one in layers.values()]
    every += [] if parts.head is None else [parts.head]
    double = any(value.dtype == np.float64 for one in every for value in one.values())
    return {
        name: value.astype("float64") if double and value.dtype == np.float32 else value
        for name, value in layer.items()
    }


def _directions(prefix: str, places: list[Place]) -> int:
    levels = 1 + max(level for level, _ in places)
    if all(reverse for _, reverse in places):
        raise ValueError(REVERSE_ONLY)
    for directions in 1, 2:
        reverses = (False, True)[:directions]
        if set(places) == {(level, reverse) for level in range(levels) for reverse in reverses}:
            return directions
    raise ValueError(f"layers of {prefix or 'the LSTM'} are missing, there are {sorted(places)}")
