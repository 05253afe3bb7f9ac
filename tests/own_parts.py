"""Parts of a user's own, one of each kind, as they would stand in a module beside a program."""

import math
from dataclasses import dataclass, field

import numpy as np

import xpnn


@dataclass(frozen=True)
class Snake(xpnn.Activation):
    """a = z + sin²(ω z) / ω, with f'(z) = 1 + sin(2 ω z)."""

    frequency: float = 1.0

    def forward(self, z, *, xp):
        return z + xp.sin(self.frequency * z) ** 2 / self.frequency, z

    def backward(self, cache, da, *, xp):
        return da * (1.0 + xp.sin(2.0 * self.frequency * cache))


@dataclass(frozen=True)
class Charbonnier(xpnn.Loss):
    """√(e² + ε²) - ε, e = ŷ - y."""

    epsilon: float = 0.1

    def terms(self, prediction, y, *, xp):
        error = prediction - y
        root = xp.sqrt(error * error + self.epsilon**2)
        return root - self.epsilon, error / root


@dataclass(frozen=True)
class Scale(xpnn.Layer):
    """Y = g ⊗ X + c for each column, and the mean of what it met, with an activation of its own."""

    start: float = 1.0
    bias: xpnn.Initializer = field(default_factory=xpnn.Zeros)
    marks: tuple[float, ...] = ()

    def parameter_shapes(self, input_shape):
        return {"g": input_shape, "c": input_shape}

    def output_shape(self, input_shape):
        return input_shape

    def init(self, input_shape, rng):
        return {"g": np.full(input_shape, self.start), "c": self.bias.sample(input_shape, rng)}

    def init_buffers(self, input_shape):
        return {"mean": np.zeros(input_shape)}

    def forward(self, params, x, ctx):
        if ctx.training:
            mean = ctx.xp.sum(x, axis=0) * (1.0 / x.shape[0])
            ctx.buffers = {"mean": 0.9 * ctx.buffers["mean"] + 0.1 * mean}
        return params["g"] * x + params["c"], x

    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        gradients = {"g": ctx.xp.sum(dy * cache, axis=0), "c": ctx.xp.sum(dy, axis=0)}
        return (dy * params["g"] if input_gradient else None), gradients


def _signum(theta, g, m, rate, share):
    m += (g - m) * share
    theta -= rate * (m / (abs(m) + 1e-3))
    return theta, m


@dataclass(frozen=True)
class Signum(xpnn.Optimizer):
    """θ ← θ - α m / (|m| + ε), m a running mean of the gradient."""

    learning_rate: float | xpnn.Schedule = 0.01
    beta: float = 0.9

    @property
    def rule(self):
        return _signum

    def init(self, params, *, xp):
        return (xp.zeros_like(params),)

    def constants(self, step, rate):
        return rate, 1.0 - self.beta


@dataclass(frozen=True)
class Group(xpnn.Penalty):
    """The norm of each array, √(Σ w²), with the derivative 0 where all are 0."""

    def value(self, w, *, xp):
        return xp.sqrt(xp.sum(w * w))

    def derivative(self, w, *, xp):
        return w / xp.maximum(xp.sqrt(xp.sum(w * w)), 1e-12)


@dataclass(frozen=True)
class RootMeanSquare(xpnn.Metric):
    """√(Σ w e² / Σ w), the mean over the columns inside the root."""

    larger_is_better = False
    tasks = ("regression", "binary", "multilabel")

    def value(self, prediction, y, w, *, xp):
        error = prediction - y
        share = xp.sum(w) * prediction.shape[1]
        return xp.sqrt(xp.sum(error * error * w[:, None]) / share)


@dataclass(frozen=True)
class Halving(xpnn.Schedule):
    """α / 2 for each so many steps."""

    every: int = 10

    def at(self, t):
        return self.learning_rate * math.pow(0.5, t // self.every)


@dataclass(frozen=True)
class Ones(xpnn.Initializer):
    """All one."""

    def sample(self, shape, rng):
        return np.ones(shape)


def not_a_part():
    """To be found where a part is looked for."""


class Plain:
    """Neither."""


class Undeclared(xpnn.Activation):
    """a = k z, whose k is no field: nothing but the object knows it."""

    def __init__(self, k=1.0):
        object.__setattr__(self, "k", k)

    def forward(self, z, *, xp):
        return z * self.k, z

    def backward(self, cache, da, *, xp):
        return da * self.k
