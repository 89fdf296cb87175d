"""Mutation testing: do the tests notice a small change of the package's source?

Files, validation of arguments, targets, sequences and training are changed in one place at a time,
a comparison, a constant, a statement or an argument, and the tests that run the changed line are
run. A change that no test notices shows what the tests do not say. Strings, annotations, messages
and `__repr__` stay as they are.

    python -m pip install coverage
    python stress/mutants.py trace --work /tmp/mutants      # which tests run which line, 10 minutes
    python stress/mutants.py run --work /tmp/mutants --count 300      # about 5 s a mutant
    python stress/mutants.py run --work /tmp/mutants --again
    python stress/mutants.py report --work /tmp/mutants

`trace` and `run` work on copies of the tracked files. A mutant is killed by a test that fails or
takes far longer than it should. The cheapest tests go first. What outlives them meets all tests of
its room in `run --again`, which takes a minute or two each; only then it is a survivor. `--seed`
draws others, `--files` takes those of a part, and `--unchanged` changes nothing: then nothing may
be killed. Unix only: a mutant runs in a fork of a process that has loaded all but the package.
"""

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from line_tests import ROOT, Trace, copied, surroundings, trace, trace_part
from mutations import Mutant, mutants

FILES = (
    *("utils/files.py", "utils/archives.py", "utils/schema.py", "utils/replacing.py"),
    *("utils/temporaries.py", "model/persistence.py"),
    *("training/checkpoints.py", "utils/checks.py", "utils/nouns.py"),
    *("architecture/spec.py", "data/validation.py", "data/targets.py", "data/sequences.py"),
    *("data/arrays.py", "data/padding.py", "data/missing.py", "data/scaling.py"),
    *("training/*.py", "optim/*.py", "objectives/*.py"),
)
PRELOADED = ("numba", "scipy.optimize", "scipy.special", "pytest", "hypothesis", "narwhals")
RESULTS = "results.jsonl"  # in the folder of the work
BAR = 0.85  # of the mutants are to be killed
WAITING = 10  # times the processor's time that tests have may pass while they wait


def sampled(patterns: list[str], count: int, seed: int) -> list[Mutant]:
    """So many mutants, of files by how many lines can be changed; of a line one at most."""
    lines: dict[str, dict[int, list[Mutant]]] = {}
    for path in sorted({path for each in patterns for path in (ROOT / "numlstm").glob(each)}):
        name = path.relative_to(ROOT / "numlstm").as_posix()
        lines[name] = defaultdict(list)
        for mutant in mutants(name, path.read_text()):
            lines[name][mutant.line].append(mutant)
    total = sum(map(len, lines.values()))
    found = []
    for name, of_line in lines.items():
        draw = random.Random(f"{seed} {name}")  # the other files of a sample do not matter
        share = min(len(of_line), round(count * len(of_line) / total))
        chosen = draw.sample(sorted(of_line), share)
        found += [drawn(draw, of_line[line]) for line in chosen]
    return found


def drawn(draw: random.Random, choices: list[Mutant]) -> Mutant:
    """A mutant of a kind: no kind more than another."""
    kind = draw.choice(sorted({mutant.kind for mutant in choices}))
    return draw.choice([mutant for mutant in choices if mutant.kind == kind])


