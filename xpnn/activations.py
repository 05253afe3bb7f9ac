"""The activation functions: A = f(Z), element by element (softmax: along the row), and their derivatives.

Each has two methods. ``forward(z, xp=xp)`` gives ``(a, cache)``; ``backward(cache, da, xp=xp)`` gives
``dz = da ⊗ f'(z)``. The cache is A itself wherever the derivative follows from A, so that Z can be dropped; where it
does not, it is f'(z), or of swish a and σ(z).
Shapes: z, a, da and dz are all (n, l). None overflows, whatever z.

Source: section "List activation function" of the course text, down to ELU; those after it name theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, cast

from xpnn.errors import InputError, missing
from xpnn.registry import Registry, unknown
from xpnn.typing import Array, Namespace


@dataclass(frozen=True)
class Activation:
    """Base of the activations. One's own is a frozen dataclass derived from it, its fields being hyperparameters.

    It must define `forward` and `backward`, by functions of xp and operators alone: the same lines run on every
    library, and are compiled, so they must not look at the numbers in arrays (``xp.where``, not ``if``), write into
    what they are given, nor draw anything at random. What they return has the shape, the dtype, the library and the
    device of z; constants are Python floats. `xpnn.testing.check_activation` tries all of it.

    The formulas may depend on the fields and the arguments alone: whatever else they look up, such as a variable of
    the module, is read once and kept with the compiled step, for later trainings too.

    Attributes
    ----------
    bounds : tuple of float
        The interval that the outputs lie in, by default all numbers: a loss of probabilities checks that it is within
        [0, 1].
    weight_initializer : str
        The usual initial weights of a layer with this activation, by default ``"glorot_uniform"``.
    """

    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    weight_initializer: ClassVar[str] = "glorot_uniform"

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, cache)`` from z, (n, l): a is (n, l) too, the cache whatever `backward` needs, a itself perhaps."""
        raise missing(self, "forward")

    def backward(self, cache: Any, da: Array, *, xp: Namespace) -> Array:
        """``dz = da ⊗ ∂a/∂z``, (n, l), from what forward kept and the gradient da at the output, (n, l)."""
        raise missing(self, "backward")


_registry = Registry("activation", Activation)
get = _registry.get
name_of = _registry.name_of
NAMES = _registry.classes


def _logistic(z: Array, xp: Namespace) -> Array:
    e = xp.exp(-xp.abs(z))  # never above 1: e^-z alone overflows for z far below 0
    return xp.where(z >= 0, 1.0, e) / (1.0 + e)


@_registry.register("sigmoid", "logistic")
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


@_registry.register("linear", "identity")
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


@_registry.register("swish", "silu")
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


_SCALE, _ALPHA = 1.0507009873554805, 1.6732632423543772  # λ and α of SELU


@_registry.register("selu")
@dataclass(frozen=True)
class SELU(Activation):
    """Scaled exponential linear unit:  a = λ z if z ≥ 0 else λ α (eᶻ - 1),  λ ≈ 1.0507,  α ≈ 1.6733.

    With LeCun normal weights these two constants keep the mean 0 and the variance 1 of what goes in.
    Backward:  dz = da ⊗ (λ if a ≥ 0 else a + λ α), because λ α eᶻ = a + λ α. At z = 0 the derivative is λ.
    See arXiv:1706.02515.
    """

    bounds = (-_SCALE * _ALPHA, math.inf)
    weight_initializer = "lecun_normal"

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        negative = _SCALE * _ALPHA * xp.expm1(xp.minimum(z, 0.0))  # minimum: as for ELU
        a = xp.where(z >= 0, _SCALE * z, negative)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        a = cache
        return da * xp.where(a >= 0, _SCALE, a + _SCALE * _ALPHA)


@_registry.register("softplus")
@dataclass(frozen=True)
class Softplus(Activation):
    """Softplus, a smooth ReLU:  a = log(1 + eᶻ).   Its outputs are above 0: rates, for a Poisson loss, say.

    Backward:  dz = da ⊗ (1 - e⁻ᵃ), which is σ(z).   Computed as max(z, 0) + log(1 + e⁻|ᶻ|), which does not overflow.
    See Dugas et al., Incorporating second-order functional knowledge, 2001.
    """

    bounds = (0.0, math.inf)
    weight_initializer = "he_normal"

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        a = xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        return -da * xp.expm1(-cache)


@_registry.register("softsign")
@dataclass(frozen=True)
class Softsign(Activation):
    """Softsign:  a = z / (1 + |z|), like tanh but slower towards ±1.

    Backward:  dz = da ⊗ (1 - |a|)².   See Glorot and Bengio, Understanding the difficulty of training deep
    feedforward neural networks, 2010.
    """

    bounds = (-1.0, 1.0)

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        a = z / (1.0 + xp.abs(z))
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        rest = 1.0 - xp.abs(cache)
        return da * (rest * rest)


@_registry.register("hard_sigmoid")
@dataclass(frozen=True)
class HardSigmoid(Activation):
    """Sigmoid in three straight pieces:  a = min(max(z / 6 + 1/2, 0), 1), as ``torch.nn.Hardsigmoid``.

    Backward:  dz = da ⊗ (1/6 if 0 < a < 1 else 0); at z = ±3 the derivative is taken as 0.
    """

    bounds = (0.0, 1.0)

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        a = xp.minimum(xp.maximum(z / 6.0 + 0.5, 0.0), 1.0)
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        a = cache
        return da * (xp.astype((a > 0) & (a < 1), da.dtype) / 6.0)


