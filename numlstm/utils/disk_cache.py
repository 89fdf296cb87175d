"""Machine code on disk, in a private folder: any fault means that there is none.

The folder is that of the environment variable NUMLSTM_CACHE_DIR, or the user's cache folder. A
kernel here is spread over several files, so what is kept belongs to a digest of all of them.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from numlstm._version import __version__

_PACKAGE = Path(__file__).parent.parent


def folder(usual: str, versions: Iterable[str], parts: Iterable[str]) -> Path:
    """The folder for the sources in parts of the package and for versions of the compiler.

    `usual` is the user's cache folder, `parts` are folders such as "backends/cpu".
    """
    stamp = hashlib.sha256(repr((sys.version, *versions)).encode())
    for path in sources(parts):
        stamp.update(path.relative_to(_PACKAGE).as_posix().encode())
        stamp.update(path.read_bytes())
    root = os.environ.get("NUMLSTM_CACHE_DIR") or usual
    return Path(root) / f"{__version__}-{stamp.hexdigest()[:16]}"


def sources(parts: Iterable[str]) -> list[Path]:
    """The Python files of parts of the package, subfolders included."""
    return sorted(path for part in parts for path in (_PACKAGE / part).rglob("*.py"))


def name(function: str, key: object) -> str:
    """The file of a function, for whatever it was compiled for."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    return f"{function.removeprefix('numlstm.backends.')}-{digest}"


def read(path: Path) -> bytes | None:
    """The payload of a file, or None; a file that others could have written is not read."""
    if not path.exists() or not _is_private(path.parent):
        return None
    content = path.read_bytes()
    digest, payload = content[:32], content[32:]
    return payload if hashlib.sha256(payload).digest() == digest else None


def write(path: Path, payload: bytes) -> None:
    """Write a file beside its place and move it there, so that it is never half."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_private(path.parent):
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(hashlib.sha256(payload).digest() + payload)
    os.replace(file.name, path)


def _is_private(folder: Path) -> bool:
    """Whether nobody else can have put a file there: it is ours, and only we may write."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & 0o022
