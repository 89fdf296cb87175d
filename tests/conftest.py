"""One thread per worker, backends that run here as a fixture, and how hard Hypothesis tries."""

import os

import pytest
from hypothesis import HealthCheck, settings

# as many workers as processors, so one thread in each; set before Numba is imported. What is about
# threads runs in processes of its own, see helpers/processes.py
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

from numlstm import backends

pytest.register_assert_rewrite("helpers")

# what takes long is the reference; an example is slow because it is large, not because it is bad
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=40, **_common)
settings.register_profile("ci", max_examples=40, derandomize=True, database=None, **_common)
settings.register_profile("thorough", max_examples=2000, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


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
