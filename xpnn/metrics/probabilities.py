"""Metrics of the probabilities themselves: how well they order the samples, and how likely they make the targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xpnn.losses import one_hot
from xpnn.metrics.base import CLASSES, Metric, mean, ratio, register
from xpnn.metrics.decisions import decide
from xpnn.typing import Array, Namespace


@register("roc_auc")
@dataclass(frozen=True)
class RocAuc(Metric):
    """The area under the ROC curve: how often a sample of class 1 has a larger ŷ than one of class 0.

    With weights, an equal ŷ counting half:  Σ_{i: y=1} w_i (W(ŷ < ŷ_i) + W(ŷ = ŷ_i) / 2) / (W₁ W₀),  W summing the
    weights of class 0. Of several columns or classes it is the mean of each against the rest; NaN if one of them does
    not occur, or nothing else does.
    """

    tasks = CLASSES

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The area, or the mean of the areas."""
        _, t = decide(prediction, y, xp)
        areas = [_area(prediction[:, j], t[:, j], w, xp) for j in range(prediction.shape[1])]
        return xp.mean(xp.stack(areas))


def _area(score: Array, t: Array, w: Array, xp: Namespace) -> Array:
    """The area under the curve of one column; score, t and w are (n,)."""
    order = xp.argsort(score)
    score, t, w = (xp.take(each, order, axis=0) for each in (score, t, w))
    below = xp.cumulative_sum(w * (1.0 - t), include_initial=True)  # (n + 1,): W of the first i in order
    first, last = (xp.searchsorted(score, score, side=side) for side in ("left", "right"))  # of those equal to each
    pairs = w * t * (xp.take(below, first, axis=0) + xp.take(below, last, axis=0))
    return ratio(0.5 * xp.sum(pairs), xp.sum(w * t) * below[-1], xp, otherwise=math.nan)


@register("log_loss")
@dataclass(frozen=True)
class LogLoss(Metric):
    """Cross-entropy:  -Σ w log ŷ_y / Σ w  of labels,  -Σ w (y log ŷ + (1 - y) log(1 - ŷ)) / Σ w  of a column.

    Of several columns it is their mean. Probabilities are kept ε from 0 and 1, the dtype's smallest ε with 1 + ε > 1.

    """

    larger_is_better = False
    tasks = CLASSES

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The mean."""
        epsilon = float(xp.finfo(prediction.dtype).eps)
        p = xp.clip(prediction, epsilon, 1.0 - epsilon)
        if y.ndim == 1:
            return mean(-xp.sum(one_hot(y, p.shape[1], like=p, xp=xp) * xp.log(p), axis=1), w, xp)
        return mean(-xp.mean(y * xp.log(p) + (1.0 - y) * xp.log(1.0 - p), axis=1), w, xp)
