"""Threads that do parts of single calls: that each part is done once, by whomever, and that nothing else changes."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import xpnn
from xpnn.compiler import blas, gemm, llvm, parallel, planner, sequence, team, together, trial
from xpnn.compiler import steps as stepping
from xpnn.compiler.team import Team

from .cases import ACTIVATIONS, OPTIMIZERS
from .test_compiler import assert_same_training, ragged, steps

pytestmark = pytest.mark.skipif(not team.available(), reason="no teams: they need LLVM, x86 and POSIX")

# adds one to the table's first number, puts down the thread in the second, and counts down from the third
COUNT = """
define void @kernel(ptr %table) {{
entry:
  %at.long = getelementptr i64, ptr %table, i64 2
  %long = load i64, ptr %at.long
  br label %wait
wait:
  %left = phi i64 [%long, %entry], [%less, %wait]
  %less = sub i64 %left, 1
  %seen = load volatile i64, ptr %table
  %over = icmp slt i64 %less, 0
  br i1 %over, label %end, label %wait
end:
  %count = load i64, ptr %table
  %more = add i64 %count, 1
  store i64 %more, ptr %table
  %self = inttoptr i64 {} to ptr
  %thread = call i64 %self()
  %at = getelementptr i64, ptr %table, i64 1
  store i64 %thread, ptr %at
  ret void
}}
"""


@pytest.fixture(scope="module")
def count():
    address = ctypes.cast(ctypes.CDLL(None).pthread_self, ctypes.c_void_p).value
    return llvm.compiled(COUNT.format(address), ctypes.c_void_p)


class Parts:
    """Tables of parts that count how often each is done."""

    def __init__(self, members, count, n=None, long=0):
        self.tables = [(ctypes.c_int64 * 3)(0, 0, long) for _ in range(n or members.lanes)]
        self.keep, self.members = [], members
        self.table = members.table(self.keep, count, [ctypes.addressof(each) for each in self.tables])

    def done(self, times=1):
        for _ in range(times):
            self.members.fork(self.table)
        return [each[0] for each in self.tables]

    def shared(self):
        """Do each some times; whether another thread has done some."""
        self.members.wake()
        self.done(20)
        return len(self.threads) == 2

    @property
    def threads(self):
        return {each[1] for each in self.tables}


def until(condition):
    """Wait for something that takes a moment; fail if it does not come."""
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("nothing happened")


@pytest.mark.parametrize("lanes", [2, 3, 5])
def test_with_nobody_awake_one_thread_does_all_parts(lanes, count):
    parts = Parts(Team(lanes), count)
    assert parts.done() == [1] * lanes
    assert parts.done(10) == [11] * lanes
    assert len(parts.threads) == 1


@pytest.mark.parametrize(("lanes", "n"), [(2, 2), (3, 3), (4, 2)])
def test_with_others_awake_each_part_is_done_once(lanes, n, count):
    members = Team(lanes)
    parts = Parts(members, count, n)
    members.wake()
    assert parts.done(20_000) == [20_000] * n


def test_others_do_take_parts(count):
    members = Team(2)
    parts = Parts(members, count, long=10_000)

    until(parts.shared)


def test_how_many_parts_the_others_have_done(count):
    members = Team(2)
    parts = Parts(members, count, long=10_000)
    until(parts.shared)
    before, theirs = members.done(), 0
    for _ in range(50):
        parts.done()
        theirs += len(parts.threads) == 2
    assert members.done() - before == theirs
    members.wake(False)
    before = members.done()
    parts.done(50)
    assert members.done() == before


def test_one_may_do_all_though_others_are_awake(count):
    members = Team(2)
    parts = Parts(members, count, long=10_000)

    until(parts.shared)
    (before, _) = parts.done()
    members.wake(False)
    for i in range(200):
        assert parts.done() == [before + 1 + i] * 2
        assert len(parts.threads) == 1
    until(parts.shared)  # when they are to do some again


def test_nobody_is_woken_when_one_is_to_do_all():
    members = Team(2)
    members.wake(False)
    assert members._served == [False]


def test_they_fall_asleep_and_are_woken_again(count, monkeypatch):
    monkeypatch.setattr(team, "SPIN", 1000)
    monkeypatch.setattr(team, "STAY", 1000)
    members = Team(2)
    parts = Parts(members, count)
    threads = set()
    for i in range(3):
        members.wake()
        until(lambda: members._served == [False])
        threads.add(threading.active_count())
        assert parts.done() == [i + 1] * 2
    assert len(threads) == 1  # no new one when there is one asleep


def test_where_there_can_be_no_more_threads_one_does_all(count, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parallel, "_idle", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    members = Team(3)
    members.wake()
    assert Parts(members, count).done(2) == [2, 2, 2]


EXIT = """
import numpy as np
from xpnn.compiler import sequence, team
assert team.available()
members = team.Team(2)
a, out = np.ones((300, 300)), np.empty((300, 300))
product = sequence.Sequence(members, 2, 0)
product.product(a, a, out)
for _ in range(20):
    members.wake()
    product()
