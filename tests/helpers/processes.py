"""Python in processes of its own, with the package and these helpers on its path."""

import os
import subprocess
import sys

from helpers.house import ROOT

PATH = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


def environment(**changed: str) -> dict[str, str]:
    """The variables of this process, but with two threads, and some of them changed."""
    path = os.pathsep.join(filter(None, [PATH, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "NUMBA_NUM_THREADS": "2"} | changed


def run_python(
    *arguments, cwd=ROOT, timeout=None, preexec_fn=None, **changed: str
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end; whoever calls looks at how it ended."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment(**changed),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        preexec_fn=preexec_fn,
    )


def start_python(*arguments, cwd=ROOT, **changed: str) -> subprocess.Popen:
    """Start Python; whoever calls waits for its end."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=environment(**changed),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
