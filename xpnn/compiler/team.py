"""Work in parts, each on a thread of its own, with nothing of Python in between.

A *part* is a call of a function of machine code with a table of what it works on. `Team.fork` says what parts there
are, does the first, and comes back when all are done; one that no other thread has taken by then it does itself. So
it never waits for a thread to wake up, and what is computed does not depend on whether one did; nor on whether it is
told to do all parts itself (`wake`). Else the others look out for parts without falling asleep while a training goes
on: waking up takes longer than a small matrix product.

Needs what `xpnn.compiler.llvm` needs, an x86 processor, and threads of POSIX.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any
from weakref import WeakSet

from xpnn.compiler import llvm, parallel

SPIN = 1_000_000
"""Ticks of the processor's clock in which a thread looks out for parts all the time: less than a millisecond."""

STAY = 100 * SPIN
"""Ticks after which it falls asleep, until a step wakes it up; before that it naps."""

NAP = 50
"""Microseconds."""

LOOKS = 256
"""A power of two. After so many a thread lets those go first that want its processor."""

STINT = 100_000
"""Ticks after which it does so between two parts, too: else it might have to in the middle of one."""

_BOX = 256
"""Bytes of what two threads tell each other of a part: its state, and, in other cache lines, function and table, and
how many have been done. As many come before all boxes: whether all parts are to be done without others."""

_CALLS = """
declare void @llvm.x86.sse2.pause()
declare i64 @llvm.readcyclecounter()
declare i32 @xpnn_sched_yield()
declare i32 @xpnn_usleep(i32)
define internal void @yield() alwaysinline {{
  call i32 @xpnn_sched_yield()
  ret void
}}
define internal void @pause(i64 %look) alwaysinline {{
  call void @llvm.x86.sse2.pause()
  %since = urem i64 %look, {looks}
  %last = icmp eq i64 %since, {last}
  br i1 %last, label %polite, label %end
polite:
  call void @yield()
  br label %end
end:
  ret void
}}
"""

# %table: the boxes, the number of parts, the function, and a table for each part
_FORK = (
    _CALLS
    + """
define internal ptr @box(ptr %boxes, i64 %i) alwaysinline {{
  %before = sub i64 %i, 1
  %bytes = mul i64 %before, {box}
  %box = getelementptr i8, ptr %boxes, i64 %bytes
  ret ptr %box
}}
define void @kernel(ptr %table) {{
entry:
  %boxes = load ptr, ptr %table
  %at.count = getelementptr i64, ptr %table, i64 1
  %count = load i64, ptr %at.count
  %at.function = getelementptr i64, ptr %table, i64 2
  %function = load ptr, ptr %at.function
  %parts = getelementptr i64, ptr %table, i64 3
  %at.alone = getelementptr i8, ptr %boxes, i64 -{box}
  %alone = load i64, ptr %at.alone
  %others = icmp eq i64 %alone, 0
  br i1 %others, label %offer, label %all
all:
  %k = phi i64 [0, %entry], [%k.next, %all]
  %k.at = getelementptr ptr, ptr %parts, i64 %k
  %k.part = load ptr, ptr %k.at
  call void %function(ptr %k.part)
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %count
  br i1 %k.more, label %all, label %end
offer:
  %i = phi i64 [1, %entry], [%i.next, %offer]
  %i.at = getelementptr ptr, ptr %parts, i64 %i
  %i.part = load ptr, ptr %i.at
  %i.box = call ptr @box(ptr %boxes, i64 %i)
  %i.function = getelementptr i8, ptr %i.box, i64 64
  store ptr %function, ptr %i.function
  %i.table = getelementptr i8, ptr %i.box, i64 72
  store ptr %i.part, ptr %i.table
  store atomic i64 {offered}, ptr %i.box release, align 8
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i.next, %count
  br i1 %i.more, label %offer, label %first
first:
  %own = load ptr, ptr %parts
  call void %function(ptr %own)
  br label %finish
finish:
  %j = phi i64 [1, %first], [%j.next, %finished]
  %j.box = call ptr @box(ptr %boxes, i64 %j)
  %swap = cmpxchg ptr %j.box, i64 {offered}, i64 {nothing} acq_rel acquire
  %left = extractvalue {{i64, i1}} %swap, 1
  br i1 %left, label %instead, label %look
instead:
  %j.at = getelementptr ptr, ptr %parts, i64 %j
  %j.part = load ptr, ptr %j.at
  call void %function(ptr %j.part)
  br label %finished
look:
  %looks = phi i64 [0, %finish], [%looks.next, %again]
  %state = load atomic i64, ptr %j.box acquire, align 8
  %done = icmp eq i64 %state, {done}
  br i1 %done, label %finished, label %again
again:
  call void @pause(i64 %looks)
  %looks.next = add i64 %looks, 1
  br label %look
finished:
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j.next, %count
  br i1 %j.more, label %finish, label %end
end:
  ret void
}}
"""
)

