"""Which of two ways of doing the same takes less time, found out while it is done again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from time import perf_counter

SETTLE = 0.1
"""Seconds of the costly way before a trial: threads that wake up may have to wait for a processor of their own."""

ROUNDS = ((1, 3), (2, 6), (2, 6))
"""How often each way is then gone in turn: times that do not count, as the caches hold what the other left, and that
do."""

CLEAR = 1.25
"""How many times as long one must take for the rounds to be over sooner."""

KEEP = 20
"""How many times as long as it took to find is the better way kept. Then both are tried again: the machine may have
got other things to do, or other processors."""

SLOW = 16
"""Times in a row that the costly way takes clearly longer than before until both are tried again at once."""


class Trial:
    """Two ways: a costly one, and another that is to be left for it only if that gains something.

    Parameters
    ----------
    gain : float
        The part of the time that the costly way must save.
    clock : callable
        Gives the time in seconds.

    Attributes
    ----------
    costly : bool
        The way to go now.
    """

    def __init__(self, gain: float, clock: Callable[[], float] = perf_counter) -> None:
        self._gain, self._clock = gain, clock
        self.costly = self._known = True
        self._limit, self._slow, self._until = math.inf, 0, -math.inf  # the first trial begins with the first end

    def _try(self, now: float, settle: float) -> None:
        self._since, self._until = now, now + settle
        self.costly, self._known = True, False
        self._round = self._slow = 0
        self._times: list[float] = []
        self._found: dict[bool, list[float]] = {True: [], False: []}

    def begin(self) -> bool:
        """It is begun; whether the costly way is to be gone."""
        self._begun = self._clock()
        return self.costly

    def end(self) -> None:
        """It is done."""
        now = self._clock()
        took = now - self._begun
        if self._known:
            self._slow = self._slow + 1 if self.costly and took > self._limit else 0
            if self._slow == SLOW:
                self._try(now, 0.0)
            elif now >= self._until:
                self._try(now, SETTLE)
            return
        if now < self._until:
            return
        self._times.append(took)
        odd, counted = ROUNDS[self._round]
        if len(self._times) < odd + counted:
            return
        self._found[self.costly].append(median(self._times[odd:]))
        self._times.clear()
        if self.costly:
            self.costly = False
        else:
            self._compare(now)

    def _compare(self, now: float) -> None:
        """After a round."""
        costly, other = min(self._found[True]), min(self._found[False])
        self._round += 1
        self._known = self._round == len(ROUNDS) or max(costly, other) > CLEAR * min(costly, other)
        if self._known:
            self._until = now + KEEP * (now - self._since)
            self._limit = CLEAR * costly
        self.costly = not self._known or costly <= (1 - self._gain) * other
