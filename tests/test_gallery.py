"""The tutorials and the gallery of the site run, and draw what they promise."""

import pytest

from helpers.house import ROOT
from helpers.processes import run_python

SCRIPTS = sorted((ROOT / "examples").glob("*/plot_*.py"))
PROGRAM = """
import runpy, sys, matplotlib.pyplot as plt
runpy.run_path(sys.argv[1])
assert plt.get_fignums(), "there is no figure"
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_example_runs_without_a_warning(script, tmp_path):
    done = run_python("-W", "error", "-c", PROGRAM, script, cwd=tmp_path, MPLBACKEND="Agg")
    assert done.returncode == 0, done.stderr
