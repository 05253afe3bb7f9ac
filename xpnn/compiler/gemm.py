"""Matrix products called from machine code, so that several threads can share one: GEMM of the faster library.

On Intel's processors that is their Math Kernel Library, where it is installed; each call uses the thread that makes
it: if nothing else in the program uses this library, its threading layer is set to the sequential one, for the whole
program; if something does, it is left alone. On other processors, where it does without their widest vectors, and
where it is not there, it is the OpenBLAS that NumPy comes with, which is to be called inside `threads.one`, as it has
threads of its own. `xpnn.compiler.llvm` is needed: ``pip install 'xpnn[fast]'`` brings it, and MKL.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import llvm
from xpnn.compiler.blas import libraries
from xpnn.compiler.team import Team

_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112
_SEQUENTIAL = 1

_WORDS = ("layout_a", "layout_b", "n", "m", "k", "row_a", "row_b", "row_out", "a", "b", "out")
"""What the table of a product tells: how the factors lie in memory, sizes, elements from row to row, addresses."""

_DECLARED = """declare void @xpnn_gemm(i32, i32, i32, {int}, {int}, {int}, {kind}, ptr, {int}, ptr, {int}, {kind},
  ptr, {int})"""
_CALL = """call void @xpnn_gemm(i32 {row_major}, i32 %layout_a, i32 %layout_b, {int} %n, {int} %m, {int} %k,
  {kind} 1.0, ptr %a, {int} %row_a, ptr %b, {int} %row_b, {kind} 0.0, ptr %out, {int} %row_out)"""


@dataclass(frozen=True)
class _Library:
    """Where products are from."""

    functions: dict[Any, Callable[[int], None]]  # of a product's table, for each dtype
    ahead: bool = False  # of NumPy's own, on one thread too


@cache
def _library() -> _Library:
    """The faster one of those that are here; without functions if there is none."""
    if not llvm.available():
        return _Library({})
    return (_mkl() if vendor() == "GenuineIntel" else None) or _openblas() or _Library({})


_VENDOR = """
define void @kernel(ptr %name) {
  %said = call {i32, i32, i32, i32} asm sideeffect "cpuid", "={ax},={bx},={cx},={dx},{ax}"(i32 0)
  %b = extractvalue {i32, i32, i32, i32} %said, 1
  %d = extractvalue {i32, i32, i32, i32} %said, 3
  %c = extractvalue {i32, i32, i32, i32} %said, 2
  %at.d = getelementptr i32, ptr %name, i64 1
  %at.c = getelementptr i32, ptr %name, i64 2
  store i32 %b, ptr %name
  store i32 %d, ptr %at.d
  store i32 %c, ptr %at.c
  ret void
}
"""


@cache
def vendor() -> str:
    """Whose the processor is, as it says itself on x86; elsewhere ``""``."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ""
    name = ctypes.create_string_buffer(12)
    llvm.compiled(_VENDOR, ctypes.c_void_p)(ctypes.addressof(name))
    return name.raw.decode()


def _mkl() -> _Library | None:
    if any(each.internal_api == "mkl" for each in libraries()):  # NumPy has it anyway
        return None
    try:
        files = importlib.metadata.files("mkl") or []
        library = ctypes.CDLL(str(next(f.locate() for f in files if "mkl_rt" in f.name and f.suffix != ".lib")))
        if library.MKL_Set_Threading_Layer(_SEQUENTIAL) != _SEQUENTIAL:  # somebody has chosen another already
            return None
        return _Library(_compiled(library, "cblas_{}gemm", "i32"), ahead=True)
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError, AttributeError, llvm.CannotCompile):
        return None


def _openblas() -> _Library | None:
    """That of NumPy's packages: sizes have 64 bits, as the name says."""
    for each in libraries():
        for name in ("scipy_cblas_{}gemm64_", "cblas_{}gemm64_"):
            try:
                return _Library(_compiled(each.dynlib, name, "i64"))
            except (AttributeError, llvm.CannotCompile):
                continue
    return None


def _compiled(library: Any, name: str, integer: str) -> dict[Any, Callable[[int], None]]:
    """For each dtype the call with the arguments of a table."""
    fetched = []
    for i, word in enumerate(_WORDS):
        type_ = "ptr" if word in ("a", "b", "out") else "i32" if word.startswith("layout") else integer
        fetched += [f"%at.{word} = getelementptr i64, ptr %table, i64 {i}", f"%{word} = load {type_}, ptr %at.{word}"]
    functions = {}
    for dtype, letter, kind in ((np.float32, "s", "float"), (np.float64, "d", "double")):
        address = ctypes.cast(getattr(library, name.format(letter)), ctypes.c_void_p).value or 0
        declared, call = llvm.flushing([_CALL.format(row_major=_ROW_MAJOR, kind=kind, int=integer)])
        declared.append(_DECLARED.format(kind=kind, int=integer))
        text = "\n".join([*declared, "define void @kernel(ptr %table) {", *fetched, *call, "ret void", "}", ""])
        functions[np.dtype(dtype)] = llvm.compiled(text, ctypes.c_void_p, xpnn_gemm=address)
    return functions


