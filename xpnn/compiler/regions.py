"""Which calls can be done one after the other by several lanes that do not wait for each other in between.

A *region* is a sequence of such calls, all of machine code. Each call is shared out: every lane does some of its
rows. Two calls of a region may touch the same memory only if each lane touches its own part of it in both, or only
the first lane does, or if both only read it; else the second has to wait for the next region. What Python has to do
is done between two regions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from xpnn.compiler.chains import Chain
from xpnn.compiler.recording import Call, Value
from xpnn.compiler.sequence import Piece, cuts
from xpnn.compiler.streams import LINE

ALL, FIRST, PARTIAL = "all", "first", "partial"
"""Ways to touch memory: every lane all of it, the first lane alone, or that one its part of a sum while the others
have theirs elsewhere. Else it is (start, bytes of a row, rows)."""

AHEAD = 64, 1 << 17
"""Rows, and bytes at most, that are fetched ahead: some 60 rows of up to a kilobyte were seen to be, 40 of two."""


@dataclass(frozen=True)
class Access:
    """What a call does with memory: a range of bytes of a home."""

    home: Value
    start: int
    stop: int
    how: Any
    writes: bool

    def meets(self, other: Access) -> bool:
        """Whether the order of the two matters."""
        return (self.writes or other.writes) and self.start < other.stop and other.start < self.stop

    def apart(self, other: Access) -> bool:
        """Whether no lane needs what another one does."""
        return self.how == other.how and self.how not in (ALL, PARTIAL)


@dataclass(eq=False)
class Work:
    """Calls that are done in one go.

    Attributes
    ----------
    how : str
        By which method of a sequence, such as ``product``; ``""``: by Python.
    cost : float
        How many lanes are worth it.
    pieces : tuple of Piece
        Of chains and of what is added up: what is shared out, one after the other.
    copies : dict of Value to Value
        What is streamed, or read as a copy that has been.
    """

    calls: list[Call]
    how: str = ""
    chain: Chain | None = None
    accesses: list[Access] = field(default_factory=list)
    cost: float = 0.0
    pieces: tuple[Piece, ...] = ()
    copies: dict[Value, Value] = field(default_factory=dict)


@dataclass(eq=False)
class Region:
    """Works that follow each other without waiting, and the number of lanes for them."""

    works: list[Work] = field(default_factory=list)
    lanes: int = 1

    def alike(self, one: Value, other: Value) -> bool:
        """Whether each lane touches the same rows of both homes, and no others."""
        return self.lanes == 1 or (self._hows[one] == self._hows[other] and not self._hows[one] & {ALL, PARTIAL})

    @cached_property
    def _hows(self) -> defaultdict[Value, set[Any]]:
        hows: defaultdict[Value, set[Any]] = defaultdict(set)
        for work in self.works:
            for each in work.accesses:
                hows[each.home].add(each.how)
        return hows


class _Touched:
    """The accesses of some works."""

    def __init__(self) -> None:
        self._of: defaultdict[Value, tuple[list[Access], list[Access]]] = defaultdict(lambda: ([], []))

    def add(self, accesses: Iterable[Access]) -> None:
        for each in accesses:
            self._of[each.home][each.writes].append(each)

    def met(self, accesses: Iterable[Access]) -> Iterable[tuple[Access, Access]]:
        """The pairs whose order matters."""
        for mine in accesses:
            if mine.home in self._of:
                reads, writes = self._of[mine.home]
                for other in (*writes, *reads) if mine.writes else writes:
                    if mine.meets(other):
                        yield mine, other


def arrange(works: list[Work], lanes: int) -> list[Work | Region]:
    """Put the works into an order of few regions, with what Python does between them."""
    order: list[Work | Region] = []
    while works:
        region, ahead, later = Region(), [], []
        inside, after = _Touched(), _Touched()
        for work in works:
            free = not any(after.met(work.accesses))
            if free and not work.how and not any(inside.met(work.accesses)):
                ahead.append(work)
            elif free and work.how and all(one.apart(other) for one, other in inside.met(work.accesses)):
                region.works.append(work)
                inside.add(work.accesses)
            else:
                later.append(work)
                after.add(work.accesses)
        region.lanes = max(1, min(lanes, int(sum(work.cost for work in region.works))))
        order += ahead
        before = order[-1] if order else None
        if isinstance(before, Region) and before.lanes == region.lanes == 1:
            before.works += region.works
        elif region.works:
            order.append(region)
        works = later
    return order


def exchanged(order: list[Work | Region]) -> set[Value]:
    """Whose memory all lanes read."""
    shared = [each for each in order if isinstance(each, Region) and each.lanes > 1]
    accesses = (access for region in shared for work in region.works for access in work.accesses)
    return {each.home for each in accesses if each.how == ALL and not each.writes}


def spread(order: list[Work | Region], slots: Mapping[Value, int], joined: set[Value]) -> dict[int, tuple[int, int]]:
    """The slots of which each lane touches its own rows only: for how many lanes, and what to leave between these.

    What processors fetch ahead is beyond the rows of one lane what another one is about to write. What is joined has
    to lie in one piece.
    """
    found: defaultdict[int, set[Any]] = defaultdict(set)
    for whole in joined & slots.keys():
        found[slots[whole]].add(None)
    for each in order:
        lanes, works = (each.lanes, each.works) if isinstance(each, Region) else (1, [each])
        for access in (access for work in works for access in work.accesses if access.home in slots):
            start, row, n = access.how if isinstance(access.how, tuple) else (0, 0, 0)
            fits = access.home.array.nbytes == n * row and start < row
            found[slots[access.home]].add((lanes, row, n) if fits else None)
    result = {}
    for slot, ways in found.items():
        way = next(iter(ways))
        if len(ways) == 1 and way is not None and len(cuts(way[2], way[0])) > 1:
            lanes, row, _ = way
            result[slot] = lanes, -(-min(AHEAD[0] * row, AHEAD[1]) // LINE) * LINE
    return result
