"""Gradients at many points between a baseline and the inputs, in chunks of bounded memory."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from numlstm.inspection.attribution.point import Point
from numlstm.inspection.target import Explained
from numlstm.model.lstm import LSTM
from numlstm.network.network import Network, Weights
from numlstm.utils.types import Array

TAPE = 2**26  # bytes of the tapes of one chunk, about
_VALUES = 8  # that a tape has of a unit and step, at most


class Gradients(NamedTuple):
    """Weighted sums of gradients over the points of a path, float64, in the network's units."""

    X: Array  # (B, W, N)
    static: Array | None  # (B, S)


class Quadrature(NamedTuple):
    """Points of a path from 0, the baseline, to 1, the inputs, and their weights."""

    points: Array  # (K,)
    weights: Array  # (K,)


END = Quadrature(np.ones(1), np.ones(1))


def gauss_legendre(count: int) -> Quadrature:
    """The rule that is exact for polynomials up to the degree 2 count - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return Quadrature(0.5 * (1.0 + nodes), 0.5 * weights)


class Chunk(NamedTuple):
    """What a pass reads: rows of the batch, at some points of the path."""

    X: Array  # (n, W, N)
    lengths: Array | None
    reset: Array | None
    static: Array | None
    picked: Array | None  # (n,)
    weights: Array  # (n,)


def predictions(model: LSTM, what: Explained, point: Point) -> tuple[Array, Array]:
    """What is explained, of the inputs and of the baseline, (B,) each."""
    limits = model._derived().range
    both = []
    for X, static in (
        (point.inputs.X, point.inputs.static),
        (point.baseline, point.static_baseline),
    ):
        given = point.inputs._replace(X=X, static=static)
        limits.require_products(given)
        seen = limits.watch()
        Y = _outputs(model, given, point.picked, seen)
        limits.require_outputs(Y, seen)
        both.append(what.value(Y))
    return both[0], both[1]


def _outputs(model: LSTM, given: Any, picked: Array | None, seen: Any) -> Array:
    """The outputs (B, O) of the steps that are explained, in the network's units."""
    move = model.network.backend.arrays.asarray

    def moved(value: Any) -> Any:
        return None if value is None else move(value)

    Y, _, _ = model._pass_for(given.X)(
        *(model.network, model._derived().weights, move(given.X), None, moved(given.lengths)),
        last=picked is None,
        reset=moved(given.reset),
        seen=seen,
        static=moved(given.static),
    )
    values: Array = model.network.backend.arrays.to_numpy(Y)
    return values if picked is None else values[np.arange(len(values)), picked]


def gradients(model: LSTM, what: Explained, point: Point, rule: Quadrature) -> Gradients:
    """The sum over the points of a path of weight times gradient."""
    network, weights = model.network, model._derived().weights
    total = Gradients(
        np.zeros(point.baseline.shape),
        None if point.static_baseline is None else np.zeros(point.static_baseline.shape),
    )
    for rows, places in _parts(model, point, len(rule.points)):
        part = Quadrature(rule.points[places], rule.weights[places])
        chunk = _chunk(point, rows, part)
        extent = chunk.X.shape[0] * chunk.X.shape[1]
        dX, dstatic = network.runner.run(_passes, network, weights, what, chunk, extent=extent)
        count = len(part.points)
        steps = chunk.X.shape[1]
        by_point = dX.reshape(-1, count, *dX.shape[1:])
        total.X[rows, :steps] += by_point.sum(axis=1, dtype=np.float64)
        if total.static is not None:
            by_point = dstatic.reshape(-1, count, dstatic.shape[1])
            total.static[rows] += by_point.sum(axis=1, dtype=np.float64)
    return total


def _parts(model: LSTM, point: Point, count: int) -> Iterator[tuple[slice, slice]]:
    """Rows, and points of the path, of all chunks: whole rows as long as they are short."""
    rows, steps, features = point.baseline.shape
    width = sum(layer.input_size + _VALUES * layer.hidden_size for layer in model.spec.layers)
    row = max(1, steps * (features + width) * np.dtype(model.spec.dtype).itemsize)
    most = max(1, TAPE // row)
    if most >= count:
        each = most // count
        for start in range(0, rows, each):
            yield slice(start, min(rows, start + each)), slice(0, count)
        return
    parts = -(-count // most)
    cuts = [count * index // parts for index in range(parts + 1)]
    for start in range(rows):
        for first, last in pairwise(cuts):
            yield slice(start, start + 1), slice(first, last)


def _chunk(point: Point, rows: slice, rule: Quadrature) -> Chunk:
    """The inputs of a pass: every row at every point, one after the other."""
    given, count = point.inputs, len(rule.points)
    lengths = point.lengths[rows]
    steps = int(lengths.max(initial=0))

    def along(baseline: Array, values: Array) -> Array:
        share = rule.points.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
        moved: Array = baseline[:, None] + share * (values - baseline)[:, None]
        return moved.reshape(-1, *values.shape[1:])

    def repeated(values: Any) -> Any:
        return None if values is None else np.repeat(values[rows], count, axis=0)

    static = None
    if point.static_baseline is not None:
        assert given.static is not None
        static = along(point.static_baseline[rows], given.static[rows])
    return Chunk(
        along(point.baseline[rows, :steps], given.X[rows, :steps]),
        None if (lengths == steps).all() else np.repeat(lengths, count),
        None if given.reset is None else repeated(given.reset[:, :steps]),
        static,
        repeated(point.picked),
        np.tile(rule.weights, len(lengths)),
    )


def _passes(
    network: Network, weights: Weights, what: Explained, chunk: Chunk
) -> tuple[Array, Array | None]:
    """Forward and backward: weighted gradients by X, (n, W, N), and by attributes."""
    arrays = network.backend.arrays
    X, lengths, reset, static = (
        None if part is None else arrays.asarray(part) for part in chunk[:4]
    )
    last = chunk.picked is None
    Y, _, tape = network.forward(
        weights, X, None, lengths, tape=True, last=last, reset=reset, static=static
    )
    Y = arrays.to_numpy(Y)
    own = np.arange(len(Y))
    ends = Y if last else Y[own, chunk.picked]
    dends = (what.gradient(ends) * chunk.weights[:, None]).astype(Y.dtype)
    dY = dends
    if not last:
        dY = np.zeros_like(Y)
        dY[own, chunk.picked] = dends
    back = network.backward(weights, tape, arrays.asarray(dY), need_dX=True, need_dtheta=False)
    dstatic = getattr(back, "static", None)
    return arrays.to_numpy(back.X), None if dstatic is None else arrays.to_numpy(dstatic)
