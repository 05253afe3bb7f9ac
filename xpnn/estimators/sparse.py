"""Sparse data in place of an array: networks take no more of X than its products, which SciPy does sparse.

The first layer's  X W  and  Xᵀ dZ  are all that a network needs to know of its data. `SparseMatrix` has both, and the
rows of a batch, under the names that arrays of NumPy have them: layers, losses, training and predictions are those of
any data, and nothing of X is ever made dense.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from xpnn import arrays
from xpnn.compiler.factor import Factor
from xpnn.estimators import inputs
from xpnn.typing import Array, Namespace


def placed(X: Any, put: Callable[[Any], Array], *, whole: bool) -> tuple[Array, Any]:
    """Data to train on where `put` puts arrays; and sparse ones of which batches are to be made dense there.

    NumPy takes sparse data as they are. On other libraries they are made dense, the `whole` or batch by batch: what
    then stands for X is its first row.
    """
    if not issparse(X):
        return put(X), None
    if inputs.namespace_of(put(np.zeros((1, 1), X.dtype))) is None:
        return cast(Array, SparseMatrix(X)), None
    return (put(X.toarray()), None) if whole else (put(X[:1].toarray()), X)


class SparseMatrix(Factor):
    """A sparse matrix of n rows, as a network takes its data.

    Parameters
    ----------
    rows : sparse array
        In the format CSR, of float32 or float64.
    """

    device = "cpu"
    ndim = 2

    def __init__(self, rows: csr_array) -> None:
        self._rows = rows
        self.shape, self.dtype = rows.shape, rows.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __array_namespace__(self, *, api_version: str | None = None) -> Namespace:
        return arrays.namespace(data=self._rows.data)

    @property
    def itemsize(self) -> int:
        """The bytes of a number."""
        return self.dtype.itemsize

    @property
    def density(self) -> float:
        """The share of the numbers that are stored."""
        return self._rows.nnz / (self.shape[0] * self.shape[1])

    def __getitem__(self, rows: Any) -> SparseMatrix:
        if isinstance(rows, tuple):
            rows = rows[0]
        if not isinstance(rows, slice) or rows.step not in (None, 1):
            return SparseMatrix(self._rows[rows])
        first, last, _ = rows.indices(len(self))
        last = max(first, last)
        starts = self._rows.indptr[first : last + 1]
        stored = slice(starts[0], starts[-1])  # seen, not copied
        parts = self._rows.data[stored], self._rows.indices[stored], starts - starts[0]
        return SparseMatrix(csr_array(parts, shape=(last - first, self.shape[1])))

    def astype(self, dtype: Any, copy: bool = True) -> SparseMatrix:
        """The same in another dtype."""
        return SparseMatrix(self._rows.astype(dtype, copy=copy))

    @cached_property
    def T(self) -> SparseMatrix:  # noqa: N802
        """The transposed matrix; by its rows, too: the product then makes one row of the result after the other."""
        return SparseMatrix(self._rows.T.tocsr())

    def __matmul__(self, other: NDArray[Any]) -> NDArray[Any]:
        return self._rows @ other

    def multiply(self, other: NDArray[Any], out: NDArray[Any]) -> None:
        """The product with a matrix, (n, m), into `out`."""
        out[...] = self._rows @ other

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions of arrays that a network's data are given to."""
        if function in (np.matrix_transpose, np.swapaxes):
            return self.T
        if function is np.take and kwargs == {"axis": 0}:
            return self[args[1]]
        if function is np.broadcast_to and len(self) == 1 and args[1][1:] == self.shape[1:]:
            return self[np.zeros(args[1][0], int)]
        return NotImplemented
