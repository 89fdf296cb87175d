"""Layers and head over any backend: the forward and backward pass of a whole network."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from numlstm import backends
from numlstm.architecture.parameters import blocks, split
from numlstm.architecture.spec import (
    Dropout,
    Gradients,
    HeadSpec,
    NetworkSpec,
    State,
    StaticGradients,
)
from numlstm.backends import numpy_arrays as numpy_arrays
from numlstm.network.dropout import NetworkNoise, draw_noise, mean_noise, no_noise
from numlstm.utils.interruptible import Runner
from numlstm.utils.lazy import cached_property
from numlstm.utils.random_streams import RandomStreams
from numlstm.utils.types import AnyArray, Array

Pair: TypeAlias = tuple[AnyArray, AnyArray]  # h (B, P) and c (B, H) of one layer


class Weights(NamedTuple):
    """The parameters in the layout that the backend's kernels read."""

    layers: tuple[Any, ...]
    head: Any
    initial: tuple[Any, ...]  # the learned (h, c) per layer, empty where states begin at zero
    static: tuple[Any, ...] = ()  # of the attributes, per layer of the first level that has some
    direct: Any = None  # of direct connections, from the inputs to the outputs


class Batch(NamedTuple):
    """Arguments that all layers of a pass share."""

    lengths: AnyArray | None  # (B,)
    reset: AnyArray | None  # (B, T)
    noise: NetworkNoise
    static: AnyArray | None = None  # (B, S)


class Tape(NamedTuple):
    """The intermediate results of `forward` that `backward` reads."""

    layers: list[Any]  # the backend's tape per layer and direction
    batch: Batch
    hidden: AnyArray  # input of the head: (B, T, W), or (B, W) with last=True
    last: bool
    learned: bool  # the initial state was the learned one
    direct: AnyArray | None  # input of direct connections, (B, T, I) or (B, I)


class Level(NamedTuple):
    """What the layers of one level give, a list of one for each direction."""

    hidden: AnyArray  # (B, T, W): what the next level reads
    outputs: list[AnyArray]  # (B, T, P), forward in time in either direction
    finals: list[Pair]
    tapes: list[Any]


