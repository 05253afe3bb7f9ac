"""Decide where the values of a recording lie in memory, and which calls run together over blocks of rows.

- What depends on nothing that changes is worked out once: a *constant*.
- Every other new array gets a fixed place, a *slot*, used again once nothing needs what it held: in place where an
  element-wise call is the last to read it. Arrays that are joined are made where the joined array has them, so that
  joining costs nothing.
- Element-wise calls one after the other over the same rows form a *group*, run block by block while the block is in
  the processor's cache; what lives only within a group needs the memory of one block, its *scratch*.
- Where LLVM is here, a *chain* of such calls that machine code can do at once is a group of its own instead: see
  `xpnn.compiler.kernels`. What lives only within a chain has no memory at all.
- What the function returns is a new array each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import llvm
from xpnn.compiler.chains import Chain
from xpnn.compiler.planner import Planner
from xpnn.compiler.recording import Call, Number, Recording, Value, flat
from xpnn.compiler.regions import Region, Work, arrange, exchanged, spread
from xpnn.compiler.shares import CannotShare, Shares

BLOCK = 1 << 15
"""Elements of the widest array in a block: several such fit into a core's second-level cache."""

LARGE_BLOCK = 1 << 18
"""The same where several threads work: they meet between two calls, so there should not be too many."""


@dataclass(eq=False)
class Group:
    """Calls that run together: over `n` rows in blocks of `rows`, or all at once if `rows` is 0.

    Those of a `chain` are done by machine code.
    """

    calls: list[Call]
    n: int = 0
    rows: int = 0
    chain: Chain | None = None
    region: Region | None = None


