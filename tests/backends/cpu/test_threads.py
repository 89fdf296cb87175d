"""The same bits on any number of threads, in any process, whatever the state of the cache.

Everything runs in new processes (helpers/process_models.py), since Numba fixes its threads when it
is first used.
"""

import json
import os
import sys

import pytest

from helpers.house import ROOT
from helpers.processes import run_python

LAYERS = ["omp", "workqueue"]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def run_model(model, task, **environment):
    """The digests of a task in a process model; on failure, what it wrote to stderr."""
    return run_and_listen(model, task, **environment)[0]


def run_and_listen(model, task, **environment):
    """The digests of a task in a process model, and what it wrote to stderr."""
    done = run_python("-m", "helpers.process_models", model, task, timeout=400, **environment)
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def expected():
    return run_model("alone", "all", NUMBA_NUM_THREADS="2")


@pytest.mark.parametrize("threads", ["1", "3", "8"])
def test_the_number_of_threads_does_not_change_a_bit(expected, threads):
    """Nor does machine code that another process has compiled."""
    assert run_model("alone", "all", NUMBA_NUM_THREADS=threads) == expected


def test_what_else_is_shared_among_threads_keeps_its_bits():
    found = [run_model("alone", "others", NUMBA_NUM_THREADS=threads) for threads in ("1", "2", "8")]
    assert found[0]
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_the_processor_does_not_change_a_bit(expected):
    """The least that Numba compiles for: narrow vectors, and on x86 no multiply-add instruction."""
    require_part(run_model("alone", "varied", NUMBA_CPU_NAME="generic"), expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_many_python_threads_at_once(expected, layer):
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4"}
    assert run_model("threads", "all", **environment) == expected


@forks
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("model", ["fork_after", "fork_after_others", "executor"])
def test_children_of_a_fork(expected, model, layer):
    """They run the serial driver, so this compares its bits as well."""
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4"}
    assert run_model(model, "all", **environment) == expected


@forks
@pytest.mark.parametrize("layer", LAYERS)
def test_children_of_a_fork_amid_kernels(expected, layer):
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "4"}
    require_part(run_model("fork_while_busy", "predict", **environment), expected)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory has no such limit")
@pytest.mark.parametrize("layer", LAYERS)
def test_where_threads_cannot_be_started_one_does_the_work(expected, layer):
    """GNU's OpenMP ended the process, the work queue waited for ever."""
    environment = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "512"}
    found, said = run_and_listen("cramped", "predict", OPENBLAS_NUM_THREADS="1", **environment)
    require_part(found, expected)
    assert said.count("UserWarning: the kernels run in one thread") == 1
    assert "does not start 512 threads" in said


def test_without_the_threading_layer_asked_for_one_thread_does_the_work(expected):
    found, said = run_and_listen("alone", "predict", OPENMP="none", NUMBA_THREADING_LAYER="omp")
    require_part(found, expected)
    assert said.count("UserWarning: the kernels run in one thread") == 1
    assert "NUMBA_THREADING_LAYER=omp" in said


MASK = """
import numba
from numlstm.backends.cpu.codegen import parallel
from numlstm.utils import interruptible
for count in (1, 2, 1):
    numba.set_num_threads(count)
    assert interruptible.call(numba.get_num_threads) == count
"""


def test_a_thread_beside_has_the_number_of_threads_of_its_caller():
    done = run_python("-c", MASK, NUMBA_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr


WORK_QUEUE = """
import os, signal, threading, time
import numba
from numlstm.backends.cpu.codegen import parallel
from numlstm.utils import interruptible
numba.get_num_threads()
interruptible.GRACE, over = 0, []

def kernel():
    with parallel._region:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        over.append(True)

try:
    interruptible.call(kernel)
except KeyboardInterrupt:
    print(over)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_under_the_work_queue_ctrl_c_waits_for_the_kernel():
    """Code of the user's that runs in parallel beside it would end the process."""
    done = run_python("-c", WORK_QUEUE, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2")
    assert done.stdout == "[True]\n", done.stderr


def test_every_kind_of_process():
    """Some cells of the array of stress/processes.py."""
    done = run_python(ROOT / "stress" / "processes.py", "--small", "--timeout", "400")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_a_cache_that_cannot_be_written_only_costs_time(expected, tmp_path):
    """A folder below a regular file: it stops root too, whom permission bits do not."""
    (tmp_path / "file").write_text("no folder")
    blocked = tmp_path / "file" / "cache"
    require_part(run_model("alone", "predict", NUMLSTM_CACHE_DIR=str(blocked)), expected)
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_corrupt_cache_only_costs_time(expected, tmp_path):
    require_part(run_model("alone", "predict", NUMLSTM_CACHE_DIR=str(tmp_path)), expected)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert files, "nothing was cached"
    whole = [path.read_bytes() for path in files]
    for index, (path, data) in enumerate(zip(files, whole, strict=True)):
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes([data[:middle], b"", b"garbage", flipped][index % 4])
    require_part(run_model("alone", "predict", NUMLSTM_CACHE_DIR=str(tmp_path)), expected)


def require_part(found, expected):
    assert found
    assert found.items() <= expected.items()
