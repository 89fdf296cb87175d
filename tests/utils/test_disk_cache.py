"""Machine code on disk: what it belongs to, and that nothing is read which others can write."""

import ast
import gc
import importlib
import os
import shutil
import stat
import time
import types

import pytest
from numba.core import config
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from helpers.house import HELPERS, MODULES, PACKAGE, SOURCES, imports
from helpers.processes import run_python, start_python
from numlstm.backends.cpu.codegen import compile
from numlstm.utils import disk_cache

COMPILERS = "numlstm.backends.cpu.codegen.compile", "numlstm.backends.cuda.device.compile"
HOSTS = {"numlstm", "numlstm.backends"}  # errors, for Python alone, as is utils/
USUAL = os.path.abspath("usual")


def parts_of(compiler):
    """The folders that a backend's kernels are made of, read: numba-cuda need not be there."""
    path = SOURCES[MODULES.index(compiler)]
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SOURCES":
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} has no SOURCES")


@pytest.fixture(params=COMPILERS)
def parts(request):
    return parts_of(request.param)


@pytest.fixture
def package(tmp_path):
    """A copy of the package."""
    return shutil.copytree(
        PACKAGE, tmp_path / "numlstm", ignore=shutil.ignore_patterns("__pycache__")
    )


def module_of(path):
    return MODULES[SOURCES.index(path)]


def lies_in(module: str, parts) -> bool:
    folders = (f"numlstm.{part.replace('/', '.')}." for part in parts)
    return f"{module}.".startswith(tuple(folders))


def edit(path):
    """One byte in a comment."""
    path.write_bytes(path.read_bytes() + b"#")


def test_an_edit_of_any_source_is_another_folder(parts, package, monkeypatch):
    monkeypatch.setattr(disk_cache, "_PACKAGE", package)
    found = {disk_cache.store(USUAL, (), parts).folder}
    assert found == {disk_cache.store(USUAL, (), parts).folder}
    sources = disk_cache.sources(parts)
    assert {path.relative_to(package).parts[0] for path in sources} >= {"cell", "backends"}
    for path in sources:
        edit(path)
        found.add(disk_cache.store(USUAL, (), parts).folder)
    assert len(found) == 1 + len(sources)


def test_an_edit_elsewhere_is_not(parts, package, monkeypatch):
    monkeypatch.setattr(disk_cache, "_PACKAGE", package)
    before = disk_cache.store(USUAL, (), parts)
    edit(package / "training" / "fit.py")
    assert disk_cache.store(USUAL, (), parts) == before
    assert disk_cache.store(USUAL, ("another compiler",), parts) != before


COMPILE = "from numlstm.backends.cpu.codegen import parallel; parallel.serial_driver()"


def test_what_was_compiled_before_an_edit_is_not_found(package, tmp_path):
    cache = tmp_path / "cache"

    def kept():
        places = {"PYTHONPATH": str(package.parent), "NUMLSTM_CACHE_DIR": str(cache)}
        done = run_python("-c", COMPILE, cwd=tmp_path, **places)
        assert done.returncode == 0, done.stderr
        return {path.relative_to(cache) for path in cache.rglob("*") if path.is_file()}

    first = kept()
    assert len(first) == 1
    assert kept() == first
    edit(package / "cell" / "equations.py")
    assert len(kept()) == 2


# --- what kernels are made of ---------------------------------------------------------------------


def test_modules_of_the_gpu_import_what_is_digested():
    """Their kernels are made when they are called, so what is held is whole modules."""
    parts = parts_of(COMPILERS[1])
    for path in disk_cache.sources(parts):
        foreign = {name for name in imports(path) & set(MODULES) if not lies_in(name, parts)}
        assert {name for name in foreign if not name.startswith("numlstm.utils")} <= HOSTS, path


def test_every_function_that_is_compiled_is_digested():
    """Those that the dispatchers of the package name, and those that these name in turn."""
    parts = parts_of(COMPILERS[0])
    for path in disk_cache.sources(parts):
        importlib.import_module(module_of(path))
    compiled = {
        found.py_func
        for found in gc.get_objects()
        if issubclass(type(found), Dispatcher) and is_for_the_cpu(found.py_func.__module__)
    }
    assert len(compiled) > 50
    waiting = list(compiled)
    while waiting:
        new = set(named(waiting.pop())) - compiled
        compiled |= new
        waiting += new
    assert {"numlstm.cell.elementary", "numlstm.cell.equations"} <= {f.__module__ for f in compiled}
    for function in compiled:
        assert lies_in(function.__module__, parts), (function.__module__, function.__qualname__)


def is_for_the_cpu(module: str | None) -> bool:
    """Other tests compile functions of their own, some without a module, and some of the GPU's."""
    gpu = "numlstm.backends.cuda"
    return module is not None and module.startswith("numlstm.") and not module.startswith(gpu)


def named(function):
    """The functions of the package that a function's code names, by themselves or in a module."""
    names = set(names_in(function.__code__))
    values = [function.__globals__.get(name) for name in names]
    values += [cell.cell_contents for cell in function.__closure__ or ()]
    modules = [value for value in values if isinstance(value, types.ModuleType)]
    values += [vars(module).get(name) for module in modules for name in names]
    for value in values:
        inner = getattr(value, "py_func", value)
        if isinstance(inner, types.FunctionType) and inner.__module__.startswith("numlstm"):
            yield inner


