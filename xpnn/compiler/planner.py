"""By what the calls of a recording can be done, and what memory they touch: what `xpnn.compiler.regions` arranges.

Sums over rows, the gradients of the parameters above all, are made in two parts where this moves less memory: each
lane adds up its own rows, which are in its cache, and in the next region what the lanes have is added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import gemm, loops, sequence
from xpnn.compiler.chains import Chain
from xpnn.compiler.recording import Call, Value
from xpnn.compiler.regions import ALL, FIRST, PARTIAL, Access, Work
from xpnn.compiler.sequence import Piece, cuts

PART = 1 << 19
"""Multiplications of a product times bytes of a number that a lane should have to do: some two microseconds."""

CHAIN = 1 << 17
"""The same of element-wise calls: elements times calls times bytes."""

FUNCTION = 8
"""How many calls of a chain a function such as exp takes as long as."""


class Planner:
    """Finds out by what calls can be done, and what memory they touch.

    Parameters
    ----------
    home : callable
        ``home(value)``: whose memory it lies in, and from which byte on.
    reachable : callable
        Whether the memory of a value is known before a region is begun.
    late : callable
        Whether it is another one each time.
    made : callable
        Whether it is one that is made anew each time, in the same memory.
    parts : mapping
        Of what is joined, the values that are made inside it, and from which element on.
    lanes : int
    streams : bool
        Whether what lanes make for each other is streamed: see `xpnn.compiler.streams`.
    """

    def __init__(
        self,
        home: Callable[[Value], tuple[Value, int]],
        reachable: Callable[[Value], bool],
        late: Callable[[Value], bool],
        made: Callable[[Value], bool],
        parts: Mapping[Value, list[tuple[Value, int]]],
        lanes: int,
        *,
        streams: bool = False,
    ) -> None:
        self._home, self._reachable, self._late, self._made = home, reachable, late, made
        self._parts, self._lanes, self._streams = parts, lanes, streams

    def works(self, calls: list[Call], chain: Chain | None) -> list[Work]:
        """What is to be done for a chain, or for one call."""
        if chain is not None:
            return [self._chain(calls, chain)]
        (call,) = calls
        of: dict[str, Callable[[Call], list[Work] | None]] = {
            "elementwise": self._elementwise,
            "product": self._product,
            "reduce": self._reduce,
            "inner": self._inner,
        }
        return (of[call.kind](call) if call.kind in of else None) or [self._python(call)]

    def _python(self, call: Call) -> Work:
        touched = [self._access(each, ALL) for each in call.reads]
        assert isinstance(call.result, Value)
        return Work([call], accesses=[*touched, self._access(call.result, ALL, writes=True)])

    def _chain(self, calls: list[Call], chain: Chain) -> Work:
        written = {call.result for call in calls}
        touched = {each: None for call in calls for each in (*call.reads, call.result) if isinstance(each, Value)}
        pieces = self._pieces(chain, touched)
        accesses = []
        for each in touched:
            own = each.array.ndim == chain.ndim and each.array.shape[:1] == (chain.n,)
            if own and pieces != ((0, chain.n, 1),):
                accesses += [self._piece(each, piece, writes=each in written) for piece in pieces]
            else:
                how = self._rows(each, chain.n) if own or chain.n == 1 else ALL
                accesses.append(self._access(each, how, writes=each in written))
        size = max(each.array.itemsize for each in touched)
        cost = chain.n * chain.width * len(calls) * size / CHAIN
        return Work(calls, "kernel", chain, accesses, cost, pieces)

    def _pieces(self, chain: Chain, touched: Iterable[Value]) -> tuple[Piece, ...]:
        """Of a vector that is joined, each part as its maker shares it out: then its lanes need not wait."""
        for each in touched if self._lanes > 1 and chain.ndim == 1 else ():
            home, start = self._home(each)
            if home in self._parts and start == 0 and home.array.shape == each.array.shape:
                return tuple(self._in_rows(part, first) for part, first in self._parts[home])
        return ((0, chain.n, 1),)

    def _elementwise(self, call: Call) -> list[Work] | None:
        result = call.result
        assert isinstance(result, Value)
        function = call.function
        if not isinstance(function, np.ufunc) or not all(isinstance(each, Value) for each in call.arguments):
            return None
        values = (*call.reads, result)
        if not all(self._plain(each) and each.array.shape == result.array.shape for each in values):
            return None
        if loops.loop(function, *(each.array.dtype for each in (*call.arguments, result))) is None:
            return None
        n = result.array.shape[0] if result.array.ndim else 1
        accesses = [self._access(each, self._rows(each, n), writes=each is result) for each in values]
        cost = FUNCTION * result.array.size * result.array.itemsize / CHAIN
        return [Work([call], "loop", None, accesses, cost)]

    def _product(self, call: Call) -> list[Work] | None:
        result = call.result
        assert isinstance(result, Value)
        if call.function is not np.dot or not self._plain(result):
            return None
        a, b = call.arguments
        (n, m), k = result.array.shape, a.array.shape[1]
        if gemm.function(n, m, k, result.array.dtype) is None or not self._factor(a) or not self._known(b):
            return None
        if self._late(b):
            return None
        cost = n * m * k * result.array.itemsize / PART
        if turned(a) and self._splits(n, m, k):
            return self._sum(call, "partial", {a.base: k, b: k}, cost)
        writes = self._access(result, self._rows(result, n), writes=True)
        read = {a: self._rows(a, n), b: ALL if n > 1 else FIRST}
        if turned(a):  # its rows are columns of what it shows
            read = {a.base: ALL, b: read[b]}
        streamed = [self._stream(each) for each, how in read.items() if how == ALL and self._shown(each)]
        copies = {old: new for work in streamed for old, new in work.copies.items()}
        accesses = [self._access(copies.get(each, each), how) for each, how in read.items()]
        return [*streamed, Work([call], "product", None, [*accesses, writes], cost, copies=copies)]

    def _shown(self, value: Value) -> bool:
        """Whether a copy of it is streamed for other lanes."""
        return self._streams and self._made(value) and self._plain(value) and not value.array.itemsize % 4

    def _stream(self, value: Value) -> Work:
        n, copy = value.array.shape[0], Value(value.array)
        accesses = [self._access(value, self._rows(value, n)), self._access(copy, self._rows(copy, n), writes=True)]
        return Work([], "stream", None, accesses, copies={value: copy})

    def _splits(self, n: int, m: int, k: int) -> bool:
        """Whether it moves less memory that each lane adds up its rows."""
        lanes = len(cuts(k, self._lanes))
        return lanes > 1 and 2 * lanes * n * m <= k * (n + m)

    def _reduce(self, call: Call) -> list[Work] | None:
        (x,), result = call.reads, call.result
        assert isinstance(result, Value)
        shape, dtype = x.array.shape, result.array.dtype
        fit = self._plain(x) and self._plain(result) and x.array.dtype == dtype and len(shape) <= 2
        if call.function is not np.add or not fit or gemm.function(1, 1, 1, dtype) is None:
            return None
        n, cost = shape[0] if shape else 1, x.array.size * dtype.itemsize / CHAIN
        if len(shape) < 2 or call.options["axis"] is None:
            return self._sum(call, "sum", {x: n}, cost)
        if self._late(x):  # the others are products with ones
            return None
        if call.options["axis"] % 2 == 0:
            return self._sum(call, "partial", {x: n}, cost)
        accesses = [self._access(x, self._rows(x, n)), self._access(result, self._rows(result, n), writes=True)]
        return [Work([call], "product", None, accesses, cost)]

    def _inner(self, call: Call) -> list[Work] | None:
        assert isinstance(call.result, Value)
        dtype, values = call.result.array.dtype, (*call.reads, call.result)
        if not all(self._plain(each) and each.array.dtype == dtype for each in values):
            return None
        if any(map(self._late, call.reads)) or gemm.function(1, 1, 1, dtype) is None:
            return None
        size = call.reads[0].array.size
        return self._sum(call, "partial", dict.fromkeys(call.reads, size), size * dtype.itemsize / CHAIN)

    def _sum(self, call: Call, how: str, rows: dict[Value, int], cost: float) -> list[Work]:
        """Over so many rows of what is read, in two parts if there are several lanes."""
        result = call.result
        assert isinstance(result, Value)
        reads = [self._access(each, self._rows(each, n)) for each, n in rows.items()]
        if self._lanes == 1:
            return [Work([call], how, None, [*reads, self._access(result, FIRST, writes=True)], cost)]
        made = self._access(result, PARTIAL, writes=True)
        piece = self._in_rows(result)
        added = self._piece(result, piece, writes=True)
        return [
            Work([call], how, None, [*reads, made], cost, (piece,)),
            Work([call], "total", None, [added], 0.0, (piece,)),
        ]

    # values

    def _plain(self, value: Value) -> bool:
        return value.array.flags.c_contiguous and value.array.size > 0 and self._reachable(value)

    def _known(self, value: Value) -> bool:
        return value.array.size > 0 and self._reachable(value) and gemm.readable(value.array)

    def _factor(self, value: Value) -> bool:
        """Whether it is known, or an input that will be, as it is or transposed."""
        given = value.base if turned(value) and value.base is not None else value
        return self._known(value) or (self._late(given) and value.array.size > 0)

    def _rows(self, value: Value, n: int) -> Any:
        """The access of each lane to its rows."""
        if n == 1:
            return FIRST
        _, start = self._home(value)
        return start, value.array.strides[0], n

    def _in_rows(self, value: Value, first: int = 0) -> Piece:
        """How its elements are shared out, which are those of something from `first` on."""
        array = value.array
        n = array.shape[0] if array.ndim else 1
        return (first, n, array.size // n) if n >= sequence.ROWS * self._lanes else (first, array.size, 1)

    def _piece(self, value: Value, piece: Piece, *, writes: bool) -> Access:
        """The access of each lane to its rows of a part of a value that lies in one piece."""
        (first, n, per), size = piece, value.array.itemsize
        home, start = self._home(value)
        start += first * size
        how = FIRST if n == 1 or self._lanes == 1 else (start, per * size, n)
        return Access(home, start, start + n * per * size, how, writes)

    def _access(self, value: Value, how: Any, *, writes: bool = False) -> Access:
        home, start = self._home(value)
        before, after = _bounds(value.array)
        return Access(home, start - before, start + after, FIRST if self._lanes == 1 else how, writes)


def turned(value: Value) -> bool:
    """Whether it is another one transposed."""
    base = value.base
    if base is None or value.array.ndim != 2 or base.array.ndim != 2:
        return False
    one, other = value.array, base.array
    return value.start == base.start and one.shape == other.shape[::-1] and one.strides == other.strides[::-1]


def _bounds(array: NDArray[Any]) -> tuple[int, int]:
    """How many bytes the memory of an array begins before its first element, and ends after where that begins."""
    if not array.size:
        return 0, 0
    reaches = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    return -sum(each for each in reaches if each < 0), sum(each for each in reaches if each > 0) + array.itemsize
