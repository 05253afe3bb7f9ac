"""scikit-learn's definitions where they are not xpnn's: losses, update rules, first weights, order of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from xpnn import arrays, losses, rules
from xpnn.activations import Exp, Sigmoid, Softmax
from xpnn.checks import Data
from xpnn.estimators.validation import SCORE
from xpnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    SigmoidBinaryCrossentropy,
    SoftmaxCategoricalCrossentropy,
)
from xpnn.network import Sequential
from xpnn.optimizers import Optimizer
from xpnn.rules import Rule
from xpnn.schedules import Schedule
from xpnn.training.batches import EpochLoss
from xpnn.training.loop import Loop
from xpnn.training.step import State
from xpnn.typing import Array, HostArray, Namespace


class _OverSamples(Loss):
    """A loss whose mean is over the samples alone: what a sample's outputs cost is added up."""

    def _per_sample(self, terms: Array) -> int:
        return 1


@dataclass(frozen=True)
class LabelsCrossentropy(_OverSamples, BinaryCrossentropy):
    """Binary cross-entropy, of several labels the sum."""


@dataclass(frozen=True)
class _LogitsOfLabelsCrossentropy(_OverSamples, SigmoidBinaryCrossentropy):
    """The same of the logits; what it reports is of probabilities kept off 0 and 1, its gradient is A - Y."""

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient of the logits, both (n, k)."""
        a, _ = Sigmoid().forward(prediction, xp=xp)
        p = _kept_off(a, xp)
        return -(y * xp.log(p) + (1.0 - y) * xp.log(1.0 - p)), a - y


@dataclass(frozen=True)
class ClassesCrossentropy(CategoricalCrossentropy):
    """Categorical cross-entropy."""


@dataclass(frozen=True)
class _LogitsOfClassesCrossentropy(SoftmaxCategoricalCrossentropy):
    """The same of the logits; what it reports is of probabilities kept off 0 and 1, its gradient is A - Y."""

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms, (n, 1), and gradient of the logits, (n, k), for y with a 1 in each row and 0 else."""
        a, _ = Softmax().forward(prediction, xp=xp)
        of_class = xp.sum(y * a, axis=1, keepdims=True)  # first: one logarithm for each row instead of k
        return -xp.log(_kept_off(of_class, xp)), a - y


def _kept_off(a: Array, xp: Namespace) -> Array:
    """Probabilities no nearer to 0 and 1 than ε of their dtype."""
    eps = float(xp.finfo(a.dtype).eps)
    return xp.minimum(xp.maximum(a, eps), 1.0 - eps)


@dataclass(frozen=True)
class HalfSquaredError(_OverSamples):
    """Half the squared error:  terms = (ŷ - y)² / 2 over the outputs' number, gradient ŷ - y.

    Of several outputs scikit-learn reports the mean and descends along the gradient of the sum.
    """

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, k)."""
        difference = prediction - y
        return difference * difference * (0.5 / y.shape[1]), difference


@dataclass(frozen=True)
class PoissonDeviance(_OverSamples):
    """Half the Poisson deviance:  terms = y log(y / ŷ) - y + ŷ, gradient 1 - y / ŷ."""

    domain = (0.0, math.inf)
    targets = (0.0, math.inf)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, k)."""
        return y * xp.log(xp.where(y > 0, y, 1.0) / prediction) - y + prediction, 1.0 - y / prediction


@dataclass(frozen=True)
class _LogPoissonDeviance(PoissonDeviance):
    """The same of logits, ŷ = eᶻ:  gradient eᶻ - y."""

    domain = (-math.inf, math.inf)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, k)."""
        a = xp.exp(prediction)
        return y * (xp.log(xp.where(y > 0, y, 1.0)) - prediction) - y + a, a - y


losses.fuse(Sigmoid, LabelsCrossentropy, _LogitsOfLabelsCrossentropy)
losses.fuse(Softmax, ClassesCrossentropy, _LogitsOfClassesCrossentropy)
losses.fuse(Exp, PoissonDeviance, _LogPoissonDeviance)


def momentum(theta: Array, g: Array, v: Array, rate: float, mu: float) -> tuple[Array, ...]:
    """Momentum with the rate inside:  v ← μ v - α g,  θ ← θ + v."""
    v *= mu
    v -= rate * g
    theta += v
    return theta, v


def nesterov(theta: Array, g: Array, v: Array, rate: float, mu: float) -> tuple[Array, ...]:
    """Nesterov's:  v ← μ v - α g,  θ ← θ + μ v - α g."""
    v *= mu
    v -= rate * g
    theta += mu * v - rate * g
    return theta, v


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent whose velocity keeps the rates it was made with: μ may be 1."""

    learning_rate: Schedule
    momentum: float
    nesterovs_momentum: bool

    @property
    def rule(self) -> Rule:
        """Plain without momentum."""
        if not self.momentum:
            return rules.sgd
        return nesterov if self.nesterovs_momentum else momentum

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """V = 0 if there is momentum."""
        return (xp.zeros_like(params),) if self.momentum else ()

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """``(α, μ)``."""
        return (rate, float(self.momentum)) if self.momentum else (rate,)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam whose ε is not scaled with the second moment; β may be 1."""

    learning_rate: Schedule
    beta_1: float
    beta_2: float
    epsilon: float

    @property
    def rule(self) -> Rule:
        """Adam's."""
        return rules.adam

    def init(self, params: Array, *, xp: Namespace) -> tuple[Array, ...]:
        """Both moments zero."""
        return xp.zeros_like(params), xp.zeros_like(params)

    def constants(self, step: int, rate: float) -> tuple[float, ...]:
        """As `xpnn.Adam`'s, but for ε."""
        t = step + 1
        corrected = 1.0 - self.beta_1**t
        scaled = rate * math.sqrt(1.0 - self.beta_2**t) / corrected if corrected else math.inf
        return scaled, 1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon


class Rate(Schedule):
    """A learning rate that is set after each epoch by whoever watches the training.

    Parameters
    ----------
    now : float
        The rate of the next step.
    """

    now: float

    def __init__(self, now: float) -> None:
        self.set(now)

    def set(self, now: float) -> None:
        """Take another from now on."""
        object.__setattr__(self, "now", now)

    @property
    def by_step(self) -> bool:
        """To be asked for at each step: it costs less than to find out whether that is needed."""
        return True

    def rate(self, step: int, per_epoch: int = 1, history: Any = None) -> float:
        """The one set last."""
        return self.now


def first_weights(
    network: Sequential, generator: np.random.RandomState, dtype: str, *, logistic: bool
) -> list[dict[str, HostArray]]:
    """W and b of each layer that has them, uniform up to √(6 / (n_in + n_out)), in logistic networks √(2 / …)."""
    factor = 2.0 if logistic else 6.0
    layers = []
    for named in network.parameter_shapes:
        if not named:
            continue
        n_in, n_out = named["W"]
        bound = math.sqrt(factor / (n_in + n_out))
        W = generator.uniform(-bound, bound, (n_in, n_out))
        b = generator.uniform(-bound, bound, n_out)
        layers.append({"W": W.astype(dtype), "b": b.astype(dtype)})
    return layers


@dataclass
class ScikitLoop(Loop):
    """A training in scikit-learn's order of the data, each batch's loss counting by its number of samples.

    Attributes
    ----------
    shuffled : callable
        ``shuffled(epoch)``: the rows in their order, None for as they are.
    going_on : State, optional
        What to go on from: moments and step of a training before.
    batchwise : sparse matrix, optional
        X of the training, of which one batch at a time is made dense; that of `train` is its first row.
    """

    shuffled: Callable[[int], HostArray | None] = lambda epoch: None
    going_on: State | None = None
    batchwise: Any = None

    def first(self, params: Array) -> State:
        """With copies of the moments and the step of the training before, if there is one."""
        new = super().first(params)
        if self.going_on is None:
            return new
        moments = tuple(arrays.copy(each, self.xp) for each in self.going_on.moments)
        return new._replace(moments=moments, step=self.going_on.step)

    def epoch_loss(self) -> EpochLoss:
        """The mean by samples, whatever they weigh."""
        return _BySamples(mean=True, xp=self.xp, backend=self.backend)

    def order(self, epoch: int) -> HostArray | None:
        """Asked for in each epoch, even if one batch holds all: the numbers drawn later follow from it."""
        return self.shuffled(epoch)

    @cached_property
    def _rising(self) -> frozenset[str]:
        """The score among them."""
        return super()._rising | {SCORE}

    @property
    def per_epoch(self) -> int:
        """As of any training."""
        n = self.train[1].shape[0]
        return -(-n // (self.batch_size or n))

    def _batches(self, epoch: int) -> Iterator[Data]:
        return super()._batches(epoch) if self.batchwise is None else self._dense_batches(self.order(epoch))

    def _dense_batches(self, order: HostArray | None) -> Iterator[Data]:
        X, y, w = self.train
        n, size = y.shape[0], self.batch_size or y.shape[0]
        order = np.arange(n) if order is None else order
        for start in range(0, n, size):
            rows = order[start : start + size]
            there = arrays.from_host(rows, self.xp, device=arrays.device(X))
            dense = arrays.from_host(self.batchwise[rows].toarray(), self.xp, dtype=X.dtype, device=arrays.device(X))
            parts = (None if each is None else self.xp.take(each, there, axis=0) for each in (y, w))
            yield dense, *parts  # type: ignore[misc]

    def _last_loss(self, *batch: Any) -> float:
        """NaN if a parameter is not finite, which is all that scikit-learn looks at."""
        return 0.0 if bool(self.xp.all(self.xp.isfinite(self.state.params))) else math.nan

    def _loss_of(self, reached: Any) -> float:
        if self.batchwise is None:
            return super()._loss_of(reached)
        params = self._params(reached)
        return math.fsum(float(self._value(params, reached.buffers, *each)) for each in self._dense_batches(None))


class _BySamples(EpochLoss):
    def add(self, value: Array, x: Array, w: Array | None) -> None:
        super().add(value, x, None)
