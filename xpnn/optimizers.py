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
        if not (isinstance(self.learning_rate, Real) and 0 < self.learning_rate < math.inf):
            raise InputError(f"SGD: learning_rate must be a number > 0, got {self.learning_rate!r}.")

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """No moments."""
        return ()

    def constants(self, step: int) -> tuple[float, ...]:
        """``(α,)``."""
        return (float(self.learning_rate),)
