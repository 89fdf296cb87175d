"""Calls that may take long, in threads that Ctrl-C can leave.

While the main thread is inside a kernel or LAPACK, Python cannot act on Ctrl-C. So what may take
long runs in a thread of its own, and the main thread waits where it can be interrupted. A thread
that was left goes on to the end of what it is in: it is a daemon, for which no exit waits, and
writes to nothing that anybody else reads.
"""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 0.05  # seconds; how long Ctrl-C may have to wait
STACK = 2**23  # bytes, at least: the call may compile
NAME = "numlstm"  # of the threads

_here = threading.local()


class Left(BaseException):
    """Raised in a thread whose result nobody waits for."""


def check() -> None:
    """End the call that this thread was started for, if it was left."""
    call = getattr(_here, "call", None)
    if call is not None and call.left:
        raise Left


class Call:
    """A call in a daemon thread of its own; in this one where no other may be started."""

    def __init__(self, function: Callable[..., Any], *args: Any):
        self.left = False
        self._over = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        # what the caller has set, as by np.errstate, holds there too
        run = contextvars.copy_context().run
        try:
            _start(run, self._run, function, args)
        except RuntimeError:  # the interpreter is about to end, or a limit is reached
            self._run(function, args)

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        _here.call = self
        try:
            self._result = function(*args)
        except BaseException as error:
            self._error = error
        finally:
            _here.call = None
            self._over.set()

    def wait(self, seconds: float) -> bool:
        """Whether it is over, within so much time."""
        return self._over.wait(seconds)

    def leave(self) -> None:
        """Wait no more; its `check` ends it."""
        self.left = True

    def result(self) -> Any:
        """What the function returned or raised, once it is over."""
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            self._error = None  # its traceback holds this frame


def _start(target: Callable[..., Any], *args: Any) -> None:
    """Start a daemon thread; its stack is large enough whatever others asked for theirs."""
    thread = threading.Thread(target=target, args=args, name=NAME, daemon=True)
    asked = threading.stack_size()
    if not 0 < asked < STACK:
        thread.start()
        return
    threading.stack_size(STACK)
    try:
        thread.start()
    finally:
        threading.stack_size(asked)


class Runner:
    """Calls functions; those that may take long aside, where Ctrl-C can leave them.

    A call is short if one of the same function was, of at least its `extent`, a number that
    arguments may have. Outside the main thread, which alone gets signals, nothing is aside.
    """

    def __init__(self) -> None:
        self._short: dict[Any, int] = {}  # by function: the extent up to which calls are short

    def check(self) -> None:
        """Raise what a call is to be left with; the usual handler of Ctrl-C raises by itself."""
        check()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """function(*args), unless it is left."""
        self.check()
        known = self._short.get(function, -1)  # the first call may compile, so it counts as long
        extent = extent_of(args)
        start = time.perf_counter()
        result = function(*args) if extent <= known else self.aside(function, *args)
        if time.perf_counter() - start >= PATIENCE:
            self._short[function] = min(known, extent - 1)
        elif extent > known:
            self._short[function] = extent
        return result

    def aside(self, function: Callable[..., Any], *args: Any) -> Any:
        """function(*args), which may take long, unless it is left."""
        if threading.current_thread() is not threading.main_thread():
            return function(*args)
        call = Call(function, *args)
        try:
            while not call.wait(PATIENCE):
                self.check()
        except BaseException:
            call.leave()
            raise
        return call.result()


def extent_of(args: tuple[Any, ...]) -> int:
    """How much there is to do, as far as the arguments say."""
    return max([getattr(arg, "extent", 0) for arg in args], default=0)


def slices(steps: int, first: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of parts of a series that take less than `PATIENCE` each, as time shows.

    They have a power of two of steps, the first about so many, so that few sizes occur.
    """
    start, size = 0, 1 << max(0, first.bit_length() - 1)
    while start < steps:
        stop = min(start + size, steps)
        begun = time.perf_counter()
        yield start, stop
        elapsed = time.perf_counter() - begun
        if elapsed > PATIENCE:
            size = max(1, size // 2)
        elif elapsed < PATIENCE / 4:
            size *= 2
        start = stop
