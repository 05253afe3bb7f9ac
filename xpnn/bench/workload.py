"""What is timed: a step of training, or a prediction, of one network on one batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn import optimizers, registry
from xpnn.activations import Softmax
from xpnn.errors import InputError
from xpnn.losses import CategoricalCrossentropy, Loss
from xpnn.network import Sequential, mlp
from xpnn.optimizers import Optimizer

DTYPES = ("float32", "float64")

RATE = 1e-6
"""The learning rate: so small that the network never knows its one batch by heart. Then gradients would be too small
for the processor's fast arithmetic, and a step would take the longer the more steps went before."""


@dataclass(frozen=True)
class Product:
    """One matrix product of a step, (rows, inner) by (inner, columns).

    Attributes
    ----------
    rows, inner, columns : int
    """

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """A multiplication and an addition per term: 2 · rows · inner · columns."""
        return 2 * self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Workload:
    """ReLU hidden layers, a softmax output, integer labels: the same numbers for every contender.

    Parameters
    ----------
    sizes : tuple of int
        The nodes of each layer, input first.
    batch : int
        Rows per step.
    dtype : {"float32", "float64"}
    optimizer : str
        Its name; the hyperparameters are xpnn's defaults, but for the learning rate.
    predict : bool
        Whether a step is a prediction instead of a step of training.

    Raises
    ------
    InputError
        If a size, the batch, the dtype or the optimizer cannot be used.
    """

    sizes: tuple[int, ...]
    batch: int = 256
    dtype: str = "float32"
    optimizer: str = "adam"
    predict: bool = False

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or not all(map(_is_count, self.sizes)):
            given = ",".join(map(str, self.sizes))
            raise InputError(
                f"the network must be at least two whole numbers >= 1, such as 784,512,10; got {given!r}."
            )
        if self.sizes[-1] < 2:
            raise InputError(f"the network must end in at least 2 classes, one output each; got {self.sizes[-1]}.")
        if not _is_count(self.batch):
            raise InputError(f"the batch must be a whole number >= 1, got {self.batch!r}.")
        if self.dtype not in DTYPES:
            raise InputError(registry.unknown("dtype", str(self.dtype), DTYPES))
        optimizers.get(self.optimizer)

    def __str__(self) -> str:
        what = "prediction" if self.predict else f"training with {self.optimizer}"
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}, {self.dtype}, {what}"

    def with_batch(self, batch: int) -> Workload:
        """The same with another batch."""
        return replace(self, batch=batch)

    def with_width(self, width: int) -> Workload:
        """The same with that many nodes in each hidden layer."""
        if len(self.sizes) < 3:
            raise InputError(
                "a network without a hidden layer has no width to change: give it one, as in 784,512,10."
            )
        return replace(self, sizes=(self.sizes[0], *[width] * (len(self.sizes) - 2), self.sizes[-1]))

    @cached_property
    def network(self) -> Sequential:
        """The network, of xpnn's."""
        return mlp(self.sizes, hidden="relu", output=Softmax())

    @property
    def loss(self) -> Loss:
        """Softmax cross-entropy, the mean over the batch."""
        return CategoricalCrossentropy()

    @property
    def rule(self) -> Optimizer:
        """The optimizer and its hyperparameters, with `RATE` for a learning rate."""
        found = optimizers.get(self.optimizer)
        slow: dict[str, Any] = {"learning_rate": RATE} if hasattr(found, "learning_rate") else {}
        return replace(found, **slow)

    def data(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """X, (batch, d), and integer labels, (batch,), on the host: the same at every call."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.batch, self.sizes[0]), dtype=np.float32).astype(self.dtype, copy=False)
        y = rng.integers(0, self.sizes[-1], self.batch)
        seen = min(self.sizes[-1], self.batch)
        y[:seen] = np.arange(seen)  # scikit-learn takes the classes from the labels: each occurs
        return x, y

    def parameters(self) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """The initial W, (l(i-1), l(i)), and b, (l(i),), of each layer, on the host."""
        layers = self.network.unflatten(self.network.init(0))
        return [(np.array(p["W"], self.dtype), np.array(p["b"], self.dtype)) for p in layers]

    @property
    def products(self) -> list[Product]:
        """The matrix products of a step: A W forward; Aᵀ dZ and, above the first layer, dZ Wᵀ backward."""
        n, layers = self.batch, list(zip(self.sizes, self.sizes[1:], strict=False))
        forward = [Product(n, k, m) for k, m in layers]
        if self.predict:
            return forward
        return forward + [Product(k, n, m) for k, m in layers] + [Product(n, m, k) for k, m in layers[1:]]

    @property
    def flops(self) -> int:
        """Floating-point operations of the products of a step; the rest of a step is not counted."""
        return sum(product.flops for product in self.products)

    @property
    def memory(self) -> int:
        """Bytes that one contender needs at least: parameters and what goes with them, the batch, activations."""
        parameters, activations = self.network.n_parameters, self.batch * sum(self.sizes[1:])
        batch = self.batch * self.sizes[0]
        if self.predict:
            numbers = parameters + batch + activations
        else:  # with each parameter a gradient and the moments, with each activation its gradient
            moments = {"sgd": 0}.get(self.optimizer, 2)
            numbers = (2 + moments) * parameters + batch + 2 * activations
        return numbers * np.dtype(self.dtype).itemsize


def _is_count(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool) and int(number) >= 1


def no_such_optimizer(peer: str, workload: Workload) -> InputError:
    """What a peer says of an optimizer that is not written here for it."""
    return InputError(f"{peer}: only adam and sgd are written here, not {workload.optimizer}.")
