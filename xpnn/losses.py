"""The loss functions J(Ŷ, Y) and their gradients ∂J/∂Ŷ.

Each loss writes two things for every entry, ``(terms, gradient)``; the reduction is the same for all:

- ``"mean"``: J = Σ terms / (how many), as PyTorch defines it: over samples for categorical cross-entropy and the
  Kullback-Leibler divergence, over all elements for the others. This is the J of the course text.
- ``"sum"``:  J = Σ terms. This gives the updates printed in the course text, A(2)ᵀ δ(3) with δ = A - Y.
- sample weights w, shape (n,), multiply each sample's terms; the mean divides by Σ w instead of n, so that a
  weight of 2 equals a repeated row.

Shapes: Ŷ, Y and the gradient are (n, k); only `Quantile` has fewer targets than outputs. Source: sections "Loss
function" and "Backpropagation" for squared error and the cross-entropies; the others name theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import pairwise
from numbers import Real
from typing import ClassVar, cast

from xpnn import arrays
from xpnn.activations import Activation, Linear, Sigmoid, Softmax
from xpnn.errors import InputError, missing
from xpnn.registry import Registry, unknown
from xpnn.typing import Array, Namespace


@dataclass(frozen=True)
class Loss:
    """Base of the losses. One's own is a frozen dataclass derived from it, with fields for its hyperparameters.

    It must define `terms`; reductions and sample weights then work as for every loss. It may define `columns` and
    `point`, if it takes targets of other shapes than the outputs', and the two intervals below. Like an activation it
    uses functions of xp and operators alone, does not look at the numbers in arrays nor write into them, and keeps
    the dtype, library and device of the prediction. A ``__post_init__`` of its own calls that of this class.
    `xpnn.testing.check_loss` tries all of it.

    Its formulas may depend on its fields and the arguments alone: whatever else they look up is read once and kept
    with the compiled step.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        How the terms become one number.

    Attributes
    ----------
    domain : tuple of float
        The interval that predictions must lie in, by default all numbers.
    targets : tuple of float
        The interval that targets must lie in, by default all numbers.
    """

    reduction: str = "mean"

    domain: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    targets: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not isinstance(self.reduction, str):
            name, others = type(self).__name__, [each.name for each in fields(self) if each.name != "reduction"]
            by_name = f": give other hyperparameters by name, as in {name}({others[0]}=…)" if others else ""
            raise InputError(f"{name}: reduction must be 'mean' or 'sum', got {self.reduction!r}{by_name}.")
        if self.reduction not in ("mean", "sum"):
            raise InputError(unknown("reduction", str(self.reduction), ("mean", "sum")))

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """The terms that J adds up, and the gradient of each row's terms with respect to Ŷ.

        Parameters
        ----------
        prediction : array, shape (n, k)
            Ŷ.
        y : array, shape (n, k)
            Y in Ŷ's dtype; (n, t) if `columns` says that k outputs have t targets.

        Returns
        -------
        terms : array, shape (n, k) or (n, 1)
            The mean divides by their number.
        gradient : array, shape (n, k)
        """
        raise missing(self, "terms")

    def columns(self, outputs: int) -> int:
        """How many columns Y has for so many of Ŷ: as many."""
        return outputs

    def point(self, prediction: Array) -> Array:
        """What of Ŷ is an estimate of Y, column by column: all."""
        return prediction

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
            at, so one outside the classes counts as none (`fit` refuses it). For `Quantile` (n, t).
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
        terms, gradient = self.terms(prediction, self.prepared(y, prediction, xp=xp), xp=xp)
        factor = self._factor(terms, sample_weight, xp)
        return xp.sum(terms * factor), gradient * factor

    def __call__(self, prediction: Array, y: Array, sample_weight: Array | None = None) -> Array:
        """J alone, an array of shape ()."""
        return self.value_and_grad(prediction, y, sample_weight)[0]

    def prepared(self, y: Array, prediction: Array, *, xp: Namespace) -> Array:
        """Y as `terms` takes it: a row for each of Ŷ, in Ŷ's dtype."""
        if y.shape != (prediction.shape[0], self.columns(prediction.shape[1])):
            y = self._expand(y, prediction, xp)
        return y if y.dtype == prediction.dtype else cast(Array, xp.astype(y, prediction.dtype))

    def _expand(self, y: Array, prediction: Array, xp: Namespace) -> Array:
        n, k = prediction.shape
        t = self.columns(k)
        raise InputError(
            f"y must have shape {(n, t)}, {'as the prediction' if t == k else f'the prediction being {(n, k)}'}, got "
            f"{tuple(y.shape)}" + (": y[:, None] makes a column." if y.ndim == 1 and t == 1 else ".")
        )

    def _per_sample(self, terms: Array) -> int:
        """How many terms of a sample the mean is over: all."""
        return terms.shape[1]

    def _factor(self, terms: Array, sample_weight: Array | None, xp: Namespace) -> float | Array:
        """What multiplies every term: a number, or a column (n, 1) of weights."""
        per_sample = self._per_sample(terms)
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


