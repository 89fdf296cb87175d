"""The small changes of stress/mutants.py: each is one, and leaves a text that Python reads."""

import ast
import importlib.util
import sys

from helpers.house import PACKAGE, ROOT

SOURCE = '''
"""A module."""

LIMIT: int | None = 3


def first(values, *, strict=True):
    """The first values."""
    if not values or len(values) > LIMIT:
        raise ValueError(f"too many: {len(values) + 1}")
    total = min(values) + values[1:] * 2
    values.sort(key=abs)
    return call(total, values)
'''
EXPECTED = {
    "3 -> 4", "3 -> 2", "True -> False",
    "not values or len(values) > LIMIT -> True", "not values or len(values) > LIMIT -> False",
    "not values or len(values) > LIMIT -> (not values and len(values) > LIMIT)",
    "not values -> values",
    "len(values) > LIMIT -> (len(values) >= LIMIT)",
    "len(values) > LIMIT -> (len(values) <= LIMIT)",
    'raise ValueError(f"too many: {len(values) + 1}") -> pass',
    "min(values) + values[1:] * 2 -> (min(values) - values[1:] * 2)",
    "values[1:] * 2 -> (values[1:] / 2)", "min(values) -> max(values)",
    "1: -> :", "1 -> 2", "1 -> 0", "2 -> 3", "2 -> 1",
    "values.sort(key=abs) -> values.sort()", "values.sort(key=abs) -> pass",
    "call(total, values) -> call(values, total)",
    "return call(total, values) -> return None",
}  # fmt: skip


def mutations():
    path = ROOT / "stress" / "mutations.py"
    spec = importlib.util.spec_from_file_location("mutations", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module
    spec.loader.exec_module(module)
    return module


def test_what_is_changed():
    found = mutations().mutants("module.py", SOURCE)
    assert {mutant.shown for mutant in found} == EXPECTED
    assert len(found) == len(EXPECTED)


def test_every_change_of_a_file_is_one_that_python_reads():
    text = (PACKAGE / "data" / "padding.py").read_text()
    tree = ast.dump(ast.parse(text))
    for mutant in mutations().mutants("data/padding.py", text):
        changed = mutant.source(text)
        assert ast.dump(ast.parse(changed)) != tree, mutant
        assert changed.startswith(text[: mutant.start])
        assert changed.endswith(text[mutant.stop :])
