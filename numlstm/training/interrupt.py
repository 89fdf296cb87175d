"""Ctrl-C between two steps, never inside one, and soon even while a long kernel runs."""

import signal
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from numlstm.utils import aside
from numlstm.utils.aside import PATIENCE, Call, Runner

Answer: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Interrupted(Exception):
    """Ctrl-C was pressed since the last step."""


class SigintGuard(Runner):
    """A context in which Ctrl-C sets a flag, which `run` turns into `Interrupted`.

    Outside the main thread, or where somebody else handles the signal, nothing is changed.
    A second Ctrl-C raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pressed = False
        self._watching = False

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

    def check(self) -> None:
        """Raise `Interrupted` if Ctrl-C was pressed."""
        if self.pressed:
            raise Interrupted

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """function(*args), or `Interrupted`; a long call runs in a thread that can be left."""
        if self._watching:
            return super().run(function, *args)
        self.check()
        return function(*args)

    def converse(self, solve: Callable[[Answer], Any]) -> Any:
        """solve(answer) in a thread that can be left; answer(f) is f, but called in this one.

        For solvers that compute by themselves for long, and call back.
        """
        if not self._watching:
            return solve(lambda function: function)
        questions: SimpleQueue[Question | None] = SimpleQueue()
        caller = threading.get_ident()

        def answer(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args: _ask(questions, caller, partial(function, *args))

        def solved() -> Any:
            try:
                return solve(answer)
            finally:
                questions.put(None)

        call = Call(solved)
        try:
            while (question := self._next(questions)) is not None:
                question.answer()
            while not call.wait(PATIENCE):  # for its thread to say so itself
                self.check()
        except BaseException:
            call.leave()
            raise
        return call.result()

    def _next(self, questions: "SimpleQueue[Question | None]") -> "Question | None":
        """The next question of a solver; None once it is over."""
        while True:
            try:
                return questions.get(timeout=PATIENCE)
            except Empty:
                self.check()

    def _press(self, signum: int, frame: Any) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


class Question:
    """A call that one thread asks another one to make."""

    def __init__(self, function: Callable[[], Any]):
        self._function = function
        self._over = threading.Event()
        self._result: Any = None
        self._error: Exception | None = None

    def answer(self) -> None:
        """Make the call; an error is for who asked, and what is more than that for both."""
        try:
            self._result = self._function()
        except Exception as error:
            self._error = error
        self._over.set()

    def result(self) -> Any:
        """What came of it; not that, if the thread that asked was left."""
        while not self._over.wait(PATIENCE):
            aside.check()
        if self._error is not None:
            raise self._error
        return self._result


def _ask(questions: Any, caller: int, function: Callable[[], Any]) -> Any:
    """function(), as the thread `caller` computes it."""
    if threading.get_ident() == caller:  # there was no other thread to be had
        return function()
    aside.check()
    question = Question(function)
    questions.put(question)
    return question.result()
