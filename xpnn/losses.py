"""The loss functions J(Ŷ, Y) and their gradients ∂J/∂Ŷ.

Each loss writes two things for every entry, ``(terms, gradient)``; the reduction is the same for all:

- ``"mean"``: J = Σ terms / (how many), as PyTorch defines it: over all elements for squared error and binary
  cross-entropy, over samples for categorical cross-entropy. This is the J of the course text.
- ``"sum"``:  J = Σ terms. This gives the updates printed in the course text, A(2)ᵀ δ(3) with δ = A - Y.
- sample weights w, shape (n,), multiply each sample's terms; the mean divides by Σ w instead of n, so that a
  weight of 2 equals a repeated row.

Shapes: Ŷ, Y and the gradient are (n, k). Source: sections "Loss function" and "Backpropagation".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

from xpnn import arrays
from xpnn.activations import Activation, Linear, Sigmoid, Softmax
from xpnn.errors import InputError
from xpnn.registry import Registry, unknown
from xpnn.typing import Array, Namespace


@dataclass(frozen=True)
class Loss:
    """Base of the losses; a subclass writes `terms`.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        How the terms become one number.

    Attributes
    ----------
    domain : tuple of float
        The interval that predictions must lie in.
    targets : tuple of float
        The interval that targets must lie in.
    """

    reduction: str = "mean"

    domain: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    targets: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if self.reduction not in ("mean", "sum"):
            raise InputError(unknown("reduction", str(self.reduction), ("mean", "sum")))

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """The terms that J adds up, (n, k) or (n, 1), and their gradient with respect to Ŷ, (n, k)."""
        raise NotImplementedError

    def value_and_grad(
        self, prediction: Array, y: Array, sample_weight: Array | None = None, *, xp: Namespace | None = None
    ) -> tuple[Array, Array]:
        """J and ∂J/∂Ŷ.

        Parameters
        ----------
        prediction : array, shape (n, k)
            The network's output Ŷ.
        y : array, shape (n, k)
            The targets Y. For `CategoricalCrossentropy` also integer labels, shape (n,); they are not looked
            at, so one outside the classes counts as none (`fit` refuses it).
        sample_weight : array, shape (n,), optional
            The weight of each sample, ≥ 0.
        xp : namespace, optional
            The arrays' namespace, if the caller has looked it up already.

        Returns
        -------
        loss : array, shape ()
        gradient : array, shape (n, k)

        Raises
        ------
        InputError
            If the shapes do not fit.
        """
        if xp is None:
            xp = arrays.namespace(prediction=prediction, y=y, sample_weight=sample_weight)
        if y.shape != prediction.shape:
            y = self._expand(y, prediction, xp)
        if y.dtype != prediction.dtype:
            y = xp.astype(y, prediction.dtype)
        terms, gradient = self.terms(prediction, y, xp=xp)
        factor = self._factor(terms, sample_weight, xp)
        return xp.sum(terms * factor), gradient * factor

    def __call__(self, prediction: Array, y: Array, sample_weight: Array | None = None) -> Array:
        """J alone, an array of shape ()."""
        return self.value_and_grad(prediction, y, sample_weight)[0]

    def _expand(self, y: Array, prediction: Array, xp: Namespace) -> Array:
        raise InputError(
            f"y must have shape {tuple(prediction.shape)}, as the prediction, got {tuple(y.shape)}"
            + (": y[:, None] makes a column." if y.ndim == 1 and prediction.shape[1] == 1 else ".")
        )

    def _factor(self, terms: Array, sample_weight: Array | None, xp: Namespace) -> float | Array:
        """What multiplies every term: a number, or a column (n, 1) of weights."""
        per_sample = terms.shape[1]
        if sample_weight is None:
            return 1.0 if self.reduction == "sum" else 1.0 / max(1, terms.shape[0] * per_sample)
        if sample_weight.shape != (terms.shape[0],):
            raise InputError(f"sample_weight must have shape ({terms.shape[0]},), got {tuple(sample_weight.shape)}.")
        w = xp.astype(sample_weight, terms.dtype)[:, None]
        if self.reduction == "sum":
            return w
        # a batch whose weights are all 0 has a loss of 0, not 0 / 0
        return w / xp.maximum(xp.sum(w) * per_sample, float(xp.finfo(terms.dtype).smallest_normal))


_registry = Registry("loss", Loss)
get = _registry.get
NAMES = _registry.classes


@_registry.register("mse", "mean_squared_error")
@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Squared error, for regression:  terms = (ŷ - y)²,  ∂/∂ŷ = 2 (ŷ - y).

    The mean is over all n k elements, as in ``torch.nn.MSELoss``. Of a linear output it is already a function
    of the logits.
    """

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """``((ŷ - y)², 2 (ŷ - y))``, both (n, k)."""
        error = prediction - y
        return error * error, 2.0 * error


def _log(p: Array, xp: Namespace) -> Array:
    """Natural logarithm of a probability; of 0, that of the smallest normal number: about -87 in float32."""
    return xp.log(xp.maximum(p, float(xp.finfo(p.dtype).smallest_normal)))


_LEAST = 1e-12  # no gradient divides by less, as in PyTorch


