"""Whether what lanes exchange is streamed: by what takes less time, and only if others take part."""

from types import SimpleNamespace

import numpy as np
import pytest

from xpnn import backends
from xpnn.compiler import blas, exchange, gemm, team, together
from xpnn.compiler.exchange import AGAIN, EVERY, GAIN, OFTEN, Exchange
from xpnn.compiler.steps import ALONE, Steps

pytestmark = pytest.mark.skipif(not (gemm.available() and team.available()), reason="no products or no teams")


class Clock:
    """A time that passes only as it is told to."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(exchange, "perf_counter", lambda: self.now)
        monkeypatch.setattr(exchange, "sleep", self.passes)

    def passes(self, seconds):
        self.now += seconds


class Members:
    """A team whose other thread does every part, if it is there at all."""

    lanes = 2

    def __init__(self):
        self.parts, self.there, self.helps = 0, True, True

    def done(self):
        return self.parts

    def wake(self):
        pass


def after(found, clock, seconds=1.01 * EVERY, steps=OFTEN):
    """What is found after so long, and so many steps."""
    clock.passes(seconds)
    for _ in range(steps):
        found.streams()
    return found.streams()


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def timed(clock, monkeypatch):
    """An exchange whose two ways take the seconds that are in the dict `took`."""
    monkeypatch.setattr(Exchange, "_streams", None)
    members, took = Members(), {False: 1e-5, True: 1e-5}

    def one_of(way):
        def run():
            clock.passes(took[way])
            members.parts += members.there

        return run

    monkeypatch.setattr(Exchange, "_way", lambda self, *, streams: [one_of(streams), one_of(streams)])
    return SimpleNamespace(members=members, took=took, new=lambda: Exchange(members))


def test_it_streams_what_takes_clearly_less_time_so(timed, clock):
    for part, streams in ((1.5, False), (1.0, False), (1.01 - GAIN, False), (0.99 - GAIN, True), (0.1, True)):
        clock.passes(1.01 * EVERY)
        timed.took[True] = part * timed.took[False]
        assert timed.new().streams() is streams


def test_it_is_found_out_again_after_a_while(timed, clock):
    found = timed.new()
    assert not found.streams()
    timed.took[True] = 1e-6
    assert not after(found, clock, steps=OFTEN // 4)
    assert after(found, clock)
    timed.took[True] = 2e-5
    assert after(found, clock, seconds=0.5 * EVERY)
    assert not after(found, clock)


def test_nothing_is_found_out_if_no_other_thread_takes_part(timed, clock):
    timed.took[True] = 1e-6
    found = timed.new()
    timed.members.there, timed.took[True] = False, 2e-5
    assert after(found, clock)
    timed.members.there = True  # which is seen soon
    assert after(found, clock, seconds=0.5 * AGAIN, steps=1)
    assert not after(found, clock, seconds=0.6 * AGAIN, steps=1)


def test_nor_if_one_does_all(timed, clock):
    timed.took[True] = 1e-6
    found = timed.new()
    timed.members.helps, timed.took[True] = False, 2e-5
    assert after(found, clock)
    timed.members.helps = True
    assert not after(found, clock)


def test_what_one_team_has_found_holds_for_the_next(timed, monkeypatch):
    timed.took[True] = 1e-6
    timed.new()
    timed.members.there = False
    monkeypatch.setattr(exchange, "sleep", None)  # nobody is waited for
    assert timed.new().streams()


def test_others_of_the_first_team_are_waited_for(timed, clock, monkeypatch):
    timed.took[True], timed.members.there = 1e-6, False
    waited = []

    def comes(seconds):
        clock.passes(seconds)
        waited.append(seconds)
        timed.members.there = len(waited) == 3

    monkeypatch.setattr(exchange, "sleep", comes)
    assert timed.new().streams()
    assert waited == [exchange.WAIT[1]] * 3


def test_but_not_for_ever(timed):
    timed.took[True], timed.members.there = 1e-6, False
    assert not timed.new().streams()


@pytest.mark.parametrize("streams", [False, True])
def test_batches_are_gathered_as_the_training_now_exchanges(streams, rng, monkeypatch):
    """By one thread in the caches again, whatever came before."""
    monkeypatch.setattr(exchange, "now", not streams)
    monkeypatch.setattr(together, "Exchange", lambda team: SimpleNamespace(streams=lambda: streams))
    monkeypatch.setattr(blas.threads, "count", lambda: 2)
    x = rng.normal(size=(400, 300))

    def steps(work):
        return Steps(
            lambda xp, state, x: xp.sum(xp.matmul(x, xp.matrix_transpose(x))), backends.get("numpy").namespace(), work
        )

    steps(10**6)((), x)
    assert exchange.now is streams
    for work in (1, int(1.1 * ALONE[0]) // 400):  # small, and of middle size
        exchange.now = True
        steps(work)((), x)
        assert not exchange.now


def test_a_program_for_each_way(monkeypatch):
    """Found again when the way is taken again."""
    found = iter((False, True, False, True))
    monkeypatch.setattr(together, "Exchange", lambda team: SimpleNamespace(streams=lambda: next(found)))
    compiled = together.Together(lambda xp, state, x: x * 2.0, np)
    x, programs = np.ones((40, 3)), []
    for _ in range(4):
        compiled.use(2)
        np.testing.assert_array_equal(compiled((), x), 2 * x)
        programs.append(compiled._latest)
    assert programs[0] is programs[2]
    assert programs[1] is programs[3]
    assert programs[0] is not programs[1]
