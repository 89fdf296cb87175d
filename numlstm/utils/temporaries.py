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

_ADDED = len(".." + 8 * "x" + "-4294967295-" + 16 * "x" + ".tmp")  # what a name has at most
_WRITING: set[str] = set()  # by the threads of this process


def begin(target: str) -> str:
    """A path beside a target, for a new file that is to become it."""
    folder = os.path.dirname(target)
    name = f".{_stem(target)}.{_place(os.getpid())}-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    path = os.path.join(folder, name)
    _WRITING.add(path)
    return path


def end(path: str) -> None:
    """Forget a path of `begin`, and remove what may still be there."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    _WRITING.discard(path)


def clear(target: str) -> None:
    """Remove the files on their way to this target whose processes, of this place, are dead."""
    if os.name != "posix":
        return  # only POSIX can ask whether there is a process
    folder, start = os.path.dirname(target), f".{_stem(target)}.{_place(os.getpid())}-"
    rest = re.compile(re.escape(start) + r"([1-9][0-9]{0,9})-[0-9a-f]{16}\.tmp")
    with contextlib.suppress(OSError):  # a folder that may be written to but not listed
        for name in os.listdir(folder):
            if name.startswith(start) and (found := rest.fullmatch(name)):
                _clear(os.path.join(folder, name), int(found[1]))


def _clear(path: str, process: int) -> None:
    """Remove a file of a process, if that is dead and the file ours."""
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if is_ours and not _is_written(path, process):
            os.unlink(path)


def _is_written(path: str, process: int) -> bool:
    """Whether a file may still be written; a process may have the number of one that died."""
    if process == os.getpid():
        return path in _WRITING
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # that of another user, or no number of a process
        pass
    return True


def _stem(target: str) -> str:
    """The name of a target, or a digest of it where it leaves no room for more."""
    folder, name = os.path.split(target)
    encoded = os.fsencode(name)
    if len(encoded) + _ADDED <= _longest_name(folder):
        return name
    return hashlib.sha256(encoded).hexdigest()[:32]


def _longest_name(folder: str) -> int:
    """The bytes that a name in a folder may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return 255


@functools.lru_cache(maxsize=1)
def _place(process: int) -> str:
    """A short name for the processes that this one sees by their numbers."""
    parts = [os.uname().nodename if hasattr(os, "uname") else ""]
    with contextlib.suppress(OSError), open("/etc/machine-id", errors="replace") as file:
        parts.append(file.read())
    with contextlib.suppress(OSError):
        parts.append(os.readlink(f"/proc/{process}/ns/pid"))
    return hashlib.sha256(os.fsencode("\0".join(parts))).hexdigest()[:8]