@_registry.register("mae", "mean_absolute_error")
@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Absolute error, for regression with outliers:  terms = |ŷ - y|,  ∂/∂ŷ = sign(ŷ - y), 0 where they are equal.

    The mean is over all n k elements, as in ``torch.nn.L1Loss``.
    """

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """``(|ŷ - y|, sign(ŷ - y))``, both (n, k)."""
        error = prediction - y
        return xp.abs(error), xp.sign(error)


@_registry.register("huber")
@dataclass(frozen=True)
class Huber(Loss):
    """Huber loss, squared error near the target and absolute error far from it.

    terms = e²/2 if |e| ≤ δ else δ (|e| - δ/2),  e = ŷ - y.  With c = min(max(e, -δ), δ) they are c (e - c/2), and
    ∂/∂ŷ = c.   The mean is over all n k elements, as in ``torch.nn.HuberLoss``.
    See Huber, Robust estimation of a location parameter, 1964.

    Parameters
    ----------
    delta : float
        The constant δ > 0, in the units of the targets.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.delta, Real) and 0 < self.delta < math.inf):
            raise InputError(f"Huber: delta must be > 0, got {self.delta!r}.")

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """``(c (e - c/2), c)``, both (n, k)."""
        error = prediction - y
        clipped = xp.minimum(xp.maximum(error, -self.delta), self.delta)
        return clipped * (error - 0.5 * clipped), clipped


@_registry.register("log_cosh")
@dataclass(frozen=True)
class LogCosh(Loss):
    """Logarithm of the hyperbolic cosine, a Huber loss without a kink:  terms = log cosh e,  e = ŷ - y.

    Gradient:  ∂/∂ŷ = tanh e.   Computed as |e| + log((1 + e^(-2 |e|)) / 2), which does not overflow; the mean is over
    all n k elements.
    """

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """``(log cosh e, tanh e)``, both (n, k)."""
        error = prediction - y
        size = xp.abs(error)
        return size + xp.log1p(0.5 * xp.expm1(-2.0 * size)), xp.tanh(error)  # of e = 0 exactly 0