@_registry.register("binary_crossentropy")
@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """Binary cross-entropy of probabilities:  terms = -(y log ŷ + (1 - y) log(1 - ŷ)).

    Gradient:  ∂/∂ŷ = (ŷ - y) / (ŷ (1 - ŷ)).   One output per label; targets in [0, 1]. The mean is over all
    n k elements, as in ``torch.nn.BCELoss``.
    """

    domain = (0.0, 1.0)
    targets = (0.0, 1.0)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, k)."""
        p, q = prediction, 1.0 - prediction
        terms = -(y * _log(p, xp) + (1.0 - y) * _log(q, xp))
        return terms, (p - y) / xp.maximum(p * q, _LEAST)


@_registry.register("categorical_crossentropy")
@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """Categorical cross-entropy of probabilities:  terms = -Σ_j y_j log ŷ_j, one per sample.

    Gradient:  ∂/∂ŷ = -y / ŷ.   Targets are rows that sum to 1 (one-hot), or integer labels of shape (n,). The
    mean is over the n samples, as in ``torch.nn.CrossEntropyLoss``.
    """

    domain = (0.0, 1.0)
    targets = (0.0, 1.0)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms (n, 1) and gradient (n, k)."""
        terms = -xp.sum(y * _log(prediction, xp), axis=1, keepdims=True)
        return terms, -y / xp.maximum(prediction, _LEAST)

    def _expand(self, y: Array, prediction: Array, xp: Namespace) -> Array:
        if y.shape != prediction.shape[:1] or not xp.isdtype(y.dtype, "integral"):
            raise InputError(
                f"y must be one-hot with shape {tuple(prediction.shape)} or integer labels with shape "
                f"({prediction.shape[0]},), got {y.dtype} with shape {tuple(y.shape)}."
            )
        return one_hot(y, prediction.shape[1], like=prediction, xp=xp)


def one_hot(labels: Array, k: int, *, like: Array, xp: Namespace) -> Array:
    """Integer labels (n,) as rows (n, k) that are 1 at the label and 0 elsewhere, in the dtype of `like`."""
    labels = xp.astype(labels, xp.int32)  # a narrow type cannot count to k
    classes = xp.arange(k, dtype=xp.int32, device=arrays.device(like))
    return xp.astype(labels[:, None] == classes[None, :], like.dtype)


# The fused pairs: an output activation and a loss as one stable function of the logits Z, with gradient A - Y.


@dataclass(frozen=True)
class SigmoidBinaryCrossentropy(BinaryCrossentropy):
    """Binary cross-entropy of σ(z):  terms = max(z, 0) - z y + log(1 + e⁻|ᶻ|),  ∂/∂z = σ(z) - y = A - Y."""

    domain = (-math.inf, math.inf)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient of the logits, both (n, k)."""
        z = prediction
        a, _ = Sigmoid().forward(z, xp=xp)
        return xp.maximum(z, 0.0) - z * y + xp.log1p(xp.exp(-xp.abs(z))), a - y


@dataclass(frozen=True)
class SoftmaxCategoricalCrossentropy(CategoricalCrossentropy):
    """Categorical cross-entropy of softmax(z):  terms = log Σ_j e^z_j - Σ_j y_j z_j,  ∂/∂z = softmax(z) - y = A - Y.

    The rows of y must sum to 1. Written with z less its row's maximum, which changes nothing but the overflow.
    """

    domain = (-math.inf, math.inf)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms (n, 1) and gradient (n, k) of the logits."""
        z = prediction - xp.max(prediction, axis=1, keepdims=True)
        e = xp.exp(z)
        total = xp.sum(e, axis=1, keepdims=True)
        return xp.log(total) - xp.sum(y * z, axis=1, keepdims=True), e / total - y


_FUSED: dict[tuple[type[Activation], type[Loss]], type[Loss]] = {
    (Sigmoid, BinaryCrossentropy): SigmoidBinaryCrossentropy,
    (Softmax, CategoricalCrossentropy): SoftmaxCategoricalCrossentropy,
    (Linear, MeanSquaredError): MeanSquaredError,
}


def fused(activation: Activation, loss: Loss) -> Loss | None:
    """The loss as a function of the logits if the pair has such a form, else ``None``."""
    cls = _FUSED.get((type(activation), type(loss)))
    return cls(**{f.name: getattr(loss, f.name) for f in fields(loss)}) if cls else None


_USUAL: dict[type[Activation], type[Loss]] = {Sigmoid: BinaryCrossentropy, Softmax: CategoricalCrossentropy}


def usual(activation: Activation) -> Loss:
    """The loss that goes with an output activation: sigmoid and softmax have their cross-entropy, others MSE."""
    return _USUAL.get(type(activation), MeanSquaredError)()


def check_output(loss: Loss, activation: Activation) -> None:
    """Raise `InputError` if the output activation can give values that the loss is not defined for."""
    (low, high), (least, most) = activation.bounds, loss.domain
    if low < least or high > most:
        raise InputError(
            f"{type(loss).__name__} needs outputs from {least:g} to {most:g}, but the last layer's activation "
            f"{activation!r} gives {low:g} to {high:g}: use 'sigmoid' (binary, multilabel) or 'softmax' "
            "(multiclass) there."
        )
