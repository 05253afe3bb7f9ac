"""Metrics of the classes decided on: accuracy, precision, recall, F1, the best k.

Written with two matrices of 0 and 1, (n, k): D, what is decided, and T, what is true. With weights w, of each class

    TP = Σ w D T,    predicted = Σ w D,    true = Σ w T    (sums over the samples, (k,)).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from xpnn import arrays
from xpnn.errors import InputError, missing
from xpnn.losses import one_hot
from xpnn.metrics.base import CLASSES, Metric, mean, ratio, register
from xpnn.registry import unknown
from xpnn.typing import Array, Namespace

AVERAGES = ("macro", "micro", "weighted")


def decide(prediction: Array, y: Array, xp: Namespace) -> tuple[Array, Array]:
    """D and T: by the largest ŷ of the row for labels, by ŷ ≥ 1/2 for columns."""
    if y.ndim == 1:
        k, best = prediction.shape[1], xp.argmax(prediction, axis=1)
        return one_hot(best, k, like=prediction, xp=xp), one_hot(y, k, like=prediction, xp=xp)
    return xp.astype(prediction >= 0.5, prediction.dtype), xp.astype(y >= 0.5, prediction.dtype)


@register("accuracy")
@dataclass(frozen=True)
class Accuracy(Metric):
    """The share of right decisions:  Σ w [d = y] / Σ w;  of several labels at once, of all their entries.

    Of several labels scikit-learn's ``accuracy_score`` counts the rows in which all are right; this is 1 less its
    ``hamming_loss``.
    """

    tasks = CLASSES

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The share."""
        if y.ndim == 1:
            best = xp.argmax(prediction, axis=1)
            return mean(xp.astype(best == xp.astype(y, best.dtype), prediction.dtype), w, xp)
        right = xp.astype((prediction >= 0.5) == (y >= 0.5), prediction.dtype)
        return mean(xp.mean(right, axis=1), w, xp)


@register("balanced_accuracy")
@dataclass(frozen=True)
class BalancedAccuracy(Metric):
    """The mean recall of the classes:  Σ_c TP_c / true_c / (how many),  over those that occur in y with a weight.

    Each class counts the same, however rare it is. Of one column the classes are two, 0 and 1.
    """

    tasks = ("binary", "multiclass")

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The mean."""
        d, t = decide(prediction, y, xp)
        if y.ndim == 2:  # a column: the class 0 as well
            d, t = xp.concat([1.0 - d, d], axis=1), xp.concat([1.0 - t, t], axis=1)
        true = xp.sum(w[:, None] * t, axis=0)
        recall = ratio(xp.sum(w[:, None] * d * t, axis=0), true, xp)
        return ratio(xp.sum(recall), xp.sum(xp.astype(true > 0, w.dtype)), xp)


@dataclass(frozen=True)
class Averaged(Metric):
    """Base of the metrics that are worked out for each class or label; a subclass writes `score`.

    `F1` says what `average` means.
    """

    average: str = "macro"

    tasks = CLASSES

    def __post_init__(self) -> None:
        if self.average not in AVERAGES:
            raise InputError(unknown("average", str(self.average), AVERAGES))

    def score(self, hits: Array, predicted: Array, true: Array, *, xp: Namespace) -> Array:
        """The score of each class from its TP, predicted and true."""
        raise missing(self, "score")

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The average of the scores."""
        d, t = decide(prediction, y, xp)
        counts = [xp.sum(w[:, None] * each, axis=0) for each in (d * t, d, t)]
        if self.average == "micro":
            return self.score(*map(xp.sum, counts), xp=xp)
        scores = self.score(*counts, xp=xp)
        if self.average == "weighted":
            share = counts[2]
        elif y.ndim == 1:
            share = xp.astype(xp.sum(d + t, axis=0) > 0, w.dtype)
        else:
            share = xp.ones_like(scores)
        return ratio(xp.sum(share * scores), xp.sum(share), xp)


@register("precision")
@dataclass(frozen=True)
class Precision(Averaged):
    """How much of what is found is right:  TP / predicted,  0 where nothing is found.

    What `average` means is said in `F1`.
    """

    def score(self, hits: Array, predicted: Array, true: Array, *, xp: Namespace) -> Array:
        """``TP / predicted``."""
        return ratio(hits, predicted, xp)


@register("recall")
@dataclass(frozen=True)
class Recall(Averaged):
    """How much of what there is is found:  TP / true,  0 where there is nothing.

    What `average` means is said in `F1`.
    """

    def score(self, hits: Array, predicted: Array, true: Array, *, xp: Namespace) -> Array:
        """``TP / true``."""
        return ratio(hits, true, xp)


@register("f1")
@dataclass(frozen=True)
class F1(Averaged):
    """The harmonic mean of precision and recall:  2 TP / (predicted + true),  0 where both are 0.

    Parameters
    ----------
    average : {"macro", "micro", "weighted"}
        How the classes' scores become one: their mean, that of TP, predicted and true summed over the classes, or
        their mean weighted with true. Classes that occur neither in y nor among the decisions are left out. Of a
        single column it is the score of class 1.

    Raises
    ------
    InputError
        If `average` is none of them.
    """

    def score(self, hits: Array, predicted: Array, true: Array, *, xp: Namespace) -> Array:
        """``2 TP / (predicted + true)``."""
        return ratio(2.0 * hits, predicted + true, xp)


@register("top_k")
@dataclass(frozen=True)
class TopK(Metric):
    """The share of samples whose label is among the k largest ŷ of their row; 1 if there are only k classes.

    Of equal ŷ the later column counts as the larger.

    Parameters
    ----------
    k : int
        How many, ≥ 1.

    Raises
    ------
    InputError
        If k is not a whole number ≥ 1.
    """

    k: int = 5

    tasks = ("multiclass",)

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, Integral) or self.k < 1:
            raise InputError(f"TopK: k must be a whole number >= 1, got {self.k!r}.")

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The share."""
        columns = xp.arange(prediction.shape[1], dtype=xp.int32, device=arrays.device(prediction))[None, :]
        label = xp.astype(y, xp.int32)[:, None]
        own = xp.sum(xp.where(columns == label, prediction, 0.0), axis=1, keepdims=True)
        ahead = (prediction > own) | ((prediction == own) & (columns > label))
        place = xp.sum(xp.astype(ahead, xp.int32), axis=1)
        return mean(xp.astype(place < self.k, prediction.dtype), w, xp)
