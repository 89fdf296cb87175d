"""Files that are whole or refused: model files and checkpoints.

A file is an ordinary .npz archive, so ``np.load(path)`` opens it: one member per array, and
``header``, JSON as UTF-8 bytes, with the format's name and version, the kind of file and a
dictionary of plain values. Nothing is ever pickled or unpickled. The archive's comment, its last
32 bytes, is the SHA-256 of all that lies before it: zip checks its members only, and any damage
to a file must be seen. It says nothing of who wrote the file: `archives` and `schema` check what
is read, and whatever is wrong is a `StorageError`.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any, TypeAlias

import numpy as np

from numlstm.utils import archives, checks, known_files, replacing, schema

FORMAT, VERSION = "numlstm", 2
WRITERS = {1: "0.1"}  # older versions of the format, and the numlstm that wrote them
# kinds of files that older versions wrote in a way that is still read: not checkpoints, since a run
# goes on to the same numbers only where everything about it is as it was
READABLE = {"model": (1, VERSION)}

Target: TypeAlias = str | bytes | os.PathLike[str] | IO[bytes]  # a path, or an open binary file

_MAGIC = b"PK\3\4"  # how a zip archive begins
_DIGEST_SIZE = hashlib.sha256().digest_size
# how it ends but for its comment: places and counts, and the size of the comment
_END = re.compile(b"PK\5\6.{16}" + re.escape(struct.pack("<H", _DIGEST_SIZE)), re.DOTALL)
_LARGEST_HEADER = {"model": 2**24}  # bytes of JSON; a history may have any number of epochs
_LONGEST = 600  # characters of what was wrong, in an error
_DEEPEST = 16  # lists and dictionaries within one another; none of ours has half as many
# of JSON: what a bracket adds to the depth, and what is not a bracket
_DEPTHS = bytes({"[": 1, "{": 1, "]": 255, "}": 255}.get(chr(code), 0) for code in range(256))
_NO_BRACKETS = bytes(code for code in range(256) if not _DEPTHS[code])


class StorageError(ValueError):
    """A file is damaged, or is not of the kind asked for; the message names it and says why."""


class OtherContent(ValueError):
    """A file is whole, and what it holds is something else than what is asked for."""


def write_checkpoint(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], meta: dict[str, Any]
) -> None:
    """Write a checkpoint crash-safely; `meta` holds what JSON can, its floats survive exactly."""
    write(path, "checkpoint", arrays, meta)


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the meta of a checkpoint; `StorageError` for anything else."""
    return read(path, "checkpoint")


def path_of(value: Any, name: str = "path") -> str:
    """A path as text; what is not a path is refused."""
    if isinstance(value, bytes) and value.startswith(_MAGIC):
        raise TypeError(f"{name} holds the content of a file: pass io.BytesIO(...) of it")
    try:
        path = os.fsdecode(value)
    except TypeError:
        raise TypeError(f"{name} must be a path, received {checks.shown(value)}") from None
    if not path:
        raise ValueError(f"{name} must name a file, received {checks.shown(value)}")
    return path


def write(
    target: Target, kind: str, arrays: Mapping[str, np.ndarray], meta: dict[str, Any]
) -> None:
    """Write a file of some `kind`; at a path it appears whole or, after a crash, not at all."""
    header = {"format": FORMAT, "version": VERSION, "kind": kind, "meta": meta}
    write_bytes(target, _seal(_pack(header, arrays)))


def write_bytes(target: Target, data: bytes) -> None:
    """Write a file; at a path it appears whole or, after a crash, not at all."""
    if _is_open(target, "write"):
        _write_to(target, data)
    else:
        replacing.replace({path_of(target): data})


