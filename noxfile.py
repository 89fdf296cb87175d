"""What the tests run, one part at a time: `nox -l` lists the sessions, `nox -s quick` runs one."""

from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.reuse_venv = "yes"


def run(session: nox.Session, *commands: str) -> None:
    """Run commands where the package and what its tests need are installed."""
    session.install("-e", ".[test]")
    for command in commands:
        session.run(*command.split(), *session.posargs)


@nox.session
def lint(session):
    """Style, types, and that a room imports only from rooms below it."""
    run(session, "ruff check .", "ruff format --check .", "mypy", "lint-imports")


@nox.session
def types(session):
    """Types alone; arguments are mypy's."""
    run(session, "mypy")


@nox.session
def docs(session):
    """Examples in docstrings, and the Python in the documents."""
    run(session, "pytest tests/test_documents.py")


@nox.session
def simulator(session):
    """The CUDA kernels in Numba's simulator, without a GPU."""
    session.env["NUMBA_ENABLE_CUDASIM"] = "1"
    run(session, "pytest -o python_files=simulated_*.py tests/backends/cuda")


@nox.session
def quick(session):
    """Every room, in a minute and a half once the kernels are compiled."""
    run(session, "pytest -m quick")


@nox.session
def tests(session):
    """Everything, on every processor; arguments are pytest's."""
    run(session, "pytest")


@nox.session(venv_backend="uv", python="3.11")
def oldest(session):
    """Everything, with the oldest releases that `pyproject.toml` allows; needs uv."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def dist(session):
    """What is published, in dist/: built, checked and imported."""
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", *map(str, sorted(Path("dist").glob("numlstm-*"))))
