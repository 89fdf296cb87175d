"""A walk through a graph of TensorFlow Lite: LSTMs, a dense layer, and what only arranges axes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from numlstm.convert.tflite.files import Graph, Operator, Tensor
from numlstm.convert.tflite.flatbuffer import EMPTY
from numlstm.convert.tflite.operator import KINDS, STEP, Recurrent, read_operator
from numlstm.convert.weights import REVERSE_ONLY
from numlstm.utils.types import Array

BATCH, TIME, FEATURES, ONE, ROWS = "batch", "time", "features", "1", "batch * time"
_ARRANGING = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
_OF_LOGITS = ("LOGISTIC", "SOFTMAX")
_DENSE = "FULLY_CONNECTED"


class Network(NamedTuple):
    """The part of a graph that is converted."""

    operators: list[Recurrent]
    head: dict[str, Array] | None
    last: bool  # whether the steps but the last are cut off


@dataclass(frozen=True)
class Place:
    """A place on the walk: tensors, two of two directions, and what their axes are."""

    tensors: tuple[int, ...]
    axes: tuple[str, ...]
    last: bool = False
    head: dict[str, Array] | None = None


def find_network(
    graph: Graph, lstm: int | Sequence[int] | None, head: bool | None, logits: bool
) -> Network:
    """The LSTMs that are asked for, or all that there are, and the dense layer behind them."""
    found = [one for one in graph.operators if one.name in KINDS]
    chosen = _chosen(graph, found, lstm)
    read = [read_operator(graph, one) for one in chosen]
    if lstm is None:
        _require_input(graph, chosen[0], read[0])
    place = Place((chosen[0].inputs[0],), _axes(read[0]))
    for one, own in zip(chosen, read, strict=True):
        place = _through_lstm(graph, place, one, own, first=one is chosen[0])
    if head is False or (lstm is not None and _goes_to_lstm(graph, place)):
        return Network(read, None, False)
    place = _to_the_end(graph, place, logits, strict=head is None)
    if head and place.head is None:
        raise ValueError("there is no dense layer behind the LSTM: head=True asks for one")
    return Network(read, place.head, place.last)


def _chosen(
    graph: Graph, found: Sequence[Operator], lstm: int | Sequence[int] | None
) -> list[Operator]:
    if not found:
        names = list(dict.fromkeys(one.name for one in graph.operators))
        loop = "WHILE" in names or any(name.startswith("CUSTOM") for name in names)
        hint = ": a loop of other operators is not read, convert the LSTM fused" if loop else ""
        raise ValueError(f"there is no LSTM operator among {names[:12]}{hint}")
    if lstm is None:
        return list(found)
    numbers = [lstm] if isinstance(lstm, int) else list(lstm)
    if len(set(numbers)) < len(numbers) or not numbers:
        raise ValueError(f"lstm must number different LSTM operators, received {lstm!r}")
    for number in numbers:
        if not 0 <= number < len(found):
            raise ValueError(f"lstm numbers {number}, and there are {len(found)}, from 0 on")
    return [found[number] for number in numbers]


def _axes(read: Recurrent) -> tuple[str, ...]:
    """The axes of an LSTM's input."""
    if read.kind == STEP:
        return BATCH, FEATURES
    return (TIME, BATCH, FEATURES) if read.options.time_major else (BATCH, TIME, FEATURES)


# ---- before the LSTMs ------------------------------------------------------------------------


def _require_input(graph: Graph, operator: Operator, read: Recurrent) -> None:
    """Refuse what stands between the input of the graph and the first LSTM, but for axes."""
    tensor, axes = operator.inputs[0], _axes(read)
    seen = set[int]()
    while tensor in graph.producers and tensor not in seen:
        seen.add(tensor)
        one = graph.producers[tensor]
        if one.name == "TRANSPOSE":
            order = _permutation(graph, one)
            if order[-1] != len(order) - 1:
                raise ValueError("the features of the input must be its last axis")
        elif one.name not in _ARRANGING or _sizes(graph, tensor) != _sizes(graph, one.inputs[0]):
            raise ValueError(_before(one.name))
        tensor = one.inputs[0]
    if tensor not in graph.inputs or axes[-1] != FEATURES:
        raise ValueError("the first LSTM does not read the input of the graph")


def _before(name: str) -> str:
    if name == "REVERSE_V2":
        return REVERSE_ONLY
    if name in KINDS:
        return "the LSTMs are no chain: say which is meant, lstm=0"
    if name in ("QUANTIZE", "DEQUANTIZE"):
        return (
            f"the input goes through {name}: the model is quantised, and numlstm computes with "
            "floats"
        )
    what = "a dense layer, " if name == _DENSE else ""
    return (
        f"{what}{name} stands before the LSTM, where numlstm has none: give its outputs as X, and "
        "say which LSTMs are converted, lstm=0"
    )


# ---- from the LSTMs on -----------------------------------------------------------------------


