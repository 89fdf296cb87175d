"""A network as a Fortran module: the interface of the C file."""

import os

from numlstm.export.c import Source, c_files, checked_path, filled, layout
from numlstm.utils import replacing

# modules that programs use beside this one, and names that it has from them
_TAKEN = """
iso_c_binding iso_fortran_env ieee_arithmetic ieee_exceptions ieee_features
omp_lib omp_lib_kinds openacc openacc_kinds mpi mpi_f08
c_int c_float c_double
"""
TAKEN = frozenset(_TAKEN.split())


def export_fortran(source: Source, path: str | bytes | os.PathLike[str]) -> None:
    """Write the Fortran module and, beside it, the C file and its header."""
    path = checked_path(path, ".f90")
    if path.stem.lower() in TAKEN:
        raise ValueError(
            f"{path.stem} is a module of Fortran itself, or a name from one: choose another name, "
            f"such as {path.stem}_net.f90"
        )
    module = filled("lstm.f90.in", layout(source, path.stem, "\n! "))
    replacing.replace(c_files(source, path) | {str(path): module})