@_registry.register("quantile")
@dataclass(frozen=True)
class Quantile(Loss):
    """Pinball loss, whose minimum is a quantile of y given x:  terms = max((1 - τ) e, -τ e),  e = ŷ - y.

    Gradient:  ∂/∂ŷ = 1 - τ if e > 0, -τ if e < 0, 1/2 - τ if e = 0.   For q quantiles at once the network has q
    outputs, or t q for t targets: first all quantiles of the first target, then all of the second, and so on. Shapes:
    ŷ (n, t q), y (n, t). With τ = 0.05 and 0.95 the outputs are a 90 % prediction interval. Nothing keeps the outputs
    of different quantiles from crossing; sorted they are no worse.

    The mean is over all n t q elements. See Koenker and Bassett, Regression quantiles, 1978.

    Parameters
    ----------
    quantiles : tuple of float
        Each τ, between 0 and 1, in increasing order.
    """

    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.quantiles
        numbers = isinstance(given, list | tuple) and given and all(isinstance(each, Real) for each in given)
        if not numbers or not all(a < b for a, b in pairwise((0.0, *given, 1.0))):
            raise InputError(
                "Quantile: quantiles must be a tuple of numbers between 0 and 1 in increasing order, such as "
                f"(0.1, 0.5, 0.9), got {given!r}."
            )
        object.__setattr__(self, "quantiles", tuple(map(float, given)))  # in a model file they are a list

    def columns(self, outputs: int) -> int:
        """How many targets t so many outputs t q are for.

        Raises
        ------
        InputError
            If the outputs are not a multiple of the quantiles.
        """
        q = len(self.quantiles)
        if outputs % q:
            raise InputError(
                f"{self!r} needs {q} outputs for each target, one per quantile: 1 target {q}, 2 targets {2 * q}, "
                f"got {outputs}."
            )
        return outputs // q

    @property
    def median(self) -> int | None:
        """Which of the quantiles is at 1/2, to within rounding; None if none is."""
        return next((i for i, level in enumerate(self.quantiles) if abs(level - 0.5) < 1e-9), None)

    def point(self, prediction: Array) -> Array:
        """Of each target the output of the quantile nearest 1/2, (n, t)."""
        q = len(self.quantiles)
        nearest = min(range(q), key=lambda i: abs(self.quantiles[i] - 0.5))
        return prediction[:, nearest::q]

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, t q)."""
        t, q = y.shape[1], len(self.quantiles)
        tau = xp.asarray(self.quantiles * t, dtype=prediction.dtype, device=arrays.device(prediction))
        error = prediction - (xp.repeat(y, q, axis=1) if t > 1 and q > 1 else y)
        terms = xp.maximum((1.0 - tau) * error, -tau * error)
        return terms, 0.5 * xp.sign(error) + (0.5 - tau)


@_registry.register("poisson")
@dataclass(frozen=True)
class Poisson(Loss):
    """Negative log-likelihood of a count y whose mean is ŷ, less log y!:  terms = ŷ - y log(ŷ + ε).

    Gradient:  ∂/∂ŷ = 1 - y / (ŷ + ε).   For outputs and targets ≥ 0; softplus gives such outputs. The mean is over
    all n k elements, as in ``torch.nn.PoissonNLLLoss(log_input=False)``, whose default ε this is.

    Parameters
    ----------
    eps : float
        The constant ε > 0, which keeps the logarithm of an output 0 finite.
    """

    eps: float = 1e-8
    domain = (0.0, math.inf)
    targets = (0.0, math.inf)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.eps, Real) and 0 < self.eps < math.inf):
            raise InputError(f"Poisson: eps must be > 0, got {self.eps!r}.")

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, k)."""
        mean = prediction + self.eps
        return prediction - y * xp.log(mean), 1.0 - y / mean


@_registry.register("hinge")
@dataclass(frozen=True)
class Hinge(Loss):
    """Hinge loss of a binary classification, as of support vector machines:  terms = max(0, 1 - s z).

    s = 1 if y > 0 else -1, so targets may be 0 and 1, as elsewhere, or -1 and 1. z is a linear output, of which the
    sign is the class. Gradient:  ∂/∂z = -s if s z < 1 else 0.   The mean is over all n k elements, as in
    ``sklearn.metrics.hinge_loss``. See Cortes and Vapnik, Support-vector networks, 1995.
    """

    targets = (-1.0, 1.0)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, k)."""
        s = 2.0 * xp.astype(y > 0, prediction.dtype) - 1.0
        margin = 1.0 - s * prediction
        return xp.maximum(margin, 0.0), -s * xp.astype(margin > 0, prediction.dtype)


def _log(p: Array, xp: Namespace) -> Array:
    """Natural logarithm of a probability; of 0, that of the smallest normal number: about -87 in float32."""
    return xp.log(xp.maximum(p, float(xp.finfo(p.dtype).smallest_normal)))


_LEAST = 1e-12  # no gradient divides by less, as in PyTorch


@dataclass(frozen=True)
class _Crossentropy(Loss):
    """What the cross-entropies share: probabilities, and targets that may be smoothed."""

    label_smoothing: float = 0.0
    domain = (0.0, 1.0)
    targets = (0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.label_smoothing, Real) and 0 <= self.label_smoothing <= 1):
            name = type(self).__name__
            raise InputError(f"{name}: label_smoothing must be between 0 and 1, got {self.label_smoothing!r}.")

    def _smoothed(self, y: Array, classes: int) -> Array:
        """``y (1 - s) + s / classes``."""
        s = self.label_smoothing
        return y * (1.0 - s) + s / classes if s else y


@_registry.register("binary_crossentropy")
@dataclass(frozen=True)
class BinaryCrossentropy(_Crossentropy):
    """Binary cross-entropy of probabilities:  terms = -(y log ŷ + (1 - y) log(1 - ŷ)).

    Gradient:  ∂/∂ŷ = (ŷ - y) / (ŷ (1 - ŷ)).   One output per label; targets in [0, 1]. The mean is over all
    n k elements, as in ``torch.nn.BCELoss``.

    Parameters
    ----------
    label_smoothing : float
        s: y (1 - s) + s/2 takes the place of y.
    """

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient, both (n, k)."""
        y = self._smoothed(y, 2)
        p, q = prediction, 1.0 - prediction
        terms = -(y * _log(p, xp) + (1.0 - y) * _log(q, xp))
        return terms, (p - y) / xp.maximum(p * q, _LEAST)


