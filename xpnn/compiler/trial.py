"""Which of two ways of doing the same takes less time, found out while it is done again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from time import perf_counter

SETTLE = 0.1, 50
"""Seconds, and times, of the costly way before a trial: threads that wake up may have to wait for a processor of
their own, and where there are many the other way may take many times as long."""

ROUNDS = ((1, 3), (2, 6), (2, 6))
"""How often each way is then taken in turn: times that do not count, as the caches hold what the other left, and that
do."""

PAUSE = 0.03
"""Seconds of the costly way between two rounds: what disturbs one, others' threads that are still awake, say, may be
over by the next."""

CLEAR = 1.25
"""How many times as long the other way must take for the rounds to be over sooner. The costly one has all chances: it
may be many times as fast where there are many threads."""

PLAIN = 2, 0.01
"""How many times as long, and how many seconds longer, the other must take once for the trial to be over at once."""

KEEP = 20
"""How many times as long as it took to find is the better way kept. Then both are tried again: the machine may have
got other things to do, or other processors."""

SLOW = 16
"""Times in a row that the costly way takes clearly longer than before until both are tried again at once."""


class Trial:
    """Two ways: a costly one, and another that is to be left for it only if that gains something.

    What counts is the time between `begin` and `end`, not what passes in between two of these.

    Parameters
    ----------
    gain : float
        The part of the time that the costly way must save.
    clock : callable
        Gives the time in seconds.

    Attributes
    ----------
    costly : bool
        The way to take now.
    """

    def __init__(self, gain: float, clock: Callable[[], float] = perf_counter) -> None:
        self._gain, self._clock = gain, clock
        self._begun = 0.0
        self._limit = math.inf
        self._try(*SETTLE)

    # an interrupt may come at any call: what belongs together is set with no call in between

    def _try(self, seconds: float, settle: int, pause: float = PAUSE) -> None:
        times: list[float] = []
        found: dict[bool, list[float]] = {True: [], False: []}
        self.costly, self._known = True, False
        self._spent, self._until, self._settle, self._pause = 0.0, seconds, settle, pause
        self._round, self._slow, self._times, self._found = 0, 0, times, found

    def begin(self) -> bool:
        """It is begun; whether the costly way is to be taken."""
        self._begun = self._clock()
        return self.costly

    def end(self) -> None:
        """It is done."""
        took = self._clock() - self._begun
        self._spent += took
        if self._known:
            self._slow = self._slow + 1 if self.costly and took > self._limit else 0
            if self._slow == SLOW:
                self._try(0.0, 0, pause=0.0)
            elif self._spent >= self._until:
                self._try(*SETTLE)
        elif self._settle > 0 or self._spent < self._until:
            self._settle -= 1
        else:
            self._count(took)

    def _count(self, took: float) -> None:
        """One that is part of the trial."""
        odd, counted = ROUNDS[self._round]
        if not self.costly:
            best, (times_as_long, longer) = min(self._found[True]), PLAIN
            if took > times_as_long * best and took > longer + best:
                self._decide(costly=True)
                return
        times = [*self._times, took]
        if len(times) < odd + counted:
            self._times = times
            return
        found = {**self._found, self.costly: [*self._found[self.costly], median(times[odd:])]}
        self._found, self._times, self.costly = found, [], not self.costly
        if self.costly:
            self._compare()

    def _compare(self) -> None:
        """After a round."""
        costly, other = min(self._found[True]), min(self._found[False])
        clear = other > CLEAR * costly or (not self._pause and costly > CLEAR * other)
        if clear or self._round + 1 == len(ROUNDS):
            self._decide(costly=costly <= (1 - self._gain) * other)
        else:
            self._round, self._until = self._round + 1, self._spent + self._pause

    def _decide(self, *, costly: bool) -> None:
        limit = CLEAR * min(self._found[True])
        self.costly, self._known, self._limit = costly, True, limit
        self._until = self._spent + KEEP * self._spent
