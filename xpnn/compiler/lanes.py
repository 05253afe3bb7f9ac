"""One step of training on several threads, each with its share of the batch and then of the parameters.

NumPy's matrix products use several threads by themselves, but nothing else does, and while the threads of a product
wait for the next one they keep the processor's cores busy. So in large steps each product is kept on one thread, and
each thread goes through the network with its share of the samples. There are two points of a step where they wait for
each other: when every share has its gradient, and when every share of the parameters is updated.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import Compiled, blas
from xpnn.typing import Namespace

ENOUGH = 50e6
"""Floating-point operations of a step from which on sharing it out gains more than it costs."""


BLOCK = 1 << 18
"""Elements in a block: larger than for one thread, because threads of Python meet between two calls."""


class Lanes:
    """``step(vectors, x, y, w, constants, number) → (vectors, loss)`` with the samples shared out among threads.

    Parameters
    ----------
    gradient, rule
        As `xpnn.backends.Backend.step` takes them.
    alone : callable
        The same step on one thread, for small batches.
    work : int
        Floating-point operations per sample.
    """

    def __init__(
        self,
        gradient: Callable[..., Any],
        rule: Callable[..., Any],
        xp: Namespace,
        alone: Callable[..., Any],
        work: int,
    ) -> None:
        self._alone, self._work = alone, work
        self._gradient, self._rule, self._xp = gradient, rule, xp
        self._lanes: list[_Lane] = []
        self._vectors: tuple[Any, ...] = ()
        self._gradients: list[NDArray[Any]] = []

    def __call__(
        self, vectors: tuple[Any, ...], x: Any, y: Any, w: Any, constants: tuple[float, ...], number: int
    ) -> tuple[tuple[Any, ...], Any]:
        """One step."""
        n = len(x)
        if self._work * n < ENOUGH or n < 32 * (count := blas.threads()) or count < 2:
            return self._alone(vectors, x, y, w, constants, number)
        while len(self._lanes) < count:
            self._lanes.append(_Lane(self._gradient, self._rule, self._xp))
        lanes = self._lanes[:count]
        total = float(n) if w is None else max(float(np.sum(w)), float(np.finfo(x.dtype).smallest_normal))
        cuts = [n * k // count for k in range(count + 1)]
        params, buffers, *_ = vectors

        def gradient(k: int) -> tuple[Any, NDArray[Any], Any]:
            rows = slice(cuts[k], cuts[k + 1])
            part = None if w is None else w[rows]
            return lanes[k].gradient((params, buffers), x[rows], y[rows], part, total, number)

        def update(k: int) -> None:
            lanes[k].update(lanes[k].state, constants)

        with blas.one_thread:
            results = _on_threads(gradient, count)
            gradients = [g for _, g, _ in results]
            self._share(lanes, vectors, gradients)
            _on_threads(update, count)
        loss = results[0][0]
        for value, _, _ in results[1:]:
            loss = loss + value
        return vectors, loss

    def _share(self, lanes: list[_Lane], vectors: tuple[Any, ...], gradients: list[NDArray[Any]]) -> None:
        """Give each lane its share of the parameters, gradients and moments, unless it has it already."""
        params, _, *moments = vectors
        arrays = (*gradients, params, *moments)
        if len(arrays) == len(self._vectors) and all(map(is_, arrays, self._vectors)):
            return
        self._vectors = arrays
        size, count = len(params), len(lanes)
        cuts = [size * k // count // 16 * 16 for k in range(count)] + [size]
        for k, lane in enumerate(lanes):
            share = slice(cuts[k], cuts[k + 1])
            lane.state = (params[share], tuple(g[share] for g in gradients), *(m[share] for m in moments))


class _Lane:
    """What one thread runs, with memory of its own."""

    def __init__(self, gradient: Callable[..., Any], rule: Callable[..., Any], xp: Namespace) -> None:
        def of_share(xp: Namespace, state: tuple[Any, ...], *rest: Any) -> Any:
            return gradient(xp, *state, *rest)

        def update(xp: Namespace, state: tuple[Any, ...], constants: tuple[float, ...]) -> Any:
            params, gradients, *moments = state
            g = gradients[0]
            for each in gradients[1:]:
                g += each
            return rule(params, g, *moments, *constants)

        self.gradient = Compiled(of_share, xp, reuse=True, block=BLOCK)
        self.update = Compiled(update, xp, block=BLOCK)
        self.state: tuple[Any, ...] = ()


def _on_threads(function: Callable[[int], Any], count: int) -> list[Any]:
    """``[function(0), …, function(count - 1)]``, the first on this thread, the others beside it."""
    others = [_pool().submit(contextvars.copy_context().run, function, k) for k in range(1, count)]
    try:
        first = function(0)
    finally:
        for each in others:
            each.exception()  # waits: nothing may still write when this returns
    return [first, *(each.result() for each in others)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "xpnn")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