@_registry.register("categorical_crossentropy")
@dataclass(frozen=True)
class CategoricalCrossentropy(_Crossentropy):
    """Categorical cross-entropy of probabilities:  terms = -Σ_j y_j log ŷ_j, one per sample.

    Gradient:  ∂/∂ŷ = -y / ŷ.   Targets are rows that sum to 1 (one-hot), or integer labels of shape (n,). The
    mean is over the n samples, as in ``torch.nn.CrossEntropyLoss``.

    Parameters
    ----------
    label_smoothing : float
        s: y (1 - s) + s/k takes the place of y.
    """

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms (n, 1) and gradient (n, k)."""
        y = self._smoothed(y, prediction.shape[1])
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


@_registry.register("kullback_leibler")
@dataclass(frozen=True)
class KullbackLeibler(Loss):
    """Kullback-Leibler divergence of ŷ from y:  terms = Σ_j y_j (log y_j - log ŷ_j), one per sample.

    Gradient:  ∂/∂ŷ = -y / ŷ.   For targets that are distributions, rows that sum to 1; it is 0 where ŷ = y. The mean
    is over the n samples, as in ``torch.nn.KLDivLoss(reduction="batchmean")``, which takes log ŷ.
    See Kullback and Leibler, On information and sufficiency, 1951.
    """

    domain = (0.0, 1.0)
    targets = (0.0, 1.0)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms (n, 1) and gradient (n, k)."""
        terms = xp.sum(y * (_log(y, xp) - _log(prediction, xp)), axis=1, keepdims=True)
        return terms, -y / xp.maximum(prediction, _LEAST)


# The fused pairs: an output activation and a loss as one stable function of the logits Z, with gradient A - Y.


@dataclass(frozen=True)
class SigmoidBinaryCrossentropy(BinaryCrossentropy):
    """Binary cross-entropy of σ(z):  terms = max(z, 0) - z y + log(1 + e⁻|ᶻ|),  ∂/∂z = σ(z) - y = A - Y."""

    domain = (-math.inf, math.inf)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms and gradient of the logits, both (n, k)."""
        z, y = prediction, self._smoothed(y, 2)
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
        y = self._smoothed(y, prediction.shape[1])
        z = prediction - xp.max(prediction, axis=1, keepdims=True)
        e = xp.exp(z)
        total = xp.sum(e, axis=1, keepdims=True)
        return xp.log(total) - xp.sum(y * z, axis=1, keepdims=True), e / total - y


@dataclass(frozen=True)
class SoftmaxKullbackLeibler(KullbackLeibler):
    """Kullback-Leibler divergence of softmax(z):  terms = cross-entropy + Σ_j y_j log y_j,  ∂/∂z = A - Y."""

    domain = (-math.inf, math.inf)

    def terms(self, prediction: Array, y: Array, *, xp: Namespace) -> tuple[Array, Array]:
        """Terms (n, 1) and gradient (n, k) of the logits."""
        crossentropy, gradient = SoftmaxCategoricalCrossentropy().terms(prediction, y, xp=xp)
        return crossentropy + xp.sum(y * _log(y, xp), axis=1, keepdims=True), gradient


_FUSED: dict[tuple[type[Activation], type[Loss]], type[Loss]] = {
    (Sigmoid, BinaryCrossentropy): SigmoidBinaryCrossentropy,
    (Softmax, CategoricalCrossentropy): SoftmaxCategoricalCrossentropy,
    (Softmax, KullbackLeibler): SoftmaxKullbackLeibler,
    (Linear, MeanSquaredError): MeanSquaredError,
}


def fuse(activation: type[Activation], loss: type[Loss], of_logits: type[Loss]) -> None:
    """Have a pair of an output activation and a loss computed as one function of the logits, with the same fields."""
    _FUSED[activation, loss] = of_logits


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
        fit = "'softplus'" if most == math.inf else "'sigmoid' (binary, multilabel) or 'softmax' (multiclass)"
        raise InputError(
            f"{type(loss).__name__} needs outputs from {least:g} to {most:g}, but the last layer's activation "
            f"{activation!r} gives {low:g} to {high:g}: use {fit} there."
        )
