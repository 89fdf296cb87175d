"""Files that are replaced: what they keep, what is refused, what is left after an accident."""

import errno
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

import numlstm
from helpers.processes import run_python
from numlstm.utils import replacing, temporaries

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, owners and signals of POSIX")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
OLD, NEW = b"old", b"new content"
DEAD = 2**22 + 1  # above what Linux gives to a process


def save(path, content=NEW):
    replacing.replace({str(path): content})


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes(OLD)
    return path


def require_old(path):
    """The old file, and nothing beside it."""
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder '[^']*nowhere': "):
        save(tmp_path / "nowhere" / "model")


# --- several files --------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_several_files_are_all_replaced_or_none(failing, tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("a.c", "a.h", "a.f90")]
    for path in paths[:2]:  # the third is new
        path.write_bytes(OLD)
    rename = os.replace

    def refuse(source, target):
        if Path(target) == paths[failing] and Path(source).read_bytes() == NEW:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match=re.escape(paths[failing].name)):
        replacing.replace({str(path): NEW for path in reversed(paths)})
    assert sorted(os.listdir(tmp_path)) == ["a.c", "a.h"]
    assert {path.read_bytes() for path in paths[:2]} == {OLD}
    monkeypatch.undo()
    replacing.replace({str(path): NEW for path in paths})
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in paths)
    assert {path.read_bytes() for path in paths} == {NEW}


# --- what is there --------------------------------------------------------------------------------


def folder(path):
    path.mkdir()


def fifo(path):
    os.mkfifo(path)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are no links here")
def test_an_open_file_is_not_a_path(old, tmp_path):
    """Another file would get its name, or none, and what is written there be lost."""
    with open(old, "ab") as named, tempfile.TemporaryFile(dir=tmp_path) as nameless:
        for file in (named, nameless):
            link = tmp_path / "link"
            link.symlink_to(f"/dev/fd/{file.fileno()}")
            for path in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}", link):
                with pytest.raises(OSError, match="pass the open file itself"):
                    save(path)
            link.unlink()
    require_old(old)


