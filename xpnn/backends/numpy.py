"""NumPy: the CPU, always there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from xpnn.backends.generic import Backend, Function, T
from xpnn.compiler import exchange, streams
from xpnn.compiler.blas import threads
from xpnn.compiler.parallel import on_threads
from xpnn.compiler.rows import Rows
from xpnn.compiler.steps import Steps
from xpnn.compiler.together import Together
from xpnn.typing import Array, HostArray, Namespace


class NumPy(Backend):
    """NumPy arrays. The one device is ``cpu``."""

    install = "pip install numpy"
    views = True

    def on(self, array: Array) -> AbstractContextManager[Any]:
        """NumPy's warnings about overflow and NaN switched off."""
        return np.errstate(over="ignore", invalid="ignore")

    def numbers(self, scalars: list[Array], xp: Namespace) -> NDArray[np.float64]:
        """As the generic backend; each number is at hand."""
        return np.fromiter(map(float, scalars), np.float64, len(scalars))

    def copy(self, array: Array, xp: Namespace) -> Array:
        """As the generic backend, by the array's own method."""
        return cast(Array, array.copy())  # type: ignore[attr-defined]

    def compile(self, function: Function, xp: Namespace, *, asked: bool = False, work: int = 0) -> Function:
        """The formulas recorded as NumPy calls: see `xpnn.compiler`."""
        return Steps(function, xp, work) if work else Together(function, xp)

    def forward(self, function: Function, xp: Namespace) -> Function:
        """Recorded, for few rows and for chunks of many."""
        return Rows(function, xp)

    def compile_step(self, function: Function, xp: Namespace, *, work: int, asked: bool = False) -> Function:
        """Recorded; a large batch is shared out among as many threads as the matrix products would use."""
        return Steps(function, xp, work)

    def refilled(self, array: Array, host: HostArray, xp: Namespace) -> Array:
        """The same array: what is bound to it stays so."""
        np.copyto(cast(Any, array), host, casting="same_kind")
        return array

    def rest(self, step: Function) -> bool:
        """If it is recorded, and holds little memory."""
        return isinstance(step, Steps) and step.rest() <= LITTLE

    def gather(self, xp: Namespace) -> Callable[[str, Array, Array], Array]:
        """Into the same memory each time, on several threads if there is much to move."""
        return Gather()

    def steps(self, function: Callable[[], T]) -> T:
        """The number of threads of products set once, not at each step."""
        return threads.kept(function)


class Gather:
    """``take(name, array, rows)``: rows of an array, in memory that is used again for the next of that name."""

    def __init__(self) -> None:
        self._memory: dict[str, NDArray[Any]] = {}
        self._views: dict[tuple[str, int], NDArray[Any]] = {}
        self._streams: dict[tuple[str, int], streams.Rows] = {}

    def __call__(self, name: str, array: Any, rows: Any) -> NDArray[Any]:
        """The rows; of as many as before the same array."""
        if not isinstance(array, np.ndarray):  # sparse data: they give new ones
            return np.take(array, rows, axis=0)
        n, out = len(rows), self._out(name, len(rows), array)
        if out.nbytes < MUCH:
            if exchange.now:
                self._stream(name, array, rows, out)
            else:
                _take(array, rows, out)
            return out
        lanes = threads.count()
        cuts = [n * i // lanes for i in range(lanes + 1)]
        on_threads([partial(_take, array, rows[i:j], out[i:j]) for i, j in itertools.pairwise(cuts)])
        return out

    def _stream(self, name: str, array: NDArray[Any], rows: NDArray[Any], out: NDArray[Any]) -> None:
        """Past the caches of this thread's processor, for others that will read some of it."""
        if rows.dtype != np.int64 or not rows.flags.c_contiguous or not streams.Rows.fit(array):
            _take(array, rows, out)
            return
        stream = self._streams.get((name, len(rows)))
        if stream is None or stream.array is not array or stream.out is not out:
            stream = self._streams[name, len(rows)] = streams.Rows(array, out)
        stream(rows)

    def _out(self, name: str, n: int, array: NDArray[Any]) -> NDArray[Any]:
        memory = self._memory.get(name)
        if memory is None or len(memory) < n or memory.shape[1:] != array.shape[1:] or memory.dtype != array.dtype:
            memory = self._memory[name] = np.empty((n, *array.shape[1:]), array.dtype)
        out = self._views.get((name, n))
        if out is None or out.base is not memory:
            out = self._views[name, n] = memory[:n]
        return out


def _take(array: NDArray[Any], rows: NDArray[Any], out: NDArray[Any]) -> None:
    if array.flags.c_contiguous:
        np.take(array, rows, axis=0, out=out, mode="clip")  # the other modes would copy; no row is out of bounds
    else:  # of which take would copy the whole first
        out[...] = array[rows]


MUCH = 1 << 22
"""Bytes from which on several threads move them faster."""

LITTLE = 1 << 22
"""Bytes of memory that a step may keep between trainings."""

BACKEND = NumPy("numpy")
