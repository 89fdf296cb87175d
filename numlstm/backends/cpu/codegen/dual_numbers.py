"""Dual numbers: a value and its tangent, the derivative along a direction, side by side.

The kernels say nothing of derivatives along a direction; over the types of this file they compute
them. Every primitive of `vectors.py` is given its meaning for duals, and every function with a
slope its chain rule: then the compiled pass over a layer carries the exact tangent along, and its
backward pass the exact derivative of the gradient. Forward mode by overloading: Wengert (1964),
"A simple automatic derivative evaluation program", Communications of the ACM 7(8); over a backward
pass it is Pearlmutter's (1994) product with the Hessian.

Plain numbers among duals are constants, with a tangent of zero.
"""

import operator
from collections.abc import Callable
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

from numlstm.backends.cpu.codegen.vectors import (
    COMPARISONS,
    LIFTS,
    Mask,
    Vector,
    fused,
    new,
    scalar_of,
    splat,
)
from numlstm.cell import elementary
from numlstm.cell.elementary import CHAIN_RULES, fma, like

# --- the types ------------------------------------------------------------------------------------


class Dual(types.Type):
    """Two of a kind: numbers, vectors, or pointers to where values and tangents lie."""

    has_tangent = True

    def __init__(self, part: types.Type):
        self.part = part
        super().__init__(name=f"Dual({part})")

    @property
    def dtype(self) -> types.Type:
        """Of a pair of pointers: what they point to."""
        return self.part.dtype


@register_model(Dual)
class _DualModel(models.StructModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, [("value", fe_type.part), ("tangent", fe_type.part)])


class DualArray(NamedTuple):
    """An array of values and one of tangents, of the same shape."""

    value: Any
    tangent: Any
    size: int
    shape: tuple


def _plain(kind: types.Type) -> types.Type:
    """The type without a tangent, also of what is in a named tuple."""
    if isinstance(kind, types.NamedTuple):
        return types.NamedTuple([_plain(part) for part in kind.types], kind.instance_class)
    return kind.part if isinstance(kind, Dual) else kind


def _parts(builder: ir.IRBuilder, kind: types.Type, number) -> tuple:
    """Value and tangent; of a constant the tangent is None."""
    if isinstance(kind, Dual):
        return builder.extract_value(number, 0), builder.extract_value(number, 1)
    return number, None


def _zero(kind: ir.Type) -> ir.Constant:
    return ir.Constant(kind, [0.0] * kind.count if isinstance(kind, ir.VectorType) else 0.0)


def _joined(builder: ir.IRBuilder, value, tangent):
    return cgutils.pack_struct(builder, [value, _zero(value.type) if tangent is None else tangent])


# --- primitives -----------------------------------------------------------------------------------


def _lift(name: str) -> Callable:
    def register(rule: Callable) -> Callable:
        LIFTS[name] = rule
        return rule

    return register


def _lift_parts(function: Callable, typingctx, *args):
    """Reading and writing memory: once among the values and once among the tangents."""
    if not isinstance(args[0], Dual):
        return None  # a tangent cannot be written where there is no place for it
    sig, emit = function(typingctx, *map(_plain, args))
    kinds = [
        arg if isinstance(arg, Dual) else kind for arg, kind in zip(args, sig.args, strict=True)
    ]

    def codegen(context, builder, _, values):
        pairs = [_parts(builder, kind, value) for kind, value in zip(kinds, values, strict=True)]
        first = emit(context, builder, sig, [value for value, _ in pairs])
        seconds = [
            (_zero(value.type) if isinstance(kind, types.Float | Vector) else value)
            if tangent is None
            else tangent
            for kind, (value, tangent) in zip(kinds, pairs, strict=True)
        ]
        second = emit(context, builder, sig, seconds)
        return first if sig.return_type == types.void else _joined(builder, first, second)

    result = sig.return_type if sig.return_type == types.void else Dual(sig.return_type)
    return result(*kinds), codegen


for _name in (
    *("move", "load", "store", "load_pair", "store_pair", "get", "put", "prefetch"),
    "reserve",
):
    LIFTS[_name] = _lift_parts


@_lift("recast")
def _lift_recast(function, typingctx, pointer, other):
    """Numbers read through a pointer without tangents are constants."""
    sig, emit = function(typingctx, pointer, other.part)

    def codegen(context, builder, _, args):
        return emit(context, builder, sig, [args[0], builder.extract_value(args[1], 0)])

    return sig.return_type(pointer, other), codegen


