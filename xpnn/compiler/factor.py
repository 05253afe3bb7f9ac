"""What is no array and can be multiplied by one: an input of recorded functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Factor:
    """Base of matrices that are multiplied in a way of their own, a sparse one, say.

    A recorded function may take its shape, its transpose and its products with arrays, and nothing else: each product
    stays one call among those into NumPy.

    Attributes
    ----------
    shape : (int, int)
    dtype : dtype
    T : Factor
        The transposed matrix.
    density : float
        The share of the multiplications of an array that a product takes.
    """

    __array_ufunc__ = None  # NumPy's functions and operators do not take it for an array

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def density(self) -> float:
        """How much of it is multiplied."""
        raise NotImplementedError

    @property
    def T(self) -> Factor:  # noqa: N802
        """The transposed matrix."""
        raise NotImplementedError

    def multiply(self, other: NDArray[Any], out: NDArray[Any]) -> None:
        """The product with a matrix, (n, m), into `out`."""
        raise NotImplementedError


def multiply(factor: Factor, other: NDArray[Any], out: NDArray[Any]) -> None:
    """``factor @ other`` into an array."""
    factor.multiply(other, out)