_SERVE = (
    _CALLS
    + """
define void @kernel(ptr %box, i64 %spin, i64 %stay) {{
entry:
  %begun = call i64 @llvm.readcyclecounter()
  br label %look
look:
  %since = phi i64 [%begun, %entry], [%since, %spinning], [%since, %napping], [%finished, %worked]
  %looks = phi i64 [0, %entry], [%looks.next, %spinning], [0, %napping], [0, %worked]
  %stint = phi i64 [%begun, %entry], [%stint, %spinning], [%now, %napping], [%stint.next, %worked]
  %state = load atomic i64, ptr %box acquire, align 8
  %there = icmp eq i64 %state, {offered}
  br i1 %there, label %take, label %wait
take:
  %swap = cmpxchg ptr %box, i64 {offered}, i64 {taken} acq_rel acquire
  %mine = extractvalue {{i64, i1}} %swap, 1
  br i1 %mine, label %work, label %wait
work:
  %at.function = getelementptr i8, ptr %box, i64 64
  %function = load ptr, ptr %at.function
  %at.table = getelementptr i8, ptr %box, i64 72
  %table = load ptr, ptr %at.table
  call void %function(ptr %table)
  %at.count = getelementptr i8, ptr %box, i64 128
  %count = load i64, ptr %at.count
  %counted = add i64 %count, 1
  store i64 %counted, ptr %at.count
  store atomic i64 {done}, ptr %box release, align 8
  %finished = call i64 @llvm.readcyclecounter()
  %worked.for = sub i64 %finished, %stint
  %enough = icmp sgt i64 %worked.for, {stint}
  br i1 %enough, label %rest, label %worked
rest:
  call void @yield()
  br label %worked
worked:
  %stint.next = phi i64 [%stint, %work], [%finished, %rest]
  br label %look
wait:
  %now = call i64 @llvm.readcyclecounter()
  %idle = sub i64 %now, %since
  %quiet = icmp sgt i64 %idle, %spin
  br i1 %quiet, label %nap, label %spinning
spinning:
  call void @pause(i64 %looks)
  %looks.next = add i64 %looks, 1
  br label %look
nap:
  %late = icmp sgt i64 %idle, %stay
  br i1 %late, label %end, label %napping
napping:
  call i32 @xpnn_usleep(i32 {nap})
  br label %look
end:
  ret void
}}
"""
)


@cache
def _functions() -> tuple[Callable[[int], None], Callable[[int, int, int], None]]:
    """What offers parts, and what looks out for them."""
    library = ctypes.CDLL(None)
    words: dict[str, Any] = {"box": _BOX, "looks": LOOKS, "last": LOOKS - 1, "stint": STINT, "nap": NAP}
    words |= {"nothing": 0, "offered": 1, "taken": 2, "done": 3}
    i, p = ctypes.c_int64, ctypes.c_void_p
    calls = {f"xpnn_{name}": ctypes.cast(getattr(library, name), p).value or 0 for name in ("sched_yield", "usleep")}
    return llvm.compiled(_FORK.format(**words), p, **calls), llvm.compiled(_SERVE.format(**words), p, i, i, **calls)


@cache
def available() -> bool:
    """Whether there can be teams."""
    if platform.machine() not in ("x86_64", "AMD64") or not llvm.available():
        return False
    try:
        _functions()
    except (llvm.CannotCompile, OSError, AttributeError, TypeError):  # no POSIX
        return False
    return True


class Team:
    """Threads that do parts of what one thread has to do.

    Parameters
    ----------
    lanes : int
        How many, at least 2, with the one that has to do it.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.fork, self._serve = _functions()  # fork(table), as `table` makes it
        self._memory = (ctypes.c_int64 * (_BOX // 8 * lanes + 8))()
        start = ctypes.addressof(self._memory)
        self._boxes = start + -start % 64 + _BOX
        self._alone = ctypes.c_int64.from_address(self._boxes - _BOX)
        self._served = [False] * (lanes - 1)
        _teams.add(self)

    def table(self, keep: list[Any], function: Callable[[int], None], parts: Sequence[int]) -> int:
        """The address of a table for `fork`: the function's tables, one for each of two parts or more."""
        assert 2 <= len(parts) <= self.lanes
        address = ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
        entries = (ctypes.c_int64 * (3 + len(parts)))(self._boxes, len(parts), address, *parts)
        keep.append((entries, function, self))
        return ctypes.addressof(entries)

    def done(self) -> int:
        """How many parts the others have done."""
        boxes = range(self._boxes, self._boxes + _BOX * (self.lanes - 1), _BOX)
        return sum(ctypes.c_int64.from_address(box + 128).value for box in boxes)

    @property
    def helps(self) -> bool:
        """Whether others are to do parts."""
        return not self._alone.value

    def wake(self, others: bool = True) -> None:
        """See to it that others look out for parts, if there can be any more threads; or one does all."""
        self._alone.value = not others
        if not others:
            return
        for i, served in enumerate(self._served):
            if not served:
                self._served[i] = True  # and where there is no thread for it, it is not tried again
                try:
                    parallel.start(partial(self._look_out, i))
                except BaseException:
                    self._served[i] = False
                    raise

    def _look_out(self, i: int, worker: parallel.Worker) -> None:
        """Do those parts that are offered in a box, until there have been none for a while."""
        self._serve(self._boxes + _BOX * i, SPIN, STAY)
        worker.rest()
        self._served[i] = False

    def forget(self) -> None:
        """The other threads are gone."""
        self._served = [False] * (self.lanes - 1)


_teams: WeakSet[Team] = WeakSet()


def _forget() -> None:
    """In a child process, which has none of its parent's threads."""
    for team in _teams:
        team.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
