"""A layer on the device: whatever stands between the contract's arrays and the kernels."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.spec import LayerSpec, Noise
from numlstm.backends.cuda.device.memory import (
    driver,
    empty,
    flat,
    full,
    launched,
    nothing,
    on_device,
    over_elements,
    zeros,
)
from numlstm.backends.cuda.device.target import SIMULATED
from numlstm.backends.cuda.gemm import blas, products
from numlstm.backends.cuda.gemm.products import gather, scatter, sum_parts
from numlstm.backends.cuda.layer.cells import Gradient, Masks, Pass, State, Tape, Weights
from numlstm.backends.cuda.layer.layout import layout_of
from numlstm.backends.cuda.layer.pack_inputs import mask_inputs, put_first, put_inputs
from numlstm.backends.cuda.layer.reading import read_cell, read_gate
from numlstm.backends.cuda.layer.recurrence import compiled
from numlstm.backends.cuda.layer.regimes import Regime, device, factors_of, regime_of
from numlstm.backends.cuda.layer.row_terms import add_row_terms, sum_over_steps
from numlstm.backends.cuda.layer.tiles import threads_of, whole_rows
from numlstm.cell.encoding import encode
from numlstm.cell.equations import OF_GATES_AND_CELL

LONG = 4096  # k of a product beyond which it is cut into parts
MAX_PARTS = 64


class Packed(NamedTuple):
    """A layer's parameters on the device, and where they came from."""

    weights: Weights
    source: Any  # (n,) the map of `layout.py`
    size: int  # of theta


class Wanted(NamedTuple):
    """The gradients that a backward pass gives."""

    dtheta: bool
    dX: bool
    dterms: bool


# --- products -------------------------------------------------------------------------------------


