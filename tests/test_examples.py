"""The examples, run by the very commands that their README names."""

import re
import shutil
import sys

import pytest

from helpers.compilers import execute, find
from helpers.house import ROOT

EXAMPLES = ROOT / "examples"

# folder -> its compilers, and the error that its last line may admit
EXPECTED = {
    "oscillator": (["gcc", "gfortran"], 0.05),
    "audio": (["gcc"], 0.05),
    "lorenz96": ([], 0.3),
}


def commands() -> dict[str, str]:
    """The command of every folder, as the README's table has it."""
    rows = re.findall(r"^\| `(\w+)` .*\| `(.+)` \|$", (EXAMPLES / "README.md").read_text(), re.M)
    return dict(rows)


def test_the_readme_lists_every_example():
    site = {path.parent for path in EXAMPLES.glob("*/GALLERY_HEADER.rst")}  # of test_gallery.py
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path not in site}
    assert folders == set(commands()) == set(EXPECTED)


def test_the_site_names_the_same_commands():
    page = (ROOT / "docs" / "embedding_examples.md").read_text()
    blocks = re.findall(r"^```bash\n(.*?)\n^```", page, re.M | re.S)
    assert [block.replace("\n", " && ") for block in blocks] == list(commands().values())


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, tmp_path):
    compilers, limit = EXPECTED[name]
    for compiler in compilers:
        find(compiler)
    shutil.copytree(EXAMPLES / name, tmp_path, dirs_exist_ok=True)
    command = commands()[name].replace("python ", f"{sys.executable} ")
    last = execute("sh", "-c", command, folder=tmp_path).splitlines()[-1]
    assert 0 < float(last.split()[-1]) < limit, last
