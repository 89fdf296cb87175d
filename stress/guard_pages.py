"""Every CPU kernel and exported C file with its arrays at guard pages: no access outside.

    python stress/guard_pages.py [--seed 0] [--rounds 3] [--no-scratch] [--probe]

A round is a covering set: networks such that every pair of levels of two factors occurs (dtype,
sizes 1 to 65 that fill vectors and tiles and that do not, batches, steps, layers, directions, every
variant of the cell, dropout, ragged rows, resets, ...), and some of several shards. Each does all
that its kernels do: forward, taped, backward, Hessian and Jacobian products, transitions, members
of ensembles, single steps and their derivatives in a user's loops and by address, rollouts, and the
exported C file. Every call of a kernel runs three times: its arrays end at a guard page, begin at
one, and lie where they would; the results must be the same bits. What kernels allocate is guarded,
and the scratch that steps have on the stack, for which steps are compiled anew (a minute;
--no-scratch). A case that ends the process is named, with the Python stack, and the rest goes on.

With --probe, instead, every array of every kernel in turn is an element short: which are noticed?

A round takes about two minutes of one processor, with kernels compiled and gcc installed.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.processes import run_python


def run_cases(*arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A process that takes cases, and the lines that it wrote."""
    done = run_python("-m", "helpers.guarded_cases", *arguments, NUMBA_NUM_THREADS="1")
    return done, done.stdout.splitlines()


def run_round(seed: int, options: list[str], seen: Counter[str]) -> list[str]:
    """All cases of a covering set, in as many processes as it takes; what failed."""
    first, faults = 0, list[str]()
    while True:
        done, lines = run_cases("--seed", str(seed), "--first", str(first), *options)
        if done.returncode == 0:
            report = json.loads(lines[-1])
            seen.update(report["seen"])
            return faults + [f"the self-test: {name}" for name in report["failed"]]
        faults.append(f"seed {seed}, {lines[-1:]}, status {done.returncode}\n{done.stderr}")
        print(faults[-1], flush=True)
        if not lines or not lines[-1].startswith("case "):
            return faults
        first = int(lines[-1].split()[1].rstrip(",")) + 1


def main() -> int:
    """Run the rounds; the exit status is 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-scratch", action="store_true")
    parser.add_argument("--probe", action="store_true")
    options = parser.parse_args()
    if options.probe:
        done, lines = run_cases("--probe")
        report = json.loads(lines[-1])
        print(f"{report['probes']} probes, not noticed (scratch, padding, numbers not needed):")
        print(*report["untouched"], sep="\n")
        return done.returncode
    seen: Counter[str] = Counter()
    faults = []
    for seed in range(options.seed, options.seed + options.rounds):
        faults += run_round(seed, [] if options.no_scratch else ["--scratch"], seen)
    for name, count in sorted(seen.items()):
        print(f"{count:6} {name}")
    print(f"{options.rounds} rounds, {len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
