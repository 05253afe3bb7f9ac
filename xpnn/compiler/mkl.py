"""Matrix products by Intel's Math Kernel Library, where it is installed beside a NumPy that has another BLAS.

On many x86 processors its products take less time than those of the OpenBLAS that NumPy comes with. Each call uses
one thread, the one that makes it: if nothing else in the program uses this library, its threading layer is set to the
sequential one, for the whole program; if something does, it is left alone, and NumPy multiplies.
``pip install 'xpnn[fast]'`` brings it where it exists.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler.blas import libraries

_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112
_SEQUENTIAL = 1


@cache
def _products() -> dict[Any, Any]:
    """MKL's product for each dtype; none if it is not here, or if NumPy multiplies with it anyway."""
    if any(each.internal_api == "mkl" for each in libraries()):
        return {}
    try:
        files = importlib.metadata.files("mkl") or []
        library = ctypes.CDLL(str(next(f.locate() for f in files if "mkl_rt" in f.name and f.suffix != ".lib")))
        if library.MKL_Set_Threading_Layer(_SEQUENTIAL) != _SEQUENTIAL:  # somebody has chosen another already
            return {}
        return {
            np.dtype(np.float32): _typed(library.cblas_sgemm, ctypes.c_float),
            np.dtype(np.float64): _typed(library.cblas_dgemm, ctypes.c_double),
        }
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError, AttributeError):
        return {}


def _typed(function: Any, number: Any) -> Any:
    i, p = ctypes.c_int, ctypes.c_void_p
    function.restype = None
    function.argtypes = [i, i, i, i, i, i, number, p, i, p, i, number, p, i]
    return function


def available() -> bool:
    """Whether there are products of MKL's to be had."""
    return bool(_products())


def dot(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None:
    """``out = a b``, matrices of one dtype; by NumPy where BLAS cannot read the layout of their memory."""
    product = _products().get(out.dtype)
    first, second, third = _layout(a), _layout(b), _layout(out)
    if product is None or first is None or second is None or third is None or third[0] is not _AS_IT_IS:
        np.dot(a, b, out)
        return
    (n, m), k = out.shape, a.shape[1]
    (flag_a, row_a), (flag_b, row_b), (_, row_out) = first, second, third
    product(
        _ROW_MAJOR, flag_a, flag_b, n, m, k, 1.0, _address(a), row_a, _address(b), row_b, 0.0, _address(out), row_out
    )


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
