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

import numlstm

# what the kernels of every backend are made of, beside the files of its own
SHARED = ("activations", "cell", "elementary", "families")


def folder(usual: str, versions: Iterable[str], sources: Iterable[Path]) -> Path:
    """The folder for these sources and versions of the compiler; `usual` is the user's."""
    stamp = hashlib.sha256(repr((sys.version, *versions)).encode())
    package = Path(numlstm.__file__).parent
    for path in (*(package / f"{name}.py" for name in SHARED), *sources):
        stamp.update(path.read_bytes())
    root = os.environ.get("NUMLSTM_CACHE_DIR") or usual
    return Path(root) / f"{numlstm.__version__}-{stamp.hexdigest()[:16]}"


def name(function: str, key: object) -> str:
    """The file of a function, for whatever it was compiled for."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    return f"{function.removeprefix('numlstm.backends.')}-{digest}"


def read(path: Path) -> bytes | None:
    """What was written there, or None; a file that others could have written is not read."""
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
