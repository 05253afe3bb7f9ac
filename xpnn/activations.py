"""The activation functions: A = f(Z), element by element (softmax: along the row), and their derivatives.

Each has two methods. ``forward(z, xp=xp)`` gives ``(a, cache)``; ``backward(cache, da, xp=xp)`` gives
``dz = da ⊗ f'(z)``. The cache is A itself wherever the derivative follows from A, so that Z can be dropped.
Shapes: z, a, da and dz are all (n, l). None overflows, whatever z.

Source: section "List activation function" of the course text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from xpnn.errors import InputError
from xpnn.registry import Registry
from xpnn.typing import Array, Namespace


@dataclass(frozen=True)
class Activation:
    """Base of the activations; subclass it to write one's own.

    Attributes
    ----------
    bounds : tuple of float
        The interval that the outputs lie in: a loss of probabilities checks that it is within [0, 1].
    weight_initializer : str
        The usual initial weights of a layer with this activation.
    """

    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    weight_initializer: ClassVar[str] = "glorot_uniform"

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, cache)`` from z."""
        raise NotImplementedError

    def backward(self, cache: Any, da: Array, *, xp: Namespace) -> Array:
        """``dz = da ⊗ ∂a/∂z`` from what forward kept and the gradient da at the output."""
        raise NotImplementedError


_registry = Registry("activation", Activation)
get = _registry.get
name_of = _registry.name_of
NAMES = _registry.classes


def _logistic(z: Array, xp: Namespace) -> Array:
    e = xp.exp(-xp.abs(z))  # never above 1: e^-z alone overflows for z far below 0
    return xp.where(z >= 0, 1.0, e) / (1.0 + e)


@_registry.register("sigmoid")
@dataclass(frozen=True)
class Sigmoid(Activation):
    """Logistic function:  a = 1 / (1 + e⁻ᶻ).

    Backward:  dz = da ⊗ a ⊗ (1 - a).   Computed as e⁻|ᶻ| over its sum with 1, which does not overflow.
    """

    bounds = (0.0, 1.0)

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        a = _logistic(z, xp)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        a = cache
        return da * (a * (1.0 - a))


@_registry.register("tanh")
@dataclass(frozen=True)
class Tanh(Activation):
    """Hyperbolic tangent:  a = (eᶻ - e⁻ᶻ) / (eᶻ + e⁻ᶻ).

    Backward:  dz = da ⊗ (1 - a²).
    """

    bounds = (-1.0, 1.0)

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        a = xp.tanh(z)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        a = cache
        return da * (1.0 - a * a)


@_registry.register("relu")
@dataclass(frozen=True)
class ReLU(Activation):
    """Rectified linear unit:  a = max(0, z).

    Backward:  dz = da ⊗ (1 if a > 0 else 0); at z = 0 the derivative is taken as 0.
    """

    bounds = (0.0, math.inf)
    weight_initializer = "he_normal"

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        a = xp.maximum(z, 0.0)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        return da * xp.astype(cache > 0, da.dtype)


@_registry.register("leaky_relu")
@dataclass(frozen=True)
class LeakyReLU(Activation):
    """Leaky rectified linear unit:  a = z if z > 0 else c z,  c a constant ≥ 0.

    Backward:  dz = da ⊗ (1 if a > 0 else c), because a has the sign of z; at z = 0 the derivative is c.

    Parameters
    ----------
    negative_slope : float
        The constant c.
    """

    negative_slope: float = 0.01
    weight_initializer = "he_normal"

    def __post_init__(self) -> None:
        if not (isinstance(self.negative_slope, Real) and 0 <= self.negative_slope < math.inf):
            raise InputError(f"LeakyReLU: negative_slope must be >= 0, got {self.negative_slope!r}.")

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        a = xp.where(z > 0, z, self.negative_slope * z)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        return xp.where(cache > 0, da, self.negative_slope * da)


@_registry.register("softmax")
@dataclass(frozen=True)
class Softmax(Activation):
    """Softmax along each row:  a_i = e^z_i / Σ_j e^z_j, for the output layer of a classification.

    Backward, with the full Jacobian ∂a_i/∂z_j = a_i (δ_ij - a_j):  dz = a ⊗ (da - Σ_j da_j a_j).
    The row's maximum is subtracted from z first; it changes nothing but the overflow.
    """

    bounds = (0.0, 1.0)

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
        a = e / xp.sum(e, axis=-1, keepdims=True)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        a = cache
        return a * (da - xp.sum(da * a, axis=-1, keepdims=True))


@_registry.register("linear")
@dataclass(frozen=True)
class Linear(Activation):
    """Identity:  a = z, for the output layer of a regression.

    Backward:  dz = da.
    """

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(z, None)``."""
        return z, None

    def backward(self, cache: None, da: Array, *, xp: Namespace) -> Array:
        """``da`` itself."""
        return da


@_registry.register("swish")
@dataclass(frozen=True)
class Swish(Activation):
    """Swish, also called SiLU:  a = z σ(z).

    Backward:  dz = da ⊗ (a + σ(z) (1 - a)).   See arXiv:1710.05941.
    """

    bounds = (-0.2784645427610738, math.inf)
    weight_initializer = "he_normal"

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, (a, σ(z)))``."""
        s = _logistic(z, xp)
        a = z * s
        return a, (a, s)

    def backward(self, cache: tuple[Array, Array], da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a and σ(z)."""
        a, s = cache
        return da * (a + s * (1.0 - a))


@_registry.register("elu")
@dataclass(frozen=True)
class ELU(Activation):
    """Exponential linear unit:  a = z if z ≥ 0 else α (eᶻ - 1),  α > 0.

    Backward:  dz = da ⊗ (1 if a ≥ 0 else a + α), because α eᶻ = a + α: z need not be kept. At z = 0 the
    derivative is 1.   See arXiv:1511.07289.

    Parameters
    ----------
    alpha : float
        The constant α.
    """

    alpha: float = 1.0
    weight_initializer = "he_normal"

    def __post_init__(self) -> None:
        if not (isinstance(self.alpha, Real) and 0 < self.alpha < math.inf):
            raise InputError(f"ELU: alpha must be > 0, got {self.alpha!r}.")

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        negative = self.alpha * xp.expm1(xp.minimum(z, 0.0))  # minimum: expm1 must not overflow where z wins
        a = xp.where(z >= 0, z, negative)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        a = cache
        return da * xp.where(a >= 0, 1.0, a + self.alpha)
