"""Vectors of a fixed width as Numba values, and the register tile that all products are made of.

A `Vector` is an LLVM vector: arithmetic on it is one instruction on a machine with registers of
that width, and lane by lane the same arithmetic as on scalars. Its width is the widest that the
host's instruction set offers. Results do not depend on it: every lane is one output element, whose
products are added one after the other.
"""

import operator
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    intrinsic,
    lower_builtin,
    models,
    overload,
    register_model,
)

from numlstm.cell import elementary


def _vector_bytes() -> int:
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


VECTOR_BYTES = _vector_bytes()
TILE_ROWS = 12 if VECTOR_BYTES == 64 else 6  # rows of accumulators that fit in the registers
PANEL_VECTORS = 2  # a panel of packed weights is this many vectors wide
CACHE_LINE = 64  # bytes


# --- primitives -----------------------------------------------------------------------------------

LIFTS: dict[str, Callable] = {}  # name -> the primitive over dual numbers: `dual_numbers.py`


def primitive(function: Callable):
    """An intrinsic; where a type has a tangent, what LIFTS makes of it."""

    @wraps(function)
    def by_type(typingctx, *args):
        if any(has_tangent(kind) for kind in args):
            return LIFTS[function.__name__](function, typingctx, *args)
        return function(typingctx, *args)

    return intrinsic(by_type)


def has_tangent(kind: types.Type) -> bool:
    """Whether a type, or one that a named tuple is made of, has a tangent."""
    parts = (kind, *getattr(kind, "types", ()))
    return "tangent" in getattr(kind, "fields", ()) or any(
        getattr(part, "has_tangent", False) for part in parts
    )


# --- the type -------------------------------------------------------------------------------------


class Vector(types.Type):
    """Numbers of one floating-point type, as many as fill `registers` registers."""

    def __init__(self, scalar: types.Float, registers: int = 1):
        self.scalar = scalar
        self.lanes = registers * VECTOR_BYTES * 8 // scalar.bitwidth
        super().__init__(name=f"Vector({scalar}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.FloatType() if fe_type.scalar.bitwidth == 32 else ir.DoubleType()
        super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.lanes))


class Mask(types.Type):
    """Result of comparing two vectors: one bit per lane."""

    def __init__(self, vector: Vector):
        self.lanes = vector.lanes
        super().__init__(name=f"Mask({vector.lanes})")


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), fe_type.lanes))


