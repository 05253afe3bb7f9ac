"""Whether what lanes make for each other is to be streamed: found out by doing both, time and again.

It depends on how far from each other the cores are that the threads run on, which a host of virtual machines may
change at any time.
"""

from __future__ import annotations

from time import perf_counter, sleep
from typing import ClassVar

import numpy as np

from xpnn.compiler.blas import threads
from xpnn.compiler.sequence import ROWS, Sequence
from xpnn.compiler.team import Team

EVERY, OFTEN = 0.25, 64
"""Seconds, and steps, after which it is found out again."""

AGAIN = 0.01
"""Seconds after which it is tried again if the other threads had something else to do."""

ROUNDS = 4
"""How often both ways are taken then: some 100 microseconds in all."""

GAIN = 0.2
"""The part of the time that streaming must save."""

WAIT = 3e-3, 1e-4
"""Seconds in which the other threads of the first team are waited for, and from look to look."""

SIDE = 128
"""Rows and columns of a matrix that each lane makes a part of, and adds up some rows of; of many lanes more rows."""


now = False
"""Whether what threads make for each other is streamed in the training whose step came last."""


class Exchange:
    """What the lanes of a team exchange, and how.

    Parameters
    ----------
    team : Team
    """

    _streams: ClassVar[bool | None] = None  # what has been found last, whichever team found it

    def __init__(self, team: Team) -> None:
        self._team, self._next, self._calls = team, 0.0, OFTEN
        self._ways = {False: self._way(streams=False), True: self._way(streams=True)}
        if Exchange._streams is None:
            team.wake()
            seconds, between = WAIT
            until = perf_counter() + seconds
            while not threads.one(self._found) and perf_counter() < until:
                sleep(between)

    def streams(self) -> bool:
        """Whether it is to be streamed now."""
        self._calls += 1
        if self._calls > OFTEN and self._team.helps and perf_counter() > self._next:
            threads.one(self._found)
        return bool(self._streams)

    def _way(self, *, streams: bool) -> list[Sequence]:
        """Sums of products: the parts, and what they come to."""
        lanes, k = self._team.lanes, ROWS * self._team.lanes
        n = max(SIDE, k)
        m = SIDE**2 // n
        a, b, out = (np.zeros(shape, np.float32) for shape in ((n, k), (k, m), (n, m)))
        parts, shown = ([np.empty_like(out) for _ in range(lanes)] for _ in range(2))
        copies, pieces = tuple(shown if streams else ()), ((0, n, m),)
        make, add = (Sequence(self._team, lanes, 0) for _ in range(2))
        make.partial(a, b, tuple(parts), copies, pieces)
        add.total(out, tuple(parts), copies, pieces)
        return [make, add]

    def _found(self) -> bool:
        """Find it out, if the other threads do their parts."""
        forks = sum(map(len, self._ways.values()))
        took: dict[bool, list[float]] = {way: [] for way in self._ways}
        for _ in range(ROUNDS):
            before = self._team.done()
            for way, sequences in self._ways.items():
                start = perf_counter()
                for each in sequences:
                    each()
                took[way].append(perf_counter() - start)
            if self._team.done() - before < forks * (self._team.lanes - 1):
                self._next = perf_counter() + AGAIN
                return False
        self._next, self._calls = perf_counter() + EVERY, 0
        Exchange._streams = min(took[True]) < (1 - GAIN) * min(took[False])
        return True
