"""Functions called at once, each on a thread of its own."""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


def on_threads(functions: Sequence[Callable[[], Any]]) -> None:
    """Call the functions all at once: the first on this thread, each other on one beside it.

    One that no thread has begun when this one has done its own is done by this one. The first error is raised, and
    what nobody has begun by then is left. When this returns or raises, whatever happens, nothing is done any more.
    """
    parts = [_Part(function) for function in functions[1:]]
    try:
        for part in parts:
            part.begin()
        functions[0]()
        for part in parts:
            part.do()
            if part.error is not None:
                break
    finally:
        _end(parts)
    for part in parts:
        if part.error is not None:
            error, part.error = part.error, None  # whose traceback leads here
            try:
                raise error
            finally:
                del error


class _Part:
    """A function that is called once, by whoever comes first."""

    def __init__(self, function: Callable[[], Any]) -> None:
        # in the context of this thread: NumPy's errstate is part of it
        self._left: deque[Callable[[], Any]] = deque([partial(contextvars.copy_context().run, function)])
        self._busy = threading.Lock()
        self._worker: Worker | None = None
        self.error: BaseException | None = None

    def begin(self) -> None:
        """Let another thread call it, if there is one."""
        self._worker = start(self._on)

    def _on(self, worker: Worker) -> None:
        with self._busy:
            self._call()
            worker.rest()  # before anybody knows that it is done: who then asks for a thread finds this one

    def do(self) -> None:
        """Call it, or wait until the other has."""
        with self._busy:
            self._call()

    def _call(self) -> None:
        try:
            if self._left:
                self._left.pop()()
        except BaseException as error:  # raised again on the thread that wants it done
            self.error = error

    def end(self) -> None:
        """Wait until nobody does it; it is not begun any more."""
        self._left.clear()
        if self._worker is not None:
            self._worker.leave(self._on)
        with self._busy:
            pass


def _end(parts: Sequence[_Part]) -> None:
    """Wait for all; an interrupt, or what else a signal raises, is raised after that."""
    raised: BaseException | None = None
    while True:
        try:
            for part in parts:
                part.end()
            break
        except BaseException as error:
            raised = error
    if raised is not None:
        try:
            raise raised
        finally:
            del raised


Task = Callable[["Worker"], None]
"""What is done on another thread: it raises nothing, and calls ``worker.rest()`` when it is as good as over."""


def start(task: Task) -> Worker | None:
    """Let another thread do something; which, if there is one for it.

    There is none where the system allows no more threads, and when the interpreter is at its end.
    """
    try:
        worker = _idle.pop()
    except IndexError:
        try:
            worker = Worker()
        except RuntimeError:
            return None
    worker.start(task)
    return worker


class Worker:
    """A thread that does one task after the other, and sleeps in between."""

    def __init__(self) -> None:
        self._go = threading.Lock()
        self._go.acquire()
        self._tasks: deque[Task] = deque()
        threading.Thread(target=self._run, name="xpnn", daemon=True).start()

    def start(self, task: Task) -> None:
        """Wake it up for a task."""
        self._tasks.append(task)
        with contextlib.suppress(RuntimeError):  # it has been woken up for one that it was to leave
            self._go.release()

    def leave(self, task: Task) -> None:
        """It need not begin this task."""
        with contextlib.suppress(ValueError):  # it has
            self._tasks.remove(task)
            self.rest()

    def rest(self) -> None:
        """It may be given another task."""
        _idle.append(self)

    def _run(self) -> None:
        while True:
            self._go.acquire()
            while self._tasks:
                with contextlib.suppress(IndexError):  # left just now
                    task = self._tasks.popleft()
                    task(self)
                    del task  # what it holds may go


_idle: list[Worker] = []

if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_idle.clear)
