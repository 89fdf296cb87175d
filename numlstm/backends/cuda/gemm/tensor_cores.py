"""Products on tensor cores: factors rounded to tf32 or bf16, sums in float32.

With one instruction the 32 threads of a warp, its lanes, add A B to C: A (16, k), B (k, 8), C
(16, 8), where k is 8 in tf32 and 16 in bf16. The matrices lie in the lanes' registers, which
together are a fragment. A register has one factor in tf32, two neighbours along k in bf16: this
number is `factors` everywhere, and 0 where tensor cores are not used. With q = k // factors, and
group, place = divmod(lane, 4), a lane has, by the PTX ISA,

    in register r of A    row group + 8 (r % 2)   q = place + 4 (r // 2)   r < 4
    in register r of B    column group            q = place + 4 r          r < 2
    in number i of C      row group + 8 (i // 2)  column 2 place + i % 2   i < 4

In shared memory a register has the type float32, whatever its bits mean.
"""

from numlstm.backends.cuda.device.target import SIMULATED
from numlstm.backends.cuda.gemm import emulation
from numlstm.cell.elementary import compilable

WARP, ROWS, COLUMNS = 32, 16, 8  # lanes; of C
REGISTERS = 8  # along k, of a fragment
FACTORS = {None: 0, "tf32": 1, "bf16": 2}  # by precision

# Fragments in shared memory, register by register. The steps are a little wider than a warp, so
# that neighbours along either side of a matrix are in different banks when they are put there.
A_STEP, A_SIZE = 34, 137
B_STEP, B_SIZE = 36, 73


# --- one instruction each; in the simulator what `emulation.py` says ------------------------------


def rounded(low, high, factors):
    """A register: `low` in tf32; with two factors low and high in bf16, with none low itself."""
    return low if factors == 0 else emulation.rounded(low, high, factors)


def multiply_add(a, b, c, factors):
    """Four numbers of A B + C, of four registers of A, two of B and four numbers of C."""
    return emulation.multiply_add(a, b, c, factors)


if not SIMULATED:
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.core.types.containers import UniTuple

    from numlstm.backends.cuda.device.target import intrinsic, overload

    NUMBER, BITS = ir.FloatType(), ir.IntType(32)

    @overload(rounded, strict=False)
    def _rounded(low, high, factors):
        def register(low, high, factors):
            if factors == 0:
                return low
            return _tf32(low) if factors == 1 else _bf16(high, low)

        return register

    @overload(multiply_add, strict=False)
    def _multiply_add(a, b, c, factors):
        return lambda a, b, c, factors: (
            _multiply_add_tf32(a, b, c) if factors == 1 else _multiply_add_bf16(a, b, c)
        )

    def _assembly(builder, text, constraints, result, args, *attributes):
        """The result of an instruction, which depends on its arguments alone."""
        kind = ir.FunctionType(result, [argument.type for argument in args])
        attributes = ("nounwind", "readnone", *attributes)
        return builder.call(ir.InlineAsm(kind, text, constraints), args, attrs=attributes)

    @intrinsic
    def _tf32(typingctx, x):
        def codegen(context, builder, sig, args):
            bits = _assembly(builder, "cvt.rna.tf32.f32 $0, $1;", "=r,f", BITS, args)
            return builder.bitcast(bits, NUMBER)

        return types.float32(types.float32), codegen

    @intrinsic
    def _bf16(typingctx, upper, lower):
        def codegen(context, builder, sig, args):
            bits = _assembly(builder, "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f", BITS, args)
            return builder.bitcast(bits, NUMBER)

        return types.float32(types.float32, types.float32), codegen

    def _multiply_add_of(name: str):
        """The instruction `mma.sync.aligned.<name>`, of tuples."""
        operands = "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13}"
        constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)

        @intrinsic
        def multiply_add(typingctx, a, b, c):
            def codegen(context, builder, sig, args):
                a, b, c = (cgutils.unpack_tuple(builder, part) for part in args)
                registers = [builder.bitcast(register, BITS) for register in (*a, *b)]
                result, text = (
                    ir.LiteralStructType([NUMBER] * 4),
                    f"mma.sync.aligned.{name} {operands};",
                )
                # all lanes of a warp come to it together, wherever the compiler may want to move it
                sums = _assembly(builder, text, constraints, result, registers + c, "convergent")
                return cgutils.pack_array(builder, cgutils.unpack_tuple(builder, sums, 4))

            numbers = [UniTuple(types.float32, count) for count in (4, 2, 4)]
            return numbers[2](*numbers), codegen

        return multiply_add

    _multiply_add_tf32 = _multiply_add_of("m16n8k8.row.col.f32.tf32.tf32.f32")
    _multiply_add_bf16 = _multiply_add_of("m16n8k16.row.col.f32.bf16.bf16.f32")


# --- fragments in shared memory -------------------------------------------------------------------


@compilable()
def place_in_a(row, q):
    """Offset of the register of (row, q) in its fragment of A."""
    register = row // 8 % 2 + q // 4 % 2 * 2
    return register * A_STEP + row % 8 * 4 + q % 4


@compilable()
def place_in_b(q, column):
    """Offset of the register of (q, column) in its fragment of B."""
    return q // 4 % 2 * B_STEP + column % 8 * 4 + q % 4


@compilable()
def place_in_c(lane, i):
    """(row, column) of a lane's i-th number of C."""
    return lane // 4 + i // 2 * 8, lane % 4 * 2 + i % 2


@compilable()
def add_fragment(acc, first, step, a, at, b_0, b_1, factors):
    """acc[first + i step] += A B for i < 4, with this lane's part of the fragment a[at:]."""
    left = a[at], a[at + A_STEP], a[at + 2 * A_STEP], a[at + 3 * A_STEP]
    second, third, fourth = first + step, first + 2 * step, first + 3 * step
    sums = acc[first], acc[second], acc[third], acc[fourth]
    sums = multiply_add(left, (b_0, b_1), sums, factors)
    acc[first], acc[second], acc[third], acc[fourth] = sums
