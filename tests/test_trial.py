"""Which of two ways takes less time: on a clock that a test sets."""

from __future__ import annotations

import pytest

from xpnn.compiler import trial
from xpnn.compiler.trial import Trial


class Machine:
    """Does something again and again, in one of two ways, each of which takes some time."""

    def __init__(self, costly, other):
        self.now, self.costly, self.other = 0.0, costly, other
        self.trial = Trial(0.05, lambda: self.now)
        self.ways = []

    def go(self, seconds):
        """For so long; the part of the times that the costly way was gone."""
        ways, stop = [], self.now + seconds
        while self.now < stop:
            ways.append(self.trial.begin())
            self.now += self.costly if ways[-1] else self.other
            self.trial.end()
        return sum(ways) / len(ways)


@pytest.mark.parametrize("step", [1e-5, 1e-3, 0.05])
def test_the_better_way_is_gone_nearly_always(step):
    assert Machine(step, 1.7 * step).go(3000 * step + 10) > 0.97
    assert Machine(1.7 * step, step).go(3000 * step + 10) < 0.05


@pytest.mark.parametrize("slower", [1.1, 1.5, 3, 10])
def test_finding_out_costs_little(slower):
    machine = Machine(slower * 1e-4, 1e-4)
    part = machine.go(30)
    assert part * slower + (1 - part) < 1 + (slower - 1) / trial.KEEP


@pytest.mark.parametrize(("saved", "worth"), [(0.02, False), (0.08, True)])
def test_the_costly_way_must_gain_something(saved, worth):
    assert (Machine(1e-3 * (1 - saved), 1e-3).go(20) > 0.5) == worth


def test_nothing_is_tried_at_first():
    """Threads that have just been woken up may still wait for a processor."""
    machine = Machine(2e-3, 1e-3)
    assert machine.go(trial.SETTLE) == 1
    assert machine.go(1) < 0.1


def test_the_costly_way_is_left_soon_when_it_becomes_slow():
    machine = Machine(1e-3, 1.5e-3)
    assert machine.go(5) > 0.97
    machine.costly = 3e-3
    assert machine.go(0.2) < 0.6
    assert machine.go(2) < 0.1
    machine.costly = 1e-3  # which is seen when both are tried again
    machine.go(3)
    assert machine.go(5) > 0.97


def test_a_single_slow_one_changes_nothing():
    machine = Machine(1e-3, 1.5e-3)
    machine.go(1)
    for _ in range(50):
        machine.costly = 0.01
        machine.go(0.005)
        machine.costly = 1e-3
        assert machine.go(0.01) == 1


def test_an_interrupt_between_begin_and_end_does_no_harm():
    machine = Machine(1e-3, 2e-3)
    machine.go(1)
    machine.trial.begin()
    machine.now += 100
    assert machine.go(1) > 0.9
