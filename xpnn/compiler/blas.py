"""How many threads NumPy's matrix products use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np


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

    ``with threads.one:`` uses one inside. As setting it back takes longer than a small layer, it is left at one
    between such blocks inside ``with threads.kept:``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: list[int] = []  # empty: nothing has been set
        self.one = _Counted(self._lock, self._set, self._reset)
        self.kept = _Counted(self._lock, lambda: None, self._reset)

    def _set(self) -> None:
        if not self._before:
            self._before = [each.num_threads for each in libraries()]
            for each in libraries():
                each.set_num_threads(1)

    def _reset(self) -> None:
        if self._before and not self.one.inside and not self.kept.inside:
            for each, count in zip(libraries(), self._before, strict=True):
                each.set_num_threads(count)
            self._before = []

    def count(self) -> int:
        """The number of threads, apart from what is set here; 1 if it cannot be found out."""
        with self._lock:
            counts = self._before or [each.num_threads for each in libraries()]
        return min(counts, default=1)


class _Counted:
    """A context that does something when the first enters and when the last has left."""

    def __init__(self, lock: threading.Lock, first: Callable[[], None], last: Callable[[], None]) -> None:
        self._lock, self._first, self._last = lock, first, last
        self.inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            if self.inside == 1:
                self._first()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self.inside -= 1
            if not self.inside:
                self._last()


threads = Threads()
