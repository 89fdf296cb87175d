"""Tables of a FlatBuffer, read with every place checked to lie inside it.

A table begins with the distance to its vtable, which has for every field its place in the table, or
0 where it is left out; strings, vectors and tables inside it are distances from where they stand.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from numlstm.utils import known_files
from numlstm.utils.files import StorageError
from numlstm.utils.types import Array

_MOST = 10_000  # tables in a vector
T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A table at a place in a file."""

    data: bytes
    place: int

    def scalar(self, index: int, kind: str, default: Any) -> Any:
        """A number, of a format of `struct`."""
        at = self._field(index)
        return _number(self.data, at, kind) if at else default

    def text(self, index: int) -> str:
        """A string, for messages."""
        return self.bytes(index)[:80].tobytes().decode(errors="replace")

    def bytes(self, index: int) -> Array:
        """A vector of bytes."""
        return self.vector(index, "<u1")

    def has(self, index: int) -> bool:
        """Whether a field is there."""
        return self._field(index) > 0

    def vector(self, index: int, dtype: str) -> Array:
        """A vector of numbers, where they lie; an empty one if there is none."""
        start, count = self._vector(index)
        size = np.dtype(dtype).itemsize * count
        if start + size > len(self.data):
            raise StorageError(f"a vector of {count} ends behind the end of the file")
        return np.frombuffer(self.data, dtype, count, start)

    def table(self, index: int) -> "Table | None":
        """A table inside this one."""
        at = self._field(index)
        return Table(self.data, _target(self.data, at)) if at else None

    def tables(self, index: int, read: Callable[["Table"], T]) -> list[T]:
        """A vector of tables."""
        start, count = self._vector(index)
        if count > _MOST:
            raise StorageError(f"a vector has {count} tables, more than {_MOST}")
        places = range(start, start + 4 * count, 4)
        return [read(Table(self.data, _target(self.data, at))) for at in places]

    def _vector(self, index: int) -> tuple[int, int]:
        """Where the elements begin, and how many there are."""
        at = self._field(index)
        if not at:
            return 0, 0
        start = _target(self.data, at)
        return start + 4, _number(self.data, start, "<I")

    def _field(self, index: int) -> int:
        """The place of a field, 0 where it is left out."""
        vtable = self.place - _number(self.data, self.place, "<i")
        offset = 4 + 2 * index
        if offset + 2 > _number(self.data, vtable, "<H"):
            return 0
        distance = _number(self.data, vtable + offset, "<H")
        return self.place + distance if distance else 0


EMPTY = Table(struct.pack("<HHi", 4, 4, 4), 4)  # one without fields, which has all defaults


def root(data: bytes, identifier: bytes) -> Table:
    """The outermost table of a file."""
    if data[4:8] != identifier:
        raise StorageError(
            f"it must have {identifier!r} as its bytes 4 to 7, received {bytes(data[4:8])!r}"
            + known_files.hint(data, "from_tflite")
        )
    return Table(data, _target(data, 0))


def _target(data: bytes, at: int) -> int:
    """The place that a distance leads to."""
    return at + int(_number(data, at, "<I"))


def _number(data: bytes, at: int, kind: str) -> Any:
    if not 0 <= at <= len(data) - struct.calcsize(kind):
        raise StorageError(f"a place in it, {at}, lies outside of its {len(data)} bytes")
    return struct.unpack_from(kind, data, at)[0]
