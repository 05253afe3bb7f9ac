"""Update rules over the flat parameter vector θ and its gradient g.

A rule is a few lines of operators, one element at a time; it knows nothing of layers or libraries. It may
write into the arrays it is given and returns the updated ones, θ first. `share` is 1 - β: how much of what is new a
running mean takes in, worked out where there are enough digits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from xpnn.typing import Array

Rule = Callable[..., tuple[Array, ...]]


def sgd(theta: Array, g: Array, rate: float) -> tuple[Array, ...]:
    """Gradient descent:  θ ← θ - α g."""
    theta -= rate * g  # rebinds where the library cannot write in place
    return (theta,)


def heavy_ball(theta: Array, g: Array, m: Array, rate: float, momentum: float, share: float) -> tuple[Array, ...]:
    """Momentum:  m ← μ m + (1 - τ) g,  θ ← θ - α m, with the dampening τ."""
    m *= momentum
    m += share * g
    theta -= rate * m
    return theta, m


def nesterov(theta: Array, g: Array, m: Array, rate: float, momentum: float, share: float) -> tuple[Array, ...]:
    """Nesterov's momentum:  m ← μ m + g,  θ ← θ - α (g + μ m)."""
    m *= momentum
    m += share * g
    theta -= rate * (g + momentum * m)
    return theta, m


def adam(
    theta: Array, g: Array, m: Array, v: Array, rate: float, share_1: float, share_2: float, epsilon: float
) -> tuple[Array, ...]:
    """Adam:  m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,  θ ← θ - α m / (√v + ε)."""
    m += (g - m) * share_1
    v += (g * g - v) * share_2
    theta -= rate * m / (v**0.5 + epsilon)
    return theta, m, v


def nadam(
    theta: Array, g: Array, m: Array, v: Array, rate_g: float, rate_m: float, share_1: float, share_2: float,
    epsilon: float,
) -> tuple[Array, ...]:  # fmt: skip
    """Adam with Nesterov's momentum:  θ ← θ - (α_g g + α_m m) / (√v + ε)."""
    m += (g - m) * share_1
    v += (g * g - v) * share_2
    theta -= (rate_g * g + rate_m * m) / (v**0.5 + epsilon)
    return theta, m, v


def rmsprop(theta: Array, g: Array, v: Array, rate: float, share: float, epsilon: float) -> tuple[Array, ...]:
    """RMSprop:  v ← ρ v + (1 - ρ) g²,  θ ← θ - α g / (√v + ε)."""
    v += (g * g - v) * share
    theta -= rate * g / (v**0.5 + epsilon)
    return theta, v


def rmsprop_momentum(
    theta: Array, g: Array, v: Array, b: Array, rate: float, share: float, epsilon: float, momentum: float
) -> tuple[Array, ...]:
    """RMSprop with momentum:  b ← μ b + g / (√v + ε),  θ ← θ - α b."""
    v += (g * g - v) * share
    b *= momentum
    b += g / (v**0.5 + epsilon)
    theta -= rate * b
    return theta, v, b


def rmsprop_centered(
    theta: Array, g: Array, v: Array, a: Array, rate: float, share: float, epsilon: float
) -> tuple[Array, ...]:
    """Centered RMSprop:  a ← ρ a + (1 - ρ) g,  θ ← θ - α g / (√(v - a²) + ε)."""
    v += (g * g - v) * share
    a += (g - a) * share
    theta -= rate * g / (abs(v - a * a) ** 0.5 + epsilon)  # abs: rounding may bring it below 0
    return theta, v, a


def rmsprop_centered_momentum(
    theta: Array, g: Array, v: Array, a: Array, b: Array, rate: float, share: float, epsilon: float, momentum: float
) -> tuple[Array, ...]:
    """Centered RMSprop with momentum:  b ← μ b + g / (√(v - a²) + ε),  θ ← θ - α b."""
    v += (g * g - v) * share
    a += (g - a) * share
    b *= momentum
    b += g / (abs(v - a * a) ** 0.5 + epsilon)
    theta -= rate * b
    return theta, v, a, b


def adagrad(theta: Array, g: Array, s: Array, rate: float, epsilon: float) -> tuple[Array, ...]:
    """Adagrad:  s ← s + g²,  θ ← θ - α g / (√s + ε)."""
    s += g * g
    theta -= rate * g / (s**0.5 + epsilon)
    return theta, s


def adadelta(
    theta: Array, g: Array, v: Array, u: Array, rate: float, share: float, epsilon: float
) -> tuple[Array, ...]:
    """Adadelta:  v ← ρ v + (1 - ρ) g²,  d = g √(u + ε) / √(v + ε),  u ← ρ u + (1 - ρ) d²,  θ ← θ - α d."""
    v += (g * g - v) * share
    d = g * ((u + epsilon) ** 0.5 / (v + epsilon) ** 0.5)
    u += (d * d - u) * share
    theta -= rate * d
    return theta, v, u


def lion(
    theta: Array, g: Array, m: Array, rate: float, share_1: float, share_2: float, tiny: float
) -> tuple[Array, ...]:
    """Lion:  θ ← θ - α sign(β₁ m + (1 - β₁) g),  m ← β₂ m + (1 - β₂) g."""
    c = m + (g - m) * share_1
    theta -= rate * (c / (abs(c) + tiny))
    m += (g - m) * share_2
    return theta, m


@cache  # the same rule for the same rule: a compiled step is found again
def coupled(rule: Rule) -> Rule:
    """The rule with weight decay in the gradient:  g ← g + λ θ  first; λ is the last constant."""

    def decayed(theta: Array, g: Array, *rest: Array | float) -> tuple[Array, ...]:
        *others, decay = rest
        g += decay * theta
        return rule(theta, g, *others)

    return decayed


@cache
def decoupled(rule: Rule) -> Rule:
    """The rule with weight decay beside the gradient:  θ ← (1 - α λ) θ  first; that factor is the last constant."""

    def decayed(theta: Array, g: Array, *rest: Array | float) -> tuple[Array, ...]:
        *others, kept = rest
        theta *= kept
        return rule(theta, g, *others)

    return decayed