def read(target: Target, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the meta of a file of some `kind`; `StorageError` for anything else."""
    return _content(_name(target), read_bytes(target), kind)


def read_bytes(target: Target) -> bytes:
    """All of a regular file, or of an open one from where it stands to its end."""
    if _is_open(target, "read"):
        return _read_from(target)
    with _regular(path_of(target)) as file:
        try:
            return file.read(os.fstat(file.fileno()).st_size)  # of some in /proc there is no end
        except MemoryError as error:
            raise _too_large(_name(target)) from error


def refusing(target: Target, *, whole: bool = False) -> contextlib.AbstractContextManager[None]:
    """Let whatever is wrong with the content of a file be a `StorageError` that names the file.

    A file that is known to be `whole` may hold something else than what is asked for: of such a one
    a ValueError or TypeError becomes a ValueError that names the file.
    """
    return _refusing(_name(target), whole)


@contextlib.contextmanager
def _refusing(name: str, whole: bool = False) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        if name in str(error):
            raise
        raise StorageError(f"{name} is refused: {error}") from error
    except MemoryError as error:
        raise _too_large(name) from error
    except Exception as error:  # of checks that were written for arguments, too
        words = str(error)[:_LONGEST] or type(error).__name__
        honest = (ValueError, TypeError) if whole else OtherContent
        kind = ValueError if isinstance(error, honest) else StorageError
        raise kind(f"{name} is refused: {words}") from error


def _too_large(name: str) -> StorageError:
    return StorageError(f"{name} needs more memory than there is: it is as large as it says")


def _name(target: Target) -> str:
    """A file in errors."""
    if _is_open(target, "read"):
        return f"the file {getattr(target, 'name', target)!r}"
    return repr(path_of(target))


@contextlib.contextmanager
def _regular(path: str) -> Iterator[IO[bytes]]:
    """A regular file, opened to be read; of others the opening or reading may never end."""
    _require_regular(path, os.stat(path))
    # between the two calls there may be another one
    with open(path, "rb", opener=_open_at_once) as file:
        _require_regular(path, os.fstat(file.fileno()))
        if os.name == "posix":
            os.set_blocking(file.fileno(), True)
        yield file


def _open_at_once(path: str, flags: int) -> int:
    """The descriptor of whatever there is, without waiting for somebody at its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _require_regular(path: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if (kind := replacing.kind_of(found.st_mode)) is not None:
        raise StorageError(
            f"{path!r} is {kind}, and a path must be that of a regular file: open it yourself, and "
            "pass the open file"
        )


def _is_open(target: Any, method: str) -> bool:
    """Whether something is an open file, not a path."""
    return hasattr(target, method) and not hasattr(target, "__fspath__")


def _write_to(file: Any, data: bytes) -> None:
    """Write to an open file, which need not be seekable."""
    try:
        file.write(b"")
    except TypeError:
        raise _text(file) from None
    rest = memoryview(data)
    while rest:  # without a buffer, a call may take a part
        count = file.write(rest)
        if count is None and not isinstance(file, io.RawIOBase):
            return  # of a class that does not say
        if not count:
            raise BlockingIOError(f"{file!r} takes no bytes now: open it as a blocking file")
        rest = rest[count:]


def _read_from(file: Any) -> bytes:
    """An open file from where it stands to its end."""
    try:
        data = file.read()
    except UnicodeError:
        raise _text(file) from None
    if data is None:
        raise BlockingIOError(f"{file!r} has no bytes now: open it as a blocking file")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise _text(file)
    return bytes(data)


def _text(file: Any) -> TypeError:
    return TypeError(
        f"{file!r} is a file of text, and a model is bytes: open it with mode 'wb' or 'rb', or "
        "take io.BytesIO()"
    )


def _content(name: str, data: bytes, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the meta in the bytes of a file."""
    if not _is_whole(data):
        raise StorageError(_damage(name, data))
    with _refusing(name):
        arrays = archives.unpack(data)
        header = _header(arrays, kind)
    _require_readable(name, header, kind)
    return arrays, header["meta"]


def _require_readable(name: str, header: dict[str, Any], kind: str) -> None:
    """Refuse versions that are not known, and other kinds of files."""
    version, readable = header["version"], READABLE.get(kind, (VERSION,))
    if version not in (VERSION, *WRITERS):
        several = "s" * (len(readable) > 1)
        raise StorageError(
            f"{name} has version {version} of the file format, and this numlstm reads "
            f"version{several} {' and '.join(map(str, readable))} of a {kind}; use the numlstm "
            "that wrote it, or a newer one"
        )
    if header["kind"] != kind:
        raise StorageError(f"{name} is a {header['kind'][:99]} file, not a {kind} file")
    if version not in readable:
        raise StorageError(
            f"{name} was written by numlstm {WRITERS[version]}, and a {kind} goes on "
            "with the version that wrote it: use that one, or begin anew with another file name"
        )


def _pack(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz archive as bytes; np.savez would pickle objects and mistake an array named file."""
    if "header" in arrays:
        raise ValueError("no array can be named 'header'; choose another name")
    text = json.dumps(header).encode()
    _require_small(header["kind"], len(text))
    members = {"header": np.frombuffer(text, np.uint8), **arrays}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asarray(array), allow_pickle=False)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(content.getbuffer())
    return buffer.getvalue()


def _header(arrays: dict[str, np.ndarray], kind: str) -> dict[str, Any]:
    """What the member "header" says, which is taken from the arrays."""
    found = arrays.pop("header", None)
    if found is None or found.dtype != np.uint8 or found.ndim != 1:
        raise ValueError("there is no member 'header.npy' of bytes")
    _require_small(kind, found.size)
    header = schema.mapping(
        "the header", plain_values(found.tobytes()), ("format", "version", "kind", "meta")
    )
    schema.one_of("the header's format", header["format"], (FORMAT,))
    schema.whole("the header's version", header["version"])
    schema.text("the header's kind", header["kind"])
    if not isinstance(header["meta"], dict):
        raise ValueError("the header's meta must be a dictionary")
    return header


def _require_small(kind: str, size: int) -> None:
    if size > (largest := _LARGEST_HEADER.get(kind, size)):
        raise ValueError(f"its header has {size} bytes, more than the {largest} of a {kind}")


def plain_values(text: bytes) -> Any:
    """JSON, whoever wrote it: not nested deeply, and every entry once."""
    _require_shallow(text)
    return json.loads(text.decode(), object_pairs_hook=_once)


def _require_shallow(text: bytes) -> None:
    """Refuse JSON that is nested deeper than a parser, on a small stack, can follow."""
    if text.count(b"[") + text.count(b"{") <= _DEEPEST:
        return
    # between every second pair of quotes, but for escaped ones, is a text
    parts = text.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
    steps = b"".join(parts[::2]).translate(_DEPTHS, _NO_BRACKETS)
    if np.frombuffer(steps, np.int8).cumsum(dtype=np.int64).max(initial=0) > _DEEPEST:
        raise ValueError(f"its header has more than {_DEEPEST} lists within one another")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary of JSON, which may have every entry once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has an entry twice")
    return found


def _seal(archive: bytes) -> bytes:
    """The archive with its SHA-256 as its comment, which zip announces by its length."""
    body, size = memoryview(archive)[:-2], struct.pack("<H", _DIGEST_SIZE)
    digest = hashlib.sha256(body)
    digest.update(size)
    return b"".join((body, size, digest.digest()))


def _is_whole(data: bytes) -> bool:
    """Whether the last bytes are the SHA-256 of all others."""
    body, digest = memoryview(data)[:-_DIGEST_SIZE], data[-_DIGEST_SIZE:]
    return hashlib.sha256(body).digest() == digest


def _end_of_first(data: bytes) -> int | None:
    """The size of a whole file that others follow."""
    view, digest, hashed = memoryview(data), hashlib.sha256(), 0
    for end_record in _END.finditer(data):  # of which there may be many: no byte is hashed twice
        body, size = end_record.end(), end_record.end() + _DIGEST_SIZE
        digest.update(view[hashed:body])
        hashed = body
        if size < len(data) and digest.digest() == data[body:size]:
            return size
    return None


def _damage(name: str, data: bytes) -> str:
    """The reason why a file's checksum does not hold, in words."""
    if (size := _end_of_first(data)) is not None:
        return (
            f"{name} holds a whole file of {size} bytes and {len(data) - size} more, which its "
            "checksum does not cover: a file is read to its end, so write each into one of "
            f"its own, or read the first as io.BytesIO(file.read({size}))"
        )
    if not data:
        reason = "is empty, or was read to its end"
    elif not data.startswith(_MAGIC):
        reason = "is not a numlstm file, or its beginning is damaged"
    else:
        reason = "is damaged or cut short, or not written by numlstm: its checksum does not hold"
    return f"{name} {reason}{known_files.hint(data, 'numlstm.load')} ({len(data)} bytes)"
