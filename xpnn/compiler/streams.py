"""Copies past the caches: for what one lane makes and others read.

What another core has read is not a core's to write until that one has let go of it. Between cores that are far from
each other each line of a cache takes as long for that as dozens of them take to be written past the caches, with
what x86 calls non-temporal stores, and read from memory. Between near ones the caches are faster.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import gemm, llvm

LINE = 64
"""Bytes that a processor's caches hold together."""

_BLOCK = 1 << 14
"""Bytes of rows that are put together in a core's first cache."""

# copies from byte `first` to `stop`, so many at a time
_COPIES = """
define internal void @{name}(ptr noalias %to, ptr noalias %from, i64 %first, i64 %stop) "no-builtins" {{
entry:
  %any = icmp slt i64 %first, %stop
  br i1 %any, label %loop, label %end
loop:
  %i = phi i64 [%first, %entry], [%next, %loop]
  %at.from = getelementptr i8, ptr %from, i64 %i
  %at.to = getelementptr i8, ptr %to, i64 %i
  %bits = load {kind}, ptr %at.from, align 4
  store {kind} %bits, ptr %at.to, align {bytes}{how}
  %next = add i64 %i, {bytes}
  %more = icmp slt i64 %next, %stop
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""

# bytes up to the first whole line of the target, whole lines, and what is left
_STREAM = f"""
define internal void @stream(ptr noalias %to, ptr noalias %from, i64 %n) noinline {{
  %place = ptrtoint ptr %to to i64
  %over = sub i64 0, %place
  %short = and i64 %over, {LINE - 1}
  %less = icmp slt i64 %n, %short
  %head = select i1 %less, i64 %n, i64 %short
  %left = sub i64 %n, %head
  %whole = and i64 %left, {-LINE}
  %stop = add i64 %head, %whole
  call void @words(ptr %to, ptr %from, i64 0, i64 %head)
  call void @lines(ptr %to, ptr %from, i64 %head, i64 %stop)
  call void @words(ptr %to, ptr %from, i64 %stop, i64 %n)
  ret void
}}
declare void @llvm.x86.sse.sfence()
!0 = !{{i32 1}}
"""

STREAM = (
    _COPIES.format(name="words", kind="i32", bytes=4, how="")
    + _COPIES.format(name="lines", kind=f"<{LINE // 4} x i32>", bytes=LINE, how=", !nontemporal !0")
    + _STREAM
)
"""``@stream(to, from, n)`` for LLVM: copies n bytes, a multiple of 4, to an address that is one."""

SETTLED = "call void @llvm.x86.sse.sfence()"
"""After it all that has been streamed is there before what the thread does next."""

# %table: to, from, bytes
_COPY = f"""
define void @kernel(ptr %table) {{
  %at.from = getelementptr i64, ptr %table, i64 1
  %at.n = getelementptr i64, ptr %table, i64 2
  %to = load ptr, ptr %table
  %from = load ptr, ptr %at.from
  %n = load i64, ptr %at.n
  call void @stream(ptr %to, ptr %from, i64 %n)
  {SETTLED}
  ret void
}}
"""


@cache
def copier() -> Callable[[int], None]:
    """What copies in this way, given the address of a table: to where, from where, and how many bytes."""
    return llvm.compiled(STREAM + _COPY, ctypes.c_void_p)


# %table: to, from, the numbers of rows, how many, bytes of a row
_ROWS = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @kernel(ptr %table) {{
entry:
  %block = alloca [{_BLOCK} x i8], align {LINE}
  %at.from = getelementptr i64, ptr %table, i64 1
  %at.rows = getelementptr i64, ptr %table, i64 2
  %at.n = getelementptr i64, ptr %table, i64 3
  %at.bytes = getelementptr i64, ptr %table, i64 4
  %to = load ptr, ptr %table
  %from = load ptr, ptr %at.from
  %rows = load ptr, ptr %at.rows
  %n = load i64, ptr %at.n
  %bytes = load i64, ptr %at.bytes
  %fit = udiv i64 {_BLOCK}, %bytes
  br label %next
next:
  %i = phi i64 [0, %entry], [%stop, %full]
  %left = sub i64 %n, %i
  %all = icmp slt i64 %left, %fit
  %count = select i1 %all, i64 %left, i64 %fit
  %stop = add i64 %i, %count
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %row, label %end
row:
  %j = phi i64 [0, %next], [%j.next, %row]
  %which = add i64 %i, %j
  %at = getelementptr i64, ptr %rows, i64 %which
  %number = load i64, ptr %at
  %start = mul i64 %number, %bytes
  %source = getelementptr i8, ptr %from, i64 %start
  %inside = mul i64 %j, %bytes
  %target = getelementptr i8, ptr %block, i64 %inside
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %bytes, i1 false)
  %j.next = add i64 %j, 1
  %more = icmp slt i64 %j.next, %count
  br i1 %more, label %row, label %full
full:
  %begin = mul i64 %i, %bytes
  %place = getelementptr i8, ptr %to, i64 %begin
  %together = mul i64 %count, %bytes
  call void @stream(ptr %place, ptr %block, i64 %together)
  br label %next
end:
  {SETTLED}
  ret void
}}
"""


@cache
def _gatherer() -> Callable[[int], None]:
    return llvm.compiled(STREAM + _ROWS, ctypes.c_void_p)


class Rows:
    """``rows(numbers)`` puts those rows of an array into another, past the caches; none may be out of bounds.

    Parameters
    ----------
    array : ndarray, shape (n, …)
        In one piece; see `fit`.
    out : ndarray, shape (m, …)
        In one piece, for up to m rows.
    """

    def __init__(self, array: NDArray[Any], out: NDArray[Any]) -> None:
        self.array, self.out = array, out
        self._gather, size = _gatherer(), array.nbytes // len(array)
        self._table = (ctypes.c_int64 * 5)(gemm.address(out), gemm.address(array), 0, 0, size)
        self._address = ctypes.addressof(self._table)

    @staticmethod
    def fit(array: NDArray[Any]) -> bool:
        """Whether it can be done with rows of this array."""
        size = array.nbytes // max(1, len(array))
        return array.flags.c_contiguous and 0 < size <= _BLOCK and not size % 4

    def __call__(self, numbers: NDArray[np.int64]) -> None:
        """Put rows of these numbers, (m,) in one piece, there."""
        self._table[2:4] = [gemm.address(numbers), len(numbers)]
        self._gather(self._address)
