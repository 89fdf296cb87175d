"""A network with attributes of sequences as one without, whose further inputs they are."""

from dataclasses import replace

import numpy as np

from helpers.strategies import Numbers
from numlstm.architecture.parameters import split
from numlstm.architecture.spec import NetworkSpec
from numlstm.network.network import Network


def drawn(spec: NetworkSpec, B: int, seed: int) -> np.ndarray:
    """Attributes (B, S)."""
    rng = np.random.default_rng([seed, 27])
    return rng.standard_normal((B, spec.static_size)).astype(spec.dtype)


def run_static(backend, spec: NetworkSpec, numbers: Numbers, static, *, last=False):
    """Forward and backward of a network with attributes: every result by name."""
    theta, X, state, lengths, dY, dstate, reset, noise = numbers
    network = Network(spec, backend)
    weights = network.pack(theta, noise)
    options = {"last": last, "reset": reset, "noise": noise, "static": static}
    Y, final, tape = network.forward(weights, X, state, lengths, tape=True, **options)
    dtheta, dX, (dh, dc), dstatic = network.backward(weights, tape, dY, dstate, need_dX=True)
    results = {"Y": Y, "h": final.h, "c": final.c, "dX": dX, "dh": dh, "dc": dc}
    return results | {"dtheta": dtheta, "dstatic": dstatic}


def run_tiled(backend, spec: NetworkSpec, numbers: Numbers, static, *, last=False):
    """The same results of the network whose further inputs are the attributes, at every step."""
    _, X, state, lengths, dY, dstate, reset, noise = numbers
    wide = replace(spec, static_size=None, input_size=spec.input_size + spec.static_size)
    every = np.repeat(static[:, None], X.shape[1], axis=1)
    noise = noise and _without_masks(spec, noise, static)
    network = Network(wide, backend)
    weights = network.pack(tiled_theta(spec, wide, numbers.theta), noise)
    X = np.concatenate([X, every], axis=2)
    options = {"last": last, "reset": reset, "noise": noise}
    Y, final, tape = network.forward(weights, X, state, lengths, tape=True, **options)
    dtheta, dX, (dh, dc) = network.backward(weights, tape, dY, dstate, need_dX=True)
    size = spec.input_size
    results = {"Y": Y, "h": final.h, "c": final.c, "dX": dX[..., :size], "dh": dh, "dc": dc}
    untiled = untiled_theta(spec, wide, dtheta)
    return results | {"dtheta": untiled, "dstatic": dX[..., size:].sum(axis=1)}


def _without_masks(spec: NetworkSpec, noise, static):
    """Dropout of inputs does not touch the attributes."""

    def wider(layer):
        if layer is None or layer.x is None:
            return layer
        return layer._replace(x=np.concatenate([layer.x, np.ones_like(static)], axis=1))

    ways = spec.num_directions
    return noise._replace(layers=(*map(wider, noise.layers[:ways]), *noise.layers[ways:]))


def tiled_theta(spec: NetworkSpec, wide: NetworkSpec, theta) -> np.ndarray:
    """The parameters of the network with further inputs."""
    own, result = split(spec.shapes, theta), np.zeros(wide.num_parameters, theta.dtype)
    for name, view in split(wide.shapes, result).items():
        parts = [own[name]]
        if name.startswith("weight_ih_l0"):
            parts.append(own[name.replace("ih", "is")])
        elif name == "head_direct":  # which does not read attributes
            parts.append(np.zeros((len(own[name]), spec.static_size), theta.dtype))
        view[...] = np.concatenate(parts, axis=-1)
    return result


def untiled_theta(spec: NetworkSpec, wide: NetworkSpec, theta) -> np.ndarray:
    """The way back from `tiled_theta`."""
    tiled, result = split(wide.shapes, theta), np.zeros(spec.num_parameters, theta.dtype)
    for name, view in split(spec.shapes, result).items():
        if name.startswith("weight_is_l0"):
            view[...] = tiled[name.replace("is", "ih")][:, spec.input_size :]
        else:
            view[...] = tiled[name][..., : view.shape[-1]]
    return result