def available() -> bool:
    """Whether there are such products."""
    return bool(_library().functions)


def parts(shape: tuple[int, ...], k: int, dtype: Any, lanes: int) -> int:
    """How many of the threads should do a product together, of that shape and k numbers summed up; 0: NumPy should.

    NumPy calls functions of its library for vectors, and has good kernels for small products and for results of a
    few rows or columns; but it is better that each thread does the part whose factors it has made than that one
    fetches them all.
    """
    n, m = shape
    work = n * m * k
    library = _library()
    count = max(1, min(lanes, -(-n // ROWS), work * np.dtype(dtype).itemsize // PART))
    if np.dtype(dtype) not in library.functions:
        return 0
    if library.ahead:
        return 0 if work < (2 * WORTH if min(n, m) <= NARROW and count == 1 else WORTH) else count
    return 0 if count == 1 or min(n, m) == 1 else count


WORTH = 1 << 17
"""Multiplications from which on a library that is ahead takes less time for most products."""

NARROW = 16
"""Up to so many rows or columns of the result twice as many are needed for one thread."""

ROWS = 16
"""Of a part, about: for each the whole other factor is read."""

PART = 1 << 19
"""Multiplications times bytes of a number that a thread should have to do of a product: some two microseconds."""


class Product:
    """``out = a b`` of matrices of one dtype, many times; by NumPy where BLAS cannot read the layout of their memory.

    What the library is to know of an array is kept until another one comes in its place, or it is gone: factors are
    not kept alive, as they may be somebody's data.

    Parameters
    ----------
    team : Team, optional
        Who does it in parts.
    parts : int
        How many; each has some of the rows.
    """

    def __init__(self, team: Team | None = None, parts: int = 1) -> None:
        self._team = team if parts > 1 else None
        self._tables = [(ctypes.c_int64 * len(_WORDS))() for _ in range(parts)]
        self._addresses = [ctypes.addressof(each) for each in self._tables]
        self._multiply: Callable[[int], None] | None = None
        self._table = 0
        self._keep: list[Any] = []
        self._cuts: list[int] = []
        self._a = self._b = _gone
        self._out: NDArray[Any] | None = None
        self._readable_a = self._readable_b = False

    def __call__(self, a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
        """One product."""
        if out is not self._out:
            self._take_out(out)
        if a is not self._a():
            self._take_a(a)
        if b is not self._b():
            self._take_b(b)
        if self._readable_a and self._readable_b and self._multiply is not None:
            self._multiply(self._table)
        else:
            np.dot(a, b, out)

    # an array is noted last: after an interrupt in between it is taken anew

    def _take_out(self, out: NDArray[Any]) -> None:
        self._out = self._multiply = None
        self._a = _gone  # its rows may be cut otherwise
        function, layout = _library().functions.get(out.dtype), _layout(out)
        if function is not None and layout is not None and layout[0] == _AS_IT_IS:
            (n, m), address, lanes = out.shape, _address(out), len(self._tables)
            self._cuts = [n * i // lanes for i in range(lanes + 1)]
            for table, (start, stop) in zip(self._tables, pairwise(self._cuts), strict=True):
                table[2], table[3] = stop - start, m
                table[7], table[10] = layout[1], address + start * out.strides[0]
            self._keep.clear()
            if self._team is None:
                self._table, self._multiply = self._addresses[0], function
            else:
                self._table = self._team.table(self._keep, function, self._addresses)
                self._multiply = self._team.fork
        self._out = out

    def _take_a(self, a: NDArray[Any]) -> None:
        self._a, layout = _gone, _layout(a)
        self._readable_a = layout is not None
        if layout is not None:
            address = _address(a)
            for table, start in zip(self._tables, self._cuts, strict=False):
                table[0], table[5] = layout
                table[4], table[8] = a.shape[1], address + start * a.strides[0]
        self._a = weakref.ref(a)

    def _take_b(self, b: NDArray[Any]) -> None:
        self._b, layout = _gone, _layout(b)
        self._readable_b = layout is not None
        if layout is not None:
            address = _address(b)
            for table in self._tables:
                table[1], table[6] = layout
                table[9] = address
        self._b = weakref.ref(b)


def _gone() -> NDArray[Any] | None:
    """What a weak reference gives when its array is gone."""
    return None


def _layout(x: NDArray[Any]) -> tuple[int, int] | None:
    """How BLAS is to read a matrix: as it is or transposed, and the elements from one row to the next."""
    (n, m), (row, column), size = x.shape, x.strides, x.itemsize
    if column == size and row >= m * size and not row % size:
        return _AS_IT_IS, row // size
    if row == size and column >= n * size and not column % size:
        return _TRANSPOSED, column // size
    return None


def _address(x: NDArray[Any]) -> int:
    address: int = x.__array_interface__["data"][0]
    return address