class Plan:
    """The plan for one recording.

    Parameters
    ----------
    recording : Recording
    shares : Shares, optional
        How it is shared out among threads. Memory then goes on only from rows to the same rows: no thread may write
        where another still reads.
    chained : bool
        Whether there are to be chains, where LLVM is here.
    lanes : int
        How many there can be in a region; 0: no regions.
    streams : bool
        Whether what they make for each other is streamed; see `xpnn.compiler.streams`.

    Attributes
    ----------
    constants : dict of Value to ndarray
    escaping : set of Value
        The owners of what the function returns, apart from its inputs.
    groups : list of Group
        All other work in order. Views and numbers are in none.
    parts : dict of Value to (Value, int)
        What is made inside a joined array: in which one, and from which element on.
    slots : dict of Value to int
        The slot of every owner that has a fixed place.
    scratch : dict of Value to int
        Instead of it, for what lives within a group, the number of the block of scratch memory.
    registers : set of Value
        What lives within a chain, without memory.
    sizes : list of int
        The bytes of each slot.
    order : list of Region and Work
        All of it once more, where several lanes do it; see `xpnn.compiler.regions`.
    streamed : set of Value
        What is given and written over past the caches.
    spread : dict of int to (int, int)
        Slots of which each lane touches its own rows only: for how many lanes, and bytes between what they touch.
    """

    def __init__(
        self,
        recording: Recording,
        shares: Shares | None = None,
        *,
        chained: bool = True,
        lanes: int = 0,
        streams: bool = False,
    ) -> None:
        self._with_chains = chained and llvm.available()
        self._alone = 0 if lanes else 1  # calls that NumPy does sooner than machine code
        self.recording = recording
        self.shares = shares
        self.streams = streams
        self._state = {each for each in flat(recording.inputs[:1]) if isinstance(each, Value)}
        self.inputs = {each for each in flat(recording.inputs) if isinstance(each, Value)}
        self.escaping = {each.owner for each in flat(recording.outputs) if isinstance(each, Value)} - self.inputs
        self.constants: dict[Value, NDArray[Any]] = {}
        self._find_constants()
        self._late = self._find_late() if lanes else set()
        calls = recording.calls if shares is None else shares.order()
        work = [c for c in calls if c.kind not in ("view", "number") and c.result not in self.constants]
        self.parts: dict[Value, tuple[Value, int]] = {}
        work = self._join(work)
        self._makers = {call.result: call for call in calls if self.fixed(call)}
        self.order: list[Region | Work] = []
        self.streamed: set[Value] = set()
        if lanes:
            joined: defaultdict[Value, list[tuple[Value, int]]] = defaultdict(list)
            for part, (whole, first) in self.parts.items():
                joined[whole].append((part, first))
            planner = Planner(self._place, self._reachable, self.late, self._makes, joined, lanes, streams=streams)
            works = [each for group in self._chained(work) for each in planner.works(group.calls, group.chain)]
            self.order = arrange(works, lanes)
            self.groups = _groups(self.order)
            self.streamed = exchanged(self.order) & self._state if streams else set()
        elif shares is None:
            self.groups = _blocked(self._chained(work))
        else:
            if shares.join in work:
                raise CannotShare("the gradient is needed in parts as well")
            rows = [call for call in work if call in shares.rows]
            update = self._chained(shares.update)
            if any(group.chain is None for group in update):
                size = shares.join.result.array.size  # type: ignore[union-attr]
                update = [Group(shares.update, size, LARGE_BLOCK)]
            before = [Group([call]) for call in work if call in shares.first]
            sums = [Group([call]) for call in work if call in shares.sums]
            last = [Group([call]) for call in work if call in shares.last]
            self.groups = [*before, *self._chained(rows), *sums, *update, *last]
        views = (call.result for call in recording.calls if call.kind == "view")
        self._viewed = {view.owner for view in views if isinstance(view, Value)}
        self.slots: dict[Value, int] = {}
        self.scratch: dict[Value, int] = {}
        self.registers: set[Value] = set()
        self.sizes: list[int] = []
        self._assign()
        self.spread = spread(self.order, self.slots, {whole for whole, _ in self.parts.values()})

    def home(self, value: Value) -> Value:
        """Whose memory the value lies in, once joined."""
        owner = value.owner
        return self.parts[owner][0] if owner in self.parts else owner

    def _place(self, value: Value) -> tuple[Value, int]:
        """The same, and from which byte of it on it lies there."""
        owner = value.owner
        if owner not in self.parts:
            return owner, value.start
        whole, first = self.parts[owner]
        return whole, first * owner.array.itemsize + value.start

    def fixed(self, call: Call) -> bool:
        """Whether the result is a new array that is given a place."""
        new = isinstance(call.result, Value) and not call.in_place
        return new and call.kind != "other" and call.result not in self.escaping

    def _chained(self, work: list[Call]) -> list[Group]:
        """A group for each chain of calls that machine code can do, and one for each other call."""
        if not self._with_chains:
            return [Group([call]) for call in work]
        groups: list[Group] = []
        for call in work:
            if groups and groups[-1].chain is not None and groups[-1].chain.add(call):
                continue
            chain = Chain(self._reachable, self.home)
            groups.append(Group(chain.calls, chain=chain) if chain.add(call) else Group([call]))
        return [group if len(group.calls) > self._alone else Group(group.calls) for group in groups]

    def _reachable(self, value: Value) -> bool:
        """Whether the value has the same memory at every run."""
        if value in self.constants:
            return bool(self.constants[value].flags.c_contiguous)
        known = value.owner in self._state or value.owner in self._makers or value.owner in self.parts
        return known or self.late(value)

    def _makes(self, value: Value) -> bool:
        """Whether it is made anew at every run, in memory that is its own."""
        return value.owner in self._makers and value.owner not in self.parts

    def late(self, value: Value) -> bool:
        """Whether a region gets to know the value each time it is begun."""
        return value in self._late

    def _find_late(self) -> set[Value]:
        """What is given and only read, and what is returned and made in one piece."""
        calls = self.recording.calls
        written = {call.result for call in calls if call.in_place}
        made = {call.result for call in calls if not call.in_place and call.kind not in ("view", "other", "number")}
        given = {each for each in self.inputs - self._state - written if each.kind is np.ndarray}
        return given | (self.escaping & made)

    def _find_constants(self) -> None:
        calls = self.recording.calls
        written = {c.result.owner for c in calls if c.in_place and isinstance(c.result, Value)}
        made = {c.result for c in calls}
        for call in calls:
            for each in call.reads:  # plain arrays that the function holds
                if each not in made and each not in self.inputs:
                    self.constants[each] = each.array
            result = call.result
            if isinstance(result, Number) or result.owner in written | self.escaping:
                continue
            leaves = flat((call.arguments, call.options))
            if not any(isinstance(a, Number) or (isinstance(a, Value) and a not in self.constants) for a in leaves):
                self.constants[result] = perform(call, self.constants.__getitem__)

    def _join(self, work: list[Call]) -> list[Call]:
        """Make what is joined where the joined array has it, if nothing needs the parts by themselves later.

        Returns the work without the joins that this does.
        """
        last = {each.owner: i for i, call in enumerate(work) for each in _touched(call)}
        made = {call.result for call in work if self.fixed(call)}
        done = []
        for i, call in enumerate(work):
            if call.kind != "join" or not self.fixed(call):
                continue
            parts: list[Value] = call.arguments[0]
            owners = [part.owner for part in parts]
            alone = len(set(owners)) == len(owners) and not any(owner in self.parts for owner in owners)
            if alone and all(p.whole and p.owner in made and last[p.owner] == i for p in parts):
                start = 0
                for owner in owners:
                    self.parts[owner] = call.result, start  # type: ignore[assignment]
                    start += owner.array.size
                done.append(call)
        return [call for call in work if call not in done]

    def _assign(self) -> None:
        """Give every new array a slot or a scratch block; those of arrays that nothing needs any more go on."""
        order = [call for group in self.groups for call in group.calls]
        death = {self.home(each): i for i, call in enumerate(order) for each in _touched(call)}
        if self.shares is not None:
            lasting = (*self.shares.first, *self.shares.sums)  # one lane may be done with them before another
            death |= {self.home(each): len(order) for call in lasting for each in _touched(call)}
        free: list[int] = []
        start = 0
        for region, groups in groupby(self.groups, attrgetter("region")):
            freed: list[int] = []
            for group in groups:
                freed += self._assign_group(group, start, death, free)
                start += len(group.calls)
                if region is None:
                    free += freed
                    freed = []
            free += freed  # in a region, one lane may still need what another has done with

    def _assign_group(self, group: Group, start: int, death: dict[Value, int], free: list[int]) -> list[int]:
        """Give those of a group theirs; the slots that are free once it is done."""
        end = start + len(group.calls)
        spare: defaultdict[Any, list[int]] = defaultdict(list)  # scratch blocks that are free, by what fits
        blocks = count()
        freed: list[int] = []
        for i, call in enumerate(group.calls, start):
            dying = {home for home in map(self.home, call.reads) if death[home] == i}
            new = self._homeless(call)
            over = new is call.result and _may_write_over(call)
            leaving = dying & self.scratch.keys()
            if over:
                self._release(leaving, spare)
            passing = new is not None and new is call.result and death[new] < end and new not in self._viewed
            if new is not None and passing and group.chain is not None:
                self.registers.add(new)
            elif new is not None and passing and group.rows:
                fitting = spare[_row(new)]
                self.scratch[new] = fitting.pop() if fitting else next(blocks)
            elif new is not None:
                # a kernel may still read other rows of what has been viewed
                kept = self._viewed if group.chain is not None else ()
                twins = (v for v in call.reads if over and v in dying and v not in kept and self._twins(v, new))
                if group.region is not None:  # another lane may still read it
                    twins = (v for v in twins if group.region.alike(v, new))
                twin = next(twins, None)
                if twin is None:
                    self.slots[new] = self._take(new.array.nbytes, free)
                else:
                    self.slots[new] = self.slots[twin]
                    dying.remove(twin)
            if not over:
                self._release(leaving, spare)
            freed += [self.slots[each] for each in dying & self.slots.keys()]
            if not (group.rows or group.chain or group.region):  # there, all is needed until the last row is done
                free += freed
                freed = []
        return freed

    def _homeless(self, call: Call) -> Value | None:
        """Whose memory the call needs, if it has none yet."""
        if not self.fixed(call) or not isinstance(call.result, Value):
            return None
        home = self.home(call.result)
        return None if home in self.slots or home in self.scratch or home in self.registers else home

    def _twins(self, one: Value, other: Value) -> bool:
        """Whether the other can take the slot of the one, element by element."""
        same = one.array.shape == other.array.shape and one.array.dtype == other.array.dtype
        return same and one in self.slots

    def _release(self, values: set[Value], spare: dict[Any, list[int]]) -> None:
        for each in values:
            spare[_row(each)].append(self.scratch[each])

    def _take(self, nbytes: int, free: list[int]) -> int:
        most = nbytes if self.shares else 4 * nbytes + 1024
        fitting = [slot for slot in free if nbytes <= self.sizes[slot] <= most]
        if fitting:
            slot = min(fitting, key=self.sizes.__getitem__)
            free.remove(slot)
            return slot
        self.sizes.append(nbytes)
        return len(self.sizes) - 1


