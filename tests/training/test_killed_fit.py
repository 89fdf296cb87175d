"""A killed fit resumes to the same bits (fifty kills: helpers/kill_resume.py)."""

import pytest

from helpers.kill_resume import survive


@pytest.mark.parametrize("kind", ["fit", "ensemble"])
def test_a_killed_run_resumes_to_the_same_bits(kind, tmp_path):
    survive(3, tmp_path, kind=kind)
