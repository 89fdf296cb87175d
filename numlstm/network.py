"""Layers and head over any backend: the forward and backward pass of a whole network."""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from numlstm import backends
from numlstm.params import blocks
from numlstm.sequences import mask
from numlstm.spec import Gradients, NetworkSpec, State


class Weights(NamedTuple):
    """The parameters in the layout that the backend's kernels read."""

    layers: tuple
    head: Any


class Tape(NamedTuple):
    """What `backward` needs to know of `forward`."""

    layers: tuple  # the backend's tape per layer
    masks: tuple  # dropout mask (B, T, H) on each layer's output but the last, or None
    hidden: Any  # input of the head: (B, T, H), or (B, H) with last=True
    lengths: Any  # (B,) where the head's output has padding, else None
    last: bool


class Network:
    """A network's arithmetic: pure functions of packed weights, no parameters of its own."""

    def __init__(self, spec: NetworkSpec, backend: ModuleType):
        self.spec = spec
        self.backend = backend

    def __reduce__(self):
        """By the backend's name: a module cannot be pickled, but models are sent and copied."""
        return _network_on, (self.spec, self.backend.name)

    def pack(self, theta) -> Weights:
        """Rearrange the flat vector once per update; theta is read, never kept."""
        parts = list(blocks(self.spec, theta))
        pairs = zip(self.spec.layers, parts, strict=False)
        layers = tuple(self.backend.pack_layer(layer, part) for layer, part in pairs)
        head = self.spec.head
        return Weights(layers, self.backend.pack_head(head, parts[-1]) if head else None)

    def zero_state(self, batch: int) -> State:
        """The state before anything was seen: zeros, (num_layers, B, H)."""
        shape = (self.spec.num_layers, batch, self.spec.hidden_size)
        zeros = self.backend.asarray(np.zeros(shape, self.spec.dtype))
        return State(zeros, zeros)

    def forward(self, weights, X, state, lengths=None, *, tape=False, last=False, masks=None):
        """Run X (B, T, I) through the layers and the head.

        Returns (Y, final state, tape or None). Y is (B, T, O), zero in the padding, or with
        last=True (B, O): the head applied to each row's final hidden state. `masks` are
        multiplied to the output of each layer but the last (dropout), shape (B, T, H) each.
        """
        masks = masks or (None,) * (self.spec.num_layers - 1)
        hidden, finals, tapes = X, [], []
        for index, layer in enumerate(self.spec.layers):
            if index > 0 and masks[index - 1] is not None:
                hidden = hidden * masks[index - 1]
            initial = (state.h[index], state.c[index])
            hidden, final, layer_tape = self.backend.layer_forward(
                layer, weights.layers[index], hidden, initial, lengths, tape=tape
            )
            finals.append(final)
            tapes.append(layer_tape)
        final_state = State(*(_stacked(part) for part in zip(*finals, strict=True)))
        if last:
            hidden, lengths = finals[-1][0], None  # one step per row: no padding
        Y = hidden if self.spec.head is None else self._head_forward(weights, hidden, lengths)
        if not tape:
            return Y, final_state, None
        return Y, final_state, Tape(tuple(tapes), tuple(masks), hidden, lengths, last)

    def backward(self, weights, tape: Tape, dY, dstate=None, *, need_dX=False) -> Gradients:
        """Gradients of theta, of X where asked for, and of the initial state.

        dY has the shape of Y, anything may stand in its padding; dstate is a State or None, which
        means zero.
        """
        dthetas, d_initial = [], []
        if self.spec.head is not None:
            dtheta, dY = self._head_backward(weights, tape.hidden, dY, tape.lengths)
            dthetas.append(dtheta)
        dfinal: list[Any] = [None] * self.spec.num_layers
        if dstate is not None:
            dfinal = list(zip(dstate.h, dstate.c, strict=True))
        if tape.last:
            dh, dc = dfinal[-1] or (np.zeros_like(dY), np.zeros_like(dY))
            dfinal[-1], dY = (dh + dY, dc), None
        for index in reversed(range(self.spec.num_layers)):
            dtheta, dY, d_state = self.backend.layer_backward(
                self.spec.layers[index],
                weights.layers[index],
                tape.layers[index],
                dY,
                dfinal[index],
                need_dX=need_dX or index > 0,
            )
            if index > 0 and tape.masks[index - 1] is not None:
                dY = dY * tape.masks[index - 1]
            dthetas.append(dtheta)
            d_initial.append(d_state)
        # gathered from the head downwards; theta runs from the first layer to the head
        dthetas = dthetas[1:][::-1] + dthetas[:1] if self.spec.head else dthetas[::-1]
        dh, dc = (_stacked(part[::-1]) for part in zip(*d_initial, strict=True))
        dtheta = np.concatenate(dthetas) if len(dthetas) > 1 else dthetas[0]
        return Gradients(dtheta, dY, State(dh, dc))

    def _head_forward(self, weights, hidden, lengths=None):
        Y = self.backend.head_forward(self.spec.head, weights.head, hidden)
        return Y if lengths is None else _without_padding(Y, lengths)

    def _head_backward(self, weights, hidden, dY, lengths):
        dY = dY if lengths is None else _without_padding(dY, lengths)
        return self.backend.head_backward(self.spec.head, weights.head, hidden, dY)


def _without_padding(array, lengths):
    """Zeros in the padding of (B, T, ...), whatever stands there."""
    return np.where(mask(lengths, array.shape[1])[..., None], array, array.dtype.type(0))


def _stacked(parts):
    """One array with the layers first; of a single layer a view."""
    return np.stack(parts) if len(parts) > 1 else parts[0][None]


def _network_on(spec: NetworkSpec, backend: str) -> Network:
    return Network(spec, backends.get(backend))