def multiply(A, B, C, start=None, precision: str | None = None) -> None:
    """C = A B + start. A (M, K), B (K, N), C (M, N), start (N,) or None.

    By our own kernel: a row of C does not depend on the others.
    """
    (rows, depth), columns = A.shape, B.shape[1]
    if rows * columns == 0:
        return
    dtype, factors = C.dtype, factors_of(precision, device())
    tile = products.tile_of(rows, columns, dtype.name, factors, device().processors)
    parts = max(1, min(MAX_PARTS, -(-depth // LONG)))
    sums = C.reshape(1, rows, columns) if parts == 1 else empty((parts, rows, columns), dtype)
    start = nothing(dtype.name, 1) if start is None else start
    grid = -(-rows // products.rows_of(tile)), -(-columns // products.columns_of(tile)), parts
    kernel = products.product_kernel(tile, dtype.name)
    size = products.shared_memory(tile, dtype)
    launched(kernel, grid, products.threads_of(tile), size)(A, B, sums, start)
    if parts > 1:
        added = rows * columns
        over_elements(sum_parts, added, sums.reshape(parts, added), C.reshape(added))


def multiply_at_large(A, B, C, precision: str | None) -> None:
    """C = A B, by cuBLAS where it is installed: for gradients, not for what a network says."""
    if blas.available():
        blas.multiply(A, B, C, precision)
    else:
        multiply(A, B, C, precision=precision)


# --- a layer --------------------------------------------------------------------------------------


def pack(spec: LayerSpec, theta) -> Packed:
    """The parameters in the kernels' layout."""
    layout, source = layout_of(spec), _source(spec)
    packed = empty(source.size, spec.dtype)
    over_elements(gather, packed.size, theta, source, packed)
    parts, first = [], 0
    for shape in (layout.gates, layout.unit, layout.out):
        last = first + int(np.prod(shape))
        parts.append(packed[first:last].reshape(shape))
        first = last
    return Packed(Weights(*parts), source, theta.size)


@lru_cache(maxsize=64)
def _source(spec: LayerSpec):
    """The map of `layout.py`, brought to the device once."""
    return on_device(layout_of(spec).source)


def unpack(spec: LayerSpec, packed: Packed, parts):
    """dtheta from the gradients of gates, unit and out; None where there are none."""
    layout = layout_of(spec)
    # the weights of attributes have no place in `source`: theirs is the network's business
    new = zeros if spec.static_size else empty
    dtheta, first = new(packed.size, spec.dtype), 0
    for shape, part in zip((layout.gates, layout.unit, layout.out), parts, strict=True):
        if part is not None:
            over_elements(scatter, part.size, flat(part), packed.source, first, dtheta)
        first += int(np.prod(shape))
    return dtheta


def masks_of(spec: LayerSpec, batch: int, steps: int, lengths, reset, noise) -> Masks:
    """Lengths, resets and noise, with nothing in the place of what is not there."""
    noise = Noise() if noise is None else noise
    absent = (nothing(spec.dtype, dimensions) for dimensions in (2, 2, 3, 3, 3))
    pairs = zip(noise, absent, strict=True)
    return Masks(
        full((batch,), steps, np.int64) if lengths is None else lengths,
        nothing("uint8", 2) if reset is None else reset,
        *(empty if factors is None else factors for factors, empty in pairs),
    )


def new_tape(spec: LayerSpec, batch: int, steps: int) -> Tape:
    """Memory of a tape."""
    H, P, variant = spec.hidden_size, spec.output_size, encode(spec)

    def array(wanted, *shape):
        if not wanted:
            return nothing(spec.dtype, 2 + len(shape))
        return empty((batch, steps, *shape), spec.dtype)

    return Tape(
        array(True, P + spec.input_size + 1),
        array(True, 4, H),
        array(True, H),
        array(True, 1, H),
        array(True, H),
        array(variant.layer_norm, 4, H),
        array(variant.layer_norm == OF_GATES_AND_CELL, 1, H),
        array(variant.layer_norm, 5),
        array(variant.projected, H),
    )


def new_gradient(spec: LayerSpec, batch: int, steps: int) -> Gradient:
    """Memory of a backward pass, zero where something is added to it or may stay as it is."""
    H, P, variant = spec.hidden_size, spec.output_size, encode(spec)

    def array(wanted, *shape):
        return zeros(shape, spec.dtype) if wanted else nothing(spec.dtype, len(shape))

    unit = layout_of(spec).unit
    return Gradient(
        array(True, batch, steps, 4, H),
        array(layout_of(spec).has_units, batch, *unit),
        array(whole_rows(variant), batch, steps, P),
        array(whole_rows(variant), batch, steps, H),
        array(whole_rows(variant), batch, steps, 1, H),
    )


def forward(spec: LayerSpec, packed: Packed, X, state: State, masks: Masks, row_terms):
    """(Y, tape); the state is changed to the final one. row_terms (B, G H) or None."""
    batch, steps, inputs = X.shape
    weights, H, P = packed.weights, spec.hidden_size, spec.output_size
    tape, Y = new_tape(spec, batch, steps), empty((batch, steps, P), spec.dtype)
    if batch == 0 or steps == 0:
        return Y, tape
    over_elements(put_inputs, batch * steps * (inputs + 1), X, masks, tape.xh)
    over_elements(put_first, batch * P, weights, masks, tape, state)
    lines = tape.xh.reshape(batch * steps, P + inputs + 1)
    W = weights.gates.reshape(P + inputs + 1, 4 * H)
    gates = tape.gates.reshape(batch * steps, 4 * H)
    if spec.precision is None:
        multiply(lines[:, P:], W[P:], gates)
    else:  # the bias is no factor: it is not rounded
        multiply(lines[:, P:-1], W[P:-1], gates, W[-1], spec.precision)
    if row_terms is not None:
        over_elements(add_row_terms, row_terms.size, row_terms, tape.gates)
    run(spec, Pass(weights, masks, tape, state), batch, 0, steps, (Y,))
    return Y, tape


def backward(
    spec: LayerSpec, packed: Packed, tape, masks, dY, dstate: State, wanted: Wanted
) -> tuple[Any, Any, Any]:
    """(dtheta, dX, drow_terms), None for one not wanted; dstate becomes the initial state's."""
    batch, steps, _ = tape.xh.shape
    dterms = None
    if wanted.dterms:
        dterms = zeros((batch, len(spec.cell.gates) * spec.hidden_size), spec.dtype)
    if batch == 0 or steps == 0:
        dX = empty((batch, steps, spec.input_size), spec.dtype)
        dtheta = zeros(packed.size, spec.dtype) if wanted.dtheta else None
        return dtheta, dX if wanted.dX else None, dterms
    gradient = new_gradient(spec, batch, steps)
    given = Pass(packed.weights, masks, tape, dstate)
    run(spec, given, batch, steps - 1, -2, (dY, gradient))
    dtheta = None
    if wanted.dtheta:
        dtheta = unpack(spec, packed, parameter_gradients(spec, packed.weights, tape, gradient))
    if dterms is not None:
        over_elements(sum_over_steps, dterms.size, gradient.dz, dterms)
    dX = input_gradient(spec, packed.weights, masks, gradient) if wanted.dX else None
    return dtheta, dX, dterms


def trace(spec: LayerSpec, tape: Tape, masks: Masks, quantity: str, steps, units):
    """(B, S, U) of a gate or of the cell; steps (B, S) and units (U,), or None for all."""
    batch, length = tape.xh.shape[:2]
    steps = np.tile(np.arange(length), (batch, 1)) if steps is None else steps
    units = np.arange(spec.hidden_size) if units is None else units
    result = empty((*steps.shape, len(units)), spec.dtype)
    given = on_device(steps, np.int64), on_device(units, np.int64), result
    if quantity == "c":
        over_elements(read_cell, result.size, tape, masks, *given)
    else:
        over_elements(read_gate, result.size, tape, masks, "ifgo".index(quantity), *given)
    return result


def parameter_gradients(spec: LayerSpec, weights: Weights, tape: Tape, gradient: Gradient):
    """Gradients of gates, unit and out, None where the layer has none."""
    batch, steps, width = tape.xh.shape
    N, H, P = batch * steps, spec.hidden_size, spec.output_size
    dgates, dunit, dout = empty((width, 4 * H), spec.dtype), None, None
    xh, dz = tape.xh.reshape(N, width), gradient.dz.reshape(N, 4 * H)
    multiply_at_large(driver.transposed(xh), dz, dgates, spec.precision)
    if gradient.unit.size > 0:
        dunit = empty(weights.unit.size, spec.dtype)
        over_elements(sum_parts, dunit.size, gradient.unit.reshape(batch, dunit.size), dunit)
    if spec.proj_size is not None:
        dout = empty((P, H), spec.dtype)
        dh, m = gradient.dh.reshape(N, P), tape.m.reshape(N, H)
        multiply_at_large(driver.transposed(dh), m, dout, spec.precision)
    return dgates, dunit, dout


def input_gradient(spec: LayerSpec, weights: Weights, masks: Masks, gradient: Gradient):
    """dX = dz W_ih under the mask of the inputs."""
    batch, steps, _, H = gradient.dz.shape
    N, P, inputs = batch * steps, spec.output_size, spec.input_size
    dX = empty((batch, steps, inputs), spec.dtype)
    W_x = weights.gates.reshape(P + inputs + 1, 4 * H)[P : P + inputs]
    dz, W_x = gradient.dz.reshape(N, 4 * H), driver.transposed(W_x)
    multiply_at_large(dz, W_x, dX.reshape(N, inputs), spec.precision)
    if masks.x.size > 0:
        over_elements(mask_inputs, dX.size, dX, masks.x)
    return dX


def run(spec: LayerSpec, given: Pass, batch: int, first: int, last: int, results) -> None:
    """The recurrence from step `first` to the one before `last`, in either direction."""
    variant = encode(spec)
    factors = factors_of(spec.precision, device())
    regime = regime_of(variant, spec.hidden_size, batch, spec.dtype, device(), factors)
    kernels = compiled(variant, regime.tile, spec.dtype)
    kernel, way = (kernels.forward, 1) if last > first else (kernels.backward, -1)
    groups = -(-batch // regime.rows)
    signal = zeros(groups, np.int32)
    grid, threads = (groups, regime.columns), threads_of(regime.tile)
    launch = launched(kernel, grid, threads, regime.shared_memory)
    cuts = range(first, last, way) if single_steps(regime) else (first,)
    for t in cuts:
        launch(t, t + way if single_steps(regime) else last, given, *results, signal)


def single_steps(regime: Regime) -> bool:
    """Whether every step is a launch: the simulator runs one block after the other."""
    return regime.step_by_step or (SIMULATED and regime.tile.shared_units)
