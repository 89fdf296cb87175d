"""Whether more threads can be started is found out by starting them, and none is left."""

import sys
from pathlib import Path

import pytest

from helpers.processes import run_python
from numlstm.utils import threads

linux = pytest.mark.skipif(sys.platform != "linux", reason="only there it is tried")

LIMITED = """
import resource
from numlstm.utils.threads import can_start
resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
print(can_start(1), can_start(100_000))
"""


@linux
def test_as_many_threads_as_are_usual_can_be_started_and_end():
    before = len(list(Path("/proc/self/task").iterdir()))
    assert all(threads.can_start(count) for count in (1, 8, 64))
    assert len(list(Path("/proc/self/task").iterdir())) == before


@linux
def test_under_a_limit_of_memory_some_can_be_started_but_not_all():
    done = run_python("-c", LIMITED)
    assert done.stdout.split() == ["True", "False"], done.stderr