def names_in(code):
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from names_in(constant)


# --- what else machine code belongs to ------------------------------------------------------------


@pytest.mark.parametrize("option", disk_cache.OPTIONS)
def test_options_of_the_compiler_are_part_of_the_key(option, monkeypatch):
    cache, sig, context = compile.DiskCache("kernel"), (), cpu_target.target_context
    before = cache._entry(sig, context)
    assert cache._entry(sig, context) == before
    monkeypatch.setattr(config, option, "another", raising=False)
    assert cache._entry(sig, context) != before


def test_options_of_the_compiler_are_part_of_the_key_for_gpus(monkeypatch):
    pytest.importorskip("numba_cuda", reason="numba-cuda is only there on Linux")
    gpus = importlib.import_module(COMPILERS[1])
    device = types.SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr(gpus.cuda, "get_current_device", lambda: device)
    cache = gpus.DiskCache(edit)
    found = {cache._entry(())}
    assert found == {cache._entry(())}
    for option in disk_cache.OPTIONS:
        monkeypatch.setattr(config, option, "another", raising=False)
        found.add(cache._entry(()))
    assert len(found) == 1 + len(disk_cache.OPTIONS)


def test_the_options_are_those_of_numba():
    """The names are Numba's; some exist only where numba-cuda does, or a part of Numba ran."""
    elsewhere = {"CUDA_DEBUG_POLY", "CUDA_DEBUG_POLY_USE_TYPED_CONST", "CUDA_ENABLE_NRT"}
    elsewhere |= {"CUDA_NRT_STATS"}
    assert {name for name in disk_cache.OPTIONS if not hasattr(config, name)} <= elsewhere


def test_code_compiled_without_optimisation_is_not_found_later(tmp_path):
    plain, slow = {"NUMBA_OPT": "3"}, {"NUMBA_OPT": "0"}
    assert compiled(tmp_path, **slow) == 2
    assert [compiled(tmp_path, **plain) for _ in range(2)] == [2, 0]


# --- a second process -----------------------------------------------------------------------------

KERNELS = HELPERS / "cached_kernels.py"


def compiled(folder, **changed) -> int:
    """How many functions a process compiles that has its machine code in a folder."""
    done = run_python("-W", "error", KERNELS, NUMLSTM_CACHE_DIR=str(folder), **changed)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return int(done.stdout)


def entries(folder):
    """The files of all versions."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_second_process_compiles_nothing(tmp_path):
    """Beside what older versions left; nor when it has replaced entries of other functions."""
    old = tmp_path / "0.0.1-0123456789abcdef" / "cpu.codegen.parallel._serial-0123"
    old.parent.mkdir()
    old.write_text("old")
    assert [compiled(tmp_path) for _ in range(2)] == [2, 0]
    assert old.read_text() == "old"
    first, second = (path for path in entries(tmp_path) if path != old)
    first.rename(tmp_path / "other")  # as a clumsy synchronisation leaves them
    second.rename(first)
    (tmp_path / "other").rename(second)
    assert [compiled(tmp_path) for _ in range(2)] == [2, 0]


def test_cold_processes_at_once_leave_whole_entries(tmp_path):
    crowd = [start_python(KERNELS, NUMLSTM_CACHE_DIR=str(tmp_path)) for _ in range(4)]
    for process in crowd:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        assert int(output) <= 2
    assert compiled(tmp_path) == 0
    assert len(entries(tmp_path)) == 2


HOMELESS = """
import os, pwd, runpy, sys

def nobody(uid):
    raise KeyError(uid)

pwd.getpwuid = nobody
for name in "HOME", "XDG_CACHE_HOME", "NUMLSTM_CACHE_DIR":
    os.environ.pop(name, None)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.skipif(os.name != "posix", reason="users without a home are known to POSIX")
def test_without_a_home_nothing_is_kept(tmp_path):
    done = run_python("-W", "error", "-c", HOMELESS, KERNELS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2\n"
    assert not list(tmp_path.iterdir())  # no folder called ~


# --- entries that are not what they were ----------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    """A folder with two entries."""
    store = disk_cache.Store(tmp_path / "cache" / "1-2", named=False)
    for name in ("one", "two"):
        store.write(name, name.encode())
    assert contents(store) == [b"one", b"two"]
    return store


def contents(store):
    return [store.read(name) for name in ("one", "two")]


def test_an_entry_is_good_under_its_own_name_in_its_own_folder(store):
    one, two = store.folder / "one", store.folder / "two"
    one.rename(store.folder / "other")
    two.rename(one)
    (store.folder / "other").rename(two)
    assert contents(store) == [None, None]
    store.write("one", b"again")
    assert contents(store) == [b"again", None]
    moved = disk_cache.Store(store.folder.with_name("1-3"), named=False)
    store.folder.rename(moved.folder)
    assert contents(moved) == [None, None]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "longer", "folder", "huge"])