@_lift("at")
def _lift_at(function, typingctx, array, index):
    sig, emit = function(typingctx, array.types[0], index)

    def codegen(context, builder, _, args):
        arrays = (builder.extract_value(args[0], i) for i in (0, 1))
        pointers = (emit(context, builder, sig, [each, args[1]]) for each in arrays)
        return _joined(builder, *pointers)

    return Dual(sig.return_type)(array, types.intp), codegen


@_lift("_fma")
def _lift_fma(function, typingctx, a, b, c):
    kinds = (a, b, c)

    def codegen(context, builder, _, args):
        pairs = [_parts(builder, kind, arg) for kind, arg in zip(kinds, args, strict=True)]
        (a, da), (b, db), (c, total) = pairs
        for factor, tangent in ((a, db), (b, da)):
            if tangent is not None and total is not None:
                total = fused(builder, factor, tangent, total)
            elif tangent is not None:
                total = builder.fmul(factor, tangent)
        return _joined(builder, fused(builder, a, b, c), total)

    return Dual(_plain(a))(*kinds), codegen


@_lift("_like")
def _lift_like(function, typingctx, x, value):
    kind = _plain(x)
    scalar = scalar_of(kind)

    def number(context, builder, part):
        if part is None:
            return None
        cast = context.cast(builder, part, _plain(value), scalar)
        return splat(builder, cast, kind.lanes) if isinstance(kind, Vector) else cast

    def codegen(context, builder, _, args):
        pair = _parts(builder, value, args[1])
        return _joined(builder, *(number(context, builder, part) for part in pair))

    return Dual(kind)(x, value), codegen


@_lift("_where")
def _lift_where(function, typingctx, condition, a, b):
    kinds = (a, b)

    def codegen(context, builder, _, args):
        (a, da), (b, db) = (_parts(builder, *pair) for pair in zip(kinds, args[1:], strict=True))
        da, db = (_zero(a.type) if tangent is None else tangent for tangent in (da, db))
        return _joined(builder, builder.select(args[0], a, b), builder.select(args[0], da, db))

    return Dual(_plain(a))(condition, *kinds), codegen


@_lift("multiply")
def _lift_multiply(function, typingctx, *args):
    """out = a w, and for the tangents out' = a' w + a w'."""
    sig, emit = function(typingctx, *map(_plain, args))
    ahead = len(args) - 1

    def codegen(context, builder, _, values):
        def tile(out, begin, a, w, add):
            rest = [*values[4:7], add, pack(ahead, 0)]
            emit(context, builder, sig, [out, begin, a, w, *rest])

        def pack(block, which):
            start, row, column = (builder.extract_value(values[block], i) for i in range(3))
            start = _parts(builder, args[block].types[0], start)[which]
            return cgutils.pack_struct(builder, [start, row, column])

        add, of_a, of_w = values[7], *(isinstance(args[i].types[0], Dual) for i in (2, 3))
        tile(pack(0, 0), pack(1, 0), pack(2, 0), pack(3, 0), add)
        if of_a:
            tile(pack(0, 1), pack(1, 1), pack(2, 1), pack(3, 0), add)
        if of_w:  # from a' w on, where that is
            begin, add = (pack(0, 1), add.type(1)) if of_a else (pack(1, 1), add)
            tile(pack(0, 1), begin, pack(2, 0), pack(3, 1), add)
        return context.get_dummy_value()

    return types.void(*args[:4], *sig.args[4:8], args[ahead]), codegen


@_lift("new")
def _new(array, shape):
    value, tangent = new(array.value, shape), new(array.value, shape)
    return DualArray(value, tangent, value.size, value.shape)


# --- arithmetic -----------------------------------------------------------------------------------


def _register(op: Callable, rule: Callable) -> None:
    """An operator between duals, or a dual and a constant; rule: (builder, *pairs) -> pair."""

    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            parts = [_plain(arg) for arg in args]
            if any(isinstance(arg, Dual) for arg in args) and parts[0] == parts[-1]:
                return signature(Dual(parts[0]), *args)

    def lower(context, builder, sig, args):
        pairs = [_parts(builder, kind, arg) for kind, arg in zip(sig.args, args, strict=True)]
        return _joined(builder, *rule(builder, *pairs))

    if op is operator.neg:
        lower_builtin(op, Dual)(lower)
        return
    for constant in (Dual, Vector, types.Float):
        lower_builtin(op, Dual, constant)(lower)
        if constant is not Dual:
            lower_builtin(op, constant, Dual)(lower)


