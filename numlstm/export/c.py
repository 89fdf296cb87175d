"""A network as one C99 file and its header, its numbers in it."""

import os
import re
import textwrap
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np

from numlstm._version import __version__
from numlstm.architecture.parameters import blocks, split
from numlstm.architecture.spec import NetworkSpec
from numlstm.cell.encoding import encode
from numlstm.cell.equations import OF_GATES_AND_CELL, OFF, sees_cell_early
from numlstm.data.scaling import Scaling
from numlstm.export.cell import CellWriter, literal
from numlstm.export.static import static_fields
from numlstm.utils import replacing
from numlstm.utils.files import path_of

NUMBERS = {"float32": "float", "float64": "double"}
# files NAME.h that others include as <NAME.h>, and would find ours: of C, of POSIX, of glibc, of
# compilers and MPI
_HEADERS = """
assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath
threads time uchar wchar wctype

aio cpio dirent dlfcn endian fcntl fmtmsg fnmatch ftw glob grp iconv langinfo libgen libintl
monetary mqueue ndbm netdb nl_types poll pthread pwd regex regexp sched search semaphore spawn
strings stropts syslog tar termios trace ulimit unistd utime utmpx varargs wordexp

aliases alloca ar argp argz byteswap crypt elf envz err error execinfo features fpu_control fstab
fts gconv getopt gshadow ieee754 ifaddrs lastlog libio link malloc mcheck memory mntent nss obstack
paths printf proc_service pty re_comp resolv sgtty shadow stab stdio_ext syscall sysexits syslimits
term termcap termio thread_db ttyent ucontext ustat utmp values wait xlocale

acc_prof altivec arm64intr arm_acle arm_bf16 arm_cde arm_cmse arm_fp16 arm_mve arm_neon arm_sve
armintr backtrace builtins cet cpuid gcov mm3dnow mm_malloc mpi msa omp openacc quadmath
quadmath_weak riscv_vector stdfix unwind vadefs wasm_simd128
conio corecrt crtdefs direct io new process sal vcruntime windows winsock2
"""
HEADERS = frozenset(_HEADERS.split())
_INTRINSICS = "intrin"  # how dozens of them end, many within <immintrin.h>
# the parameters of a layer that the template names, and their shapes, matrices by their columns;
# others may be in the equations of the cell
FIELDS = {
    "weight_ih": "[inputs][GATES][UNITS]",
    "weight_hh": "[HIDDEN][GATES][UNITS]",
    "bias": "[GATES][UNITS]",
    "peephole": "[the gates that have one][UNITS]; this one and those below: null, if not used",
    "gain": "[GATES][UNITS]",
    "cell_gain": "[UNITS]",
    "cell_bias": "[UNITS]",
    "weight_hr": "[UNITS][HIDDEN]",
    "initial_h": "[HIDDEN]",
    "initial_c": "[UNITS]",
}


# the line of direct connections, from the inputs to the outputs
_DIRECT = "\n    multiply(INPUTS, OUTPUTS, head_direct, x, y);"


class Source(NamedTuple):
    """A network to export, its parameters, and the units of its data."""

    spec: NetworkSpec
    theta: np.ndarray
    scaling: Scaling | None  # None: x and y are in the network's units
    summary: str  # a line for the reader of the file


def export_c(source: Source, path: str | bytes | os.PathLike[str]) -> None:
    """Write the C file and, beside it, its header."""
    replacing.replace(c_files(source, checked_path(path, ".c")))


def c_files(source: Source, path: Path) -> dict[str, bytes]:
    """The C file and its header, beside a file of that name: contents by path."""
    fields = layout(source, path.stem, "\n   ") | {"network": network_part(source)}
    fields |= CellWriter(source.spec).fields()
    fields["parameters"] = members(source.spec)
    fields["direct"] = _DIRECT if source.spec.direct_input else ""
    names = {f"lstm{suffix}.in": str(path.with_suffix(suffix)) for suffix in (".c", ".h")}
    return {name: filled(template, fields) for template, name in names.items()}


def checked_path(path: str | bytes | os.PathLike[str], suffix: str) -> Path:
    """A path whose name can begin the names in C and Fortran."""
    path = Path(path_of(path))
    name = path.stem.lower()  # there are file systems on which they are the same
    if name in HEADERS or name.endswith(_INTRINSICS):
        raise ValueError(
            f"{path.stem}.h is a header of C itself or of a system, in whose place programs would "
            f"read this one: choose another name, such as {path.stem}_net{suffix}"
        )
    if path.suffix != suffix or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", path.stem):
        raise ValueError(
            f"the file must be called NAME{suffix}, where NAME begins the names of the functions "
            f"in it: a letter, then letters, digits or _, at most 40; received {str(path)!r}"
        )
    return path


