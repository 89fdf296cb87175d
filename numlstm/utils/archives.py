"""Archives of arrays: .npz files of which every byte is accounted for before an array is made.

What is read is what `zipfile` and NumPy write: members that are stored and neither compressed nor
encrypted, one behind the other without a gap, then their directory, which says the same, then the
end. So a member has the size that it declares, none lies in another, none is there twice, and an
archive needs no more memory than its own size. Headers are compared, never evaluated, and arrays
hold numbers alone. Whatever is wrong is a ValueError that says what and where.
"""

import math
import re
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np

# the records of a zip archive, as in PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_FULL, _FULL_COUNT = 2**32 - 1, 2**16 - 1  # in a field: the number stands elsewhere
_VERSION_64 = 45  # of the records for large archives
_UTF_8 = 0x800  # the flag of a name that is not ASCII
_EXTENSION = ".npy"

_NPY = b"\x93NUMPY"
_LARGEST_HEADER = 10_000  # bytes of a member's own header, as in NumPy
_LARGEST_RANK = 32
_HEADER = re.compile(
    rb"\{'descr': (.{1,99}), 'fortran_order': (True|False), 'shape': (\([0-9, ]*\)), \} *\n?"
)
_NUMBERS = re.compile(rb"'([<>|][biufcmM][0-9]{1,2}(?:\[[0-9A-Za-z]{1,20}\])?)'")


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    place: int  # of its local header
    fields: tuple[int, ...]  # flags, method, time, date and checksum, which the directory repeats
    content: memoryview
    end: int  # where it ends, and what follows begins

    def where(self) -> str:
        """The member, in errors."""
        return f"the member {self.name!r}"


def unpack(archive: memoryview, comment: int = 0) -> dict[str, np.ndarray]:
    """The arrays of an archive by name, each in memory of its own.

    `archive` ends before the comment, of which the size is given.
    """
    members, place = [], 0
    while bytes(archive[place : place + 4]) != b"PK\1\2":
        members.append(_member(archive, place))
        place = members[-1].end
    _require_directory(archive, place, members, comment)
    arrays: dict[str, np.ndarray] = {}
    for member in members:
        name = member.name.removesuffix(_EXTENSION)
        if name in arrays or name == member.name:
            raise ValueError(f"{member.where()} is there twice, or is no array")
        arrays[name] = _array(member)
    return arrays


def _member(archive: memoryview, place: int) -> Member:
    """The member whose local header is at a place, and whose bytes lie within the archive."""
    if place + _LOCAL.size > len(archive):
        raise ValueError(f"a member or the directory was to begin at byte {place}")
    signature, _, *fields, packed, size, name_size, extra_size = _LOCAL.unpack_from(archive, place)
    if signature != b"PK\3\4":
        raise ValueError(f"neither a member nor the directory begins at byte {place}")
    start = place + _LOCAL.size
    name = _name(archive[start : start + name_size], fields[0])
    extra = archive[start + name_size : start + name_size + extra_size]
    size, packed = _sizes_64(name, extra, size, packed)
    start += name_size + extra_size
    content = archive[start : start + size]
    if packed != size or len(content) != size or fields[1] != 0 or fields[0] not in (0, _UTF_8):
        raise ValueError(
            f"the member {name!r} is compressed or encrypted, or has not the {size} bytes that it "
            "declares: members are stored as they are"
        )
    return Member(name, place, tuple(fields), content, start + size)


def _name(name: memoryview, flags: int) -> str:
    try:
        return bytes(name).decode("utf-8" if flags & _UTF_8 else "ascii")
    except UnicodeDecodeError:
        raise ValueError(f"a member has a name that is no text: {bytes(name[:99])!r}") from None


def _sizes_64(name: str, extra: memoryview, *sizes: int) -> list[int]:
    """Sizes and places of which those that are too large stand in the extra field, in order."""
    count = sizes.count(_FULL)
    expected = struct.pack("<2H", 1, 8 * count) if count else b""
    if len(extra) != len(expected) + 8 * count or bytes(extra[: len(expected)]) != expected:
        raise ValueError(f"the member {name!r} has an extra field that is not of its size")
    large = iter(struct.unpack_from(f"<{count}Q", extra, len(expected)))
    return [next(large) if size == _FULL else size for size in sizes]


