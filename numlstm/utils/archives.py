"""Archives of arrays: .npz files that are looked at before an array of them is made.

`zipfile` reads the archive. Its members are stored, neither compressed nor encrypted, each there
once, and together no larger than the file: so reading takes no more memory than a copy of it. The
headers of the arrays are compared, never evaluated, and arrays hold numbers alone. Whatever is
wrong is a ValueError or one of zipfile's errors, and says what and where.
"""

import io
import math
import re
import zipfile
from typing import Any

import numpy as np

_LARGEST_DIRECTORY = 2**16  # bytes; ours have a thousand
_UTF_8 = 0x800  # the flag of a name that is not ASCII
_EXTENSION = ".npy"

# an array as NumPy writes it, in version 1 of its format: size of the header, type, order and shape
_SIZE = slice(8, 10)
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<>|][biufcmM][0-9]{1,2}(?:\[[0-9A-Za-z]{1,20}\])?)', "
    rb"'fortran_order': (True|False), 'shape': (\([0-9, ]{0,600}\)), \} *\n",
    re.DOTALL,
)
_LARGEST_RANK = 32


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive by name, each in memory of its own."""
    file = _Archive(data)
    with zipfile.ZipFile(file) as archive:
        file.largest = len(data)
        members = archive.infolist()
        _require_plain(members, len(data))
        return {
            member.filename.removesuffix(_EXTENSION): _array(archive, member) for member in members
        }


class _Archive(io.BytesIO):
    """An archive whose directory `zipfile` reads at once, and makes a noun of every entry."""

    largest = _LARGEST_DIRECTORY

    def read(self, size: int | None = -1) -> bytes:
        """Some bytes, or all that are left; no directory that is too large."""
        if size is not None and size > self.largest:
            raise ValueError(f"the directory of its members has {size} bytes")
        return super().read(size)


def _require_plain(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse members that may be larger than they are in the file, and others than arrays."""
    names: set[str] = set()
    for member in members:
        name = member.filename
        if name in names or not name.endswith(_EXTENSION):
            raise ValueError(f"the member {name[:99]!r} is there twice, or is not an array")
        names.add(name)
        stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & ~_UTF_8
        if not stored or member.file_size != member.compress_size:
            raise ValueError(
                f"the member {name[:99]!r} is compressed or encrypted: members are stored as they "
                "are"
            )
    if (total := sum(member.file_size for member in members)) > size:
        raise ValueError(f"its members have {total} bytes, more than the {size} of the file")


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except EOFError:  # which says no more
        raise ValueError(f"the member {member.filename!r} ends outside the file") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """The array in a member, whose size its shape and type must make."""
    name, content = member.filename, _content(archive, member)
    header = _HEADER.match(content)
    if header is None or header.end() != _SIZE.stop + int.from_bytes(content[_SIZE], "little"):
        raise ValueError(f"the member {name!r} is not an array of numbers as NumPy writes it")
    start, size = header.end(), len(content) - header.end()
    dtype, shape = _dtype(name, header[1].decode()), _shape(name, header[3].decode())
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(
            f"the member {name!r} has {size} bytes, and its shape {shape} and type {dtype} make "
            "others"
        )
    order: Any = "F" if header[2] == b"True" else "C"
    return np.ndarray(shape, dtype, content, start, order=order).copy(order="K")


def _dtype(name: str, text: str) -> np.dtype[Any]:
    try:
        return np.dtype(text)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"the member {name!r} has the invalid type {text!r}") from None


def _shape(name: str, text: str) -> tuple[int, ...]:
    shape = tuple(map(int, re.findall("[0-9]+", text)))
    if len(shape) > _LARGEST_RANK or repr(shape) != text or max(shape, default=0) >= 2**62:
        raise ValueError(f"the member {name!r} has the invalid shape {text[:99]}")
    return shape
