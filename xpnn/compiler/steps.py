"""Steps of training, each on as many threads as its size is worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.compiler import Compiled
from xpnn.compiler.blas import threads
from xpnn.compiler.emit import Emitter
from xpnn.compiler.lanes import LaneEmitter
from xpnn.compiler.record import Recording
from xpnn.compiler.shares import CannotShare
from xpnn.typing import Namespace

ENOUGH = 50e6
"""Floating-point operations of a step from which on sharing it out gains more than it costs."""


FEW = 1.5e6, 30e6
"""Floating-point operations of a step between which its products are done sooner by one thread than by several; BLAS
keeps those of smaller ones on one thread by itself."""


class Steps:
    """``function(xp, state, x, …)``, a step of training, recorded, and shared out among threads where x is large.

    Parameters
    ----------
    function : callable
        As `Compiled` takes it.
    xp : namespace
    work : int
        Floating-point operations per row of x.
    """

    def __init__(self, function: Callable[..., Any], xp: Namespace, work: int) -> None:
        self._alone = Compiled(function, xp)
        self._shared: _Shared | None = _Shared(function, xp)
        self._work = work

    def __call__(self, state: tuple[Any, ...], x: Any, *rest: Any) -> Any:
        """One step."""
        n = len(x)
        if FEW[0] <= self._work * n < FEW[1]:
            with threads.one:
                return self._alone(state, x, *rest)
        if self._work * n < ENOUGH or self._shared is None or n < 32 * (count := threads.count()) or count < 2:
            return self._alone(state, x, *rest)
        self._shared.use(count)
        try:
            with threads.one:
                return self._shared(state, x, *rest)
        except CannotShare:  # found before anything is computed
            self._shared = None
            return self._alone(state, x, *rest)

    def rest(self) -> int:
        """Let go of the arrays of the last call; the bytes of memory still held."""
        return self._alone.rest() + (self._shared.rest() if self._shared is not None else 0)


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
