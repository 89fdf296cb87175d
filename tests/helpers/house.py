"""Where things are in the project, and what the package's modules are called."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "numlstm"
TRUTHS = ROOT / "tests" / "truths"
HELPERS = ROOT / "tests" / "helpers"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
]
