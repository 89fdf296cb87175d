"""Ctrl-C between two steps, never inside one, and soon even while a long kernel runs."""

import signal
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from numlstm.utils import interruptible
from numlstm.utils.interruptible import PATIENCE, Call, Runner

CallBack: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Interrupted(Exception):
    """Ctrl-C was pressed since the last step."""


class SigintGuard(Runner):
    """A context in which Ctrl-C sets a flag, which `run` turns into `Interrupted`.

    Outside the main thread, or where somebody else handles the signal, nothing is changed.
    A second Ctrl-C raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        super().__init__(interruptible=False)
        self.pressed = False

    def __enter__(self) -> "SigintGuard":
        """Take over Ctrl-C, where that is ours to do."""
        if threading.current_thread() is threading.main_thread():
            self._interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._interruptible:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        """Give Ctrl-C back."""
        if self._interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise `Interrupted` if Ctrl-C was pressed."""
        if self.pressed:
            raise Interrupted

    def run_solver(self, solve: Callable[[CallBack], Any], *, apart: bool) -> Any:
        """solve(call_back), where call_back(f) is f, but called here.

        `apart`, a solver that computes for long by itself has a thread that can be abandoned.
        """
        if not (apart and self._interruptible):
            return solve(lambda function: function)
        requests: SimpleQueue[Request | None] = SimpleQueue()
        caller = threading.get_ident()

        def call_back(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args: _request(requests, caller, partial(function, *args))

        def solved() -> Any:
            try:
                return solve(call_back)
            finally:
                requests.put(None)

        call = Call(solved)
        try:
            while (request := self._next(requests)) is not None:
                request.serve()
            while not call.wait(PATIENCE):  # for its thread to say so itself
                self.check()
        except BaseException:
            call.abandon()
            raise
        return call.result()

    def _next(self, requests: "SimpleQueue[Request | None]") -> "Request | None":
        """The next request of a solver; None once it is over."""
        while True:
            try:
                return requests.get(timeout=PATIENCE)
            except Empty:
                self.check()

    def _press(self, signum: int, frame: Any) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


class Request:
    """A call that one thread asks another one to make."""

    def __init__(self, function: Callable[[], Any]):
        self._function = function
        self._over = threading.Event()
        self._result: Any = None
        self._error: Exception | None = None

    def serve(self) -> None:
        """Make the call; an error is for who asked, and what is more than that for both."""
        try:
            self._result = self._function()
        except Exception as error:
            self._error = error
        self._over.set()

    def result(self) -> Any:
        """What came of it; not that, if the thread that asked was abandoned."""
        while not self._over.wait(PATIENCE):
            interruptible.check()
        if self._error is not None:
            raise self._error
        return self._result


def _request(requests: Any, caller: int, function: Callable[[], Any]) -> Any:
    """function(), as the thread `caller` computes it."""
    if threading.get_ident() == caller:  # there was no other thread to be had
        return function()
    interruptible.check()
    request = Request(function)
    requests.put(request)
    return request.result()
