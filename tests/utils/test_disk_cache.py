"""Machine code on disk: an edit of any source that a kernel is made of is a miss."""

import ast
import gc
import importlib
import shutil
import types

import pytest
from numba.core.dispatcher import Dispatcher

from helpers.house import MODULES, PACKAGE, SOURCES, imports
from helpers.processes import run_python
from numlstm.utils import disk_cache

COMPILERS = "numlstm.backends.cpu.codegen.compile", "numlstm.backends.cuda.device.compile"
HOSTS = {"numlstm", "numlstm.backends"}  # errors, for Python alone, as is utils/


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
    found = {disk_cache.folder("usual", (), parts)}
    assert found == {disk_cache.folder("usual", (), parts)}
    sources = disk_cache.sources(parts)
    assert {path.relative_to(package).parts[0] for path in sources} >= {"cell", "backends"}
    for path in sources:
        edit(path)
        found.add(disk_cache.folder("usual", (), parts))
    assert len(found) == 1 + len(sources)


def test_an_edit_elsewhere_is_not(parts, package, monkeypatch):
    monkeypatch.setattr(disk_cache, "_PACKAGE", package)
    before = disk_cache.folder("usual", (), parts)
    edit(package / "training" / "fit.py")
    assert disk_cache.folder("usual", (), parts) == before
    assert disk_cache.folder("usual", ("another compiler",), parts) != before


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