"""


def test_a_program_may_end_while_they_look_out():
    for _ in range(3):
        done = subprocess.run([sys.executable, "-X", "dev", "-c", EXIT], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_two_threads_with_a_team_each(count):
    results = []

    def work():
        members = Team(2)
        parts = Parts(members, count)
        for _ in range(200):
            members.wake()
            parts.done(20)
        results.append(parts.done())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert results == [[4001, 4001]] * 3


FORK = """
import os
import numpy as np
from xpnn.compiler import sequence, team
assert team.available()
members = team.Team(2)
a, out = np.ones((400, 300)), np.empty((400, 400))
product = sequence.Sequence(members, 2, 0)
product.product(a, a.T, out)
members.wake()
for _ in range(1000):
    product()
child = os.fork()
if not child:  # it has none of its parent's threads
    out[...] = 0
    assert members._served == [False]
    members.wake()
    for _ in range(1000):
        product()
    os._exit(0 if (out == 300).all() else 1)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_in_a_child_process_there_are_threads_too():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "0"


# steps


@pytest.fixture(params=[False, True], ids=["in caches", "streamed"])
def shared(monkeypatch, request):
    """Lets a team of so many share in every call of a step; tells how many times it was woken."""
    exchanges(monkeypatch, request.param)

    def use(lanes):
        monkeypatch.setattr(stepping, "ALONE", (0, 0))
        monkeypatch.setattr(stepping, "WORTH", 0)
        monkeypatch.setattr(sequence, "ROWS", 1)
        for name in ("CHAIN", "PART"):
            monkeypatch.setattr(planner, name, 1)
        monkeypatch.setattr(blas.threads, "count", lambda: lanes)
        calls, wake = [], Team.wake
        monkeypatch.setattr(Team, "wake", lambda self, *others: calls.append(self.lanes) or wake(self, *others))
        return calls

    return use


def exchanges(monkeypatch, streams):
    """Has what is exchanged streamed, or not, whatever is faster here."""
    monkeypatch.setattr(together, "Exchange", lambda team: SimpleNamespace(streams=lambda: streams))
    monkeypatch.setattr(together, "FEW", 0)


