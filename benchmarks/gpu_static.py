"""What the CUDA kernels need of every GPU, without one: `python benchmarks/gpu_static.py`.

Compiles the kernels that `numlstm.backends.cuda.layer.regimes` chooses for the sizes below,
and for the largest layers whose blocks wait for no other, for every compute capability, and
assembles them with ptxas. It prints registers and shared memory, and fails where a kernel spills,
needs more than the device has, uses tensor cores without being asked to or does not where it is
asked to, calculates in double precision although it is a float32 kernel, or spends its innermost
loop on other things than products. Those of `in_double` are no float32 kernels: they add up a loss
or a norm, or round a few numbers. Needs "numlstm[cuda12]" or "numlstm[cuda13]", and no GPU.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from numlstm.architecture.cell import Cell
from numlstm.architecture.spec import PRECISIONS, LayerSpec
from numlstm.backends.cuda.device import memory, sums
from numlstm.backends.cuda.device.target import cuda, indices_as_given, number_type
from numlstm.backends.cuda.gemm import products
from numlstm.backends.cuda.layer import (
    cells,
    pack_inputs,
    recurrence,
    regimes,
    row_terms,
    tiles,
)
from numlstm.backends.cuda.layer.regimes import TENSOR_CORES
from numlstm.backends.cuda.training import arrays as between
from numlstm.backends.cuda.training import data, losses, masks, optimizers, update, windows
from numlstm.cell.encoding import encode

types = cuda.types

KIB, REGISTERS, MOST_REGISTERS = 1024, 65536, 255
MOST_AROUND = 4  # instructions for a multiply-add, of kernels that do little else

# a GPU of every compute capability: T4, A100, RTX 3090, RTX 4090, H100, B200, RTX 5090
DEVICES = (
    regimes.Device(64 * KIB, 40, (7, 5)),
    regimes.Device(163 * KIB, 108, (8, 0)),
    regimes.Device(99 * KIB, 82, (8, 6)),
    regimes.Device(99 * KIB, 128, (8, 9)),
    regimes.Device(227 * KIB, 132, (9, 0)),
    regimes.Device(227 * KIB, 148, (10, 0)),
    regimes.Device(99 * KIB, 170, (12, 0)),
)
# (B, H), and what --quick takes
SIZES = [(16, 32), (16, 64), (8, 128), (64, 256), (256, 256), (1, 512), (64, 1024), (64, 2048)]
QUICK = [(16, 64), (8, 128), (256, 256)]
LIMITS = {"activation_clip": 3.0, "cell_clip": 3.0, "proj_clip": 3.0}
EVERYTHING = Cell("gate", peephole=True, layer_norm=True, **LIMITS)
VARIANTS = {
    "plain": LayerSpec(3, 4, "float32"),
    "all": LayerSpec(3, 4, "float32", 2, EVERYTHING),
    # not with --quick
    "normalised": LayerSpec(3, 4, "float32", cell=EVERYTHING),
    "normalised gates": LayerSpec(3, 4, "float32", cell=replace(EVERYTHING, layer_norm="gates")),
}


class Kernel(NamedTuple):
    """A kernel as it is launched, and what it is called in the table."""

    name: str
    function: Any  # a dispatcher
    signature: Any
    dtype: str
    threads: int
    shared_memory: int  # dynamic, bytes
    precision: str | None = None  # of tensor cores


class Needs(NamedTuple):
    """A row of the table."""

    kernel: str
    capability: str
    threads: int
    registers: int
    shared_memory: int
    spilled: int  # bytes, with the stack
    doubles: int  # instructions in double precision
    tensor_cores: int  # their instructions
    around: float  # instructions of the innermost loop for each of its multiply-adds


# --- kernels --------------------------------------------------------------------------------------


def arrays(number, *dimensions):
    """C-contiguous arrays of a type of numbers."""
    return [types.Array(number, n, "C") for n in dimensions]


def given_types(number):
    """The types of `cells.Pass` and `cells.Gradient`."""
    lengths, reset = types.Array(types.int64, 1, "C"), types.Array(types.uint8, 2, "C")
    parts = (
        types.NamedTuple(arrays(number, 3, 2, 2), cells.Weights),
        types.NamedTuple([lengths, reset, *arrays(number, 2, 2, 3, 3, 3)], cells.Masks),
        types.NamedTuple(arrays(number, 3, 4, 3, 4, 3, 4, 4, 3, 3), cells.Tape),
        types.NamedTuple(arrays(number, 2, 2), cells.State),
    )
    gradient = types.NamedTuple(arrays(number, 4, 3, 3, 3, 4), cells.Gradient)
    return types.NamedTuple(parts, cells.Pass), gradient


def recurrences(
    dtype: str, device: regimes.Device, quick: bool, precision: str | None = None
) -> Iterator[Kernel]:
    """The kernels of the recurrence for a device, every one once."""
    number = number_type(dtype)
    given, gradient = given_types(number)
    [array], [signal] = arrays(number, 3), arrays(types.int32, 1)
    steps = types.int64, types.int64
    forward = types.void(*steps, given, array, signal)
    backward = types.void(*steps, given, array, gradient, signal)
    factors = regimes.factors_of(precision, device)
    for variant, spec in list(VARIANTS.items())[: 2 if quick else None]:
        encoded = encode(spec)
        for size, regime in chosen(encoded, dtype, device, factors, quick).items():
            kernels = recurrence.compiled(encoded, regime.tile, dtype)
            name = f"{variant}, {size}"
            needs = dtype, tiles.threads_of(regime.tile), regime.shared_memory, precision
            yield Kernel(f"forward, {name}", kernels.forward, forward, *needs)
            yield Kernel(f"backward, {name}", kernels.backward, backward, *needs)


def chosen(encoded, dtype: str, device: regimes.Device, factors: int, quick: bool):
    """The regimes of the table by size, every tile once."""
    found = {}
    for batch, units in QUICK if quick else (*SIZES, *largest(encoded, dtype, device, factors)):
        regime = regimes.regime_of(encoded, units, batch, dtype, device, factors)
        if regime.tile not in (other.tile for other in found.values()):
            found[f"H = {units}, B = {batch}"] = regime
    return found


def largest(encoded, dtype: str, device: regimes.Device, factors: int) -> Iterator[tuple[int, int]]:
    """(B, H) of the largest layers whose blocks keep all weights and wait for no other."""
    for batch in (1, 5000):
        for units in range(regimes.MAX_UNITS_OF_BLOCK, 0, -1):
            regime = regimes.regime_of(encoded, units, batch, dtype, device, factors)
            if regime.tile.kept > 0 and regime.columns == 1:
                yield batch, units
                break


def large_products(dtype: str, device: regimes.Device, precision: str | None) -> Iterator[Kernel]:
    """The kernels of `products.product_kernel`."""
    number, factors = number_type(dtype), regimes.factors_of(precision, device)
    [vector], [array] = arrays(number, 1), arrays(number, 3)
    for tile in dict.fromkeys(
        products.tile_of(n, n, dtype, factors, device.processors) for n in (1, 4096)
    ):
        size = products.threads_of(tile), products.shared_memory(tile, np.dtype(dtype))
        part = f"{products.rows_of(tile)} x {products.columns_of(tile)}"
        for layout in "CFA":
            view = types.Array(number, 2, layout)
            signature = types.void(view, view, array, vector)
            kernel = products.product_kernel(tile, dtype)
            name = f"product, {layout}, {part}"
            yield Kernel(name, kernel, signature, dtype, *size, precision)


def others(dtype: str) -> Iterator[Kernel]:
    """The kernels that are the same for every size."""
    number = number_type(dtype)
    weights, of_rows, tape, state = given_types(number)[0].types
    [vector], [matrix], [array] = arrays(number, 1), arrays(number, 2), arrays(number, 3)
    [source], over = arrays(types.int32, 1), (memory.THREADS, 0)
    sizes, words, [index] = [types.int64] * 2, [types.uint64] * 5, arrays(types.int64, 1)
    for name, kernel, signature in (
        ("sum_parts", products.sum_parts, types.void(matrix, vector)),
        ("gather", products.gather, types.void(vector, source, vector)),
        ("scatter", products.scatter, types.void(vector, source, types.int64, vector)),
        ("fill", memory.fill, types.void(vector, number)),
        ("put_inputs", pack_inputs.put_inputs, types.void(array, of_rows, array)),
        ("put_first", pack_inputs.put_first, types.void(weights, of_rows, tape, state)),
        ("mask_inputs", pack_inputs.mask_inputs, types.void(array, matrix)),
        ("add_row_terms", row_terms.add_row_terms, types.void(matrix, tape[1])),
        ("sum_over_steps", row_terms.sum_over_steps, types.void(tape[1], matrix)),
        ("draw_mask", masks.fill, types.void(vector, *sizes, *words, index, number)),
    ):
        yield Kernel(name, kernel, signature, dtype, *over)
    yield from of_arrays(dtype)
    yield from of_losses(dtype)
    yield from of_updates(dtype)
    yield from in_double(dtype)


def of_arrays(dtype: str) -> Iterator[Kernel]:
    """What is done with arrays between layers, and windows of data."""
    number, whole, flag = number_type(dtype), types.int64, types.uint8
    [vector], [matrix], [array] = arrays(number, 1), arrays(number, 2), arrays(number, 3)
    [rows], [flags], [found] = arrays(whole, 1), arrays(flag, 2), arrays(types.int32, 1)
    [ages], place = arrays(types.int32, 2), (rows, rows)
    for name, kernel, signature in (
        ("put", between.put, types.void(vector, vector, whole)),
        ("put_rows", between.put_rows, types.void(vector, matrix)),
        ("add", between.add, types.void(vector, vector)),
        ("multiply", between.multiply, types.void(vector, vector)),
        ("add_rows", between.add_rows, types.void(vector, matrix)),
        ("put_columns", between.put_columns, types.void(matrix, matrix, whole)),
        ("take_columns", between.take_columns, types.void(matrix, matrix, whole)),
        ("flip_steps", between.flip_steps, types.void(array, array, rows)),
        ("flip_resets", between.flip_resets, types.void(flags, flags, rows)),
        ("keep_steps", between.keep_steps, types.void(array, array, rows)),
        ("find_faults", between.find_faults, types.void(vector, found)),
        ("find_faults_of_rows", between.find_faults_of_rows, types.void(array, rows, found)),
        ("take_steps", data.take_steps, types.void(array, array, rows, rows)),
        ("take_rows", data.take_rows, types.void(matrix, matrix, rows)),
        ("take_ending", data.take_ending, types.void(matrix, matrix, rows, rows, whole, rows)),
        ("take_windows", windows.take_windows, types.void(array, matrix, *place, whole, whole)),
        ("take_filled", windows.take_filled, types.void(array, matrix, ages, *place)),
        ("take_lengths", data.take_lengths, types.void(rows, rows, rows, rows, whole)),
    ):
        yield Kernel(name, kernel, signature, dtype, memory.THREADS, 0)


def of_losses(dtype: str) -> Iterator[Kernel]:
    """The terms and the gradient of every loss."""
    number = number_type(dtype)
    [vector], [matrix] = arrays(number, 1), arrays(number, 2)
    [classes] = arrays(types.int64, 1)
    for name, kernel in losses.KERNELS.items():
        target = classes if name == "cross_entropy" else vector
        signature = types.void(matrix, target, vector, vector, vector, matrix)
        yield Kernel(name, kernel, signature, dtype, memory.THREADS, 0)


def of_updates(dtype: str) -> Iterator[Kernel]:
    """An update of theta by every method."""
    [vector], [free] = arrays(number_type(dtype), 1), arrays(types.uint8, 1)
    [status], limits = arrays(types.int32, 1), [free, vector, vector]
    for name, method in optimizers.METHODS.items():
        own = types.NamedUniTuple(vector, len(method.arrays._fields), method.arrays)
        given = own, types.NamedTuple(limits, optimizers.Limits), status
        signature = types.void(vector, vector, vector, vector, *given)
        yield Kernel(name, optimizers.compiled(method.step), signature, dtype, memory.THREADS, 0)


def in_double(dtype: str) -> Iterator[Kernel]:
    """What is calculated in float64 for a network of either type."""
    [vector], [double] = arrays(number_type(dtype), 1), arrays(types.float64, 1)
    [free], [status] = arrays(types.uint8, 1), arrays(types.int32, 1)
    for name, kernel, signature, scratch in (
        ("sum_terms", sums.sum_terms, types.void(vector, types.boolean, double), sums.SCRATCH),
        ("sum_squares", sums.sum_squares, types.void(vector, free, double), sums.SCRATCH),
        ("round_numbers", sums.round_numbers, types.void(double, vector), 0),
        ("settle", optimizers.settle, types.void(double, double, double, status, vector), 0),
        ("report", update.report, types.void(double, double, status, double), 0),
    ):
        yield Kernel(f"{name} of {dtype}", kernel, signature, "float64", memory.THREADS, scratch)


def kernels_of(device: regimes.Device, quick: bool) -> Iterator[Kernel]:
    """All kernels of a device, or a few of them."""
    for dtype in ("float32",) if quick else ("float32", "float64"):
        yield from recurrences(dtype, device, quick)
        yield from large_products(dtype, device, None)
        yield from others(dtype)
    if device.capability >= TENSOR_CORES:
        for precision in PRECISIONS[:1] if quick else PRECISIONS:
            yield from recurrences("float32", device, quick, precision)
            yield from large_products("float32", device, precision)


# --- compiling and assembling ---------------------------------------------------------------------


def ptxas() -> str:
    """The assembler: of the system, or of the wheels that the extras bring along."""
    import nvidia

    found = (path for root in nvidia.__path__ for path in Path(root).rglob("bin/ptxas*"))
    path = shutil.which("ptxas") or next(map(str, found), None)
    if path is None:
        raise SystemExit('ptxas is missing: install "numlstm[cuda12]" or "numlstm[cuda13]"')
    return path


@cache
def ptx_of(kernel: Kernel, capability: tuple[int, int]) -> str:
    """The kernel's instructions for a compute capability."""
    # device functions ask which device they are compiled for
    cuda.dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    bounds = kernel.function.targetoptions.get("launch_bounds")
    with indices_as_given():
        [code], _ = cuda.compiler.compile_all(
            kernel.function.py_func,
            kernel.signature,
            device=False,
            abi="numba",
            cc=capability,
            output="ptx",
            launch_bounds=bounds,
        )
    return code


