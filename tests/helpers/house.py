"""Where things are in the project, and what the package's modules are called."""

import ast
import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "numlstm"
TRUTHS = ROOT / "tests" / "truths"
HELPERS = ROOT / "tests" / "helpers"

# test modules that `-m quick` leaves out, and what they take even when all kernels are compiled
SLOW = {
    "test_attributes": "seconds",
    "test_covariance": "seconds",
    "test_cuda": "minutes",
    "test_documents": "seconds",
    "test_examples": "seconds",
    "test_extremes": "seconds",
    "test_gallery": "minutes",
    "test_interrupt": "seconds",
    "test_killed_fit": "seconds",
    "test_lorenz": "seconds",
    "test_static": "seconds",
    "test_step_derivatives": "seconds",
    "test_stepper": "seconds",
    "test_threads": "minutes",
    "test_types": "seconds",
}
SOURCES = sorted(PACKAGE.rglob("*.py"))
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function, dots resolved."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            submodules = {f"{base}.{alias.name}" for alias in node.names}
            found |= {base} | (submodules & set(MODULES))
    return found
