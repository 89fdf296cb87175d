"""The cache of machine code under attack: many cold processes, a flipped folder, hostile entries.

- crowd: so many processes fit a network at once, all without machine code. They find the same bits,
  leave no temporary file, and one more process compiles nothing.
- flip: another user exchanges the folder for one of theirs, again and again, while it is read.
- hostile: entries that are links, FIFOs, another user's, writable by others, under another's name,
  cut, garbage or huge. Most hold a pickle that would run code. Results are right, nothing has run,
  and what was bad is replaced.
- nodes: a cache that root filled is used by a user who may only read it, where it is named.

    python stress/shared_cache.py

Some fifteen minutes on two cores, most of it for the crowd; --only flip hostile nodes takes one.
What needs a second user needs root, and is skipped without.
"""

import argparse
import ctypes
import hashlib
import multiprocessing
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from numlstm.utils.disk_cache import Store

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "tests" / "helpers" / "cached_kernels.py"
USER, ATTACKER = 54321, 54322  # nobody's numbers
OURS, THEIRS = b"ours", b"theirs"
FIT = """
import hashlib
import numpy as np
from numba.core import event
import numlstm
compiled = event.RecordingListener()
event.register("numba:compile", compiled)
X = np.random.default_rng(0).standard_normal((8, 12, 2))
result = numlstm.fit(X, X[..., :1], hidden_size=5, epochs=2, rng=0, progress=False)
print(hashlib.sha256(result.x.tobytes()).hexdigest(), len(compiled.buffer))
"""
# sources are read first: the interpreter and the checkout may be root's alone
AS_A_USER = f"""
import os, sys
from pathlib import Path
import numba
from numlstm.backends.cpu.codegen import compile, parallel
source = Path(sys.argv[1]).read_text()
numba.njit(lambda x: x)(1), numba.cfunc("intp(intp)")(lambda x: x), compile._store()
os.setgid({USER}), os.setuid({USER})
exec(source)
"""


