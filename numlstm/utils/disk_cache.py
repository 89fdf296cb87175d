"""Machine code on disk, in a private folder: any fault means that there is none.

The folder is that of the environment variable NUMLSTM_CACHE_DIR, or the user's cache folder. A
kernel here is spread over several files, so what is kept belongs to a digest of all of them.

Entries are pickles, so whoever can write one can run code as the user. What is read is what was
checked: folder and entry are opened once, without following links, and looked at by descriptor.
"""

import hashlib
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from numlstm._version import __version__

_PACKAGE = Path(__file__).parent.parent
_LARGEST = 2**26  # bytes of an entry; the largest kernels have 2**20
_TEMPORARY = ".tmp"
_ABANDONED = 3600.0  # seconds after which nobody is still writing a temporary file

# Windows has neither such descriptors nor owners: folders of a user are private by inheritance
_BY_DESCRIPTOR = {os.open, os.rename, os.unlink} <= os.supports_dir_fd and hasattr(os, "geteuid")
_SAFELY = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

# of Numba's configuration, what changes the machine code, on CPUs or GPUs, or what it links to
OPTIONS = (
    *("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "LLVM_REFPRUNE_PASS", "LLVM_REFPRUNE_FLAGS"),
    *("BOUNDSCHECK", "DEBUGINFO_DEFAULT", "EXTEND_VARIABLE_LIFETIMES", "ENABLE_PROFILING"),
    *("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "DISABLE_INTEL_SVML", "USING_SVML"),
    *("DEBUG_JIT", "DEBUG_NRT", "NRT_STATS", "DEBUG_ARRAY_OPT_RUNTIME", "DIFF_IR"),
    *("PARFOR_MAX_TUPLE_SIZE", "FORCE_CUDA_CC", "CUDA_DEFAULT_PTX_CC", "CUDA_DEBUGINFO_DEFAULT"),
    *("CUDA_DEBUG_POLY", "CUDA_DEBUG_POLY_USE_TYPED_CONST", "CUDA_ENABLE_NRT", "CUDA_NRT_STATS"),
)


def options(config: ModuleType) -> list[object]:
    """What is set of `OPTIONS`, as part of a key; versions of Numba lack some of them."""
    return [getattr(config, option, None) for option in OPTIONS]


def name(function: str, key: object) -> str:
    """The entry of a function, for whatever it was compiled for."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    return f"{function.removeprefix('numlstm.backends.')}-{digest}"


def sources(parts: Iterable[str]) -> list[Path]:
    """The Python files of parts of the package, subfolders included."""
    return sorted(path for part in parts for path in (_PACKAGE / part).rglob("*.py"))


class Store(NamedTuple):
    """A folder of entries, and whether the user named it: then root's are trusted, too."""

    folder: Path
    named: bool

    def read(self, name: str) -> bytes | None:
        """The payload of an entry, or None; what others could have written is not read."""
        with suppress(OSError), self._opened() as folder:
            with _opened(self._at(name), os.O_RDONLY, folder) as entry:
                status = os.fstat(entry)
                if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
                    return None
                self._require_trusted(status)
                with open(entry, "rb", closefd=False) as file:
                    content = file.read()
            digest, payload = content[:32], content[32:]
            return payload if digest == self._digest(name, payload) else None
        return None

    def write(self, name: str, payload: bytes) -> None:
        """Write an entry beside its place and move it there, so that it is never half."""
        _make_private(self.folder)
        with self._opened() as folder:
            self._remove_abandoned(folder)
            temporary = self._at(f"{name}.{secrets.token_hex(8)}{_TEMPORARY}")
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with (
                    _opened(temporary, flags, folder) as entry,
                    open(entry, "wb", closefd=False) as file,
                ):
                    file.write(self._digest(name, payload) + payload)
                os.replace(temporary, self._at(name), src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise

    @contextmanager
    def _opened(self) -> Iterator[int | None]:
        """The folder, by descriptor: it stays the one that was checked, whatever its path is."""
        if not _BY_DESCRIPTOR:
            yield None
            return
        with _opened(self.folder, os.O_RDONLY | os.O_DIRECTORY) as folder:
            self._require_trusted(os.fstat(folder))
            yield folder

    def _at(self, name: str) -> str:
        """An entry as a path, from the folder's descriptor where there is one."""
        return name if _BY_DESCRIPTOR else str(self.folder / name)

    def _require_trusted(self, status: os.stat_result) -> None:
        """Refuse what is not ours, nor root's where root is trusted, or what others may write."""
        if not _BY_DESCRIPTOR:
            return
        owners = (os.geteuid(), 0) if self.named else (os.geteuid(),)
        if status.st_uid not in owners or status.st_mode & 0o022:
            raise PermissionError(f"others could have written to {self.folder}")

    def _digest(self, name: str, payload: bytes) -> bytes:
        """Of the payload and its place, so that an entry is good under its own name only."""
        digest = hashlib.sha256(f"{self.folder.name}/{name}\0".encode())
        digest.update(payload)
        return digest.digest()

    def _remove_abandoned(self, folder: int | None) -> None:
        """Remove what processes were writing when they were killed."""
        for name in os.listdir(self.folder if folder is None else folder):
            if name.endswith(_TEMPORARY):
                with suppress(OSError):  # another process was faster
                    status = os.stat(self._at(name), dir_fd=folder, follow_symlinks=False)
                    if time.time() - status.st_mtime > _ABANDONED:
                        os.unlink(self._at(name), dir_fd=folder)


def store(usual: str, versions: Iterable[str], parts: Iterable[str]) -> Store:
    """The store for the sources in parts of the package and for versions of the compiler.

    `usual` is the user's cache folder, `parts` are folders such as "backends/cpu".
    """
    named = os.environ.get("NUMLSTM_CACHE_DIR")
    if not named and not os.path.isabs(usual):  # "~/.cache": a user without a home
        raise FileNotFoundError(f"{usual} is no cache folder")
    stamp = hashlib.sha256(repr((sys.version, *versions)).encode())
    paths = sources(parts)
    if not paths:  # in a zip file, say: an edit would not be seen
        raise FileNotFoundError(f"{_PACKAGE} has no sources")
    for path in paths:
        stamp.update(path.relative_to(_PACKAGE).as_posix().encode())
        stamp.update(path.read_bytes())
    root = Path(named or usual).absolute()
    return Store(root / f"{__version__}-{stamp.hexdigest()[:16]}", bool(named))


@contextmanager
def _opened(path: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    """A descriptor of a file or folder: no link is followed, no FIFO waited for."""
    descriptor = os.open(path, flags | _SAFELY, 0o600, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_private(folder: Path) -> None:
    """Make a folder and the parents that it lacks, for the user alone whatever the umask."""
    if not folder.is_dir() and folder != folder.parent:
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