def _through_lstm(
    graph: Graph, place: Place, operator: Operator, read: Recurrent, first: bool
) -> Place:
    """From a place through the next LSTM."""
    while not first and operator.inputs[0] not in place.tensors:
        following = _following(graph, place, operator)
        if following.name in KINDS or following.name == _DENSE:
            raise ValueError(
                f"{following.name} stands between two LSTMs that shall be stacked: convert them "
                "one by one, lstm=0 and so on"
            )
        place = _through(graph, place, following)
    if place.last or len(place.tensors) > 1 or place.axes != _axes(read):
        raise ValueError(
            f"{operator.name} reads {' x '.join(place.axes)}{', of the last step' * place.last}, "
            f"and an LSTM of a stack must read {' x '.join(_axes(read))}"
        )
    outputs = operator.outputs[: 1 if read.options.merge_outputs else 2]
    if len(outputs) != (1 if read.options.merge_outputs else 2):
        raise ValueError(f"{operator.name} has {len(operator.outputs)} outputs")
    return Place(outputs, _axes(read))


def _goes_to_lstm(graph: Graph, place: Place) -> bool:
    """Whether a further LSTM follows, behind nothing but changes of axes."""
    try:
        while (one := _next(graph, place)) is not None and one.name not in KINDS:
            place = _through(graph, place, one)
    except ValueError:
        return False
    return one is not None


def _to_the_end(graph: Graph, place: Place, logits: bool, strict: bool) -> Place:
    """To the output of the graph, through a dense layer if there is one."""
    while (one := _next(graph, place)) is not None:
        if strict and set(place.tensors) & set(graph.outputs):
            raise ValueError(
                f"the graph gives out what {one.name} reads beside what it makes of it: head=False "
                "takes the LSTM alone, head=True the dense layer behind it"
            )
        if one.name == _DENSE and place.head is None:
            place = _through_dense(graph, place, one)
        elif one.name in _OF_LOGITS and logits and _is_end(graph, one):
            break
        else:
            place = _through(graph, place, one)
    return place


def _is_end(graph: Graph, operator: Operator) -> bool:
    return not any(graph.readers.get(tensor) for tensor in operator.outputs)


def _next(graph: Graph, place: Place) -> Operator | None:
    """The only operator that reads what is there; None at the end."""
    readers = {id(one): one for tensor in place.tensors for one in graph.readers.get(tensor, ())}
    if len(readers) > 1:
        names = [one.name for one in readers.values()]
        raise ValueError(f"behind the LSTM the graph goes to {names}, and numlstm has one output")
    return next(iter(readers.values()), None)


def _following(graph: Graph, place: Place, operator: Operator) -> Operator:
    one = _next(graph, place)
    if one is None:
        raise ValueError(f"the LSTMs are no chain: {operator.name} reads something else")
    return one


def _through(graph: Graph, place: Place, operator: Operator) -> Place:
    """Through an operator that arranges axes, or cuts off all steps but the last."""
    name = operator.name
    if len(place.tensors) > 1:
        return _side_by_side(graph, place, operator)
    if place.tensors[0] != operator.inputs[0]:
        raise ValueError(_behind(name))
    if name == "TRANSPOSE":
        axes = tuple(place.axes[axis] for axis in _permutation(graph, operator))
    elif name in _ARRANGING:
        axes = _arranged(graph, place, operator)
    elif name in ("STRIDED_SLICE", "SLICE") and TIME in place.axes:
        return _last_step(graph, place, operator)
    else:
        raise ValueError(_behind(name))
    return replace(place, tensors=operator.outputs[:1], axes=axes)


def _behind(name: str) -> str:
    if name in _OF_LOGITS:
        return (
            f"the outputs go through {name}, and those of numlstm are linear; logits=True leaves "
            "it out"
        )
    if name in KINDS:
        return f"a further {name} stands behind the LSTM: say which are meant, lstm=[0, 1]"
    if name == "REVERSE_V2":
        return REVERSE_ONLY
    return (
        f"{name} stands behind the LSTM, where numlstm has one dense layer alone: head=False takes "
        "the LSTM without what is behind it"
    )


def _side_by_side(graph: Graph, place: Place, operator: Operator) -> Place:
    """Through the concatenation of two directions."""
    axis = operator.options.scalar(0, "<i", 0) if operator.options else 0
    fused = operator.options.scalar(1, "<b", 0) if operator.options else 0
    if (
        operator.name != "CONCATENATION"
        or operator.inputs != place.tensors
        or axis not in (-1, len(place.axes) - 1)
        or fused
    ):
        raise ValueError(
            f"the outputs of two directions go to {operator.name}, and numlstm puts them side by "
            "side, the forward one first"
        )
    return replace(place, tensors=operator.outputs[:1])


def _permutation(graph: Graph, operator: Operator) -> list[int]:
    order = [int(axis) for axis in graph.constant(operator.inputs[1]).ravel()[:9]]
    if sorted(order) != list(range(len(order))) or not order:
        raise ValueError(f"TRANSPOSE has the order {order}")
    if len(order) != len(graph.tensors[operator.inputs[0]].shape):
        raise ValueError(f"TRANSPOSE has the order {order}, of another number of axes")
    return order