def layout(source: Source, name: str, new_line: str) -> dict[str, Any]:
    """Names and sizes for every template; `new_line` continues a comment."""
    spec = source.spec
    return {
        "name": name,
        "NAME": name.upper(),
        "version": __version__,
        "summary": new_line.join(textwrap.wrap(source.summary, 90)),
        "number": NUMBERS[spec.dtype],
        "is_double": int(spec.dtype == "float64"),
        "inputs": spec.input_size,
        "outputs": spec.width,
        "layers": spec.num_layers,
        "units": spec.hidden_size,
        "hidden": spec.hidden_width,
    } | static_fields(spec, name, NUMBERS[spec.dtype])


def filled(template: str, fields: dict[str, Any]) -> bytes:
    """A template with its fields filled in."""
    text = files("numlstm.export").joinpath(template).read_text(encoding="ascii")
    return Template(text).substitute(fields).encode("ascii")


def network_part(source: Source) -> str:
    """The section of the C file that no other network has."""
    spec, parts = source.spec, list(blocks(source.spec, source.theta))
    keys = (*FIELDS, *others(spec))
    lines, table = switches(spec), []
    for index, (layer, theta) in enumerate(zip(spec.layers, parts, strict=False)):
        views = split(layer.shapes, theta)
        lines += [array(f"{key}_{index}", by_columns(view)) for key, view in views.items()]
        names = [f"{key}_{index}" if key in views else "NULL" for key in keys]
        table.append(f"    {{{layer.input_size}, {', '.join(names)}}}")
    lines += ["static const layer NETWORK[LAYERS] = {\n" + ",\n".join(table) + "\n};\n"]
    head = split(spec.head.shapes, parts[len(spec.layers)]) if spec.head else {}
    lines += [array(f"head_{key}", by_columns(view)) for key, view in head.items()]
    for key in ("weight", "bias"):
        value = f"head_{key}" if head else "NULL"
        lines.append(f"static const number *const HEAD_{key.upper()} = {value};")
    if spec.direct is not None:
        weight = parts[-1].reshape(spec.direct.shapes["weight"])
        lines.append(array("head_direct", by_columns(weight)))
    return "\n".join([*lines, *units_of_data(source), ""])


def members(spec: NetworkSpec) -> str:
    """The parameters of a layer as members of its struct, in the order of its initialisers."""
    lines = [f"const number *{key}; /* {shape} */" for key, shape in FIELDS.items()]
    return "\n    ".join(lines + [f"const number *{key};" for key in others(spec)])


def others(spec: NetworkSpec) -> list[str]:
    """The parameters of a layer that only the equations of the cell know."""
    return [key for key in spec.layers[0].shapes if key not in (*FIELDS, "weight_is")]


def switches(spec: NetworkSpec) -> list[str]:
    """Macros of the network beside the equations of its cell."""
    variant = encode(spec.layers[0])
    flags = {
        "GATES": len(spec.cell.gates),
        "NORMALISED": int(variant.layer_norm != OFF),
        "NORMALISED_CELL": int(variant.layer_norm == OF_GATES_AND_CELL),
        "EPSILON": variant.layer_norm_epsilon,
        "EARLY": int(sees_cell_early(variant)),
        "PROJECTION": int(spec.proj_size is not None),
        "RESIDUAL": int(spec.residual),
        "LEARNED_STATE": int(spec.learned_state),
    }
    return [f"#define {name} {value}" for name, value in flags.items()]


def units_of_data(source: Source) -> list[str]:
    """Mean and scale of inputs and outputs, in double as in `Scaling`; 0 and 1 for none."""
    size, scaling = source.spec.input_size, source.scaling
    scaling = scaling or Scaling(np.zeros(size), np.ones(size))
    y_scale, y_mean = scaling.of_outputs(source.spec.width)
    values = {
        "X_MEAN": scaling.x_mean,
        "X_SCALE": scaling.x_scale,
        "Y_MEAN": y_mean,
        "Y_SCALE": y_scale,
    }
    if source.spec.static_size:
        unit: tuple[np.ndarray, np.ndarray]
        unit = np.zeros(source.spec.static_size), np.ones(source.spec.static_size)
        if scaling.static_mean is not None and scaling.static_scale is not None:
            unit = scaling.static_mean, scaling.static_scale
        values |= {"STATIC_MEAN": unit[0], "STATIC_SCALE": unit[1]}
    return [array(name, value, "double") for name, value in values.items()]


def by_columns(view: np.ndarray) -> np.ndarray:
    """A matrix by its columns, which the C file runs through; a vector as it is."""
    return view.T.ravel()


def array(name: str, values: np.ndarray, kind: str = "number") -> str:
    """The definition of an array of constants."""
    rows = (", ".join(map(literal, values[k : k + 6])) for k in range(0, values.size, 6))
    body = ",\n    ".join(rows)
    return f"static const {kind} {name}[{values.size}] = {{\n    {body}\n}};"
