"""A network as a Fortran module: the interface of the C file."""

import os

from numlstm.export.c import Source, checked_path, fill, layout, write_c


def export_fortran(source: Source, path: str | os.PathLike[str]) -> None:
    """Write the Fortran module and, beside it, the C file and its header."""
    path = checked_path(path, ".f90")
    write_c(source, path)
    fill("lstm.f90.in", layout(source, path.stem, "\n! "), path)
