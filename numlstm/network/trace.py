"""What a network had of its gates and cells in a forward pass, read off the tape of the kernels.

A layer's tape is dropped when it is read, and long series go in slices of their time: what is in
memory is what was asked for, and the tape of one layer in one slice.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from numlstm.architecture.spec import NetworkSpec, State
from numlstm.network.network import Network, Weights
from numlstm.network.slices import FIRST, slices
from numlstm.utils.types import AnyArray, Array

QUANTITIES = ("h", "c", "i", "f", "g", "o")

Seen: TypeAlias = Callable[[AnyArray], None] | None  # what every level gives is shown to it


class Wanted(NamedTuple):
    """What is to be read."""

    quantities: tuple[str, ...]
    layers: Array  # (L,) int64
    steps: Array  # (S,) int64
    units: Array | None  # (U,) int64 of every layer, None: all

    @property
    def tape(self) -> bool:
        """Whether more is asked for than what a layer gives to the next."""
        return self.quantities != ("h",)

    def has(self, layer: int) -> bool:
        """Whether anything of a layer is asked for."""
        return len(self.steps) > 0 and layer in self.layers

    def steps_of(self, inputs: "Inputs", *, reverse: bool) -> Array | None:
        """(B, S) those of a layer's tape, which of a reverse one runs from every row's end.

        None where these are all of them.
        """
        rows, length, _ = inputs.X.shape
        if reverse:
            ends = length if inputs.lengths is None else inputs.lengths[:, None]
            steps = np.tile(self.steps, (rows, 1))
            return np.where(steps < ends, ends - 1 - steps, steps)
        every = np.array_equal(self.steps, np.arange(length))
        return None if every else np.tile(self.steps, (rows, 1))

    def empty(self, spec: NetworkSpec, rows: int) -> dict[str, Array]:
        """Memory for every quantity of so many rows, (L, B, S, U)."""
        layer, shape = spec.layers[0], (len(self.layers), rows, len(self.steps))
        units = layer.hidden_size if self.units is None else len(self.units)
        widths = dict.fromkeys(self.quantities, units)
        if "h" in widths and layer.proj_size:
            widths["h"] = layer.proj_size
        return {name: np.empty((*shape, width), layer.dtype) for name, width in widths.items()}


class Inputs(NamedTuple):
    """Sequences in NumPy's memory, in the network's units."""

    X: Array  # (B, T, I)
    state: State | None  # in the backend's memory
    lengths: Array | None  # (B,)
    reset: Array | None  # (B, T)
    static: Array | None  # (B, S)

    def cut(self, start: int, stop: int, state: State | None) -> "Inputs":
        """A copy of some of the steps: a pass that is abandoned must not read the caller's."""
        lengths = None if self.lengths is None else np.clip(self.lengths - start, 0, stop - start)
        reset = None if self.reset is None else self.reset[:, start:stop].copy()
        static = None if self.static is None else self.static.copy()
        return Inputs(self.X[:, start:stop].copy(), state, lengths, reset, static)


def trace(
    network: Network,
    weights: Weights,
    inputs: Inputs,
    wanted: Wanted,
    seen: Seen = None,
) -> dict[str, Array]:
    """(L, B, S, U) of every quantity by name, in NumPy's memory, zero behind the ends of the rows.

    `seen` is called with what every level gives to the next, (B, T, W).
    """
    rows, steps, _ = inputs.X.shape
    if not network.spec.bidirectional:
        steps = 1 + int(wanted.steps.max(initial=-1))  # nothing is read of what comes later
    results: dict[str, Array] = {}
    state = inputs.state and State(*map(network.backend.arrays.copy, inputs.state))
    at_once = steps == inputs.X.shape[1] and _is_short(network, rows * steps)
    for start, stop in [(0, steps)] if at_once else _cuts(network, rows, steps):
        part = inputs if at_once else inputs.cut(start, stop, state)
        here = np.flatnonzero((start <= wanted.steps) & (wanted.steps < stop))
        asked = wanted._replace(steps=wanted.steps[here] - start)
        given = network, weights, part, asked, seen
        read, state = network.runner.run(_pass, *given, extent=rows * (stop - start))
        if len(here) == len(wanted.steps) and all(read.values()):  # nothing has to be joined
            return {name: _together(layers) for name, layers in read.items()}
        results = results or wanted.empty(network.spec, rows)
        for name, layers in read.items():
            for place, values in enumerate(layers):
                results[name][place][:, here] = values
    return results or wanted.empty(network.spec, rows)


