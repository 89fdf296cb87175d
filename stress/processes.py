"""The same bits in every process model, beside every threading layer, under every kind of limit.

A covering array: every value of every factor below meets every value of every other one in some
cell. A cell is a process that must print the digest which the plain process prints, end with code 0
and write nothing to standard error.

    python stress/processes.py                # once, some minutes with compiled kernels
    python stress/processes.py --repeat 20    # the bar
    python stress/processes.py --list         # the cells; --cell N runs the N-th alone
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.covering import covering, pairs
from helpers.processes import run_python

FACTORS = {
    "task": ("fit", "predict", "step", "prange"),
    "model": (
        *("threads", "fork_after", "fork_before", "spawn", "forkserver", "loky", "executor"),
        *("daemon", "small_stack"),
    ),
    "layer": ("omp", "workqueue"),
    # there; there and in use by another library; not installed
    "openmp": ("libgomp", "used", "none"),
    "threads": ("1", "64"),
    "mode": ("plain", "-O", "-W error", "-X dev", "RLIMIT_AS", "comma"),
}
FORKS = "fork_after", "fork_before", "executor"
MEMORY = 4 * 2**30  # bytes of address space under RLIMIT_AS
STACK = 2**18  # bytes of stack of every thread, the main one too, in the model small_stack
TIMEOUT = 60  # seconds
# what is rightly said: of the package where omp is asked for and not installed, of Python since
# 3.12 wherever there is a fork beside threads
IGNORED = "the kernels run in one thread:UserWarning", "This process:DeprecationWarning"


class Cell(NamedTuple):
    """A level of every factor."""

    task: str
    model: str
    layer: str
    openmp: str
    threads: str
    mode: str


# for the test suite: what else is in it about processes has forks, pools and threads
SMALL = (
    Cell("predict", "spawn", "workqueue", "none", "64", "-W error"),
    Cell("step", "forkserver", "omp", "libgomp", "64", "-O"),
    Cell("prange", "loky", "omp", "used", "64", "plain"),
    Cell("step", "alone", "workqueue", "libgomp", "64", "comma"),
    Cell("fit", "daemon", "omp", "used", "64", "-X dev"),
    Cell("fit", "small_stack", "workqueue", "none", "64", "plain"),
    Cell("predict", "small_stack", "omp", "libgomp", "64", "RLIMIT_AS"),
)
Outcome = tuple[int, str, str]  # exit code, standard output, standard error


def impossible(cell: Cell) -> bool:
    """Whether Numba's own `prange` in the user's code cannot run so, whatever this package does."""
    if cell.task != "prange":
        return False
    if cell.layer == "workqueue":
        return cell.model == "threads"  # two at once end the process, say Numba's documents
    if cell.openmp == "none":
        return True  # an error
    # GNU's ends children of a fork, or lets them wait for ever
    return cell.model in FORKS and (cell.openmp == "used" or cell.model != "fork_before")


def covering_array() -> list[Cell]:
    """Cells in which all pairs occur that can."""
    cells = [cell for cell in map(Cell._make, product(*FACTORS.values())) if not impossible(cell)]
    choices = [cell._asdict() for cell in cells]
    wanted = [pair for choice in choices for pair in pairs(choice)]
    return [Cell(**choice) for choice in covering(wanted, lambda missing: choices)]


def limits(cell: Cell) -> None:
    """The limits of a cell, set in its process before Python starts."""
    if cell.mode == "RLIMIT_AS":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if cell.model == "small_stack":
        resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))


def command(cell: Cell) -> list[str]:
    """The command line of a cell."""
    flags = cell.mode.split() if cell.mode.startswith("-") else []
    flags += [f"-Wignore:{warning}" for warning in IGNORED]
    return [*flags, "-m", "helpers.process_models", cell.model, cell.task]


def environment(cell: Cell, folder: Path, seed: int) -> dict[str, str]:
    """The variables of a cell; `folder` has locales, and machine code of Numba's own cache."""
    changed = {
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "NUMBA_THREADING_LAYER": cell.layer,
        "NUMBA_NUM_THREADS": cell.threads,
        "CELL_FOLDER": str(folder),
        "CELL_SEED": str(seed),
        "OPENMP": cell.openmp,
        "COMMA": "",
    }
    if cell.mode == "comma":
        changed |= {"COMMA": "1", "LOCPATH": str(folder), "LC_ALL": "de_DE.UTF-8"}
    return changed


def run(cell: Cell, folder: Path, seed: int = 0, timeout: float = TIMEOUT) -> Outcome:
    """Run a cell to its end, if it comes in time."""
    own = {"timeout": timeout, "preexec_fn": lambda: limits(cell)}
    try:
        done = run_python(*command(cell), **own, **environment(cell, folder, seed))
    except subprocess.TimeoutExpired as error:
        return -1, "", f"no end within {timeout} s; {error.stderr!r}"
    return done.returncode, done.stdout.strip(), done.stderr


def make_locale(folder: Path) -> str:
    """Make a locale with a decimal comma; what is missing for that, or nothing."""
    if shutil.which("localedef") is None:
        return "there is no localedef"
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if (folder / "de_DE.UTF-8" / "LC_NUMERIC").exists() else made.stderr


def expected(tasks: Iterable[str], folder: Path) -> dict[str, str]:
    """The digest of every task in a plain process, which also compiles what is not yet compiled."""
    found = {}
    for task in tasks:
        cell = Cell(task, "alone", "workqueue", "libgomp", "2", "plain")
        code, found[task], errors = run(cell, folder, timeout=3600)
        if code or errors:
            raise SystemExit(f"{task} in a plain process ended with {code}: {errors}")
    return found


def fault(outcome: Outcome, digest: str) -> str:
    """What is wrong with the end of a cell, or nothing."""
    code, found, errors = outcome
    if code == 0 and found == digest and not errors:
        return ""
    return f"code {code}, digest {found == digest}, standard error: {errors[-2000:]}"


def repeated(cells: dict[int, Cell], turns: range, timeout: float) -> Counter[int]:
    """Run numbered cells once with every seed; how often each failed."""
    failures = Counter[int]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        missing = make_locale(folder)
        if missing:
            print(f"no cell with a decimal comma runs: {missing}")
        digests = expected(FACTORS["task"], folder)
        for seed in turns:
            start = time.perf_counter()
            for number, cell in cells.items():
                if missing and cell.mode == "comma":
                    continue
                wrong = fault(run(cell, folder, seed, timeout), digests[cell.task])
                failures[number] += bool(wrong)
                if wrong or seed == turns[0]:
                    print(f"{number:3}", "  ".join(cell), wrong or "ok", flush=True)
            seconds = time.perf_counter() - start
            print(f"seed {seed}: {seconds:.0f} s, {failures.total()} failures", flush=True)
    return +failures


def main() -> None:
    """Run the cells, and say which ones failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the first turn")
    parser.add_argument("--cell", type=int, nargs="+", help="only these, by number")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds for a cell")
    parser.add_argument("--small", action="store_true", help="the cells of the test suite")
    parser.add_argument("--list", action="store_true", help="say what the cells are")
    given = parser.parse_args()
    cells = dict(enumerate(SMALL if given.small else covering_array()))
    if given.cell:
        cells = {number: cells[number] for number in given.cell}
    if given.list:
        print("\n".join(f"{number:3} {'  '.join(cell)}" for number, cell in cells.items()))
        return
    turns = range(given.seed, given.seed + given.repeat)
    failures = repeated(cells, turns, given.timeout)
    print(f"{len(cells)} cells, {given.repeat} times each; failures by cell: {dict(failures)}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
