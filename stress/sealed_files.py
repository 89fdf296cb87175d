"""Files taken apart, and put together again under a checksum that holds, whatever they are now."""

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numlstm.utils import files


@dataclass
class Member:
    """A member: its array, and what is written of it where it is not what follows from that."""

    name: str
    array: np.ndarray
    npy: dict[str, Any] = field(default_factory=dict)  # descr, shape and others of its header
    method: int = zipfile.ZIP_STORED

    def content(self) -> bytes:
        """The bytes of the .npy file."""
        npy = self.npy
        shape = npy.get("shape", repr(self.array.shape))
        text = (
            f"{{'descr': {npy.get('descr', repr(self.array.dtype.str))}, "
            f"'fortran_order': {npy.get('order', 'False')}, 'shape': {shape}, }}"
        )
        header = npy.get("header", text.encode()) + b" " * 8 + b"\n"
        version, size = npy.get("version", b"\1\0"), npy.get("size", len(header))
        length = struct.pack("<H" if version == b"\1\0" else "<I", size % 2**16)
        payload = npy.get("payload", self.array.tobytes())
        return bytes(npy.get("magic", b"\x93NUMPY") + version + length + header + payload)


@dataclass
class File:
    """A file taken apart."""

    members: list[Member]
    header: Any
    text: bytes | None = None  # the header as it is written, if not as JSON of it
    damage: list[Callable[[bytes], bytes]] = field(default_factory=list)  # of the whole archive

    def data(self) -> bytes:
        """The file put together, and sealed."""
        text = self.text if self.text is not None else json.dumps(self.header).encode()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that are there twice
            for member in self.members:
                if member.name == "header.npy":
                    member.array = np.frombuffer(text, np.uint8)
                archive.writestr(member.name, member.content(), member.method)
        body = buffer.getvalue()
        for change in self.damage:
            body = change(body)
        return sealed(body)


def sealed(body: bytes) -> bytes:
    """A file under a checksum that holds."""
    return files._seal(body) if len(body) > 1 else body


def taken_apart(data: bytes) -> File:
    """An honest file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        arrays = {n: np.load(io.BytesIO(archive.read(n))) for n in archive.namelist()}
    header = json.loads(arrays["header.npy"].tobytes())
    return File([Member(name, array) for name, array in arrays.items()], header)


# the records of a zip archive by how they begin, and where their fields are: PKWARE's APPNOTE.TXT
MEMBER, ENTRY, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
FIELDS: dict[bytes, dict[str, tuple[int, int]]] = {  # offset and size
    MEMBER: {
        "version": (4, 2), "flags": (6, 2), "method": (8, 2), "crc": (14, 4), "packed": (18, 4),
        "size": (22, 4), "name": (26, 2), "extra": (28, 2),
    },
    ENTRY: {
        "version": (6, 2), "flags": (8, 2), "method": (10, 2), "crc": (16, 4), "packed": (20, 4),
        "size": (24, 4), "name": (28, 2), "extra": (30, 2), "comment": (32, 2), "place": (42, 4),
    },
    END: {
        "disk": (4, 2), "here": (8, 2), "count": (10, 2), "size": (12, 4), "place": (16, 4),
    },
}  # fmt: skip


def overwritten(body: bytes, record: bytes, index: int, **fields: int) -> bytes:
    """An archive with other numbers in one of its records, the first one by index 0."""
    start = -1
    for _ in range(index + 1):
        if (start := body.find(record, start + 1)) < 0:
            return body
    made = bytearray(body)
    for name, value in fields.items():
        offset, size = FIELDS[record][name]
        place = slice(start + offset, start + offset + size)
        made[place] = (value % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(made)
