"""Predictions: many rows in chunks, few rows at once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import Compiled
from xpnn.compiler.record import record
from xpnn.compiler.shares import row_by_row
from xpnn.typing import Namespace

CHUNK = 1024
"""Rows at a time: what they become in each layer then stays in the processor's cache."""

FEW = 16
"""Up to so many rows each number of them is recorded by itself: what surrounds the calls would take longest."""


class Rows:
    """``function(xp, state, X)``, recorded for a few numbers of rows if it treats each row by itself.

    May be called by several threads at once: the recorded program has one memory, so one at a time runs it and the
    others run the function as it is.

    Parameters
    ----------
    function : callable
        Takes a namespace, a tuple of arrays that it only reads, and an array of rows; returns an array of rows.
    xp : namespace
    """

    def __init__(self, function: Callable[..., Any], xp: Namespace) -> None:
        self._function, self._xp = function, xp
        self._recorded = Compiled(function, xp)
        self._free = Lock()
        self._row_by_row: bool | None = None

    def _apart(self, state: tuple[Any, ...], X: NDArray[Any]) -> bool:
        """Whether each row is treated by itself; found out once."""
        if self._row_by_row is None:
            try:
                self._row_by_row = row_by_row(record(self._function, self._xp, (state, X[: max(2, len(X))])))
            except Exception:  # whatever a layer does with what stands for its arrays
                self._row_by_row = False
        return self._row_by_row

    def __call__(self, state: tuple[Any, ...], X: NDArray[Any]) -> NDArray[Any]:
        """The function of the rows."""
        n = len(X)
        if FEW < n < CHUNK or not self._apart(state, X) or not self._free.acquire(blocking=False):
            return self._function(self._xp, state, X)
        try:
            if n <= FEW:
                return self._recorded(state, X)
            first = self._recorded(state, X[:CHUNK])
            result = np.empty((n, *first.shape[1:]), first.dtype)
            result[:CHUNK] = first
            for start in range(CHUNK, n, CHUNK):
                rows = X[start : start + CHUNK]
                whole = len(rows) == CHUNK
                part = self._recorded(state, rows) if whole else self._function(self._xp, state, rows)
                result[start : start + CHUNK] = part
            return result
        finally:
            self._free.release()