def listening(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def device(path):
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # another null device


KINDS = [
    (folder, "a folder", IsADirectoryError),
    (fifo, "a FIFO", OSError),
    (listening, "a socket", OSError),
    pytest.param(device, "a device", OSError, marks=as_root),
]


@pytest.mark.parametrize(("make", "words", "error"), KINDS)
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_regular_file_is_refused_and_stays(make, words, error, linked, tmp_path):
    path = tmp_path / "there.c"
    make(path)
    if linked:
        (tmp_path / "other.c").symlink_to(path)
    before = os.lstat(path)
    model = numlstm.LSTM(1, 2, 1, rng=0)
    name = str(tmp_path / "other.c" if linked else path)
    for write in (model.save, model.export_c, lambda p: numlstm.fit([1, 2, 3], checkpoint=p)):
        with pytest.raises(error, match=rf"this is {words}, and only a regular file") as raised:
            write(name)
        assert (raised.type, raised.value.filename) == (error, name)
    assert os.path.samestat(os.lstat(path), before)
    assert len(os.listdir(tmp_path)) == 1 + linked  # nor was a header written


def test_a_path_that_ends_as_folders_do_is_refused(tmp_path):
    for end in ("new/", "new/.", "new/.."):
        with pytest.raises(IsADirectoryError, match="new"):
            save(f"{tmp_path}/{end}")
    assert not os.listdir(tmp_path)


def test_links(tmp_path, old):
    link, dangling, relative = (tmp_path / name for name in ("link", "dangling", "relative"))
    link.symlink_to(old)
    relative.symlink_to("link")
    dangling.symlink_to(tmp_path / "to_come")
    for path in (link, relative, dangling):
        save(path, path.name.encode())
        assert path.is_symlink()
    assert old.read_bytes() == b"relative"
    assert (tmp_path / "to_come").read_bytes() == b"dangling"
    lost = tmp_path / "lost"
    lost.symlink_to(tmp_path / "nowhere" / "file")
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere'.*lost"):
        save(lost)


def test_a_loop_of_links_is_refused(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.symlink_to(there)
    there.symlink_to(here)
    with pytest.raises(OSError, match="here") as raised:
        save(here)
    assert raised.value.errno == errno.ELOOP
    assert here.is_symlink()
    assert len(os.listdir(tmp_path)) == 2


# --- mode, owner ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o444, 0o666, 0o000, 0o755])
def test_the_mode_of_a_file_is_kept(old, bits):
    old.chmod(bits)
    save(old)
    assert mode(old) == bits


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        save(tmp_path / "new")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o666 & ~mask


def test_nobody_reads_a_private_file_on_its_way(old, monkeypatch):
    seen = []
    keep = replacing._keep_access
    monkeypatch.setattr(
        replacing,
        "_keep_access",
        lambda fd, *rest: (seen.append(os.fstat(fd)), keep(fd, *rest)),
    )
    save(old)
    (status,) = seen
    assert (stat.S_IMODE(status.st_mode), status.st_size) == (0o600, 0)


@as_root
def test_the_owner_of_a_file_is_kept(old):
    os.chown(old, 1234, 4321)
    old.chmod(0o640)
    save(old)
    status = os.stat(old)
    assert (status.st_uid, status.st_gid, mode(old)) == (1234, 4321, 0o640)


@pytest.mark.parametrize(
    ("bits", "left"),
    [(0o660, 0o600), (0o644, 0o644), (0o664, 0o644), (0o640, 0o600), (0o604, 0o600)],
)
def test_without_the_group_nobody_gets_more_rights(old, monkeypatch, bits, left):
    """As in a folder of several users, where one saves over the file of another's group."""
    old.chmod(bits)
    status = list(os.stat(old))
    status[stat.ST_GID] += 1
    monkeypatch.setattr(replacing, "_target", lambda path: (path, os.stat_result(status)))

    def refuse(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    save(old)
    assert old.read_bytes() == NEW
    assert mode(old) == left


AS_ANOTHER = """
import os, sys
from numlstm.utils import replacing
if os.geteuid() == 0:
    os.setgroups([77])
    os.setgid(66)
    os.setuid(66)
for path in sys.argv[1:]:
    replacing.replace({path: b"new content"})
"""


@pytest.fixture
def shared():
    """A folder that every user can reach and write to."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o777)
        yield path
        path.chmod(0o777)


@as_root
def test_another_user_keeps_the_group_where_it_is_a_member(shared):
    for name, group in (("member", 77), ("stranger", 88)):
        (shared / name).write_bytes(OLD)
        os.chown(shared / name, 55, group)
        (shared / name).chmod(0o660)
    replaced = run_python("-c", AS_ANOTHER, shared / "member", shared / "stranger")
    assert replaced.returncode == 0, replaced.stderr
    found = {path.name: os.stat(path) for path in shared.iterdir()}
    assert (found["member"].st_uid, found["member"].st_gid) == (66, 77)
    assert (found["stranger"].st_uid, found["stranger"].st_gid) == (66, 66)
    assert mode(shared / "member") == 0o660
    assert mode(shared / "stranger") == 0o600


def access_list(*entries):
    """A POSIX access list as Linux stores it: tag, rights, number."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY_ELSE = 2**32 - 1
LIST = access_list(
    *((1, 6, NOBODY_ELSE), (2, 6, 1234), (4, 0, NOBODY_ELSE)),  # owner, a user, the group
    *((0x10, 6, NOBODY_ELSE), (0x20, 0, NOBODY_ELSE)),  # the mask, all others
)
NAME, OF_FOLDER = "system.posix_acl_access", "system.posix_acl_default"


def set_list(path, name):
    try:
        os.setxattr(path, name, LIST)
    except (AttributeError, OSError) as error:
        pytest.skip(f"no access lists here: {error}")


def test_an_access_list_is_kept(old):
    """Its mask stands where the mode has the rights of the group, which has none here."""
    set_list(old, NAME)
    assert mode(old) == 0o660
    save(old)
    assert os.getxattr(old, NAME) == LIST


def test_a_file_without_access_list_gets_none_from_its_folder(old):
    old.chmod(0o640)
    set_list(old.parent, OF_FOLDER)
    save(old)
    assert mode(old) == 0o640
    assert NAME not in os.listxattr(old)
    save(old.parent / "new")  # as any new file
    assert NAME in os.listxattr(old.parent / "new")


def test_another_name_of_the_file_keeps_the_old_one(old, tmp_path):
    os.link(old, tmp_path / "other")
    save(old)
    assert (tmp_path / "other").read_bytes() == OLD
    assert old.read_bytes() == NEW


# --- temporary files ------------------------------------------------------------------------------


def left_by(target, process, place=None):
    """A file as a killed process leaves it."""
    place = place or temporaries._place(os.getpid())
    path = target.parent / f".{target.name}.{place}-{process}-0123456789abcdef.tmp"
    path.write_bytes(b"half")
    return path


def test_what_a_dead_process_left_is_cleared_by_the_next_save_to_that_target(old):
    other = old.with_name("model")
    dead, before_us = left_by(old, DEAD), left_by(old, os.getpid())  # we have its number again
    kept = [
        left_by(other, DEAD),
        left_by(old, os.getppid()),
        left_by(old, 1),
        left_by(old, DEAD, place="0" * 8),
        left_by(old, 2**32 + 1),
        left_by(old, "0"),
    ]
    save(old)
    assert not dead.exists()
    assert not before_us.exists()
    assert all(path.exists() for path in kept)
    save(other)
    assert not kept[0].exists()


def test_what_is_not_ours_is_not_cleared(old, tmp_path):
    path = left_by(old, DEAD)
    path.unlink()
    path.mkdir()
    save(old)
    assert path.is_dir()
    path.rmdir()
    path.symlink_to(old)
    save(old)
    assert path.is_symlink()


@as_root
def test_files_of_another_user_are_not_cleared(old):
    path = left_by(old, DEAD)
    os.chown(path, 1234, 1234)
    save(old)
    assert path.exists()


def test_what_another_thread_is_writing_is_not_cleared(old):
    path = temporaries.begin(str(old))
    Path(path).write_bytes(b"half")
    save(old)
    assert Path(path).exists()
    temporaries.remove(path)
    assert os.listdir(old.parent) == [old.name]


def test_a_machine_may_have_an_id_that_is_no_text(tmp_path, monkeypatch):
    path = tmp_path / "id"
    path.write_bytes(b"\xff\n")
    monkeypatch.setattr(temporaries, "open", lambda _, **how: path.open(**how), raising=False)
    assert re.fullmatch("[0-9a-f]{8}", temporaries._place.__wrapped__(os.getpid()))


@pytest.mark.parametrize("end", [temporaries.forget, temporaries.remove])
def test_what_is_written_no_more_is_cleared_by_the_same_process(old, end):
    """As a file is that could not be removed when its save failed."""
    path = temporaries.begin(str(old))
    end(path)
    Path(path).write_bytes(b"half")
    save(old)
    assert os.listdir(old.parent) == [old.name]


@pytest.mark.parametrize("name", ["n" * 255, "\u00e9" * 127, "n" * 220])
def test_names_as_long_as_they_may_be(tmp_path, name):
    path = tmp_path / name
    save(path, OLD)
    temporary = Path(temporaries.begin(str(path)))
    temporaries.remove(str(temporary))
    dead = temporary.with_name(temporary.name.replace(f"-{os.getpid()}-", f"-{DEAD}-"))
    dead.write_bytes(b"half")
    save(path)
    assert os.listdir(tmp_path) == [name]


KILLED = """
import os, signal, sys
from numlstm.utils import replacing
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
replacing.replace({sys.argv[1]: b"never seen"})
"""


def test_a_killed_writer_leaves_a_file_that_the_next_save_clears(old):
    assert run_python("-c", KILLED, old).returncode == -signal.SIGKILL
    assert old.read_bytes() == OLD
    (left,) = (path.name for path in old.parent.iterdir() if path != old)
    assert left.startswith(".model.npz.")
    save(old)
    assert os.listdir(old.parent) == [old.name]


# --- disks ----------------------------------------------------------------------------------------

LIMITED = """
import resource, sys
import numlstm
model = numlstm.LSTM(2, 40, 1, rng=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write, path in zip((model.save, model.export_c, model.export_fortran), sys.argv[1:]):
    try:
        write(path)
    except OSError as error:
        print(error)
"""


def test_a_limit_on_the_size_of_files(tmp_path):
    paths = [tmp_path / name for name in ("model.npz", "stream.c", "river.f90")]
    for path in paths:
        path.write_bytes(OLD)
    refused = run_python("-c", LIMITED, *paths).stdout.splitlines()
    for path, line in zip(paths, refused, strict=True):
        assert line.startswith(f"[Errno {errno.EFBIG}] File too large, while a new file was")
        assert f"a file that was there is as it was: '{path.with_suffix('')}" in line
        assert path.read_bytes() == OLD
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_disks_that_are_full_or_break(old, monkeypatch, error, call):
    def fail(*args):
        raise OSError(error, os.strerror(error), ".a.temporary.tmp")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=r"model\.npz'$") as raised:
        save(old)
    monkeypatch.undo()
    assert raised.value.errno == error
    assert raised.value.filename == str(old)
    assert os.strerror(error) in str(raised.value)
    require_old(old)


@as_root
def test_a_disk_that_is_full(tmp_path):
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mounted]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    try:
        path = mounted / "model.npz"
        save(path, OLD)
        left_by(path, DEAD).write_bytes(bytes(50_000))
        save(path, OLD + bytes(40_000))  # there is room, once the dead file is gone
        save(path, OLD)
        with pytest.raises(OSError, match=r"No space left on device, while .*model\.npz") as raised:
            save(path, bytes(100_000))
        assert raised.value.errno == errno.ENOSPC
        require_old(path)
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_a_folder_that_is_read_only(shared):
    old = shared / "model.npz"
    old.write_bytes(OLD)
    shared.chmod(0o555)
    refused = run_python("-c", AS_ANOTHER, old)
    assert "Permission denied, while a new file was written in its folder" in refused.stderr
    assert f"PermissionError: [Errno {errno.EACCES}]" in refused.stderr
    assert refused.stderr.endswith(f"a file that was there is as it was: '{old}'\n")
    require_old(old)


def test_a_folder_that_may_be_written_to_but_not_listed(shared):
    shared.chmod(0o333)
    replaced = run_python("-c", AS_ANOTHER, shared / "new")
    assert replaced.returncode == 0, replaced.stderr
    assert (shared / "new").read_bytes() == NEW


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_synced_does_not_fail_a_save(old, monkeypatch, error):
    fsync = os.fsync

    def fail_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(error, os.strerror(error))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    save(old)
    assert old.read_bytes() == NEW


def test_a_file_system_without_fsync(old, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fail)
    save(old)
    assert old.read_bytes() == NEW


def test_of_several_files_none_is_replaced_before_all_are_written(old, monkeypatch):
    other = old.with_name("other")
    with pytest.raises(IsADirectoryError):
        replacing.replace({str(old): NEW, str(old.parent): NEW})
    require_old(old)
    with pytest.raises(FileNotFoundError, match="no folder"):
        replacing.replace({str(old): NEW, str(old.parent / "nowhere" / "x"): NEW})
    require_old(old)
    replacing.replace({str(old): NEW, str(other): OLD})
    assert (old.read_bytes(), other.read_bytes()) == (NEW, OLD)


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_ctrl_c_leaves_nothing(old, monkeypatch, call):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(old)
    monkeypatch.undo()
    require_old(old)


def test_without_what_posix_has(old, monkeypatch):
    """As on Windows: no owners, no signals to ask with, no limits of names."""
    for name in ("fchown", "fchmod", "geteuid", "uname", "listxattr", "kill"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(os, "name", "nt")
    save(str(old))
    monkeypatch.undo()
    assert old.read_bytes() == NEW