def _sizes(graph: Graph, tensor: int) -> list[int]:
    """A shape without axes of one."""
    return [size for size in graph.tensors[tensor].shape if size != 1]


def _arranged(graph: Graph, place: Place, operator: Operator) -> tuple[str, ...]:
    """The axes behind a RESHAPE, which must keep the features together."""
    before = graph.tensors[operator.inputs[0]].shape
    after = graph.tensors[operator.outputs[0]].shape
    if before == after:
        return place.axes
    if not after or place.axes[-1] != FEATURES or after[-1] != before[-1]:
        raise ValueError(
            f"{operator.name} makes {after} of {before}: a dense layer behind it would read all "
            "steps at once, and numlstm's reads one; head=False takes the LSTM alone"
        )
    steps = [axis for axis in place.axes[:-1] if axis != ONE]
    if len(after) == 2:
        return (steps[0] if len(steps) == 1 else ROWS), FEATURES
    if len(after) == 3 and steps == [ROWS]:
        return BATCH, TIME, FEATURES
    if len(after) == 3 and len(steps) == 1:
        return (steps[0], ONE, FEATURES) if after[1] == 1 else (ONE, steps[0], FEATURES)
    raise ValueError(f"{operator.name} makes {after} of {before}, which is not followed")


def _last_step(graph: Graph, place: Place, operator: Operator) -> Place:
    """Through a slice along time that leaves the last step alone."""
    time, shape = place.axes.index(TIME), graph.tensors[operator.inputs[0]].shape
    cut = _slice(graph, operator, len(place.axes))
    after = graph.tensors[operator.outputs[0]].shape
    left = list(shape)
    left[time : time + 1] = [] if cut is not None and cut.shrunk else [1]
    if (
        cut is None
        or cut.shrunk not in (0, 1 << time)
        or any(begin for axis, begin in enumerate(cut.begin) if axis != time)
        or cut.begin[time] not in (-1, _last_of(graph.tensors[operator.inputs[0]], time))
        or list(after) != left
    ):
        raise ValueError(
            f"{operator.name} cuts out something else than the last step: numlstm gives all steps, "
            "or the last one; head=False takes the LSTM alone"
        )
    axes = list(place.axes)
    axes[time : time + 1] = [] if cut.shrunk else [ONE]
    return replace(place, tensors=operator.outputs[:1], axes=tuple(axes), last=True)


class Slice(NamedTuple):
    """Where a slice begins on every axis, and the axes that it removes, as bits."""

    begin: list[int]
    shrunk: int


def _slice(graph: Graph, operator: Operator, count: int) -> Slice | None:
    """A slice with steps of one; None where it does something else beside."""
    parts = [graph.constant(index).ravel()[:9].tolist() for index in operator.inputs[1:]]
    if any(len(part) != count for part in parts):
        return None
    if operator.name == "SLICE":
        return Slice(parts[0], 0)
    options = operator.options or EMPTY
    begins, _, *others, shrunk = (options.scalar(index, "<i", 0) for index in range(5))
    if any(others) or options.scalar(5, "<B", 0) or parts[2] != [1] * count:
        return None
    return Slice([0 if begins >> axis & 1 else n for axis, n in enumerate(parts[0])], shrunk)


def _last_of(tensor: Tensor, axis: int) -> int:
    """The number of the last step, where the file says how many there are."""
    return -1 if tensor.is_free(axis) else tensor.shape[axis] - 1


def _through_dense(graph: Graph, place: Place, operator: Operator) -> Place:
    """Through a dense layer that reads every step by itself."""
    options = operator.options
    if options is not None and options.scalar(0, "<b", 0):
        raise ValueError("the dense layer has an activation, and the outputs of numlstm are linear")
    if options is not None and options.scalar(1, "<b", 0):
        raise ValueError("the dense layer has shuffled weights, which are quantised")
    if len(place.tensors) > 1 or place.axes[-1] != FEATURES:
        raise ValueError(f"the dense layer reads {' x '.join(place.axes)}")
    _, weight, *bias = operator.inputs
    found: dict[str, Array] = {"weight": graph.floats(weight)}
    if found["weight"].ndim != 2:
        raise ValueError("the dense layer must have a matrix of weights")
    width = graph.tensors[operator.inputs[0]].shape[-1:]
    if width != found["weight"].shape[1:]:
        raise ValueError(
            f"the dense layer reads {found['weight'].shape[1]} numbers, and a step has {width}: "
            "a head of numlstm reads one step; head=False takes the LSTM alone"
        )
    if bias and bias[0] >= 0:
        found["bias"] = graph.floats(bias[0])
    axes = place.axes
    if len(graph.tensors[operator.outputs[0]].shape) == 2 and len(axes) == 3:
        steps = [axis for axis in axes[:-1] if axis != ONE]
        axes = (steps[0] if len(steps) == 1 else ROWS), FEATURES
    return replace(place, tensors=operator.outputs[:1], axes=axes, head=found)
