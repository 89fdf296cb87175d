"""A killed fit resumes to the same bits (fifty kills: helpers/kill_resume.py)."""

from helpers.kill_resume import survive


def test_a_killed_fit_resumes_to_the_same_bits(tmp_path):
    survive(3, tmp_path)