def _require_directory(
    archive: memoryview, start: int, members: list[Member], comment: int
) -> None:
    """Refuse a directory that does not list these members, and an end that is not of it."""
    place = start
    for member in members:
        place = _require_entry(archive, place, member)
    numbers, size = len(members), place - start
    end = _END.pack(
        *(b"PK\5\6", 0, 0, min(numbers, _FULL_COUNT), min(numbers, _FULL_COUNT)),
        *(min(size, _FULL), min(start, _FULL), comment),
    )
    large = _END_64.pack(
        *(b"PK\6\6", _END_64.size - 12, _VERSION_64, _VERSION_64, 0, 0),
        *(numbers, numbers, size, start),
    )
    large += _LOCATOR.pack(b"PK\6\7", 0, place, 1)
    if bytes(archive[place : place + len(large) + len(end) + 1]) not in (end, large + end):
        raise ValueError("the directory of its members is not followed by an end that is of it")


def _require_entry(archive: memoryview, place: int, member: Member) -> int:
    """Refuse another entry than that of a member; the place where the next one begins."""
    if place + _ENTRY.size > len(archive):
        raise ValueError(f"{member.where()} is not in the directory")
    entry = _ENTRY.unpack_from(archive, place)
    signature, _, _, *fields, packed, size, name_size, extra_size = entry[:12]
    comment_size, disk, _, _, offset = entry[12:]
    place += _ENTRY.size
    name = _name(archive[place : place + name_size], fields[0])
    extra = archive[place + name_size : place + name_size + extra_size]
    found = name, *_sizes_64(name, extra, size, packed, offset), *fields, comment_size, disk
    expected = len(member.content)
    if signature != b"PK\1\2" or found != (
        *(member.name, expected, expected, member.place, *member.fields, 0, 0),
    ):
        raise ValueError(f"{member.where()} has another entry in the directory")
    after: int = place + name_size + extra_size
    return after


def _array(member: Member) -> np.ndarray:
    """The array in a member, whose size its shape and type must make."""
    if zlib.crc32(member.content) != member.fields[-1]:
        raise ValueError(f"{member.where()} has another checksum")
    start = _data_start(member)
    header = _HEADER.fullmatch(bytes(member.content[:start]), start - _header_size(member))
    if header is None:
        raise ValueError(f"{member.where()} has a header that NumPy does not write")
    dtype, shape = _dtype(member, header[1]), _shape(member, header[3])
    if math.prod(shape) * dtype.itemsize != len(member.content) - start:
        raise ValueError(
            f"{member.where()} has {len(member.content) - start} bytes, and its shape {shape} and "
            f"type {dtype} make others"
        )
    order: Any = "F" if header[2] == b"True" else "C"
    return np.ndarray(shape, dtype, member.content, start, order=order).copy(order="K")


def _data_start(member: Member) -> int:
    """Where the numbers of a member begin."""
    content = member.content
    if bytes(content[: len(_NPY)]) != _NPY:
        raise ValueError(f"{member.where()} is no array of NumPy's")
    start = len(_NPY) + 2 + _size_of_size(member) + _header_size(member)
    if start > min(len(content), _LARGEST_HEADER):
        raise ValueError(f"{member.where()} has a header that does not end")
    return start


def _size_of_size(member: Member) -> int:
    version = bytes(member.content[len(_NPY) : len(_NPY) + 2])
    sizes = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}
    if version not in sizes:
        raise ValueError(f"{member.where()} has an unknown version of NumPy's format")
    return sizes[version]


def _header_size(member: Member) -> int:
    start, size = len(_NPY) + 2, _size_of_size(member)
    return int.from_bytes(member.content[start : start + size], "little")


def _dtype(member: Member, text: bytes) -> np.dtype[Any]:
    """A type of numbers, as it says what it is called itself."""
    shown = text.decode("ascii", "replace")
    if text.startswith(b"'|O"):
        raise ValueError(f"Object arrays are never read, and {member.where()} is one")
    numbers = _NUMBERS.fullmatch(text)
    try:
        dtype = np.dtype(numbers[1].decode()) if numbers else None
    except (TypeError, ValueError, OverflowError):
        dtype = None
    if dtype is None or repr(dtype.str) != shown:
        raise ValueError(f"{member.where()} has the type {shown}, which is none of numbers")
    return dtype


def _shape(member: Member, text: bytes) -> tuple[int, ...]:
    found = re.findall(r"[0-9]{1,19}", text.decode())
    shape = tuple(map(int, found[: _LARGEST_RANK + 1]))
    if len(shape) > _LARGEST_RANK or repr(shape) != text.decode() or max(shape, default=0) >= 2**62:
        raise ValueError(f"{member.where()} has the shape {text[:99].decode()}, which is none")
    return shape
