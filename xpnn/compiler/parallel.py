"""Functions called at once, each on a thread of its own."""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


def on_threads(functions: Sequence[Callable[[], Any]]) -> None:
    """Call the functions all at once: the first on this thread, each other on one beside it.

    One that no thread has begun when this one has done its own is done by this one. When it returns, whatever
    happens, nothing is done any more. The first error of the functions is raised, those not yet begun are left then.
    """
    parts = [_Part(function) for function in functions[1:]]
    try:
        for part in parts:
            start(part.do)
        functions[0]()
        for part in parts:
            part.do()
    finally:
        _end(parts)
    for part in parts:
        if part.error is not None:
            raise part.error


class _Part:
    """A function that is called once, by whoever comes first."""

    def __init__(self, function: Callable[[], Any]) -> None:
        # in the context of this thread: NumPy's errstate is part of it
        self._left: deque[Callable[[], Any]] = deque([partial(contextvars.copy_context().run, function)])
        self._busy = threading.Lock()
        self.error: BaseException | None = None

    def do(self) -> None:
        """Call it, or wait until the other has."""
        with self._busy:
            try:
                if self._left:
                    self._left.pop()()
            except BaseException as error:  # raised again on the thread that wants it done
                self.error = error

    def end(self) -> None:
        """Wait until nobody does it; it is not begun any more."""
        self._left.clear()
        with self._busy:
            pass


def _end(parts: Sequence[_Part]) -> None:
    """Wait for all; an interrupt is raised after that."""
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            for part in parts:
                part.end()
            break
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def start(task: Callable[[], None]) -> bool:
    """Let another thread do something that raises nothing; whether there is one for it.

    There is none where the system allows no more threads, and when the interpreter is at its end.
    """
    try:
        worker = _idle.pop() if _idle else _Worker()
    except (IndexError, RuntimeError):
        return False
    worker.start(task)
    return True


class _Worker:
    """A thread that does one task after the other, and sleeps in between."""

    def __init__(self) -> None:
        self._go = threading.Lock()
        self._go.acquire()
        self._task: Callable[[], None] | None = None
        threading.Thread(target=self._run, name="xpnn", daemon=True).start()

    def start(self, task: Callable[[], None]) -> None:
        """Wake it up."""
        self._task = task
        self._go.release()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            task, self._task = self._task, None
            assert task is not None
            task()
            del task  # what it holds may go
            _idle.append(self)


_idle: list[_Worker] = []

if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_idle.clear)
