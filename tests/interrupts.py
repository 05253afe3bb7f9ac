"""KeyboardInterrupt at every place of some code where CPython looks for signals."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Interrupt:
    """Raises it at the k-th call, or return of a function written in C, in files whose path ends so."""

    def __init__(self, k: int, files: tuple[str, ...]) -> None:
        self._left, self._files = k, files
        self.where = ""

    def _look(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.endswith(self._files):
            self._left -= 1
            if not self._left:
                self.where = f"{frame.f_code.co_qualname}, line {frame.f_lineno}, {event}"
                sys.setprofile(None)
                raise KeyboardInterrupt

    def __enter__(self) -> None:
        sys.setprofile(self._look)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def at_every_place(function: Callable[[], Any], *files: str) -> Iterator[str]:
    """Call it again and again, interrupted at the next place each time, which is told; the last call is not."""
    for k in itertools.count(1):
        interrupt = Interrupt(k, files)
        try:
            with interrupt:
                function()
        except KeyboardInterrupt:
            pass
        if not interrupt.where:
            return
        yield interrupt.where