def test_damage_is_a_miss(store, damage):
    path = store.folder / "one"
    content = path.read_bytes()
    new = {"cut": content[:20], "empty": b"", "longer": content + b"e"}
    path.write_bytes(new.get(damage, content[:-1] + b"f"))
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "huge":
        os.truncate(path, 2**40)  # a hole: it has no blocks on the disk
    assert contents(store) == [None, b"two"]


posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")


@posix
def test_a_link_is_not_followed(store, tmp_path):
    (store.folder / "one").rename(tmp_path / "elsewhere")
    (store.folder / "one").symlink_to(tmp_path / "elsewhere")
    assert contents(store) == [None, b"two"]
    store.write("one", b"again")  # in the place of the link, not through it
    assert contents(store) == [b"again", b"two"]
    real = store.folder.with_name("real")
    store.folder.rename(real)
    store.folder.symlink_to(real)
    assert contents(store) == [None, None]
    with pytest.raises(OSError, match="1-2"):
        store.write("one", b"through the link")


@posix
def test_a_fifo_is_not_waited_for(store):
    (store.folder / "one").unlink()
    os.mkfifo(store.folder / "one")
    assert contents(store) == [None, b"two"]


@posix
@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_what_others_may_write_is_not_read(store, mode):
    (store.folder / "one").chmod(mode)
    assert contents(store) == [None, b"two"]
    store.folder.chmod(mode)
    assert contents(store) == [None, None]
    with pytest.raises(PermissionError):
        store.write("one", b"where others may write")


@posix
@pytest.mark.parametrize("kind", [stat.S_ISDIR, stat.S_ISREG])
def test_what_another_user_owns_is_not_read(store, kind, monkeypatch):
    named = store._replace(named=True)
    own(monkeypatch, kind, os.geteuid() + 1)
    assert contents(store) == contents(named) == [None, None]
    own(monkeypatch, kind, os.geteuid())
    assert contents(store) == contents(named) == [b"one", b"two"]


@posix
def test_what_root_owns_is_read_where_the_user_named_it(store, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    own(monkeypatch, lambda mode: True, 0)
    assert contents(store._replace(named=True)) == [b"one", b"two"]
    assert contents(store) == [None, None]
    store.folder.chmod(0o775)
    assert contents(store._replace(named=True)) == [None, None]


def own(monkeypatch, kind, owner):
    """Let files of a kind have an owner, as root alone could do in earnest."""

    def fstat(descriptor):
        status = REAL_FSTAT(descriptor)
        uid = owner if kind(status.st_mode) else os.geteuid()
        return os.stat_result((*status[:4], uid, *status[5:]))

    monkeypatch.setattr(os, "fstat", fstat)


REAL_FSTAT = os.fstat


@posix
def test_a_folder_exchanged_after_it_was_checked_is_not_read(store, monkeypatch):
    """Whoever may rename it puts one of theirs in its place between the check and the opening."""
    theirs = store.folder.with_name("theirs")
    theirs.mkdir()
    (theirs / "one").write_bytes(store._digest("one", b"theirs") + b"theirs")
    exchanged = []

    def fstat(descriptor):
        if not exchanged:
            store.folder.rename(store.folder.with_name("ours"))
            exchanged.append(theirs.rename(store.folder))
        return REAL_FSTAT(descriptor)

    monkeypatch.setattr(os, "fstat", fstat)
    assert store.read("one") == b"one"
    assert exchanged


@posix
def test_parents_are_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        disk_cache.Store(tmp_path / "a" / "b" / "c", named=True).write("one", b"one")
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


# --- disks ----------------------------------------------------------------------------------------

FULL = """
import os, pathlib, resource, sys
from numlstm.utils import disk_cache

resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
store = disk_cache.Store(pathlib.Path(sys.argv[1]), named=True)
try:
    store.write("one", bytes(100_000))
except OSError:
    print(os.listdir(sys.argv[1]))
"""


@posix
def test_a_full_disk_leaves_no_temporary_file(tmp_path):
    done = run_python("-W", "error", "-c", FULL, tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_what_a_killed_process_left_is_removed_after_an_hour(store):
    old, new = (store.folder / f"{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    store.write("three", b"three")
    assert not old.exists()
    assert new.exists()  # somebody may be writing it


def test_where_folders_have_no_descriptors(store, monkeypatch):
    """Windows: everything by its path."""
    monkeypatch.setattr(disk_cache, "_BY_DESCRIPTOR", False)
    (store.folder / "old.tmp").write_bytes(b"half")
    os.utime(store.folder / "old.tmp", (0, 0))
    assert contents(store) == [b"one", b"two"]
    store.write("one", b"again")
    assert contents(store) == [b"again", b"two"]
    assert [path.name for path in entries(store.folder)] == ["one", "two"]


def test_no_cache_at_all(tmp_path):
    store = disk_cache.Store(tmp_path / "nowhere", named=True)
    assert store.read("one") is None
    assert not store.folder.exists()
    store.folder.write_text("no folder")
    assert store.read("one") is None
    with pytest.raises(OSError, match="nowhere"):
        store.write("one", b"one")
