"""Primitives for a step in foreign memory: casts, integers, stack scratch, calls by address."""

from typing import Any, get_args

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numlstm.backends.cpu.codegen.vectors import primitive


@primitive
def recast(typingctx, pointer, other):
    """The pointer, to numbers of the type that `other` points to; without tangents."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(other))

    return other(pointer, other), codegen


@intrinsic
def as_floats(typingctx, pointer):
    """The pointer, to float64."""
    result = types.CPointer(types.float64)

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(pointer), codegen


@intrinsic
def read_numbers(typingctx, pointer, index, kind):
    """The NamedTuple of integers that stands at a place in a row of such."""
    count = len(kind.instance_class._fields)
    result = types.NamedUniTuple(types.int64, count, kind.instance_class)

    def codegen(context, builder, sig, args):
        first = builder.mul(args[1], args[1].type(count))
        places = [builder.gep(args[0], [builder.add(first, first.type(i))]) for i in range(count)]
        return context.make_tuple(builder, result, [builder.load(place) for place in places])

    return result(pointer, types.intp, kind), codegen


def flat(value: Any) -> list[int]:
    """A NamedTuple of integers, floats and such tuples as integers, floats by their bits."""
    if isinstance(value, tuple):
        return [number for part in value for number in flat(part)]
    return [int(np.float64(value).view(np.int64)) if isinstance(value, float) else value]


@intrinsic
def read_record(typingctx, pointer, kind):
    """The NamedTuple that `flat` has written, by the types of its fields."""
    result = _numba_type(kind.instance_class)

    def codegen(context, builder, sig, args):
        value, _ = _read(context, builder, result, args[0], 0)
        return value

    return result(pointer, kind), codegen


def _numba_type(kind: Any) -> types.Type:
    if hasattr(kind, "_fields"):
        return types.NamedTuple([_numba_type(f) for f in kind.__annotations__.values()], kind)
    if parts := get_args(kind):
        return types.Tuple([_numba_type(part) for part in parts])
    return types.int64 if kind is int else types.float64


def _read(context, builder, kind, pointer, index):
    """The value of a type from the integer at `index` on, and where the next one begins."""
    if isinstance(kind, types.BaseTuple):
        parts = []
        for part in kind.types:
            value, index = _read(context, builder, part, pointer, index)
            parts.append(value)
        return context.make_tuple(builder, kind, parts), index
    bits = builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(64), index)]))
    return builder.bitcast(bits, context.get_value_type(kind)), index + 1


@intrinsic
def at_address(typingctx, address, pointer):
    """A pointer of the same kind to an address; the given one where that is 0."""

    def codegen(context, builder, sig, args):
        there = builder.inttoptr(args[0], args[1].type)
        return builder.select(cgutils.is_null(builder, there), args[1], there)

    return pointer(types.int64, pointer), codegen


@intrinsic
def is_null(typingctx, pointer):
    """Whether a pointer is null."""

    def codegen(context, builder, sig, args):
        return cgutils.is_null(builder, args[0])

    return types.boolean(pointer), codegen


@intrinsic
def or_null(typingctx, pointer, wanted):
    """The pointer where it is wanted, else one to nowhere."""

    def codegen(context, builder, sig, args):
        return builder.select(args[1], args[0], args[0].type(None))

    return pointer(pointer, types.boolean), codegen


@intrinsic
def own_frame(typingctx):
    """Keep the calling function out of line (noinline): its scratch on the stack ends with it."""

    def codegen(context, builder, sig, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


@primitive
def reserve(typingctx, pointer, count):
    """Scratch of so many elements on the stack of the calling function, an `own_frame` one."""

    def codegen(context, builder, sig, args):
        memory = builder.alloca(context.get_value_type(pointer.dtype), size=args[1])
        memory.align = 64
        return memory

    return pointer(pointer, types.intp), codegen


@intrinsic
def call_at(typingctx, address, arguments):
    """Call the function at an address with a tuple of pointers and integers; its status."""
    kinds = arguments.types

    def codegen(context, builder, sig, args):
        parts = [builder.extract_value(args[1], i) for i in range(len(kinds))]
        kind = ir.FunctionType(ir.IntType(64), [part.type for part in parts])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), parts)

    return types.int64(types.int64, arguments), codegen
