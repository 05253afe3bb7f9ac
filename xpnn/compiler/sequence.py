"""Calls of machine code one after the other, each lane with its rows, with nothing of Python in between."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import gemm, llvm, loops, streams
from xpnn.compiler.team import Team

Function = Callable[[int], None]
"""Machine code that is given the address of a table."""

ROWS = 16
"""A lane has about as many of what is to be done by rows, or more."""

Piece = tuple[int, int, int]
"""``(start, n, per)``: from `start` on n times `per` rows or elements, of which each lane does some of the n."""

# %table: the number of calls, and for each its function and that function's table
_RUN = """
define void @kernel(ptr %table) {
entry:
  %count = load i64, ptr %table
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %loop, label %end
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %twice = shl i64 %i, 1
  %at = getelementptr i64, ptr %table, i64 %twice
  %at.function = getelementptr i64, ptr %at, i64 1
  %at.table = getelementptr i64, ptr %at, i64 2
  %function = load ptr, ptr %at.function
  %its = load ptr, ptr %at.table
  call void %function(ptr %its)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""


def cuts(n: int, lanes: int) -> list[tuple[int, int]]:
    """The rows of each lane; what is one row is the first one's."""
    count = max(1, min(lanes, -(-n // ROWS)))
    edges = [n * i // count for i in range(count + 1)]
    return list(pairwise(edges))


@dataclass(frozen=True, eq=False)
class Late:
    """In place of an array that is another one each time: which argument of the call, maybe transposed.

    Attributes
    ----------
    argument : int
    like : ndarray
        One of its shape and dtype, in one piece.
    transposed : bool
    """

    argument: int
    like: NDArray[Any]
    transposed: bool = False

    def of(self, argument: NDArray[Any]) -> NDArray[Any]:
        """The array."""
        return argument.T if self.transposed else argument


@dataclass(frozen=True, eq=False)
class Spread:
    """In place of an array of which each lane touches its own rows only: those of each lane lie in another place.

    Attributes
    ----------
    of : tuple of ndarray
        For each lane one of the array's shape, of which its rows count.
    """

    of: tuple[NDArray[Any], ...]

    @property
    def T(self) -> Spread:  # noqa: N802
        """Transposed."""
        return Spread(tuple(each.T for each in self.of))

    def reshape(self, *shape: int) -> Spread:
        """In another shape."""
        return Spread(tuple(each.reshape(shape) for each in self.of))


Known = NDArray[Any] | Spread
"""An array that is always the same one."""

Some = Known | Late
"""An array, now or later."""


class Sequence:
    """``sequence(*arguments)`` does what has been added to it; the arguments are arrays that are not known before.

    Parameters
    ----------
    team : Team, optional
        Whose threads are the lanes, if there are several.
    lanes : int
    arguments : int
    """

    def __init__(self, team: Team | None, lanes: int, arguments: int) -> None:
        self._team, self._lanes = team, lanes
        self._calls: list[list[int]] = [[] for _ in range(lanes)]
        self._keep: list[Any] = []
        self._arguments = [_Argument() for _ in range(arguments)]
        self._strides: list[tuple[int, ...]] | None = None  # of the arguments that all is ready for
        self._begin = _begin(arguments)
        self._table = 0
        self._tables: list[Any] = []

    def __call__(self, *arguments: NDArray[Any]) -> None:
        """Do it."""
        if [each.strides for each in arguments] != self._strides:
            arguments = self._ready(arguments)
        self._begin(self._table, *arguments)

    def _ready(self, arguments: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
        """Get ready for arguments that are laid out in another way; these, or copies of them."""
        arguments = tuple(map(_Argument.readable, self._arguments, arguments))
        strides = [each.strides for each in arguments]
        if strides != self._strides:
            self._strides = None  # after an interrupt all is done anew
            tables: list[Any] = []
            lanes = [_table(tables, [len(calls) // 2, *calls]) for calls in self._calls]
            run = llvm.compiled(_RUN, ctypes.c_void_p)
            if self._team is None or len(lanes) == 1:
                first = [_code(run), lanes[0]]
            else:
                first = [_code(self._team.fork), self._team.table(tables, run, lanes)]
            moves = [_table(tables, each.moves(x)) for each, x in zip(self._arguments, arguments, strict=True)]
            self._table = _table(tables, [*first, *moves])
            self._tables, self._strides = tables, strides
        return arguments

    # what is to be done

    def kernel(self, function: Function, arrays: tuple[Some, ...], pieces: tuple[Piece, ...], width: int) -> None:
        """A chain over the rows of each piece."""
        for lane, first, stop in self._shares(pieces):
            self._add(lane, function, [*arrays, first, stop, width])

    def loop(self, loop: tuple[int, int], arrays: tuple[Some, ...], n: int, width: int) -> None:
        """A function of each element of arrays of one shape: its loop and that one's data; the last is the result."""
        steps = [_like(each).itemsize for each in arrays]
        for lane, (first, stop) in enumerate(cuts(n, self._lanes)):
            self._loop(lane, loop, arrays, steps, first * width, stop * width)

    def _loop(
        self, lane: int, loop: tuple[int, int], arrays: tuple[Some, ...], steps: list[int], first: int, stop: int
    ) -> None:
        """A loop from one element on to another one, so many bytes from each to the next."""
        words = [*loop, stop - first, len(arrays), *arrays, *steps]
        self._add(lane, loops.caller(), words, [0] * 4 + [step * first for step in steps])

    def product(self, a: Some, b: Known, out: Some) -> None:
        """``out = a b``: each lane its rows of a."""
        for lane, (first, stop) in enumerate(cuts(_like(out).shape[0], self._lanes)):
            self._product(lane, a, b, out, rows=slice(first, stop))

    def stream(self, x: Some, copy: NDArray[Any], n: int, width: int) -> None:
        """``copy = x`` past the caches: each lane its rows."""
        for lane, (first, stop) in enumerate(cuts(n, self._lanes)):
            self._stream(lane, x, copy, first * width, stop * width)

    def partial(
        self,
        a: Some,
        b: Known,
        parts: tuple[Some, ...],
        shown: tuple[NDArray[Any], ...],
        pieces: tuple[Piece, ...],
    ) -> None:
        """``a b``: each lane what its columns of a and rows of b add to it, as its one of the parts.

        If they are `shown`, copies of what the others will add up are streamed.
        """
        for lane, (first, stop) in enumerate(cuts(_like(b).shape[0], self._lanes)):
            self._product(lane, a, _of(lane, b)[first:stop], parts[lane], columns=slice(first, stop))
        for lane, (part, copy) in enumerate(zip(parts, shown, strict=False)):
            for other, first, stop in self._shares(pieces):
                if other != lane:
                    self._stream(lane, part, copy, first, stop)

    def sum(self, x: Some, parts: tuple[Some, ...], n: int, width: int) -> None:
        """The sum of all of x in n rows, as NumPy adds it up, in pairs: each lane of its rows."""
        dtype = _like(x).dtype
        copy, add, zero = loops.loop(np.positive, dtype, dtype), _addition(dtype), np.zeros((), dtype)
        assert copy is not None
        for lane, (first, stop) in enumerate(cuts(n, self._lanes)):
            result = parts[lane]
            self._loop(lane, copy, (zero, result), [0, 0], 0, 1)
            self._loop(lane, add, (result, x, result), [0, dtype.itemsize, 0], first * width, stop * width)

    def total(
        self, out: Some, parts: tuple[Some, ...], shown: tuple[NDArray[Any], ...], pieces: tuple[Piece, ...]
    ) -> None:
        """The parts added up, those of other lanes as they are shown, if they are."""
        like = _like(out)
        for lane, first, stop in self._shares(pieces):
            before, *others = (shown[i] if shown and i != lane else part for i, part in enumerate(parts))
            for other in others:
                self._loop(lane, _addition(like.dtype), (before, other, out), [like.itemsize] * 3, first, stop)
                before = out

    def _shares(self, pieces: tuple[Piece, ...]) -> Iterator[tuple[int, int, int]]:
        """Of each piece, the lanes and the elements of each."""
        for start, n, per in pieces:
            for lane, (first, stop) in enumerate(cuts(n, self._lanes)):
                yield lane, start + per * first, start + per * stop

    def _stream(self, lane: int, source: Some, target: NDArray[Any], first: int, stop: int) -> None:
        size = target.itemsize
        self._add(lane, streams.copier(), [target, source, size * (stop - first)], [size * first] * 2)

    def _product(
        self,
        lane: int,
        a: Some,
        b: Known,
        out: Some,
        rows: slice = slice(None),
        columns: slice = slice(None),
    ) -> None:
        a, out = _of(lane, a), _of(lane, out)
        result = _like(out)[rows]
        shown: NDArray[Any] = a.of(a.like) if isinstance(a, Late) else _of(lane, a)
        right: NDArray[Any] = _of(lane, b)
        words, _, at_out = gemm.words(shown[rows, columns], right, result)
        (n, m), k = result.shape, right.shape[0]
        function = gemm.function(n, m, k, result.dtype)
        assert function is not None
        table = self._add(lane, function, words)
        self._keep.append((a, b, out))
        if isinstance(out, Late):
            self._arguments[out.argument].tell(table, at_out, words[at_out] - gemm.address(out.like))
        if isinstance(a, Late):

            def anew(x: NDArray[Any]) -> tuple[Any, int, int]:
                words, at_a, _ = gemm.words(a.of(x)[rows, columns], right, result)
                table[:] = words
                return table, at_a, words[at_a] - gemm.address(x)

            self._arguments[a.argument].ask(anew)

    def _add(self, lane: int, function: Function, words: list[Any], starts: list[int] | None = None) -> Any:
        """A call with a table of these words: numbers, and, so many bytes after their begin, addresses of arrays."""
        table = (ctypes.c_int64 * len(words))()
        starts = starts or [0] * len(words)
        for i, (each, start) in enumerate(zip_longest(words, starts, fillvalue=0)):
            word = _of(lane, each)
            if isinstance(word, Late):
                self._arguments[word.argument].tell(table, i, start, whole=True)
            else:
                table[i] = start + (gemm.address(word) if isinstance(word, np.ndarray) else word)
        self._calls[lane] += [_code(function), ctypes.addressof(table)]
        self._keep.append((function, table, words))
        return table


class _Argument:
    """Where the address of an argument is needed."""

    def __init__(self) -> None:
        self._whole = False  # whether it has to lie in one piece
        self._words: list[tuple[Any, int, int]] = []  # tables, which word is an address, and how far in the array
        self._tellers: list[Callable[[NDArray[Any]], tuple[Any, int, int]]] = []

    def tell(self, table: Any, i: int, start: int, *, whole: bool = False) -> None:
        """Have the address, so many bytes on, in the table's word i; of an array in one piece, if it has to be."""
        self._words.append((table, i, start))
        self._whole = self._whole or whole

    def ask(self, teller: Callable[[NDArray[Any]], tuple[Any, int, int]]) -> None:
        """Have the teller write into a table how an array is laid out, and say the same of its address."""
        self._tellers.append(teller)

    def readable(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array, or a copy of it where it cannot be read as it lies in memory."""
        fits = array.flags.c_contiguous or (not self._whole and gemm.readable(array))
        return array if fits else np.ascontiguousarray(array)

    def moves(self, array: NDArray[Any]) -> list[int]:
        """How many words are to be filled in for arrays laid out like this one, and each one's address and start."""
        words = [*self._words, *(teller(array) for teller in self._tellers)]
        told = [(ctypes.addressof(table) + 8 * i, start) for table, i, start in words]
        return [len(told), *chain.from_iterable(told)]


def _addition(dtype: Any) -> tuple[int, int]:
    """The loop of NumPy's addition, and its data."""
    loop = loops.loop(np.add, dtype, dtype, dtype)
    assert loop is not None
    return loop


def _of(lane: int, each: Any) -> Any:
    """What a lane works on in place of an array."""
    return each.of[lane] if isinstance(each, Spread) else each


def _like(array: Some) -> NDArray[Any]:
    like: NDArray[Any] = array.like if isinstance(array, Late) else _of(0, array)
    return like


def _code(function: Function) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def _table(keep: list[Any], words: list[int]) -> int:
    """The address of a table of these words, which lives as long as `keep`."""
    table = (ctypes.c_int64 * len(words))(*words)
    keep.append(table)
    return ctypes.addressof(table)


# %moves: how many words are to be filled in, and for each its address and how many bytes into the array it says
_FILL = """
define internal void @fill(ptr %moves, ptr %array) {{
entry:
  %at.data = getelementptr i8, ptr %array, i64 {head}
  %data = load i64, ptr %at.data
  %count = load i64, ptr %moves
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %loop, label %end
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %twice = shl i64 %i, 1
  %at = getelementptr i64, ptr %moves, i64 %twice
  %at.word = getelementptr i64, ptr %at, i64 1
  %at.start = getelementptr i64, ptr %at, i64 2
  %word = load ptr, ptr %at.word
  %start = load i64, ptr %at.start
  %place = add i64 %data, %start
  store i64 %place, ptr %word
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""


@cache
def _begin(arguments: int) -> Callable[..., None]:
    """What fills in the addresses of so many arguments, and then does the sequence.

    The table: what to call and with which table, and the moves of each argument.
    """
    text = [_FILL.format(head=_HEAD)]
    taken = "".join(f", ptr %x{i}" for i in range(arguments))
    text.append(f"define void @kernel(ptr %table{taken}) {{")
    for i in range(arguments):
        text.append(f"%at{i} = getelementptr ptr, ptr %table, i64 {2 + i}")
        text.append(f"%moves{i} = load ptr, ptr %at{i}")
        text.append(f"call void @fill(ptr %moves{i}, ptr %x{i})")
    text.append("%function = load ptr, ptr %table")
    text.append("%at.its = getelementptr ptr, ptr %table, i64 1")
    text.append("%its = load ptr, ptr %at.its")
    text.append("call void %function(ptr %its)")
    return llvm.compiled("\n".join([*text, "ret void", "}", ""]), ctypes.c_void_p, *[ctypes.py_object] * arguments)


_HEAD = object.__basicsize__
"""Bytes of an object before what is its own: of an array, the address of its first element comes first."""


@cache
def available() -> bool:
    """Whether arrays and the functions that add up are as they are expected to be, by NumPy's binary interface."""
    if not all(loops.loop(f, *[np.dtype(t)] * (f.nin + 1)) for f in (np.add, np.positive) for t in ("f4", "f8")):
        return False
    arrays = np.zeros(3), np.zeros((2, 3), np.float32)[1:], np.zeros(4, np.int64)[::-1]
    return all(ctypes.c_int64.from_address(id(each) + _HEAD).value == gemm.address(each) for each in arrays)
