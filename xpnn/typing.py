"""The two types that every formula is written in: an array of any library, and its namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HostArray = NDArray[np.generic]
"""A NumPy array: what files, random numbers and tables are made of."""

HostGenerator = np.random.Generator
"""Where random numbers come from, on the host."""


class Array(Protocol):
    """An array of any library that follows the Array API standard (NumPy, CuPy, PyTorch, JAX, …)."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def ndim(self) -> int: ...  # noqa: D102
    @property
    def dtype(self) -> Any: ...  # noqa: D102

    def __getitem__(self, key: Any, /) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __pow__(self, other: Any, /) -> Any: ...
    def __matmul__(self, other: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __float__(self) -> float: ...


class Namespace(Protocol):
    """The functions of one array library under the standard's names: ``xp.exp``, ``xp.where``, …"""

    isdtype: Callable[..., bool]
    finfo: Callable[..., Any]
    int32: Any
    float32: Any
    float64: Any

    def __getattr__(self, name: str, /) -> Callable[..., Any]: ...
