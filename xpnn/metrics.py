"""How good predictions are, computed where the arrays are; each returns an array of shape ().

Shapes: Ŷ and Y are (n, k). Sample weights, (n,), are not applied here.
"""

from __future__ import annotations

from typing import cast

from xpnn.typing import Array, Namespace


def binary_accuracy(prediction: Array, y: Array, *, threshold: float = 0.5, xp: Namespace) -> Array:
    """The share of entries where ŷ ≥ the threshold agrees with y ≥ 1/2."""
    return cast(Array, xp.mean(xp.astype((prediction >= threshold) == (y >= 0.5), prediction.dtype)))


def categorical_accuracy(prediction: Array, y: Array, *, xp: Namespace) -> Array:
    """The share of rows whose largest ŷ is at the label; y one-hot (n, k) or integer labels (n,)."""
    labels = y if y.ndim == 1 else xp.argmax(y, axis=1)
    hits = xp.argmax(prediction, axis=1) == xp.astype(labels, xp.argmax(prediction, axis=1).dtype)
    return cast(Array, xp.mean(xp.astype(hits, prediction.dtype)))


def mean_absolute_error(prediction: Array, y: Array, *, xp: Namespace) -> Array:
    """Σ |ŷ - y| / (n k)."""
    return cast(Array, xp.mean(xp.abs(prediction - y)))


def r2(prediction: Array, y: Array, *, xp: Namespace) -> Array:
    """R² = 1 - Σ (ŷ - y)² / Σ (y - ȳ)², the mean over the k outputs; of a constant y the quotient counts as 1."""
    residual = xp.sum((prediction - y) ** 2, axis=0)
    total = xp.sum((y - xp.mean(y, axis=0)) ** 2, axis=0)
    constant = total == 0
    quotient = xp.where(constant, 1.0, residual) / xp.where(constant, 1.0, total)
    return cast(Array, 1.0 - xp.mean(quotient))