class Network:
    """A network's arithmetic: pure functions of packed weights, no parameters of its own.

    All arrays are in the backend's memory; a theta may also be in the host's.
    """

    def __init__(self, spec: NetworkSpec, backend: ModuleType):
        self.spec = spec
        self.backend, self._arrays = backend, backend.arrays
        self._no_noise = no_noise(spec)
        # on other backends Ctrl-C is heard anyway
        self.runner = Runner(interruptible=backend.name == "cpu")
        ways, layers = spec.num_directions, range(len(spec.layers))
        # the places of every level's layers, forward and reverse, in all lists of layers
        self._levels = [layers[i : i + ways] for i in layers[::ways]]

    def __reduce__(self) -> tuple[Any, ...]:
        """By the backend's name: a module cannot be pickled, but models are sent and copied."""
        return network_on, (self.spec, self.backend.name)

    @cached_property
    def on_host(self) -> "Network":
        """The same network over NumPy's memory."""
        if self._arrays is numpy_arrays:
            return self
        return Network(replace(self.spec, precision=None), backends.get("cpu"))

    @cached_property
    def tangents(self) -> "Network":
        """The same network over complex arrays whose imaginary parts are derivatives."""
        return Network(self.spec, self.backend.tangents())

    def pack(self, theta: AnyArray, noise: NetworkNoise | None = None) -> Weights:
        """Rearrange the flat vector once per update; theta is read, never kept.

        Of `noise` its masks on weights are used (DropConnect).
        """
        arrays = self._arrays
        parts = list(blocks(self.spec, arrays.asarray(theta)))
        masks = noise.weights if noise else (None,) * len(self.spec.layers)
        layers, initial, static = [], [], []
        for layer, part, kept in zip(self.spec.layers, parts, masks, strict=False):
            if kept is not None:
                part = arrays.copy(part)
                arrays.scale_by(split(layer.shapes, part)["weight_hh"], kept)
            layers.append(self.backend.pack_layer(layer, part))
            if layer.learned_state:
                views = split(layer.shapes, part)
                initial.append(tuple(arrays.copy(views[f"initial_{name}"]) for name in "hc"))
            if layer.of_static is not None:
                static.append(self._pack_unbiased(layer.of_static, part))
        head, direct = self.spec.head, self.spec.direct
        packed = self.backend.pack_head(head, parts[len(layers)]) if head else None
        of_inputs = self._pack_unbiased(direct, parts[-1]) if direct else None
        return Weights(tuple(layers), packed, tuple(initial), tuple(static), of_inputs)

    def _pack_unbiased(self, spec: HeadSpec, part: AnyArray) -> Any:
        """The weights of attributes, or of inputs, which end `part`, over a bias of zero."""
        bias = self._arrays.zeros(spec.output_size, spec.dtype)
        weight = part[-spec.input_size * spec.output_size :]
        return self.backend.pack_head(spec, self._arrays.end_to_end([weight, bias]))

    def zero_state(self, batch: int) -> State:
        """A state of zeros: h (layers, B, P) and c (layers, B, H), directions counted apart."""
        count, layer = len(self.spec.layers), self.spec.layers[0]
        h = c = self._arrays.zeros((count, batch, layer.hidden_size), layer.dtype)
        if layer.proj_size:
            h = self._arrays.zeros((count, batch, layer.proj_size), layer.dtype)
        return State(h, c)

    def initial_state(self, weights: Weights, batch: int) -> State:
        """The state before anything was seen: the learned one, the same for all rows, or zeros."""
        if not weights.initial:
            return self.zero_state(batch)
        stacked, repeated = self._arrays.stacked, self._arrays.repeated
        parts = zip(*weights.initial, strict=True)
        return State(*(stacked([repeated(vector, batch) for vector in part]) for part in parts))

    def draw_noise(
        self, source: RandomStreams, update: Any, batch: int, steps: int
    ) -> NetworkNoise | None:
        """The masks of one update; None where no rate is above 0."""
        if self.spec.dropout == Dropout():
            return None
        return draw_noise(self.spec, self._arrays, source, update, batch, steps)

    def forward(
        self,
        weights: Weights,
        X: AnyArray,
        state: State | None = None,
        lengths: AnyArray | None = None,
        *,
        tape: bool = False,
        last: bool = False,
        reset: AnyArray | None = None,
        noise: NetworkNoise | None = None,
        seen: Callable[[AnyArray], None] | None = None,
        static: AnyArray | None = None,
    ) -> tuple[AnyArray, State, Any]:
        """Run X (B, T, I) through the layers and the head.

        Returns (Y, final state, tape or None). Y is (B, T, O), zero in the padding, or with
        last=True (B, O): the head applied to each row's final hidden state. No `state`: the
        initial one. `static` (B, S) are the attributes of the rows, where the spec has a
        `static_size`. `reset` (B, T) is True where a row begins anew from the initial state;
        `noise` is what `numlstm.network.dropout` drew, by default its mean. `seen` is called
        with what every level gives to the next, (B, T, W).
        """
        learned = state is None and self.spec.learned_state
        state = self.initial_state(weights, X.shape[0]) if state is None else state
        batch = self.batch_of(X, lengths, reset, noise, static)
        hidden, finals, tapes = X, [], []
        for place in range(self.spec.num_layers):
            hidden, _, final, kept = self.level_forward(place, weights, hidden, state, batch, tape)
            finals += final
            tapes += kept
            if seen is not None:
                seen(hidden)
        if last:
            hidden = self._last_hidden(finals)
        direct = self.direct_inputs(X, lengths, last)
        Y = self._head_forward(weights, hidden, direct, None if last else lengths)
        final_state = self._state(finals)
        return Y, final_state, Tape(tapes, batch, hidden, last, learned, direct) if tape else None

    def backward(
        self,
        weights: Weights,
        tape: Tape,
        dY: AnyArray,
        dstate: State | None = None,
        *,
        need_dX: bool = False,
        need_dtheta: bool = True,
    ) -> Gradients | StaticGradients:
        """Gradients of theta and X where asked for, of the initial state, and of attributes.

        dY has the shape of Y, anything may stand in its padding; dstate is a State or None, which
        means zero. The gradient of a learned initial state is in both.
        """
        dtheta_head, d_hidden, d_direct = self._head_backward(weights, tape, dY)
        count = len(self.spec.layers)
        dfinal: list[Pair | None] = [None] * count
        if dstate is not None:
            dfinal = [(dstate.h[index], dstate.c[index]) for index in range(count)]
        if tape.last:
            self._last_hidden_backward(dfinal, d_hidden)
            d_hidden = None
        dthetas: list[Any] = [None] * count
        d_initial: list[Any] = [None] * count
        d_static: list[AnyArray] = []
        for level, below in zip(self._levels[::-1], tape.batch.noise.between[::-1], strict=True):
            need, dXs = need_dX or level[0] > 0, []
            d_outputs = self._arrays.parted(d_hidden, len(level))
            for index, d_output in zip(level, d_outputs, strict=True):
                dtheta, dX, d_initial[index], dterms = self._layer_backward(
                    *(index, weights, tape, d_output, dfinal[index]),
                    need_dX=need,
                    need_dtheta=need_dtheta,
                )
                if dterms is not None:
                    dtheta, by_static = self._static_backward(index, weights, tape, dtheta, dterms)
                    d_static.append(by_static)
                dthetas[index] = dtheta
                dXs.append(dX)
            dX = self._masked(self._arrays.total(dXs) if need else None, below)
            through = self.spec.residual and level[0] and d_hidden is not None
            d_hidden = self._arrays.total([dX, d_hidden]) if through else dX
        dthetas += [dtheta_head] if self.spec.head else []
        dtheta = self._arrays.end_to_end(dthetas) if need_dtheta else None
        if need_dX and d_direct is not None:
            d_hidden = self._with_direct(tape, d_hidden, d_direct)
        gradients = dtheta, d_hidden, self._state(d_initial)
        if not d_static:
            return Gradients(*gradients)
        return StaticGradients(*gradients, self._arrays.total(d_static))

    def _mean_noise(self, batch: int) -> NetworkNoise:
        """The masks of predictions; the same object, ready made, where no rate has a mean but 1."""
        rates = self.spec.dropout
        if not (rates.zoneout_h or rates.zoneout_c):
            return self._no_noise
        return mean_noise(self.spec, self._arrays, batch)

    def level_forward(
        self, place: int, weights: Weights, X: AnyArray, state: State, batch: Batch, tape: bool
    ) -> Level:
        """The layers of one level, in all directions, over what the level below gives."""
        level, outputs, finals, tapes = self._levels[place], [], [], []
        inputs = self._masked(X, batch.noise.between[place])
        for index in level:
            initial = (state.h[index], state.c[index])
            Y, final, kept = self._layer_forward(index, weights, inputs, initial, batch, tape)
            outputs.append(Y)
            finals.append(final)
            tapes.append(kept)
        output = self._arrays.joined(outputs)
        residual = self.spec.residual and place
        hidden = self._arrays.total([X, output]) if residual else output
        return Level(hidden, outputs, finals, tapes)

    def batch_of(self, X: AnyArray, lengths: Any, reset: Any, noise: Any, static: Any) -> Batch:
        """What the layers share in a pass over X; without `noise` its mean."""
        return Batch(lengths, reset, noise or self._mean_noise(X.shape[0]), static)

    def direct_inputs(self, X: AnyArray, lengths: AnyArray | None, last: bool) -> AnyArray | None:
        """What direct connections read: X without its padding, or each row's last step (B, I)."""
        if self.spec.direct is None:
            return None
        if last:
            last_inputs: AnyArray = self._arrays.last_steps(X, lengths)
            return last_inputs
        return X if lengths is None else self._arrays.without_padding(X, lengths)

    def _layer_forward(
        self, index: int, weights: Weights, X: AnyArray, state: Pair, batch: Batch, tape: bool
    ) -> tuple[AnyArray, Pair, Any]:
        """One layer in one direction; X and Y run forward in time in either."""
        reverse = index % self.spec.num_directions
        arrays, reset = self._arrays, batch.reset
        if reverse:
            X = arrays.flip(X, batch.lengths)
            reset = None if reset is None else arrays.flip_reset(reset, batch.lengths)
        layer, terms = self.spec.layers[index], {}
        if layer.of_static is not None:
            packed = weights.static[index]
            terms["row_terms"] = self.backend.head_forward(layer.of_static, packed, batch.static)
        Y, final, kept = self.backend.layer_forward(
            *(layer, weights.layers[index], X, state, batch.lengths),
            tape=tape,
            reset=reset,
            noise=batch.noise.layers[index],
            **terms,
        )
        return (arrays.flip(Y, batch.lengths) if reverse else Y), final, kept

    def _layer_backward(
        self,
        index: int,
        weights: Weights,
        tape: Tape,
        dY: AnyArray | None,
        dfinal: Pair | None,
        *,
        need_dX: bool,
        need_dtheta: bool,
    ) -> tuple[AnyArray | None, AnyArray | None, Pair, AnyArray | None]:
        layer, reverse = self.spec.layers[index], index % self.spec.num_directions
        arrays, lengths, masks = self._arrays, tape.batch.lengths, tape.batch.noise.weights
        if reverse and dY is not None:
            dY = arrays.flip(dY, lengths)
        dtheta, dX, d_initial, dterms = self.backend.layer_backward(
            *(layer, weights.layers[index], tape.layers[index], dY, dfinal),
            need_dX=need_dX,
            need_dtheta=need_dtheta,
        )
        if masks[index] is not None and need_dtheta:
            arrays.scale_by(split(layer.shapes, dtheta)["weight_hh"], masks[index])
        if tape.learned and need_dtheta:
            views = split(layer.shapes, dtheta)
            for name, part in zip(("initial_h", "initial_c"), d_initial, strict=True):
                arrays.add_rows_to(views[name], part)
        dX = arrays.flip(dX, lengths) if reverse and need_dX else dX
        return dtheta, dX, d_initial, dterms

    def _static_backward(
        self, index: int, weights: Weights, tape: Tape, dtheta: AnyArray | None, dterms: AnyArray
    ) -> tuple[AnyArray | None, AnyArray]:
        """A layer's gradient with that of `weight_is`, and the gradient of the attributes."""
        of_static = self.spec.layers[index].of_static
        assert of_static is not None, "where there is a gradient of row terms"
        given = of_static, weights.static[index], tape.batch.static, dterms
        dweights, d_static = self.backend.head_backward(*given)
        if dtheta is None:
            return None, d_static
        size = of_static.input_size * of_static.output_size
        return self._arrays.end_to_end([dtheta[:-size], dweights[:size]]), d_static

    def _last_hidden(self, finals: list[Pair]) -> AnyArray:
        """The final hidden state of every row, (B, W): of residual layers the sum."""
        joined = self._arrays.joined
        levels = [joined([finals[index][0] for index in level]) for level in self._ends()]
        return self._arrays.total(levels)

    def _last_hidden_backward(self, dfinal: list[Pair | None], d_hidden: AnyArray) -> None:
        """Add the gradient of `_last_hidden` to those of the final states."""
        for level in self._ends():
            parts = self._arrays.parted(d_hidden, len(level))
            for index, d_last in zip(level, parts, strict=True):
                final = dfinal[index]
                if final is None:
                    shape = d_last.shape[0], self.spec.hidden_size
                    dfinal[index] = d_last, self._arrays.zeros(shape, d_last.dtype)
                else:
                    dh, dc = final
                    dfinal[index] = self._arrays.total([dh, d_last]), dc

    def _ends(self) -> list[range]:
        """The levels whose final hidden states `_last_hidden` adds."""
        return self._levels if self.spec.residual else self._levels[-1:]

    def _with_direct(self, tape: Tape, dX: AnyArray, d_direct: AnyArray) -> AnyArray:
        """The gradient of X with what direct connections add to it."""
        if tape.last:
            d_direct = self._arrays.at_last_steps(d_direct, dX.shape[1], tape.batch.lengths)
        return self._arrays.total([dX, d_direct])

    def _head_forward(
        self,
        weights: Weights,
        hidden: AnyArray,
        direct: AnyArray | None,
        lengths: AnyArray | None,
    ) -> AnyArray:
        if self.spec.head is None:
            return hidden
        Y = self.backend.head_forward(self.spec.head, weights.head, hidden)
        if direct is not None:
            of_inputs = self.backend.head_forward(self.spec.direct, weights.direct, direct)
            Y = self._arrays.total([Y, of_inputs])
        return Y if lengths is None else self._arrays.without_padding(Y, lengths)

    def _head_backward(
        self, weights: Weights, tape: Tape, dY: AnyArray
    ) -> tuple[AnyArray | None, AnyArray, AnyArray | None]:
        """(gradient of the head's parameters, of the hidden states, and of inputs it reads)."""
        spec = self.spec
        if spec.head is None:
            return None, dY, None
        if tape.batch.lengths is not None and not tape.last:
            dY = self._arrays.without_padding(dY, tape.batch.lengths)
        dtheta, d_hidden = self.backend.head_backward(spec.head, weights.head, tape.hidden, dY)
        if spec.direct is None:
            return dtheta, d_hidden, None
        given = spec.direct, weights.direct, tape.direct, dY
        dweight, d_direct = self.backend.head_backward(*given)
        size = spec.direct.input_size * spec.direct.output_size
        return self._arrays.end_to_end([dtheta, dweight[:size]]), d_hidden, d_direct

    def _masked(self, array: AnyArray | None, factors: AnyArray | None) -> AnyArray | None:
        return array if array is None or factors is None else self._arrays.product(array, factors)

    def _state(self, states: list[Pair]) -> State:
        """The layers' states as one, the layers first."""
        h, c = zip(*states, strict=True)
        return State(self._arrays.stacked(h), self._arrays.stacked(c))


def with_tangent(value: Array, tangent: Array | None) -> Array:
    """A complex array: the value, and its derivative along a direction (None: zero)."""
    result = np.zeros(value.shape, np.result_type(value, np.complex64))
    result.real = value
    if tangent is not None:
        result.imag = tangent
    return result


def constant(value: Array | None) -> Array | None:
    """A complex array without a change; None stays None."""
    return None if value is None else with_tangent(value, None)


def network_on(spec: NetworkSpec, name: str) -> Network:
    """A network over the backend of this name."""
    backend = backends.get(name)
    if spec.precision not in (None, *backend.precisions):
        raise ValueError(
            f"precision={spec.precision!r} is for tensor cores: it needs backend='cuda', "
            f"received {name!r}" + (f", which is {backend.name!r} here" if name == "auto" else "")
        )
    return Network(spec, backend)
