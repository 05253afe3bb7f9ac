"""Random numbers as a function of where they are used: (seed, purpose, epoch), never of what ran before.

They are drawn on the host by NumPy's PCG64, so every array library and device gets the same ones.
"""

from __future__ import annotations

import numpy as np

from xpnn.errors import InputError

_PURPOSES = {"weights": 0, "order": 1, "split": 2}


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """The host generator for one purpose (``"weights"``, ``"order"`` or ``"split"``) of one seed.

    Parameters
    ----------
    seed : int
        Zero or more.
    purpose : str
        What the numbers are for; different purposes give independent streams.
    index : int
        Which one of that purpose: the epoch, for the data order.

    Raises
    ------
    InputError
        If the seed is not an integer ≥ 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be an integer >= 0, got {seed!r}.")
    return np.random.default_rng([int(seed), _PURPOSES[purpose], index])


def data_order(n: int, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.integer]]:
    """The shuffled order of n samples in one epoch, shape (n,), as int32 (int64 from 2³¹ samples on)."""
    order = generator(seed, "order", epoch).permutation(n)
    return order.astype(np.int32 if n < 2**31 else np.int64)
