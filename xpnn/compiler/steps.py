"""Steps of training, each on as many threads as its size is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.compiler import Compiled, exchange, together
from xpnn.compiler.blas import threads
from xpnn.compiler.emit import Emitter
from xpnn.compiler.lanes import LaneEmitter
from xpnn.compiler.recording import Recording
from xpnn.compiler.shares import CannotShare
from xpnn.compiler.together import Together
from xpnn.typing import Namespace

ALONE = 1.5e6, 30e6
"""Floating-point operations of a step: with fewer, BLAS keeps its products on one thread by itself; with more,
several threads of BLAS do them sooner than one."""

WORTH = 24e6
"""Operations times bytes of a number from which on the threads of a team gain more than it costs that what one has
made lies in another's cache."""

ENOUGH = 50e6
"""Operations from which on sharing out all of it among `xpnn.compiler.lanes` gains more than it costs."""


class Steps:
    """``function(xp, state, x, …)``, a step of training, recorded, for as many threads as BLAS may use.

    Where `xpnn.compiler.team` can be had, its threads do the long calls together; else large steps are shared out
    among lanes.

    Parameters
    ----------
    function : callable
        As `Compiled` takes it.
    xp : namespace
    work : int
        Floating-point operations per row of x.
    """

    def __init__(self, function: Callable[..., Any], xp: Namespace, work: int) -> None:
        self._alone, self._together = Together(function, xp), Together(function, xp)
        self._shared = None if together.available() else _Shared(function, xp)
        self._function, self._xp, self._work = function, xp, work

    def __call__(self, state: tuple[Any, ...], x: Any, *rest: Any) -> Any:
        """One step."""
        n, work = len(x), self._work * len(x)
        exchange.now = False
        if work < ALONE[0]:
            return self._alone(state, x, *rest)
        if self._alone.gave_up or self._together.gave_up:  # call by call then, on all threads of BLAS
            return self._function(self._xp, state, x, *rest)
        if together.available() and work * x.itemsize >= WORTH:
            self._together.use(threads.count())
            exchange.now = self._together.streams
            return threads.one(self._together, state, x, *rest)
        if together.available() or work < ALONE[1]:
            return threads.one(self._alone, state, x, *rest)
        if work < ENOUGH or self._shared is None or n < 32 * (count := threads.count()) or count < 2:
            return self._alone(state, x, *rest)
        self._shared.use(count)
        try:
            return threads.one(self._shared, state, x, *rest)
        except CannotShare:  # found before anything is computed
            self._shared = None
            return self._alone(state, x, *rest)

    def rest(self) -> int:
        """Let go of the arrays of the last call; the bytes of memory still held."""
        return sum(each.rest() for each in (self._alone, self._together, self._shared) if each is not None)


class _Shared(Compiled):
    lanes = 2

    def use(self, lanes: int) -> None:
        """As many lanes from now on."""
        if lanes != self.lanes:
            self.lanes = lanes
            self.programs.clear()
            self._latest = None

    def _emitter(self, recording: Recording, chained: bool) -> Emitter:
        return LaneEmitter(recording, self._bytes, self.lanes, chained=chained)
