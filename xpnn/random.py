"""Random numbers as a function of where they are used: (seed, purpose, epoch), never of what ran before.

Initial weights and the order of the data are drawn on the host by NumPy's PCG64; noise within a step is hashed where
the arrays are. Every array library and device gets the same ones.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from xpnn.errors import InputError
from xpnn.typing import Array, HostArray, HostGenerator, Namespace

_PURPOSES = {"weights": 0, "order": 1, "split": 2, "noise": 3, "trials": 4}


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """The host generator for one purpose (``"weights"``, ``"order"``, ``"split"`` or ``"trials"``) of one seed.

    Parameters
    ----------
    seed : int
        Zero or more.
    purpose : str
        What the numbers are for; different purposes give independent streams.
    index : int
        Which one of that purpose: the epoch, for the data order; the number, for the trials of a search.

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


def split(y: HostArray, fraction: float, rng: HostGenerator, *, classes: bool) -> tuple[HostArray, HostArray]:
    """Row numbers to train on and to hold out: at random, and of each class the same share.

    Parameters
    ----------
    y : array, shape (n,)
        The class numbers; with ``classes=False`` only their count matters.
    fraction : float
        The share to hold out, 0 ≤ fraction < 1.
    """
    groups = [np.flatnonzero(y == value) for value in np.unique(y)] if classes else [np.arange(len(y))]
    held = [rng.permutation(rows)[: round(fraction * len(rows))] for rows in groups]
    test = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), test), test


_WORD = 0x7FFFFFFF
_ODD_1, _ODD_2, _ODD_3 = 0x2C1B3C6D, 0x297A2D39, 0x5851F42D


def chances(
    shape: tuple[int, ...], share: float, *, seed: int, step: int | Array, layer: int, xp: Namespace, device: object
) -> Array:
    """A boolean array, each entry of which is true with the probability `share`: a hash of where it is, and when.

    The entry's number, the seed, the step and the layer are mixed by multiplications and shifts of 32-bit words that
    come out alike on every library and device, so the same entries are true everywhere and after resuming.

    Parameters
    ----------
    shape : tuple of int
    share : float
        0 < share < 1; in steps of 2⁻³¹.
    seed, layer : int
    step : int or array, shape ()
        In a compiled step an array.
    xp : namespace
    device
        Where to.

    Notes
    -----
    Two rounds of xor-shift and multiply, as in C. Wellons' hash prospector (lowbias32's form).
    """
    place = int(np.random.SeedSequence([int(seed), _PURPOSES["noise"], int(layer)]).generate_state(1)[0])
    key = (step * _ODD_3 + (place & _WORD)) & _WORD  # of a number, or of an array whose products wrap around
    h = xp.reshape(xp.arange(math.prod(shape), dtype=xp.int32, device=device), shape) * 0x7FEB352D
    h = h ^ key
    for odd in (_ODD_1, _ODD_2):
        h = (h ^ ((h >> 16) & 0xFFFF)) * odd
        h = h ^ ((h >> 13) & 0x7FFFF)
    return cast(Array, (h & _WORD) < round(share * 2**31))
