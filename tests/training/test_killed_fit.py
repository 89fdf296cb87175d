"""Killed fits and ensembles resume to the same bits (two hundred kills: stress/kill_fits.py)."""

import os

import pytest

from helpers.house import ROOT
from helpers.processes import run_python


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL and forkserver are of POSIX")
def test_ten_killed_runs_resume_to_the_same_bits():
    survived = run_python(ROOT / "stress" / "kill_fits.py", "--kills", 10)
    assert survived.returncode == 0, survived.stderr
    assert survived.stdout.splitlines()[-1].startswith("10 kills, ")
