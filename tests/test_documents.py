"""Examples run: in docstrings, in the README and in docs/."""

import doctest
import importlib
import re

import pytest

from helpers.house import MODULES, ROOT

ELSEWHERE = (
    *("numlstm.__main__", "numlstm.backends.cuda"),  # test_sunspots, simulated_layers
    *("numlstm.convert.torch.modules", "numlstm.convert.onnx.reference_lstm"),  # optional ones
)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(ELSEWHERE)])
def test_docstring_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(module)).failed == 0


# what is written for other packages says so above: <!-- peers: torch -->
BLOCK = re.compile(r"^(<!-- peers: [^>]*-->\n\n?)?```python\n(.*?)^```", re.M | re.S)
PAGES = {
    path.relative_to(ROOT).as_posix(): blocks
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
    if path.name != "faq.md"  # whose errors test_faq.py compares
    and (blocks := [code for peers, code in BLOCK.findall(path.read_text()) if not peers])
}


@pytest.mark.parametrize("name", PAGES)
def test_python_in_the_documents_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for number, block in enumerate(PAGES[name]):
        exec(compile(block, f"{name}, block {number}", "exec"), namespace)
