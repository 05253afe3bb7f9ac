"""Matrix products called from machine code: GEMM, and GEMV where one side is a vector, of the faster library.

That is the OpenBLAS that NumPy comes with; on Intel's processors, for all but small products, their Math Kernel
Library where it is installed. Each call uses the thread that makes it: MKL's threading layer is set to the sequential
one, for the whole program, if nothing else in the program uses this library; if something does, it is left alone.
OpenBLAS is to be called inside `threads.one`, as it has threads of its own. `xpnn.compiler.llvm` is needed:
``pip install 'xpnn[fast]'`` brings it, and MKL.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import llvm
from xpnn.compiler.blas import libraries
from xpnn.compiler.chains import TYPES

Function = Callable[[int], None]
"""Machine code that does a product, given the address of its table."""

_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112
_SEQUENTIAL = 1

WORDS = 11
"""Of the table of a product."""

# what a table tells: how matrices lie in memory, sizes, elements from row to row, addresses
_GEMM = ("layout_a", "layout_b", "n", "m", "k", "row_a", "row_b", "row_out", "a", "b", "out")
_GEMV = ("layout_a", "n", "k", "row_a", "row_b", "row_out", "a", "b", "out")

_DECLARED = {
    "gemm": """declare void @xpnn_gemm(i32, i32, i32, {int}, {int}, {int}, {kind}, ptr, {int}, ptr, {int}, {kind},
      ptr, {int})""",
    "gemv": "declare void @xpnn_gemv(i32, i32, {int}, {int}, {kind}, ptr, {int}, ptr, {int}, {kind}, ptr, {int})",
}
_CALL = {
    "gemm": """call void @xpnn_gemm(i32 {row_major}, i32 %layout_a, i32 %layout_b, {int} %n, {int} %m, {int} %k,
      {kind} 1.0, ptr %a, {int} %row_a, ptr %b, {int} %row_b, {kind} 0.0, ptr %out, {int} %row_out)""",
    "gemv": """call void @xpnn_gemv(i32 {row_major}, i32 %layout_a, {int} %n, {int} %k,
      {kind} 1.0, ptr %a, {int} %row_a, ptr %b, {int} %row_b, {kind} 0.0, ptr %out, {int} %row_out)""",
}

_Library = dict[tuple[str, Any], tuple[int, str]]
"""By what they do and for which dtype: the addresses of functions, and LLVM's name of the integers that they take."""


@cache
def _small() -> _Library:
    """For small products."""
    return _openblas() or _large()


@cache
def _large() -> _Library:
    """For all others."""
    mkl = _mkl() if llvm.available() and vendor() == "GenuineIntel" else {}
    return mkl or _openblas()


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


@cache
def _mkl() -> _Library:
    if any(each.internal_api == "mkl" for each in libraries()):  # NumPy has it anyway
        return {}
    try:
        files = importlib.metadata.files("mkl") or []
        library = ctypes.CDLL(str(next(f.locate() for f in files if "mkl_rt" in f.name and f.suffix != ".lib")))
        if library.MKL_Set_Threading_Layer(_SEQUENTIAL) != _SEQUENTIAL:  # somebody has chosen another already
            return {}
        return _found(library, "cblas_{}{}", "i32")
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError, AttributeError):
        return {}


@cache
def _openblas() -> _Library:
    """That of NumPy's packages: sizes have 64 bits, as the name says."""
    for each in libraries() if llvm.available() else ():
        for name in ("scipy_cblas_{}{}64_", "cblas_{}{}64_"):
            try:
                return _found(each.dynlib, name, "i64")
            except AttributeError:
                continue
    return {}


def _found(library: Any, name: str, integer: str) -> _Library:
    """The functions of a library."""
    found: _Library = {}
    for what in ("gemm", "gemv"):
        for dtype, letter in ((np.float32, "s"), (np.float64, "d")):
            address = ctypes.cast(getattr(library, name.format(letter, what)), ctypes.c_void_p).value or 0
            found[what, np.dtype(dtype)] = address, integer
    return found


