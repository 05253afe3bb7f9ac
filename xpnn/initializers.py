"""Initial weights, drawn on the host in float64 so that every array library starts from the same ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xpnn.errors import InputError, missing
from xpnn.registry import Registry
from xpnn.typing import HostArray


@dataclass(frozen=True)
class Initializer:
    """Base of the initializers. One's own is a frozen dataclass derived from it; it must define `sample`."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
        """Draw a NumPy array of the given shape from `rng` alone; for weights the shape is (n_in, n_out)."""
        raise missing(self, "sample")


def draw(initializer: Initializer, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
    """What an initializer draws, found to be of that shape.

    Raises
    ------
    InputError
        If it is not: one of the user's own may give anything.
    """
    drawn = initializer.sample(shape, rng)
    if not isinstance(drawn, np.ndarray) or drawn.shape != shape:
        name = type(initializer).__name__
        got = f"shape {drawn.shape}" if isinstance(drawn, np.ndarray) else f"a {type(drawn).__name__}"
        raise InputError(f"{name}.sample must return a NumPy array of shape {shape}, got {got}.")
    return drawn


_registry = Registry("initializer", Initializer)
get = _registry.get
NAMES = _registry.classes


@_registry.register("zeros")
@dataclass(frozen=True)
class Zeros(Initializer):
    """All zero: the usual bias."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
        """Zeros of the given shape."""
        return np.zeros(shape)


@_registry.register("glorot_uniform")
@dataclass(frozen=True)
class GlorotUniform(Initializer):
    """Uniform on ±√(6 / (n_in + n_out)): variance 2 / (n_in + n_out).   Glorot & Bengio 2010, equation 16."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
        """Weights of shape (n_in, n_out)."""
        return _uniform(2 / (shape[0] + shape[1]), shape, rng)


@_registry.register("glorot_normal")
@dataclass(frozen=True)
class GlorotNormal(Initializer):
    """Normal with variance 2 / (n_in + n_out).   Glorot & Bengio 2010."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
        """Weights of shape (n_in, n_out)."""
        return _normal(2 / (shape[0] + shape[1]), shape, rng)


@_registry.register("he_uniform")
@dataclass(frozen=True)
class HeUniform(Initializer):
    """Uniform on ±√(6 / n_in): variance 2 / n_in.   arXiv:1502.01852."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
        """Weights of shape (n_in, n_out)."""
        return _uniform(2 / shape[0], shape, rng)


@_registry.register("he_normal")
@dataclass(frozen=True)
class HeNormal(Initializer):
    """Normal with variance 2 / n_in.   arXiv:1502.01852, equation 10."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
        """Weights of shape (n_in, n_out)."""
        return _normal(2 / shape[0], shape, rng)


@_registry.register("lecun_normal")
@dataclass(frozen=True)
class LecunNormal(Initializer):
    """Normal with variance 1 / n_in.   LeCun et al. 1998, "Efficient BackProp", section 4.6."""

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
        """Weights of shape (n_in, n_out)."""
        return _normal(1 / shape[0], shape, rng)


def _uniform(variance: float, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
    limit = math.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def _normal(variance: float, shape: tuple[int, ...], rng: np.random.Generator) -> HostArray:
    return rng.normal(0.0, math.sqrt(variance), shape)
