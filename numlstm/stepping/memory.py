"""A network in one block of memory, as `numlstm.stepping.kernels.step` reads it."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types

from numlstm.architecture.cell import GATES
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import LayerSpec, NetworkSpec
from numlstm.backends import numpy_arrays
from numlstm.backends.cpu.codegen.compile import callback
from numlstm.backends.cpu.codegen.packing import blocks, lanes, panel_width, panels
from numlstm.backends.cpu.codegen.vectors import CACHE_LINE, TILE_ROWS
from numlstm.backends.cpu.layer.shards import is_plain
from numlstm.backends.cpu.layer.variant_arrays import parameters_of
from numlstm.backends.cpu.layer.variant_cell import SLOTS, SLOTS_NORMALISED
from numlstm.cell.encoding import INITIAL_H, encode, unit_rows
from numlstm.data.scaling import Scaling
from numlstm.network.dropout import mean_noise
from numlstm.network.network import Weights
from numlstm.stepping.kernels import step, step_derivatives
from numlstm.stepping.kernels.pointers import flat
from numlstm.stepping.kernels.step_derivatives import derived_size

STACK = 2**18  # bytes that a step may take of its thread's stack
LINE = CACHE_LINE // 8  # integers in a cache line
ELSEWHERE = "parts_at", "cell_at", "scaling_at", "values_at"  # what nets of `bind` share


class Packer:
    """Packs arrays of one type, one behind the other, each from a cache line on."""

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)
        self.arrays: list[tuple[int, np.ndarray]] = []
        self.size = 0

    def add(self, array: Any) -> int:
        """Append an array; returns the place of its first element."""
        place, flat = self.size, np.asarray(array, self.dtype).ravel()
        per_line = CACHE_LINE // self.dtype.itemsize
        self.arrays.append((place, flat))
        self.size += blocks(flat.size, per_line) * per_line
        return place

    def write(self, memory: np.ndarray) -> None:
        """Copy all to a memory of integers."""
        target = memory.view(self.dtype)
        for place, array in self.arrays:
            target[place : place + array.size] = array

    @property
    def integers(self) -> int:
        """Its size in integers, whole cache lines."""
        return self.size * int(self.dtype.itemsize) // 8


class NetMemory(NamedTuple):
    """A network in memory, and its sizes once more for Python."""

    memory: np.ndarray  # of integers, from a cache line on
    sizes: step.Sizes


def write_net(
    spec: NetworkSpec, weights: Weights, scaling: Scaling | None, derivatives: bool
) -> NetMemory | None:
    """The network in one block; None where a step would need too much of the stack."""
    numbers, values, scalings = Packer(np.int64), Packer(spec.dtype), _scaling(spec, scaling)
    numbers.add(np.zeros(step.SIZES + len(step.Sizes._fields)))
    parts, own = _parts(spec, numbers, values, weights, derivatives)
    sizes = _sizes(spec, values, weights, scaling is not None)
    rows = STACK // (step.work_size(sizes, 1) * values.dtype.itemsize)
    rows_derived = STACK // (derived_size(sizes, 1) * values.dtype.itemsize)
    if rows == 0 or (derivatives and rows_derived == 0):
        return None
    parts_at = numbers.size
    numbers.add([part._replace(own=part.own - parts_at) for part in parts])
    cell_at = numbers.add(flat(encode(spec.layers[0])))
    scaling_at = numbers.integers
    values_at = scaling_at + scalings.integers
    sizes = sizes._replace(
        own=own,
        rows=min(rows, TILE_ROWS),
        rows_derived=min(rows_derived, TILE_ROWS),
        parts_at=parts_at,
        cell_at=cell_at,
        scaling_at=scaling_at,
        values_at=values_at,
    )
    memory = _aligned(values_at + values.integers)
    numbers.write(memory)
    memory[: step.SIZES + len(sizes)] = (*_addresses(spec, derivatives), *sizes)
    scalings.write(memory[scaling_at:values_at])
    values.write(memory[values_at:])
    return NetMemory(memory, sizes)


class Attributes(NamedTuple):
    """Attributes of whole sequences, and what they add to z of the first level."""

    static: np.ndarray  # (B, S), or (1, S) for every row
    terms: np.ndarray  # (B, G H) or (1, G H)


class Bound(NamedTuple):
    """A net for sequences of certain attributes, once for every group of them."""

    nets: np.ndarray  # (groups, n) of integers
    dterms: np.ndarray  # (B, 4 U L) gradient of the terms, where backward passes add it up


def bind(
    net: NetMemory,
    spec: NetworkSpec,
    given: Attributes,
    *,
    per_group: int = 0,
    summed: bool = False,
) -> Bound:
    """A net with attributes, beside the one that it shares all else with, and must not outlive.

    With `per_group` there is one for every so many rows, whose own first row is row 0. With
    `summed` a backward pass adds to the gradient of the terms, in the memory of the nets.
    """
    terms = _by_vectors(spec, given.terms)
    static = _in_lines(given.static)
    arrays = terms, static, np.zeros(terms.shape if summed else (0, 0), spec.dtype)
    groups = blocks(len(terms), per_group) if per_group else 1
    values, line = Packer(spec.dtype), blocks(step.SIZES + len(net.sizes), LINE) * LINE
    places = [groups * line + _integers(values, values.add(array)) for array in arrays]
    memory = _aligned(groups * line + values.integers)
    values.write(memory[groups * line :])
    away = (net.memory.ctypes.data - memory.ctypes.data) // memory.itemsize
    shared = net.sizes._replace(static=given.static.shape[1])
    for group in range(groups):
        here = group * line
        memory[here : here + step.SIZES] = net.memory[: step.SIZES]
        sizes = shared._replace(
            **{name: getattr(shared, name) + away - here for name in ELSEWHERE},
            **_own_places(values, arrays, places, group * per_group, here),
            home=memory[here:].ctypes.data,
        )
        memory[here + step.SIZES : here + step.SIZES + len(sizes)] = sizes
    nets = memory[: groups * line].reshape(groups, line)
    dterms = memory[places[-1] :].view(spec.dtype)[: arrays[-1].size].reshape(arrays[-1].shape)
    return Bound(nets, dterms)


def _own_places(
    values: Packer, arrays: tuple[np.ndarray, ...], places: list[int], row: int, here: int
) -> dict[str, int]:
    """Where in the memory from an integer on arrays of attributes have a row, and their strides."""
    own = {}
    for name, array, place in zip(("terms", "static", "dterms"), arrays, places, strict=True):
        stride = array.shape[1] if len(array) > 1 else 0
        own[f"{name}_row"] = stride
        own[f"{name}_at"] = place + _integers(values, row * stride) - here if array.size else 0
    return own


def _by_vectors(spec: NetworkSpec, terms: np.ndarray) -> np.ndarray:
    """(B, U * 4 L) of (B, G H), as z lies: the gates of one vector of units after another."""
    rows, width, own = len(terms), lanes(spec.dtype), _own_gates(spec)
    vectors = blocks(spec.hidden_size, width)
    whole = np.zeros((rows, len(GATES), vectors * width), spec.dtype)
    whole[:, own, : spec.hidden_size] = terms.reshape(rows, len(own), spec.hidden_size)
    by_vectors = whole.reshape(rows, len(GATES), vectors, width).swapaxes(1, 2)
    return np.ascontiguousarray(by_vectors).reshape(rows, len(GATES) * vectors * width)


def of_gates(spec: NetworkSpec, dz: np.ndarray) -> np.ndarray:
    """(B, G H) of (B, 4 U L) as dz lies: gate after gate, units in whole vectors."""
    rows, own = len(dz), _own_gates(spec)
    whole = dz.reshape(rows, len(GATES), dz.shape[1] // len(GATES))
    return whole[:, own, : spec.hidden_size].reshape(rows, len(own) * spec.hidden_size)


def _own_gates(spec: NetworkSpec) -> list[int]:
    """The places of the gates that have weights of their own."""
    return [GATES.index(gate) for gate in spec.cell.gates]


def _integers(values: Packer, count: int) -> int:
    """Integers in the place of so many elements, which are whole cache lines."""
    return count * int(values.dtype.itemsize) // 8


def _in_lines(array: np.ndarray) -> np.ndarray:
    """The rows of an array, each filled up to whole cache lines."""
    per_line = CACHE_LINE // array.itemsize
    lines = np.zeros((len(array), blocks(array.shape[1], per_line) * per_line), array.dtype)
    lines[:, : array.shape[1]] = array
    return lines


def _aligned(count: int) -> np.ndarray:
    memory = np.zeros(count + LINE, np.int64)
    skip = -memory.ctypes.data % CACHE_LINE // 8
    return memory[skip : skip + count]


def _scaling(spec: NetworkSpec, scaling: Scaling | None) -> Packer:
    """How x and y are scaled."""
    packer = Packer(np.float64)
    if scaling is not None:
        factor, offset = scaling.of_outputs(spec.width)
        packer.add([*scaling.x_mean, *scaling.x_scale, *factor, *offset])
    return packer


def _parts(
    spec: NetworkSpec, numbers: Packer, values: Packer, weights: Weights, derivatives: bool
) -> tuple[list[step.Part], int]:
    """The layers' parameters in the kernels' layout, and how many pieces `Part.own` has."""
    parts, theta, own = [], 0, []
    for layer, packed in zip(spec.layers, weights.layers, strict=True):
        beside = parameters_of(layer, packed.theta)
        panels, unit, out = (values.add(a) for a in (packed.panels, beside.unit, beside.out))
        starts = _starts(layer.shapes, theta)
        own = [
            (row, starts[name] + part.start, part.stop - part.start)
            for name, part, row in unit_rows(layer)
            if row < INITIAL_H  # those of the initial state are the caller's
        ]
        transposed = (beside.back, *_columns(layer, packed.theta)) if derivatives else ((),) * 3
        matrices = (layer.input_size, panels, unit, out, *map(values.add, transposed))
        places = theta, *(starts.get(name, 0) for name in ("weight_hr", "weight_is"))
        parts.append(step.Part._make((*matrices, *places, numbers.add(own))))
        theta += packed.theta.size
    return parts, len(own)


def _starts(shapes: Mapping[str, tuple[int, ...]], first: int) -> dict[str, int]:
    """Offset of every parameter in theta, if that of the first one is `first`."""
    starts = np.cumsum([first, *map(math.prod, shapes.values())])
    return dict(zip(shapes, starts.tolist(), strict=False))


def _columns(layer: LayerSpec, theta: np.ndarray) -> list[np.ndarray]:
    """W_ih and W_hh in panels for the backward pass: k runs over the units of gate after gate."""
    width, views, own = lanes(layer.dtype), split(layer.shapes, theta), layer.cell.gates
    vectors = blocks(layer.hidden_size, width) * width
    packed = []
    for name in ("weight_ih", "weight_hh"):
        matrix = views[name].reshape(len(own), layer.hidden_size, -1)
        whole = np.zeros((len(GATES), vectors, matrix.shape[-1]), layer.dtype)
        whole[[GATES.index(gate) for gate in own], : layer.hidden_size] = matrix
        packed.append(panels(whole.reshape(len(GATES) * vectors, -1)))
    return packed


def _sizes(spec: NetworkSpec, values: Packer, weights: Weights, scaled: bool) -> step.Sizes:
    """All sizes but those that depend on the whole block: see `write_net`."""
    layer, head, direct = spec.layers[0], weights.head, weights.direct
    width = panel_width(spec.dtype)
    in_theta = 0 if direct is None else spec.width * spec.input_size  # which it ends
    padded, padded_out, padded_width = (
        blocks(count, width) * width for count in (spec.hidden_size, layer.output_size, spec.width)
    )
    keep_h, keep_c = _kept(spec, padded_out, padded)
    return step.Sizes(
        inputs=spec.input_size,
        width=spec.width,
        layers=len(spec.layers),
        units=spec.hidden_size,
        outputs=layer.output_size,
        vectors=blocks(spec.hidden_size, width // 2),
        padded=padded,
        padded_out=padded_out,
        padded_width=padded_width,
        slots=SLOTS_NORMALISED if spec.cell.layer_norm else SLOTS,
        projected=spec.proj_size is not None,
        residual=spec.residual,
        head=head is not None,
        scaled=scaled,
        gates=len(spec.cell.gates),
        parameters=spec.num_parameters,
        head_theta=spec.num_parameters
        - in_theta
        - (0 if head is None else spec.width * (layer.output_size + 1)),
        own=0,
        rows=1,
        rows_derived=1,
        parts_at=0,
        cell_at=0,
        scaling_at=0,
        values_at=0,
        ones=values.add(np.ones(padded)),
        keep_c=values.add(keep_c),
        keep_h=values.add(keep_h),
        head_panels=0 if head is None else values.add(head.forward),
        head_bias=0 if head is None else values.add(head.bias),
        head_back=0 if head is None else values.add(head.backward),
        zeros=values.add(np.zeros(4 * padded)),
        direct_panels=0 if direct is None else values.add(direct.forward),
        direct_back=0 if direct is None else values.add(direct.backward),
        direct=direct is not None,
        direct_theta=spec.num_parameters - in_theta,
        **dict.fromkeys(step.Sizes._fields[step.Sizes._fields.index("static") :], 0),
    )


def _kept(spec: NetworkSpec, padded_out: int, padded: int) -> tuple[np.ndarray, np.ndarray]:
    """The share of the new hidden state and of the new cell: the mean of zoneout."""
    keep_h, keep_c = np.ones(padded_out), np.ones(padded)
    noise = mean_noise(spec, numpy_arrays, 1).layers[0]
    for target, mean in ((keep_h, noise and noise.keep_h), (keep_c, noise and noise.keep_c)):
        if mean is not None:
            target[: mean.shape[-1]] = mean[0, 0]
    return keep_h, keep_c


def is_plain_network(spec: NetworkSpec) -> bool:
    """Whether the kernels of the plain cell will do."""
    rates = spec.dropout
    return is_plain(spec.layers[0]) and not (rates.zoneout_h or rates.zoneout_c)


def _addresses(spec: NetworkSpec, derivatives: bool) -> tuple[int, ...]:
    """The addresses of the compiled step and of its derivatives, 0 where they are not wanted."""
    advance = step.step_plain if is_plain_network(spec) else step.step_variant
    if not derivatives:
        return address(advance, spec.dtype, 4), 0, 0
    ahead, back = (step_derivatives.step_jvp, 8), (step_derivatives.step_vjp, 8)
    return tuple(address(f, spec.dtype, arrays) for f, arrays in ((advance, 4), ahead, back))


@cache
def address(function: Any, dtype: str, arrays: int) -> int:
    """The address of a function of a net, arrays of a type, and a number of rows."""
    number = types.CPointer(types.float32 if dtype == "float32" else types.float64)
    net = types.CPointer(types.int64)
    signature = types.int64(net, *(number,) * arrays, types.int64)
    return callback(function, signature, parallel=False)