def _register_comparison(op: Callable, symbol: str) -> None:
    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if isinstance(args[0], Dual) and args[0] == args[1]:
                part = args[0].part
                return signature(Mask(part) if isinstance(part, Vector) else types.boolean, *args)

    @lower_builtin(op, Dual, Dual)
    def _lower(context, builder, sig, args):
        return builder.fcmp_ordered(symbol, *(builder.extract_value(arg, 0) for arg in args))


def _add(builder, a, b):
    tangent = b[1] if a[1] is None else a[1]
    if a[1] is not None and b[1] is not None:
        tangent = builder.fadd(a[1], b[1])
    return builder.fadd(a[0], b[0]), tangent


def _negative(builder, a):
    return builder.fneg(a[0]), builder.fneg(a[1]) if a[1] is not None else None


def _subtract(builder, a, b):
    value, tangent = _add(builder, a, _negative(builder, b))
    return value, tangent


def _multiply(builder, a, b):
    tangent = None if a[1] is None else builder.fmul(a[1], b[0])
    if b[1] is not None:
        tangent = (
            builder.fmul(a[0], b[1]) if tangent is None else fused(builder, a[0], b[1], tangent)
        )
    return builder.fmul(a[0], b[0]), tangent


def _divide(builder, a, b):
    """q = a / b, q' = (a' - q b') / b."""
    quotient, tangent = builder.fdiv(a[0], b[0]), a[1]
    if b[1] is not None:
        start = _zero(b[1].type) if tangent is None else tangent
        tangent = fused(builder, builder.fneg(quotient), b[1], start)
    return quotient, builder.fdiv(tangent, b[0])


for _op, _rule in (
    (operator.add, _add),
    (operator.iadd, _add),
    (operator.sub, _subtract),
    (operator.mul, _multiply),
    (operator.truediv, _divide),
    (operator.neg, _negative),
):
    _register(_op, _rule)
for _op, _symbol in COMPARISONS.items():
    _register_comparison(_op, _symbol)


# --- functions and their slopes -------------------------------------------------------------------


def _part(which: int):
    @intrinsic
    def part(typingctx, x):
        def codegen(context, builder, sig, args):
            return builder.extract_value(args[0], which)

        return x.part(x), codegen

    return part


value_of, tangent_of = _part(0), _part(1)


@intrinsic
def dual(typingctx, value, tangent):
    """The value with a tangent."""

    def codegen(context, builder, sig, args):
        return _joined(builder, *args)

    return Dual(value)(value, tangent), codegen


def _sigmoid(x):
    y = elementary.sigmoid(value_of(x))
    return dual(y, y * (like(y, 1.0) - y) * tangent_of(x))


def _tanh(x):
    y = elementary.tanh(value_of(x))
    return dual(y, fma(-y, y, like(y, 1.0)) * tangent_of(x))


def _expm1(x):
    y = elementary.expm1(value_of(x))
    return dual(y, fma(y, tangent_of(x), tangent_of(x)))


def _log1p(x):
    value = value_of(x)
    return dual(elementary.log1p(value), tangent_of(x) / (like(value, 1.0) + value))


def _flush(x):
    return dual(elementary.flush(value_of(x)), elementary.flush(tangent_of(x)))


CHAIN_RULES |= {
    elementary.sigmoid: _sigmoid,
    elementary.tanh: _tanh,
    elementary.expm1: _expm1,
    elementary.log1p: _log1p,
    elementary.flush: _flush,
}


@overload(sqrt)
def _overload_sqrt(x):
    if not isinstance(x, Dual):
        return None

    def of_dual(x):
        y = sqrt(value_of(x))
        return dual(y, tangent_of(x) / (y + y))

    return of_dual


def dual_array(array: np.ndarray) -> DualArray:
    """The values and tangents of a complex array; of a real one the tangents are zero."""
    value = np.require(array.real, requirements=["C", "A", "W"])
    tangent = np.ascontiguousarray(array.imag) if np.iscomplexobj(array) else np.zeros_like(value)
    return DualArray(value, tangent, array.size, array.shape)
