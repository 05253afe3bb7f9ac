"""Metrics of numbers: how far predictions are from the targets. All are means over the k outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xpnn.metrics.base import Metric, mean, ratio, register
from xpnn.typing import Array, Namespace


@register("mse", "mean_squared_error")
@dataclass(frozen=True)
class MSE(Metric):
    """Mean squared error:  Σ w (ŷ - y)² / (k Σ w)."""

    larger_is_better = False
    tasks = ("regression", "binary", "multilabel")

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The mean."""
        return mean(xp.mean((prediction - y) ** 2, axis=1), w, xp)


@register("mae", "mean_absolute_error")
@dataclass(frozen=True)
class MAE(Metric):
    """Mean absolute error:  Σ w |ŷ - y| / (k Σ w)."""

    larger_is_better = False
    tasks = ("regression", "binary", "multilabel")

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The mean."""
        return mean(xp.mean(xp.abs(prediction - y), axis=1), w, xp)


@register("r2")
@dataclass(frozen=True)
class R2(Metric):
    """Coefficient of determination:  R² = 1 - Σ w (ŷ - y)² / Σ w (y - ȳ)²,  with ȳ = Σ w y / Σ w.

    1 is perfect; predicting ȳ gives 0. Of a constant y it is 1 if ŷ equals it everywhere, else 0; of one sample NaN.
    """

    tasks = ("regression",)

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The mean of the outputs' R²."""
        residual = mean((prediction - y) ** 2, w, xp)
        total = mean((y - mean(y, w, xp)) ** 2, w, xp)
        counts = w[:, None] > 0  # whether y is constant is not left to ȳ, which is rounded
        least = xp.min(xp.where(counts, y, math.inf), axis=0)
        most = xp.max(xp.where(counts, y, -math.inf), axis=0)
        quotient = xp.where(most > least, ratio(residual, total, xp), xp.where(residual > 0, 1.0, residual))
        result = 1.0 - xp.mean(quotient)
        return result if y.shape[0] > 1 else result * math.nan
