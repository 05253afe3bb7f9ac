"""One step of training on several threads, each with its share of the batch and then of the parameters.

NumPy's matrix products use several threads by themselves, but nothing else does, and while the threads of a product
wait for the next one they keep the processor's cores busy. So in large steps each product is kept on one thread, and
each thread goes through the network with its share of the samples. There are two points of a step where they wait for
each other: when every share has its gradient, and when every share of the parameters is updated.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import Compiled
from xpnn.compiler.blas import threads
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
        if self._work * n < ENOUGH or n < 32 * (count := threads.count()) or count < 2:
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

        with threads.one:
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
    workers = [_idle.pop() if _idle else _Worker() for _ in range(1, count)]
    for k, worker in enumerate(workers, 1):
        worker.start(function, k)
    try:
        first = function(0)
    finally:
        outcomes = [worker.wait() for worker in workers]  # nothing may still write when this returns
        _idle.extend(workers)
    for _, error in outcomes:
        if error is not None:
            raise error
    return [first, *(result for result, _ in outcomes)]


class _Worker:
    """A thread that does one thing after the other: with two locks, in a fifth of the time a pool needs for it."""

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._task: tuple[contextvars.Context, Callable[[int], Any], int] | None = None
        self._outcome: tuple[Any, BaseException | None] = None, None
        threading.Thread(target=self._run, name="xpnn", daemon=True).start()

    def start(self, function: Callable[[int], Any], k: int) -> None:
        """Let it begin with ``function(k)``, in the context of this thread: NumPy's errstate is part of it."""
        self._task = contextvars.copy_context(), function, k
        self._go.release()

    def wait(self) -> tuple[Any, BaseException | None]:
        """The result or error."""
        self._done.acquire()
        outcome, self._outcome = self._outcome, (None, None)
        return outcome

    def _run(self) -> None:
        while True:
            self._go.acquire()
            assert self._task is not None
            context, function, k = self._task
            try:
                self._outcome = context.run(function, k), None
            except BaseException as error:  # raised again by whoever waits
                self._outcome = None, error
            self._task = context = function = None  # type: ignore[assignment]
            self._done.release()


_idle: list[_Worker] = []

if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_idle.clear)