def main() -> int:
    """Run what was asked for; 0 if all of it is as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    tasks = {"crowd": crowd, "flip": flip, "hostile": hostile, "nodes": nodes}
    parser.add_argument("--only", nargs="+", choices=tasks, default=list(tasks))
    parser.add_argument("--processes", type=int, default=16, help="in the crowd")
    parser.add_argument("--lookups", type=int, default=20_000, help="while the folder is flipped")
    options = parser.parse_args()
    failed = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            faults = tasks[name](Path(folder), options)
        print(f"{name}: {'; '.join(faults) or 'good'}", flush=True)
        failed += faults
    return 1 if failed else 0


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process of Python's with its machine code in a folder, without a home."""
    environment = {name: os.environ[name] for name in os.environ if name != "HOME"}
    environment |= {"NUMLSTM_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    command, pipe = [sys.executable, "-W", "error", *arguments], subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str], limit: float = 3600) -> str:
    """What a process printed, or how it failed."""
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        return "hung"
    return output.strip() if process.returncode == 0 else f"failed: {errors.strip()[-300:]}"


def files(folder: Path) -> list[Path]:
    """Everything in the cache that is no folder."""
    return sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


# --- crowd ----------------------------------------------------------------------------------------


def crowd(folder: Path, options: argparse.Namespace) -> list[str]:
    """Many cold processes at once, and one after them."""
    began = time.perf_counter()
    outputs = [ended(p) for p in [start(folder, "-c", FIT) for _ in range(options.processes)]]
    seconds, last = time.perf_counter() - began, ended(start(folder, "-c", FIT))
    bits = {output.partition(" ")[0] for output in [*outputs, last]}
    kept = files(folder)
    print(f"  {len(outputs)} processes, {seconds:.0f} s, {len(kept)} entries, then {last}")
    faults = [output for output in outputs if "failed" in output or "hung" in output]
    faults += [f"{len(bits)} results"] if len(bits) != 1 else []
    faults += [] if last.endswith(" 0") else [f"the last one compiled: {last}"]
    return faults + [f"{path.name} was left" for path in kept if path.suffix == ".tmp"]


# --- flip -----------------------------------------------------------------------------------------


def flip(folder: Path, options: argparse.Namespace) -> list[str]:
    """Look an entry up while another user exchanges the folder."""
    if os.geteuid() != 0:
        print("  skipped: a second user needs root")
        return []
    place = folder / "open"
    place.mkdir()
    place.chmod(0o777)  # where all may rename; a sticky bit would stop it
    store, other = (Store(place / name, named=True) for name in ("1-2", "theirs"))
    for user, owned, payload in ((USER, store, OURS), (ATTACKER, other, THEIRS)):
        as_user(user, owned.write, "one", payload)
        # sealed as ours, so that only its owner tells it
        sealed = store._digest("one", payload) + payload
        (owned.folder / "one").write_bytes(sealed)
    other.folder.chmod(0o755)
    (other.folder / "one").chmod(0o644)
    folders = os.fsencode(store.folder), os.fsencode(other.folder)
    attacker = multiprocessing.get_context("fork").Process(target=exchange, args=folders)
    attacker.start()
    try:
        counts = as_user(USER, look_up, store, options.lookups)
    finally:
        attacker.kill()
        attacker.join()
    ours, nothing, theirs = counts
    print(f"  {options.lookups} look-ups: {ours} ours, {nothing} refused, {theirs} theirs")
    faults = [f"{theirs} look-ups read what another user had written"] if theirs else []
    return faults + ([] if ours and nothing else ["the folder was not flipped in time"])


def look_up(store: Store, times: int) -> tuple[int, int, int]:
    """How often the payload was ours, none, theirs."""
    found = [store.read("one") for _ in range(times)]
    return found.count(OURS), found.count(None), found.count(THEIRS)


def exchange(one: bytes, other: bytes) -> None:
    """Exchange two folders as another user, in one go each time, until it is killed."""
    become(ATTACKER)
    renameat2, here, at_once = ctypes.CDLL(None).renameat2, -100, 2
    while renameat2(here, one, here, other, at_once) == 0:
        pass


def become(user: int) -> None:
    """Be another user from here on."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def as_user(user: int, function: Callable[..., Any], *arguments: object) -> Any:
    """The result of a function in a child that is another user."""
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, fork, become, (user,)) as pool:
        return pool.submit(function, *arguments).result()


# --- hostile --------------------------------------------------------------------------------------


class Bomb:
    """What makes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        """To make a folder."""
        return os.mkdir, (str(self.marker),)


def hostile(folder: Path, options: argparse.Namespace) -> list[str]:
    """Spoil every entry in each of many ways: right results, and a whole cache after them."""
    marker, faults = folder / "executed", []
    bomb = pickle.dumps(Bomb(marker))
    for name, spoil in SPOILT.items():
        if name == "another user's" and os.geteuid() != 0:
            print(f"  {name}: skipped, it needs root")
            continue
        cache = folder / hashlib.sha256(name.encode()).hexdigest()[:8]
        cold = ended(start(cache, str(KERNELS)))
        [inner] = cache.iterdir()
        store = Store(inner, named=True)
        for path in files(cache):
            spoil(path, store._digest(path.name, bomb) + bomb)
        again, healed = (ended(start(cache, str(KERNELS)), limit=120) for _ in range(2))
        print(f"  {name}: {cold} compiled, spoilt {again}, then {healed}", flush=True)
        if (cold, again, healed) != ("2", "2", "0") or marker.exists():
            faults.append(f"{name}: {again}, {healed}, executed: {marker.exists()}")
            marker.rmdir() if marker.exists() else None
    return faults


def link(path: Path, bomb: bytes) -> None:
    """A symbolic link to a file that is whole."""
    target = path.parent.parent.parent / f"target-{path.name}"
    target.write_bytes(bomb)
    path.unlink()
    path.symlink_to(target)


def fifo(path: Path, bomb: bytes) -> None:
    """A FIFO that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def foreign(path: Path, bomb: bytes) -> None:
    """Another user's."""
    path.write_bytes(bomb)
    os.chown(path, ATTACKER, ATTACKER)


def writable(path: Path, bomb: bytes) -> None:
    """Anybody's."""
    path.write_bytes(bomb)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o002)


def rotated(path: Path, bomb: bytes) -> None:
    """The next one's, whole."""
    names = sorted(other.name for other in path.parent.iterdir())
    if path.name == names[0]:
        contents = [(path.parent / name).read_bytes() for name in names]
        for name, content in zip(names, [*contents[1:], contents[0]], strict=True):
            (path.parent / name).write_bytes(content)


def huge(path: Path, bomb: bytes) -> None:
    """A tebibyte, without blocks on the disk."""
    os.truncate(path, 2**40)


SPOILT: dict[str, Callable[[Path, bytes], object]] = {
    "link": link,
    "FIFO": fifo,
    "another user's": foreign,
    "writable by others": writable,
    "rotated": rotated,
    "cut": lambda path, bomb: path.write_bytes(path.read_bytes()[:-1]),
    "garbage": lambda path, bomb: path.write_bytes(bomb[32:]),
    "huge": huge,
}


# --- nodes ----------------------------------------------------------------------------------------


def nodes(folder: Path, options: argparse.Namespace) -> list[str]:
    """Fill a cache as root; use it as a user who may only read it."""
    if os.geteuid() != 0:
        print("  skipped: a second user needs root")
        return []
    cold = ended(start(folder / "cache", str(KERNELS)))
    closed = ended(start(folder / "cache", "-c", AS_A_USER, str(KERNELS)))
    for path in (folder / "cache").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "cache").chmod(0o755)
    shared = ended(start(folder / "cache", "-c", AS_A_USER, str(KERNELS)))
    print(f"  root compiled {cold}; a user {closed}, and {shared} after chmod -R a+rX")
    found = cold, closed, shared
    return [] if found == ("2", "2", "0") else [f"compiled {found}"]


if __name__ == "__main__":
    sys.exit(main())
