"""Update rules over the flat parameter vector θ and its gradient g.

A rule is a few lines of operators, one element at a time; it knows nothing of layers or libraries. It may
write into the arrays it is given and returns the updated ones, θ first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

from xpnn.errors import InputError
from xpnn.registry import Registry
from xpnn.typing import Array, Namespace

Rule = Callable[..., tuple[Array, ...]]


def sgd(theta: Array, g: Array, rate: float) -> tuple[Array, ...]:
    """Gradient descent:  θ ← θ - α g."""
    theta -= rate * g  # rebinds where the library cannot write in place
    return (theta,)


def adam(
    theta: Array, g: Array, m: Array, v: Array, rate: float, share_1: float, share_2: float, epsilon: float
) -> tuple[Array, ...]:
    """Adam:  m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,  θ ← θ - α m / (√v + ε).

    The shares are 1 - β₁ and 1 - β₂, worked out where there are enough digits for it.
    """
    m += (g - m) * share_1
    v += (g * g - v) * share_2
    theta -= rate * m / (v**0.5 + epsilon)
    return theta, m, v


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimizers: hyperparameters, the state to start from, and a rule.

    Attributes
    ----------
    rule : callable
        ``rule(theta, g, *moments, *constants) → (theta, *moments)``.
    """

    rule: ClassVar[Rule]

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """The moments before the first step: flat vectors of shape (P,)."""
        raise NotImplementedError

    def constants(self, step: int) -> tuple[float, ...]:
        """The numbers that the rule takes at this step, counted from 0."""
        raise NotImplementedError


_registry = Registry("optimizer", Optimizer)
get = _registry.get
NAMES = _registry.classes


@_registry.register("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent:  W ← W - α ∂J/∂W,  b ← b - α ∂J/∂b.

    Parameters
    ----------
    learning_rate : float
        α > 0.

    Raises
    ------
    InputError
        If the learning rate is not a finite number above 0.

    Notes
    -----
    Source: section "Backpropagation", the updates of the 2-3-4-1 network.
    """

    learning_rate: float = 0.01
    rule = staticmethod(sgd)

    def __post_init__(self) -> None:
        _check(self, "learning_rate", "a number > 0", 0 < _number(self.learning_rate) < math.inf)

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """No moments."""
        return ()

    def constants(self, step: int) -> tuple[float, ...]:
        """``(α,)``."""
        return (float(self.learning_rate),)


@_registry.register("adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moments:  θ ← θ - α m̂ / (√v̂ + ε),  with  m̂ = m / (1 - β₁ᵗ)  and  v̂ = v / (1 - β₂ᵗ).

    m and v are running means of the gradient and of its square; dividing by 1 - βᵗ at step t = 1, 2, … makes up
    for their start at zero. Defaults and definition are those of ``torch.optim.Adam``.

    Parameters
    ----------
    learning_rate : float
        α > 0.
    beta_1, beta_2 : float
        How much of m and v is kept at each step, 0 ≤ β < 1.
    epsilon : float
        ε > 0: keeps the quotient finite where the gradient vanishes.

    Raises
    ------
    InputError
        If a hyperparameter is outside its interval.

    Notes
    -----
    With  α √(1 - β₂ᵗ) / (1 - β₁ᵗ)  for α and  ε √(1 - β₂ᵗ)  for ε the rule needs neither m̂ nor v̂.
    Source: arXiv:1412.6980, section 2.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    rule = staticmethod(adam)

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon"):
            _check(self, name, "a number > 0", 0 < _number(getattr(self, name)) < math.inf)
        for name in ("beta_1", "beta_2"):
            _check(self, name, "a number from 0 to below 1", 0 <= _number(getattr(self, name)) < 1)

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """Both moments zero."""
        return xp.zeros_like(params), xp.zeros_like(params)

    def constants(self, step: int) -> tuple[float, ...]:
        """``(α √(1 - β₂ᵗ) / (1 - β₁ᵗ), 1 - β₁, 1 - β₂, ε √(1 - β₂ᵗ))`` at t = step + 1."""
        t = step + 1
        root = math.sqrt(1.0 - self.beta_2**t)
        rate = self.learning_rate * root / (1.0 - self.beta_1**t)
        return rate, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon * root


def _number(value: object) -> float:
    """The value as a number, NaN if it is none: NaN fails every comparison."""
    return float(value) if isinstance(value, Real) else math.nan


def _check(optimizer: Optimizer, name: str, expected: str, right: bool) -> None:
    if not right:
        raise InputError(f"{type(optimizer).__name__}: {name} must be {expected}, got {getattr(optimizer, name)!r}.")