def needs_of(kernel: Kernel, code: str, capability: tuple[int, int], assembler: str) -> Needs:
    """Assemble a kernel."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(code)
        name = "sm_{}{}".format(*capability)
        command = [assembler, "-v", f"-arch={name}", str(path), "-o", str(path.with_suffix(".o"))]
        done = subprocess.run(command, capture_output=True, text=True)
    report = done.stdout + done.stderr
    if done.returncode:
        raise SystemExit(f"{kernel.name} for {name}: {report}")
    spilled = re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", report)
    static = re.findall(r"(\d+) bytes smem", report)
    [registers] = re.findall(r"Used (\d+) registers", report)
    return Needs(
        f"{kernel.name}, {kernel.precision or kernel.dtype}",
        "{}.{}".format(*capability),
        kernel.threads,
        int(registers),
        sum(map(int, static)) + kernel.shared_memory,
        sum(map(int, spilled)),
        len(re.findall(r"^\s+[a-z][\w.]*\.f64\b[^;]*;", code, re.M)),
        len(re.findall(r"\bmma\.sync\b", code)),
        instructions_around(code),
    )


def instructions_around(code: str) -> float:
    """Instructions for each multiply-add of the loop that has most, from shared memory."""
    labels, lines, loops = {}, [], []
    for line in code.splitlines():
        if label := re.match(r"(\$L\w+):", line):
            labels[label[1]] = len(lines)
        elif re.match(r"\s+(@!?%p\d+ )?[a-z][\w.]*\s", line):
            lines.append(line)
            jump = re.search(r"\bbra(?:\.uni)?\s+(\$L\w+);", line)
            if jump and jump[1] in labels:
                loops.append(range(labels[jump[1]], len(lines)))
    counted = [(0, -1)]
    for loop in loops:
        text = "\n".join(lines[loop.start : loop.stop])
        inner = [other for other in loops if other.start in loop and other.stop - 1 in loop]
        if inner == [loop] and "ld.shared" in text and "global" not in text:
            counted.append((text.count("fma."), -len(loop)))
    products, instructions = max(counted)
    return round(-instructions / products, 2) if products else 0.0


def faults(kernel: Kernel, needs: Needs, device: regimes.Device) -> list[str]:
    """What is wrong with a kernel on a device, in words."""
    allocated = -(-needs.registers // 8) * 8 * -(-needs.threads // 32) * 32
    checks = {
        f"it spills {needs.spilled} bytes": needs.spilled > 0,
        f"it needs {allocated} registers": allocated > REGISTERS
        or needs.registers > MOST_REGISTERS,
        f"it needs {needs.shared_memory} bytes of shared memory": needs.shared_memory
        > device.shared_memory,
        f"it has {needs.doubles} double-precision instructions": kernel.dtype == "float32"
        and needs.doubles > 0,
        f"it has {needs.tensor_cores} instructions of tensor cores": (needs.tensor_cores > 0)
        != (kernel.precision is not None),
        f"it has {needs.around} instructions for a multiply-add": kernel.precision is None
        and kernel.name.startswith(("forward, plain", "backward, plain", "product"))
        and not 0 < needs.around <= MOST_AROUND,
    }
    return [f"{needs.kernel} for {needs.capability}: {what}" for what, bad in checks.items() if bad]


def table(rows: list[Needs]) -> Iterator[str]:
    """Registers / KiB of shared memory, a kernel a line, a compute capability a column."""
    capabilities = list(dict.fromkeys(row.capability for row in rows))
    cells_of: dict[str, dict[str, str]] = {}
    for row in rows:
        text = f"{row.registers} / {row.shared_memory / KIB:.0f}"
        cells_of.setdefault(row.kernel, {})[row.capability] = text
    yield "| Registers of a thread / KiB of a block | " + " | ".join(capabilities) + " |"
    yield "|---|" + " ---: |" * len(capabilities)
    for kernel, found in cells_of.items():
        yield f"| {kernel} | " + " | ".join(found.get(one, "") for one in capabilities) + " |"


def checked(devices: tuple[regimes.Device, ...], quick: bool) -> tuple[list[Needs], list[str]]:
    """The rows of some devices, and what is wrong; with `quick`, compiled for the first of them."""
    rows, wrong, assembler = [], [], ptxas()
    for device in devices:
        for kernel in kernels_of(device, quick):
            code = ptx_of(kernel, devices[0].capability)
            rows.append(needs_of(kernel, code, device.capability, assembler))
            wrong += faults(kernel, rows[-1], device)
    return rows, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few sizes, float32, compiled for 7.5 and 8.0 and assembled for all",
    )
    parser.add_argument("--output", type=Path, metavar="JSON")
    options = parser.parse_args()
    parts = [DEVICES[:1], DEVICES[1:]] if options.quick else [(device,) for device in DEVICES]
    # a process each: in one, Numba keeps what it compiled for another capability
    with get_context("spawn").Pool(maxtasksperchild=1) as pool:
        found = pool.starmap(checked, [(part, options.quick) for part in parts], chunksize=1)
    rows = [row for part, _ in found for row in part]
    wrong = [fault for _, part in found for fault in part]
    print("\n".join(table(rows)))
    print(f"{len(rows)} kernels: {len(wrong)} faults", *wrong, sep="\n")
    if options.output:
        report = {"date": date.today().isoformat(), "kernels": [row._asdict() for row in rows]}
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
