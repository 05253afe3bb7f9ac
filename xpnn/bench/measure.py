"""Timing in turns: each contender for a short while, again and again, so that drift of the machine hits everyone."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from xpnn.backends import first_line
from xpnn.bench.contenders import Run

K = TypeVar("K", bound=Hashable)

_TURN = 0.1  # seconds: long against the clock and a cold cache, short against the machine's moods
_LEAD = 0.12  # seconds before a turn: for so long the threads of the BLAS that had the last one keep a core busy
_MOST = 1 << 20  # steps per turn
_LEAST = 3  # turns: fewer have no spread


@dataclass(frozen=True)
class Timing:
    """Seconds per step over the turns of one contender.

    Attributes
    ----------
    median, low, high : float
        Seconds; low and high are the 10th and the 90th percentile.
    turns, steps : int
        How many turns there were, and steps in all of them.
    """

    median: float
    low: float
    high: float
    turns: int
    steps: int


@dataclass(frozen=True)
class Measured(Generic[K]):
    """The timings by contender, why those that failed did, and whether Ctrl-C cut it short."""

    timings: dict[K, Timing]
    problems: dict[K, str]
    interrupted: bool = False


@dataclass
class _Entrant:
    run: Run
    steps: int = 1  # per turn
    spent: float = 0.0  # seconds
    done: int = 0  # steps
    per_step: list[float] = field(default_factory=list)  # seconds, by turn

    def time(self, clock: Callable[[], float]) -> float:
        start = clock()
        self.run(self.steps)
        return clock() - start

    def calibrate(self, turn: float, clock: Callable[[], float]) -> None:
        while (took := min(self.time(clock), self.time(clock))) < turn / 2 and self.steps < _MOST:
            self.steps *= 2
        self.fit_to(turn, took)

    def take_turn(self, turn: float, clock: Callable[[], float]) -> None:
        start = clock()
        while clock() - start < _LEAD * turn / _TURN:  # wakes its threads, fills the caches, lets others fall asleep
            self.run(max(1, self.steps // 4))
        took = self.time(clock)
        self.spent += took
        self.done += self.steps
        self.per_step.append(took / self.steps)
        if not turn / 2 < took < 2 * turn:  # the machine's mood has changed
            self.fit_to(turn, took)

    def fit_to(self, turn: float, took: float) -> None:
        """As many steps per turn as fill it, 1 at least, if these took that long."""
        self.steps = min(max(1, round(self.steps * turn / took)), _MOST) if took else self.steps

    def timing(self) -> Timing:
        low, median, high = np.percentile(self.per_step, [10, 50, 90]).tolist()
        return Timing(median, low, high, len(self.per_step), self.done)


def in_turns(
    runs: Mapping[K, Run], seconds: float, *, turn: float = _TURN, clock: Callable[[], float] = time.perf_counter
) -> Measured[K]:
    """Time each run for that many seconds, in turns.

    Parameters
    ----------
    runs : mapping
        What is timed, by any key. Each has run before: this is no place to compile.
    seconds : float
        For each. One whose step is longer than a turn sits out turns to make up for it.
    turn : float
        Seconds; less where that leaves too few turns.
    clock : callable
        Gives seconds.

    Returns
    -------
    Measured
        One that raises is left out from there on, with the error in a line. After Ctrl-C: what there is so far.
    """
    turn = min(turn, seconds / _LEAST)
    entrants: dict[K, _Entrant] = {}
    problems: dict[K, str] = {}
    interrupted = False

    def attempt(key: K, action: Callable[[float, Callable[[], float]], None]) -> None:
        try:
            action(turn, clock)
        except Exception as error:  # whatever a library raises is that row's result
            problems[key] = problem(error)
            del entrants[key]

    try:
        for key, run in runs.items():
            entrants[key] = _Entrant(run)
            attempt(key, entrants[key].calibrate)
        count = 0
        while pending := [k for k, e in entrants.items() if e.spent < seconds or len(e.per_step) < _LEAST]:
            first = count % len(pending)
            for key in pending[first:] + pending[:first]:  # nobody always follows the same one
                if entrants[key].spent <= count * turn or count * turn > seconds:
                    attempt(key, entrants[key].take_turn)
            count += 1
    except KeyboardInterrupt:
        interrupted = True
    return Measured({k: e.timing() for k, e in entrants.items() if e.per_step}, problems, interrupted)


def problem(error: Exception) -> str:
    """What went wrong, in a line; running out of memory in the same words for every library."""
    line = first_line(error)
    signs = ("out of memory", "resource_exhausted", "can't allocate memory", "unable to allocate", "outofmemory")
    if isinstance(error, MemoryError) or any(sign in line.lower() for sign in signs):
        return f"out of memory ({line})"
    return line
