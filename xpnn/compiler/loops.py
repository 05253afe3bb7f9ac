"""NumPy's own loops over elements, called from machine code: they give the bits that NumPy gives.

A function of NumPy for each element, such as ``exp``, holds one C loop for each combination of dtypes. What C code
sees of such a function is part of NumPy's binary interface; it is read here, and used only if all of it agrees with
what Python sees.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from xpnn.compiler import llvm

_HEAD = object.__basicsize__
"""Bytes of an object before what is a function's own."""


class _Function(ctypes.Structure):
    """`PyUFuncObject` of NumPy's C interface, after the head that every object has, as far as it is needed."""

    _fields_ = (
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("loops", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved1", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_char)),
    )


@cache
def loop(function: np.ufunc, *dtypes: Any) -> tuple[int, int] | None:
    """The address of the function's loop for arguments and a result of these dtypes, and of the data it takes.

    None if there is none, or not what is expected there, and for other dtypes than float32 and float64: their loops
    may raise exceptions.
    """
    if any(each not in (np.float32, np.float64) for each in dtypes):
        return None
    codes = "".join(np.dtype(each).char for each in dtypes)
    wanted = f"{codes[: function.nin]}->{codes[function.nin :]}"
    if function.signature is not None or wanted not in function.types or not _readable(function):
        return None
    i = function.types.index(wanted)
    inside = _inside(function)
    address = inside.loops[i]
    return (address, inside.data[i] or 0) if address else None


def _inside(function: np.ufunc) -> _Function:
    return _Function.from_address(id(function) + _HEAD)


@cache
def _readable(function: np.ufunc) -> bool:
    """Whether C sees of the function what Python sees."""
    inside = _inside(function)
    counts = inside.nin, inside.nout, inside.nargs, inside.ntypes
    if counts != (function.nin, function.nout, function.nargs, function.ntypes):
        return False
    if not (inside.loops and inside.data and inside.types) or inside.name != function.__name__.encode():
        return False
    numbers = b"".join(inside.types[i] for i in range(function.ntypes * function.nargs))
    told = "".join(each.replace("->", "") for each in function.types)
    return numbers == bytes(np.dtype(each).num for each in told)


# %table: the loop, its data, how many elements, how many arrays, their addresses, bytes from an element to the next
_CALL = """
define void @kernel(ptr %table) {
  %loop = load ptr, ptr %table
  %at.data = getelementptr i64, ptr %table, i64 1
  %data = load ptr, ptr %at.data
  %n = getelementptr i64, ptr %table, i64 2
  %at.count = getelementptr i64, ptr %table, i64 3
  %count = load i64, ptr %at.count
  %arrays = getelementptr i64, ptr %table, i64 4
  %steps = getelementptr i64, ptr %arrays, i64 %count
  call void %loop(ptr %arrays, ptr %n, ptr %steps, ptr %data)
  ret void
}
"""


def caller() -> Callable[[int], None]:
    """The function that calls a loop as a table says."""
    return llvm.compiled(_CALL, ctypes.c_void_p)
