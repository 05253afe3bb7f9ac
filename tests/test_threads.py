"""Functions on several threads, and how many threads products use: also when interrupted."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import xpnn
from xpnn.backends.numpy import Gather
from xpnn.compiler import blas, exchange, parallel, team
from xpnn.compiler.parallel import on_threads
from xpnn.compiler.rows import Rows
from xpnn.compiler.team import Team

from .interrupts import at_every_place

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def test_they_are_called_at_once():
    meeting = threading.Barrier(3, timeout=30)
    for _ in range(3):
        on_threads([meeting.wait] * 3)


def test_threads_are_used_again(monkeypatch):
    monkeypatch.setattr(parallel, "_idle", [])
    meeting = threading.Barrier(2, timeout=30)
    for _ in range(3):
        on_threads([meeting.wait] * 2)
        deadline = time.monotonic() + 30
        while not parallel._idle and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(parallel._idle) == 1


def test_there_are_no_more_threads_than_are_at_work(monkeypatch):
    monkeypatch.setattr(parallel, "_idle", [])
    before = threading.active_count()
    for _ in range(3000):
        on_threads([int] * 3)
    assert threading.active_count() - before <= 6  # a few, if one is slow to rest; not one more each time


def test_what_no_other_thread_begins_is_done_by_this_one(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parallel, "_idle", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    threads = []
    on_threads([lambda: threads.append(threading.get_ident())] * 3)
    assert threads == [threading.get_ident()] * 3


def test_others_have_the_context_of_this_one():
    """What NumPy is to do about an overflow belongs to it."""
    meeting, seen = threading.Barrier(2, timeout=30), []

    def look():
        meeting.wait()
        seen.append(np.geterr()["over"])

    with np.errstate(over="ignore"):
        on_threads([look, look])
    assert seen == ["ignore"] * 2


def test_an_error_on_another_thread_is_raised_here_once_all_are_done():
    begun, done = threading.Barrier(2, timeout=30), threading.Event()

    def fail():
        begun.wait()
        done.wait(30)
        raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        on_threads([lambda: (begun.wait(), done.set()), fail])


def test_the_others_are_waited_for_when_this_thread_is_interrupted():
    begun, done = threading.Barrier(2, timeout=30), threading.Event()

    def stop():
        begun.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_threads([stop, lambda: (begun.wait(), time.sleep(0.05), done.set())])
    assert done.is_set()


def test_an_interrupt_while_it_waits_is_raised_when_all_are_done(monkeypatch):
    """Not before: the other might still write into an array that is then used for something else."""
    done = threading.Event()
    interrupts = [KeyboardInterrupt, TimeoutError, KeyboardInterrupt]
    end = parallel._Part.end

    def interrupted(part):
        if interrupts:
            raise interrupts.pop()
        end(part)

    monkeypatch.setattr(parallel._Part, "end", interrupted)
    begun = threading.Barrier(2, timeout=30)
    with pytest.raises(KeyboardInterrupt):
        on_threads([begun.wait, lambda: (begun.wait(), time.sleep(0.05), done.set())])
    assert done.is_set()
    assert not interrupts


def test_after_an_error_nothing_more_is_begun(monkeypatch):
    monkeypatch.setattr(parallel, "start", lambda task: None)
    done = []
    with pytest.raises(IndexError, match="pop"):
        on_threads([lambda: done.append(0), [].pop, lambda: done.append(2)])
    assert done == [0]


def test_an_error_that_was_raised_holds_nothing(monkeypatch):
    monkeypatch.setattr(parallel, "start", lambda task: None)

    class Held:
        def fail(self):
            raise KeyError

    held = Held()
    alive = weakref.ref(held)
    gc.disable()
    try:
        with pytest.raises(KeyError):
            on_threads([int, held.fail])
        del held
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("here", [0, 0.002])
def test_wherever_it_is_interrupted_nothing_is_done_afterwards(here):
    running = []

    def work():
        running.append(1)
        time.sleep(0.001)
        running.pop()

    places = 0
    for where in at_every_place(lambda: on_threads([lambda: time.sleep(here), work, work]), "compiler/parallel.py"):
        assert not running, where
        places += 1
    assert places > 20


FORK = """
import os, threading
from xpnn.compiler import blas, parallel
before, inside, over = blas.threads.count(), threading.Event(), threading.Event()
parallel.on_threads([threading.Barrier(2, timeout=30).wait] * 2)
while not parallel._idle:
    pass
other = threading.Thread(target=blas.threads.one, args=[lambda: (inside.set(), over.wait())])
other.start()
inside.wait()
child = os.fork()
if not child:  # it has none of its parent's threads
    try:
        parallel.on_threads([threading.Barrier(2, timeout=5).wait] * 2)
        os._exit(0 if {each.num_threads for each in blas.libraries()} <= {before} else 1)
    finally:
        os._exit(2)
