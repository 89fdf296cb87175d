"""The CUDA backend without a GPU: the simulator in a process of its own, and what is said of it."""

import importlib.util
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from helpers.house import HELPERS, ROOT
from helpers.processes import run_python
from numlstm import backends

HERE = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(HERE.glob("simulated_*.py")), ids=lambda path: path.stem)
def test_kernels_in_the_simulator(path):
    command = ("-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", path)
    done = run_python(*command, NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


needs_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is only there on Linux"
)


@needs_numba_cuda
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the stand-in for a driver is in C")
def test_the_driver_is_used_as_it_wants_to_be(tmp_path):
    library = str(tmp_path / "libcuda.so.1")
    source = str(HELPERS / "driver.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    places = {"LD_LIBRARY_PATH": str(tmp_path), "NUMLSTM_CACHE_DIR": str(tmp_path / "kernels")}
    for kept in ("", "1"):  # what the first process compiled is there for the second
        places |= {"NUMBA_ENABLE_CUDASIM": "0", "NOTHING_NEW": kept}
        done = run_python("-W", "error", HELPERS / "driven_cuda.py", **places)
        assert done.returncode == 0, done.stdout + done.stderr
        counted = json.loads(done.stderr.splitlines()[-1])
        assert counted["refused"] == 0
        assert counted["graphs"] == 2
        assert counted["graph_launches"] == 6
        assert counted["launches"] > counted["in_graphs"] > 50


@needs_numba_cuda
def test_kernels_compiled_for_every_gpu_keep_within_its_limits():
    done = run_python(ROOT / "benchmarks" / "gpu_static.py", "--quick")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_without_a_gpu_the_error_says_what_to_install():
    code = "import numlstm; numlstm.LSTM(1, 1, backend='cuda')"
    done = run_python("-W", "error", "-c", code, CUDA_VISIBLE_DEVICES="", NUMBA_ENABLE_CUDASIM="0")
    assert done.returncode == 1
    [message] = done.stderr.strip().splitlines()[-1:]
    for part in ("BackendError", '"cuda"', "numlstm[cuda12]", "numlstm[cuda13]"):
        assert part in message


def test_auto_warns_once_where_there_is_a_device_that_cannot_be_used(monkeypatch):
    broken = types.ModuleType("broken")

    def require():
        raise backends.DeviceError("the driver is too old")

    broken.require = require
    monkeypatch.setitem(sys.modules, "numlstm.backends.broken", broken)
    monkeypatch.setitem(backends.REGISTRY, "cuda", "numlstm.backends.broken")
    monkeypatch.setattr(backends, "_warned", set())
    with pytest.warns(UserWarning, match="too old; the next best backend"):
        assert backends.get("auto").name == "cpu"
    assert backends.get("auto").name == "cpu"  # and says nothing: warnings are errors
