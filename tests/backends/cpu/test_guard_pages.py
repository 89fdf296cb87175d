"""Kernels between guard pages: none touches memory that is not its own."""

import json
import mmap
import os

import pytest

from helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    not (hasattr(os, "fork") and hasattr(mmap, "MAP_ANONYMOUS")), reason="pages are POSIX's"
)


@pytest.fixture(scope="module")
def report():
    """What a process did in which everything was guarded; it would not have come to its end."""
    done = run_python("-m", "helpers.guarded_cases", NUMBA_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_access_outside_is_seen(report):
    assert report["failed"] == []


def test_every_kernel_stays_inside(report):
    assert report["missed"] == []
    kinds = {"float32", "float64", "float32 dual", "float64 dual"}
    assert {name.split(" ", 1)[1] for name in report["seen"]} == kinds
