"""Ctrl-C between two steps, never inside one, and soon even while a long kernel runs."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

_PATIENCE = 0.05  # seconds; how long a step may keep Ctrl-C waiting


class Interrupted(Exception):
    """Ctrl-C was pressed since the last step."""


class SigintGuard:
    """A context in which Ctrl-C sets a flag, which `run` turns into `Interrupted`.

    Outside the main thread, or where somebody else handles the signal, nothing is changed.
    A second Ctrl-C raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._watching = False
        self._worker: ThreadPoolExecutor | None = None
        self._quick: set[Any] = set()  # functions whose last call was short

    def __enter__(self) -> "SigintGuard":
        """Take over Ctrl-C, where that is ours to do."""
        if threading.current_thread() is threading.main_thread():
            self._watching = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._watching:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        """Give Ctrl-C back."""
        if self._watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._worker is not None:
            self._worker.shutdown(wait=False)  # the result of what still runs is dropped

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """function(*args), or `Interrupted`; a long call runs in a thread that can be left."""
        if self.pressed:
            raise Interrupted
        if not self._watching:
            return function(*args)
        start = time.perf_counter()
        # the first call may compile, so it counts as long
        short = function in self._quick
        result = function(*args) if short else self._run_aside(function, args)
        if time.perf_counter() - start < _PATIENCE:
            self._quick.add(function)
        else:
            self._quick.discard(function)
        return result

    def _run_aside(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "numlstm")
        future: Future[Any] = self._worker.submit(function, *args)
        while not wait([future], _PATIENCE).done:
            if self.pressed:
                raise Interrupted
        return future.result()

    def _press(self, signum: int, frame: Any) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
