"""The page of errors: every message that it quotes is what the code above it says."""

import contextlib
import fnmatch
import io
import re
import warnings

import pytest

from helpers.house import ROOT
from numlstm.backends import BackendError

PAGE = (ROOT / "docs" / "faq.md").read_text()
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def sections():
    """Heading -> its blocks, pairs of code and what it says, "" where it says nothing."""
    parts = re.split(r"^##+ (.*)\n", PAGE, flags=re.MULTILINE)
    found = {"": paired(parts[0])} | dict(zip(parts[1::2], map(paired, parts[2::2]), strict=True))
    return {heading: blocks for heading, blocks in found.items() if blocks}


def paired(text):
    pairs = []
    for kind, block in BLOCK.findall(text):
        if kind == "python":
            pairs.append((block, ""))
        else:
            pairs[-1] = pairs[-1][0], one_line(block)
    return pairs


def one_line(text):
    return " ".join(text.split())


SECTIONS = sections()
COMMON = SECTIONS.pop("")[0][0]


def said_by(code, namespace):
    """What a block prints, warns of and ends with, on one line."""
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            exec(compile(code, "docs/faq.md", "exec"), namespace)
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
    heard = [f"{warning.category.__name__}: {warning.message}" for warning in caught]
    return one_line(" ".join([*heard, printed.getvalue()]))


@pytest.fixture
def no_gpu(monkeypatch):
    """The page shows a machine without one; where no package for it is, there is none anyway."""
    with contextlib.suppress(ImportError, BackendError):
        monkeypatch.setattr("numlstm.backends.cuda.fault", lambda: "no CUDA-capable device")


def test_the_page_has_the_likeliest_errors():
    assert sum(bool(said) for pairs in SECTIONS.values() for _, said in pairs) >= 20


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_code_says_what_the_page_quotes(heading, no_gpu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec(COMMON, namespace)
    for code, quoted in SECTIONS[heading]:
        said = said_by(code, namespace)
        pattern = "*".join(map(literal, quoted.split("...")))
        assert fnmatch.fnmatchcase(said, pattern), f"{said}\nis not\n{quoted}"


def literal(text):
    return re.sub(r"([\[*?])", r"[\1]", text)
