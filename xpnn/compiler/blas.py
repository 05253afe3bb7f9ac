"""How many threads NumPy's matrix products use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


@cache
def libraries() -> list[Any]:
    """The loaded BLAS libraries that NumPy may call: its own if it came with one."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    place = Path(np.__file__).parent
    own = [each for each in found if Path(each.filepath).parent in (place / ".dylibs", place.with_name("numpy.libs"))]
    return own or found


class Threads:
    """Sets the number of threads of products; may be used by several threads at once.

    What changes the number in the meantime, a callback say, is undone at the end.
    """

    # functions are called, no blocks are entered: between the beginning of a block and what sees to its end there is
    # a place for an interrupt, after which the number would stay what it is

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: list[int] = []  # empty: nothing has been set
        self._ones: set[object] = set()
        self._kept: set[object] = set()

    def one(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function gives for the arguments, with one thread."""
        return self._inside(self._ones, self._set, function, arguments)

    def kept(self, function: Callable[..., T], *arguments: Any) -> T:
        """The same, with one thread from the first call of `one` in it to its end.

        To set the number back takes longer than a small layer.
        """
        return self._inside(self._kept, None, function, arguments)

    def _inside(
        self,
        those: set[object],
        begin: Callable[[], None] | None,
        function: Callable[..., T],
        arguments: tuple[Any, ...],
    ) -> T:
        me = object()
        try:
            those.add(me)
            if begin is not None:
                begin()
            return function(*arguments)
        finally:
            try:
                self._leave(those, me)
            finally:  # once more: an interrupt may have come before it had done anything
                self._leave(those, me)

    def _leave(self, those: set[object], me: object) -> None:
        those.discard(me)
        if self._before and not self._ones and not self._kept:
            with self._lock:
                if not self._ones and not self._kept:
                    self._reset()

    def _set(self) -> None:
        with self._lock:
            if not self._before:
                self._before = [each.num_threads for each in libraries()]
                for each in libraries():
                    each.set_num_threads(1)

    def _reset(self) -> None:
        if self._before:
            for each, count in zip(libraries(), self._before, strict=True):
                each.set_num_threads(count)
            self._before = []

    def count(self) -> int:
        """The number of threads, apart from what is set here; 1 if it cannot be found out."""
        with self._lock:
            counts = self._before or [each.num_threads for each in libraries()]
        return min(counts, default=1)

    def forget(self) -> None:
        """In a child process, which has none of the threads that are inside."""
        self._lock = threading.Lock()
        self._ones.clear()
        self._kept.clear()
        self._reset()


threads = Threads()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=threads.forget)