@cache
def _compiled(what: str, dtype: Any, address: int, integer: str) -> Function:
    """The call of such a function with the arguments of a table."""
    kind = TYPES[dtype]
    fetched = []
    for i, word in enumerate(_GEMM if what == "gemm" else _GEMV):
        type_ = "ptr" if word in ("a", "b", "out") else "i32" if word.startswith("layout") else integer
        fetched.append(f"%at.{word} = getelementptr i64, ptr %table, i64 {i}")
        fetched.append(f"%{word} = load {type_}, ptr %at.{word}")
    declared, call = llvm.flushing([_CALL[what].format(row_major=_ROW_MAJOR, kind=kind, int=integer)])
    declared.append(_DECLARED[what].format(kind=kind, int=integer))
    text = "\n".join([*declared, "define void @kernel(ptr %table) {", *fetched, *call, "ret void", "}", ""])
    return llvm.compiled(text, ctypes.c_void_p, **{f"xpnn_{what}": address})


def available() -> bool:
    """Whether there are such products."""
    return bool(_small())


def function(n: int, m: int, k: int, dtype: Any) -> Function | None:
    """What does products of (n, k) and (k, m) matrices; None for other dtypes than those of the libraries."""
    work = n * m * k
    library = _small() if work < (2 * WORTH if min(n, m) <= NARROW else WORTH) else _large()
    what, dtype = "gemv" if _of_vector(n, m, k) else "gemm", np.dtype(dtype)
    return _compiled(what, dtype, *library[what, dtype]) if (what, dtype) in library else None


WORTH = 1 << 17
"""Multiplications from which on another library than NumPy's takes less time for most products."""

NARROW = 16
"""Up to so many rows or columns of the result twice as many are needed."""

VECTOR = 1 << 10
"""Multiplications from which on GEMV takes less time, where one side is a vector."""


def _of_vector(n: int, m: int, k: int) -> bool:
    return min(n, m) == 1 and n * m * k >= VECTOR


def words(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> tuple[list[int], int, int]:
    """What a table is to tell of ``out = a b``, and which of its words are the addresses of a and of the result.

    Raises
    ------
    ValueError
        If BLAS cannot read the layout of their memory.
    """
    (n, k), m = a.shape, b.shape[1]
    (as_a, row_a), (as_b, row_b), (as_out, row_out) = map(_layout, (a, b, out))
    if as_out != _AS_IT_IS:
        raise ValueError("a transposed result")
    if not _of_vector(n, m, k):
        return [as_a, as_b, n, m, k, row_a, row_b, row_out, *map(address, (a, b, out))], 8, 10
    if m == 1:  # a matrix times a column
        rows, columns = (n, k) if as_a == _AS_IT_IS else (k, n)
        steps = _step(b.strides[0], b), _step(out.strides[0], out)
        return [as_a, rows, columns, row_a, *steps, *map(address, (a, b, out))], 6, 8
    # the same of a row: outᵀ = bᵀ aᵀ
    rows, columns = (k, m) if as_b == _AS_IT_IS else (m, k)
    turned = _TRANSPOSED if as_b == _AS_IT_IS else _AS_IT_IS
    return [turned, rows, columns, row_b, _step(a.strides[1], a), 1, *map(address, (b, a, out))], 7, 8


def readable(x: NDArray[Any]) -> bool:
    """Whether BLAS can read the layout of a matrix."""
    try:
        _layout(x)
    except ValueError:
        return False
    return True


def _layout(x: NDArray[Any]) -> tuple[int, int]:
    """How BLAS is to read a matrix: as it is or transposed, and the elements from one row to the next."""
    (n, m), (row, column), size = x.shape, x.strides, x.itemsize
    if (column == size or m == 1) and (n == 1 or (row >= m * size and not row % size)):
        return _AS_IT_IS, max(m, row // size if n > 1 else m)
    if (row == size or n == 1) and (m == 1 or (column >= n * size and not column % size)):
        return _TRANSPOSED, max(n, column // size if m > 1 else n)
    raise ValueError("neither the rows nor the columns lie in one piece")


def _step(stride: int, x: NDArray[Any]) -> int:
    """Elements from one of a vector to the next; of a single one the stride may be anything."""
    return stride // x.itemsize if x.size > 1 else 1


def address(x: NDArray[Any]) -> int:
    """Where its first element lies."""
    place: int = x.__array_interface__["data"][0]
    return place