@_registry.register("mish")
@dataclass(frozen=True)
class Mish(Activation):
    """Mish:  a = z tanh(log(1 + eᶻ)).

    With eᶻ = w / v, the larger of w and v being 1 so that nothing overflows, and d = w² + 2 w v + 2 v²:
    a = z (w² + 2 w v) / d.

    Backward:  dz = da ⊗ (a / z + 4 z w v² (w + v) / d²).   See arXiv:1908.08681.
    """

    bounds = (-0.3088434130172506, math.inf)
    weight_initializer = "he_normal"

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, ∂a/∂z)``."""
        e = xp.exp(-xp.abs(z))
        w, v = xp.where(z >= 0, 1.0, e), xp.where(z >= 0, e, 1.0)
        n = w * (w + 2.0 * v)
        d = n + 2.0 * v * v
        t, r = n / d, v / d
        return z * t, t + z * (4.0 * w * (w + v) * r * r)

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from ∂a/∂z."""
        return da * cache


@_registry.register("gelu")
@dataclass(frozen=True)
class GELU(Activation):
    """Gaussian error linear unit:  a = z Φ(z),  Φ the standard normal distribution, (1 + erf(z / √2)) / 2.

    Backward:  dz = da ⊗ (Φ(z) + z φ(z)),  φ(z) = e^(-z²/2) / √(2π) the density.   See arXiv:1606.08415, and `normal`
    for the error of Φ here.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"`` puts (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2 for Φ(z), as many transformers do: a then differs by
        up to 5e-4. The names are those of ``torch.nn.GELU``.
    """

    approximate: str = "none"
    bounds = (-0.17004075057125413, math.inf)  # of the tanh form, the lower one by 7e-5
    weight_initializer = "he_normal"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise InputError(unknown("approximate of GELU", str(self.approximate), ("none", "tanh")))

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, ∂a/∂z)``."""
        p, density = normal(z, xp) if self.approximate == "none" else _normal_by_tanh(z, xp)
        return z * p, p + z * density

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from ∂a/∂z."""
        return da * cache


_FAR = 40.0  # from here on Φ(-z) and φ(z) are 0 in float64 too, and powers of z need not be taken


def normal(z: Array, xp: Namespace) -> tuple[Array, Array]:
    """Φ(z) and φ(z), the standard normal distribution and its density.

    The Array API has no erf. Here Φ(-|z|) = e^(-z²/2) P(|z|) / Q(|z|) with polynomials of degree 8 and 9, whose terms
    are all positive: one formula for every z, which keeps its digits far below 0.

    The error of Φ is at most 3e-16 in float64 and 2e-7 in float32; relative to Φ, down to z = -7, at most 2e-14 and
    2e-6.

    Source: the form is that of W. J. Cody, Rational Chebyshev approximations for the error function, 1969. The
    coefficients were fitted for this one in 40 digits: P/Q is e^(z²/2) Φ(-z) up to a relative 7e-17 on [0, 12].
    """
    x = xp.minimum(xp.abs(z), _FAR)
    e = xp.exp(-0.5 * x * x)
    tail = e * _polynomial(_P, x) / _polynomial(_Q, x)
    return xp.where(z >= 0, 1.0 - tail, tail), e * (1.0 / math.sqrt(2.0 * math.pi))


# from the highest power down
_P = (
    4.904618771555945e-06, 0.00012295744240485362, 0.001479437729493492, 0.011038921973391062, 0.05560443504851565,
    0.19359181018511548, 0.4572332347490443, 0.678234371959373, 0.5,
)  # fmt: skip
_Q = (
    1.2294056034783507e-05, 0.00030820860712038215, 0.0037206942450721597, 0.02797869005739228, 0.14306330421726232,
    0.5123192434590128, 1.2781687957158967, 2.1333917098497017, 2.154353304721624, 1.0,
)  # fmt: skip


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Horner's scheme."""
    first, *rest = coefficients
    value: Any = first
    for c in rest:
        value = value * x + c
    return cast(Array, value)


def _normal_by_tanh(z: Array, xp: Namespace) -> tuple[Array, Array]:
    """σ(2 √(2/π) (z + 0.044715 z³)) for Φ(z), which is the form with tanh, and its derivative for φ(z)."""
    x = xp.maximum(xp.minimum(z, _FAR), -_FAR)
    square = x * x
    c = 2.0 * math.sqrt(2.0 / math.pi)
    p = _logistic(c * x * (1.0 + 0.044715 * square), xp)
    return p, p * (1.0 - p) * (c + 3.0 * 0.044715 * c * square)


@_registry.register("exp")
@dataclass(frozen=True)
class Exp(Activation):
    """Exponential:  a = eᶻ, at most about the largest number there is; for outputs that are counts or rates.

    Backward:  dz = da ⊗ a.
    """

    bounds = (0.0, math.inf)

    def forward(self, z: Array, *, xp: Namespace) -> tuple[Array, Any]:
        """``(a, a)``."""
        largest = math.log(float(xp.finfo(z.dtype).max)) - 1.0
        a = xp.exp(xp.minimum(z, largest))
        return a, a

    def backward(self, cache: Array, da: Array, *, xp: Namespace) -> Array:
        """``dz`` from a."""
        return da * cache
