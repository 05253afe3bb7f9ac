"""How many threads NumPy's matrix products use."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np


@cache
def _libraries() -> list[Any]:
    """The loaded BLAS libraries that NumPy may call: its own if it came with one."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    place = Path(np.__file__).parent
    own = [each for each in found if Path(each.filepath).parent in (place / ".dylibs", place.with_name("numpy.libs"))]
    return own or found


class OneThread:
    """A context in which products use one thread; may be entered several times, by several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = [each.num_threads for each in _libraries()]
                for each in _libraries():
                    each.set_num_threads(1)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for each, count in zip(_libraries(), self._before, strict=True):
                    each.set_num_threads(count)

    def threads(self) -> int:
        """The number of threads outside of this context, 1 if it cannot be found out."""
        with self._lock:
            counts = self._before if self._inside else [each.num_threads for each in _libraries()]
        return min(counts, default=1)


one_thread = OneThread()
threads = one_thread.threads
