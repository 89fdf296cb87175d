"""How threads reach shared memory: by four numbers at a time, and copies that do not wait.

Each is an instruction or two; in the simulator what the Python here says.
"""

from typing import NamedTuple

from numlstm.backends.cuda.device.target import SIMULATED


class Chunk(NamedTuple):
    """The k of a product that are in shared memory at a time."""

    first: int
    last: int
    buffer: int  # which of two: one is filled while the other is read


def four(array, i):
    """array[i : i + 4] as a tuple; i is a multiple of 4."""
    return array[i], array[i + 1], array[i + 2], array[i + 3]


def copy(shared, place, array, index):
    """shared[place] = array[index], but only `arrived` says when.

    An index that is no tuple counts all numbers of a C-contiguous array.
    """
    shared[place] = array[index] if isinstance(index, tuple) else array.reshape(array.size)[index]


def arrived():
    """Wait for what this thread copied."""


if not SIMULATED:
    from llvmlite import ir
    from numba.core import types
    from numba.core.types.containers import UniTuple
    from numba.cuda import cgutils
    from numba.cuda.core import targetconfig

    from numlstm.backends.cuda.device.target import intrinsic, overload

    GLOBAL, SHARED = 1, 3  # address spaces

    @overload(four, strict=False)
    def _four(array, i):
        return lambda array, i: _loaded(array, i)

    @overload(copy, strict=False)
    def _copy(shared, place, array, index):
        return lambda shared, place, array, index: _copied(shared, place, array, index)

    @overload(arrived, strict=False)
    def _arrived():
        return lambda: _waited()

    def copies_by_itself() -> bool:
        """Whether the GPU that is compiled for copies while the thread goes on."""
        return targetconfig.ConfigStack().top().compute_capability >= (8, 0)

    @intrinsic
    def _loaded(typingctx, array, i):
        together = min(4, 128 // array.dtype.bitwidth)  # 16 bytes

        def codegen(context, builder, sig, args):
            first = _place(context, builder, array, *args)
            kind = ir.VectorType(first.type.pointee, together)
            vectors, whole = builder.bitcast(first, kind.as_pointer()), ir.IntType(32)
            numbers = []
            for part in range(4 // together):
                vector = builder.load(builder.gep(vectors, [whole(part)]), align=16)
                lanes = range(together)
                numbers += [builder.extract_element(vector, whole(lane)) for lane in lanes]
            return cgutils.pack_array(builder, numbers)

        return UniTuple(array.dtype, 4)(array, types.intp), codegen

    @intrinsic
    def _copied(typingctx, shared, place, array, index):
        size = shared.dtype.bitwidth // 8

        def codegen(context, builder, sig, args):
            to = _place(context, builder, shared, *args[:2])
            source = _place(context, builder, array, *args[2:])
            if not copies_by_itself():
                builder.store(builder.load(source), to)
                return
            addresses = _address(builder, to, SHARED), _address(builder, source, GLOBAL)
            _instruction(builder, f"cp.async.ca.shared.global [$0], [$1], {size};", addresses)

        return types.void(shared, types.intp, array, index), codegen

    @intrinsic
    def _waited(typingctx):
        def codegen(context, builder, sig, args):
            if copies_by_itself():
                _instruction(builder, "cp.async.wait_all;", ())

        return types.void(), codegen

    def _place(context, builder, kind, array, index):
        """The pointer to an element."""
        numbers = context.make_array(kind)(context, builder, array)
        if isinstance(index.type, ir.IntType):
            return builder.gep(numbers.data, [index])
        indices = cgutils.unpack_tuple(builder, index)
        return cgutils.get_item_pointer(context, builder, kind, numbers, indices)

    def _address(builder, pointer, space: int):
        kind = ir.PointerType(pointer.type.pointee, space)
        return builder.ptrtoint(builder.addrspacecast(pointer, kind), ir.IntType(64))

    def _instruction(builder, text: str, addresses) -> None:
        """An instruction that reads and writes memory."""
        kind = ir.FunctionType(ir.VoidType(), [address.type for address in addresses])
        constraints = ",".join(["l"] * len(addresses) + ["~{memory}"])
        builder.call(ir.InlineAsm(kind, text, constraints, side_effect=True), addresses)