@pytest.mark.parametrize("lanes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_steps_of_a_team_give_the_same(lanes, weighted, reduction, dtype, rng, shared):
    woken = shared(lanes)
    network, loss = xpnn.mlp([5, 40, 7, 3], hidden="relu", output="softmax"), xpnn.CategoricalCrossentropy(reduction)
    batches = ragged(rng, dtype, weighted, sizes=(128, 128, 101, 1, 128, 40))
    ours = steps(network, loss, xpnn.Adam(), batches)
    assert woken == [lanes] * len(batches)
    assert_same_training(ours, steps(network, loss, xpnn.Adam(), batches, compile=False), dtype)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_every_activation_and_optimizer_by_a_team(hidden, optimizer, rng, shared):
    woken = shared(2)
    network = xpnn.mlp([5, 9, 4, 3], hidden=ACTIVATIONS[hidden], output="softmax")
    loss, batches = xpnn.CategoricalCrossentropy(), ragged(rng, "float64", weighted=False, sizes=(128, 101, 128))
    ours = steps(network, loss, OPTIMIZERS[optimizer], batches)
    assert woken == [2] * 3
    assert_same_training(ours, steps(network, loss, OPTIMIZERS[optimizer], batches, compile=False), "float64")


@pytest.mark.parametrize(
    "options",
    [
        {"penalty": (xpnn.L2(0.1),)},
        {"penalty": (xpnn.L1(0.1), xpnn.L2(0.2, biases=True)), "clip_value": 0.01},
        {"clip_norm": 0.1, "penalty": (xpnn.L2(0.1),)},
    ],
    ids=repr,
)
def test_penalties_and_clipping_by_a_team(options, dtype, rng, shared):
    woken = shared(2)
    network, loss = xpnn.mlp([5, 9, 4, 3], hidden="tanh", output="softmax"), xpnn.CategoricalCrossentropy()
    batches = ragged(rng, dtype, weighted=True, sizes=(128, 101, 128))
    ours = steps(network, loss, xpnn.Adam(), batches, **options)
    assert woken == [2] * 3
    assert_same_training(ours, steps(network, loss, xpnn.Adam(), batches, compile=False, **options), dtype)


def test_the_numbers_do_not_depend_on_how_they_are_exchanged(dtype, rng, shared, monkeypatch):
    shared(2)
    network, loss = xpnn.mlp([5, 40, 7, 3], hidden="gelu", output="softmax"), xpnn.CategoricalCrossentropy()
    batches = ragged(rng, dtype, weighted=True, sizes=(128, 101, 17) * 5)
    results = []
    for streams in (False, True):
        exchanges(monkeypatch, streams)
        results.append(steps(network, loss, xpnn.Adam(), batches))
    np.testing.assert_array_equal(results[0][0].params, results[1][0].params)
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_the_numbers_do_not_depend_on_whether_anyone_was_awake(dtype, rng, shared, monkeypatch):
    shared(2)
    network, loss = xpnn.mlp([5, 40, 7, 3], hidden="gelu", output="softmax"), xpnn.CategoricalCrossentropy()
    batches = ragged(rng, dtype, weighted=True, sizes=(128, 101) * 20)
    together = steps(network, loss, xpnn.Adam(), batches)
    monkeypatch.setattr(Team, "wake", lambda self, *others: None)
    alone = steps(network, loss, xpnn.Adam(), batches)
    np.testing.assert_array_equal(together[0].params, alone[0].params)
    np.testing.assert_array_equal(together[1], alone[1])


def test_a_step_does_not_depend_on_who_is_tried(dtype, rng, shared, monkeypatch):
    """While it is found out whether others help, some steps are theirs too and some are not."""
    shared(2)
    network, loss = xpnn.mlp([5, 40, 7, 3], hidden="gelu", output="softmax"), xpnn.CategoricalCrossentropy()
    batches = ragged(rng, dtype, weighted=True, sizes=(128, 101) * 60)
    monkeypatch.setattr(trial, "SETTLE", (0.0, 0))
    ways, woken, end, wake = [], [], trial.Trial.end, Team.wake
    monkeypatch.setattr(trial.Trial, "end", lambda self: ways.append(self.costly) or end(self))
    monkeypatch.setattr(Team, "wake", lambda self, others: woken.append(others) or wake(self, others))
    tried = steps(network, loss, xpnn.Adam(), batches)
    assert set(ways) == {True, False}
    assert len(ways) == len(batches)
    assert woken == ways
    monkeypatch.setattr(Team, "wake", lambda self, *others: None)
    alone = steps(network, loss, xpnn.Adam(), batches)
    np.testing.assert_array_equal(tried[0].params, alone[0].params)
    np.testing.assert_array_equal(tried[1], alone[1])


def test_without_products_there_is_no_team_as_they_would_be_left_to_one_thread(monkeypatch):
    monkeypatch.setattr(gemm, "_small", dict)
    assert not together.available()
    assert stepping.Steps(lambda xp, state, x: state[0], np, work=10**6)._shared is not None
    compiled = together.Together(lambda xp, state, x: state[0], np)
    compiled.use(2)
    assert compiled._team is None


def test_small_steps_wake_nobody(rng, monkeypatch):
    woken = []
    monkeypatch.setattr(blas.threads, "count", lambda: 2)
    monkeypatch.setattr(Team, "wake", lambda self, *others: woken.append(self.lanes))
    network, loss = xpnn.mlp([5, 9, 3], output="softmax"), xpnn.CategoricalCrossentropy()
    steps(network, loss, xpnn.Adam(), ragged(rng, "float64", weighted=False, sizes=(128, 128)))
    assert not woken


def test_predictions_of_a_team(dtype, rng, monkeypatch):
    from xpnn.compiler import rows

    network = xpnn.mlp([50, 200, 3], hidden="elu", output="softmax")
    X = rng.normal(size=(1500, 50)).astype(dtype)
    model = xpnn.Model(network, network.init(0, like=X), "categorical_crossentropy")
    expected = model.predict(X)  # the first of its number of rows runs call by call
    monkeypatch.setattr(rows, "WORTH", 1)
    monkeypatch.setattr(together, "Exchange", None)  # there is nothing to exchange
    monkeypatch.setattr(blas.threads, "count", lambda: 2)
    woken, wake = [], Team.wake
    monkeypatch.setattr(Team, "wake", lambda self, *others: woken.append(self.lanes) or wake(self, *others))
    for _ in range(2):
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-6)
    assert woken == [2, 2]


def test_another_number_of_threads_is_another_team(shared):
    shared(2)

    def function(xp, state, x):
        (p,) = state
        p += xp.sum(x * 2.0 + 1.0, axis=0)
        return p

    compiled = together.Together(function, np)
    assert compiled._team is None
    compiled.use(2)
    first = compiled._team
    compiled.use(2)
    assert compiled._team is first
    x, lanes = np.ones((400, 3)), []
    for count in (2, 1, 3, 2):
        compiled.use(count)
        compiled((np.zeros(3),), x)
        (program,) = compiled.programs.values()
        assert program is compiled._latest
        lanes.append(program.source.count(f"Sequence(team, {count},"))
    assert [each > 0 for each in lanes] == [True, False, True, True]
    compiled.use(3)
    assert compiled._team.lanes == 3
    compiled.use(1)
    assert compiled._team is None


def test_a_team_goes_with_its_program(count):
    members = Team(2)
    parts = Parts(members, count)
    members.wake()
    parts.done(100)
    gone = weakref.ref(members)
    del members, parts
    gc.collect()
    until(lambda: gone() is None)  # once its thread has fallen asleep