class Mutation:
    """A tree with a mutant in it."""

    def __init__(self, tree: Path, mutant: Mutant) -> None:
        self.path = tree / "numlstm" / mutant.file
        self.original = self.path.read_text()
        self.changed = mutant.source(self.original)
        # what the names of compiled kernels depend on stays as it is on the disk, or all of them
        # would be compiled again; processes that tests start then see the original
        self.in_memory = mutant.file.startswith("architecture/")

    def __enter__(self) -> "Mutation":
        """Write it."""
        self._drop_bytecode()
        if not self.in_memory:
            self.path.write_text(self.changed)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the original."""
        self.path.write_text(self.original)
        self._drop_bytecode()

    def _drop_bytecode(self) -> None:
        """It is told by size and whole seconds, which two mutants may share."""
        Path(cache_from_source(str(self.path))).unlink(missing_ok=True)

    def install(self) -> None:
        """Let this process import the changed text, if it is not on the disk."""
        if self.in_memory:
            original = SourceFileLoader.get_data

            def get_data(loader: Any, path: str) -> bytes:
                own = path == str(self.path)
                return self.changed.encode() if own else original(loader, path)

            setattr(SourceFileLoader, "get_data", get_data)  # noqa: B010  # for type checkers


def run_tests(tree: Path, mutation: Mutation, tests: list[str], log: Path, limit: int) -> None:
    """Run tests until one fails, in this process, which is a fork; its exit code says how."""
    os.setsid()
    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.environ |= surroundings(tree)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    os.chdir(tree)
    sys.path[:0] = [str(tree)]
    mutation.install()
    import pytest

    loaded = "ignore::pytest.PytestAssertRewriteWarning"  # what is loaded before
    quiet = ["-q", "-n0", "-p", "no:cacheprovider", "--tb=line", "-W", loaded]
    code = pytest.main([*tests, "-x", *quiet])
    sys.stdout.flush()
    os._exit(code)


def is_killed(tree: Path, mutation: Mutation, tests: list[str], limit: int) -> str:
    """How tests end in a fork: "" where all pass, "time" where it hangs, or what failed."""
    log = tree.parent / f"{tree.name}.log"
    process = multiprocessing.get_context("fork").Process(
        target=run_tests, args=(tree, mutation, tests, log, limit)
    )
    process.start()
    process.join(WAITING * limit)
    hangs = process.is_alive() or process.exitcode == -signal.SIGXCPU
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):  # nothing is left of it
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    if hangs:
        return "time"
    if process.exitcode == 0:
        return ""
    ends = [line for line in log.read_text().splitlines() if line.startswith(("FAILED", "ERROR"))]
    return ends[0][:160] if ends else f"exit {process.exitcode}"


def judged(tree: Path, trace: Trace, mutant: Mutant, options: argparse.Namespace) -> dict[str, Any]:
    """What becomes of a mutant."""
    stages = [] if options.again else list(trace.tests(mutant))
    if options.again or options.unchanged or not any(stages):
        skipped = [f"--deselect={test}" for test in trace.failed]
        stages += [options.first, [f"tests/{mutant.file.split('/')[0]}", *skipped]]
    began, by = time.monotonic(), ""
    with Mutation(tree, mutant) as mutation:
        for tests in filter(None, stages):
            by = by or is_killed(tree, mutation, tests, trace.limit(tests))
    taken = round(time.monotonic() - began, 1)
    return {"mutant": mutant, "killed": by, "thorough": options.again, "seconds": taken}


def work_through(worker: int, todo: list[Mutant], options: argparse.Namespace) -> None:
    """Judge mutants, one after the other, and append what becomes of them."""
    tree, trace = copied(options.work / f"tree{worker}"), Trace.load(options.work)
    os.environ |= surroundings(tree)
    for name in PRELOADED:
        importlib.import_module(name)
    for mutant in todo:
        result = judged(tree, trace, mutant, options)
        with (options.work / RESULTS).open("a") as out:
            out.write(json.dumps(result) + "\n")
        print(result["killed"][:70] or "SURVIVES", mutant.file, mutant.line, mutant.shown[:90])


def run(options: argparse.Namespace) -> None:
    """Judge a sample, or again what survived."""
    known = load_results(options.work)
    if options.unchanged:
        files = {mutant.file.split("/")[0]: mutant.file for mutant in sampled(list(FILES), 300, 0)}
        todo = [Mutant(file, 0, (0, 0), "none", 0, 0, "", "") for file in files.values()]
    elif options.again:
        todo = [mutant for mutant, result in known.items() if not result["killed"]]
    else:
        chosen = sampled(options.files or list(FILES), options.count, options.seed)
        todo = [mutant for mutant in chosen if mutant not in known]
    random.Random(options.seed).shuffle(todo)
    processes = [
        multiprocessing.Process(
            target=work_through, args=(worker, todo[worker :: options.workers], options)
        )
        for worker in range(options.workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def load_results(work: Path) -> dict[Mutant, dict[str, Any]]:
    """The last result of every mutant."""
    path = work / RESULTS
    found: dict[Mutant, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        result = json.loads(line)
        file, at, lines, *rest = result["mutant"]
        found[Mutant(file, at, tuple(lines), *rest)] = result
    return found


def report(work: Path) -> None:
    """Print the shares and the survivors, as a document; exit with 1 where too many survive."""
    results = load_results(work)
    count = Counter(mutant.file for mutant in results)
    killed = Counter(mutant.file for mutant, result in results.items() if result["killed"])
    print("| File | Mutants | Killed |\n|---|---|---|")
    for file in sorted(count):
        print(f"| {file} | {count[file]} | {killed[file]} |")
    share = killed.total() / max(1, count.total())
    print(f"| together | {count.total()} | {killed.total()} ({share:.0%}) |\n")
    for mutant, result in sorted(results.items()):
        if not result["killed"]:
            print(f"| {mutant.file}:{mutant.line} | `{mutant.shown}` | {mutant.kind} |")
    sys.exit(share < BAR)


def main() -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["trace", "trace-part", "run", "report"])
    parser.add_argument("--work", type=Path, required=True, help="a folder for copies and results")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--part", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--tests", nargs="*", default=[], help="below tests/, of `trace`")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="*", help="patterns below numlstm/, of all by default")
    parser.add_argument("--unchanged", action="store_true", help="no mutants: none may be killed")
    parser.add_argument("--again", action="store_true", help="only what survived so far")
    parser.add_argument("--first", nargs="*", default=[], help="with --again: tests to begin with")
    options = parser.parse_args()
    if options.step == "trace":
        trace(options.work, options.workers, options.tests)
    elif options.step == "trace-part":
        trace_part(options.part, options.workers, options.work, options.tests)
    elif options.step == "run":
        run(options)
    else:
        report(options.work)


if __name__ == "__main__":
    main()
