"""The page on embedding: its program in C builds by the lines it gives, and forecasts."""

import re

import numpy as np
import pytest

from helpers.compilers import build, execute, find
from helpers.house import ROOT

PAGE = (ROOT / "docs" / "embedding.md").read_text()
SECTION = PAGE[PAGE.index("\n## C\n") : PAGE.index("\n## Fortran\n")]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.M | re.S)


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """What the page's Python leaves: its names; river.c, river.h and main.c in the folder."""
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    (python,), (program,) = blocks("python"), blocks("c")
    exec(compile(python, "docs/embedding.md", "exec"), namespace)
    (tmp_path / "main.c").write_text(program)
    (tmp_path / "main.cpp").write_text(program)
    return namespace


@pytest.mark.parametrize(("number", "compilers"), [(0, ["gcc"]), (1, ["gcc", "g++"])])
def test_the_program_gives_the_forecasts_of_rollout(number, compilers, exported, tmp_path):
    for compiler in compilers:
        find(compiler)
    commands = blocks("bash")[number].replace("./main\n", "")
    for command in commands.splitlines():
        build(*command.split(), "-Wall", "-Wextra", folder=tmp_path)
    lines = execute(tmp_path / "main", folder=tmp_path).splitlines()
    steps, forecasts = np.array([line.split() for line in lines], float).T
    assert steps.tolist() == list(range(1000, 1010))
    expected = exported["model"].rollout(exported["series"], 10)[:, 0]
    np.testing.assert_allclose(forecasts, expected, atol=1e-4)
