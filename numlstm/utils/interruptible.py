"""Calls that may take long, in threads that Ctrl-C can abandon.

While the main thread is inside a kernel or LAPACK, Python cannot act on Ctrl-C. So what may take
long runs in a thread of its own, and the main thread waits where it can be interrupted.

A call that is abandoned does no harm. It has a moment to end by itself, as most do, else it ends at
its next kernel. It writes to nothing that anybody else reads, and reads no memory of the arrays of
the user. Its thread is a daemon, for which no exit waits; only a fork does, because a child would
inherit what it has half done.
"""

import atexit
import contextlib
import contextvars
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from numlstm.utils import notices

PATIENCE = 0.05  # seconds; how long Ctrl-C may have to wait
GRACE = 0.15  # seconds, in which an abandoned call may end by itself
STACK = 2**23  # bytes, at least: the call may compile
NAME = "numlstm"  # of the threads

# what backends add: functions whose results are called in the thread before its call ...
inherited: list[Callable[[], Callable[[], object]]] = []
# ... and what is called when a call goes on after it was abandoned
on_abandoned: list[Callable[[], object]] = []
# ... and locks that no other thread may hold in a fork: its child would wait for them for ever
held_in_forks: list[Any] = []


class _Here(threading.local):
    """What a thread does."""

    call: "Call | None" = None


_here = _Here()


class Abandoned(BaseException):
    """Raised in a thread whose result nobody waits for."""


def check() -> None:
    """End the call that this thread makes, if it was abandoned."""
    made = _here.call
    if made is not None and made.abandoned:
        raise Abandoned


def own(array: Any, source: Any) -> Any:
    """The array in memory of its own, of which its source, the user's, has no part."""
    return array.copy() if np.may_share_memory(array, source) else array


class Call:
    """A call in another thread; in this one where no other may be started."""

    def __init__(self, function: Callable[..., Any], *args: Any):
        self.abandoned = False
        self._over = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        # what the caller has set, as by np.errstate, holds there too
        context = contextvars.copy_context()
        context.run(notices.remember_caller)
        settings = [setting() for setting in inherited]
        run: Callable[..., Any] = context.run
        made = partial(run, self._run, settings, function, args)
        if not _hand_over(self, made):
            made()

    def _run(
        self, settings: list[Callable[[], object]], function: Callable[..., Any], args: Any
    ) -> None:
        _here.call = self
        try:
            for setting in settings:
                setting()
            result = function(*args)
            self._result = None if self.abandoned else result
        except BaseException as error:
            self._error = error
        finally:
            _here.call = None
            self._over.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is over, within so much time."""
        return self._over.wait(seconds)

    def abandon(self) -> None:
        """Wait no more, but for a moment in which it may end."""
        self.abandoned = True
        try:
            over = self.wait(GRACE)
        except BaseException:  # Ctrl-C, again
            over = False
            raise
        finally:
            self._result = None
            if not over:
                for function in on_abandoned:
                    function()

    def result(self) -> Any:
        """What the function returned or raised, once it is over."""
        if self._error is None:
            result, self._result = self._result, None  # its worker keeps the call
            return result
        try:
            raise self._error
        finally:
            self._error = None  # its traceback holds this frame


class Worker:
    """A daemon thread that makes one call after the other.

    It lives on, because each thread that calls the kernels has threads of OpenMP's beside it.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._call: Call | None = None  # the last
        self._thread = _started(_make_calls, self._calls)

    @property
    def is_free(self) -> bool:
        """Whether it has nothing to do."""
        return self._call is None or self._call.wait(0)

    def make(self, call: Call, function: Callable[[], object]) -> None:
        """Call the function, which makes a call."""
        self._call = call
        self._calls.put(function)

    def wait_if_abandoned(self) -> None:
        """Wait until a call that was abandoned is over."""
        if self._call is not None and self._call.abandoned:
            self._call.wait()

    def end(self) -> bool:
        """End the thread, unless it has something to do."""
        if not self.is_free or self._thread is threading.current_thread():
            return False
        self._calls.put(None)
        self._thread.join()
        return True


_workers: list[Worker] = []
_claim = threading.RLock()  # for who looks for a free worker or ends one, signal handlers too


def _hand_over(call: Call, function: Callable[[], object]) -> bool:
    """Let a worker make a call, where there can be one."""
    with _claim:
        try:
            _worker().make(call, function)
        except RuntimeError:  # the interpreter is about to end, or a limit is reached
            return False
    return True


def _worker() -> Worker:
    """A worker that is free; RuntimeError where there can be none."""
    for worker in _workers:
        if worker.is_free:
            return worker
    _workers.append(Worker())
    return _workers[-1]


def _make_calls(calls: "SimpleQueue[Callable[[], object] | None]") -> None:
    while (function := calls.get()) is not None:
        function()
        del function  # and what it holds, while there is no other


def _started(target: Callable[..., Any], *args: Any) -> threading.Thread:
    """A daemon thread; its stack is large enough whatever others asked for theirs."""
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


def _end_workers() -> None:
    with _claim:
        _workers[:] = [worker for worker in _workers if not worker.end()]


def _at_exit() -> None:
    _end_workers()
    if _workers:
        _skip_destructors()


def _skip_destructors() -> None:
    """Let the process end at once when Python has ended, where there is glibc.

    A call goes on, perhaps in OpenBLAS, whose destructor waits for ever for a thread at work. In a
    program of which Python is a part nothing is done: it goes on when Python has ended.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        if not os.path.samefile("/proc/self/exe", sys.executable):
            return
        libc = ctypes.CDLL(None)
        for function in (libc._exit, libc.fcloseall):  # called in the opposite order
            libc.on_exit(function, None)


def _before_fork() -> None:
    _claim.acquire()
    for worker in _workers:
        worker.wait_if_abandoned()
    _end_workers()
    for lock in held_in_forks:
        lock.acquire()


def _after_fork() -> None:
    for lock in held_in_forks:
        lock.release()
    _claim.release()


def _after_fork_in_child() -> None:
    _workers.clear()
    _after_fork()


# what extensions keep for a thread, as SuperLU does, is to be freed while there is an interpreter
atexit.register(_at_exit)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )


def call(function: Callable[..., Any], *args: Any, check: Callable[[], None] = check) -> Any:
    """function(*args), in another thread, unless it is abandoned.

    `check` raises what it is to be abandoned with; the usual handler of Ctrl-C raises by itself.
    Outside the main thread, which alone gets signals, it is made there.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args)
    made = Call(function, *args)
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
    there is to do, in any unit. Where not `interruptible`, all are made here.
    """

    def __init__(self, *, interruptible: bool = True) -> None:
        self._interruptible = interruptible
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
            result = call(partial(function, *args, **named), check=self.check)
        if time.perf_counter() - start >= PATIENCE:
            self._short[function] = min(known, extent - 1)
        elif extent > known:
            self._short[function] = extent
        return result