def _groups(order: list[Region | Work]) -> list[Group]:
    """What is done in that order; what is done in two parts twice, as it needs its memory until the second."""
    groups = []
    for each in order:
        region = each if isinstance(each, Region) else None
        works = [each] if isinstance(each, Work) else each.works
        groups += [Group(w.calls, chain=w.chain, region=region) for w in works]
    return groups


def _touched(call: Call) -> list[Value]:
    return [each for each in (*call.reads, call.result) if isinstance(each, Value)]


def _may_write_over(call: Call) -> bool:
    """Whether the result may lie where an argument of the same shape does."""
    return call.kind == "elementwise" and isinstance(call.function, np.ufunc)


def _row(value: Value) -> tuple[Any, ...]:
    return value.array.dtype, value.array.shape[1:]


def _blocked(singles: list[Group]) -> list[Group]:
    """Neighbouring calls over the same rows together, in blocks if their arrays are larger than two; chains as is."""
    groups: list[Group] = []
    made = {call.result for group in singles for call in group.calls}
    for single in singles:
        n = 0 if single.chain is not None else _rows(single.calls[0])
        if n and groups and groups[-1].n == n:
            groups[-1].calls += single.calls
        else:
            groups.append(single)
            single.n = n
    for group in groups:
        if group.n:
            width = max(each.array.size // group.n for call in group.calls for each in (*call.reads, call.result)
                        if isinstance(each, Value) and each.array.shape[:1] == (group.n,))  # fmt: skip
            rows = max(1, BLOCK // max(1, width))
            if rows * 2 <= group.n and _block_by_block(group, made):
                group.rows = rows
    return groups


def _block_by_block(group: Group, made: set[Value | Number]) -> bool:
    """Whether no block reads other rows of what may be written over by the block before."""
    written = {call.result.owner for call in group.calls if isinstance(call.result, Value)} | made
    return all(each.aligned or each.owner not in written for call in group.calls for each in call.reads)


def _rows(call: Call) -> int:
    """How many rows the call treats one by one, 0 if it does not."""
    if not isinstance(call.result, Value) or not call.result.array.ndim:
        return 0
    shape = call.result.array.shape
    if call.kind == "reduce":
        (x,) = call.reads
        if x.array.ndim != 2 or call.options["axis"] not in (1, -1):
            return 0
    elif call.kind != "elementwise":
        return 0
    for each in call.reads:
        other = each.array.shape
        aligned = len(other) == len(shape) or call.kind == "reduce"
        if not (aligned and other[:1] in ((shape[0],), (1,))) and len(other) >= len(shape):
            return 0
    return shape[0] if shape[0] > 1 else 0


def perform(call: Call, get: Callable[[Value], NDArray[Any]]) -> NDArray[Any]:
    """Do a call for real, into a new array."""

    def of(leaf: Any) -> Any:
        if isinstance(leaf, Value):
            return get(leaf)
        if isinstance(leaf, tuple | list):
            return type(leaf)(map(of, leaf))
        return leaf

    arguments = [of(each) for each in call.arguments]
    options = {name: of(each) for name, each in call.options.items()}
    if call.kind == "reduce":
        return np.asarray(call.function.reduce(*arguments, **options))  # type: ignore[attr-defined]
    if call.kind == "elementwise":
        assert isinstance(call.result, Value)
        out = np.empty(call.result.array.shape, call.result.array.dtype)
        call.function(*arguments, out=out)
        return out
    return np.asarray(call.function(*arguments, **options))
