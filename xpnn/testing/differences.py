"""Derivatives by central differences, to hold formulas to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from xpnn.testing.findings import Numbers
from xpnn.typing import HostGenerator

STEP = 1e-6
RELATIVE = 1e-7
FAR = 30.0
"""How far from 0 to look: formulas that are cut off, as ReLU6 is, go on otherwise out there."""


class Difference(NamedTuple):
    """Where a gradient is not what central differences give.

    Attributes
    ----------
    place : tuple of int
        Of the element; () if it was found along a direction through all of them.
    got, expected : float
    """

    place: tuple[int, ...]
    got: float
    expected: float


def away_from_kinks(rng: HostGenerator, shape: tuple[int, ...]) -> Numbers:
    """Normal numbers none of which is near 0."""
    z = rng.normal(size=shape)
    return z + 0.1 * np.sign(z)


def far_points(rng: HostGenerator, *, far: float = FAR) -> list[Numbers]:
    """Rows of numbers, (1, 10) each, that reach from -far to far; a row holds those of one size.

    Each is looked at by itself: where numbers are large, the rounding would hide what is wrong among small ones.
    """
    ends = np.linspace(-far, far, 61)
    within = rng.uniform(0.05, 0.95, 60)  # by chance, so that no kink is met
    return list((ends[:-1] + within * np.diff(ends)).reshape(6, 1, 10))


def disagreement(
    f: Callable[[Numbers], float],
    gradient: Numbers,
    theta: Numbers,
    rng: HostGenerator,
    *,
    elements: int = 40,
    directions: int = 5,
    least: float = 0.0,
) -> Difference | None:
    """The first place where the gradient of the number f(θ) at θ is not (f(θ + h v) - f(θ - h v)) / 2 h.

    Parameters
    ----------
    f : callable
        Of a host array in float64.
    gradient, theta : array
    rng : generator
    elements : int
        How many single elements to try, each a direction v of its own.
    directions : int
        How many random directions to try as well; where single elements are right, they hardly ever differ.
    least : float
        What the gradient is taken to be at least, where it vanishes and only its rounding is left.

    Returns
    -------
    Difference or None
    """
    size = theta.size
    chosen = range(size) if size <= elements else sorted(rng.choice(size, elements, replace=False).tolist())
    tried = [(tuple(map(int, np.unravel_index(i, theta.shape))), _unit(theta.shape, i)) for i in chosen]
    for _ in range(directions):
        v = rng.normal(size=theta.shape)
        tried.append(((), v / np.linalg.norm(v)))
    for index, v in tried:
        ahead, behind = f(theta + STEP * v), f(theta - STEP * v)
        expected, got = (ahead - behind) / (2 * STEP), float((gradient * v).sum())
        # what is nearly at right angles to the gradient has no digits left to compare
        rounding = 8 * np.finfo(np.float64).eps * max(abs(ahead), abs(behind)) / STEP
        if not abs(got - expected) <= RELATIVE * max(abs(got), abs(gradient).max(), least) + rounding:
            return Difference(index, got, expected)
    return None


def _unit(shape: tuple[int, ...], i: int) -> Numbers:
    v = np.zeros(shape)
    v.flat[i] = 1.0
    return v
