"""Calls that may take long, in threads that Ctrl-C can abandon.

While the main thread is inside a kernel or LAPACK, Python cannot act on Ctrl-C. So what may take
long runs in a thread of its own, and the main thread waits where it can be interrupted. A call that
was abandoned goes on to the end of what it is in: its thread is a daemon, for which no exit waits,
and writes to nothing that anybody else reads.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from queue import SimpleQueue
from typing import Any

from numlstm.utils import notices

PATIENCE = 0.05  # seconds; how long Ctrl-C may have to wait
STACK = 2**23  # bytes, at least: the call may compile
NAME = "numlstm"  # of the threads

_here = threading.local()


class Abandoned(BaseException):
    """Raised in a thread whose result nobody waits for."""


def check() -> None:
    """End the call that this thread was started for, if it was abandoned."""
    call = getattr(_here, "call", None)
    if call is not None and call.abandoned:
        raise Abandoned


class Call:
    """A call in a thread of a worker's; in this one where no other may be started."""

    def __init__(self, worker: "Worker", function: Callable[..., Any], *args: Any):
        self.abandoned = False
        self._over = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        # what the caller has set, as by np.errstate, holds there too
        context = contextvars.copy_context()
        context.run(notices.remember_caller)
        try:
            worker.make(partial(context.run, self._run, function, args))
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

    def abandon(self) -> None:
        """Wait no more; its `check` ends it."""
        self.abandoned = True

    def result(self) -> Any:
        """What the function returned or raised, once it is over."""
        if self._error is None:
            return self._result
        try:
            raise self._error
        finally:
            self._error = None  # its traceback holds this frame


class Worker:
    """A daemon thread that makes calls, one after the other, until it is closed.

    Each thread that calls the kernels has threads of OpenMP's beside it, which are not started for
    every call anew.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def make(self, function: Callable[[], Any]) -> None:
        """Call a function there, after those before; RuntimeError where no thread is to be had."""
        if self._thread is None or not self._thread.is_alive():  # it does not survive a fork
            self._calls = SimpleQueue()
            self._thread = _start(_make_calls, self._calls)
        self._calls.put(function)

    def close(self) -> None:
        """Let the thread end once it has made its calls."""
        self._calls.put(None)


def _make_calls(calls: "SimpleQueue[Callable[[], Any] | None]") -> None:
    while (function := calls.get()) is not None:
        function()
        del function  # and what it holds, while there is no other


def _start(target: Callable[..., Any], *args: Any) -> threading.Thread:
    """Start a daemon thread; its stack is large enough whatever others asked for theirs."""
    thread = threading.Thread(target=target, args=args, name=NAME, daemon=True)
    asked = threading.stack_size()
    if not 0 < asked < STACK:
        thread.start()
        return thread
    threading.stack_size(STACK)
    try:
        thread.start()
    finally:
        threading.stack_size(asked)
    return thread


def call(
    function: Callable[..., Any],
    *args: Any,
    worker: Worker | None = None,
    check: Callable[[], None] = check,
) -> Any:
    """function(*args), in a thread of its own or of a worker's, unless it is abandoned.

    `check` raises what it is to be abandoned with; the usual handler of Ctrl-C raises by itself.
    Outside the main thread, which alone gets signals, it is made there.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args)
    if worker is None:
        with closing(Worker()) as worker:
            return call(function, *args, worker=worker, check=check)
    made = Call(worker, function, *args)
    try:
        while not made.wait(PATIENCE):
            check()
    except BaseException:
        made.abandon()
        raise
    return made.result()


class Runner:
    """Makes calls here that are known to be short, and others so that Ctrl-C can abandon them.

    A call is short if one of the same function was, of at least its extent, which says how much
    there is to do, in any unit. Where not `interruptible`, all are made here. Others are made by a
    worker, or each in a thread of its own.
    """

    def __init__(self, *, interruptible: bool = True, worker: Worker | None = None) -> None:
        self._interruptible, self._worker = interruptible, worker
        self._short: dict[Any, float] = {}  # by function: the extent up to which calls are short

    def check(self) -> None:
        """Raise what a call is to be abandoned with."""
        check()

    def is_short(self, function: Callable[..., Any], extent: float) -> bool:
        """Whether a call may be made here."""
        return not self._interruptible or extent <= self._short.get(function, -1)

    def run(self, function: Callable[..., Any], *args: Any, extent: float = 0, **named: Any) -> Any:
        """function(*args, **named), unless it is abandoned."""
        self.check()
        if not self._interruptible:
            return function(*args, **named)
        known = self._short.get(function, -1)  # the first call may compile, so it counts as long
        start = time.perf_counter()
        if extent <= known:
            result = function(*args, **named)
        else:
            given = partial(function, *args, **named)
            result = call(given, worker=self._worker, check=self.check)
        if time.perf_counter() - start >= PATIENCE:
            self._short[function] = min(known, extent - 1)
        elif extent > known:
            self._short[function] = extent
        return result
