"""What every metric is: a description, called with predictions and targets; and which tasks it is for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import ClassVar, cast

from xpnn import arrays
from xpnn.activations import Activation, Sigmoid, Softmax
from xpnn.errors import InputError, missing
from xpnn.losses import Hinge, Loss, one_hot
from xpnn.registry import Registry
from xpnn.typing import Array, Namespace

TASKS = ("regression", "binary", "multilabel", "multiclass")
CLASSES = TASKS[1:]


@dataclass(frozen=True)
class Metric:
    """Base of the metrics. One's own is a frozen dataclass derived from it, its fields being hyperparameters.

    It must define `value`, by functions of xp and operators alone, and the two attributes where they are not as here.
    `xpnn.testing.check_metric` tries all of it.

    Attributes
    ----------
    larger_is_better : bool
        Whether a larger value is a better one; by default it is.
    tasks : tuple of str
        What it is for, out of ``"regression"``, ``"binary"``, ``"multilabel"`` and ``"multiclass"``; by default all.
    """

    larger_is_better: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = TASKS

    def value(self, prediction: Array, y: Array, w: Array, *, xp: Namespace) -> Array:
        """The metric, an array of shape () in Ŷ's dtype, on its device; a weight of 2 equals a repeated row.

        Parameters
        ----------
        prediction : array, shape (n, k)
            Ŷ; k is 1 for ``"binary"``.
        y : array, shape (n, k) in Ŷ's dtype, or integer labels, shape (n,), for ``"multiclass"``
        w : array, shape (n,)
            Weights ≥ 0 in Ŷ's dtype; all 1 if none are given.
        """
        raise missing(self, "value")

    def __call__(
        self, prediction: Array, y: Array, sample_weight: Array | None = None, *, xp: Namespace | None = None
    ) -> Array:
        """The metric of predictions.

        Parameters
        ----------
        prediction : array, shape (n, k)
            The network's output Ŷ.
        y : array, shape (n, k), or integer labels, shape (n,)
            The targets Y. Their values are not looked at: a label outside the classes counts as none.
        sample_weight : array, shape (n,), optional
            The weight of each sample, ≥ 0.
        xp : namespace, optional
            The arrays' namespace, if the caller has looked it up already.

        Returns
        -------
        array, shape ()
            In the dtype of the predictions.

        Raises
        ------
        InputError
            If the shapes do not fit, or are those of a task that the metric is not for.
        """
        if xp is None:
            xp = arrays.namespace(prediction=prediction, y=y, sample_weight=sample_weight)
        if prediction.ndim != 2 or not xp.isdtype(prediction.dtype, "real floating"):
            raise InputError(
                f"prediction must hold floating-point numbers and have shape (n, k), one column per output; got "
                f"{prediction.dtype} with shape {tuple(prediction.shape)}."
            )
        y = self._targets(y, prediction, xp)
        if sample_weight is None:
            w = xp.ones(prediction.shape[0], dtype=prediction.dtype, device=arrays.device(prediction))
        elif sample_weight.shape != prediction.shape[:1]:
            raise InputError(
                f"sample_weight must have shape ({prediction.shape[0]},), got {tuple(sample_weight.shape)}."
            )
        else:
            w = xp.astype(sample_weight, prediction.dtype)
        return self.value(prediction, y, w, xp=xp)

    @property
    def name(self) -> str:
        """What to call it in a table: its name, and those hyperparameters that are not as usual."""
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return _registry.name_of(self) + (f"({', '.join(f'{n}={v!r}' for n, v in changed)})" if changed else "")

    def _targets(self, y: Array, prediction: Array, xp: Namespace) -> Array:
        """Labels (n,), or y as (n, k) in the dtype of the predictions."""
        n, k = prediction.shape
        labels = k > 1 and tuple(y.shape) == (n,) and xp.isdtype(y.dtype, "integral")
        columns = tuple(y.shape) == (n, k) or (k == 1 and tuple(y.shape) == (n,))
        takes_labels = k > 1 and "multiclass" in self.tasks
        takes_columns = "regression" in self.tasks or ("binary" if k == 1 else "multilabel") in self.tasks
        if labels and takes_labels:
            return y
        if columns and takes_columns:
            return cast(Array, xp.astype(xp.reshape(y, (n, k)), prediction.dtype))
        wanted = [f"have shape ({n}, {k})" + (f" or ({n},)" if k == 1 else "")] if takes_columns else []
        wanted += [f"be integer labels with shape ({n},)"] if takes_labels else []
        if not wanted:
            raise InputError(f"{self!r} is for {', '.join(self.tasks)}, not for predictions of {k} column(s).")
        hint = ": xp.argmax(y, axis=1) makes labels of one-hot rows." if columns else "."
        raise InputError(f"{self!r}: y must {' or '.join(wanted)}, got {y.dtype} with shape {tuple(y.shape)}{hint}")


_registry = Registry("metric", Metric)
get = _registry.get
register = _registry.register
NAMES = _registry.classes


def task(activation: Activation, k: int) -> str:
    """What a network with k outputs of an activation predicts: one of `TASKS`."""
    if isinstance(activation, Softmax):
        return "multiclass"
    if activation.bounds == (0.0, 1.0):
        return "binary" if k == 1 else "multilabel"
    return "regression"


def check_task(metric: Metric, activation: Activation, k: int) -> None:
    """Raise `InputError` if a metric does not fit what k outputs of an activation predict."""
    here = task(activation, k)
    if here not in metric.tasks:
        fitting = [name for name, cls in NAMES.items() if here in cls.tasks]
        raise InputError(
            f"the metric {metric.name!r} is for {', '.join(metric.tasks)}, but {k} output{'s' * (k > 1)} of "
            f"{activation!r} mean {here}: choose among {', '.join(fitting)}."
        )


def asked(metrics: Iterable[str | Metric], activation: Activation, k: int) -> dict[str, Metric]:
    """The metrics that were asked for, each under the name it was asked for by.

    Raises
    ------
    InputError
        If one is unknown or does not fit what k outputs of the activation predict.
    """
    if isinstance(metrics, str | Metric):
        raise InputError(f"metrics must be a list of names or Metric objects, got {metrics!r}: write [{metrics!r}].")
    found = {}
    for spec in metrics:
        metric = get(spec)
        check_task(metric, activation, k)
        found[spec if isinstance(spec, str) else metric.name] = metric
    return found


def output_of(activation: Activation, loss: Loss) -> Activation:
    """The output activation as the metrics see it: the hinge loss makes classes of a linear one."""
    return Sigmoid() if isinstance(loss, Hinge) else activation


def prepared(
    prediction: Array, y: Array, activation: Activation, loss: Loss, *, xp: Namespace
) -> tuple[Array, Array]:
    """Predictions and targets as `fit` has them, as metrics take them.

    After the hinge loss as probabilities and 0 or 1; of several quantiles the one nearest 1/2; one-hot rows as labels
    where the classes exclude each other.

    Parameters
    ----------
    prediction : array, shape (n, outputs)
    y : array, shape (n, k), or integer labels, shape (n,)
        Rows that are not quite one-hot count as their largest entry.
    activation : Activation
        That of the output layer.
    loss : Loss
    """
    if isinstance(loss, Hinge):
        prediction, y = Sigmoid().forward(prediction, xp=xp)[0], xp.astype(y > 0, prediction.dtype)
    prediction = loss.point(prediction)
    k = prediction.shape[1]
    if task(output_of(activation, loss), k) == "multiclass":
        return prediction, (y if y.ndim == 1 else cast(Array, xp.argmax(y, axis=1)))
    return prediction, (y if y.ndim == 2 else one_hot(y, k, like=prediction, xp=xp))


def ratio(a: Array, b: Array, xp: Namespace, *, otherwise: float = 0.0) -> Array:
    """``a / b``, b ≥ 0; another number where b = 0."""
    some = b > 0
    return cast(Array, xp.where(some, a / xp.where(some, b, 1.0), otherwise))


def mean(terms: Array, w: Array, xp: Namespace) -> Array:
    """Σ w terms / Σ w over the samples, terms of shape (n,) or (n, k); NaN if no sample weighs anything."""
    weighted = terms * (w if terms.ndim == 1 else w[:, None])
    return ratio(xp.sum(weighted, axis=0), xp.sum(w), xp, otherwise=math.nan)
