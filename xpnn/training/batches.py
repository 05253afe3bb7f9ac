"""The data of one epoch, batch by batch, in a given order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import mul

import numpy as np

from xpnn import arrays
from xpnn.backends import Backend
from xpnn.typing import Array, HostArray, Namespace

Batch = tuple[Array, Array, Array | None]

Take = Callable[[str, Array, Array], Array]
"""``take(name, array, rows)``."""

_GATHERED = 1 << 16
"""Bytes of shuffled rows that are gathered at a time, at least, where batches are views: they stay in a cache."""


def batches(
    X: Array,
    y: Array,
    w: Array | None,
    *,
    size: int | None,
    order: HostArray | None,
    xp: Namespace,
    views: bool = False,
    take: Take,
) -> Iterator[Batch]:
    """The batches ``(x, y, w)`` of one epoch: every sample once, the last batch possibly smaller.

    `order` has the numbers of the rows; with None they come as they are, and so does the one batch of all samples
    with ``size=None`` or at least n. If slices are `views`, rows are gathered for several batches at a time, by
    `take`, which may write over those that it gave before: a batch then lives until the next.
    """
    n = X.shape[0]
    if size is None or size >= n:
        yield X, y, w
        return
    if order is None:
        yield from _slices(X, y, w, size)
        return
    rows_in_order = arrays.from_host(order, xp, device=arrays.device(X))
    row = arrays.size(X) // n * xp.finfo(X.dtype).bits // 8
    many = -(-_GATHERED // max(1, row * size)) * size if views else size
    for start in range(0, n, many):
        rows = rows_in_order[start : min(start + many, n)]
        part = take("X", X, rows), take("y", y, rows), None if w is None else take("w", w, rows)
        if views:
            yield from _slices(*part, size)
        else:
            yield part


def _slices(X: Array, y: Array, w: Array | None, size: int) -> Iterator[Batch]:
    n = X.shape[0]
    if n <= size:  # the same array each time, if it is in the same memory: what is known of it still holds
        yield X, y, w
        return
    for start in range(0, n, size):
        part = slice(start, min(start + size, n))
        yield X[part, ...], y[part, ...], None if w is None else w[part]


class EpochLoss:
    """The loss over an epoch from its batches' losses, left on the device until there are many of them.

    Parameters
    ----------
    mean : bool
        Whether the losses are means, to be weighted by what each batch weighs, or sums, to be added.
    """

    _CHUNK = 1024

    def __init__(self, *, mean: bool, xp: Namespace, backend: Backend) -> None:
        self._mean, self._xp, self._backend = mean, xp, backend
        self._values: list[Array] = []
        self._weights: list[Array] = []
        self._sizes: list[int] = []
        self._sum = 0.0
        self._weight = 0.0

    def add(self, value: Array, x: Array, w: Array | None) -> None:
        """Take in the loss of the batch x with sample weights w."""
        self._values.append(value)
        if w is None:
            self._sizes.append(x.shape[0])
        elif self._mean:
            self._weights.append(self._xp.sum(w))
        if len(self._values) == self._CHUNK:
            self._fold()

    def result(self) -> float:
        """The loss over all batches so far; waits for the device."""
        self._fold()
        return self._sum / self._weight if self._mean else self._sum

    def _fold(self) -> None:
        if not self._values:
            return
        values = self._on_host(self._values)
        if self._mean:
            weights = self._on_host(self._weights).tolist() if self._weights else self._sizes
            self._sum += math.fsum(map(mul, values.tolist(), weights))
            self._weight += math.fsum(weights)
        else:
            self._sum += math.fsum(values.tolist())
        self._values, self._weights, self._sizes = [], [], []

    def _on_host(self, scalars: list[Array]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return self._backend.numbers(scalars, self._xp)
