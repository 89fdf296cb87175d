"""Which tests run which line of the package, for `mutants.py`."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from mutations import Mutant

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("utils", "architecture", "optim", "data", "model", "objectives", "training")
MODULES = ("test_estimators.py", "test_features.py", "test_version_1.py")
CHEAP = 5.0  # seconds: as many tests of a line are run before those of its room
OWN = 3  # modules, those that are most about a line, whose tests go first
PATIENCE = 60  # seconds beyond three times what the tests take; then a mutant hangs


def copied(to: Path) -> Path:
    """A copy of the files that git knows or would know."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout
    shutil.rmtree(to, ignore_errors=True)
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


class Recorder:
    """A plugin of pytest: every test is a context of coverage, with its time and outcome."""

    def __init__(self, coverage: Any) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self._began = 0.0

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin the context of a test."""
        self.coverage.switch_context(nodeid)
        self._began = time.perf_counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note what failed, and what was skipped: neither can kill."""
        if not report.passed:
            self.failed.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """End it."""
        self.seconds[nodeid] = time.perf_counter() - self._began
        self.coverage.switch_context("")


def test_modules(tree: Path, wanted: list[str]) -> list[str]:
    """The test modules of folders, and modules themselves, below tests/."""
    paths = [tree / "tests" / name for name in wanted or (*TESTS, *MODULES)]
    found = [sorted(path.rglob("test_*.py")) if path.is_dir() else [path] for path in paths]
    return [str(path) for paths in found for path in paths]


def trace_part(part: int, parts: int, result: Path, wanted: list[str]) -> None:
    """Run a part of the test modules in this process, and store what they run."""
    import coverage
    import pytest

    tree = Path.cwd()
    modules = test_modules(tree, wanted)
    package = str(tree / "numlstm")
    measured = coverage.Coverage(data_file=None, config_file=False, source=[package])
    recorder = Recorder(measured)
    measured.start()
    pytest.main([*modules[part::parts], "-q", "-n0"], plugins=[recorder])
    measured.stop()
    data = measured.get_data()
    number = {test: i for i, test in enumerate(recorder.seconds)}
    lines = {
        str(Path(path).relative_to(tree)): {
            line: [number[test] for test in tests if test]
            for line, tests in data.contexts_by_lineno(path).items()
        }
        for path in data.measured_files()
    }
    passed = {k: v for k, v in recorder.seconds.items() if k not in recorder.failed}
    outcome = {"lines": lines, "tests": list(number), "seconds": passed}
    outcome["failed"] = sorted(recorder.failed)
    result.write_text(json.dumps(outcome))


def trace(work: Path, workers: int, wanted: list[str]) -> None:
    """Run the tests of the rooms, or others, and store which line is run by which."""
    tree, script = copied(work / "traced"), Path(__file__).with_name("mutants.py")
    results = [work / f"trace{part}.json" for part in range(workers)]
    shared = ["--workers", str(workers), "--tests", *wanted]
    running = []
    for part, result in enumerate(results):
        own = ["trace-part", "--part", str(part), "--work", str(result)]
        command = [sys.executable, str(script), *own, *shared]
        running.append(subprocess.Popen(command, cwd=tree, env=surroundings(tree)))
    for process in running:
        process.wait()
    print(*(json.loads(result.read_text())["failed"] for result in results))


def surroundings(tree: Path) -> dict[str, str]:
    """The variables of a run: the package of the tree, one thread, the same examples every time."""
    fixed = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "ci"}
    return {**os.environ, **fixed, "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'tests'}"}


class Trace(NamedTuple):
    """What `trace` found: by file and line the tests, and the time of each."""

    lines: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]
    failed: list[str]

    @classmethod
    def load(cls, work: Path) -> "Trace":
        """That of all parts."""
        lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        seconds: dict[str, float] = {}
        failed: list[str] = []
        for path in sorted(work.glob("trace*.json")):
            part = json.loads(path.read_text())
            tests = part["tests"]
            for file, found in part["lines"].items():
                for line, numbers in found.items():
                    lines[file][int(line)] |= {tests[number] for number in numbers}
            seconds |= part["seconds"]
            failed += part["failed"]
        return cls(lines, seconds, failed)

    def tests(self, mutant: Mutant) -> tuple[list[str], list[str]]:
        """Those that run a changed line, or at module level its file; what is about it, and others.

        A module is about a line if it has the file's name, or if most of its tests run the line.
        """
        found, (first, last) = self.lines[f"numlstm/{mutant.file}"], mutant.lines
        touched = found if last == 0 else range(first, last + 1)
        tests = {test for line in touched for test in found.get(line, ())} & set(self.seconds)
        of_module = Counter(map(_module, self.seconds))
        share = {k: n / of_module[k] for k, n in Counter(map(_module, tests)).items()}
        own = f"test_{Path(mutant.file).name}"
        ranked = sorted(share, key=lambda module: (Path(module).name != own, -share[module]))
        about: list[str] = []
        for module in ranked[:OWN]:
            of_it = {test for test in tests if _module(test) == module}
            about += self._cheapest(of_it, CHEAP / OWN)
        return about, self._cheapest(tests - set(about), CHEAP)

    def _cheapest(self, tests: set[str], budget: float) -> list[str]:
        """Tests that take so many seconds; of every function one before the next parameters."""
        turn: Counter[str] = Counter()
        order = []
        for test in sorted(tests, key=lambda test: (self.seconds[test], test)):
            function = test.partition("[")[0]
            order.append((turn[function], self.seconds[test], test))
            turn[function] += 1
        chosen, total = [], 0.0
        for _, seconds, test in sorted(order):
            total += seconds
            if total > budget:
                break
            chosen.append(test)
        return chosen

    def limit(self, tests: list[str]) -> int:
        """Seconds of the processor after which tests, or those of folders, hang."""
        whole = tuple(test for test in tests if "::" not in test)
        named = set(tests)
        total = sum(
            taken
            for test, taken in self.seconds.items()
            if test in named or (whole and test.startswith(whole))
        )
        return PATIENCE + round(3 * total)


def _module(test: str) -> str:
    return test.partition("::")[0]
