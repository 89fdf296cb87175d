"""Files on their way to a target: their names, and the end of those whose writer died.

A name holds the target's, the place and the process that write it, and a random number:
``.model.npz.5f0c1d2e-4711-9a8b7c6d5e4f3021.tmp``. Place is the machine and, where there are
containers, the container: a number of a process means nothing to others.
"""

import contextlib
import functools
import hashlib
import os
import re
import secrets
import stat

_LONGEST = 143  # bytes of a name, on eCryptfs; most file systems take 255
_ADDED = len(".." + 8 * "x" + "-4294967295-" + 16 * "x" + ".tmp")  # what a name has at most
_END = re.compile(r"([1-9][0-9]{0,9})-[0-9a-f]{16}\.tmp")
_WRITING: set[str] = set()  # names, by the threads of this process


def begin(target: str) -> str:
    """A path beside a target, for a new file that is to become it.

    Files on their way to this target whose processes, of this place, are dead are removed: first,
    since a disk may be full of them.
    """
    folder, name = os.path.split(target)
    process = os.getpid()
    start = f".{_stem(name)}.{_place(process)}-"
    if os.name == "posix":  # only there one can ask whether a process lives
        _clear(folder, start)
    name = f"{start}{process}-{secrets.token_hex(8)}.tmp"
    _WRITING.add(name)
    return os.path.join(folder, name)


def forget(path: str) -> None:
    """Forget a path of `begin`: its file has become the target."""
    _WRITING.discard(os.path.basename(path))


def remove(path: str) -> None:
    """Forget a path of `begin`, and remove what may be there."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    forget(path)


def _clear(folder: str, start: str) -> None:
    """Remove the files of dead processes whose names begin like this."""
    with contextlib.suppress(OSError):  # a folder that may be written to but not listed
        for name in os.listdir(folder or os.curdir):
            if name.startswith(start) and (end := _END.fullmatch(name, len(start))):
                with contextlib.suppress(OSError):
                    path = os.path.join(folder, name)
                    if _is_ours(path) and not _is_written(name, int(end[1])):
                        os.unlink(path)


def _is_ours(path: str) -> bool:
    status = os.lstat(path)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _is_written(name: str, process: int) -> bool:
    """Whether a file may still be written; a process may have the number of one that died."""
    if process == os.getpid():
        return name in _WRITING
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # that of another user, or no number of a process
        pass
    return True


def _stem(name: str) -> str:
    """The name of a target, or a digest of it where it leaves no room for more."""
    encoded = os.fsencode(name)
    fits = len(encoded) + _ADDED <= _LONGEST
    return name if fits else hashlib.sha256(encoded).hexdigest()[:32]


@functools.lru_cache(maxsize=1)
def _place(process: int) -> str:
    """A short name for the processes that this one sees by their numbers."""
    parts = [os.uname().nodename if hasattr(os, "uname") else ""]
    with contextlib.suppress(OSError), open("/etc/machine-id", errors="replace") as file:
        parts.append(file.read())
    with contextlib.suppress(OSError):
        parts.append(os.readlink(f"/proc/{process}/ns/pid"))
    return hashlib.sha256(os.fsencode("\0".join(parts))).hexdigest()[:8]