def _cuts(network: Network, rows: int, steps: int) -> Iterable[tuple[int, int]]:
    """(start, stop) of the parts that are passed forward at once."""
    if network.spec.bidirectional or steps < 2:
        return [(0, steps)]
    first = max(1, int(FIRST / max(1, rows * network.spec.num_parameters)))
    while first < steps and _is_short(network, rows * first):
        first *= 2
    return [(0, steps)] if first >= steps else slices(steps, first)


def _is_short(network: Network, extent: int) -> bool:
    """Whether a pass over so many steps of rows is known to be; other backends do not know."""
    return network.backend.name == "cpu" and network.runner.is_short(_pass, extent)


def _together(layers: list[Array]) -> Array:
    """The layers as one array, of a single one a view."""
    return layers[0][None] if len(layers) == 1 else np.stack(layers)


def _pass(
    network: Network, weights: Weights, inputs: Inputs, wanted: Wanted, seen: Seen
) -> tuple[dict[str, list[Array]], State]:
    """(B, S, U) of every quantity and layer, and the final state of the layers that were passed."""
    spec, arrays = network.spec, network.backend.arrays
    X, lengths, reset, static = (
        None if each is None else arrays.asarray(each)
        for each in (inputs.X, inputs.lengths, inputs.reset, inputs.static)
    )
    state = inputs.state or network.initial_state(weights, len(inputs.X))
    batch = network.batch_of(X, lengths, reset, None, static)
    ways, top = spec.num_directions, int(wanted.layers.max(initial=0))
    read: dict[tuple[str, int], Array] = {}
    finals: list[Any] = []
    for place in range(1 + top // ways):
        asked = [index for index in range(place * ways, place * ways + ways) if wanted.has(index)]
        level = network.level_forward(place, weights, X, state, batch, bool(asked) and wanted.tape)
        for index in asked:
            steps = wanted.steps_of(inputs, reverse=bool(index % ways))
            for name in wanted.quantities:
                layer = Passed(
                    network, index, level.outputs[index % ways], level.tapes[index % ways]
                )
                read[name, index] = layer.values(name, wanted, steps)
        X = level.hidden
        finals += level.finals
        if seen is not None:
            seen(X)
    h, c = zip(*finals, strict=True)
    layers = {
        name: [read[name, index] for index in wanted.layers.tolist() if wanted.has(index)]
        for name in wanted.quantities
    }
    return layers, State(arrays.stacked(h), arrays.stacked(c))


class Passed(NamedTuple):
    """A layer behind its forward pass."""

    network: Network
    number: int  # among all layers
    Y: AnyArray  # (B, T, P), forward in time
    tape: Any

    def values(self, name: str, wanted: Wanted, steps: Array | None) -> Array:
        """A quantity, (B, S, U), forward in time; `steps` as `layer_trace` takes them."""
        layer, backend = self.network.spec.layers[self.number], self.network.backend
        if name != "h":
            read = backend.layer_trace(layer, self.tape, name, steps, wanted.units)
            gates: Array = backend.arrays.to_numpy(read)
            return gates
        values: Array = backend.arrays.to_numpy(self.Y)
        values = values if steps is None else values[:, wanted.steps]
        return values if wanted.units is None or layer.proj_size else values[:, :, wanted.units]
