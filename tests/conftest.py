"""One thread per worker, backends that run here as a fixture, and how hard Hypothesis tries."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# as many workers as processors, so one thread in each; set before Numba and NumPy are imported, and
# before workers start. What is about threads runs in processes of its own: helpers/processes.py
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")  # no windows

from numlstm import backends

pytest.register_assert_rewrite("helpers")

# what takes long is the reference; an example is slow because it is large, not because it is bad
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=40, **_common)
settings.register_profile("ci", max_examples=40, derandomize=True, database=None, **_common)
settings.register_profile("thorough", max_examples=2000, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What takes minutes begins first, or a worker would be left alone with it; mark the quick."""
    from helpers.house import SLOW  # not before its assertions are rewritten

    items.sort(key=lambda item: SLOW.get(item.path.stem) != "minutes")
    for item in items:
        if item.path.stem not in SLOW:
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def _no_figures_are_left():
    """Matplotlib warns of those that nobody closes."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _runnable() -> list:
    found = []
    for name in backends.REGISTRY:
        try:
            found.append(backends.get(name))
        except backends.BackendError:
            continue  # test_contract says which ones must run everywhere
    return found


# backends that have every variant, not the plain layer alone
FAMILY = ("reference", "cpu")


@pytest.fixture(scope="session", params=FAMILY)
def family_backend(request):
    """Every backend that has the whole family."""
    return backends.get(request.param)


@pytest.fixture(scope="session", params=_runnable(), ids=lambda backend: backend.name)
def backend(request):
    """Every registered backend that can run on this machine."""
    return request.param
