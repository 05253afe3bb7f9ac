"""Which of two ways takes less time: on a clock that a test sets."""

from __future__ import annotations

import builtins
import contextlib
import itertools

import numpy as np
import pytest

from xpnn.compiler import trial
from xpnn.compiler.trial import Trial


class Machine:
    """Does something again and again, in one of two ways, each of which takes some time.

    With a seed it is as machines are: times vary, the first after a change of the way is slow, and now and then
    something else comes in between.
    """

    def __init__(self, costly, other, seed=None):
        self.now, self.costly, self.other = 0.0, costly, other
        self.trial = Trial(0.05, lambda: self.now)
        self.rng = None if seed is None else np.random.default_rng(seed)
        self.before = None

    def one(self):
        """Once; the way that was taken."""
        way = self.trial.begin()
        took = self.costly if way else self.other
        if self.rng is not None:
            took *= 1.6 if way != self.before else self.rng.normal(1, 0.03)
            took += 1e-3 * (self.rng.random() < 0.01)
        self.now += took
        self.trial.end()
        self.before = way
        return way

    def go(self, seconds):
        """For so long; the part of the times that the costly way was taken."""
        ways, stop = [], self.now + seconds
        while self.now < stop:
            ways.append(self.one())
        return sum(ways) / len(ways)


@pytest.mark.parametrize("step", [1e-5, 1e-3, 0.05])
def test_the_better_way_is_taken_nearly_always(step):
    assert Machine(step, 1.7 * step).go(3000 * step + 10) > 0.97
    assert Machine(1.7 * step, step).go(5000 * step + 10) < 0.1


@pytest.mark.parametrize(("costly", "other", "wanted"), [(1.0, 1.2, True), (1.2, 1.0, False)])
def test_noise_seldom_leads_astray(costly, other, wanted):
    found = [Machine(1e-4 * costly, 1e-4 * other, seed).go(2) > 0.5 for seed in range(20)]
    assert found.count(wanted) >= 19


@pytest.mark.parametrize("slower", [1.1, 1.5, 3, 10])
def test_a_costly_way_that_is_slow_costs_little(slower):
    machine = Machine(slower * 1e-4, 1e-4)
    part = machine.go(60)
    assert part * slower + (1 - part) < 1 + 1.2 * (slower - 1) / trial.KEEP


@pytest.mark.parametrize("slower", [1.5, 4, 16, 40])
@pytest.mark.parametrize("step", [1e-4, 0.02])
def test_another_way_that_is_slow_costs_little(slower, step):
    machine = Machine(step, slower * step)
    ways = [machine.one() for _ in range(3000)]
    assert machine.now < (1.003 + 0.0014 * slower) * 3000 * step
    assert all(ways[: trial.SETTLE[1]])
    if slower > trial.PLAIN[0] and slower * step > trial.PLAIN[1]:
        alone = [len(list(run)) for way, run in itertools.groupby(ways) if not way]
        assert set(alone) == {1}


@pytest.mark.parametrize(("saved", "worth"), [(0.02, False), (0.08, True)])
def test_the_costly_way_must_gain_something(saved, worth):
    assert (Machine(1e-3 * (1 - saved), 1e-3).go(20) > 0.5) == worth


def test_nothing_is_tried_at_first():
    """Threads that have just been woken up may still wait for a processor."""
    machine = Machine(5e-3, 1e-3)
    assert machine.go(trial.SETTLE[0]) == 1
    assert machine.go(3) < 0.2


def test_the_costly_way_is_left_soon_when_it_becomes_slow():
    machine = Machine(1e-3, 1.5e-3)
    assert machine.go(5) > 0.97
    machine.costly = 3e-3
    assert machine.go(0.2) < 0.6
    assert machine.go(2) < 0.1
    machine.costly = 1e-3  # which is seen when both are tried again
    machine.go(6)
    assert machine.go(5) > 0.97


def test_another_way_that_becomes_slow_is_not_looked_at():
    machine = Machine(3e-3, 1e-3)
    machine.go(2)
    machine.other = 1.4e-3
    assert machine.go(0.5) == 0


def test_what_disturbs_a_round_does_not_decide():
    """Such as other libraries' threads, that are awake for some time after their work."""
    for begins in np.arange(0.1, 0.25, 0.005):
        machine = Machine(1e-3, 1.6e-3)
        machine.go(begins)
        machine.costly = 4e-3
        machine.go(0.03)
        machine.costly = 1e-3
        machine.go(0.3)
        assert machine.go(3) > 0.95, begins


def test_a_single_slow_one_changes_nothing():
    machine = Machine(1e-3, 1.5e-3)
    machine.go(1)
    for _ in range(50):
        machine.costly = 0.01
        machine.go(0.005)
        machine.costly = 1e-3
        assert machine.go(0.01) == 1


@pytest.mark.parametrize("pause", [2.0, 2.0**15])
def test_pauses_in_between_do_not_count(pause):
    """Predictions may be hours apart, and after an epoch there may be something else to do."""
    busy, idle = Machine(3 / 1024, 1 / 1024), Machine(3 / 1024, 1 / 1024)
    ways = ([], [])
    for i in range(5000):
        for machine, taken in zip((busy, idle), ways, strict=True):
            taken.append(machine.one())
        if i % 100 < 3:
            idle.now += pause
    assert ways[0] == ways[1]


def test_an_interrupt_between_begin_and_end_does_no_harm():
    machine = Machine(1e-3, 2e-3)
    machine.go(1)
    machine.trial.begin()
    machine.now += 100
    assert machine.go(1) > 0.9


@pytest.mark.parametrize("name", ["len", "min", "max", "median"])
def test_nor_does_one_within(monkeypatch, name):
    """Python looks for signals at calls."""
    function = getattr(builtins, name, None) or getattr(trial, name)
    for at in range(60):
        machine, calls = Machine(1e-3, 1.1e-3), itertools.count()

        def interrupted(*arguments, at=at, calls=calls):
            if next(calls) == at:
                raise KeyboardInterrupt
            return function(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(trial, name, interrupted, raising=False)
            for _ in range(400):
                with contextlib.suppress(KeyboardInterrupt):
                    machine.one()
        assert machine.go(3) > 0.9
