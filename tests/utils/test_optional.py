"""Optional packages: one error for each that is missing, which says what to install."""

import re
import sys
import tomllib

import pytest

from helpers.house import PACKAGE, ROOT
from numlstm.utils import optional

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_a_module_that_is_there():
    assert optional.require("json.decoder", "json", "this").JSONDecoder


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "lacking", None)
    message = r'^this needs lacking: python -m pip install "numlstm\[lack\]" \(.*\)$'
    with pytest.raises(ImportError, match=message) as caught:
        optional.require("lacking.part", "numlstm[lack]", "this")
    assert caught.value.name == "lacking"


def test_a_package_that_another_one_lacks(monkeypatch, tmp_path):
    (tmp_path / "there.py").write_text("import lacking")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "lacking", None)
    with pytest.raises(ImportError, match="import of lacking halted"):
        optional.require("there", "numlstm[there]", "this")


def test_every_extra_that_an_error_names_is_one():
    """Written out, as "numlstm[plot]", or the second argument of a Counterpart."""
    named = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        named |= set(re.findall(r"numlstm\[(\w+)\]", text))
        named |= set(re.findall(r'^EXTRA = "(\w+)"', text, re.M))
        named |= set(re.findall(r'Counterpart\(\s*"[^"]+",\s*"(\w+)"', text))
    assert {"plot", "sklearn", "keras", "onnx", "tflite", "torch"} <= named
    assert named <= EXTRAS.keys()
