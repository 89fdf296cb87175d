#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2024.4.15"]
# ///
"""What the tests run, one part at a time: `nox -l` lists the sessions, `nox -s quick` runs one."""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

IMPORTED = "import numlstm; print(numlstm.__version__, numlstm.LSTM(1, 4, 1, rng=0))"


def run(session: nox.Session, *commands: str) -> None:
    """Run commands where the package and what its tests need are installed."""
    session.install("-e", ".[test]")
    for command in commands:
        session.run(*command.split(), *session.posargs)


@nox.session(default=False)
def lint(session):
    """Style, types, and that a room imports only from rooms below it."""
    run(session, "ruff check .", "ruff format --check .", "mypy", "lint-imports")


@nox.session(default=False)
def docs(session):
    """The site, in build/site, without a warning."""
    session.install("-e", ".[docs]")
    site = ["docs", "build/site"]
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-E", "-b", "html", *site)


@nox.session(default=False)
def simulator(session):
    """The CUDA kernels in Numba's simulator, without a GPU."""
    session.env["NUMBA_ENABLE_CUDASIM"] = "1"
    run(session, "pytest -o python_files=simulated_*.py tests/backends/cuda")


@nox.session(default=False)
def quick(session):
    """Every room, in a minute and a half once the kernels are compiled."""
    run(session, "pytest -m quick")


@nox.session
def tests(session):
    """Everything, on every processor; arguments are pytest's."""
    run(session, "pytest")


@nox.session(venv_backend="uv", python="3.11", default=False)
def oldest(session):
    """Everything, with the oldest releases that `pyproject.toml` allows; needs uv."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def dist(session):
    """What is published, in dist/: built, checked and imported."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    made = sorted(Path("dist").glob("numlstm-*"))
    session.run("twine", "check", "--strict", *map(str, made))
    wheel = next(path for path in made if path.suffix == ".whl").resolve()
    session.install("--force-reinstall", "--no-deps", str(wheel))
    session.install(str(wheel))
    session.chdir(session.create_tmp())  # here the source would be imported
    session.run("python", "-W", "error", "-c", IMPORTED)


@nox.session(default=False)
def coverage(session):
    """Which lines and branches the tests run, kernels left out; arguments are pytest's."""
    session.install("-e", ".[test]", "coverage>=7.10")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--fail-under=95")


@nox.session(default=False)
def review(session):
    """Scientific Python's rules for a project, the safety of its workflows, and spelling."""
    session.install("codespell", "sp-repo-review[cli]", "zizmor")
    session.run("repo-review", ".")
    session.run("zizmor", "--offline", ".github")
    session.run("codespell")


if __name__ == "__main__":
    nox.main()
