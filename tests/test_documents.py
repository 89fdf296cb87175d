"""Examples run: in docstrings, in the README and in docs/."""

import doctest
import importlib
import re

import pytest

from helpers.house import MODULES, ROOT

ELSEWHERE = "numlstm.__main__", "numlstm.backends.cuda"  # test_sunspots, simulated_layers


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(ELSEWHERE)])
def test_docstring_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(module)).failed == 0


DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/data.md",
    "docs/embedding.md",
    "docs/scipy.md",
    "docs/start.md",
    "docs/coming_from.md",
    "docs/features.md",
]
# what a page shows of other libraries stands below <!-- peers: NAME --> and is not run here
BLOCK = re.compile(r"(?<!-->\n)^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_python_in_the_documents_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text()
    namespace: dict = {}
    for number, block in enumerate(BLOCK.findall(text)):
        exec(compile(block, f"{name}, block {number}", "exec"), namespace)
