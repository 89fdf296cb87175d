"""Layers and head over any backend: the forward and backward pass of a whole network."""

from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from numlstm import backends
from numlstm.directions import flip, flip_reset, joined, parted
from numlstm.draws import Draws
from numlstm.noise import NetworkNoise, brought, draw_noise, mean_noise, no_noise
from numlstm.params import blocks, split
from numlstm.sequences import mask
from numlstm.spec import Dropout, Gradients, NetworkSpec, State


class Weights(NamedTuple):
    """The parameters in the layout that the backend's kernels read."""

    layers: tuple
    head: Any
    initial: tuple  # the learned (h, c) per layer, empty where states begin at zero


class Batch(NamedTuple):
    """What is the same for all layers of one pass."""

    lengths: Any  # (B,) or None
    reset: Any  # (B, T) or None
    noise: NetworkNoise


class Tape(NamedTuple):
    """What `backward` needs to know of `forward`."""

    layers: list  # the backend's tape per layer and direction
    batch: Batch
    hidden: Any  # input of the head: (B, T, W), or (B, W) with last=True
    last: bool
    learned: bool  # the initial state was the learned one


class Network:
    """A network's arithmetic: pure functions of packed weights, no parameters of its own."""

    def __init__(self, spec: NetworkSpec, backend: ModuleType):
        self.spec = spec
        self.backend = backend
        self._no_noise = no_noise(spec)
        ways, layers = spec.num_directions, range(len(spec.layers))
        # the places of every level's layers, forward and reverse, in all lists of layers
        self._levels = [layers[i : i + ways] for i in layers[::ways]]

    def __reduce__(self):
        """By the backend's name: a module cannot be pickled, but models are sent and copied."""
        return _network_on, (self.spec, self.backend.name)

    @cached_property
    def tangents(self) -> "Network":
        """The same network over complex arrays whose imaginary parts are derivatives."""
        return Network(self.spec, self.backend.tangents())

    def pack(self, theta, noise: NetworkNoise | None = None) -> Weights:
        """Rearrange the flat vector once per update; theta is read, never kept.

        Of `noise` its masks on weights are used (DropConnect).
        """
        parts = list(blocks(self.spec, theta))
        masks = noise.weights if noise else (None,) * len(self.spec.layers)
        layers, initial = [], []
        for layer, part, kept in zip(self.spec.layers, parts, masks, strict=False):
            if kept is not None:
                part = part.copy()
                split(layer.shapes, part)["weight_hh"][...] *= kept
            layers.append(self.backend.pack_layer(layer, part))
            if layer.learned_state:
                views = split(layer.shapes, part)
                initial.append((views["initial_h"].copy(), views["initial_c"].copy()))
        head = self.spec.head
        packed = self.backend.pack_head(head, parts[-1]) if head else None
        return Weights(tuple(layers), packed, tuple(initial))

    def zero_state(self, batch: int) -> State:
        """A state of zeros: h (layers, B, P) and c (layers, B, H), directions counted apart."""
        count, layer = len(self.spec.layers), self.spec.layers[0]
        h = c = self.backend.asarray(np.zeros((count, batch, layer.hidden_size), layer.dtype))
        if layer.proj_size:
            h = self.backend.asarray(np.zeros((count, batch, layer.proj_size), layer.dtype))
        return State(h, c)

    def initial_state(self, weights: Weights, batch: int) -> State:
        """The state before anything was seen: the learned one, the same for all rows, or zeros."""
        if not weights.initial:
            return self.zero_state(batch)
        parts = (np.stack(part)[:, None] for part in zip(*weights.initial, strict=True))
        return State(*(np.repeat(part, batch, axis=1) for part in parts))

    def draw_noise(self, source: Draws, update: int, batch: int, steps: int) -> NetworkNoise | None:
        """The masks of one update, in the backend's memory; None where no rate is above 0."""
        if self.spec.dropout == Dropout():
            return None
        return brought(self.backend, draw_noise(self.spec, source, update, batch, steps))

    def forward(
        self,
        weights,
        X,
        state=None,
        lengths=None,
        *,
        tape=False,
        last=False,
        reset=None,
        noise: NetworkNoise | None = None,
    ):
        """Run X (B, T, I) through the layers and the head.

        Returns (Y, final state, tape or None). Y is (B, T, O), zero in the padding, or with
        last=True (B, O): the head applied to each row's final hidden state. No `state`: the
        initial one. `reset` (B, T) is True where a row begins anew from the initial state;
        `noise` is what `numlstm.noise` drew, by default its mean.
        """
        learned = state is None and self.spec.learned_state
        state = self.initial_state(weights, len(X)) if state is None else state
        batch = Batch(lengths, reset, noise or self._mean_noise(len(X)))
        hidden, finals, tapes = X, [], []
        for level, below in zip(self._levels, batch.noise.between, strict=True):
            outputs, inputs = [], _masked(hidden, below)
            for index in level:
                initial = (state.h[index], state.c[index])
                Y, final, kept = self._layer_forward(index, weights, inputs, initial, batch, tape)
                outputs.append(Y)
                finals.append(final)
                tapes.append(kept)
            output = joined(outputs)
            hidden = hidden + output if self.spec.residual and level[0] else output
        if last:
            hidden = self._last_hidden(finals)
        Y = self._head_forward(weights, hidden, None if last else lengths)
        final_state = _stacked(finals)
        return Y, final_state, Tape(tapes, batch, hidden, last, learned) if tape else None

    def backward(self, weights, tape: Tape, dY, dstate=None, *, need_dX=False) -> Gradients:
        """Gradients of theta, of X where asked for, and of the initial state.

        dY has the shape of Y, anything may stand in its padding; dstate is a State or None, which
        means zero. The gradient of a learned initial state is in both.
        """
        dtheta_head, d_hidden = self._head_backward(weights, tape, dY)
        count = len(self.spec.layers)
        dfinal: list[Any] = [None] * count if dstate is None else list(zip(*dstate, strict=True))
        if tape.last:
            self._last_hidden_backward(dfinal, d_hidden)
            d_hidden = None
        dthetas: list[Any] = [None] * count
        d_initial: list[Any] = [None] * count
        for level, below in zip(self._levels[::-1], tape.batch.noise.between[::-1], strict=True):
            need, dXs = need_dX or level[0] > 0, []
            for index, d_output in zip(level, parted(d_hidden, level), strict=True):
                dthetas[index], dX, d_initial[index] = self._layer_backward(
                    index, weights, tape, d_output, dfinal[index], need_dX=need
                )
                dXs.append(dX)
            dX = _masked(_summed(dXs), below)
            through = self.spec.residual and level[0] and d_hidden is not None
            d_hidden = dX + d_hidden if through else dX
        dthetas += [dtheta_head] if self.spec.head else []
        dtheta = np.concatenate(dthetas) if len(dthetas) > 1 else dthetas[0]
        return Gradients(dtheta, d_hidden, _stacked(d_initial))

    def _mean_noise(self, batch: int) -> NetworkNoise:
        """What predictions use; the same object, ready made, where no rate has a mean but 1."""
        rates = self.spec.dropout
        if not (rates.zoneout_h or rates.zoneout_c):
            return self._no_noise
        return brought(self.backend, mean_noise(self.spec, batch))

    def _layer_forward(self, index, weights, X, state, batch: Batch, tape):
        """One layer in one direction; X and Y run forward in time in either."""
        reverse = index % self.spec.num_directions
        reset = batch.reset
        if reverse:
            X = flip(X, batch.lengths)
            reset = None if reset is None else flip_reset(reset, batch.lengths)
        Y, final, kept = self.backend.layer_forward(
            *(self.spec.layers[index], weights.layers[index], X, state, batch.lengths),
            tape=tape,
            reset=reset,
            noise=batch.noise.layers[index],
        )
        return (flip(Y, batch.lengths) if reverse else Y), final, kept

    def _layer_backward(self, index, weights, tape: Tape, dY, dfinal, *, need_dX):
        layer, reverse = self.spec.layers[index], index % self.spec.num_directions
        lengths, masks = tape.batch.lengths, tape.batch.noise.weights
        if reverse and dY is not None:
            dY = flip(dY, lengths)
        dtheta, dX, d_initial = self.backend.layer_backward(
            layer, weights.layers[index], tape.layers[index], dY, dfinal, need_dX=need_dX
        )
        if masks[index] is not None:
            split(layer.shapes, dtheta)["weight_hh"][...] *= masks[index]
        if tape.learned:
            views = split(layer.shapes, dtheta)
            for name, part in zip(("initial_h", "initial_c"), d_initial, strict=True):
                views[name][...] += part.sum(axis=0)
        return dtheta, (flip(dX, lengths) if reverse and need_dX else dX), d_initial

    def _last_hidden(self, finals):
        """What a sequence ends with, (B, W): of residual layers the sum, as at every step."""
        levels = [joined([finals[index][0] for index in level]) for level in self._ends()]
        return levels[0] if len(levels) == 1 else np.sum(levels, axis=0)

    def _last_hidden_backward(self, dfinal, d_hidden) -> None:
        """Add the gradient of what a sequence ends with to those of the final states."""
        for level in self._ends():
            for index, d_last in zip(level, parted(d_hidden, level), strict=True):
                zeros = np.zeros((len(d_last), self.spec.hidden_size), d_last.dtype)
                dh, dc = dfinal[index] or (0, zeros)
                dfinal[index] = dh + d_last, dc

    def _ends(self) -> list[range]:
        """The levels whose final hidden states make up what a sequence ends with."""
        return self._levels if self.spec.residual else self._levels[-1:]

    def _head_forward(self, weights, hidden, lengths):
        if self.spec.head is None:
            return hidden
        Y = self.backend.head_forward(self.spec.head, weights.head, hidden)
        return Y if lengths is None else _without_padding(Y, lengths)

    def _head_backward(self, weights, tape: Tape, dY):
        """(gradient of the head's parameters, gradient of what went into it)."""
        if self.spec.head is None:
            return None, dY
        if tape.batch.lengths is not None and not tape.last:
            dY = _without_padding(dY, tape.batch.lengths)
        return self.backend.head_backward(self.spec.head, weights.head, tape.hidden, dY)


def with_tangent(value, tangent):
    """A complex array: the value, and its derivative along a direction (None: zero)."""
    result = np.zeros(value.shape, np.result_type(value, np.complex64))
    result.real = value
    if tangent is not None:
        result.imag = tangent
    return result


def _masked(array, factors):
    return array if array is None or factors is None else array * factors


def _summed(arrays):
    return arrays[0] if len(arrays) == 1 or arrays[0] is None else arrays[0] + arrays[1]


def _without_padding(array, lengths):
    """Zeros in the padding of (B, T, ...), whatever stands there."""
    return np.where(mask(lengths, array.shape[1])[..., None], array, array.dtype.type(0))


def _stacked(states) -> State:
    """The layers' states as one, the layers first; of a single layer views."""
    if len(states) == 1:
        h, c = states[0]
        return State(h[None], c[None])
    return State(*(np.stack(part) for part in zip(*states, strict=True)))


def _network_on(spec: NetworkSpec, backend: str) -> Network:
    return Network(spec, backends.get(backend))