def splat(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    """A vector with the value in every lane."""
    vector = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, cgutils.int32_t(0))
    zeros = ir.Constant(ir.VectorType(cgutils.int32_t, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def fused(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a * b + c rounded once, for scalars and vectors."""
    kind = a.type
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    suffix = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    bits = 32 if isinstance(element, ir.FloatType) else 64
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.{suffix}f{bits}"
    )
    return builder.call(function, [a, b, c])


# --- arithmetic -----------------------------------------------------------------------------------


def _register_arithmetic(op: Callable, instruction: str) -> None:
    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(args[0], *args)

    @lower_builtin(op, Vector, Vector)
    def _lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args)


def _register_comparison(op: Callable, symbol: str) -> None:
    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if isinstance(args[0], Vector) and args[0] == args[1]:
                return signature(Mask(args[0]), *args)

    @lower_builtin(op, Vector, Vector)
    def _lower(context, builder, sig, args):
        return builder.fcmp_ordered(symbol, *args)


for _op, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _register_arithmetic(_op, _instruction)
COMPARISONS = {operator.lt: "<", operator.gt: ">", operator.le: "<=", operator.ge: ">="}
for _op, _symbol in COMPARISONS.items():
    _register_comparison(_op, _symbol)


@infer_global(operator.neg)
class _NegTyping(AbstractTemplate):
    def generic(self, args, kws):
        if isinstance(args[0], Vector):
            return signature(args[0], *args)


@lower_builtin(operator.neg, Vector)
def _lower_neg(context, builder, sig, args):
    return builder.fneg(*args)


# --- the primitives of numlstm.cell.elementary, for vectors and scalars ---------------------------


def scalar_of(value: types.Type) -> types.Float:
    """The type of a number, or of a lane of a vector."""
    return value.scalar if isinstance(value, Vector) else value


@primitive
def _fma(typingctx, a, b, c):
    def codegen(context, builder, sig, args):
        return fused(builder, *args)

    return a(a, a, a), codegen


@primitive
def _like(typingctx, x, value):
    def codegen(context, builder, sig, args):
        number = context.cast(builder, args[1], sig.args[1], scalar_of(x))
        return splat(builder, number, x.lanes) if isinstance(x, Vector) else number

    return x(x, types.float64), codegen


@primitive
def _where(typingctx, condition, a, b):
    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return a(condition, a, a), codegen


@intrinsic
def _power_of_two(typingctx, shifted):
    bits = scalar_of(shifted).bitwidth
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)

    def codegen(context, builder, sig, args):
        [value] = args
        integer = ir.IntType(bits)
        constant = lambda number: ir.Constant(integer, number)  # noqa: E731
        if isinstance(shifted, Vector):
            integer = ir.VectorType(integer, shifted.lanes)
            constant = lambda number: ir.Constant(integer, [number] * shifted.lanes)  # noqa: E731
        moved = builder.shl(builder.bitcast(value, integer), constant(mantissa))
        return builder.bitcast(builder.add(moved, constant(bias << mantissa)), value.type)

    return shifted(shifted), codegen


@intrinsic
def noinline(typingctx):
    """Keep the calling function out of line and small (noinline, optsize).

    For functions that are not hot: LLVM would spend seconds on unrolling their loops, once for
    every caller.
    """

    def codegen(context, builder, sig, args):
        for attribute in ("noinline", "optsize"):
            builder.function.attributes.add(attribute)
        return context.get_dummy_value()

    return types.void(), codegen


@overload(elementary.noinline)
def _overload_noinline():
    return lambda: noinline()


@overload(elementary.fma)
def _overload_fma(a, b, c):
    return lambda a, b, c: _fma(a, b, c)


@overload(elementary.like)
def _overload_like(x, value):
    return lambda x, value: _like(x, value)


@overload(elementary.where)
def _overload_where(condition, a, b):
    return lambda condition, a, b: _where(condition, a, b)


@overload(elementary.power_of_two)
def _overload_power_of_two(shifted):
    return lambda shifted: _power_of_two(shifted)


def _overload_by_type(function: Callable, value32, value64) -> None:
    @overload(function)
    def _overload(x):
        number = scalar_of(getattr(x, "part", x))  # that of a dual number is its value's
        value = value32 if number.bitwidth == 32 else value64
        return lambda x: value


_overload_by_type(elementary.shift, 1.5 * 2.0**23, 1.5 * 2.0**52)
_overload_by_type(elementary.smallest_normal, 2.0**-126, 2.0**-1022)
_overload_by_type(elementary.exponent_limit, 87.0, 708.0)
_overload_by_type(elementary.reduction, 2.0**-73, 2.0**-521)


@overload(elementary.expm1_series)
def _overload_series(r):
    if scalar_of(r).bitwidth == 32:
        return lambda r: elementary.series32(r)
    return lambda r: elementary.series64(r)


# --- memory ---------------------------------------------------------------------------------------
# Kernels reach memory by typed pointers: no bounds check, no wrap-around, and one type whatever the
# number of dimensions of the array, so that a function over pointers is compiled once.


@primitive
def at(typingctx, array, index):
    """Pointer to the element at a flat index of a C-contiguous array."""

    def codegen(context, builder, sig, args):
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.gep(data, [args[1]])

    return types.CPointer(array.dtype)(array, types.intp), codegen


@primitive
def move(typingctx, pointer, count):
    """The pointer `count` elements further."""

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.intp), codegen


def _load(builder, pointer, vector: ir.VectorType, alignment: int):
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = alignment
    return value


def _store(builder, value, pointer, alignment: int):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = alignment


@primitive
def load(typingctx, pointer, index):
    """The vector that begins `index` elements after the pointer."""
    vector = Vector(pointer.dtype)

    def codegen(context, builder, sig, args):
        place = builder.gep(args[0], [args[1]])
        return _load(builder, place, context.get_value_type(vector), vector.scalar.bitwidth // 8)

    return vector(pointer, types.intp), codegen


@primitive
def store(typingctx, pointer, index, value):
    """Write a vector from `index` elements after the pointer on."""

    def codegen(context, builder, sig, args):
        place = builder.gep(args[0], [args[1]])
        _store(builder, args[2], place, pointer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(pointer, types.intp, value), codegen


@primitive
def load_pair(typingctx, pointer, first, second):
    """The vectors that begin `first` and `second` elements after the pointer, as one value."""
    vector, pair = Vector(pointer.dtype), Vector(pointer.dtype, 2)

    def codegen(context, builder, sig, args):
        kind, alignment = context.get_value_type(vector), vector.scalar.bitwidth // 8
        places = [builder.gep(args[0], [index]) for index in args[1:]]
        halves = [_load(builder, place, kind, alignment) for place in places]
        return builder.shuffle_vector(*halves, _lanes(range(pair.lanes)))

    return pair(pointer, types.intp, types.intp), codegen


@primitive
def store_pair(typingctx, pointer, first, second, pair):
    """Write the halves of a pair from `first` and from `second` elements after the pointer on."""

    def codegen(context, builder, sig, args):
        value, half = args[3], pair.lanes // 2
        for index, start in ((args[1], 0), (args[2], half)):
            part = builder.shuffle_vector(value, value, _lanes(range(start, start + half)))
            _store(builder, part, builder.gep(args[0], [index]), pointer.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(pointer, types.intp, types.intp, pair), codegen


def _lanes(numbers) -> ir.Constant:
    return ir.Constant(ir.VectorType(cgutils.int32_t, len(numbers)), list(numbers))


@primitive
def get(typingctx, pointer, index):
    """The element `index` elements after the pointer."""

    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return pointer.dtype(pointer, types.intp), codegen


@primitive
def put(typingctx, pointer, index, value):
    """Write the element `index` elements after the pointer."""

    def codegen(context, builder, sig, args):
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, pointer.dtype), codegen


@primitive
def prefetch(typingctx, pointer, index):
    """Ask for the cache line of an element that will be read soon; any address will do."""

    def codegen(context, builder, sig, args):
        _prefetch(builder, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(pointer, types.intp), codegen


def _prefetch(builder: ir.IRBuilder, pointer) -> None:
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    function = builder.module.declare_intrinsic(
        "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    )
    # to be read, and to stay in the second-level cache
    builder.call(function, [builder.bitcast(pointer, byte), number(0), number(2), number(1)])


def _constant_of_type(count: Callable):
    """A function of an array or a pointer that is a constant once its type is known."""

    @intrinsic
    def constant(typingctx, memory):
        def codegen(context, builder, sig, args):
            return context.get_constant(types.intp, count(Vector(number)))

        number = memory.types[0].dtype if isinstance(memory, types.BaseTuple) else memory.dtype
        return types.intp(memory), codegen

    return constant


lanes_of = _constant_of_type(lambda vector: vector.lanes)
panel_width = _constant_of_type(lambda vector: PANEL_VECTORS * vector.lanes)
itemsize_of = _constant_of_type(lambda vector: vector.scalar.bitwidth // 8)


def new(array, shape):
    """An array for numbers like those of another one, uninitialised."""
    return np.empty(shape, array.dtype)


@overload(new)
def _overload_new(array, shape):
    return LIFTS["new"] if has_tangent(array) else new


# --- the register tile ----------------------------------------------------------------------------


class Block(NamedTuple):
    """A matrix in memory: element (i, j) stands i * row + j * column elements after `start`."""

    start: Any  # pointer
    row: int
    column: int


# (rows, panels) whose accumulators fit in the registers, enough of them to hide the fma's latency
TILE_SHAPES = (
    *((rows, 1) for rows in range(1, TILE_ROWS + 1)),
    *((1, 2), (1, 4), (1, 6), (2, 2), (3, 2)),
)


@primitive
def multiply(typingctx, out, begin, a, w, rows, panels, k, add, ahead):
    """out[i, j] = sum over k of a[i, k] * w[j, k], added to begin[i, j] with `add`.

    out, begin, a and w are Blocks: i counts rows, j panels of PANEL_VECTORS vectors, k >= 1 is the
    length of the sum; w.column is the width of a panel. (rows, panels) must be one of TILE_SHAPES,
    whose accumulators all stay in registers. Every element is summed over k in order. Meanwhile
    memory is asked for `ahead`, a Block of what will be read next: `column` elements further at
    every k. A column of 0 says that it is near, and several panels then do without asking.
    """
    scalar = out.types[0].dtype
    vector = Vector(scalar)

    def codegen(context, builder, sig, args):
        blocks = [builder.extract_value(block, i) for block in args[:4] for i in range(3)]
        ahead_parts = [builder.extract_value(args[8], i) for i in (0, 2)]
        values = [*blocks, *args[4:8], *ahead_parts]
        function = _multiply_function(
            builder.module, context.get_value_type(vector), [value.type for value in values]
        )
        builder.call(function, values)
        return context.get_dummy_value()

    index = types.intp
    return types.void(out, begin, a, w, index, index, index, types.boolean, ahead), codegen


def _multiply_function(module: ir.Module, vector: ir.VectorType, arguments: list) -> ir.Function:
    """All tiles in one function of their own: a switch over the shapes.

    It is kept out of line, and "optsize" keeps LLVM from unrolling its loops, which are as fast as
    they can be: every kernel that calls it would spend seconds on optimising them again.
    """
    name = f"numlstm.multiply.{vector.count}x{vector.element}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "linkonce_odr"
    for attribute in ("noinline", "optsize", "nounwind"):
        function.attributes.add(attribute)
    builder = ir.IRBuilder(function.append_basic_block())
    *numbers, rows, panels, k, add, ahead, ahead_step = function.args
    matrices = [numbers[i : i + 3] for i in range(0, 12, 3)]
    emit = _TileEmitter(builder, vector, 4 if isinstance(vector.element, ir.FloatType) else 8)
    done = builder.append_basic_block("done")
    near = builder.and_(
        builder.icmp_signed("==", ahead_step, ahead_step.type(0)),
        builder.icmp_signed(">", panels, panels.type(1)),
    )
    code = builder.add(builder.mul(rows, rows.type(_SHAPE_BASE)), panels)
    code = builder.add(code, builder.select(near, code.type(_NEAR), code.type(0)))
    switch = builder.switch(code, done)
    for high, wide in TILE_SHAPES:
        for place in (0, _NEAR) if wide > 1 else (0,):
            case = builder.append_basic_block("tile")
            switch.add_case(code.type(high * _SHAPE_BASE + wide + place), case)
            builder.position_at_end(case)
            lines = 0 if place else wide * PANEL_VECTORS * VECTOR_BYTES // CACHE_LINE
            emit.tile(high, wide, matrices, k, add, _Ahead(ahead, ahead_step, lines))
            builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return function


_SHAPE_BASE, _NEAR = 16, 8


class _Ahead(NamedTuple):
    """Memory to ask for: so many cache lines at every k, each time `step` elements further."""

    start: Any
    step: Any
    lines: int


class _TileEmitter:
    """Writes the LLVM instructions of one tile."""

    def __init__(self, builder: ir.IRBuilder, vector: ir.VectorType, alignment: int):
        self.builder = builder
        self.vector = vector
        self.alignment = alignment

    def tile(self, rows: int, panels: int, matrices: list, k, add, ahead: "_Ahead") -> None:
        """Accumulators from zero or from begin, the loop over k, and to out."""
        out, begin, (a_start, a_row, a_column), (w_start, w_row, _) = matrices
        outs, begins = self.elements(out, rows, panels), self.elements(begin, rows, panels)
        sums = self.sum_over_k(
            self.initial(begins, add),
            self.every(a_start, a_row, rows),
            [part for panel in self.every(w_start, w_row, panels) for part in self.parts(panel)],
            a_column,
            k,
            ahead,
        )
        for value, pointer in zip(sums, outs, strict=True):
            _store(self.builder, value, pointer, self.alignment)

    def elements(self, block, rows: int, panels: int) -> list:
        """Pointers to the vectors of so many panels of so many rows."""
        start, row_step, column = block
        return [
            part
            for row in self.every(start, row_step, rows)
            for panel in self.every(row, column, panels)
            for part in self.parts(panel)
        ]

    def every(self, pointer, distance, count: int) -> list:
        """Pointers to `count` places, `distance` elements apart."""
        gep, mul = self.builder.gep, self.builder.mul
        return [gep(pointer, [mul(distance, distance.type(i))]) for i in range(count)]

    def parts(self, panel) -> list:
        """Pointers to the vectors of a panel."""
        return self.every(panel, ir.IntType(64)(self.vector.count), PANEL_VECTORS)

    def initial(self, begins: list, add) -> list:
        """Initial values of the accumulators: those in begin, or zero."""
        zero = ir.Constant(self.vector, [0.0] * self.vector.count)
        loaded = [_load(self.builder, part, self.vector, self.alignment) for part in begins]
        return [self.builder.select(add, value, zero) for value in loaded]

    def sum_over_k(self, initial: list, a_rows: list, w_parts: list, a_column, k, ahead) -> list:
        """The loop: one broadcast per row, one load per vector of w, one fma per accumulator."""
        builder, index = self.builder, k.type
        before, loop = builder.block, builder.append_basic_block("k")
        after = builder.append_basic_block("k.end")
        builder.branch(loop)
        builder.position_at_end(loop)
        counters = [builder.phi(index) for _ in range(4)]
        _, a_offset, w_offset, ahead_offset = counters
        sums = [builder.phi(self.vector) for _ in initial]
        broadcasts = [partial(self.broadcast, row, a_offset) for row in a_rows]
        vectors = [partial(self.load, part, w_offset) for part in w_parts]
        later = self.multiply_add(sums, broadcasts, vectors)
        width = index(PANEL_VECTORS * self.vector.count)
        for line in range(ahead.lines):
            elements = index(line * CACHE_LINE * self.vector.count // VECTOR_BYTES)
            _prefetch(builder, builder.gep(ahead.start, [builder.add(ahead_offset, elements)]))
        steps = (index(1), a_column, width, ahead.step)
        moved = [builder.add(*pair) for pair in zip(counters, steps, strict=True)]
        builder.cbranch(builder.icmp_signed("<", moved[0], k), loop, after)
        starts, nexts = [index(0)] * 4 + initial, moved + later
        for phi, first, following in zip(counters + sums, starts, nexts, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, loop)
        builder.position_at_end(after)
        return later

    def multiply_add(self, sums: list, broadcasts: list, vectors: list) -> list:
        """sums + broadcast * vector; the shorter list is loaded first and held in registers."""
        later: list = [None] * len(sums)
        by_row = len(broadcasts) > len(vectors)
        held = [load() for load in (vectors if by_row else broadcasts)]
        for i, load in enumerate(broadcasts if by_row else vectors):
            moving = load()
            for j, kept in enumerate(held):
                at = i * len(vectors) + j if by_row else j * len(vectors) + i
                later[at] = fused(self.builder, moving, kept, sums[at])
        return later

    def broadcast(self, row, offset):
        """One element of a in every lane."""
        element = self.builder.load(self.builder.gep(row, [offset]))
        return splat(self.builder, element, self.vector.count)

    def load(self, part, offset):
        """One vector of w."""
        pointer = self.builder.gep(part, [offset])
        return _load(self.builder, pointer, self.vector, self.alignment)
