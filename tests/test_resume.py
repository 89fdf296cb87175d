"""A killed fit resumes to the same bits (fifty kills: ``python tests/kill_resume.py 50``)."""

from kill_resume import survive


def test_a_killed_fit_resumes_to_the_same_bits(tmp_path):
    survive(3, tmp_path)