print(os.waitpid(child, 0)[1])
over.set()
"""


@needs_fork
def test_in_a_child_process_there_are_threads_too():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "0"


# the threads of products


def set_threads() -> set[int]:
    return {each.num_threads for each in blas.libraries()}


def test_products_use_one_thread_inside_and_as_many_as_before_outside():
    before = set_threads()

    def inner():
        assert set_threads() <= {1}
        assert blas.threads.count() == min(before, default=1)

    def outer(value, other):
        blas.threads.one(inner)
        assert set_threads() <= {1}
        return value, other

    assert blas.threads.one(outer, 2, 3) == (2, 3)
    assert set_threads() == before
    with pytest.raises(KeyError):
        blas.threads.one({}.__getitem__, 0)
    assert set_threads() == before


def test_between_many_steps_they_stay_at_one_thread():
    before = set_threads()

    def many():
        assert set_threads() == before
        for _ in range(2):
            blas.threads.one(set_threads)
            assert set_threads() <= {1}
            assert blas.threads.count() == min(before, default=1)

    blas.threads.kept(many)
    assert set_threads() == before
    blas.threads.one(blas.threads.kept, set_threads)
    assert set_threads() == before


def test_wherever_it_is_interrupted_their_number_is_as_before():
    threads, before = blas.threads, set_threads()

    def many():
        threads.kept(lambda: [threads.one(set_threads) for _ in range(2)])
        threads.one(set_threads)

    places = 0
    for where in at_every_place(many, "compiler/blas.py", "threadpoolctl.py"):
        assert (threads._before, threads._ones, threads._kept, set_threads()) == ([], set(), set(), before), where
        assert not threads._lock.locked()
        places += 1
    assert places > 50


# what is done on them


@pytest.fixture(params=[False, True], ids=["in caches", "streamed"])
def streamed(request, monkeypatch):
    """How what several threads will read is put into memory."""
    if request.param and not team.available():
        pytest.skip("no machine code here")
    monkeypatch.setattr(exchange, "now", request.param)


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 13), (50, 64), (50, 3, 5), (50, 4096), (50, 5000)], ids=str)
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "bool"])
def test_rows_are_gathered_of_any_array(shape, kind, rng):
    take, x = Gather(), rng.normal(size=shape).astype(kind)
    laid_out = (x, x[::-1], np.asfortranarray(x), x.copy())
    for array in laid_out:
        for rows in (rng.permutation(50)[:21], rng.permutation(50)[:7], np.arange(50)[::3], np.arange(9, dtype="i4")):
            np.testing.assert_array_equal(take("X", array, rows), array[rows])
            np.testing.assert_array_equal(take("y", array[rows], np.arange(5)), array[rows[:5]])


@pytest.mark.usefixtures("streamed")
def test_a_gather_interrupted_anywhere_is_right_the_next_time(rng):
    for n in (1000, 20):
        gather_interrupted(rng, n)


def gather_interrupted(rng, n):
    X, rows, take = rng.normal(size=(1000, 700)), rng.permutation(1000)[:n], Gather()
    for where in at_every_place(lambda: take("X", X, rows), "compiler/parallel.py", "backends/numpy.py"):
        np.testing.assert_array_equal(take("X", X, rows), X[rows], err_msg=where)


@pytest.mark.parametrize(("n", "width"), [(64, 32), (300, 64), (5000, 256)])
def test_a_prediction_interrupted_anywhere_is_right_the_next_time(rng, n, width):
    X, (v, w) = rng.normal(size=(n, 20)), (rng.normal(size=(20, width)), rng.normal(size=(width, 3)))

    def function(xp, state, X):
        return xp.matmul(xp.tanh(xp.matmul(X, state[0])), state[1])

    predict, before = Rows(function, np), set_threads()
    for where in at_every_place(lambda: predict((v, w), X), "compiler/rows.py", "compiler/blas.py"):
        np.testing.assert_allclose(predict((v, w), X), np.tanh(X @ v) @ w, err_msg=where)
        assert not predict._free.locked(), where
        assert set_threads() == before, where


@pytest.mark.skipif(not team.available(), reason="no machine code here")
def test_a_box_is_looked_after_again_after_an_interrupt(monkeypatch):
    def interrupted(task):
        raise KeyboardInterrupt

    members = Team(2)
    monkeypatch.setattr(parallel, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        members.wake()
    assert members._served == [False]


def test_a_training_interrupted_anywhere_leaves_the_threads_as_they_were(rng):
    X, y, before = rng.normal(size=(200, 100)), rng.integers(0, 3, 200), set_threads()
    network = xpnn.mlp([100, 50, 3], output="softmax")

    def fit():
        return xpnn.fit(network, X, y, epochs=1, batch_size=100)

    fit()
    for where in at_every_place(fit, "compiler/blas.py", "compiler/steps.py", "training/loop.py"):
        assert (blas.threads._before, set_threads()) == ([], before), where
