"""Files that are replaced whole: whatever happens, a path has its old content or the new one.

This is how the package writes every file for its users. Contents are written beside their targets
and renamed. What exists and is no regular file is refused; a link stays a link. A file that is
there keeps its mode and POSIX access list and, where the process may set them, its owner and group;
where it may not, the new owners get no rights that they did not have. Other extended attributes are
not kept, and other names of the file, hard links, go on naming the old one.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Mapping

from numlstm.utils import temporaries

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ACCESS_LIST = "system.posix_acl_access"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NO_FSYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # by file systems


def replace(contents: Mapping[str, bytes]) -> None:
    """Put contents at their paths; all are on the disk before the first gets its name.

    After an error all paths have their old contents, where the file system has hard links; after a
    crash each has its old content or the new one. A crash may leave temporary files, which the next
    call for that path removes. Errors are `OSError`, and name the path.
    """
    replacements = [_Replacement(path) for path in contents]  # refused before any is written
    try:
        for replacement, content in zip(replacements, contents.values(), strict=True):
            replacement.write(content)
        for replacement in replacements[:-1]:
            replacement.keep()
        for replacement in replacements:
            replacement.rename()
    except BaseException:
        if not replacements[-1].is_renamed:  # else all are
            for replacement in replacements:
                replacement.undo()
        raise
    finally:
        for replacement in replacements:
            replacement.end()
    for folder in {os.path.dirname(replacement.target) for replacement in replacements}:
        _sync_folder(folder or os.curdir)


def require_replaceable(path: str) -> None:
    """Refuse a path where no file can be put."""
    _Replacement(path)


class _Replacement:
    """A path and the file on its way to it."""

    def __init__(self, path: str):
        self.path = path
        self.target, self.old = _target(path)
        self.temporary: str | None = None
        self.kept: str | None = None  # another name of the old file
        self.is_renamed = False

    def write(self, content: bytes) -> None:
        """Write the new file beside the old one, to the disk itself."""
        try:
            self.temporary = temporaries.begin(self.target)
            # nobody else may read it before it has its owner
            mode = 0o666 if self.old is None else 0o600
            descriptor = os.open(self.temporary, _NEW, mode)
            try:
                if self.old is not None and hasattr(os, "fchown"):
                    _keep_access(descriptor, self.old, self.target)
                _write(descriptor, content)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._named(error) from error

    def keep(self) -> None:
        """Keep the old file until all others are renamed, where there can be links."""
        if self.old is not None:
            self.kept = temporaries.begin(self.target)
            try:
                os.link(self.target, self.kept)
            except OSError:
                temporaries.forget(self.kept)
                self.kept = None

    def rename(self) -> None:
        """Let the new file take the place of the old one."""
        assert self.temporary is not None
        try:
            os.replace(self.temporary, self.target)
        except OSError as error:
            raise self._named(error) from error
        temporaries.forget(self.temporary)
        self.temporary, self.is_renamed = None, True

    def undo(self) -> None:
        """Let a path be as it was."""
        if self.is_renamed:
            with contextlib.suppress(OSError):
                if self.kept is not None:
                    os.replace(self.kept, self.target)
                elif self.old is None:
                    os.unlink(self.target)

    def end(self) -> None:
        """Leave nothing but the file."""
        for path in (self.temporary, self.kept):
            if path is not None:
                temporaries.remove(path)

    def _named(self, error: OSError) -> OSError:
        """An error that names the path, not the temporary file."""
        words = f"{error.strerror or error}, while a new file was written in its folder"
        words += "; a file that was there is as it was"
        folder = os.path.dirname(self.target)
        if error.errno == errno.ENOENT and not os.path.isdir(folder or os.curdir):
            words = f"there is no folder {folder!r}"
        return OSError(error.errno or errno.EIO, words, self.path)


def _target(path: str) -> tuple[str, os.stat_result | None]:
    """Where a new file goes, and the old one there; what none can replace is refused."""
    target = path
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):  # a link stays a link
            target, status = os.path.realpath(path), os.stat(path)
    except FileNotFoundError:
        if os.path.basename(path) in ("", os.curdir, os.pardir):
            raise IsADirectoryError(errno.EISDIR, "this names a folder, not a file", path) from None
        return os.path.realpath(path), None
    if (kind := kind_of(status.st_mode)) is not None:
        raise _no_file(path, kind, status.st_mode)
    if target != path and _is_open_file(path):
        raise OSError(
            errno.EINVAL,
            "this names an open file, which would keep its content: pass the open file itself, as "
            "os.fdopen(number, 'wb')",
            path,
        )
    return target, status


def kind_of(mode: int) -> str | None:
    """What something is that is no regular file."""
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def _is_open_file(path: str) -> bool:
    """Whether a link leads through those of open files, as /dev/fd/3 and /dev/stdout do."""
    while os.path.islink(path):  # no loop: it leads to a file
        folder = os.path.realpath(os.path.dirname(path) or os.curdir)
        if folder.startswith("/proc/") and folder.endswith("/fd"):
            return True
        path = os.path.join(folder, os.readlink(path))
    return False


def _no_file(path: str, kind: str, mode: int) -> OSError:
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    advice = "choose another name"
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        advice += ", or open it with mode 'wb' and pass the open file where one is taken"
    words = f"this is {kind}, and only a regular file can be replaced: {advice}"
    return OSError(number, words, path)


def _keep_access(descriptor: int, old: os.stat_result, target: str) -> None:
    """Give a new file, empty as yet, the owner, mode and access list of the old one, or less."""
    mode = stat.S_IMODE(old.st_mode) & 0o777
    has_group = _set_owner(descriptor, old)
    wanted = _access_list(target) if has_group else None
    if not _set_access_list(descriptor, wanted) or not has_group:
        # who was in the group may now be anyone, and the reverse: what both could do
        common = (mode >> 3) & mode & 0o7
        mode = mode & 0o700 | common << 3 | common
    with contextlib.suppress(OSError):  # file systems without modes
        os.fchmod(descriptor, mode)


def _set_owner(descriptor: int, old: os.stat_result) -> bool:
    """Give a file the owner and group of another, or the group; whether it has the group."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid):
        return True
    for owner in (old.st_uid, -1):  # the group alone may be set by its members
        with contextlib.suppress(OSError):
            os.fchown(descriptor, owner, old.st_gid)
            break
    return os.fstat(descriptor).st_gid == old.st_gid


def _access_list(file: str | int) -> bytes | None:
    """The POSIX access list of a file, None where it has none beside its mode."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            if _ACCESS_LIST in os.listxattr(file):
                return os.getxattr(file, _ACCESS_LIST)
    return None


def _set_access_list(descriptor: int, wanted: bytes | None) -> bool:
    """Give a file an access list, or none, whatever its folder gives to new ones; False if not."""
    if sys.platform == "linux":
        if wanted is not None:
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, _ACCESS_LIST, wanted)
                return True
        if _access_list(descriptor) is not None:
            with contextlib.suppress(OSError):
                os.removexattr(descriptor, _ACCESS_LIST)
    return wanted is None


def _write(descriptor: int, content: bytes) -> None:
    """Write a file to its end, and to the disk where the file system knows how to."""
    rest = memoryview(content)
    while rest:  # a call takes 2 GB at most
        rest = rest[os.write(descriptor, rest) :]
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def _sync_folder(folder: str) -> None:
    """Let the new name survive a power cut, where a folder can be opened: the file is written."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
