"""Predictions: many rows in chunks, on several threads where that pays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import together
from xpnn.compiler.blas import threads
from xpnn.compiler.factor import Factor
from xpnn.compiler.parallel import on_threads
from xpnn.compiler.record import record
from xpnn.compiler.shares import row_by_row
from xpnn.compiler.steps import ALONE, ENOUGH
from xpnn.compiler.together import Together
from xpnn.typing import Namespace

CHUNK = 2048
"""Rows at a time, or about as many: enough for the products, and not too much memory."""

WORTH = 64e6
"""Floating-point operations times bytes of a number from which on a team pays: its threads have to wake up."""

FEW = 16
"""Up to so many rows each number of them is recorded at once; a larger one when it comes a second time."""


class Rows:
    """``function(xp, state, X)``, recorded for a few numbers of rows if it treats each row by itself.

    May be called by several threads at once: the recorded programs have one memory, so one at a time runs them and
    the others run the function as it is.

    Parameters
    ----------
    function : callable
        Takes a namespace, a tuple of arrays that it only reads, and an array of rows; returns an array of rows.
    xp : namespace
    """

    def __init__(self, function: Callable[..., Any], xp: Namespace) -> None:
        self._function, self._xp = function, xp
        self._recorded, self._together = Together(function, xp), Together(function, xp)
        self._lanes: list[Together] = []
        self._free = Lock()
        self._row_by_row: bool | None = None
        self._n = 0  # of the latest call
        self._like: NDArray[Any] | None = None  # one row of a result

    def _apart(self, state: tuple[Any, ...], X: NDArray[Any]) -> bool:
        """Whether each row is treated by itself; found out once."""
        if self._row_by_row is None:
            try:
                rows = np.broadcast_to(X[:1], (max(2, len(X)), *X.shape[1:]))  # of one alone it could not be told
                self._row_by_row = row_by_row(record(self._function, self._xp, (state, rows)))
            except Exception:  # whatever a layer does with what stands for its arrays
                self._row_by_row = False
        return self._row_by_row

    def __call__(self, state: tuple[Any, ...], X: NDArray[Any]) -> NDArray[Any]:
        """The function of the rows."""
        work = _work(state, X)
        if work > ALONE[0] and work * X.itemsize < WORTH:  # BLAS's other threads would be awake long after it
            return threads.one(self._result, state, X)
        return self._result(state, X)

    def _result(self, state: tuple[Any, ...], X: NDArray[Any]) -> NDArray[Any]:
        n = len(X)
        again, self._n = n == self._n, n
        usual = again or n <= FEW or n >= CHUNK or self._shared(state, X)
        if not usual or not self._apart(state, X) or self._free.locked():
            return self._function(self._xp, state, X)
        with self._free:  # by `with` alone no interrupt can leave it locked
            return self._run(state, X, again)

    def _shared(self, state: tuple[Any, ...], X: NDArray[Any]) -> bool:
        """Whether several threads pay. They do for large products, which would keep those of BLAS awake otherwise."""
        return _work(state, X) >= ENOUGH

    def _run(self, state: tuple[Any, ...], X: NDArray[Any], again: bool) -> NDArray[Any]:
        n = len(X)
        alone = isinstance(X, Factor)  # others of a team would only wait for its product
        if not alone and n <= CHUNK and _work(state, X) * X.itemsize >= WORTH and together.available():
            self._together.use(threads.count(), exchanging=False)
            return threads.one(self._together, state, X)
        lanes = max(1, min(threads.count(), n // FEW)) if self._shared(state, X) else 1
        if lanes == 1 and n <= CHUNK:
            return self._recorded(state, X)
        if self._like is None:
            self._like = self._recorded(state, X[:1])
        result = np.empty((n, *self._like.shape[1:]), self._like.dtype)
        if lanes == 1:
            self._fill(self._recorded, state, X, result, again)
            return result
        self._lanes += [Together(self._function, self._xp) for _ in range(len(self._lanes), lanes)]
        cuts = [n * i // lanes for i in range(lanes + 1)]
        parts = [slice(*cuts[i : i + 2]) for i in range(lanes)]
        fills = [
            partial(self._fill, program, state, X[part], result[part], again)
            for program, part in zip(self._lanes, parts, strict=False)
        ]
        threads.one(on_threads, fills)
        return result

    def _fill(
        self, program: Together, state: tuple[Any, ...], X: NDArray[Any], result: NDArray[Any], again: bool
    ) -> None:
        """Chunk after chunk; of about equal length where recording one of a new length is worth it."""
        n = len(X)
        chunk = -(-n // max(1, round(n / CHUNK))) if again else CHUNK
        for start in range(0, n, chunk):
            rows = X[start : start + chunk]
            recorded = again or len(rows) == chunk
            part = program(state, rows) if recorded else self._function(self._xp, state, rows)
            result[start : start + chunk] = part


def _work(state: tuple[Any, ...], X: Any) -> float:
    """Floating-point operations for these rows; of a factor most are in its product."""
    work = 2 * len(X) * sum(each.size for each in state if each is not None)
    return work * X.density if isinstance(X, Factor) else work
