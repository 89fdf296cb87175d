"""The rules of the house: public names, one-way imports, documentation that runs."""

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import numlstm
from helpers.house import MODULES, PACKAGE, ROOT, SLOW, SOURCES, imports
from numlstm.backends import CONTRACT

PUBLIC_NAMES = [
    "BackendError",
    "Cell",
    "FitResult",
    "Gradients",
    "LSTM",
    "LSTMClassifier",
    "LSTMRegressor",
    "State",
    "StorageError",
    "backtest",
    "convert",
    "ensemble",
    "fit",
    "inspection",
    "load",
    "metrics",
    "objective",
    "plotting",
]
PUBLIC_MODULES = ["convert", "inspection", "metrics", "plotting"]


def room(module: str) -> str | None:
    """The room a module belongs to: numlstm.backends.cpu.codegen.vectors is in "backends"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def run(*command: str, **options) -> str:
    """Run Python in a new process; its output, once it ended well."""
    result = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_public_names():
    assert list(numlstm.__all__) == PUBLIC_NAMES
    assert set(PUBLIC_NAMES) <= set(dir(numlstm))
    for name in PUBLIC_NAMES:
        assert getattr(numlstm, name).__name__.removeprefix("numlstm.") == name
    with pytest.raises(AttributeError, match="no attribute 'lstm'"):
        numlstm.lstm  # noqa: B018


def test_the_page_of_the_api_lists_all_conversions():
    page = (ROOT / "docs" / "api" / "index.rst").read_text()
    (section,) = re.findall(
        r"currentmodule:: numlstm\.convert\n(.*?)\.\. currentmodule", page, re.S
    )
    listed = re.findall(r"^   (\w+)$", section, re.M)
    assert sorted(listed) == numlstm.convert.__all__


def test_type_checkers_see_every_public_name():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        alias.asname: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == numlstm._HOMES | dict.fromkeys(PUBLIC_MODULES, "numlstm")
    assert (PACKAGE / "py.typed").is_file()


def test_import_is_lazy():
    code = "import sys, numlstm; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(run("-c", code).split())
    assert "numlstm" in loaded
    assert not loaded & {"llvmlite", "matplotlib", "numba", "numpy", "scipy", "tqdm"}


def test_imports_go_one_way():
    """The layers that pyproject.toml lists."""
    run("-c", "from importlinter.cli import lint_imports_command as lint; lint()", cwd=ROOT)


def test_the_house_is_of_a_size_that_can_be_learned():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rooms = [name for layer in layers["contracts"][0]["layers"] for name in layer.split(" | ")]
    assert {room(module) for module in MODULES} - {None} == set(rooms)
    assert len(rooms) <= 20
    assert len(layers["contracts"][0]["layers"]) <= 12


NUMBA = ("numlstm.backends.cpu", "numlstm.backends.cuda", "numlstm.stepping")


def test_numba_stays_with_the_kernels():
    for path, module in zip(SOURCES, MODULES, strict=True):
        numba = {name for name in imports(path) if name.split(".")[0] == "numba"}
        if any(name.startswith("numba.cuda") for name in numba):
            assert module.startswith("numlstm.backends.cuda"), module
        if room(module) == "cell":
            assert numba <= {"numba.extending"}, module  # what every target shares
        elif numba:
            assert module.startswith(NUMBA), module


def test_backends_do_not_know_each_other():
    shared = {"numlstm.backends.numpy_arrays"}
    for path, module in zip(SOURCES, MODULES, strict=True):
        if module.startswith("numlstm.backends."):
            own = ".".join(module.split(".")[:3])
            others = {
                name
                for name in imports(path)
                if name.startswith("numlstm.backends.") and not f"{name}.".startswith(f"{own}.")
            }
            assert not others - shared, module


def test_the_reference_stands_alone():
    used = {name for name in imports(PACKAGE / "backends" / "reference.py") if "numlstm" in name}
    # above all not numlstm.cell.equations
    assert used == {
        "numlstm.architecture.cell",
        "numlstm.architecture.parameters",
        "numlstm.architecture.spec",
        "numlstm.backends",
        "numlstm.backends.numpy_arrays",
    }


def test_every_room_has_quick_tests():
    """`-m quick` is every test module but those in SLOW."""
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    assert set(SLOW) <= {path.stem for path in modules}
    quick = [path.relative_to(ROOT / "tests") for path in modules if path.stem not in SLOW]
    covered = {path.parts[0] for path in quick} | {
        path.stem.removeprefix("test_") for path in quick
    }
    rooms = {room(module) for module in MODULES} - {None, "__main__", "_version"}
    assert rooms <= covered
    assert {"cpu", "cuda"} <= {path.parent.name for path in quick}


def test_no_test_module_imports_another():
    """What they share is in tests/helpers."""
    tests = ROOT / "tests"
    modules = sorted(path for path in tests.rglob("*.py") if "truths" not in path.parts)
    stems = {path.stem for path in modules if path.stem.startswith(("test_", "simulated_"))}
    for path in modules:
        assert not {name.split(".")[-1] for name in imports(path)} & stems, path
    assert len(stems) == len([path for path in modules if path.stem in stems]), "twice one name"


def test_the_house_uses_nothing_of_a_backend_but_the_contract():
    used = {
        node.attr
        for path in SOURCES
        if "backends" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and (
            (isinstance(node.value, ast.Attribute) and node.value.attr == "backend")
            or (isinstance(node.value, ast.Name) and node.value.id == "backend")
        )
    }
    assert {"layer_forward", "layer_backward", "pack_layer"} <= used <= set(CONTRACT)


def with_methods(name: str) -> dict[str, object]:
    """A public object with its public methods, those of its parts as well; or a module's names."""
    value = getattr(numlstm, name)
    if inspect.ismodule(value):
        return {f"{name}.{function}": getattr(value, function) for function in value.__all__}
    parts = [
        c for c in getattr(value, "__mro__", ()) if room(c.__module__) == room(value.__module__)
    ]
    members = {key: member for part in reversed(parts) for key, member in vars(part).items()}
    methods = {
        f"{name}.{attribute}": member
        for attribute, member in members.items()
        if inspect.isfunction(member) and not attribute.startswith("_")
    }
    return {name: value} | methods


