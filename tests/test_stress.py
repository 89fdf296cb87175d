"""Small forms of scripts in stress/; those of the others are in the rooms that they are about."""

import os
import sys

import pytest

from helpers.house import ROOT
from helpers.processes import run_python

SCRIPTS = ROOT / "stress"


@pytest.mark.skipif(sys.platform != "linux", reason="only there folders are exchanged in one go")
def test_a_cache_that_changes_owners_is_not_read():
    """Its other parts are in utils/test_disk_cache.py."""
    done = run_python(SCRIPTS / "shared_cache.py", "--only", "flip")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "flip: good"


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal there")
def test_ctrl_c_at_some_moment_leaves_the_parameters_of_a_whole_step():
    done = run_python(SCRIPTS / "interrupts.py", "adam, short steps", "--moments", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("all ")
