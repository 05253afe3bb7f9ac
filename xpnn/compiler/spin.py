"""Waiting for another thread without falling asleep: waking one up takes as long as a small matrix product.

Needs what `xpnn.compiler.llvm` needs, and an x86 processor; elsewhere threads wait asleep.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache

from xpnn.compiler import llvm

# without the interpreter's lock: writes a number for the other to see, then waits for the other's to be as large, at
# most so many of the processor's clock ticks
_MEET = """
declare void @llvm.x86.sse2.pause()
declare i64 @llvm.readcyclecounter()
define void @kernel(ptr %mine, i64 %number, ptr %theirs, i64 %wanted, i64 %ticks) {
entry:
  store atomic i64 %number, ptr %mine release, align 8
  %start = call i64 @llvm.readcyclecounter()
  br label %look
look:
  %seen = load atomic i64, ptr %theirs acquire, align 8
  %there = icmp sge i64 %seen, %wanted
  br i1 %there, label %end, label %wait
wait:
  call void @llvm.x86.sse2.pause()
  %now = call i64 @llvm.readcyclecounter()
  %spent = sub i64 %now, %start
  %late = icmp sgt i64 %spent, %ticks
  br i1 %late, label %end, label %look
end:
  ret void
}
"""


@cache
def meet() -> Callable[[int, int, int, int, int], None] | None:
    """The function ``meet(mine, number, theirs, wanted, ticks)`` of two addresses; None where there is none."""
    if platform.machine() not in ("x86_64", "AMD64") or not llvm.available():
        return None
    i, p = ctypes.c_int64, ctypes.c_void_p
    try:
        return llvm.compiled(_MEET, p, i, p, i, i)
    except llvm.CannotCompile:
        return None