def sections(docstring: str) -> dict[str, str]:
    """The sections of a numpydoc docstring by title."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def described(section: str) -> set[str]:
    """The names a Parameters section describes; one entry may name several."""
    heads = re.findall(r"^(\S[^:\n]*?)(?: :.*)?$", section, flags=re.MULTILINE)
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def faults(value) -> set[str]:
    """What a public docstring lacks: a section, or a parameter that nobody described."""
    found = sections(inspect.getdoc(value) or "")
    if inspect.isclass(value) and issubclass(value, Exception):
        return set() if value.__doc__ else {"docstring"}
    if inspect.isclass(value) and issubclass(value, (tuple, dict)):
        return {"Attributes"} - set(found)  # a result: nobody constructs it
    signature = inspect.signature(value)
    wanted = {"Raises", "Examples"}
    if inspect.isfunction(value) and signature.return_annotation is not None:
        wanted.add("Returns")
    parameters = set(signature.parameters) - {"self"}
    return (wanted - set(found)) | (parameters - described(found.get("Parameters", "")))


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_docstrings_are_numpydoc(name):
    lacking = {key: faults(value) for key, value in with_methods(name).items()}
    assert not {key: what for key, what in lacking.items() if what}


def test_contributing_draws_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    drawn = re.search(r"## Architecture\n+```\n(.*?)```", text, re.S)
    assert drawn
    names = set(re.findall(r"^ +(\w+(?:/|\.py))", drawn[1], re.M))
    folders = (PACKAGE, PACKAGE / "backends")
    rooms = [path for path in SOURCES if path.parent in folders or path.name == "__init__.py"]
    files = {path.name for path in rooms if path.parent in folders and path.name != "__init__.py"}
    inside = {f"{p.parent.name}/" for p in rooms if p.parent.parent in folders}
    assert names == files | inside | {"__init__.py"}


def test_the_readme_names_its_test_command_once():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"<!-- test command -->\n\n?```bash\n(.*?)\n```", text, re.S)
    assert len(blocks) == 1
    assert "\n" not in blocks[0]
    assert blocks[0].endswith("python -m pytest")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_conda_recipe_is_that_of_the_package():
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needs = {need.partition(";")[0].replace(">=", " >=") for need in project["dependencies"]}
    run = recipe.partition("  run:\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"- (.*)", run)) == needs | {"python >=${{ python_min }}"}
    assert f'version: "{numlstm.__version__}"' in recipe
    assert f'python_min: "{project["requires-python"].removeprefix(">=")}"' in recipe


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_linters_are_content(command):
    run("-m", *command.split(), cwd=ROOT)


KERNELS = {"numlstm.backends.*", "numlstm.cell.*", "numlstm.stepping.kernels.*"}


def test_types_are_strict_but_for_kernels():
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    loosened = {
        name
        for override in mypy["overrides"]
        for name in (
            [override["module"]] if isinstance(override["module"], str) else override["module"]
        )
        if name.startswith("numlstm")
    }
    assert mypy["strict"]
    assert loosened == KERNELS | {"numlstm.stepping.stepper"}


def texts() -> list[Path]:
    """The text files of the project, wherever they stand."""
    kinds = {".c", ".cfg", ".csv", ".f90", ".in", ".json", ".md", ".py", ".toml", ".yaml", ".yml"}
    folders = [
        ROOT / name
        for name in ("numlstm", "tests", "stress", "benchmarks", "conda", "docs", "examples", ".ci")
    ]
    found = [path for folder in folders for path in folder.rglob("*")]
    built = ("api/generated", "api/backreferences", "tutorials", "gallery")  # by Sphinx
    found = [path for path in found if not any((ROOT / "docs" / b) in path.parents for b in built)]
    found += [path for path in ROOT.iterdir() if path.suffix in kinds]
    return [p for p in found if p.is_file() and (p.suffix in kinds or p.parent.name == ".ci")]


def test_files_are_ascii_and_name_no_foreign_path():
    foreign = re.compile(r"(?<![\w.~*}$])/(?:home|mnt|opt|root|srv|Users|work)/|\b[A-Z]:\\\w")
    for path in texts():
        text = path.read_text(encoding="ascii")  # says itself where it is not
        assert path == Path(__file__).resolve() or not foreign.search(text), path
